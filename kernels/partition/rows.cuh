// SPDX-License-Identifier: Apache-2.0
// Rows of 16 bytes as two words of 64 bits, and how an array of them is cut into segments and tiles.
//
// A row is one of two things. A key, digest or record: its bytes as they are, so that on a little-endian device x is
// le64(bytes[0:8]) and y holds le32(bytes[8:12]) below le32(bytes[12:16]). Or an entry, whose order is that of the
// integer x 2^64 + y: of a tag its bytes, most significant first, zeros behind them; of a record y turned by 32 bits, so
// that the row id counts least.
//
// Segment s is rows [starts[s], starts[s + 1]). Tiles of a fixed size begin anew in each segment, and those of all
// segments are numbered through: tiles_before[s] come before those of s, and tile_segment[t] is t's segment, kNoSegment
// behind the last (a grid is launched for as many as there can be).
#pragma once

#include "common/types.cuh"

constexpr u32 kThreads = BLOCK;
constexpr u32 kWarps = kThreads / 32;
constexpr u32 kNoSegment = 0xffffffffu;
static_assert(kThreads % 32 == 0 && kThreads <= 1024, "whole warps");

struct Span {
  u64 begin, end;     // rows of the tile
  u64 first, last;    // rows of its segment
  u32 tile, n_tiles;  // the tile's number in the segment, and how many it has
  u32 before;         // tiles of the segments before
};

// False where there is no such tile; the same for all threads of a block.
__device__ __forceinline__ bool find_span(Span& span, const u64* starts, const u32* tiles_before,
                                          const u32* tile_segment, u32 tile_size) {
  const u32 segment = tile_segment[blockIdx.x];
  if (segment == kNoSegment) return false;
  span.before = tiles_before[segment];
  span.n_tiles = tiles_before[segment + 1] - span.before;
  span.tile = blockIdx.x - span.before;
  span.first = starts[segment];
  span.last = starts[segment + 1];
  span.begin = span.first + static_cast<u64>(span.tile) * tile_size;
  span.end = min(span.begin + tile_size, span.last);
  return true;
}

__device__ __forceinline__ u64 swap_bytes(u64 x) {
  const u32 low = __byte_perm(static_cast<u32>(x), 0, 0x0123);
  const u32 high = __byte_perm(static_cast<u32>(x >> 32), 0, 0x0123);
  return static_cast<u64>(low) << 32 | high;
}

__device__ __forceinline__ u64 swap_halves(u64 x) {
  return x << 32 | x >> 32;
}

// The entry of a tag of `width` bytes, 8 to 16, at any address.
__device__ __forceinline__ ulonglong2 load_tag(const u8* tag, u32 width) {
  u64 x = 0, y = 0;
#pragma unroll
  for (u32 j = 0; j < 8; ++j) x = x << 8 | tag[j];
#pragma unroll
  for (u32 j = 8; j < 16; ++j) y = y << 8 | (j < width ? tag[j] : 0u);
  return make_ulonglong2(x, y);
}

__device__ __forceinline__ void store_tag(u8* tag, u32 width, u64 x, u64 y) {
#pragma unroll
  for (u32 j = 0; j < 8; ++j) tag[j] = static_cast<u8>(x >> (56 - 8 * j));
#pragma unroll
  for (u32 j = 8; j < 16; ++j) {
    if (j < width) tag[j] = static_cast<u8>(y >> (120 - 8 * j));
  }
}

__device__ __forceinline__ bool is_less(u64 ax, u64 ay, u64 bx, u64 by) {
  return ax < bx || (ax == bx && ay < by);
}
