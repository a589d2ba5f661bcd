// SPDX-License-Identifier: Apache-2.0
// A bin's sparse matrix as the kernels keep it: one word a column, the sum modulo 2^64 of the column's rows.
//
//   bits 0 to 15:   1 a row, so their number, at most 65,535
//   bits 16 to 63:  the sum modulo 2^48 of what the column's rows say: the next column in the row's cycle of three
//                   (lowest 16 bits), the one after, the row's id
//
// csrc/okvs/solve.cpp has an xor in the upper bits' place. A sum does the same, one atomic instead of two: the count
// never carries, and with one row left the word *is* that row, whatever was added and taken away before.
#pragma once

#include "common/types.cuh"

// What all bins of a launch share; as in bindings/crypsis/cuda/okvs.py.
struct Job {
  u64 first;    // the launch's first bin
  u64 keys;     // place among all keys of the first one that the array of values has
  u32 sparse;   // columns of a bin
  u32 dense;    // dense columns behind them
  u32 longest;  // records that a bin has room for: at least its keys
  u32 parts;    // blocks a bin, where its keys are independent
};

// The keys of a bin among those of all.
struct Keys {
  u64 first, n;
  __device__ __forceinline__ Keys(const u64* starts, u64 bin)
      : first(starts[bin]), n(starts[bin + 1] - starts[bin]) {}
};

__device__ __forceinline__ u64 row_word(u32 next, u32 last, u32 id) {
  return static_cast<u64>(id) << 48 | static_cast<u64>(last) << 32 | static_cast<u64>(next) << 16 | 1;
}
__device__ __forceinline__ u32 count_of(u64 word) {
  return static_cast<u32>(word) & 0xffffu;
}
__device__ __forceinline__ u32 next_of(u64 word) {
  return static_cast<u32>(word >> 16) & 0xffffu;
}
__device__ __forceinline__ u32 last_of(u64 word) {
  return static_cast<u32>(word >> 32) & 0xffffu;
}
__device__ __forceinline__ u32 id_of(u64 word) {
  return static_cast<u32>(word >> 48);
}

// A record: the row that a column took, with the column in the place of the count.
__device__ __forceinline__ u64 record_of(u64 word, u32 column) {
  return (word & ~0xffffull) | column;
}
__device__ __forceinline__ u32 column_of(u64 record) {
  return static_cast<u32>(record) & 0xffffu;
}
