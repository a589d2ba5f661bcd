// SPDX-License-Identifier: Apache-2.0
// Bit matrices of any size in multiples of 8 made of a backend's 128 x 512 transposes. `T` is TransposeAvx512,
// TransposeAvx2 or TransposePortable. Internal linkage.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/wipe.h"

namespace crypsis::bitmatrix {
namespace {

constexpr std::size_t kTileBits = 512, kTileBytes = 64;

// What a tile passes through where it has an edge; as secret as the bits.
template <class T>
struct TileScratch {
  typename T::Scratch transpose;
  alignas(64) std::uint8_t in[kTileBits * kTileBytes / 4];  // 128 x 64 or 512 x 16 bytes
  alignas(64) std::uint8_t out[kTileBits * kTileBytes];     // 512 x 64 bytes
};

inline void copy_rows(std::uint8_t* to, std::size_t to_stride, const std::uint8_t* from,
                      std::size_t from_stride, std::size_t n_rows, std::size_t n_bytes) {
  for (std::size_t r = 0; r < n_rows; ++r) std::memcpy(to + r * to_stride, from + r * from_stride, n_bytes);
}

// 128 rows of n_columns bits (a multiple of 8), `row_stride` bytes apart, to n_columns blocks of 16 bytes. The way in
// for the kernels of other slugs; they wipe the scratch when they are done.
template <class T>
inline void rows_to_blocks(const std::uint8_t* rows, std::size_t row_stride, std::size_t n_columns,
                           std::uint8_t* blocks, TileScratch<T>& scratch) {
  for (; n_columns >= kTileBits; n_columns -= kTileBits, rows += kTileBytes, blocks += 16 * kTileBits) {
    T::rows_to_blocks(rows, row_stride, blocks, 16, scratch.transpose);
  }
  if (n_columns == 0) return;
  std::memset(scratch.in, 0, sizeof scratch.in);
  copy_rows(scratch.in, kTileBytes, rows, row_stride, 128, n_columns / 8);
  T::rows_to_blocks(scratch.in, kTileBytes, scratch.out, 16, scratch.transpose);
  std::memcpy(blocks, scratch.out, 16 * n_columns);
}

// n_blocks blocks of 16 bytes (a multiple of 8) to 128 rows of n_blocks bits, `row_stride` bytes apart.
template <class T>
inline void blocks_to_rows(const std::uint8_t* blocks, std::size_t n_blocks, std::uint8_t* rows,
                           std::size_t row_stride, TileScratch<T>& scratch) {
  for (; n_blocks >= kTileBits; n_blocks -= kTileBits, rows += kTileBytes, blocks += 16 * kTileBits) {
    T::blocks_to_rows(blocks, 16, rows, row_stride, scratch.transpose);
  }
  if (n_blocks == 0) return;
  std::memset(scratch.in, 0, sizeof scratch.in);
  std::memcpy(scratch.in, blocks, 16 * n_blocks);
  T::blocks_to_rows(scratch.in, 16, scratch.out, kTileBytes, scratch.transpose);
  copy_rows(rows, row_stride, scratch.out, kTileBytes, 128, n_blocks / 8);
}

}  // namespace
}  // namespace crypsis::bitmatrix
