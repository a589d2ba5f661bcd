// SPDX-License-Identifier: Apache-2.0
// GF(2^128) and GF(2^64) with VPCLMULQDQ, four 16-byte elements a register. Names and fields:
// gf128_portable.h. Compile with -mavx512f -mavx512bw -mavx512vl -mvpclmulqdq -mpclmul; the backend needs
// kAvx512f | kAvx512bw | kAvx512vl | kVpclmul | kPclmul. Constant-time.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "bitmatrix/gf128_pclmul.h"

namespace crypsis::bitmatrix {
namespace {

struct Gf128Vpclmul {
  static constexpr std::size_t kLanes = 4;
  using Vector = __m512i;
  struct Sum {
    __m512i lo = _mm512_setzero_si512(), middle = _mm512_setzero_si512(), hi = _mm512_setzero_si512();
  };
  struct Sum64 {
    __m512i value = _mm512_setzero_si512();
  };

  [[gnu::always_inline]] static __m512i load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
  [[gnu::always_inline]] static void store(std::uint8_t* to, __m512i a) { _mm512_storeu_si512(to, a); }
  [[gnu::always_inline]] static __m512i broadcast(const std::uint8_t* from) {
    return _mm512_broadcast_i32x4(Gf128Pclmul::load(from));
  }
  [[gnu::always_inline]] static __m512i zero() { return _mm512_setzero_si512(); }
  [[gnu::always_inline]] static __m512i add(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }

  [[gnu::always_inline]] static void accumulate(Sum& sum, __m512i a, __m512i b) {
    sum.lo = add(sum.lo, _mm512_clmulepi64_epi128(a, b, 0x00));
    sum.hi = add(sum.hi, _mm512_clmulepi64_epi128(a, b, 0x11));
    sum.middle = add3(sum.middle, _mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10));
  }
  // As in gf128_pclmul.h.
  [[gnu::always_inline]] static __m512i reduce(const Sum& sum) {
    const __m512i r = _mm512_set1_epi64(0x87);
    const __m512i middle = add(sum.middle, _mm512_clmulepi64_epi128(sum.hi, r, 0x01));
    const __m512i lo = add(sum.lo, _mm512_clmulepi64_epi128(sum.hi, r, 0x00));
    return add3(lo, _mm512_clmulepi64_epi128(middle, r, 0x01),
                _mm512_unpacklo_epi64(_mm512_setzero_si512(), middle));
  }
  [[gnu::always_inline]] static void reduce_lanes(const Sum& sum, std::uint8_t* out) {
    const Gf128Pclmul::Sum one{add_lanes(sum.lo), add_lanes(sum.middle), add_lanes(sum.hi)};
    Gf128Pclmul::store(out, Gf128Pclmul::reduce(one));
  }

  [[gnu::always_inline]] static __m512i mul(__m512i a, __m512i b) {
    Sum sum;
    sum.lo = _mm512_clmulepi64_epi128(a, b, 0x00);
    sum.hi = _mm512_clmulepi64_epi128(a, b, 0x11);
    sum.middle = add(_mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10));
    return reduce(sum);
  }
  [[gnu::always_inline]] static __m512i square(__m512i a) {
    Sum sum;
    sum.lo = _mm512_clmulepi64_epi128(a, a, 0x00);
    sum.hi = _mm512_clmulepi64_epi128(a, a, 0x11);
    return reduce(sum);
  }
  [[gnu::always_inline]] static __m512i mul_x(__m512i a) {
    const __m512i sign = _mm512_srai_epi32(_mm512_shuffle_epi32(a, _MM_PERM_ABAD), 31);
    const __m512i carries = _mm512_broadcast_i32x4(_mm_set_epi32(0, 1, 0, 0x87));
    return add(_mm512_slli_epi64(a, 1), _mm512_and_si512(sign, carries));
  }

  [[gnu::always_inline]] static void accumulate64(Sum64& sum, __m512i a, __m512i b) {
    sum.value = add3(sum.value, _mm512_clmulepi64_epi128(a, b, 0x00), _mm512_clmulepi64_epi128(a, b, 0x11));
  }
  [[gnu::always_inline]] static __m512i load_low(const std::uint8_t* from) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), _mm512_castsi256_si512(four));
  }
  [[gnu::always_inline]] static __m512i mul64(__m512i a, __m512i b) {  // as in gf128_pclmul.h
    const __m512i first = _mm512_clmulepi64_epi128(a, b, 0x00), second = _mm512_clmulepi64_epi128(a, b, 0x10);
    const __m512i low = _mm512_unpacklo_epi64(first, second), high = _mm512_unpackhi_epi64(first, second);
    const __m512i above =
        add3(_mm512_srli_epi64(high, 63), _mm512_srli_epi64(high, 61), _mm512_srli_epi64(high, 60));
    const __m512i folded = add(high, above);
    const __m512i shifted =
        add3(_mm512_slli_epi64(folded, 1), _mm512_slli_epi64(folded, 3), _mm512_slli_epi64(folded, 4));
    return add3(low, folded, shifted);
  }
  [[gnu::always_inline]] static std::uint64_t reduce64(const Sum64& sum) {
    return Gf128Pclmul::reduce64(Gf128Pclmul::Sum64{add_lanes(sum.value)});
  }

 private:
  [[gnu::always_inline]] static __m512i add3(__m512i a, __m512i b, __m512i c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
  }
  [[gnu::always_inline]] static __m128i add_lanes(__m512i a) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
