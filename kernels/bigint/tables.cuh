// SPDX-License-Identifier: Apache-2.0
// Kernels: products over tables of powers that all rows share, for fixed bases and for products of powers.
// Entry (t, d) of a table u64[n_tables, 2^window, kEntryWords] is base_t^d in Montgomery form. Its pair j of limbs of the
// thread at `place` is word j * TPI + place, so that a group reads without gaps, and all groups of a warp the same.
#pragma once

#include "bigint/powers.cuh"

constexpr int kEntryWords = TPI * kPart / 2;

__device__ __forceinline__ void put_entry(const Group& group, u64* entry, const u32* x) {
#pragma unroll
  for (int j = 0; j < kPart; j += 2) {
    entry[j / 2 * TPI + group.place] = (static_cast<u64>(x[j + 1]) << 32) | x[j];
  }
}

__device__ __forceinline__ void get_entry(const Group& group, u32* x, const u64* entry) {
#pragma unroll
  for (int j = 0; j < kPart; j += 2) {
    const u64 word = entry[j / 2 * TPI + group.place];
    x[j] = static_cast<u32>(word);
    x[j + 1] = static_cast<u32>(word >> 32);
  }
}

// table[t] from bases[t], u32[n, LIMBS] in Montgomery form: a group a table, each power from the one before.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    build_tables(u64* table, const u32* bases, u32 window, const u32* constants, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared);
  const Row row(n);
  const u32 n_entries = 1u << window;
  u64* const entries = table + (row.index << window) * kEntryWords;
  set_factor_row(group, bases + row.index * kLimbs);
  u32 x[kPart];
  load_row(group, x, Constants{constants}.r());
#pragma unroll 1
  for (u32 d = 0; d < n_entries; ++d) {
    if (d > 0) multiply(group, x, x);
    if (row.live) put_entry(group, entries + static_cast<u64>(d) * kEntryWords, x);
  }
}

// x = entry `digit` of a table; reads every entry.
CRYPSIS_INLINE void choose(const Group& group, u32* x, const u64* entries, u32 n_entries, u32 digit) {
#pragma unroll
  for (int j = 0; j < kPart; ++j) x[j] = 0;
#pragma unroll 2
  for (u32 d = 0; d < n_entries; ++d) {
    const u32 mask = equal_mask(d, digit);
    u32 entry[kPart];
    get_entry(group, entry, entries + static_cast<u64>(d) * kEntryWords);
#pragma unroll
    for (int j = 0; j < kPart; ++j) x[j] |= entry[j] & mask;
  }
}

template <bool kVartime>
__device__ __forceinline__ void look_up(const Group& group, u32* x, const u64* table, u32 t, u32 window,
                                        u32 digit) {
  const u64* const entries = table + (static_cast<u64>(t) << window) * kEntryWords;
  if (kVartime) {
    get_entry(group, x, entries + static_cast<u64>(digit) * kEntryWords);
  } else {
    choose(group, x, entries, 1u << window, digit);
  }
}

template <bool kVartime>
__device__ __forceinline__ void table_powm_rows(u32* out, const u64* table, u32 n_tables, u32 window,
                                                const u32* exponents, u32 exponent_limbs,
                                                const u32* constants, u64 n, u32 montgomery, u32* shared) {
  const Group group = make_group({constants}, shared);
  const u32* const exponent = exponents + Row(n).index * exponent_limbs;
  u32 x[kPart], y[kPart];
  look_up<kVartime>(group, x, table, 0, window, exponent_bits_at(exponent, exponent_limbs, 0, window));
#pragma unroll 1
  for (u32 t = 1; t < n_tables; ++t) {
    const u32 digit = exponent_bits_at(exponent, exponent_limbs, t * window, window);
    look_up<kVartime>(group, y, table, t, window, digit);
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

// out[i] = product over t of entry (t, digit t of exponents[i]), digit t being the `window` bits from t * window on.
// exponents: u32[n, exponent_limbs]; out: u32[n, LIMBS], in Montgomery form where `montgomery`; n_tables at least 1.
// Constant-time: every look-up reads a whole table, the same lines for all rows of a warp.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    table_powm(u32* out, const u64* table, u32 n_tables, u32 window, const u32* exponents, u32 exponent_limbs,
               const u32* constants, u64 n, u32 montgomery) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  table_powm_rows<false>(out, table, n_tables, window, exponents, exponent_limbs, constants, n, montgomery,
                         shared);
}

// Addresses depend on the exponents.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    table_powm_vartime(u32* out, const u64* table, u32 n_tables, u32 window, const u32* exponents,
                       u32 exponent_limbs, const u32* constants, u64 n, u32 montgomery) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  table_powm_rows<true>(out, table, n_tables, window, exponents, exponent_limbs, constants, n, montgomery,
                        shared);
}

// out[i] = product over t of base_t^exponents[i, t], in Montgomery form; squarings between the windows. exponents:
// u64[n, n_tables] below 2^exponent_bits. Constant-time in the exponents.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    multi_powm(u32* out, const u64* table, u32 n_tables, u32 window, const u32* exponents, u32 exponent_bits,
               const u32* constants, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared, kSquareStride);
  const u32* const row_exponents = exponents + Row(n).index * (2 * static_cast<u64>(n_tables));
  u32 x[kPart], y[kPart];
  load_row(group, x, Constants{constants}.r());
  const u32 n_windows = (exponent_bits + window - 1) / window;
#pragma unroll 1
  for (u32 at = n_windows; at-- > 0;) {
    if (at + 1 < n_windows) {
#pragma unroll 1
      for (u32 s = 0; s < window; ++s) square(group, x, x);
    }
#pragma unroll 1
    for (u32 t = 0; t < n_tables; ++t) {
      const u32 digit = exponent_bits_at(row_exponents + 2 * t, 2, at * window, window);
      look_up<false>(group, y, table, t, window, digit);
      set_factor(group, y);
      multiply(group, x, x);
    }
  }
  const Row row(n);
  if (row.live) store_row(group, out + row.index * kLimbs, x);
}
