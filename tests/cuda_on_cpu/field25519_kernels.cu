// SPDX-License-Identifier: Apache-2.0
// The functions of curve25519/field.cuh and batch.cuh on numbers of all 256 bits, a case a thread: points of the curve do
// not reach the rare carries. tests/test_cuda_curve25519_field.py runs them on the shim, as PTX and on a
// device.
#include "curve25519/batch.cuh"
#include "curve25519/field.cuh"

// A row of eight limbs.
__device__ __forceinline__ Fe row_of(const u32* rows, u32 i) {
  Fe r;
  for (u32 j = 0; j < 8; ++j) r.v[j] = rows[8 * i + j];
  return r;
}

__device__ __forceinline__ void set_row(u32* rows, u32 i, const Fe& a) {
  for (u32 j = 0; j < 8; ++j) rows[8 * i + j] = a.v[j];
}

// a, b: u32[n, 8]; bit: u32[n]; out: u32[n, 8, 8]: a + b, a - b, a b, a + 121665 b, a^2, a below p, a = 0 (0
// or 1), bit ? a : b
extern "C" __global__ void field(u32* __restrict__ out, const u32* __restrict__ a, const u32* __restrict__ b,
                                 const u32* __restrict__ bit, u32 n) {
  const u32 t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= n) return;
  const Fe x = row_of(a, t), y = row_of(b, t);
  set_row(out, 8 * t, add(x, y));
  set_row(out, 8 * t + 1, sub(x, y));
  set_row(out, 8 * t + 2, mul(x, y));
  set_row(out, 8 * t + 3, mad_small(x.v, y.v, 121665));
  set_row(out, 8 * t + 4, square(x));
  set_row(out, 8 * t + 5, canonical(x));
  set_row(out, 8 * t + 6, small_element(is_zero(x)));
  set_row(out, 8 * t + 7, select(bit[t], x, y));
}

// a: u32[n, 8]; out: u32[n, 2, 8]: the inverse and the character of a
extern "C" __global__ void powers(u32* __restrict__ out, const u32* __restrict__ a, u32 n) {
  const u32 t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= n) return;
  set_row(out, 2 * t, power(row_of(a, t), kInverse));
  set_row(out, 2 * t + 1, power(row_of(a, t), kCharacter));
}

// Whole blocks; x, z: u32[threads, 8]; out: u32[threads, 8]: x / z; left: u32[threads, kSharedWords]: shared memory
// behind the division
extern "C" __global__ void quotients(u32* __restrict__ out, u32* __restrict__ left, const u32* __restrict__ x,
                                     const u32* __restrict__ z) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const u32 t = blockIdx.x * blockDim.x + threadIdx.x;
  set_row(out, t, divide(shared, row_of(x, t), row_of(z, t)));
  __syncthreads();
  for (u32 i = threadIdx.x; i < kSharedWords * blockDim.x; i += blockDim.x) {
    left[kSharedWords * blockDim.x * blockIdx.x + i] = shared[i];
  }
}
