// SPDX-License-Identifier: Apache-2.0
// The transpose of a tile of small_field.h in 192 small steps, to be taken between the AES rounds of the next tile: VAES
// runs on one vector port and shuffles on the other, so they cost hardly more together than AES alone (NOTES.md).
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "bitmatrix/transpose_avx512.h"
#include "vole/impl.h"

namespace crypsis::vole {
namespace {

class StepsAvx512 {
 public:
  void begin(const std::uint8_t* columns, std::uint8_t* rows) {
    columns_ = columns;
    rows_ = rows;
    left_ = kSteps;
  }
  void finish() {
    while (left_ != 0) step();
  }

  // Parts of 512 positions, each 16 steps over eight columns and then 8 over sixteen rows of the scratch.
  [[gnu::always_inline]] void step() {
    if (left_ == 0) return;
    const std::size_t at = kSteps - left_--;
    const std::size_t part = at / kPartSteps;
    const std::size_t inner = at % kPartSteps;
    if (inner < 16) {
      first(columns_ + part * 64, inner);
    } else {
      second(rows_ + part * 512 * kBlockBytes, inner - 16);
    }
  }

 private:
  using Lanes = bitmatrix::LanesAvx512;
  static constexpr std::size_t kPartSteps = 16 + 8;
  static constexpr std::size_t kSteps = kTileBytes / 64 * kPartSteps;

  [[gnu::always_inline]] void first(const std::uint8_t* columns, std::size_t k) {
    __m512i x[8];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) x[i] = _mm512_loadu_si512(columns + (8 * k + 7 - i) * kColumnStride);
    bitmatrix::interleave<Lanes, 8>(x);
    bitmatrix::interleave<Lanes, 16>(x);
    bitmatrix::interleave<Lanes, 32>(x);
#pragma GCC unroll 8
    for (int m = 0; m < 8; ++m) {
      scratch_.half[m][k] = Lanes::transpose_bytes(x[bitmatrix::reversed_bits(m, 3)]);
    }
  }

  [[gnu::always_inline]] void second(std::uint8_t* rows, std::size_t m) {
    __m512i z[16];
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) z[k] = scratch_.half[m][k];
    bitmatrix::interleave<Lanes, 8>(z);
    bitmatrix::interleave<Lanes, 16>(z);
    bitmatrix::interleave<Lanes, 32>(z);
    bitmatrix::interleave<Lanes, 64>(z);
    // Lane l of row p of the sixteen belongs to position 128 l + 16 m + p: four rows make four whole cache lines.
#pragma GCC unroll 4
    for (int p = 0; p < 16; p += 4) {
      const __m512i a = z[bitmatrix::reversed_bits(p, 4)];
      const __m512i b = z[bitmatrix::reversed_bits(p + 1, 4)];
      const __m512i c = z[bitmatrix::reversed_bits(p + 2, 4)];
      const __m512i d = z[bitmatrix::reversed_bits(p + 3, 4)];
      const __m512i ab_low = _mm512_shuffle_i32x4(a, b, 0x44);  // lanes 0, 1 of a, then of b
      const __m512i cd_low = _mm512_shuffle_i32x4(c, d, 0x44);
      const __m512i ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
      const __m512i cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
      std::uint8_t* const to = rows + (16 * m + static_cast<std::size_t>(p)) * kBlockBytes;
      _mm512_storeu_si512(to, _mm512_shuffle_i32x4(ab_low, cd_low, 0x88));
      _mm512_storeu_si512(to + 128 * kBlockBytes, _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd));
      _mm512_storeu_si512(to + 256 * kBlockBytes, _mm512_shuffle_i32x4(ab_high, cd_high, 0x88));
      _mm512_storeu_si512(to + 384 * kBlockBytes, _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd));
    }
  }

  bitmatrix::LaneScratch<Lanes> scratch_;
  const std::uint8_t* columns_ = nullptr;
  std::uint8_t* rows_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace
}  // namespace crypsis::vole
