// SPDX-License-Identifier: Apache-2.0
// Element-wise work in vectors of eight: N is a multiple of 4, the last half vector is the portable code's. Internal
// linkage.
#pragma once
#include "ntt/modular_avx512.h"
#include "ntt/pointwise_portable.h"

namespace crypsis::ntt {
namespace {

inline std::size_t whole(std::size_t n) {
  return n / kLanes * kLanes;
}

inline void add_avx512(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                       std::uint64_t* out) {
  const Lanes p = all(t.p);
  const std::size_t end = whole(n);
  for (std::size_t i = 0; i < end; i += kLanes) {
    store(out + i, reduce_once(_mm512_add_epi64(load(a + i), load(b + i)), p));
  }
  add_portable(t, a + end, b + end, n - end, out + end);
}

// a - b, or p more where that wraps round.
inline void subtract_avx512(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                            std::size_t n, std::uint64_t* out) {
  const Lanes p = all(t.p);
  const std::size_t end = whole(n);
  for (std::size_t i = 0; i < end; i += kLanes) {
    const Lanes difference = _mm512_sub_epi64(load(a + i), load(b + i));
    store(out + i, _mm512_min_epu64(difference, _mm512_add_epi64(difference, p)));
  }
  subtract_portable(t, a + end, b + end, n - end, out + end);
}

inline void negate_avx512(const PrimeTables& t, const std::uint64_t* a, std::size_t n, std::uint64_t* out) {
  const Lanes p = all(t.p);
  const std::size_t end = whole(n);
  for (std::size_t i = 0; i < end; i += kLanes) {
    store(out + i, reduce_once(_mm512_sub_epi64(p, load(a + i)), p));
  }
  negate_portable(t, a + end, n - end, out + end);
}

// Two unknown factors below p < 2^60, k = bits of p. a 2^(62 - k) and b 2^4 fit 64 bits; of their product the upper
// half, short by at most 2 as quotient64 is, is ab / 2^(k - 2) less at most 3, each worth half a p at most. Its
// quotient by barrett = floor(2^(k + 62) / p) is short by less than 3 + 1/4: ab - quotient p < 5 p < 2^63.
class Product64 {
 public:
  explicit Product64(const PrimeTables& t)
      : p_(all(t.p)),
        two_p_(all(2 * t.p)),
        four_p_(all(4 * t.p)),
        shift_(all(static_cast<std::uint64_t>(62 - t.bits))),
        barrett_(make_factor64(_mm512_setzero_si512(), all(t.barrett))) {}

  Lanes operator()(Lanes a, Lanes b, Lanes c) const {
    const Factor64 factor = make_factor64(b, _mm512_slli_epi64(b, 4));
    const Lanes top = quotient64(_mm512_sllv_epi64(a, shift_), factor);
    const Lanes low = _mm512_add_epi64(multiply_low(a, b), c);
    const Lanes r = _mm512_sub_epi64(low, multiply_low(quotient64(top, barrett_), p_));
    return reduce_once(reduce_once(reduce_once(r, four_p_), two_p_), p_);
  }

 private:
  Lanes p_, two_p_, four_p_, shift_;
  Factor64 barrett_;
};

#if defined(__AVX512IFMA__)

// The same for p < 2^50: a 2^(52 - k) and b 2^2 fit 52 bits, the upper half of their product is floor(ab / 2^(k - 2)),
// which is below 2^(k + 2) <= 2^52. With the reciprocal floor(2^(k + 50) / p) <= 2^51 the quotient is short by less than
// 1/2 (bits shifted out) + 1 (the reciprocal's floor) + 1: r < 2.5 p, with c < 3.5 p < 2^52.
class Product52 {
 public:
  explicit Product52(const PrimeTables& t)
      : p_(all(t.p)),
        two_p_(all(2 * t.p)),
        minus_p_(all(0 - t.p)),
        shift_(all(static_cast<std::uint64_t>(52 - t.bits))),
        reciprocal_(all(static_cast<std::uint64_t>((Wide{1} << (t.bits + 50)) / t.p))) {}

  Lanes operator()(Lanes a, Lanes b, Lanes c) const {
    const Lanes zero = _mm512_setzero_si512();
    const Lanes top = _mm512_madd52hi_epu64(zero, _mm512_sllv_epi64(a, shift_), _mm512_slli_epi64(b, 2));
    const Lanes quotient = _mm512_madd52hi_epu64(zero, top, reciprocal_);
    const Lanes r = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(c, a, b), quotient, minus_p_);
    return reduce_once(reduce_once(low52(r), two_p_), p_);
  }

 private:
  Lanes p_, two_p_, minus_p_, shift_, reciprocal_;
};

#endif

// a b + c; c may be nullptr: 0.
template <class Product>
void multiply_add_lanes(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                        const std::uint64_t* c, std::size_t n, std::uint64_t* out) {
  const Product product(t);
  const std::size_t end = whole(n);
  if (c == nullptr) {
    for (std::size_t i = 0; i < end; i += kLanes) {
      store(out + i, product(load(a + i), load(b + i), _mm512_setzero_si512()));
    }
    return multiply_portable(t, a + end, b + end, n - end, out + end);
  }
  for (std::size_t i = 0; i < end; i += kLanes)
    store(out + i, product(load(a + i), load(b + i), load(c + i)));
  multiply_add_portable(t, a + end, b + end, c + end, n - end, out + end);
}

// out[j] = a[table[j]]. A vector of results comes from a single one of a: j's low bits are the highest of the exponent
// (ntt.h), and those of the product with galois move round together, so that eight j that differ in them alone come from
// eight places that do.
inline void permute_avx512(const std::uint32_t* table, const std::uint64_t* a, std::size_t n,
                           std::uint64_t* out) {
  const std::size_t end = whole(n);
  for (std::size_t j = 0; j < end; j += kLanes) {
    const Lanes order =
        _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + j)));
    store(out + j, reorder(order, load(a + table[j] / kLanes * kLanes)));
  }
  permute_portable(table + end, a, n - end, out + end);
}

inline Lanes load_signed(const std::int8_t* from) {
  return _mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
inline Lanes load_signed(const std::int16_t* from) {
  return _mm512_cvtepi16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline Lanes load_signed(const std::int32_t* from) {
  return _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline Lanes load_signed(const std::int64_t* from) {
  return _mm512_loadu_si512(from);
}

template <class Signed>
void from_signed_avx512(const PrimeTables& t, const Signed* in, std::size_t n, std::uint64_t* out) {
  const Lanes p = all(t.p), two_p = all(2 * t.p);
  const std::size_t end = whole(n);
  if (sizeof(Signed) < 8 && t.p >> (8 * sizeof(Signed) - 1) != 0) {  // |x| < p: below 0, x + p wraps round
    for (std::size_t i = 0; i < end; i += kLanes) {
      const Lanes x = load_signed(in + i);
      store(out + i, _mm512_min_epu64(x, _mm512_add_epi64(x, p)));
    }
    return from_signed_portable(t, in + end, n - end, out + end);
  }
  const Factor64 one = make_factor64(all(1), all(t.one_quotient));
  for (std::size_t i = 0; i < end; i += kLanes) {
    const Lanes x = load_signed(in + i);
    const Lanes r = multiply64(_mm512_abs_epi64(x), one, p, two_p);
    const Lanes signed_r = _mm512_mask_sub_epi64(r, _mm512_movepi64_mask(x), p, r);
    store(out + i, reduce_once(signed_r, p));
  }
  from_signed_portable(t, in + end, n - end, out + end);
}

}  // namespace
}  // namespace crypsis::ntt
