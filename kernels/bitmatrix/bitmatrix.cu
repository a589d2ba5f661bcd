// SPDX-License-Identifier: Apache-2.0
// Bit matrices and the fields of OT extension on a device: csrc/bitmatrix/bitmatrix.h's functions, same bytes.
//
// gf128_products, gf64_products              an element a thread and turn
// gf128_inner_product, gf64_inner_product    a part of a row a warp and turn
// sum_parts                                  the parts of a row together: eight bytes of the row a warp and turn
//
// Arrays begin at any byte, but for the parts that are added. Blocks of 128 threads, one-dimensional grids of any size:
// threads and warps go through the items in steps of the whole grid. Constant time in bits and elements.
#include "bitmatrix/gf.cuh"
#include "common/bytes.cuh"
#include "common/types.cuh"

constexpr u32 kWarpLanes = 32;

// One element: 8 or 16 bytes.
template <u32 kWords>
struct Element {
  u32 w[kWords];
};

template <u32 kWords>
__device__ __forceinline__ Element<kWords> element(const u8* elements, u64 i) {
  Element<kWords> x;
  load_words<kWords>(x.w, elements + 4 * kWords * i);
  return x;
}

template <u32 kWords>
__device__ __forceinline__ void add(Element<kWords>& x, const Element<kWords>& y) {
#pragma unroll
  for (u32 j = 0; j < kWords; ++j) x.w[j] ^= y.w[j];
}

// The sum of a warp's lanes, in all of them.
template <u32 kWords>
__device__ __forceinline__ void add_lanes(Element<kWords>& x) {
#pragma unroll
  for (u32 distance = kWarpLanes / 2; distance > 0; distance /= 2) {
#pragma unroll
    for (u32 j = 0; j < kWords; ++j) x.w[j] ^= __shfl_xor_sync(kFullWarp, x.w[j], static_cast<int>(distance));
  }
}

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ u64 n_threads() {
  return static_cast<u64>(gridDim.x) * blockDim.x;
}

// out[i] = a[i] b[i], or a[i] b[0] where `broadcast` is 1; plus summand[i] unless that is null. `summand` may be `out`.
extern "C" __global__ void __launch_bounds__(128)
    gf128_products(u8* out, const u8* __restrict__ a, const u8* __restrict__ b, const u8* summand, u64 n,
                   u32 broadcast) {
  const Element<4> one = element<4>(b, 0);  // not its factor: 36 registers, to save what the multiplier hides
#pragma unroll 1
  for (u64 i = thread_index(); i < n; i += n_threads()) {
    const Element<4> x = element<4>(a, i);
    Element<4> c = gf128_multiply(x, broadcast != 0 ? one : element<4>(b, i));
    if (summand != nullptr) add(c, element<4>(summand, i));
    store_words<4>(out + 16 * i, c.w);
  }
}

// out[i] = (a[i] pair[0], a[i] pair[1]) of elements of 8 bytes; plus summand[i] as above.
extern "C" __global__ void __launch_bounds__(128)
    gf64_products(u8* out, const u8* __restrict__ a, const u8* __restrict__ pair, const u8* summand, u64 n) {
  const Element<4> two = element<4>(pair, 0);
  const Gf64Factor first = gf64_factor(two.w[0], two.w[1]), second = gf64_factor(two.w[2], two.w[3]);
#pragma unroll 1
  for (u64 i = thread_index(); i < n; i += n_threads()) {
    const Element<2> x = element<2>(a, i);
    const Gf64Factor factor = gf64_factor(x.w[0], x.w[1]);
    const Element<2> left = gf64_reduce<Element<2>>(gf64_product(factor, first));
    const Element<2> right = gf64_reduce<Element<2>>(gf64_product(factor, second));
    Element<4> c = {{left.w[0], left.w[1], right.w[0], right.w[1]}};
    if (summand != nullptr) add(c, element<4>(summand, i));
    store_words<4>(out + 16 * i, c.w);
  }
}

// What an inner product needs of the two fields.
struct Field128 {
  static constexpr u32 kWords = 4;
  typedef Gf128Sum Sum;
  static __device__ __forceinline__ void accumulate(Sum& sum, const Element<4>& a, const Element<4>& b) {
    gf128_accumulate(sum, a, b);
  }
  static __device__ __forceinline__ Element<4> reduce(const Sum& sum) {
    return gf128_reduce<Element<4>>(sum);
  }
};

struct Field64 {
  static constexpr u32 kWords = 2;
  typedef Gf64Sum Sum;
  static __device__ __forceinline__ void accumulate(Sum& sum, const Element<2>& a, const Element<2>& b) {
    gf64_accumulate(sum, a, b);
  }
  static __device__ __forceinline__ Element<2> reduce(const Sum& sum) { return gf64_reduce<Element<2>>(sum); }
};

// Rows of n elements, each in parts of `length` (the last one shorter); parts[r n_parts + p] = the sum over that part of
// a[r n + i] b[i].
struct Rows {
  u64 rows;
  u64 n;
  u64 n_parts;
  u64 length;
};

template <class Field>
__device__ __forceinline__ void inner_product(u8* parts, const u8* a, const u8* b, const Rows& job) {
  constexpr u32 kWords = Field::kWords;
  const u32 lane = threadIdx.x % kWarpLanes, warps = blockDim.x / kWarpLanes;
  const u64 items = job.rows * job.n_parts;
  // Whole blocks take turns, so that every warp is at the shuffles; one without an item has no terms.
  for (u64 first = static_cast<u64>(blockIdx.x) * warps; first < items;
       first += static_cast<u64>(gridDim.x) * warps) {
    const u64 item = first + threadIdx.x / kWarpLanes;
    const u64 row = item / job.n_parts, begin = item % job.n_parts * job.length;
    const u64 end = item >= items ? 0 : job.n - begin < job.length ? job.n : begin + job.length;
    typename Field::Sum sum = {};
#pragma unroll 1
    for (u64 i = begin + lane; i < end; i += kWarpLanes) {
      Field::accumulate(sum, element<kWords>(a, row * job.n + i), element<kWords>(b, i));
    }
    Element<kWords> c = Field::reduce(sum);  // linear: the lanes' sums may be reduced before they are added
    add_lanes(c);
    if (lane == 0 && item < items) store_words<kWords>(parts + 4 * kWords * item, c.w);
  }
}

extern "C" __global__ void __launch_bounds__(128)
    gf128_inner_product(u8* __restrict__ parts, const u8* __restrict__ a, const u8* __restrict__ b,
                        Rows job) {
  inner_product<Field128>(parts, a, b, job);
}

extern "C" __global__ void __launch_bounds__(128)
    gf64_inner_product(u8* __restrict__ parts, const u8* __restrict__ a, const u8* __restrict__ b, Rows job) {
  inner_product<Field64>(parts, a, b, job);
}

// out[r] = the sum of parts[r n_parts + p] over p, elements of `width` bytes, 8 or 16; a warp for 8 bytes of out, as one
// row has thousands of parts. `parts` begins at a multiple of 8.
extern "C" __global__ void __launch_bounds__(128)
    sum_parts(u8* __restrict__ out, const u8* __restrict__ parts, u64 rows, u64 n_parts, u32 width) {
  const u32 lane = threadIdx.x % kWarpLanes, warps = blockDim.x / kWarpLanes;
  const u64 halves = width / 8, items = rows * halves;
  for (u64 first = static_cast<u64>(blockIdx.x) * warps; first < items;
       first += static_cast<u64>(gridDim.x) * warps) {
    const u64 item = first + threadIdx.x / kWarpLanes, row = item / halves, half = item % halves;
    const u64 end = item < items ? n_parts : 0;
    Element<2> sum = {};
#pragma unroll 4
    for (u64 p = lane; p < end; p += kWarpLanes) {
      const uint2 part = reinterpret_cast<const uint2*>(parts)[(row * n_parts + p) * halves + half];
      add(sum, {{part.x, part.y}});
    }
    add_lanes(sum);
    if (lane == 0 && item < items) store_words<2>(out + 8 * item, sum.w);
  }
}
