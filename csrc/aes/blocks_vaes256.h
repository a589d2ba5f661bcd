// SPDX-License-Identifier: Apache-2.0
// AES-128 on two blocks a register (VAES with AVX2); blocks_vaes512.h says how to use these headers.
// Flags: -mavx2 -maes -mvaes.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "aes/key_schedule.h"

namespace crypsis::aes::blocks_vaes256 {
namespace {

struct RoundKeys;

// kBlocks blocks that are neighbours in memory.
struct Blocks {
  using Keys = RoundKeys;
  static constexpr std::size_t kBlocks = 2;
  static constexpr int kTogether = 8;  // registers that go through the rounds together to fill the units
  __m256i v;

  static Blocks zero() { return {_mm256_setzero_si256()}; }
  static Blocks load(const void* from) { return {_mm256_loadu_si256(static_cast<const __m256i*>(from))}; }
  void store(void* to) const { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
  // The first n <= kBlocks blocks; the others are zero, or left in memory as they were.
  static Blocks load_first(const void* from, std::size_t n) {
    if (n == kBlocks) return load(from);
    if (n == 0) return zero();
    return {_mm256_zextsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(from)))};
  }
  void store_first(void* to, std::size_t n) const {
    if (n == kBlocks) return store(to);
    if (n != 0) _mm_storeu_si128(static_cast<__m128i*>(to), _mm256_castsi256_si128(v));
  }
  // One block of 16 bytes, in every place.
  static Blocks broadcast(const void* block) {
    return {_mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(block)))};
  }
  // The little-endian 128-bit integers first + i for place i; `first` is given by its 64-bit halves.
  static Blocks sequence(std::uint64_t low, std::uint64_t high) {
    const std::uint64_t next = low + 1;
    const std::uint64_t next_high = high + (next == 0);
    return {_mm256_set_epi64x(static_cast<long long>(next_high), static_cast<long long>(next),
                              static_cast<long long>(high), static_cast<long long>(low))};
  }

  // a[0], b[0], a[1], b[1] and so on: the first half, the second half.
  static Blocks interleave_low(Blocks a, Blocks b) { return {_mm256_permute2x128_si256(a.v, b.v, 0x20)}; }
  static Blocks interleave_high(Blocks a, Blocks b) { return {_mm256_permute2x128_si256(a.v, b.v, 0x31)}; }
  // The low 64-bit half of each place plus n, without a carry out of it: for sequences whose end is known.
  Blocks plus(std::uint64_t n) const {
    return {
        _mm256_add_epi64(v, _mm256_set_epi64x(0, static_cast<long long>(n), 0, static_cast<long long>(n)))};
  }
  // Each block's bytes in reverse order: between little- and big-endian integers.
  Blocks reversed() const {
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    return {_mm256_shuffle_epi8(v, order)};
  }

  friend Blocks operator^(Blocks a, Blocks b) { return {_mm256_xor_si256(a.v, b.v)}; }
  friend Blocks operator&(Blocks a, Blocks b) { return {_mm256_and_si256(a.v, b.v)}; }
  Blocks& operator^=(Blocks other) { return *this = *this ^ other; }
};

// The round keys of one key, each in every place.
struct RoundKeys {
  __m256i k[kRounds + 1];

  explicit RoundKeys(const KeySchedule& schedule) {
    for (int i = 0; i <= kRounds; ++i) {
      k[i] = Blocks::broadcast(schedule.bytes + static_cast<std::size_t>(i) * kBlockBytes).v;
    }
  }
};

// x[r] = AES-128 of x[r], block by block; R registers go through the rounds together. Constant-time.
template <int R>
[[gnu::always_inline]] inline void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm256_xor_si256(x[r].v, keys.k[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) x[r].v = _mm256_aesenc_epi128(x[r].v, keys.k[i]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm256_aesenclast_epi128(x[r].v, keys.k[kRounds]);
}

}  // namespace
}  // namespace crypsis::aes::blocks_vaes256
