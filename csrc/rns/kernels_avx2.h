// SPDX-License-Identifier: Apache-2.0
// The kernels modulo primes below 2^50 on four lanes of doubles, which hold integers exactly: AVX2 and FMA, without
// contraction of products and sums. Internal linkage. Other primes, and the last coefficients of a run: kernels_portable.h.
//
// A product y w mod p [ntt/transform_avx2.h]: h = fl(y w) and y w - h are exact together; q, the integer next to
// y fl(w / p), is y w / p or 1/2 + 2^-52 |y| away at most. So |y w - q p| <= p for |y| <= 2^51, and <= 3 p / 2 for
// |y| <= 2^52, and all steps are integers below 2^53.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <bit>

#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

using Doubles = __m256d;
using Quads = __m256i;
inline constexpr std::size_t kQuad = 4;
inline constexpr double kTwo52 = 0x1p52, kMiddle = 0x1.8p52;

inline bool doubles_serve(std::uint64_t p) {
  return p < ntt::kMaxPrime52;
}
inline std::size_t whole_quads(std::size_t n) {
  return n / kQuad * kQuad;
}

inline Quads load(const std::uint64_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Quads*>(from));
}
inline void store(std::uint64_t* to, Quads x) {
  _mm256_storeu_si256(reinterpret_cast<Quads*>(to), x);
}
inline Quads all(std::uint64_t x) {
  return _mm256_set1_epi64x(static_cast<long long>(x));
}
inline Doubles all(double x) {
  return _mm256_set1_pd(x);
}

// Words below 2^52: the mantissa of 2^52 + x is x.
inline Doubles to_doubles(Quads words) {
  return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(words, all(std::bit_cast<std::uint64_t>(kTwo52)))),
                       all(kTwo52));
}
// Signed words below 2^51 in size, and back.
inline Doubles from_signed(Quads words) {
  return _mm256_sub_pd(
      _mm256_castsi256_pd(_mm256_add_epi64(words, all(std::bit_cast<std::uint64_t>(kMiddle)))), all(kMiddle));
}
inline Quads to_signed(Doubles x) {
  return _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(x, all(kMiddle))),
                          all(std::bit_cast<std::uint64_t>(kMiddle)));
}

inline Doubles nearest(Doubles x) {
  return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

struct Prime {
  Doubles p, reciprocal;
  explicit Prime(std::uint64_t prime)
      : p(all(static_cast<double>(prime))), reciprocal(all(1.0 / static_cast<double>(prime))) {}

  // |x| <= 2^53 -> |.| <= (p + 1) / 2; the centred residue where |x| <= p: x / p, which is 1 / (2 p) away from 1/2 at
  // least as p is odd, is found to within 2^-53.
  Doubles reduce(Doubles x) const { return _mm256_fnmadd_pd(nearest(_mm256_mul_pd(x, reciprocal)), p, x); }
  // |x| <= 2^53 -> words in [0, p).
  Quads residue(Doubles x) const {
    const Doubles r = reduce(x);
    const Doubles negative = _mm256_cmp_pd(r, _mm256_setzero_pd(), _CMP_LT_OQ);
    return to_signed(_mm256_add_pd(r, _mm256_and_pd(negative, p)));
  }
};

struct FactorDouble {
  double w, quotient;  // w / p
};
inline FactorDouble factor_double(std::uint64_t w, std::uint64_t p) {
  return {static_cast<double>(w), static_cast<double>(w) / static_cast<double>(p)};
}
inline Doubles multiply(Doubles y, const FactorDouble& f, Doubles p) {
  const Doubles w = all(f.w), h = _mm256_mul_pd(y, w), l = _mm256_fmsub_pd(y, w, h);
  return _mm256_add_pd(_mm256_fnmadd_pd(nearest(_mm256_mul_pd(y, all(f.quotient))), p, h), l);
}

// What a digit contributes: one product, or for one that may be 2^50 or more, below 2^59, two: of its low 32 bits and
// of the rest.
struct DigitFactor {
  FactorDouble low, high;
  bool is_narrow;

  DigitFactor() = default;
  DigitFactor(std::uint64_t w, std::uint64_t p, bool narrow)
      : low(factor_double(w, p)),
        high(factor_double(static_cast<std::uint64_t>((ntt::Wide{w} << 32) % p), p)),
        is_narrow(narrow) {}
  // |.| <= p, or 2 p.
  Doubles operator()(Quads digit, Doubles p) const {
    if (is_narrow) return multiply(from_signed(digit), low, p);
    const Doubles bottom = to_doubles(_mm256_and_si256(digit, all((std::uint64_t{1} << 32) - 1)));
    const Doubles top = to_doubles(_mm256_srli_epi64(_mm256_add_epi64(digit, all(kDigitBound)), 32));
    const Doubles bias = all(static_cast<double>(kDigitBound >> 32));
    return _mm256_add_pd(multiply(bottom, low, p), multiply(_mm256_sub_pd(top, bias), high, p));
  }
};

inline void centre_row(std::uint64_t t, std::uint64_t* row, std::size_t end) {
  const Quads modulus = all(t), half = all(t >> 1);
  for (std::size_t at = 0; at < end; at += kQuad) {
    const Quads x = load(row + at);
    store(row + at, _mm256_sub_epi64(x, _mm256_and_si256(modulus, _mm256_cmpgt_epi64(x, half))));
  }
}

void mixed_radix(const Radix& radix, std::uint64_t* const* rows, std::size_t n) {
  const std::size_t end = whole_quads(n);
  for (std::size_t i = 0; i < radix.count; ++i) {
    const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
    std::size_t done = end;
    if (i == 0) {
      centre_row(t, rows[0], end);
    } else if (doubles_serve(t)) {
      const Prime modulus(t);
      DigitFactor inverses[kMaxModuli];
      for (std::size_t j = 0; j < i; ++j) {
        const bool is_narrow = radix.chain.prime(radix.numbers[j]) < kNarrowModulus;
        inverses[j] = {radix.chain.inverse(radix.numbers[j], radix.numbers[i]).value, t, is_narrow};
      }
      for (std::size_t at = 0; at < end; at += kQuad) {
        Doubles x = to_doubles(load(rows[i] + at));
        for (std::size_t j = 0; j < i; ++j) {
          const Quads digit = load(rows[j] + at);
          if (inverses[j].is_narrow) {  // |x| <= 2^50, as is the digit
            x = multiply(_mm256_sub_pd(x, from_signed(digit)), inverses[j].low, modulus.p);
          } else {
            x = _mm256_sub_pd(multiply(x, inverses[j].low, modulus.p), inverses[j](digit, modulus.p));
            x = modulus.reduce(x);
          }
        }
        store(rows[i] + at, to_signed(modulus.reduce(x)));
      }
    } else {
      done = 0;
    }
    mixed_radix_row(radix, i, rows, done, n);
  }
}

void convert(const ntt::PrimeTables& target, const Conversion& conversion, const std::uint64_t* const* digits,
             std::size_t n, std::uint64_t* out) {
  if (conversion.is_small || !doubles_serve(target.p)) {
    return convert_run(target, conversion, digits, 0, n, out);
  }
  constexpr std::size_t kTerms = 3;  // 3 of 2 p and a reduced sum: below 2^53
  const std::size_t end = whole_quads(n);
  const Prime modulus(target.p);
  DigitFactor factors[kMaxModuli];
  for (std::size_t i = 0; i < conversion.count; ++i) {
    factors[i] = {conversion.factors[i].value, target.p, conversion.is_narrow[i]};
  }
  for (std::size_t at = 0; at < end; at += kQuad) {
    Doubles sum = factors[0](load(digits[0] + at), modulus.p);
    for (std::size_t i = 1; i < conversion.count; ++i) {
      if (i % kTerms == 0) sum = modulus.reduce(sum);
      sum = _mm256_add_pd(sum, factors[i](load(digits[i] + at), modulus.p));
    }
    store(out + at, modulus.residue(sum));
  }
  convert_run(target, conversion, digits, end, n, out);
}

void combine(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
             const std::uint64_t* add, Constant b, std::size_t n, std::uint64_t* out) {
  if (!doubles_serve(tables.p)) return combine_run(tables, x, a, y, add, b, 0, n, out);
  const std::size_t end = whole_quads(n);
  const Prime modulus(tables.p);
  const FactorDouble by_a = factor_double(a.value, tables.p), by_b = factor_double(b.value, tables.p);
  for (std::size_t at = 0; at < end; at += kQuad) {
    Doubles sum = multiply(to_doubles(load(x + at)), by_a, modulus.p);
    if (y != nullptr) sum = _mm256_add_pd(sum, to_doubles(load(y + at)));
    if (add != nullptr) {
      const Doubles summand = to_doubles(load(add + at));
      sum = _mm256_add_pd(sum, b.value == 1 ? summand : multiply(summand, by_b, modulus.p));
    }
    store(out + at, modulus.residue(sum));
  }
  combine_run(tables, x, a, y, add, b, end, n, out);
}

}  // namespace
}  // namespace crypsis::rns
