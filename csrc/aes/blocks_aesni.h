// SPDX-License-Identifier: Apache-2.0
// AES-128 on one block a register (AES-NI); blocks_vaes512.h says how to use these headers.
// Flags: -maes -msse4.1 -mssse3.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "aes/key_schedule.h"

namespace crypsis::aes::blocks_aesni {
namespace {

struct RoundKeys;

// kBlocks blocks that are neighbours in memory.
struct Blocks {
  using Keys = RoundKeys;
  static constexpr std::size_t kBlocks = 1;
  static constexpr int kTogether = 8;  // registers that go through the rounds together to fill the units
  __m128i v;

  static Blocks zero() { return {_mm_setzero_si128()}; }
  static Blocks load(const void* from) { return {_mm_loadu_si128(static_cast<const __m128i*>(from))}; }
  void store(void* to) const { _mm_storeu_si128(static_cast<__m128i*>(to), v); }
  // The first n <= kBlocks blocks; the others are zero, or left in memory as they were.
  static Blocks load_first(const void* from, std::size_t n) { return n == 0 ? zero() : load(from); }
  void store_first(void* to, std::size_t n) const {
    if (n != 0) store(to);
  }
  // One block of 16 bytes, in every place.
  static Blocks broadcast(const void* block) { return load(block); }
  // The little-endian 128-bit integers first + i for place i; `first` is given by its 64-bit halves.
  static Blocks sequence(std::uint64_t low, std::uint64_t high) {
    return {_mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low))};
  }

  // a[0], b[0], a[1], b[1] and so on: the first half, the second half.
  static Blocks interleave_low(Blocks a, Blocks) { return a; }
  static Blocks interleave_high(Blocks, Blocks b) { return b; }
  // The low 64-bit half of each place plus n, without a carry out of it: for sequences whose end is known.
  Blocks plus(std::uint64_t n) const {
    return {_mm_add_epi64(v, _mm_set_epi64x(0, static_cast<long long>(n)))};
  }
  // Each block's bytes in reverse order: between little- and big-endian integers.
  Blocks reversed() const {
    return {_mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))};
  }

  friend Blocks operator^(Blocks a, Blocks b) { return {_mm_xor_si128(a.v, b.v)}; }
  friend Blocks operator&(Blocks a, Blocks b) { return {_mm_and_si128(a.v, b.v)}; }
  Blocks& operator^=(Blocks other) { return *this = *this ^ other; }
};

// The round keys of one key, each in every place.
struct RoundKeys {
  __m128i k[kRounds + 1];

  explicit RoundKeys(const KeySchedule& schedule) {
    for (int i = 0; i <= kRounds; ++i) {
      k[i] = Blocks::load(schedule.bytes + static_cast<std::size_t>(i) * kBlockBytes).v;
    }
  }
};

// x[r] = AES-128 of x[r], block by block; R registers go through the rounds together. Constant-time.
template <int R>
[[gnu::always_inline]] inline void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm_xor_si128(x[r].v, keys.k[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) x[r].v = _mm_aesenc_si128(x[r].v, keys.k[i]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm_aesenclast_si128(x[r].v, keys.k[kRounds]);
}

}  // namespace
}  // namespace crypsis::aes::blocks_aesni
