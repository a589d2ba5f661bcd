// SPDX-License-Identifier: Apache-2.0
// GF(2^128) and GF(2^64) with PCLMULQDQ, one 16-byte element a register. Names and fields: gf128_portable.h.
// Compile with -mpclmul -msse4.1; the backend needs kPclmul | kSse41. Constant-time.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace crypsis::bitmatrix {
namespace {

struct Gf128Pclmul {
  static constexpr std::size_t kLanes = 1;
  using Vector = __m128i;
  struct Sum {
    __m128i lo = _mm_setzero_si128(), middle = _mm_setzero_si128(), hi = _mm_setzero_si128();
  };
  struct Sum64 {
    __m128i value = _mm_setzero_si128();
  };

  [[gnu::always_inline]] static __m128i load(const std::uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  [[gnu::always_inline]] static void store(std::uint8_t* to, __m128i a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), a);
  }
  [[gnu::always_inline]] static __m128i broadcast(const std::uint8_t* from) { return load(from); }
  [[gnu::always_inline]] static __m128i zero() { return _mm_setzero_si128(); }
  [[gnu::always_inline]] static __m128i add(__m128i a, __m128i b) { return _mm_xor_si128(a, b); }

  [[gnu::always_inline]] static void accumulate(Sum& sum, __m128i a, __m128i b) {
    sum.lo = add(sum.lo, _mm_clmulepi64_si128(a, b, 0x00));
    sum.hi = add(sum.hi, _mm_clmulepi64_si128(a, b, 0x11));
    sum.middle = add(sum.middle, add(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)));
  }
  // x^128 = x^7 + x^2 + x + 1. Each 64 bits above x^128 times that: those at x^192 go to the middle (x^64),
  // those of hi and middle at x^128 to lo; what is left of the middle then stands at x^64 and needs no
  // reduction.
  [[gnu::always_inline]] static __m128i reduce(const Sum& sum) {
    const __m128i r = _mm_set_epi64x(0, 0x87);
    const __m128i middle = add(sum.middle, _mm_clmulepi64_si128(sum.hi, r, 0x01));
    const __m128i lo = add(sum.lo, _mm_clmulepi64_si128(sum.hi, r, 0x00));
    return add(add(lo, _mm_clmulepi64_si128(middle, r, 0x01)), _mm_slli_si128(middle, 8));
  }
  [[gnu::always_inline]] static void reduce_lanes(const Sum& sum, std::uint8_t* out) {
    store(out, reduce(sum));
  }

  [[gnu::always_inline]] static __m128i mul(__m128i a, __m128i b) {
    Sum sum;
    accumulate(sum, a, b);
    return reduce(sum);
  }
  [[gnu::always_inline]] static __m128i square(__m128i a) {
    Sum sum;
    sum.lo = _mm_clmulepi64_si128(a, a, 0x00);
    sum.hi = _mm_clmulepi64_si128(a, a, 0x11);
    return reduce(sum);
  }
  [[gnu::always_inline]] static __m128i mul_x(__m128i a) {
    // Bits 31 of words 1 and 3, as all-ones words at 2 and 0: the carries into bit 64 and out of bit 127.
    const __m128i sign = _mm_srai_epi32(_mm_shuffle_epi32(a, 0x13), 31);
    return add(_mm_slli_epi64(a, 1), _mm_and_si128(sign, _mm_set_epi32(0, 1, 0, 0x87)));
  }

  [[gnu::always_inline]] static void accumulate64(Sum64& sum, __m128i a, __m128i b) {
    sum.value = add(sum.value, add(_mm_clmulepi64_si128(a, b, 0x00), _mm_clmulepi64_si128(a, b, 0x11)));
  }
  [[gnu::always_inline]] static __m128i load_low(const std::uint8_t* from) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  }
  [[gnu::always_inline]] static __m128i mul64(__m128i a, __m128i b) {
    const __m128i first = _mm_clmulepi64_si128(a, b, 0x00), second = _mm_clmulepi64_si128(a, b, 0x10);
    const __m128i low = _mm_unpacklo_epi64(first, second), high = _mm_unpackhi_epi64(first, second);
    // high (x^4 + x^3 + x + 1), and once more what that has above x^63.
    const __m128i above =
        add(_mm_srli_epi64(high, 63), add(_mm_srli_epi64(high, 61), _mm_srli_epi64(high, 60)));
    const __m128i folded = add(high, above);
    const __m128i shifted =
        add(_mm_slli_epi64(folded, 1), add(_mm_slli_epi64(folded, 3), _mm_slli_epi64(folded, 4)));
    return add(add(low, folded), shifted);
  }
  [[gnu::always_inline]] static std::uint64_t reduce64(const Sum64& sum) {
    const __m128i r = _mm_set_epi64x(0, 0x1b);  // x^64 = x^4 + x^3 + x + 1
    const __m128i once = _mm_clmulepi64_si128(sum.value, r, 0x01);
    const __m128i twice = _mm_clmulepi64_si128(once, r, 0x01);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(add(add(sum.value, once), twice)));
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
