// SPDX-License-Identifier: Apache-2.0
// Inner products of digits with both halves of a key, modulo p < 2^50, on four lanes of doubles. Internal linkage.
//
// A product a b < 2^100 is split at 2^51 without reduction: 2^103 + a b, rounded once, has the number of 2^51s next to
// a b / 2^51 in its mantissa, and a b less these is exact and 2^50 at most. The numbers are added as words, the rests as
// doubles: kTerms leave both room, below 2^52 and 2^53.
#pragma once
#include "rns/kernels_avx2.h"

namespace crypsis::rns {
namespace {

struct SumOfProducts {
  static constexpr std::size_t kTerms = 8;
  static constexpr double kSplit = 0x1p103, kUnit = 0x1p51;
  Quads high = _mm256_setzero_si256();
  Doubles low = _mm256_setzero_pd();

  void add(Doubles a, Doubles b) {
    const Doubles split = _mm256_fmadd_pd(a, b, all(kSplit));
    high = _mm256_add_epi64(high, _mm256_castpd_si256(split));
    low = _mm256_add_pd(low, _mm256_fmadd_pd(a, b, _mm256_sub_pd(all(kSplit), split)));
  }
  // |.| < 5 p / 2: of the high part 3 p / 2, of the low one, whose quotient is found to within 2^53 / p 2^-52, 5 p / 8.
  Doubles reduce(std::size_t count, const FactorDouble& unit, const Prime& modulus) const {
    const Quads units = _mm256_sub_epi64(high, all(count * std::bit_cast<std::uint64_t>(kSplit)));
    return _mm256_add_pd(multiply(to_doubles(units), unit, modulus.p), modulus.reduce(low));
  }
};

template <bool kPermutes>
inline Quads load_digit(const std::uint64_t* digit, const std::uint32_t* table, std::size_t at) {
  if (!kPermutes) return load(digit + at);
  const auto lane = [&](std::size_t i) { return static_cast<long long>(digit[table[at + i]]); };
  return _mm256_set_epi64x(lane(3), lane(2), lane(1), lane(0));
}

inline constexpr std::size_t kAhead = 128;  // words, of which one prefetch fetches eight
inline constexpr std::size_t kLine = 8;

template <bool kPermutes>
void inner_product_quads(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                         const std::uint32_t* table, std::size_t end, std::uint64_t* out0,
                         std::uint64_t* out1) {
  const Prime modulus(tables.p);
  const FactorDouble unit = factor_double((std::uint64_t{1} << 51) % tables.p, tables.p);
  for (std::size_t at = 0; at < end; at += kLine) {
    for (std::size_t first = 0; first < count; first += SumOfProducts::kTerms) {
      const std::size_t last = std::min(count, first + SumOfProducts::kTerms);
      SumOfProducts sums[2][2];
      for (std::size_t j = first; j < last; ++j) {
        // A key is far larger than the second cache, and its rows are more streams than the hardware follows.
        _mm_prefetch(terms[j].key0 + at + kAhead, _MM_HINT_T0);
        _mm_prefetch(terms[j].key1 + at + kAhead, _MM_HINT_T0);
        for (std::size_t half = 0; half < 2; ++half) {
          const std::size_t from = at + half * kQuad;
          const Doubles digit = to_doubles(load_digit<kPermutes>(terms[j].digit, table, from));
          sums[half][0].add(digit, to_doubles(load(terms[j].key0 + from)));
          sums[half][1].add(digit, to_doubles(load(terms[j].key1 + from)));
        }
      }
      for (std::size_t half = 0; half < 2; ++half) {
        std::uint64_t* const to[2] = {out0 + at + half * kQuad, out1 + at + half * kQuad};
        for (std::size_t k = 0; k < 2; ++k) {
          Doubles sum = sums[half][k].reduce(last - first, unit, modulus);
          if (first > 0) sum = _mm256_add_pd(sum, to_doubles(load(to[k])));
          store(to[k], modulus.residue(sum));
        }
      }
    }
  }
}

void inner_product(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                   const std::uint32_t* table, std::size_t n, std::uint64_t* out0, std::uint64_t* out1) {
  if (!doubles_serve(tables.p)) return inner_product_run(tables, terms, count, table, 0, n, out0, out1);
  const std::size_t end = n / kLine * kLine;
  (table == nullptr ? inner_product_quads<false> : inner_product_quads<true>)(tables, terms, count, table,
                                                                              end, out0, out1);
  inner_product_run(tables, terms, count, table, end, n, out0, out1);
}

}  // namespace
}  // namespace crypsis::rns
