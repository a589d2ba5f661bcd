// SPDX-License-Identifier: Apache-2.0
// X25519, Elligator 2 and the check of points, one point a thread. The contract is that of
// csrc/curve25519/impl.h: same bytes. Macros NAME_THREADS and NAME_BLOCKS of each kernel: threads a block at
// most, and blocks that a multiprocessor is to hold. scalar_mult and map_to_curve take whole warps, and 64
// bytes of shared memory a thread.
//
// scalar_mult    constant-time in scalars and points
// map_to_curve   constant-time in the elements
// check_points   for public data
#include "common/arith.cuh"
#include "common/errors.cuh"
#include "curve25519/batch.cuh"
#include "curve25519/field.cuh"

constexpr u32 kJ = 486662;    // v^2 = u^3 + J u^2 + u
constexpr u32 kA24 = 121665;  // (J - 2) / 4

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

struct Point {
  Fe x, z;  // u = x / z
};

// 2(x : z) from a = x + z and b = x - z.
__device__ __forceinline__ Point double_point(const Fe& a, const Fe& b) {
  const Fe aa = square(a), bb = square(b), e = sub(aa, bb);
  return {mul(aa, bb), mul(e, mad_small(aa.v, e.v, kA24))};
}

// Limb `i` of the clamped scalar at `bytes` [RFC 7748, 5].
__device__ __forceinline__ u32 scalar_limb(const u8* bytes, u32 i) {
  const u32 limb = load_word(bytes + 4 * i);
  return i == 0 ? limb & ~7u : i == 7 ? (limb & 0x7fffffffu) | 0x40000000u : limb;
}

// The Montgomery ladder [RFC 7748, 5] without the division. As in csrc/curve25519/portable.cpp the sum P + Q
// does not depend on which of the two is doubled, so that a step selects the operands of the doubling and
// swaps nothing. Bit 254 is set and bits 2 to 0 are clear in every scalar: those steps double alone, the
// first one P, where both points are P and one stays so.
__device__ __forceinline__ Point ladder(const u8* scalar, const Fe& u) {
  Point p{u, small_element(1)}, q = p;  // kP and (k + 1)P in either order: `previous` says in which one kP is
  u32 previous = 0, limb = 0;
#pragma unroll 1
  for (u32 t = 255; t-- > 0;) {
    if (t % 32 == 31 || t == 254) limb = scalar_limb(scalar, t / 32);
    const u32 bit = limb >> (t % 32) & 1u, second = bit ^ previous;
    previous = bit;
    const Fe a = add(p.x, p.z), b = sub(p.x, p.z), c = add(q.x, q.z), d = sub(q.x, q.z);
    if (t < 254 && t > 2) {
      const Fe da = mul(d, a), cb = mul(c, b);
      q = {square(add(da, cb)), mul(square(sub(da, cb)), u)};
    }
    p = double_point(select(second, c, a), select(second, d, b));
  }
  return p;  // the last bits are 0: kP is what was doubled
}

// out[i] = X25519(scalars[i], points[i]), rows of 32 bytes; a stride of 0 repeats one row. Any bytes; out may
// be points.
extern "C" __global__ void __launch_bounds__(SCALAR_MULT_THREADS, SCALAR_MULT_BLOCKS)
    scalar_mult(u8* out, const u8* scalars, u64 scalar_stride, const u8* points, u64 point_stride, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const u64 t = thread_index(), row = t < n ? t : n - 1;  // threads behind the end take part in the inversion
  const Point r = ladder(scalars + row * scalar_stride, load_element(points + row * point_stride));
  const Fe u = divide(shared, r.x, r.z);
  if (t < n) store_element(out + 32 * t, u);
}

// out[i] = the u coordinate of Elligator 2 of elements[i] [RFC 9380, 6.7.1], rows of 32 bytes; out may be
// elements. With d = 1 + 2 r^2, which is never 0, u is -J / d or -J (d - 1) / d, and the character of -J d
// (d^2 - J^2 (d - 1)) says which: see csrc/curve25519/portable.cpp.
extern "C" __global__ void __launch_bounds__(MAP_TO_CURVE_THREADS, MAP_TO_CURVE_BLOCKS)
    map_to_curve(u8* out, const u8* elements, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const u64 t = thread_index(), row = t < n ? t : n - 1;
  const Columns own{shared};  // keeps w during the power, which needs the registers
  const Fe r2 = square(load_element(elements + 32 * row));
  Fe w = add(r2, r2);
  own.store(threadIdx.x, w);
  const Fe d = add(w, small_element(1)), jjw = mul_small(mul_small(w, kJ), kJ);
  const Fe minus_g = mul(mul_small(d, kJ), sub(square(d), jjw));  // -1 is a square
  const u32 no_square = is_zero(add(power(minus_g, kCharacter), small_element(1)));
  w = own.load(fresh(threadIdx.x));
  const Fe minus_u = mul_small(select(no_square, w, small_element(1)), kJ);
  const Fe u = divide(shared, sub(small_element(0), minus_u), add(w, small_element(1)));
  if (t < n) store_element(out + 32 * t, u);
}

// The u coordinates of order 2, 4 and 8 on the curve and on its twist; every other row that stands for one is
// not canonical.
__constant__ const u32 kLowOrder[5][8] = {
    {0, 0, 0, 0, 0, 0, 0, 0},
    {1, 0, 0, 0, 0, 0, 0, 0},
    {0xffffffec, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x7fffffff},
    {0x7c7aebe0, 0xaeb8413b, 0xfae35616, 0x6ac49ff1, 0xeb8d09da, 0xfdb1329c, 0x16056286, 0x00b8495f},
    {0xbc959c5f, 0x248c50a3, 0x55b1d0b1, 0x5bef839c, 0xc45c4404, 0x868e1c58, 0xdd4e22d8, 0x57119fd0}};

// Raises for the first row that is not below p with the top bit clear (kErrorOutOfRange) or is of low order
// (kErrorInvalidPoint).
extern "C" __global__ void __launch_bounds__(CHECK_POINTS_THREADS, CHECK_POINTS_BLOCKS)
    check_points(u64* error, const u8* points, u64 n) {
  const u64 t = thread_index();
  if (t >= n) return;
  const Fe x = load_row(points + 32 * t);
  Fe above;
  // From p on x + 19 has the top bit, but for the highest 19 rows, which have it already.
  add_small<8>(above.v, x.v, 19);
  bool low_order = false;
#pragma unroll
  for (int i = 0; i < 5; ++i) {
    u32 differ = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) differ |= x.v[j] ^ kLowOrder[i][j];
    low_order |= differ == 0;
  }
  if (((above.v[7] | x.v[7]) >> 31) != 0) {
    raise_error(error, kErrorOutOfRange, t);
  } else if (low_order) {
    raise_error(error, kErrorInvalidPoint, t);
  }
}
