// SPDX-License-Identifier: Apache-2.0
// Inner products of digits with both halves of a key on eight lanes: products are summed unreduced in pieces that leave
// room for carries, and reduced once. Internal linkage.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ntt/modular_avx512.h"
#include "ntt/modular_portable.h"
#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

using ntt::Lanes;

// Eight of a digit's residues at `at`. The automorphism permutes whole blocks of eight and within them: the indices of a
// block share all but their low three bits, as blocks are the points y with one y^(N/4), which X -> X^g maps to another.
inline Lanes load_digit(const std::uint64_t* digit, const std::uint32_t* table, std::size_t at) {
  if (table == nullptr) return ntt::load(digit + at);
  const __m256i indices = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + at));
  const std::size_t block = table[at] & ~std::uint32_t{7};
  return ntt::reorder(_mm512_cvtepu32_epi64(indices), ntt::load(digit + block));
}

// Words of 128 bits mod p < 2^60: hi 2^64 + lo.
struct Reduce128 {
  ntt::Factor64 high, low;
  Lanes p, twice, four;
  explicit Reduce128(const ntt::PrimeTables& t)
      : high(ntt::make_factor64(ntt::all(t.wide), ntt::all(t.wide_quotient))),
        low(ntt::make_factor64(ntt::all(1), ntt::all(t.one_quotient))),
        p(ntt::all(t.p)),
        twice(ntt::all(2 * t.p)),
        four(ntt::all(4 * t.p)) {}
  Lanes operator()(Lanes hi, Lanes lo) const {
    const Lanes from_high = ntt::multiply_lazy64(hi, high, p);  // < 4p
    const Lanes from_low = _mm512_sub_epi64(lo, ntt::multiply_low(ntt::quotient64(lo, low), p));
    const Lanes sum = _mm512_add_epi64(from_high, from_low);  // < 8p
    return ntt::reduce_once(ntt::reduce_once(ntt::reduce_once(sum, four), twice), p);
  }
};

// Sums of products a b of residues below 2^60 by halves of 30 bits: weights 1, 2^30, 2^60.
struct Sum30 {
  static constexpr std::size_t kTerms = 8;  // 8 (2^30 - 1)^2 2 + 2^34 < 2^64
  Lanes s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0;

  struct Halves {
    Lanes low, high;
  };
  static Halves split(Lanes x) {
    return {_mm512_and_si512(x, ntt::all((1 << 30) - 1)), _mm512_srli_epi64(x, 30)};
  }

  void add(const Halves& a, const Halves& b) {
    s0 = _mm512_add_epi64(s0, _mm512_mul_epu32(a.low, b.low));
    s1 = _mm512_add_epi64(s1, _mm512_mul_epu32(a.low, b.high));
    s1 = _mm512_add_epi64(s1, _mm512_mul_epu32(a.high, b.low));
    s2 = _mm512_add_epi64(s2, _mm512_mul_epu32(a.high, b.high));
  }
  Lanes reduce(const Reduce128& reduction) const {
    const Lanes mask = ntt::all((1 << 30) - 1);
    const Lanes middle = _mm512_add_epi64(s1, _mm512_srli_epi64(s0, 30));
    const Lanes top = _mm512_add_epi64(s2, _mm512_srli_epi64(middle, 30));
    const Lanes low60 =
        _mm512_or_si512(_mm512_and_si512(s0, mask), _mm512_slli_epi64(_mm512_and_si512(middle, mask), 30));
    return reduction(_mm512_srli_epi64(top, 4), _mm512_or_si512(low60, _mm512_slli_epi64(top, 60)));
  }
};

#if defined(__AVX512IFMA__)

// The same by 52 bits and the 8 above: weights 1, 2^52, 2^104. kMaxTerms of them leave 2^60 room.
struct Sum52 {
  static constexpr std::size_t kTerms = kMaxTerms;
  Lanes s0 = _mm512_setzero_si512(), s1 = s0, cross = s0, s2 = s0;

  struct Halves {
    Lanes low, high;  // of `low` the low 52 bits are read
  };
  static Halves split(Lanes x) { return {x, _mm512_srli_epi64(x, 52)}; }

  void add(const Halves& a, const Halves& b) {
    s0 = _mm512_madd52lo_epu64(s0, a.low, b.low);
    s1 = _mm512_madd52hi_epu64(s1, a.low, b.low);
    cross = _mm512_madd52lo_epu64(cross, a.low, b.high);
    s2 = _mm512_madd52hi_epu64(s2, a.low, b.high);
    s1 = _mm512_madd52lo_epu64(s1, a.high, b.low);
    s2 = _mm512_madd52hi_epu64(s2, a.high, b.low);
    s2 = _mm512_madd52lo_epu64(s2, a.high, b.high);
  }
  Lanes reduce(const Reduce128& reduction) const {
    const Lanes middle = _mm512_add_epi64(_mm512_add_epi64(s1, cross), _mm512_srli_epi64(s0, 52));
    const Lanes top = _mm512_add_epi64(s2, _mm512_srli_epi64(middle, 52));  // < 2^22 as the sum is < 2^126
    const Lanes middle52 = ntt::low52(middle);
    return reduction(_mm512_or_si512(_mm512_srli_epi64(middle52, 12), _mm512_slli_epi64(top, 40)),
                     _mm512_or_si512(ntt::low52(s0), _mm512_slli_epi64(middle52, 52)));
  }
};

// Of residues below p < 2^50: weights 1 and 2^52.
struct Reduce104 {
  ntt::Factor52 high;
  Lanes reciprocal, p, minus_p, twice;
  explicit Reduce104(const ntt::PrimeTables& t)
      : reciprocal(ntt::all((std::uint64_t{1} << 52) / t.p)),
        p(ntt::all(t.p)),
        minus_p(ntt::all(0 - t.p)),
        twice(ntt::all(2 * t.p)) {
    const std::uint64_t weight = (std::uint64_t{1} << 52) % t.p;
    high = {ntt::all(weight), ntt::all(static_cast<std::uint64_t>((ntt::Wide{weight} << 52) / t.p))};
  }
};

struct Sum50 {
  static constexpr std::size_t kTerms = 15;  // 15 2^48 + 2^4 < 2^52
  using Halves = Lanes;
  Lanes s0 = _mm512_setzero_si512(), s1 = s0;

  static Lanes split(Lanes x) { return x; }
  void add(Lanes a, Lanes b) {
    s0 = _mm512_madd52lo_epu64(s0, a, b);
    s1 = _mm512_madd52hi_epu64(s1, a, b);
  }
  Lanes reduce(const Reduce104& r) const {
    const Lanes high = _mm512_add_epi64(s1, _mm512_srli_epi64(s0, 52)), low = ntt::low52(s0);
    const Lanes from_low = ntt::reduce_lazy52(_mm512_setzero_si512(), low, r.reciprocal, r.minus_p);  // < 2p
    const Lanes sum = ntt::low52(ntt::multiply_add_lazy52(from_low, high, r.high, r.minus_p));        // < 4p
    return ntt::reduce_once(ntt::reduce_once(sum, r.twice), r.p);
  }
};

#endif

inline constexpr std::size_t kAhead = 128;  // words, of which one prefetch fetches eight

template <class Sum, class Reduction>
void inner_product_lanes(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                         const std::uint32_t* table, std::size_t end, std::uint64_t* out0,
                         std::uint64_t* out1) {
  const Reduction reduction(tables);
  const Lanes p = ntt::all(tables.p);
  for (std::size_t at = 0; at < end; at += ntt::kLanes) {
    for (std::size_t first = 0; first < count; first += Sum::kTerms) {
      Sum sum0, sum1;
      for (std::size_t j = first; j < std::min(count, first + Sum::kTerms); ++j) {
        // A key is far larger than the second cache, and its rows are more streams than the hardware follows.
        _mm_prefetch(terms[j].key0 + at + kAhead, _MM_HINT_T0);
        _mm_prefetch(terms[j].key1 + at + kAhead, _MM_HINT_T0);
        const auto digit = Sum::split(load_digit(terms[j].digit, table, at));
        sum0.add(digit, Sum::split(ntt::load(terms[j].key0 + at)));
        sum1.add(digit, Sum::split(ntt::load(terms[j].key1 + at)));
      }
      Lanes result0 = sum0.reduce(reduction), result1 = sum1.reduce(reduction);
      if (first > 0) {
        result0 = ntt::reduce_once(_mm512_add_epi64(result0, ntt::load(out0 + at)), p);
        result1 = ntt::reduce_once(_mm512_add_epi64(result1, ntt::load(out1 + at)), p);
      }
      ntt::store(out0 + at, result0);
      ntt::store(out1 + at, result1);
    }
  }
}

void inner_product(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                   const std::uint32_t* table, std::size_t n, std::uint64_t* out0, std::uint64_t* out1) {
  const std::size_t end = n / ntt::kLanes * ntt::kLanes;
#if defined(__AVX512IFMA__)
  const auto lanes = tables.p < ntt::kMaxPrime52 ? inner_product_lanes<Sum50, Reduce104>
                                                 : inner_product_lanes<Sum52, Reduce128>;
#else
  const auto lanes = inner_product_lanes<Sum30, Reduce128>;
#endif
  lanes(tables, terms, count, table, end, out0, out1);
  inner_product_run(tables, terms, count, table, end, n, out0, out1);
}

}  // namespace
}  // namespace crypsis::rns
