// SPDX-License-Identifier: Apache-2.0
// Element-wise products in vectors of four; what is left of n is the portable code's. Internal linkage. Sums, differences
// and small coefficients are the portable loops, which the compiler turns into such vectors.
#pragma once
#include "ntt/field_avx2.h"
#include "ntt/pointwise_portable.h"

namespace crypsis::ntt {
namespace {

// Two unknown factors below p < 2^50 in doubles. h = fl(a b) and l = a b - h exactly, l < 2^47; fl(1 / p) and h are off by
// 2^-53 of themselves, the quotient h / p < 2^50 so by less than 2^-2 beside its rounding to an integer: h - q p + l is
// in (-p, p), with c in (-p, 2p).
class ProductDouble {
 public:
  explicit ProductDouble(const PrimeTables& t)
      : p_(_mm256_set1_pd(static_cast<double>(t.p))),
        reciprocal_(_mm256_set1_pd(1.0 / static_cast<double>(t.p))) {}

  Four operator()(Four a, Four b) const {
    return to_words(make_positive(product(a, b, _mm256_setzero_pd()), p_));
  }
  Four operator()(Four a, Four b, Four c) const {
    const Doubles r = _mm256_sub_pd(product(a, b, to_doubles(c)), p_);
    return to_words(make_positive(make_positive(r, p_), p_));
  }

 private:
  Doubles product(Four a, Four b, Doubles c) const {
    const Doubles x = to_doubles(a), y = to_doubles(b);
    const Doubles h = _mm256_mul_pd(x, y), l = _mm256_fmsub_pd(x, y, h);
    return _mm256_add_pd(_mm256_fnmadd_pd(nearest_product(h, reciprocal_), p_, h), _mm256_add_pd(l, c));
  }

  Doubles p_, reciprocal_;
};

// The same below 2^60: pointwise_avx512.h's Product64.
class ProductWord {
 public:
  explicit ProductWord(const PrimeTables& t)
      : p_(all4(t.p)),
        barrett_(all4(t.barrett)),
        two_p_(all4(2 * t.p)),
        four_p_(all4(4 * t.p)),
        shift_(all4(static_cast<std::uint64_t>(62 - t.bits))) {}

  Four operator()(Four a, Four b) const { return reduce(remainder(a, b)); }
  Four operator()(Four a, Four b, Four c) const { return reduce(_mm256_add_epi64(remainder(a, b), c)); }

 private:
  Four remainder(Four a, Four b) const {
    const Halves top(high_product(Halves(_mm256_sllv_epi64(a, shift_)), Halves(_mm256_slli_epi64(b, 4))));
    return difference_of_products(Halves(a), Halves(b), Halves(high_product(top, barrett_)), p_);
  }
  Four reduce(Four x) const { return reduce_once(reduce_once(reduce_once(x, four_p_), two_p_), p_.low); }

  Halves p_, barrett_;
  Four two_p_, four_p_, shift_;
};

inline std::size_t whole4(std::size_t n) {
  return n / kFour * kFour;
}

template <class Product>
void multiply_four(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                   std::uint64_t* out) {
  const Product product(t);
  const std::size_t end = whole4(n);
  for (std::size_t i = 0; i < end; i += kFour) store4(out + i, product(load4(a + i), load4(b + i)));
  multiply_portable(t, a + end, b + end, n - end, out + end);
}

template <class Product>
void multiply_add_four(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                       const std::uint64_t* c, std::size_t n, std::uint64_t* out) {
  const Product product(t);
  const std::size_t end = whole4(n);
  for (std::size_t i = 0; i < end; i += kFour) {
    store4(out + i, product(load4(a + i), load4(b + i), load4(c + i)));
  }
  multiply_add_portable(t, a + end, b + end, c + end, n - end, out + end);
}

inline void scale_four(const PrimeTables& t, const std::uint64_t* a, std::uint64_t constant,
                       std::uint64_t quotient, std::size_t n, std::uint64_t* out) {
  const FactorHalves factor{Halves(all4(constant)), Halves(all4(quotient))};
  const Halves p(all4(t.p));
  const Four two_p = all4(2 * t.p);
  const std::size_t end = whole4(n);
  for (std::size_t i = 0; i < end; i += kFour) {
    store4(out + i, reduce_once(reduce_once(multiply_lazy4(load4(a + i), factor, p), two_p), p.low));
  }
  scale_portable(t, a + end, constant, quotient, n - end, out + end);
}

// |x| mod p, then p less that where x < 0.
inline void from_int64_four(const PrimeTables& t, const std::int64_t* in, std::size_t n, std::uint64_t* out) {
  const FactorHalves one{Halves(all4(1)), Halves(all4(t.one_quotient))};
  const Halves p(all4(t.p));
  const Four two_p = all4(2 * t.p);
  const std::size_t end = whole4(n);
  for (std::size_t i = 0; i < end; i += kFour) {
    const Four x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
    const Four negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), x);
    const Four size = _mm256_sub_epi64(_mm256_xor_si256(x, negative), negative);
    const Four r = reduce_once(reduce_once(multiply_lazy4(size, one, p), two_p), p.low);
    store4(out + i, reduce_once(_mm256_blendv_epi8(r, _mm256_sub_epi64(p.low, r), negative), p.low));
  }
  from_signed_portable(t, in + end, n - end, out + end);
}

// out[j] = a[table[j]]: four results come from one vector (pointwise_avx512.h); table entries times 2 and that plus 1
// are places of its 32-bit halves.
inline void permute_four(const std::uint32_t* table, const std::uint64_t* a, std::size_t n,
                         std::uint64_t* out) {
  const Four one = all4(std::uint64_t{1} << 32);
  const std::size_t end = whole4(n);
  for (std::size_t j = 0; j < end; j += kFour) {
    const Four places = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + j)));
    const Four both = _mm256_castps_si256(_mm256_moveldup_ps(_mm256_castsi256_ps(places)));
    const Four halves = _mm256_add_epi64(_mm256_slli_epi32(both, 1), one);
    store4(out + j, _mm256_permutevar8x32_epi32(load4(a + table[j] / kFour * kFour), halves));
  }
  permute_portable(table + end, a, n - end, out + end);
}

}  // namespace
}  // namespace crypsis::ntt
