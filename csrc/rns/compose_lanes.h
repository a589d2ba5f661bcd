// SPDX-License-Identifier: Apache-2.0
// Composition to doubles in lanes of 64 bits, of any instruction set. Internal linkage.
//
// The digits are taken of x + H, H = (Q - 1) / 2, whose residue modulo each t_i is (t_i - 1) / 2: plain mixed radix digits
// z_i in [0, t_i) of V = x + H mod Q. V = sum of z_i T_i, T_i = t_0 .. t_(i-1), is summed over words of 30 bits, and
// V - H is the centred value. The centred digits of x are z_i - (t_i - 1) / 2.
//
// V, the instruction set: Words, Reals and Mask, the types of lanes; all, add, subtract, bit_and, bit_or, bit_xor;
// shift_up<bits>, shift_down<bits>; shift_down_signed, by kWordBits; shift_up_each, shift_down_each, where 64 or more give
// 0; multiply32, of low halves; is_zero; select(mask, if so, if not); exponent, of the double of a word below 2^30 with
// its bias, 0 for 0; with_sign; scale(x, power), the double next to x 2^power, infinity from 2^1024 on, where x is 0, or
// in [2^59, 2^60) and -2^6 < power < 2^12.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

inline constexpr int kWordBits = 30;
inline constexpr std::size_t kMaxWords30 = kMaxModuli * 60 / kWordBits + 2;
inline constexpr std::uint64_t kWordMask = (std::uint64_t{1} << kWordBits) - 1;

// What depends on the moduli alone, little-endian words of 30 bits.
struct Weights {
  std::size_t n_words;
  std::vector<std::vector<std::uint64_t>> words;  // of T_i, without leading zeros
  std::vector<std::uint64_t> half;                // of H, n_words

  explicit Weights(const Radix& radix) {
    std::size_t n_bits = 0;
    std::vector<std::uint64_t> product{1};
    for (std::size_t i = 0; i < radix.count; ++i) {
      const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
      n_bits += static_cast<std::size_t>(std::bit_width(t));
      words.push_back(product);
      ntt::Wide carry = 0;
      for (std::uint64_t& word : product) {
        carry += ntt::Wide{word} * t;
        word = static_cast<std::uint64_t>(carry) & kWordMask;
        carry >>= kWordBits;
      }
      for (; carry != 0; carry >>= kWordBits)
        product.push_back(static_cast<std::uint64_t>(carry) & kWordMask);
    }
    n_words = std::max<std::size_t>(3, n_bits / std::size_t{kWordBits} + 2);
    product.resize(n_words + 1, 0);
    for (std::size_t w = 0; w < n_words; ++w) {  // Q is odd: (Q - 1) / 2 is Q shifted
      half.push_back(product[w] >> 1 | (product[w + 1] & 1) << (kWordBits - 1));
    }
  }
};

template <class V>
struct Compose {
  using Words = typename V::Words;

  alignas(64) Words digits[kMaxModuli];
  alignas(64) Words words[kMaxWords30];

  // The value of `count` digits.
  typename V::Reals value(const Weights& weights, std::size_t count) {
    const Words negative = sum_up(weights, count);
    return round(weights.n_words, negative);
  }

 private:
  void carry_on(std::size_t n_words) {
    const Words mask = V::all(kWordMask);
    Words carry = V::all(0);
    for (std::size_t w = 0; w < n_words; ++w) {
      const Words sum = V::add(words[w], carry);
      words[w] = V::bit_and(sum, mask);
      carry = V::template shift_down<kWordBits>(sum);
    }
  }

  // V of the digits, minus H: words in [0, 2^30) of the magnitude, and all ones in lanes that are negative.
  Words sum_up(const Weights& weights, std::size_t count) {
    constexpr std::size_t kDigits = 3;  // 6 products below 2^60 and a word of 30 bits stay below 2^63
    const Words mask = V::all(kWordMask), zero = V::all(0);
    const std::size_t n = weights.n_words;
    for (std::size_t w = 0; w < n; ++w) words[w] = zero;
    for (std::size_t i = 0; i < count; ++i) {
      const Words low = V::bit_and(digits[i], mask), high = V::template shift_down<kWordBits>(digits[i]);
      for (std::size_t w = 0; w < weights.words[i].size(); ++w) {
        const Words weight = V::all(weights.words[i][w]);
        words[w] = V::add(words[w], V::multiply32(low, weight));
        words[w + 1] = V::add(words[w + 1], V::multiply32(high, weight));
      }
      if (i % kDigits == kDigits - 1) carry_on(n);
    }
    Words carry = zero;
    for (std::size_t w = 0; w < n; ++w) {
      const Words sum = V::subtract(V::add(words[w], carry), V::all(weights.half[w]));
      words[w] = V::bit_and(sum, mask);
      carry = V::shift_down_signed(sum);
    }
    const Words negative = carry;
    carry = zero;
    for (std::size_t w = 0; w < n; ++w) {
      const Words turned = V::subtract(V::bit_xor(words[w], negative), negative);
      const Words sum = V::add(turned, carry);
      words[w] = V::bit_and(sum, mask);
      carry = V::shift_down_signed(sum);
    }
    return negative;
  }

  // The nearest double, ties to even, of a magnitude and its sign.
  typename V::Reals round(std::size_t n, Words negative) const {
    const Words zero = V::all(0), one = V::all(1), mask = V::all(kWordMask);
    // a is to be the highest word that is not 0, b and c the two after it, k the words below c, `rest` what those hold.
    Words a = words[n - 1], b = words[n - 2], c = words[n - 3], rest = zero, k = V::all(n - 3);
    const auto move_up = [&](Words next) {
      const auto empty = V::is_zero(a);
      rest = V::select(empty, rest, V::bit_or(rest, next));
      a = V::select(empty, b, a);
      b = V::select(empty, c, b);
      c = V::select(empty, next, c);
      k = V::select(empty, V::subtract(k, one), k);
    };
    for (std::size_t w = n - 3; w-- > 0;) move_up(words[w]);
    move_up(zero);
    move_up(zero);
    // 60 bits with the leading one at bit 59, whatever was cut off in the lowest: one conversion then rounds right. The
    // exponent of a word below 2^30, which a double holds exactly, tells its bits; of 0 it shifts everything out.
    const Words up = V::subtract(V::all(1023 + kWordBits - 1), V::exponent(a));
    const Words down = V::subtract(V::all(kWordBits), up);
    const Words two = V::bit_or(V::template shift_up<kWordBits>(a), b);
    const Words window = V::bit_or(V::shift_up_each(two, up), V::shift_down_each(c, down));
    const Words cut = V::bit_or(V::bit_and(V::shift_up_each(c, up), mask), rest);
    const Words sticky = V::select(V::is_zero(cut), window, V::bit_or(window, one));
    static_assert(kWordBits == 32 - 2);  // k may be -2
    const Words power = V::add(V::subtract(V::template shift_up<5>(k), V::template shift_up<1>(k)), down);
    const Words sign = V::bit_and(negative, V::all(std::uint64_t{1} << 63));
    return V::with_sign(V::scale(sticky, power), sign);
  }
};

}  // namespace
}  // namespace crypsis::rns
