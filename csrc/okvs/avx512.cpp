// SPDX-License-Identifier: Apache-2.0
// VAES and VPCLMULQDQ on 512-bit registers, four keys each.
#include "aes/blocks_vaes512.h"
#include "bitmatrix/gf128_vpclmul.h"
#include "okvs/rows.h"

namespace crypsis::okvs {
namespace {

struct Isa {
  using Blocks = aes::blocks_vaes512::Blocks;
  using RoundKeys = aes::blocks_vaes512::RoundKeys;
  using Field = bitmatrix::Gf128Vpclmul;
  using Vector = Field::Vector;

  template <int R>
  [[gnu::always_inline]] static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_vaes512::encrypt(keys, x);
  }
  // Upper halves of the products of 32-bit words.
  [[gnu::always_inline]] static __m512i scaled(__m512i words, __m512i n) {
    const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(words, n), 32);
    return _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_mul_epu32(_mm512_srli_epi64(words, 32), n));
  }
  // x + (x >= bound).
  [[gnu::always_inline]] static __m512i stepped(__m512i x, __m512i bound) {
    return _mm512_mask_add_epi32(x, _mm512_cmpge_epu32_mask(x, bound), x, _mm512_set1_epi32(1));
  }
  [[gnu::always_inline]] static void columns(const std::uint8_t* hashes, std::uint32_t sparse, Columns* out) {
    const __m512i n = _mm512_set1_epi32(static_cast<int>(sparse));
    const __m512i n1 = _mm512_set1_epi32(static_cast<int>(sparse - 1));
    const __m512i n2 = _mm512_set1_epi32(static_cast<int>(sparse - 2));
    const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    for (std::size_t i = 0; i < kStep; i += 16) {
      const __m512i h0 = Field::load(hashes + 16 * i), h1 = Field::load(hashes + 16 * i + 64);
      const __m512i h2 = Field::load(hashes + 16 * i + 128), h3 = Field::load(hashes + 16 * i + 192);
      // Word p of lane l becomes the one of key 4 p + l.
      const __m512i low01 = _mm512_unpacklo_epi32(h0, h1), low23 = _mm512_unpacklo_epi32(h2, h3);
      const __m512i high01 = _mm512_unpackhi_epi32(h0, h1), high23 = _mm512_unpackhi_epi32(h2, h3);
      const __m512i a = scaled(_mm512_unpacklo_epi64(low01, low23), n);
      const __m512i b = stepped(scaled(_mm512_unpackhi_epi64(low01, low23), n1), a);
      __m512i c = scaled(_mm512_unpacklo_epi64(high01, high23), n2);
      c = stepped(stepped(c, _mm512_min_epu32(a, b)), _mm512_max_epu32(a, b));
      const __m512i ab = _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
      _mm512_storeu_si512(out + i, _mm512_permutexvar_epi64(order, _mm512_unpacklo_epi32(ab, c)));
      _mm512_storeu_si512(out + i + 8, _mm512_permutexvar_epi64(order, _mm512_unpackhi_epi32(ab, c)));
    }
  }
  // Upper halves of the products fold down by x^64 = x^4 + x^3 + x + 1, twice: 64 + 4 bits, then 4.
  [[gnu::always_inline]] static __m512i reduced(__m512i product) {
    const __m512i r = _mm512_set1_epi64(0x1b);
    const __m512i once = _mm512_clmulepi64_epi128(product, r, 0x01);
    const __m512i twice = _mm512_clmulepi64_epi128(once, r, 0x01);
    return _mm512_ternarylogic_epi64(product, once, twice, 0x96);
  }
  [[gnu::always_inline]] static __m512i mul64(__m512i a, __m512i b) {
    return _mm512_unpacklo_epi64(reduced(_mm512_clmulepi64_epi128(a, b, 0x00)),
                                 reduced(_mm512_clmulepi64_epi128(a, b, 0x11)));
  }
  [[gnu::always_inline]] static __m512i twice(__m512i h) { return _mm512_unpacklo_epi64(h, h); }
  [[gnu::always_inline]] static __m512i lows(__m512i h, __m512i next) {
    return _mm512_permutex2var_epi64(h, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0), next);
  }
};

}  // namespace

const Impl avx512 = make_impl<Isa>(
    "avx512", kAvx512f | kAvx512bw | kAvx512vl | kAvx512dq | kVaes | kAesNi | kVpclmul | kPclmul);

}  // namespace crypsis::okvs
