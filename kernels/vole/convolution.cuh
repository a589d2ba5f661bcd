// SPDX-License-Identifier: Apache-2.0
// The convolution of csrc/vole/LPN_NOTES.md in bit planes, 25 places at a time.
//
// A group is 25 places, as far as the tap with X reaches, so that X goes from a place to the same place of the next group. A
// plane of a group is a word: bit i is bit b of the element at place i. With `pending` what a group's places have been
// given so far, M_0 and M_1 (over bits, public) what a group adds to itself and to the next one by its random taps:
//
//     y = (1 + M_0)^-1 pending,     next pending = x + M_1 y + X y = x + C pending + X y
//
// A = (1 + M_0)^-1 and C = M_1 A are kept as 25 columns each: a plane's bit s, spread over a word, masks column s.
#pragma once

#include "aes/block.cuh"
#include "common/types.cuh"

constexpr u32 kRandomTaps = 24;
constexpr u32 kGroupPlaces = kRandomTaps + 1;
constexpr u32 kGroupMask = (1u << kGroupPlaces) - 1;
constexpr u32 kSideWords = 28;                // columns of A, then of C, each filled up to whole 16 bytes
constexpr u32 kMatrixWords = 2 * kSideWords;  // of a group
constexpr u32 kTileGroups = 8;                // whose matrices are brought to shared memory together
constexpr u32 kTileQuads = kTileGroups * kMatrixWords / 4;

// All ones where bit s of x is set, else 0.
__device__ __forceinline__ u32 spread(u32 x, u32 s) {
  return static_cast<u32>(static_cast<i32>(x << (31 - s)) >> 31);
}

// Columns of A and C of a group whose tap words are taps[0, 25): the last place first, as a place's column is made of those
// of the places it reaches.
__device__ __forceinline__ void make_columns(const u32* taps, u32* columns) {
  u32 a[kGroupPlaces], c[kGroupPlaces];
#pragma unroll
  for (u32 k = 0; k < kGroupPlaces; ++k) {
    const u32 s = kGroupPlaces - 1 - k;
    const u32 random = taps[s] & ((1u << kRandomTaps) - 1);
    const u32 inside = (random << (s + 1)) & kGroupMask;
    u32 own_a = 1u << s, own_c = random >> k;  // place s + 1 + j is place j - k of the next group
#pragma unroll
    for (u32 t = s + 1; t < kGroupPlaces; ++t) {
      const u32 mask = spread(inside, t);
      own_a ^= a[t] & mask;
      own_c ^= c[t] & mask;
    }
    a[s] = own_a;
    c[s] = own_c;
  }
#pragma unroll
  for (u32 s = 0; s < kGroupPlaces; ++s) {
    columns[s] = a[s];
    columns[kSideWords + s] = c[s];
  }
}

// The transpose of 32 x 32 bits, a row a lane; element (i, j) is bit j of lane i.
__device__ __forceinline__ u32 transpose(u32 row) {
  const u32 lane = threadIdx.x % 32;
#pragma unroll
  for (u32 k = 0; k < 5; ++k) {
    constexpr u32 kLow[5] = {0x0000ffff, 0x00ff00ff, 0x0f0f0f0f, 0x33333333, 0x55555555};
    const u32 step = 16 >> k, low = kLow[k];
    const u32 other = __shfl_xor_sync(kFullWarp, row, step);
    row = lane & step ? (row & ~low) | ((other >> step) & low) : (row & low) | ((other & low) << step);
  }
  return row;
}

// An element of 8 or 16 bytes at any address, as words; those behind its 8 bytes are zero.
__device__ __forceinline__ AesBlock load_element(const u8* from, u32 width) {
  if (width == 16) return aes_load(from);
  AesBlock x = {};
  if (reinterpret_cast<u64>(from) % 8 == 0) {
    const uint2 two = *reinterpret_cast<const uint2*>(from);
    x.w[0] = two.x;
    x.w[1] = two.y;
    return x;
  }
#pragma unroll
  for (u32 i = 0; i < 8; ++i) x.w[i / 4] |= static_cast<u32>(from[i]) << (8 * (i % 4));
  return x;
}

__device__ __forceinline__ void store_element(u8* to, u32 width, const AesBlock& x) {
  if (width == 16) {
    aes_store(to, x);
  } else if (reinterpret_cast<u64>(to) % 8 == 0) {
    *reinterpret_cast<uint2*>(to) = make_uint2(x.w[0], x.w[1]);
  } else {
#pragma unroll
    for (u32 i = 0; i < 8; ++i) to[i] = static_cast<u8>(x.w[i / 4] >> (8 * (i % 4)));
  }
}
