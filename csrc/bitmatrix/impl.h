// SPDX-License-Identifier: Apache-2.0
// What a backend of the bitmatrix slug provides. Callers (dispatch.cpp) have checked every size; sizes may be
// 0, no alignment is assumed, nothing overlaps. Constant-time throughout.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"

namespace crypsis::bitmatrix {

// A transpose in work; multiples of 8.
struct Matrix {
  const std::uint8_t* in;
  std::size_t n_rows, n_columns;
  std::uint8_t* out;
};

// Tiles of 512 x 512 bits, or of 512 rows where all columns fit into one block; a tile is written by one call
// only.
inline constexpr std::size_t kTileBits = 512, kTileBytes = kTileBits / 8, kBlockBits = 128;
constexpr std::size_t tiles_of(std::size_t n_bits) {
  return (n_bits + kTileBits - 1) / kTileBits;
}
constexpr bool is_narrow(const Matrix& m) {
  return m.n_columns <= kBlockBits;
}
constexpr std::size_t tile_count(const Matrix& m) {
  return tiles_of(m.n_rows) * (is_narrow(m) ? 1 : tiles_of(m.n_columns));
}

// Bit slices are worked on in cache lines.
inline constexpr std::size_t kPlaneBytes = 64;

struct Impl : Backend {
  void (*transpose_tiles)(const Matrix& matrix, std::size_t begin, std::size_t end);

  // b_step: 1, or 0 for the same element throughout. summand: added to the products; nullptr, `out` or apart from it.
  void (*gf128_multiply)(const std::uint8_t* a, const std::uint8_t* b, std::size_t b_step,
                         const std::uint8_t* summand, std::size_t n, std::uint8_t* out);
  void (*gf64_multiply)(const std::uint8_t* a, const std::uint8_t* pair, const std::uint8_t* summand,
                        std::size_t n, std::uint8_t* out);
  // Of one row; the reduced sum to out, 16 (8) bytes.
  void (*gf128_inner_product)(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, std::uint8_t* out);
  void (*gf64_inner_product)(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, std::uint8_t* out);
  // x^begin to x^(end - 1).
  void (*gf128_powers)(const std::uint8_t* x, std::size_t begin, std::size_t end, std::uint8_t* out);

  void (*gf2k_multiply)(int k, const std::uint8_t* a, const std::uint8_t* b, std::size_t b_step,
                        std::size_t n, std::uint8_t* out);
  // Planes `stride` bytes apart; of `b`, k planes of kPlaneBytes bytes that repeat if b_stride is 0.
  void (*gf2k_multiply_sliced)(int k, const std::uint8_t* a, const std::uint8_t* b, std::size_t b_stride,
                               std::size_t stride, std::size_t n_bytes, std::uint8_t* out);
  void (*pack_elements)(int k, const std::uint8_t* elements, std::size_t n, std::uint8_t* out);
  void (*unpack_elements)(int k, const std::uint8_t* packed, std::size_t n, std::uint8_t* out);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::bitmatrix
