// SPDX-License-Identifier: Apache-2.0
// What tests/test_cuda_shim.py runs: each primitive of the shim once, and bugs behind macros.
#include "common/types.cuh"

#ifndef WIDTH
#define WIDTH 32
#endif

// in: u32[threads], by: u32[threads] or one value for all; out: u32[4, threads]
extern "C" __global__ void shuffles(u32* out, const u32* in, const u32* by, u32 delta) {
  const u32 n = gridDim.x * blockDim.x, t = blockIdx.x * blockDim.x + threadIdx.x;
  out[t] = __shfl_sync(kFullWarp, in[t], static_cast<int>(by[t]), WIDTH);
  out[n + t] = __shfl_up_sync(kFullWarp, in[t], delta, WIDTH);
  out[2 * n + t] = __shfl_down_sync(kFullWarp, in[t], delta, WIDTH);
  out[3 * n + t] = __shfl_xor_sync(kFullWarp, in[t], static_cast<int>(delta), WIDTH);
}

extern "C" __global__ void wide_shuffles(u64* out, const u64* in, double* real) {
  const u32 t = threadIdx.x;
  out[t] = __shfl_down_sync(kFullWarp, in[t], 1);
  real[t] = __shfl_xor_sync(kFullWarp, 0.5 * t, 16);
}

// out: u32[3, threads]
extern "C" __global__ void votes(u32* out, const u32* in) {
  const u32 n = blockDim.x, t = threadIdx.x;
  out[t] = __ballot_sync(kFullWarp, in[t] & 1);
  out[n + t] = static_cast<u32>(__any_sync(kFullWarp, in[t] == 0));
  out[2 * n + t] = static_cast<u32>(__all_sync(kFullWarp, in[t] < 1000));
}

// out: u32[blocks of x*y*z][threads of x*y*z]: where each thread believes to be
extern "C" __global__ void indices(u32* out) {
  const u32 block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const u32 thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const u32 threads = blockDim.x * blockDim.y * blockDim.z;
  __syncthreads();
  out[block * threads + thread] = ((block << 16) | thread) + static_cast<u32>(warpSize) - 32;
}

// narrow: u32[7] = 0, ~0, 0, ~0, 0, 0, 0; wide: u64[4] = 0; seen: u32[threads], the old values of the add
extern "C" __global__ void atomics(u32* narrow, u64* wide, u32* seen) {
  const u32 t = blockIdx.x * blockDim.x + threadIdx.x;
  seen[t] = atomicAdd(&narrow[0], 1u);
  atomicAnd(&narrow[1], ~(1u << (t % 32)));
  atomicMax(&narrow[2], t ^ 21u);
  atomicMin(&narrow[3], t ^ 21u);
  atomicOr(&narrow[4], 1u << (t % 31));
  atomicXor(&narrow[5], t);
  if (t == 3) atomicExch(&narrow[6], 77u);
  atomicAdd(&wide[0], 1ull << 40);
  atomicMax(&wide[1], static_cast<u64>(t) << 33);
  u64 old = *static_cast<volatile u64*>(&wide[2]);  // others change it meanwhile
  for (u64 assumed = ~old; assumed != old;) {
    assumed = old;
    old = atomicCAS(&wide[2], assumed, assumed + t);
  }
  atomicExch(&wide[3], 5ull);
}

__constant__ const u32 kTable[4] = {3, 1, 4, 1};

// in: u32[n, 2]; out: u32[n, 10]
extern "C" __global__ void intrinsics(u32* out, const u32* in, u32 n) {
  const u32 t = threadIdx.x;
  if (t >= n) return;
  const u32 a = __ldg(&in[2 * t]), b = in[2 * t + 1];
  const u64 both = (static_cast<u64>(b) << 32) | a;
  u32* row = out + 10 * t;
  row[0] = static_cast<u32>(__popc(a) + 100 * __popcll(both));
  row[1] = static_cast<u32>(__clz(static_cast<int>(a)) + 100 * __clzll(static_cast<long long>(both)));
  row[2] = static_cast<u32>(__ffs(static_cast<int>(a)));
  row[3] = __brev(a);
  row[4] = __byte_perm(a, b, 0x6143);
  row[5] = __umulhi(a, b);
  row[6] = static_cast<u32>(__umul64hi(both, both));
  row[7] = __funnelshift_l(a, b, 7);
  row[8] = __funnelshift_r(a, b, 7);
  row[9] = min(a, b) ^ max(a, b) ^ kTable[t % 4];
}

struct Parameters {
  u64 scale;
  u32 offset[3];
};

extern "C" __global__ void by_value(u64* out, const Parameters parameters, u8 small, i64 large,
                                    const u32* null) {
  out[threadIdx.x] = parameters.scale * parameters.offset[threadIdx.x] + small + static_cast<u64>(large) +
                     (null == nullptr ? 0u : null[0]);
}

// What shared memory holds before it is written, of two static arrays (one in a template) and the dynamic one.
template <int N>
__device__ u32 first_of_static() {
  __shared__ u32 memory[N];
  const u32 seen = memory[threadIdx.x];
  __syncthreads();
  memory[threadIdx.x] = 0;
  return seen;
}
extern "C" __global__ void uninitialised(u32* out) {
  __shared__ u32 memory[32];
  CRYPSIS_DYNAMIC_SHARED(u32, dynamic);
  const u32 t = threadIdx.x;
  u32* row = out + blockIdx.x * 96;
  row[t] = memory[t];
  row[32 + t] = dynamic[t];
  row[64 + t] = first_of_static<32>();
  memory[t] = dynamic[t] = 0;
}

// A sum over the block by a tree in shared memory. -DMISSING_BARRIER leaves one out.
extern "C" __global__ void block_sum(u32* out, const u32* in) {
  CRYPSIS_DYNAMIC_SHARED(u32, part);
  const u32 t = threadIdx.x;
  part[t] = in[blockIdx.x * blockDim.x + t];
  for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
#ifndef MISSING_BARRIER
    __syncthreads();
#endif
    if (t < half) part[t] += part[t + half];
  }
  if (t == 0) out[blockIdx.x] = part[0];
}

// A sum over each group of 16 lanes; -DWIDTH=12 or 8 is the planted mistake.
extern "C" __global__ void group_sum(u32* out, const u32* in) {
  const u32 t = threadIdx.x;
  u32 sum = in[t];
  for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(kFullWarp, sum, step, WIDTH);
  out[t] = sum;
}

// Writes one element too far: where = 1 global, 2 dynamic shared, 3 static shared, 4 a local array.
extern "C" __global__ void out_of_bounds(u32* out, u32 where, u32 n) {
  __shared__ u32 fixed[32];
  CRYPSIS_DYNAMIC_SHARED(u32, dynamic);
  u32 local[4] = {0, 0, 0, 0};
  u32* pointer = fixed;
  const u32 t = threadIdx.x;
  if (where == 1) out[t + 1] = 1;
  if (where == 2) dynamic[t + 1] = 1;
  if (where == 3) pointer[t + 1] = 1;
  if (where == 4) local[t] = 1;
  __syncthreads();
  out[0] = local[n & 3];
}

// -DDIVERGE=1..9: what CUDA leaves undefined.
#ifdef DIVERGE
extern "C" __global__ void diverge(u32* out) {
  const u32 t = threadIdx.x;
  out[t] = t;
#if DIVERGE == 1  // a collective in a branch
  if (t % 2) out[t] = __shfl_sync(kFullWarp, t, 0);
#elif DIVERGE == 2  // two call sites
  if (t % 2)
    out[t] = __shfl_sync(kFullWarp, t, 0);
  else
    out[t] = __shfl_sync(kFullWarp, t, 1);
#elif DIVERGE == 3  // part of the warp at the barrier
  if (t % 2)
    __syncthreads();
  else
    out[t] = __ballot_sync(kFullWarp, 1);
#elif DIVERGE == 4  // a thread leaves before the barrier
  if (t == 40) return;
  __syncthreads();
#elif DIVERGE == 5  // reads a lane that has exited
  if (t == 7) return;
  out[t] = __shfl_sync(kFullWarp, t, 7);
#elif DIVERGE == 6  // a partial mask
  if (t < 16) out[t] = __shfl_sync(0xffffu, t, 0);
#elif DIVERGE == 7  // lanes disagree on the width
  out[t] = __shfl_sync(kFullWarp, t, 0, t < 5 ? 8 : 16);
#elif DIVERGE == 8  // two barriers
  if (t < 32)
    __syncthreads();
  else
    __syncthreads();
#else
  if (t == 33) __trap();
#endif
}
#endif

constexpr int kGroup = 16;

extern "C" __global__ void __launch_bounds__(2 * kGroup, 4) bounded_after(u32* out) {
  out[0] = blockDim.x;
}
extern "C" __global__ __launch_bounds__(kGroup) void bounded_before(u32* out) {
  out[0] = blockDim.x;
}

extern "C" __global__ void switches(u32* out, u32 rounds) {
  u32 value = threadIdx.x;
  for (u32 i = 0; i < rounds; ++i) value += __shfl_down_sync(kFullWarp, value, 1);
  out[threadIdx.x] = value;
}
