// SPDX-License-Identifier: Apache-2.0
// What transform_avx2.h needs of arithmetic mod p: in doubles for p < 2^50, in 64-bit words for p < 2^60. A lane of
// `Four` is a double in the first, from enter() to finish(). Internal linkage.
#pragma once
#include <bit>

#include "ntt/modular_avx2.h"
#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

using Doubles = __m256d;

inline Doubles doubles(Four x) {
  return _mm256_castsi256_pd(x);
}
inline Four lanes(Doubles x) {
  return _mm256_castpd_si256(x);
}

// Words below 2^52 to doubles and back: the mantissa of 2^52 + x is x.
inline Doubles to_doubles(Four words) {
  const Doubles magic = _mm256_set1_pd(0x1p52);
  return _mm256_sub_pd(_mm256_or_pd(doubles(words), magic), magic);
}
inline Four to_words(Doubles x) {
  const Doubles magic = _mm256_set1_pd(0x1p52);
  return lanes(_mm256_xor_pd(_mm256_add_pd(x, magic), magic));
}

// The integer next to a b, which is not rounded before, |a b| < 2^51: between 2^52 and 2^53 doubles are the integers.
inline Doubles nearest_product(Doubles a, Doubles b) {
  const Doubles magic = _mm256_set1_pd(0x1.8p52);
  return _mm256_sub_pd(_mm256_fmadd_pd(a, b, magic), magic);
}

// [-p, p) -> [0, p). Not by the sign bit, which -0 has too.
inline Doubles make_positive(Doubles x, Doubles p) {
  return _mm256_add_pd(x, _mm256_and_pd(_mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ), p));
}

// A double holds an integer. Of a product y w, h = fl(y w) and l = y w - h are exact together (FMA). q, the integer next
// to y fl(w / p), is y w / p but for 1/2 and |y| 2^-54 (w / p is below 1, its rounding error at most 2^-54); so r =
// h - q p + l, an integer below 2^53 and exact, is at most e p, e = 1/2 + |y| 2^-54, either way. |y| < 2^51: e < 5/8.
//   kReduce false: values start in [0, p) and grow by 5/8 p a stage, by p in one that has no product: (11/8 + 5/8 log_n)
//   p < 2^51.
//   kReduce true, p < 2^50: e <= 1/2 + |y / p| / 16. At the first of two stages x comes back to [-p/2, p/2]; y is below
//   B p there, so that values are below (1 + B / 16) p after it and below (1 + B / 16) (1 + 1 / 16) p + p / 2 after the
//   second: all B there are is 1.68, and 1.68 p < 2^51.
template <bool kReduce>
class FieldDouble {
 public:
  struct Factor {
    Doubles w, quotient;  // w / p
  };
  static bool serves(const PrimeTables& t) {
    if (kReduce) return t.p < std::uint64_t{1} << 50;
    return t.p < (std::uint64_t{1} << 54) / static_cast<std::uint64_t>(5 * t.log_n + 11);
  }

  explicit FieldDouble(const PrimeTables& t)
      : p_(_mm256_set1_pd(static_cast<double>(t.p))),
        reciprocal_(_mm256_set1_pd(1.0 / static_cast<double>(t.p))) {}

  static Twiddles quotients(const PrimeTables& t) { return t.quotients_double(); }
  static Factor factor(Four w, Four quotient) { return {to_doubles(w), doubles(quotient)}; }

  static Four enter(Four word) { return lanes(to_doubles(word)); }
  Four first(Four x) const { return block(x); }
  Four block(Four x) const { return kReduce ? lanes(reduce(doubles(x))) : x; }
  static Four stage(Four x) { return x; }

  void butterfly(Four& x, Four& y, const Factor& f) const { add_and_subtract(x, y, product(doubles(y), f)); }
  static void butterfly(Four& x, Four& y) { add_and_subtract(x, y, doubles(y)); }

  Four finish(Four x) const { return to_words(make_positive(reduce(doubles(x)), p_)); }
  Four finish(Four x, const Factor& f) const { return to_words(make_positive(product(doubles(x), f), p_)); }

 private:
  Doubles product(Doubles y, const Factor& f) const {
    const Doubles h = _mm256_mul_pd(y, f.w), l = _mm256_fmsub_pd(y, f.w, h);
    return _mm256_add_pd(_mm256_fnmadd_pd(nearest_product(y, f.quotient), p_, h), l);
  }
  Doubles reduce(Doubles x) const { return _mm256_fnmadd_pd(nearest_product(x, reciprocal_), p_, x); }
  static void add_and_subtract(Four& x, Four& y, Doubles r) {
    const Doubles u = doubles(x);
    y = lanes(_mm256_sub_pd(u, r));
    x = lanes(_mm256_add_pd(u, r));
  }

  Doubles p_, reciprocal_;
};

// Words; products are in [0, 4p).
//   kReduce false: x of the first stage starts log_n 4p up, every stage moves values by less than 4p up or down: they
//   stay in [0, (8 log_n + 1) p) < 2^64.
//   kReduce true: x comes back from [0, 8p) to [0, 4p) at every stage, and differences are 4p up; 8p < 2^63.
template <bool kReduce>
class FieldWord {
 public:
  using Factor = FactorHalves;
  static bool serves(const PrimeTables& t) {
    return kReduce || t.p < ~std::uint64_t{0} / static_cast<std::uint64_t>(8 * t.log_n + 1);
  }

  explicit FieldWord(const PrimeTables& t)
      : p_(all4(t.p)),
        two_p_(all4(2 * t.p)),
        four_p_(all4(4 * t.p)),
        start_(all4(kReduce ? 0 : 4 * t.p * static_cast<std::uint64_t>(t.log_n))),
        divide_(t) {}

  static Twiddles quotients(const PrimeTables& t) { return t.quotients64(); }
  static Factor factor(Four w, Four quotient) { return {Halves(w), Halves(quotient)}; }

  static Four enter(Four word) { return word; }
  Four first(Four x) const { return kReduce ? x : _mm256_add_epi64(x, start_); }
  Four block(Four x) const { return kReduce ? reduce_once(x, four_p_) : x; }
  Four stage(Four x) const { return block(x); }

  void butterfly(Four& x, Four& y, const Factor& f) const {
    add_and_subtract(x, y, multiply_lazy4(y, f, p_));
  }
  void butterfly(Four& x, Four& y) const { add_and_subtract(x, y, y); }

  Four finish(Four x) const { return reduce_once(divide_.remainder(x, p_), p_.low); }
  Four finish(Four x, const Factor& f) const {
    return reduce_once(reduce_once(multiply_lazy4(x, f, p_), two_p_), p_.low);
  }

 private:
  void add_and_subtract(Four& x, Four& y, Four r) const {
    y = _mm256_sub_epi64(kReduce ? _mm256_add_epi64(x, four_p_) : x, r);
    x = _mm256_add_epi64(x, r);
  }

  Halves p_;
  Four two_p_, four_p_, start_;
  SmallQuotient4 divide_;
};

}  // namespace
}  // namespace crypsis::ntt
