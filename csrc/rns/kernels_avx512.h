// SPDX-License-Identifier: Apache-2.0
// The kernels on eight lanes of 64 bits: AVX-512F and DQ, and 52-bit products where the file's flags have IFMA. What the
// last n mod 8 coefficients need is in kernels_portable.h. Internal linkage. Ranges: primes < 2^60, digits |r| < 2^59.
#pragma once
#include "ntt/modular_avx512.h"
#include "rns/compose_avx512.h"
#include "rns/inner_product_avx512.h"
#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

using ntt::all;
using ntt::kLanes;
using ntt::Lanes;
using ntt::load;
using ntt::store;

inline ntt::Factor64 factor64(const Constant& constant) {
  return ntt::make_factor64(all(constant.value), all(constant.quotient));
}

inline std::size_t whole_lanes(std::size_t n) {
  return n / kLanes * kLanes;
}

void mixed_radix(const Radix& radix, std::uint64_t* const* rows, std::size_t n) {
  const std::size_t end = whole_lanes(n);
  for (std::size_t i = 0; i < radix.count; ++i) {
    const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
    const Lanes modulus = all(t), half = all(t >> 1);
    if (i == 0) {
      for (std::size_t at = 0; at < end; at += kLanes)
        store(rows[0] + at, centre(load(rows[0] + at), modulus, half));
      continue;
    }
    const Lanes offset = all(digit_offset(t)), twice = all(2 * t);
    for (std::size_t j = 0; j < i; ++j) {
      const ntt::Factor64 inverse = factor64(radix.chain.inverse(radix.numbers[j], radix.numbers[i]));
      const bool last = j + 1 == i;
      for (std::size_t at = 0; at < end; at += kLanes) {
        const Lanes shifted =
            _mm512_sub_epi64(_mm512_add_epi64(load(rows[i] + at), offset), load(rows[j] + at));
        const Lanes x = ntt::multiply64(shifted, inverse, modulus, twice);
        store(rows[i] + at, last ? centre(x, modulus, half) : x);
      }
    }
  }
  mixed_radix_run(radix, rows, end, n);
}

#if defined(__AVX512IFMA__)

// A digit times a factor by 52-bit products, for p < 2^50. A word of up to 61 bits is read as its low 52 bits and the
// rest, which has a factor of its own.
struct Factor52Wide {
  ntt::Factor52 low, high;
};

inline ntt::Factor52 factor52(std::uint64_t w, std::uint64_t p) {
  return {all(w), all(static_cast<std::uint64_t>((ntt::Wide{w} << 52) / p))};
}

inline Factor52Wide factor52_wide(const Constant& constant, std::uint64_t p) {
  const auto high = static_cast<std::uint64_t>((ntt::Wide{constant.value} << 52) % p);
  return {factor52(constant.value, p), factor52(high, p)};
}

// Three terms, a sum below p and two products below 2p, make 5p at most: p < 2^50 leaves no room in 52 bits, so what is
// reduced is the first two.
void convert52(const ntt::PrimeTables& target, const Conversion& conversion,
               const std::uint64_t* const* digits, std::size_t end, std::uint64_t* out) {
  const std::uint64_t p = target.p;
  const Lanes modulus = all(p), minus_p = all(0 - p), twice = all(2 * p), offset = all(digit_offset(p));
  for (std::size_t i = 0; i < conversion.count; ++i) {
    const Factor52Wide factor = factor52_wide(conversion.factors[i], p);
    for (std::size_t at = 0; at < end; at += kLanes) {
      const Lanes word = _mm512_add_epi64(load(digits[i] + at), offset);
      const Lanes low = ntt::multiply_add_lazy52(_mm512_setzero_si512(), word, factor.low, minus_p);
      const Lanes both = ntt::multiply_add_lazy52(low, _mm512_srli_epi64(word, 52), factor.high, minus_p);
      Lanes sum = ntt::reduce_once(ntt::reduce_once(ntt::low52(both), twice), modulus);
      if (i > 0) sum = ntt::reduce_once(_mm512_add_epi64(sum, load(out + at)), modulus);
      store(out + at, sum);
    }
  }
}

void combine52(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
               const std::uint64_t* add, Constant b, std::size_t end, std::uint64_t* out) {
  const std::uint64_t p = tables.p;
  const Lanes modulus = all(p), minus_p = all(0 - p), twice = all(2 * p), zero = _mm512_setzero_si512();
  const ntt::Factor52 by_a = factor52(a.value, p), by_b = factor52(b.value, p);
  for (std::size_t at = 0; at < end; at += kLanes) {
    const Lanes base = y == nullptr ? zero : load(y + at);
    Lanes sum = ntt::low52(ntt::multiply_add_lazy52(base, load(x + at), by_a, minus_p));  // < 3p
    if (add != nullptr) {
      sum = ntt::reduce_once(sum, twice);  // < 2p
      sum = ntt::low52(ntt::multiply_add_lazy52(sum, load(add + at), by_b, minus_p));
    }
    store(out + at, ntt::reduce_once(ntt::reduce_once(sum, twice), modulus));
  }
}

#endif

void convert64(const ntt::PrimeTables& target, const Conversion& conversion,
               const std::uint64_t* const* digits, std::size_t end, std::uint64_t* out) {
  const std::uint64_t p = target.p;
  const Lanes modulus = all(p), twice = all(2 * p), offset = all(digit_offset(p));
  for (std::size_t i = 0; i < conversion.count; ++i) {
    const ntt::Factor64 factor = factor64(conversion.factors[i]);
    for (std::size_t at = 0; at < end; at += kLanes) {
      Lanes sum = ntt::multiply64(_mm512_add_epi64(load(digits[i] + at), offset), factor, modulus, twice);
      if (i > 0) sum = ntt::reduce_once(_mm512_add_epi64(sum, load(out + at)), modulus);
      store(out + at, sum);
    }
  }
}

void convert(const ntt::PrimeTables& target, const Conversion& conversion, const std::uint64_t* const* digits,
             std::size_t n, std::uint64_t* out) {
  const std::size_t end = whole_lanes(n);
  if (conversion.is_small) {
    const Lanes modulus = all(target.p);
    for (std::size_t at = 0; at < end; at += kLanes) {
      const Lanes digit = load(digits[0] + at);  // below 0: a larger unsigned number than with p added
      store(out + at, _mm512_min_epu64(digit, _mm512_add_epi64(digit, modulus)));
    }
  } else {
#if defined(__AVX512IFMA__)
    (target.p < ntt::kMaxPrime52 ? convert52 : convert64)(target, conversion, digits, end, out);
#else
    convert64(target, conversion, digits, end, out);
#endif
  }
  convert_run(target, conversion, digits, end, n, out);
}

void combine64(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
               const std::uint64_t* add, Constant b, std::size_t end, std::uint64_t* out) {
  const std::uint64_t p = tables.p;
  const Lanes modulus = all(p), twice = all(2 * p);
  const ntt::Factor64 by_a = factor64(a), by_b = factor64(b);
  for (std::size_t at = 0; at < end; at += kLanes) {
    Lanes sum = ntt::multiply64(load(x + at), by_a, modulus, twice);
    if (y != nullptr) sum = ntt::reduce_once(_mm512_add_epi64(sum, load(y + at)), modulus);
    if (add != nullptr) {
      const Lanes summand =
          b.value == 1 ? load(add + at) : ntt::multiply64(load(add + at), by_b, modulus, twice);
      sum = ntt::reduce_once(_mm512_add_epi64(sum, summand), modulus);
    }
    store(out + at, sum);
  }
}

void combine(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
             const std::uint64_t* add, Constant b, std::size_t n, std::uint64_t* out) {
  const std::size_t end = whole_lanes(n);
#if defined(__AVX512IFMA__)
  (tables.p < ntt::kMaxPrime52 ? combine52 : combine64)(tables, x, a, y, add, b, end, out);
#else
  combine64(tables, x, a, y, add, b, end, out);
#endif
  combine_run(tables, x, a, y, add, b, end, n, out);
}

}  // namespace
}  // namespace crypsis::rns
