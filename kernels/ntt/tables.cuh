// SPDX-License-Identifier: Apache-2.0
// Where a transform finds its factors psi^brev(n), n = 2^stage + block, and how they are made. psi is the prime's
// 2N-th root of unity; the inverse has 1/psi.
//
// A table has N factors. The first N / E, E = min(16, N) elements a thread, are those of n in natural order (the
// first is unused). The last stages run on E neighbours in one thread: their factors stand as [E - 1][N / E], those of
// one thread in a column, so that neighbouring threads read neighbouring factors.
#pragma once

#include "ntt/residues.cuh"

constexpr int kLogElements = 4;  // of most elements of a thread

__device__ __forceinline__ constexpr int log_elements(int log_n) {
  return log_n < kLogElements ? log_n : kLogElements;
}

// Bits of `x` reversed over `bits`, 1 to 32.
__device__ __forceinline__ u32 reverse_bits(u32 x, int bits) {
  return __brev(x) >> (32 - bits);
}

// n of the factor at `position` of a table, in [0, N).
__device__ __forceinline__ u32 factor_index(u32 position, int log_n) {
  const int log_columns = log_n - log_elements(log_n);
  const u32 columns = 1u << log_columns;
  if (position < columns) return position;
  const u32 slot = (position >> log_columns) - 1, column = position & (columns - 1);
  const int depth =
      31 - __clz(static_cast<int>(slot + 1));  // slot 2^depth - 1 + i: stage depth, block i of it
  return ((columns + column) << depth) + (slot + 1 - (1u << depth));
}

// The place of a transform's value that x -> x^galois brings to `index`: values stand at odd powers 2 brev(i) + 1.
__device__ __forceinline__ u32 permuted(u32 index, u32 galois, int log_n) {
  const u32 power = (2 * reverse_bits(index, log_n) + 1) * galois & ((2u << log_n) - 1);
  return reverse_bits(power >> 1, log_n);
}
