// SPDX-License-Identifier: Apache-2.0
// AES-128 in plain C++, constant-time, on every CPU (bitsliced.h); blocks_vaes512.h says how to use these headers.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aes/bitsliced.h"
#include "aes/key_schedule.h"

namespace crypsis::aes::blocks_portable {
namespace {

struct RoundKeys;

// kBlocks blocks that are neighbours in memory.
struct Blocks {
  using Keys = RoundKeys;
  static constexpr std::size_t kBlocks = bitsliced::kBlocks;
  static constexpr int kTogether = 2;  // Blocks that are encrypted at once
  std::uint64_t v[2 * kBlocks];

  static Blocks zero() { return {}; }
  static Blocks load(const void* from) {
    Blocks x;
    std::memcpy(x.v, from, sizeof x.v);
    return x;
  }
  void store(void* to) const { std::memcpy(to, v, sizeof v); }
  // The first n <= kBlocks blocks; the others are zero, or left in memory as they were.
  static Blocks load_first(const void* from, std::size_t n) {
    Blocks x{};
    if (n != 0) std::memcpy(x.v, from, n * kBlockBytes);
    return x;
  }
  void store_first(void* to, std::size_t n) const {
    if (n != 0) std::memcpy(to, v, n * kBlockBytes);
  }
  // One block of 16 bytes, in every place.
  static Blocks broadcast(const void* block) {
    Blocks x;
    for (std::size_t i = 0; i < kBlocks; ++i) std::memcpy(x.v + 2 * i, block, kBlockBytes);
    return x;
  }
  // The little-endian 128-bit integers first + i for place i; `first` is given by its 64-bit halves.
  static Blocks sequence(std::uint64_t low, std::uint64_t high) {
    Blocks x;
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const std::uint64_t sum = low + i;
      x.v[2 * i] = little_endian(sum);
      x.v[2 * i + 1] = little_endian(high + (sum < low));
    }
    return x;
  }

  // a[0], b[0], a[1], b[1] and so on: the first half, the second half.
  static Blocks interleave_low(const Blocks& a, const Blocks& b) { return interleave(a, b, 0); }
  static Blocks interleave_high(const Blocks& a, const Blocks& b) { return interleave(a, b, kBlocks / 2); }
  // The low 64-bit half of each place plus n, without a carry out of it: for sequences whose end is known.
  Blocks plus(std::uint64_t n) const {
    Blocks x = *this;
    for (std::size_t i = 0; i < 2 * kBlocks; i += 2) x.v[i] = little_endian(little_endian(v[i]) + n);
    return x;
  }
  // Each block's bytes in reverse order: between little- and big-endian integers.
  Blocks reversed() const {
    Blocks x;
    for (std::size_t i = 0; i < 2 * kBlocks; i += 2) {
      x.v[i] = __builtin_bswap64(v[i + 1]);
      x.v[i + 1] = __builtin_bswap64(v[i]);
    }
    return x;
  }

  friend Blocks operator^(Blocks a, const Blocks& b) { return a ^= b; }
  friend Blocks operator&(Blocks a, const Blocks& b) {
    for (std::size_t i = 0; i < 2 * kBlocks; ++i) a.v[i] &= b.v[i];
    return a;
  }
  Blocks& operator^=(const Blocks& other) {
    for (std::size_t i = 0; i < 2 * kBlocks; ++i) v[i] ^= other.v[i];
    return *this;
  }

 private:
  static Blocks interleave(const Blocks& a, const Blocks& b, std::size_t first) {
    Blocks x;
    for (std::size_t i = 0; i < kBlocks / 2; ++i) {
      std::memcpy(x.v + 4 * i, a.v + 2 * (first + i), kBlockBytes);
      std::memcpy(x.v + 4 * i + 2, b.v + 2 * (first + i), kBlockBytes);
    }
    return x;
  }
  static std::uint64_t little_endian(std::uint64_t value) {
    return std::endian::native == std::endian::little ? value : __builtin_bswap64(value);
  }
};

// The round keys of one key, each in every place.
struct RoundKeys {
  bitsliced::State<bitsliced::Single> k[kRounds + 1];

  explicit RoundKeys(const KeySchedule& schedule) {
    for (int i = 0; i <= kRounds; ++i) {
      // One bit of a row is the same in all blocks of a column.
      const std::uint8_t* const key = schedule.bytes + static_cast<std::size_t>(i) * kBlockBytes;
      for (int row = 0; row < 4; ++row) {
        for (int b = 0; b < 8; ++b) {
          std::uint64_t word = 0;
          for (int column = 0; column < 4; ++column) {
            const std::uint64_t bit = (key[4 * column + row] >> b) & 1;
            word |= (bit * 0xffff) << (16 * column);
          }
          k[i].w[row][b] = word;
        }
      }
    }
  }
};

template <class Word>
[[gnu::always_inline]] inline void encrypt_state(const RoundKeys& keys, bitsliced::State<Word>& s) {
  bitsliced::add(s, keys.k[0]);
  for (int i = 1; i <= kRounds; ++i) {
    for (auto& row : s.w) bitsliced::sub_bytes(row);
    bitsliced::shift_rows(s);
    if (i < kRounds) bitsliced::mix_columns(s);
    bitsliced::add(s, keys.k[i]);
  }
}

inline void encrypt_one(const RoundKeys& keys, Blocks& x) {
  bitsliced::State<bitsliced::Single> s;
  bitsliced::pack(reinterpret_cast<const std::uint8_t*>(x.v), s);
  encrypt_state(keys, s);
  bitsliced::unpack(s, reinterpret_cast<std::uint8_t*>(x.v));
}

inline void encrypt_two(const RoundKeys& keys, Blocks& x, Blocks& y) {
  bitsliced::State<bitsliced::Single> halves[2];
  bitsliced::pack(reinterpret_cast<const std::uint8_t*>(x.v), halves[0]);
  bitsliced::pack(reinterpret_cast<const std::uint8_t*>(y.v), halves[1]);
  bitsliced::State<bitsliced::Pair> s;
  for (int row = 0; row < 4; ++row) {
    for (int b = 0; b < 8; ++b) s.w[row][b] = bitsliced::Pair{halves[0].w[row][b], halves[1].w[row][b]};
  }
  encrypt_state(keys, s);
  for (int row = 0; row < 4; ++row) {
    for (int b = 0; b < 8; ++b) {
      halves[0].w[row][b] = s.w[row][b][0];
      halves[1].w[row][b] = s.w[row][b][1];
    }
  }
  bitsliced::unpack(halves[0], reinterpret_cast<std::uint8_t*>(x.v));
  bitsliced::unpack(halves[1], reinterpret_cast<std::uint8_t*>(y.v));
}

// x[r] = AES-128 of x[r], block by block; two at once where there are two. Constant-time.
template <int R>
inline void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
  for (int r = 0; r + 1 < R; r += 2) encrypt_two(keys, x[r], x[r + 1]);
  if constexpr (R % 2 == 1) encrypt_one(keys, x[R - 1]);
}

}  // namespace
}  // namespace crypsis::aes::blocks_portable
