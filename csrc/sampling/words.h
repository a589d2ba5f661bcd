// SPDX-License-Identifier: Apache-2.0
// One number at a time: the portable backend, and the others' tails. Internal linkage, constant-time.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sampling/impl.h"

namespace crypsis::sampling {
namespace {

__extension__ using Wide = unsigned __int128;

// The first n_bytes bytes as a little-endian number.
template <std::size_t n_bytes>
[[gnu::always_inline]] inline std::uint64_t load_bytes(const std::uint8_t* from) {
  std::uint64_t word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::uint32_t high = 0;  // apart: a word read back after two stores of its parts waits for both
    constexpr std::size_t n_low = n_bytes == 8 ? 8 : 4;
    std::memcpy(&word, from, n_low);
    std::memcpy(&high, from + n_low, n_bytes - n_low);
    word |= std::uint64_t{high} << 32;
  } else {
    for (std::size_t i = 0; i < n_bytes; ++i) word |= std::uint64_t{from[i]} << (8 * i);
  }
  return word;
}

[[gnu::always_inline]] inline std::uint64_t upper_product(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint64_t>((Wide{a} * b) >> 64);
}
// a + bound where a - which was to be at least 0 - wrapped around; magnitudes stay below 2^63.
[[gnu::always_inline]] inline std::uint64_t add_if_negative(std::uint64_t a, std::uint64_t bound) {
  return a + (bound & (0 - (a >> 63)));
}

// Both words' remainders by estimated quotients, which are at most one too small [Har14]: below 2 p each, and 4 p is
// below 2^62.
inline void wide_words(const std::uint8_t* stream, std::size_t n, const Modulus& modulus,
                       const Window& window, std::uint64_t* out) {
  const std::uint64_t p = modulus.p;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t low = load_bytes<8>(stream + 16 * i) & window.low;
    const std::uint64_t high = load_bytes<8>(stream + 16 * i + 8) & window.high;
    const std::uint64_t low_rest = low - upper_product(low, modulus.quotient) * p;
    const std::uint64_t high_rest = high * modulus.base - upper_product(high, modulus.base_quotient) * p;
    const std::uint64_t below_2p = add_if_negative(low_rest + high_rest - 2 * p, 2 * p);
    const std::uint64_t residue = add_if_negative(below_2p - p, p);
    out[i] = add_if_negative(residue - window.offset, p);
  }
}

// floor(3 x / 2^64) counts the bounds that x reaches: ceil(2^64 / 3) and ceil(2^65 / 3).
constexpr std::uint64_t kThird = 0x5555555555555556, kTwoThirds = 0xaaaaaaaaaaaaaaab;

inline void ternary_words(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t x = load_bytes<8>(stream + 8 * i);
    // The borrow of x - bound, without a comparison that could become a branch.
    const auto below = [x](std::uint64_t bound) {
      return static_cast<int>(((~x & bound) | ((~x | bound) & (x - bound))) >> 63);
    };
    out[i] = static_cast<std::int8_t>(1 - below(kThird) - below(kTwoThirds));
  }
}

// Ones of a less ones of b, 21 bits each: ones of a and of b's complement, less 21.
constexpr std::uint64_t kHalfCoins = (std::uint64_t{1} << (kCoins / 2)) - 1;
constexpr std::uint64_t kAllCoins = (std::uint64_t{1} << kCoins) - 1;
constexpr std::uint64_t kFlipped = kAllCoins & ~kHalfCoins;

inline void binomial_words(const std::uint8_t* stream, std::size_t n, std::int8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    std::uint64_t x = (load_bytes<6>(stream + 6 * i) ^ kFlipped) & kAllCoins;
    x -= (x >> 1) & 0x5555555555555555;  // ones of pairs, then of fours, bytes and all: no table
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    out[i] = static_cast<std::int8_t>(static_cast<int>((x * 0x0101010101010101) >> 56) - kCoins / 2);
  }
}

}  // namespace
}  // namespace crypsis::sampling
