// SPDX-License-Identifier: Apache-2.0
// Kernels: products row by row, and the range check.
#pragma once

#include "bigint/square.cuh"
#include "common/errors.cuh"

// The row that a group works on: its own, or row 0 past the end of the batch.
struct Row {
  u64 index;
  bool live;
  __device__ __forceinline__ explicit Row(u64 n) : index(row_index()), live(index < n) {
    if (!live) index = 0;
  }
};

// out[i] = a[i] * b[i] / R mod n, or a[i] * b[i] mod n where `plain`. a, b, out: u32[n, LIMBS] below n; a stride of
// 0 repeats one row. out may be a or b. Constant-time.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    mul(u32* out, const u32* a, u64 a_stride, const u32* b, u64 b_stride, const u32* constants, u64 n,
        u32 plain) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared);
  const Row row(n);
  set_factor_row(group, b + row.index * b_stride);
  u32 x[kPart];
  load_row(group, x, a + row.index * a_stride);
#pragma unroll 1
  for (;;) {
    multiply(group, x, x);
    if (plain == 0) break;
    plain = 0;
    set_factor_row(group, Constants{constants}.r2());
  }
  if (row.live) store_row(group, out + row.index * kLimbs, x);
}

// out[i] = a[i]^2 / R mod n, or a[i]^2 mod n where `plain`. As `mul`.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    sqr(u32* out, const u32* a, const u32* constants, u64 n, u32 plain) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared, kSquareStride);
  const Row row(n);
  u32 x[kPart];
  load_row(group, x, a + row.index * kLimbs);
  square(group, x, x);
  if (plain) {
    set_factor_row(group, Constants{constants}.r2());
    multiply(group, x, x);
  }
  if (row.live) store_row(group, out + row.index * kLimbs, x);
}

// Raises kErrorOutOfRange for the first row that is not below n. rows: u32[n, LIMBS]. Constant-time for good rows.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    check_rows(u64* error, const u32* rows, const u32* constants, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared);
  const Row row(n);
  u32 x[kPart], difference[kPart];
  load_row(group, x, rows + row.index * kLimbs);
  const u32 borrow = subtract(group, difference, x, group.n);
  if (row.live && borrow == 0 && group.place == 0) raise_error(error, kErrorOutOfRange, row.index);
}
