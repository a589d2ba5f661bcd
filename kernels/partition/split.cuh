// SPDX-License-Identifier: Apache-2.0
// One level of a stable radix distribution: each segment is taken apart by a digit of its rows.
//
// The digit comes of the row's bucket, floor(lead n_buckets / 2^64), which ascends with the row's leading 64 bits. The
// counters of all tiles stand as [segment][digit][tile of the segment], so that their prefix sums over everything are the
// places where the rows of a digit in a tile begin.
#pragma once

#include "common/types.cuh"
#include "partition/rows.cuh"

constexpr u32 kSplitItems = SPLIT_ITEMS;
constexpr u32 kSplitTile = kThreads * kSplitItems;
constexpr u32 kMaxDigits = 2048;
static_assert(kSplitItems * 32 < 65536, "ranks in a warp fit 16 bits");

// As in bindings/crypsis/cuda/_partition_kernels.py.
struct Split {
  u64 n_buckets;
  u32 shift;  // digit = (bucket >> shift) & mask
  u32 mask;
  u32 n_digits;  // at most kMaxDigits
  u32 n_bits;    // of a digit
  u32 digests;   // lead: 1 for le32(bytes[12:16]) above zeros, 0 for x
  u32 unused;
};

__device__ __forceinline__ u32 digit_of(const ulonglong2& row, const Split& split) {
  const u64 lead = split.digests != 0 ? row.y & ~0xffffffffull : row.x;
  return static_cast<u32>(__umul64hi(lead, split.n_buckets) >> split.shift) & split.mask;
}

// The lanes among `valid` whose digit is this lane's.
__device__ __forceinline__ u32 same_digit(u32 digit, u32 n_bits, bool valid) {
  u32 same = __ballot_sync(kFullWarp, valid);
  for (u32 bit = 0; bit < n_bits; ++bit) {
    const bool set = (digit >> bit & 1u) != 0;
    const u32 lanes = __ballot_sync(kFullWarp, set);
    same &= set ? lanes : ~lanes;
  }
  return same;
}
