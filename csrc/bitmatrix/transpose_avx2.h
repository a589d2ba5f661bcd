// SPDX-License-Identifier: Apache-2.0
// Transposes of 128 x 512 bits with AVX2, for use inside the kernels of any slug; compile with -mavx2.
// Constant-time.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bitmatrix/transpose_lanes.h"

namespace crypsis::bitmatrix {
namespace {

struct LanesAvx2 {
  using Register = __m256i;
  static constexpr bool kReversed = false;

  template <bool kHigh>
  [[gnu::always_inline]] static __m256i unpack8(__m256i a, __m256i b) {
    return kHigh ? _mm256_unpackhi_epi8(a, b) : _mm256_unpacklo_epi8(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m256i unpack16(__m256i a, __m256i b) {
    return kHigh ? _mm256_unpackhi_epi16(a, b) : _mm256_unpacklo_epi16(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m256i unpack32(__m256i a, __m256i b) {
    return kHigh ? _mm256_unpackhi_epi32(a, b) : _mm256_unpacklo_epi32(a, b);
  }
  template <bool kHigh>
  [[gnu::always_inline]] static __m256i unpack64(__m256i a, __m256i b) {
    return kHigh ? _mm256_unpackhi_epi64(a, b) : _mm256_unpacklo_epi64(a, b);
  }
  // Exchanges the off-diagonal quarters of every square of 2, 4 and 8 bits a side [Warren, 7-3].
  [[gnu::always_inline]] static __m256i transpose_bytes(__m256i x) {
    x = exchange<7>(x, 0x00aa00aa00aa00aaULL);
    x = exchange<14>(x, 0x0000cccc0000ccccULL);
    return exchange<28>(x, 0x00000000f0f0f0f0ULL);
  }

 private:
  template <int kShift>
  [[gnu::always_inline]] static __m256i exchange(__m256i x, std::uint64_t mask) {
    const __m256i differ = _mm256_and_si256(_mm256_xor_si256(x, _mm256_srli_epi64(x, kShift)),
                                            _mm256_set1_epi64x(static_cast<long long>(mask)));
    return _mm256_xor_si256(x, _mm256_xor_si256(differ, _mm256_slli_epi64(differ, kShift)));
  }
};

struct TransposeAvx2 {
  static constexpr std::size_t kColumns = 512;
  // The rows pass through `line` so that each of their cache lines, which may all fall into one set, is
  // touched once.
  struct Scratch {
    LaneScratch<LanesAvx2> lanes;
    alignas(64) std::uint8_t line[128][64];
  };

  // As in transpose_avx512.h.
  static void rows_to_blocks(const std::uint8_t* rows, std::size_t row_stride, std::uint8_t* blocks,
                             std::size_t block_stride, Scratch& scratch) {
    for (std::size_t r = 0; r < 128; ++r) std::memcpy(scratch.line[r], rows + r * row_stride, 64);
    for (std::size_t part = 0; part < 2; ++part) {
      const std::uint8_t* const from = scratch.line[0] + 32 * part;
      std::uint8_t* const to = blocks + 256 * part * block_stride;
      transpose_lanes<LanesAvx2>(
          scratch.lanes,
          [=](int r) __attribute__((always_inline)) {
            return _mm256_load_si256(reinterpret_cast<const __m256i*>(from + 64 * r));
          },
          [=](int j, __m256i a, __m256i b, __m256i c, __m256i d) __attribute__((always_inline)) {
            std::uint8_t* const at = to + static_cast<std::size_t>(j) * block_stride;
            store_lanes(at, block_stride, a);
            store_lanes(at + block_stride, block_stride, b);
            store_lanes(at + 2 * block_stride, block_stride, c);
            store_lanes(at + 3 * block_stride, block_stride, d);
          });
    }
  }

  static void blocks_to_rows(const std::uint8_t* blocks, std::size_t block_stride, std::uint8_t* rows,
                             std::size_t row_stride, Scratch& scratch) {
    for (std::size_t part = 0; part < 2; ++part) {
      const std::uint8_t* const from = blocks + 256 * part * block_stride;
      std::uint8_t* const to = scratch.line[0] + 32 * part;
      transpose_lanes<LanesAvx2>(
          scratch.lanes,
          [=](int r) __attribute__((always_inline)) {
            const std::uint8_t* const at = from + static_cast<std::size_t>(r) * block_stride;
            return _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(at + 128 * block_stride),
                                       reinterpret_cast<const __m128i*>(at));
          },
          [=](int j, __m256i a, __m256i b, __m256i c, __m256i d) __attribute__((always_inline)) {
            const __m256i four[4] = {a, b, c, d};
            for (int i = 0; i < 4; ++i) {
              _mm256_store_si256(reinterpret_cast<__m256i*>(to + 64 * (j + i)), four[i]);
            }
          });
    }
    for (std::size_t r = 0; r < 128; ++r) std::memcpy(rows + r * row_stride, scratch.line[r], 64);
  }

 private:
  // Lane i to block 128 i.
  [[gnu::always_inline]] static void store_lanes(std::uint8_t* to, std::size_t block_stride, __m256i x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(x));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 128 * block_stride), _mm256_extracti128_si256(x, 1));
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
