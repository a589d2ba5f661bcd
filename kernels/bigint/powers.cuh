// SPDX-License-Identifier: Apache-2.0
// Kernels: powers of a base a row, by fixed windows from the top [HAC 14.82].
#pragma once

#include "bigint/products.cuh"

// `count` (at most 31) bits of an exponent from bit `from` on; bits past its end are 0. The addresses depend on
// `from` only.
__device__ __forceinline__ u32 exponent_bits_at(const u32* exponent, u32 limbs, u32 from, u32 count) {
  const u32 limb = from / 32;
  const u32 low = limb < limbs ? exponent[limb] : 0;
  const u32 high = limb + 1 < limbs ? exponent[limb + 1] : 0;
  return funnel_right(low, high, from % 32) & ((1u << count) - 1);
}

// All ones where a == b, else 0; both below 2^31.
__device__ __forceinline__ u32 equal_mask(u32 a, u32 b) {
  return 0u - (((a ^ b) - 1u) >> 31);
}

// A table of each group's own in device memory, laid out so that a warp reads whole lines: word pair j of entry d of
// thread t is at ((d * kPart + j) / 2 * threads + t). 2^window * kPart * 4 bytes a thread of the grid.
struct OwnTable {
  u64* at;        // of this thread
  u64 n_threads;  // of the grid
  __device__ __forceinline__ explicit OwnTable(u64* table)
      : at(table + static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x),
        n_threads(static_cast<u64>(gridDim.x) * THREADS) {}
  __device__ __forceinline__ u64* pair(u32 entry, u32 j) const {
    return at + (entry * (kPart / 2) + j) * n_threads;
  }
  __device__ __forceinline__ void put(u32 entry, const u32* x) const {
#pragma unroll
    for (int j = 0; j < kPart; j += 2) *pair(entry, j / 2) = (static_cast<u64>(x[j + 1]) << 32) | x[j];
  }
  __device__ __forceinline__ void get_vartime(u32* x, u32 entry) const {
#pragma unroll
    for (int j = 0; j < kPart; j += 2) {
      const u64 word = *pair(entry, j / 2);
      x[j] = static_cast<u32>(word);
      x[j + 1] = static_cast<u32>(word >> 32);
    }
  }
  // Reads every entry.
  __device__ __forceinline__ void get(u32* x, u32 entry, u32 n_entries) const {
#pragma unroll
    for (int j = 0; j < kPart; ++j) x[j] = 0;
#pragma unroll 2
    for (u32 d = 0; d < n_entries; ++d) {
      const u32 mask = equal_mask(d, entry);
#pragma unroll
      for (int j = 0; j < kPart; j += 2) {
        const u64 word = *pair(d, j / 2);
        x[j] |= static_cast<u32>(word) & mask;
        x[j + 1] |= static_cast<u32>(word >> 32) & mask;
      }
    }
  }
};

// out[i] = bases[i]^exponents[i] mod n, i from `first` on for n rows of the grid. bases, out: u32[.., LIMBS] below n,
// in Montgomery form where `montgomery`; out may be bases. exponents: u32[.., exponent_limbs] below 2^exponent_bits.
// A stride (in words) of 0 repeats one row. table: see OwnTable.
template <bool kVartime>
__device__ __forceinline__ void powm_rows(u32* out, const u32* bases, u64 base_stride, const u32* exponents,
                                          u64 exponent_stride, u32 exponent_limbs, u32 exponent_bits,
                                          u32 window, u64* table_space, const u32* constants, u64 n,
                                          u32 montgomery, u32* shared) {
  const Group group = make_group({constants}, shared, kSquareStride);
  const OwnTable table(table_space);
  const u32 n_entries = 1u << window;
  u32 x[kPart], y[kPart];
  load_row(group, x, Constants{constants}.r());
  table.put(0, x);
  {
    const Row row(n);
    set_factor_row(group, montgomery ? Constants{constants}.r() : Constants{constants}.r2());
    load_row(group, x, bases + row.index * base_stride);
  }
#pragma unroll 1
  for (u32 d = 1;;) {
    multiply(group, x, x);  // first into Montgomery form; there, by one
    table.put(d, x);
    if (d == 1) set_factor(group, x);
    if (++d == n_entries) break;
  }
  const u32* const exponent = exponents + Row(n).index * exponent_stride;
  load_row(group, x, Constants{constants}.r());
  const u32 n_windows = (exponent_bits + window - 1) / window;
#pragma unroll 1
  for (u32 t = n_windows; t-- > 0;) {
    if (t + 1 < n_windows) {
#pragma unroll 1
      for (u32 s = 0; s < window; ++s) square(group, x, x);
    }
    const u32 digit = exponent_bits_at(exponent, exponent_limbs, t * window, window);
    if (kVartime) {
      table.get_vartime(y, digit);
    } else {
      table.get(y, digit, n_entries);
    }
    set_factor(group, y);
    multiply(group, x, x);
  }
  if (!montgomery) {
    set_factor_row(group, Constants{constants}.one());
    multiply(group, x, x);
  }
  const Row row(n);
  if (row.live) store_row(group, out + row.index * kLimbs, x);
}

// Constant-time in bases and exponents.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    powm(u32* out, const u32* bases, u64 base_stride, const u32* exponents, u64 exponent_stride,
         u32 exponent_limbs, u32 exponent_bits, u32 window, u64* table, const u32* constants, u64 n,
         u32 montgomery) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  powm_rows<false>(out, bases, base_stride, exponents, exponent_stride, exponent_limbs, exponent_bits, window,
                   table, constants, n, montgomery, shared);
}

// Addresses depend on the exponents.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    powm_vartime(u32* out, const u32* bases, u64 base_stride, const u32* exponents, u64 exponent_stride,
                 u32 exponent_limbs, u32 exponent_bits, u32 window, u64* table, const u32* constants, u64 n,
                 u32 montgomery) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  powm_rows<true>(out, bases, base_stride, exponents, exponent_stride, exponent_limbs, exponent_bits, window,
                  table, constants, n, montgomery, shared);
}

// Raises kErrorOutOfRange for the first row with a value of more than n_bits bits. values: u32[n, columns, limbs].
// Constant-time for good rows.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    check_bits(u64* error, const u32* values, u32 columns, u32 limbs, u32 n_bits, u64 n) {
  const u64 row = static_cast<u64>(blockIdx.x) * THREADS + threadIdx.x;
  if (row >= n) return;
  const u32* const from = values + row * columns * limbs;
  u32 above = 0;
  for (u32 c = 0; c < columns; ++c) {
    for (u32 j = n_bits / 32; j < limbs; ++j) {
      const u32 limb = from[c * limbs + j];
      above |= j == n_bits / 32 ? limb >> (n_bits % 32) : limb;
    }
  }
  if (above != 0) raise_error(error, kErrorOutOfRange, row);
}
