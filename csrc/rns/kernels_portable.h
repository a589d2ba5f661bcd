// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C++: the portable backend, and what others do with the last coefficients of a run. Internal
// linkage: files compiled for different instruction sets include this. Ranges: primes < 2^60, digits |r| < 2^59.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "common/wipe.h"
#include "ntt/modular_portable.h"
#include "rns/impl.h"

namespace crypsis::rns {
namespace {

inline constexpr std::uint64_t kDigitBound = std::uint64_t{1} << 59;

// The least multiple of p that makes every digit non-negative: below 2^59 + p < 2^61.
inline std::uint64_t digit_offset(std::uint64_t p) {
  return (kDigitBound + p - 1) / p * p;
}

// x in [0, t) -> the centred residue.
inline std::uint64_t centre(std::uint64_t x, std::uint64_t t) {
  const std::uint64_t above = ((t >> 1) - x) >> 63;  // 1 where x > (t - 1) / 2
  return x - (t & (0 - above));
}

// The next digit from x mod t_i, with the digits below it at digits[j][at].
inline std::uint64_t next_digit(const Radix& radix, std::size_t i, std::uint64_t offset, std::uint64_t x,
                                std::uint64_t* const* digits, std::size_t at) {
  const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
  for (std::size_t j = 0; j < i; ++j) {
    const Constant& inverse = radix.chain.inverse(radix.numbers[j], radix.numbers[i]);
    x = ntt::shoup(x + offset - digits[j][at], inverse.value, inverse.quotient, t);
  }
  return centre(x, t);
}

inline void mixed_radix_row(const Radix& radix, std::size_t i, std::uint64_t* const* rows, std::size_t begin,
                            std::size_t n) {
  const std::uint64_t offset = digit_offset(radix.chain.prime(radix.numbers[i]));
  for (std::size_t at = begin; at < n; ++at) {
    rows[i][at] = next_digit(radix, i, offset, rows[i][at], rows, at);
  }
}

inline void mixed_radix_run(const Radix& radix, std::uint64_t* const* rows, std::size_t begin,
                            std::size_t n) {
  for (std::size_t i = 0; i < radix.count; ++i) mixed_radix_row(radix, i, rows, begin, n);
}

void convert_run(const ntt::PrimeTables& target, const Conversion& conversion,
                 const std::uint64_t* const* digits, std::size_t begin, std::size_t n, std::uint64_t* out) {
  const std::uint64_t p = target.p, offset = digit_offset(p);
  if (conversion.is_small) {
    for (std::size_t at = begin; at < n; ++at) {
      const std::uint64_t digit = digits[0][at];
      out[at] = digit + (p & (0 - (digit >> 63)));
    }
    return;
  }
  for (std::size_t at = begin; at < n; ++at) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < conversion.count; ++i) {
      const Constant& factor = conversion.factors[i];
      sum = ntt::reduce_once(sum + ntt::shoup(digits[i][at] + offset, factor.value, factor.quotient, p), p);
    }
    out[at] = sum;
  }
}

// kMaxTerms products of residues below 2^60 stay below 2^126.
void inner_product_run(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                       const std::uint32_t* table, std::size_t begin, std::size_t n, std::uint64_t* out0,
                       std::uint64_t* out1) {
  for (std::size_t at = begin; at < n; ++at) {
    const std::size_t from = table == nullptr ? at : table[at];
    ntt::Wide sum0 = 0, sum1 = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const ntt::Wide digit = terms[j].digit[from];
      sum0 += digit * terms[j].key0[at];
      sum1 += digit * terms[j].key1[at];
    }
    out0[at] = ntt::reduce_wide(sum0, tables);
    out1[at] = ntt::reduce_wide(sum1, tables);
  }
}

void combine_run(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
                 const std::uint64_t* add, Constant b, std::size_t begin, std::size_t n, std::uint64_t* out) {
  const std::uint64_t p = tables.p;
  for (std::size_t at = begin; at < n; ++at) {
    std::uint64_t sum = ntt::shoup(x[at], a.value, a.quotient, p);
    if (y != nullptr) sum = ntt::reduce_once(sum + y[at], p);
    if (add != nullptr) sum = ntt::reduce_once(sum + ntt::shoup(add[at], b.value, b.quotient, p), p);
    out[at] = sum;
  }
}

// Of numbers below 2^63; of std::min compilers make a branch.
inline std::uint64_t smaller(std::uint64_t a, std::uint64_t b) {
  return b + ((a - b) & (0 - ((a - b) >> 63)));
}

// The nearest double, ties to even, of words[0, count) 2^64-adic in two's complement; overwrites the words. No branch
// or address depends on them: the highest word that is not 0 is found by masks.
inline double round_to_double(std::uint64_t* words, std::size_t count) {
  const std::uint64_t negative = 0 - (words[count - 1] >> 63);
  std::uint64_t carry = negative & 1;
  for (std::size_t i = 0; i < count; ++i) {
    words[i] = (words[i] ^ negative) + carry;
    carry &= static_cast<std::uint64_t>(words[i] == 0);
  }
  std::uint64_t top = 0, next = 0, sticky = 0, place = 0;
  for (std::size_t i = count; i-- > 0;) {
    const std::uint64_t take = 0 - static_cast<std::uint64_t>(top == 0);
    const std::uint64_t below = i > 0 ? words[i - 1] : 0;
    const std::uint64_t is_rest = ~take & (0 - static_cast<std::uint64_t>(i + 1 < place));
    sticky |= words[i] & is_rest;
    top |= words[i] & take;
    next = (next & ~take) | (below & take);
    place = (place & ~take) | (i & take);
  }
  // 63 bits with the leading one at bit 62, whatever was cut off in the lowest: one conversion then rounds right.
  const auto zeros = static_cast<unsigned>(std::countl_zero(top | 1));
  const std::uint64_t window = (top << zeros) | (next >> 1 >> (63 - zeros));
  const std::uint64_t rest = (next << zeros) | sticky | (window & 1);
  const std::uint64_t odd = (window >> 1) | static_cast<std::uint64_t>(rest != 0);
  const double one_to_two = static_cast<double>(static_cast<std::int64_t>(odd)) * 0x1p-62;
  // Times 2^exponent in two exact steps, as it may pass a double's range; the second may give infinity.
  const std::uint64_t exponent = 64 * place + 63 - zeros;
  const std::uint64_t first = smaller(exponent, 1000), second = smaller(exponent - first, 1023);
  const auto power = [](std::uint64_t e) { return std::bit_cast<double>((e + 1023) << 52); };
  const double scaled = one_to_two * power(first) * power(second);
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(scaled) | (negative & (std::uint64_t{1} << 63)));
}

inline constexpr std::size_t kMaxWords = kMaxModuli * 60 / 64 + 1;

void compose_run(const Radix& radix, const std::uint64_t* const* rows, std::size_t begin, std::size_t n,
                 double* out) {
  if (radix.count == 1) {  // one conversion rounds right
    const std::uint64_t t = radix.chain.prime(radix.numbers[0]);
    for (std::size_t at = begin; at < n; ++at) {
      out[at] = static_cast<double>(static_cast<std::int64_t>(centre(rows[0][at], t)));
    }
    return;
  }
  struct {
    std::uint64_t digits[kMaxModuli];
    std::uint64_t words[kMaxWords];
  } secret;
  const WipeGuard wipe(secret);
  std::uint64_t* digits[kMaxModuli];
  std::uint64_t offsets[kMaxModuli];
  std::size_t n_bits = 0;
  for (std::size_t i = 0; i < radix.count; ++i) {
    const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
    digits[i] = &secret.digits[i];
    offsets[i] = digit_offset(t);
    n_bits += static_cast<std::size_t>(std::bit_width(t));
  }
  const std::size_t n_words = n_bits / 64 + 1;  // a sign too
  for (std::size_t at = begin; at < n; ++at) {
    for (std::size_t i = 0; i < radix.count; ++i) {
      secret.digits[i] = next_digit(radix, i, offsets[i], rows[i][at], digits, 0);
    }
    // Horner's rule from the highest digit, modulo 2^(64 n_words).
    for (std::size_t w = 0; w < n_words; ++w) secret.words[w] = 0;
    for (std::size_t i = radix.count; i-- > 0;) {
      const std::uint64_t t = radix.chain.prime(radix.numbers[i]), digit = secret.digits[i];
      const std::uint64_t sign = 0 - (digit >> 63);
      std::uint64_t product_carry = 0, digit_carry = 0;
      for (std::size_t w = 0; w < n_words; ++w) {
        const ntt::Wide product = ntt::Wide{secret.words[w]} * t + product_carry;
        const ntt::Wide sum = (product & ~std::uint64_t{0}) + (w == 0 ? digit : sign) + digit_carry;
        secret.words[w] = static_cast<std::uint64_t>(sum);
        product_carry = static_cast<std::uint64_t>(product >> 64);
        digit_carry = static_cast<std::uint64_t>(sum >> 64);
      }
    }
    out[at] = round_to_double(secret.words, n_words);
  }
}

}  // namespace
}  // namespace crypsis::rns
