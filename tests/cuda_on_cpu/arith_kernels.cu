// SPDX-License-Identifier: Apache-2.0
// One kernel for each function of common/arith.cuh, a case a thread: tests/test_cuda_arith.py runs them on the shim
// against Python integers, and on a device once with the PTX bodies and once with the portable ones.
#include "common/arith.cuh"
#include "common/errors.cuh"

#ifndef LIMBS
#define LIMBS 8
#endif

__device__ __forceinline__ u32 case_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

// in: u32[n, 4] a, b, c, carry (0 or 1); out: u32[n, 18], one column a result
extern "C" __global__ void single_steps(u32* __restrict__ out, const u32* __restrict__ in, u32 n) {
  const u32 t = case_index();
  if (t >= n) return;
  const u32 a = in[4 * t], b = in[4 * t + 1], c = in[4 * t + 2], bit = in[4 * t + 3];
  u32* row = out + 18 * t;
  const u64 wide = mul_wide(a, b);
  row[0] = static_cast<u32>(wide);
  row[1] = static_cast<u32>(wide >> 32);
  const u64 sum = mad_wide(a, b, (static_cast<u64>(c) << 32) | a);
  row[2] = static_cast<u32>(sum);
  row[3] = static_cast<u32>(sum >> 32);
  row[4] = mul_hi(a, b);
  u32 carry = bit;
  row[5] = add_carry(a, b, carry);
  row[6] = carry;
  u32 borrow = bit;
  row[7] = sub_borrow(a, b, borrow);
  row[8] = borrow;
  u32 high = c;
  row[9] = mad_carry(a, b, c, high);
  row[10] = high;
  row[11] = funnel_left(a, b, c & 31u);
  row[12] = funnel_right(a, b, c & 31u);
  row[13] = rotate_left(a, c & 31u);
  row[14] = rotate_right(a, c & 31u);
  row[15] = select(bit, a, b);
  const u64 fused = mad_wide_fused(a, b, (static_cast<u64>(c) << 32) | a);
  row[16] = static_cast<u32>(fused);
  row[17] = static_cast<u32>(fused >> 32);
}

// a, b: u32[n, LIMBS]; bit: u32[n]; out: u32[n, 4, LIMBS + 1], the last limb of a row its carry:
// a + b + bit, a - b - bit, a + b[0], bit ? a : b
extern "C" __global__ void rows(u32* __restrict__ out, const u32* __restrict__ a, const u32* __restrict__ b,
                                const u32* __restrict__ bit, u32 n) {
  const u32 t = case_index();
  if (t >= n) return;
  u32 x[LIMBS], y[LIMBS], sum[LIMBS], difference[LIMBS], small[LIMBS], chosen[LIMBS];
  for (int j = 0; j < LIMBS; ++j) x[j] = a[t * LIMBS + j];
  for (int j = 0; j < LIMBS; ++j) y[j] = b[t * LIMBS + j];
  u32* row = out + t * 4 * (LIMBS + 1);
  row[LIMBS] = add_row<LIMBS>(sum, x, y, bit[t]);
  row[2 * LIMBS + 1] = sub_row<LIMBS>(difference, x, y, bit[t]);
  row[3 * LIMBS + 2] = add_small<LIMBS>(small, x, y[0]);
  row[4 * LIMBS + 3] = 0;
  select_row<LIMBS>(chosen, bit[t], x, y);
  for (int j = 0; j < LIMBS; ++j) {
    row[j] = sum[j];
    row[LIMBS + 1 + j] = difference[j];
    row[2 * LIMBS + 2 + j] = small[j];
    row[3 * LIMBS + 3 + j] = chosen[j];
  }
}

// acc, b: u32[n, LIMBS + 2]; a: u32[n]; bit: u32[n]; out: u32[n, 4, LIMBS + 1]:
// a x b over even limbs; acc + that; acc + that + bit; (acc >> 64) + that, in place
extern "C" __global__ void products(u32* __restrict__ out, const u32* __restrict__ acc,
                                    const u32* __restrict__ b, const u32* __restrict__ a,
                                    const u32* __restrict__ bit, u32 n) {
  const u32 t = case_index();
  if (t >= n) return;
  u32 y[LIMBS + 2], z[LIMBS + 2], plain[LIMBS], sum[LIMBS], carried[LIMBS];
  for (int j = 0; j < LIMBS + 2; ++j) y[j] = b[t * (LIMBS + 2) + j];
  for (int j = 0; j < LIMBS + 2; ++j) z[j] = acc[t * (LIMBS + 2) + j];
  u32* row = out + t * 4 * (LIMBS + 1);
  mul_row<LIMBS>(plain, y, a[t]);
  row[LIMBS] = 0;
  row[2 * LIMBS + 1] = mad_row<LIMBS>(sum, z, y, a[t]);
  row[3 * LIMBS + 2] = mad_row<LIMBS>(carried, z, y, a[t], bit[t]);
  row[4 * LIMBS + 3] = mad_row<LIMBS>(z, z + 2, y, a[t]);
  for (int j = 0; j < LIMBS; ++j) {
    row[j] = plain[j];
    row[LIMBS + 1 + j] = sum[j];
    row[2 * LIMBS + 2 + j] = carried[j];
    row[3 * LIMBS + 3 + j] = z[j];
  }
}

// The error word: rows whose value is not below the bound.
extern "C" __global__ void check_rows(const u32* __restrict__ values, u64* error, u32 bound, u32 n) {
  const u32 t = case_index();
  if (t < n && values[t] >= bound) raise_error(error, kErrorOutOfRange, t);
}
