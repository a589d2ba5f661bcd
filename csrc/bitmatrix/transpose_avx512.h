// SPDX-License-Identifier: Apache-2.0
// Transposes of 128 x 512 bits with AVX-512 and GFNI, for use inside the kernels of any slug. The file that
// includes this is compiled with -mavx512f -mavx512bw -mavx512vl -mgfni and its backend needs kAvx512f |
// kAvx512bw | kAvx512vl | kGfni. Constant-time.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "bitmatrix/transpose_lanes.h"

namespace crypsis::bitmatrix {
namespace {

struct LanesAvx512 {
  using Register = __m512i;
  static constexpr bool kReversed = true;  // gf2p8affineqb numbers the rows of its matrix from the last byte

  template <bool kHigh>
  [[gnu::always_inline]] static __m512i unpack8(__m512i a, __m512i b) {
    return kHigh ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m512i unpack16(__m512i a, __m512i b) {
    return kHigh ? _mm512_unpackhi_epi16(a, b) : _mm512_unpacklo_epi16(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m512i unpack32(__m512i a, __m512i b) {
    return kHigh ? _mm512_unpackhi_epi32(a, b) : _mm512_unpacklo_epi32(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m512i unpack64(__m512i a, __m512i b) {
    return kHigh ? _mm512_unpackhi_epi64(a, b) : _mm512_unpacklo_epi64(a, b);
  }
  // The data is the matrix, the vectors are the unit vectors: byte i of the product is column i.
  [[gnu::always_inline]] static __m512i transpose_bytes(__m512i x) {
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64(static_cast<long long>(0x8040201008040201ULL)), x,
                                         0);
  }
};

struct TransposeAvx512 {
  static constexpr std::size_t kColumns = 512;
  using Scratch = LaneScratch<LanesAvx512>;

  // 128 rows of 64 bytes, `row_stride` bytes apart, to 512 blocks of 16 bytes, `block_stride` apart: bit r of
  // block j is bit j of row r. No alignment is assumed; every cache line of the rows is read once.
  static void rows_to_blocks(const std::uint8_t* rows, std::size_t row_stride, std::uint8_t* blocks,
                             std::size_t block_stride, Scratch& scratch) {
    transpose_lanes<LanesAvx512>(
        scratch,
        [=](int r) __attribute__((always_inline)) {
          return _mm512_loadu_si512(rows + static_cast<std::size_t>(r) * row_stride);
        },
        [=](int j, __m512i a, __m512i b, __m512i c, __m512i d) __attribute__((always_inline)) {
          std::uint8_t* const to = blocks + static_cast<std::size_t>(j) * block_stride;
          if (block_stride == 16) {
            // The four lanes of one register change places with one lane of four: whole cache lines to store.
            const __m512i ab01 = _mm512_shuffle_i64x2(a, b, 0x44), ab23 = _mm512_shuffle_i64x2(a, b, 0xee);
            const __m512i cd01 = _mm512_shuffle_i64x2(c, d, 0x44), cd23 = _mm512_shuffle_i64x2(c, d, 0xee);
            _mm512_storeu_si512(to, _mm512_shuffle_i64x2(ab01, cd01, 0x88));
            _mm512_storeu_si512(to + 128 * 16, _mm512_shuffle_i64x2(ab01, cd01, 0xdd));
            _mm512_storeu_si512(to + 256 * 16, _mm512_shuffle_i64x2(ab23, cd23, 0x88));
            _mm512_storeu_si512(to + 384 * 16, _mm512_shuffle_i64x2(ab23, cd23, 0xdd));
          } else {
            store_lanes(to, block_stride, a);
            store_lanes(to + block_stride, block_stride, b);
            store_lanes(to + 2 * block_stride, block_stride, c);
            store_lanes(to + 3 * block_stride, block_stride, d);
          }
        });
  }

  // The inverse: 512 blocks to 128 rows of 64 bytes; every cache line of the rows is written once.
  static void blocks_to_rows(const std::uint8_t* blocks, std::size_t block_stride, std::uint8_t* rows,
                             std::size_t row_stride, Scratch& scratch) {
    transpose_lanes<LanesAvx512>(
        scratch,
        [=](int r) __attribute__((always_inline)) {
          const std::uint8_t* const from = blocks + static_cast<std::size_t>(r) * block_stride;
          __m512i x = _mm512_castsi128_si512(load_lane(from));
          x = _mm512_inserti32x4(x, load_lane(from + 128 * block_stride), 1);
          x = _mm512_inserti32x4(x, load_lane(from + 256 * block_stride), 2);
          return _mm512_inserti32x4(x, load_lane(from + 384 * block_stride), 3);
        },
        [=](int j, __m512i a, __m512i b, __m512i c, __m512i d) __attribute__((always_inline)) {
          std::uint8_t* const to = rows + static_cast<std::size_t>(j) * row_stride;
          _mm512_storeu_si512(to, a);
          _mm512_storeu_si512(to + row_stride, b);
          _mm512_storeu_si512(to + 2 * row_stride, c);
          _mm512_storeu_si512(to + 3 * row_stride, d);
        });
  }

 private:
  // Lane i to block 128 i.
  [[gnu::always_inline]] static void store_lanes(std::uint8_t* to, std::size_t block_stride, __m512i x) {
    store_lane(to, _mm512_castsi512_si128(x));
    store_lane(to + 128 * block_stride, _mm512_extracti32x4_epi32(x, 1));
    store_lane(to + 256 * block_stride, _mm512_extracti32x4_epi32(x, 2));
    store_lane(to + 384 * block_stride, _mm512_extracti32x4_epi32(x, 3));
  }
  [[gnu::always_inline]] static void store_lane(std::uint8_t* to, __m128i x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), x);
  }
  [[gnu::always_inline]] static __m128i load_lane(const std::uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
