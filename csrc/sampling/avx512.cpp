// SPDX-License-Identifier: Apache-2.0
// AVX-512: eight numbers a register.
#include <immintrin.h>

#include "sampling/words.h"

namespace crypsis::sampling {
namespace {

[[gnu::always_inline]] inline __m512i set1(std::uint64_t a) {
  return _mm512_set1_epi64(static_cast<long long>(a));
}

// r 2^32 + word less the multiple of p nearest to it: |r| is below 0.6 p, so the quotient has less than 32 bits and
// its estimate in doubles is off by less than 2^-19 before it is rounded. The products wrap around 2^64, the result,
// again below 0.6 p, does not.
[[gnu::always_inline]] inline __m512i append(__m512i r, __m512i word, __m512i p, __m512d inverse) {
  const __m512d value =
      _mm512_add_pd(_mm512_mul_pd(_mm512_cvtepi64_pd(r), _mm512_set1_pd(0x1p32)), _mm512_cvtepi64_pd(word));
  const __m512i quotient = _mm512_cvtpd_epi64(_mm512_mul_pd(value, inverse));
  const __m512i shifted = _mm512_add_epi64(_mm512_slli_epi64(r, 32), word);
  return _mm512_sub_epi64(shifted, _mm512_mullo_epi64(quotient, p));
}

void wide(const std::uint8_t* stream, std::size_t n, const Modulus& modulus, const Window& window,
          std::uint64_t* out) {
  const __m512i p = set1(modulus.p), low_mask = set1(window.low), high_mask = set1(window.high);
  const __m512i offset = set1(window.offset), lower_half = set1(0xffffffff);
  const __m512d inverse = _mm512_set1_pd(modulus.inverse);
  const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m512i a = _mm512_loadu_si512(stream + 16 * i), b = _mm512_loadu_si512(stream + 16 * i + 64);
    const __m512i low = _mm512_and_si512(_mm512_permutex2var_epi64(a, even, b), low_mask);
    const __m512i high = _mm512_and_si512(_mm512_permutex2var_epi64(a, odd, b), high_mask);
    // A quotient below 2^44: p is above 2^20.
    const __m512i quotient = _mm512_cvtpd_epi64(_mm512_mul_pd(_mm512_cvtepu64_pd(high), inverse));
    __m512i r = _mm512_sub_epi64(high, _mm512_mullo_epi64(quotient, p));
    r = append(r, _mm512_srli_epi64(low, 32), p, inverse);
    r = append(r, _mm512_and_si512(low, lower_half), p, inverse);
    // The smaller of r and r + p as unsigned numbers is the one that is not negative.
    r = _mm512_min_epu64(r, _mm512_add_epi64(r, p));
    r = _mm512_sub_epi64(r, offset);
    _mm512_storeu_si512(out + i, _mm512_min_epu64(r, _mm512_add_epi64(r, p)));
  }
  wide_words(stream + 16 * i, n - i, modulus, window, out + i);
}

void ternary(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  const __m512i third = set1(kThird), two_thirds = set1(kTwoThirds);
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    std::uint64_t above = 0, far_above = 0;
    for (int k = 0; k < 8; ++k) {
      const __m512i x = _mm512_loadu_si512(stream + 8 * i + 64 * k);
      above |= std::uint64_t{_mm512_cmpge_epu64_mask(x, third)} << (8 * k);
      far_above |= std::uint64_t{_mm512_cmpge_epu64_mask(x, two_thirds)} << (8 * k);
    }
    const __m512i reached = _mm512_add_epi8(_mm512_movm_epi8(above), _mm512_movm_epi8(far_above));
    _mm512_storeu_si512(out + i, _mm512_sub_epi8(_mm512_set1_epi8(-1), reached));
  }
  ternary_words(stream + 8 * i, n - i, out + i);
}

void binomial(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  // Numbers are three 16-bit words each; the fourth of a lane is masked out.
  const __m512i spread = _mm512_set_epi16(23, 23, 22, 21, 20, 20, 19, 18, 17, 17, 16, 15, 14, 14, 13, 12,  //
                                          11, 11, 10, 9, 8, 8, 7, 6, 5, 5, 4, 3, 2, 2, 1, 0);
  const __m512i ones = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i nibble = _mm512_set1_epi8(15), flipped = set1(kFlipped), all = set1(kAllCoins);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m512i packed = _mm512_maskz_loadu_epi16(0xffffff, stream + 6 * i);
    const __m512i x =
        _mm512_and_si512(_mm512_xor_si512(_mm512_permutexvar_epi16(spread, packed), flipped), all);
    const __m512i low = _mm512_shuffle_epi8(ones, _mm512_and_si512(x, nibble));
    const __m512i high = _mm512_shuffle_epi8(ones, _mm512_and_si512(_mm512_srli_epi64(x, 4), nibble));
    const __m512i sums = _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512());
    const __m128i eight = _mm512_cvtepi64_epi8(_mm512_sub_epi64(sums, set1(kCoins / 2)));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), eight);
  }
  binomial_words(stream + 6 * i, n - i, out + i);
}

}  // namespace

const Impl avx512 = {{"avx512", kAvx512f | kAvx512bw | kAvx512dq}, wide, ternary, binomial};

}  // namespace crypsis::sampling
