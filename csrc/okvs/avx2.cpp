// SPDX-License-Identifier: Apache-2.0
// AES-NI and PCLMULQDQ on 128-bit registers, with AVX2's encodings.
#include "aes/blocks_aesni.h"
#include "bitmatrix/gf128_pclmul.h"
#include "okvs/rows.h"

namespace crypsis::okvs {
namespace {

struct Isa {
  using Blocks = aes::blocks_aesni::Blocks;
  using RoundKeys = aes::blocks_aesni::RoundKeys;
  using Field = bitmatrix::Gf128Pclmul;
  using Vector = Field::Vector;

  template <int R>
  [[gnu::always_inline]] static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_aesni::encrypt(keys, x);
  }
  // Upper halves of the products of 32-bit words.
  static __m128i scaled(__m128i words, __m128i n) {
    const __m128i even = _mm_srli_epi64(_mm_mul_epu32(words, n), 32);
    return _mm_blend_epi32(even, _mm_mul_epu32(_mm_srli_epi64(words, 32), n), 0xa);
  }
  // x + (x >= bound), for numbers below 2^31.
  static __m128i stepped(__m128i x, __m128i bound) {
    const __m128i all = _mm_set1_epi32(-1);
    return _mm_sub_epi32(x, _mm_andnot_si128(_mm_cmpgt_epi32(bound, x), all));
  }
  static void columns(const std::uint8_t* hashes, std::uint32_t sparse, Columns* out) {
    const __m128i n = _mm_set1_epi32(static_cast<int>(sparse));
    const __m128i one = _mm_set1_epi32(1), two = _mm_set1_epi32(2);
    for (std::size_t i = 0; i < kStep; i += 4) {
      const __m128i h0 = Field::load(hashes + 16 * i), h1 = Field::load(hashes + 16 * i + 16);
      const __m128i h2 = Field::load(hashes + 16 * i + 32), h3 = Field::load(hashes + 16 * i + 48);
      const __m128i low01 = _mm_unpacklo_epi32(h0, h1), low23 = _mm_unpacklo_epi32(h2, h3);
      const __m128i high01 = _mm_unpackhi_epi32(h0, h1), high23 = _mm_unpackhi_epi32(h2, h3);
      const __m128i a = scaled(_mm_unpacklo_epi64(low01, low23), n);
      __m128i b = scaled(_mm_unpackhi_epi64(low01, low23), _mm_sub_epi32(n, one));
      __m128i c = scaled(_mm_unpacklo_epi64(high01, high23), _mm_sub_epi32(n, two));
      b = stepped(b, a);
      c = stepped(stepped(c, _mm_min_epi32(a, b)), _mm_max_epi32(a, b));
      const __m128i ab = _mm_or_si128(a, _mm_slli_epi32(b, 16));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm_unpacklo_epi32(ab, c));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i + 2), _mm_unpackhi_epi32(ab, c));
    }
  }
  // Upper halves of the products fold down by x^64 = x^4 + x^3 + x + 1, twice: 64 + 4 bits, then 4.
  static __m128i reduced(__m128i product) {
    const __m128i r = _mm_set_epi64x(0, 0x1b);
    const __m128i once = _mm_clmulepi64_si128(product, r, 0x01);
    const __m128i twice = _mm_clmulepi64_si128(once, r, 0x01);
    return _mm_xor_si128(_mm_xor_si128(product, once), twice);
  }
  static __m128i mul64(__m128i a, __m128i b) {
    return _mm_unpacklo_epi64(reduced(_mm_clmulepi64_si128(a, b, 0x00)),
                              reduced(_mm_clmulepi64_si128(a, b, 0x11)));
  }
  static __m128i twice(__m128i h) { return _mm_unpacklo_epi64(h, h); }
  static __m128i lows(__m128i h, __m128i next) { return _mm_unpacklo_epi64(h, next); }
};

}  // namespace

const Impl avx2 = make_impl<Isa>("avx2", kAvx2 | kSse41 | kSsse3 | kAesNi | kPclmul);

}  // namespace crypsis::okvs
