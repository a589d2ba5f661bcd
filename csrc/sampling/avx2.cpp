// SPDX-License-Identifier: Apache-2.0
// AVX2 for the small values. Residues stay with 64-bit products: vectors of 32-bit ones lose to them (NOTES.md).
#include <immintrin.h>

#include <cstring>

#include "sampling/words.h"

namespace crypsis::sampling {
namespace {

[[gnu::always_inline]] inline __m256i load(const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

// Four words in [-128, 127] to four bytes.
[[gnu::always_inline]] inline void store_bytes(std::int8_t* to, __m256i words) {
  const __m256i even = _mm256_set1_epi64x(0x0000000000000800);  // bytes 0 and 8 of each half
  const __m256i bytes = _mm256_shuffle_epi8(words, even);
  const int low = _mm256_extract_epi16(bytes, 0), high = _mm256_extract_epi16(bytes, 8);
  const std::uint32_t four = static_cast<std::uint32_t>(low & 0xffff) | static_cast<std::uint32_t>(high)
                                                                            << 16;
  std::memcpy(to, &four, sizeof four);
}

void ternary(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);  // order of unsigned numbers by that of signed ones
  const __m256i third = _mm256_set1_epi64x(static_cast<long long>((kThird - 1) ^ (std::uint64_t{1} << 63)));
  const __m256i two_thirds =
      _mm256_set1_epi64x(static_cast<long long>((kTwoThirds - 1) ^ (std::uint64_t{1} << 63)));
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const __m256i x = _mm256_xor_si256(load(stream + 8 * i), sign);
    const __m256i reached = _mm256_add_epi64(_mm256_cmpgt_epi64(x, third), _mm256_cmpgt_epi64(x, two_thirds));
    store_bytes(out + i, _mm256_sub_epi64(_mm256_set1_epi64x(-1), reached));
  }
  ternary_words(stream + 8 * i, n - i, out + i);
}

void binomial(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  const __m256i spread = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, 10, 11, -1, -1,  //
                                          0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, 10, 11, -1, -1);
  const __m256i ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i flipped = _mm256_set1_epi64x(kFlipped), all = _mm256_set1_epi64x(kAllCoins);
  std::size_t i = 0;
  // Two loads of 16 bytes for 12 each: four bytes beyond the last number, so stop one number early.
  for (; i + 5 <= n; i += 4) {
    const auto* const from = reinterpret_cast<const __m128i*>(stream + 6 * i);
    const auto* const next = reinterpret_cast<const __m128i*>(stream + 6 * i + 12);
    const __m256i packed = _mm256_set_m128i(_mm_loadu_si128(next), _mm_loadu_si128(from));
    const __m256i spread_out = _mm256_shuffle_epi8(packed, spread);
    const __m256i x = _mm256_and_si256(_mm256_xor_si256(spread_out, flipped), all);
    const __m256i low = _mm256_shuffle_epi8(ones, _mm256_and_si256(x, nibble));
    const __m256i high = _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi64(x, 4), nibble));
    const __m256i sums = _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
    store_bytes(out + i, _mm256_sub_epi64(sums, _mm256_set1_epi64x(kCoins / 2)));
  }
  binomial_words(stream + 6 * i, n - i, out + i);
}

}  // namespace

const Impl avx2 = {{"avx2", kAvx2}, wide_words, ternary, binomial};

}  // namespace crypsis::sampling
