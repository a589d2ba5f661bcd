// SPDX-License-Identifier: Apache-2.0
// Composition to doubles on eight lanes. Internal linkage.
//
// The digits are taken of x + H, H = (Q - 1) / 2, whose residue modulo each t_i is (t_i - 1) / 2: plain mixed radix digits
// z_i in [0, t_i) of V = x + H mod Q. V = sum of z_i T_i, T_i = t_0 .. t_(i-1), is summed over words of 30 bits, and
// V - H is the centred value.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/wipe.h"
#include "ntt/modular_avx512.h"
#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

using ntt::Lanes;

inline constexpr std::size_t kWordBits = 30, kMaxWords30 = kMaxModuli * 60 / kWordBits + 2;
inline constexpr std::uint64_t kWordMask = (std::uint64_t{1} << kWordBits) - 1;

// x in [0, t) -> the centred residue; half = (t - 1) / 2.
inline Lanes centre(Lanes x, Lanes t, Lanes half) {
  return _mm512_mask_sub_epi64(x, _mm512_cmpgt_epu64_mask(x, half), x, t);
}

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
    n_words = std::max<std::size_t>(3, n_bits / kWordBits + 2);
    product.resize(n_words + 1, 0);
    for (std::size_t w = 0; w < n_words; ++w) {  // Q is odd: (Q - 1) / 2 is Q shifted
      half.push_back(product[w] >> 1 | (product[w + 1] & 1) << (kWordBits - 1));
    }
  }
};

struct ComposeLanes {
  alignas(64) Lanes digits[kMaxModuli];
  alignas(64) Lanes words[kMaxWords30];
};

inline void carry_on(Lanes* words, std::size_t n_words) {
  const Lanes mask = ntt::all(kWordMask);
  Lanes carry = _mm512_setzero_si512();
  for (std::size_t w = 0; w < n_words; ++w) {
    const Lanes sum = _mm512_add_epi64(words[w], carry);
    words[w] = _mm512_and_si512(sum, mask);
    carry = _mm512_srli_epi64(sum, kWordBits);
  }
}

// V of the digits, minus H: words in [0, 2^30) of the magnitude, and all ones in lanes that are negative.
inline Lanes sum_up(const Weights& weights, std::size_t count, ComposeLanes& lanes) {
  constexpr std::size_t kDigits = 3;  // 6 products below 2^60 and a word of 30 bits stay below 2^63
  const Lanes mask = ntt::all(kWordMask), zero = _mm512_setzero_si512();
  const std::size_t n = weights.n_words;
  for (std::size_t w = 0; w < n; ++w) lanes.words[w] = zero;
  for (std::size_t i = 0; i < count; ++i) {
    const Lanes low = _mm512_and_si512(lanes.digits[i], mask),
                high = _mm512_srli_epi64(lanes.digits[i], kWordBits);
    for (std::size_t w = 0; w < weights.words[i].size(); ++w) {
      const Lanes weight = ntt::all(weights.words[i][w]);
      lanes.words[w] = _mm512_add_epi64(lanes.words[w], _mm512_mul_epu32(low, weight));
      lanes.words[w + 1] = _mm512_add_epi64(lanes.words[w + 1], _mm512_mul_epu32(high, weight));
    }
    if (i % kDigits == kDigits - 1) carry_on(lanes.words, n);
  }
  Lanes carry = zero;
  for (std::size_t w = 0; w < n; ++w) {
    const Lanes sum = _mm512_sub_epi64(_mm512_add_epi64(lanes.words[w], carry), ntt::all(weights.half[w]));
    lanes.words[w] = _mm512_and_si512(sum, mask);
    carry = _mm512_srai_epi64(sum, kWordBits);
  }
  const Lanes negative = carry;
  carry = zero;
  for (std::size_t w = 0; w < n; ++w) {
    const Lanes turned = _mm512_sub_epi64(_mm512_xor_si512(lanes.words[w], negative), negative);
    const Lanes sum = _mm512_add_epi64(turned, carry);
    lanes.words[w] = _mm512_and_si512(sum, mask);
    carry = _mm512_srai_epi64(sum, kWordBits);
  }
  return negative;
}

// The nearest double, ties to even, of a magnitude and its sign.
inline __m512d round_lanes(const Lanes* words, std::size_t n, Lanes negative) {
  const Lanes zero = _mm512_setzero_si512(), one = ntt::all(1), mask = ntt::all(kWordMask);
  // a is to be the highest word that is not 0, b and c the two after it, k the words below c, `rest` what those hold.
  Lanes a = words[n - 1], b = words[n - 2], c = words[n - 3], rest = zero, k = ntt::all(n - 3);
  const auto move_up = [&](Lanes next) {
    const __mmask8 empty = _mm512_cmpeq_epi64_mask(a, zero);
    rest = _mm512_mask_or_epi64(_mm512_or_si512(rest, next), empty, rest, zero);
    a = _mm512_mask_mov_epi64(a, empty, b);
    b = _mm512_mask_mov_epi64(b, empty, c);
    c = _mm512_mask_mov_epi64(c, empty, next);
    k = _mm512_mask_sub_epi64(k, empty, k, one);
  };
  for (std::size_t w = n - 3; w-- > 0;) move_up(words[w]);
  move_up(zero);
  move_up(zero);
  // 60 bits with the leading one at bit 59, whatever was cut off in the lowest: one conversion then rounds right. The
  // exponent of a word below 2^30, which a double holds exactly, tells its bits; of 0 it shifts everything out.
  const Lanes exponent = _mm512_srli_epi64(_mm512_castpd_si512(_mm512_cvtepi64_pd(a)), 52);
  const Lanes up = _mm512_sub_epi64(ntt::all(1023 + kWordBits - 1), exponent);
  const Lanes down = _mm512_sub_epi64(ntt::all(kWordBits), up);
  const Lanes two = _mm512_or_si512(_mm512_slli_epi64(a, kWordBits), b);
  const Lanes window = _mm512_or_si512(_mm512_sllv_epi64(two, up), _mm512_srlv_epi64(c, down));
  const Lanes cut = _mm512_or_si512(_mm512_and_si512(_mm512_sllv_epi64(c, up), mask), rest);
  const Lanes sticky = _mm512_mask_or_epi64(window, _mm512_cmpneq_epi64_mask(cut, zero), window, one);
  const Lanes power = _mm512_add_epi64(_mm512_mullo_epi64(k, ntt::all(kWordBits)), down);
  const __m512d magnitude = _mm512_scalef_pd(_mm512_cvtepi64_pd(sticky), _mm512_cvtepi64_pd(power));
  const Lanes sign = _mm512_and_si512(negative, ntt::all(std::uint64_t{1} << 63));
  return _mm512_castsi512_pd(_mm512_or_si512(_mm512_castpd_si512(magnitude), sign));
}

void compose(const Radix& radix, const std::uint64_t* const* rows, std::size_t n, double* out) {
  const std::size_t end = n / ntt::kLanes * ntt::kLanes;
  if (radix.count == 1) {
    const std::uint64_t t = radix.chain.prime(radix.numbers[0]);
    for (std::size_t at = 0; at < end; at += ntt::kLanes) {
      const Lanes digit = centre(ntt::load(rows[0] + at), ntt::all(t), ntt::all(t >> 1));
      _mm512_storeu_pd(out + at, _mm512_cvtepi64_pd(digit));
    }
    compose_run(radix, rows, end, n, out);
    return;
  }
  const Weights weights(radix);
  ComposeLanes lanes;
  const WipeGuard wipe(lanes);
  for (std::size_t at = 0; at < end; at += ntt::kLanes) {
    for (std::size_t i = 0; i < radix.count; ++i) {
      const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
      const Lanes modulus = ntt::all(t), twice = ntt::all(2 * t);
      const Lanes offset = ntt::all(2 * kDigitBound / t * t + t);  // a multiple of t above every z_j
      Lanes x = ntt::reduce_once(_mm512_add_epi64(ntt::load(rows[i] + at), ntt::all(t >> 1)), modulus);
      for (std::size_t j = 0; j < i; ++j) {
        const Constant& inverse = radix.chain.inverse(radix.numbers[j], radix.numbers[i]);
        const ntt::Factor64 factor = ntt::make_factor64(ntt::all(inverse.value), ntt::all(inverse.quotient));
        const Lanes shifted = _mm512_sub_epi64(_mm512_add_epi64(x, offset), lanes.digits[j]);
        x = ntt::multiply64(shifted, factor, modulus, twice);
      }
      lanes.digits[i] = x;
    }
    const Lanes negative = sum_up(weights, radix.count, lanes);
    _mm512_storeu_pd(out + at, round_lanes(lanes.words, weights.n_words, negative));
  }
  compose_run(radix, rows, end, n, out);
}

}  // namespace
}  // namespace crypsis::rns
