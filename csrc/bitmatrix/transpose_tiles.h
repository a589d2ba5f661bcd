// SPDX-License-Identifier: Apache-2.0
// Bit matrices of any size in multiples of 8 made of a backend's 128 x 512 transposes. `T` is
// TransposeAvx512, TransposeAvx2 or TransposePortable. Internal linkage.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bitmatrix/impl.h"
#include "common/wipe.h"

namespace crypsis::bitmatrix {
namespace {

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

// 128 rows of n_columns bits (a multiple of 8), `row_stride` bytes apart, to n_columns blocks of 16 bytes.
// The way in for the kernels of other slugs; they wipe the scratch when they are done.
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

// Are all tiles whole and written straight to the output?
constexpr bool is_aligned(const Matrix& m) {
  const std::size_t n = m.n_rows == kBlockBits ? m.n_columns : m.n_columns == kBlockBits ? m.n_rows : 1;
  return n % kTileBits == 0;
}

// Rows [512 t, 512 t + 512) of a matrix of at most 128 columns.
template <class T>
inline void narrow_tile(const Matrix& m, std::size_t t, TileScratch<T>& scratch) {
  const std::size_t in_bytes = m.n_columns / 8, out_stride = m.n_rows / 8;
  const std::size_t n_rows = std::min(kTileBits, m.n_rows - t * kTileBits);
  const std::uint8_t* from = m.in + t * kTileBits * in_bytes;
  std::uint8_t* const to = m.out + t * kTileBytes;
  if (in_bytes == 16 && n_rows == kTileBits) {
    T::blocks_to_rows(from, 16, to, out_stride, scratch.transpose);
    return;
  }
  std::memset(scratch.in, 0, sizeof scratch.in);
  copy_rows(scratch.in, 16, from, in_bytes, n_rows, in_bytes);
  T::blocks_to_rows(scratch.in, 16, scratch.out, kTileBytes, scratch.transpose);
  copy_rows(to, out_stride, scratch.out, kTileBytes, m.n_columns, n_rows / 8);
}

// Up to 512 rows and 512 columns from (512 row_tile, 512 column_tile) on. Cache lines of the input are read
// once and those of the output written once, whole, so rows that are a power of two apart may share a set of
// the cache.
template <class T>
inline void wide_tile(const Matrix& m, std::size_t row_tile, std::size_t column_tile,
                      TileScratch<T>& scratch) {
  const std::size_t in_stride = m.n_columns / 8, out_stride = m.n_rows / 8;
  const std::size_t n_rows = std::min(kTileBits, m.n_rows - row_tile * kTileBits);
  const std::size_t n_columns = std::min(kTileBits, m.n_columns - column_tile * kTileBits);
  const std::uint8_t* const from = m.in + row_tile * kTileBits * in_stride + column_tile * kTileBytes;
  std::uint8_t* const to = m.out + column_tile * kTileBits * out_stride + row_tile * kTileBytes;
  const bool direct = n_columns == kTileBits && m.n_rows == kBlockBits;
  for (std::size_t band = 0; band * kBlockBits < n_rows; ++band) {
    const std::size_t band_rows = std::min(kBlockBits, n_rows - band * kBlockBits);
    const std::uint8_t* rows = from + band * kBlockBits * in_stride;
    std::size_t stride = in_stride;
    if (band_rows != kBlockBits || n_columns != kTileBits) {
      std::memset(scratch.in, 0, sizeof scratch.in);
      copy_rows(scratch.in, kTileBytes, rows, in_stride, band_rows, n_columns / 8);
      rows = scratch.in;
      stride = kTileBytes;
    }
    T::rows_to_blocks(rows, stride, direct ? to : scratch.out + 16 * band, direct ? 16 : kTileBytes,
                      scratch.transpose);
  }
  if (!direct) copy_rows(to, out_stride, scratch.out, kTileBytes, n_columns, n_rows / 8);
}

template <class T>
void transpose_tiles(const Matrix& m, std::size_t begin, std::size_t end) {
  TileScratch<T> scratch;
  const WipeGuard wipe(scratch.transpose);
  for (std::size_t t = begin; t < end; ++t) {
    if (is_narrow(m)) {
      narrow_tile<T>(m, t, scratch);
    } else {
      wide_tile<T>(m, t % tiles_of(m.n_rows), t / tiles_of(m.n_rows), scratch);
    }
  }
  if (is_aligned(m)) return;
  secure_wipe(scratch.in, sizeof scratch.in);
  secure_wipe(scratch.out, sizeof scratch.out);
}

}  // namespace
}  // namespace crypsis::bitmatrix
