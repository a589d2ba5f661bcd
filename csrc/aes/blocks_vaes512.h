// SPDX-License-Identifier: Apache-2.0
// AES-128 on four blocks a register (VAES with AVX-512), for inlining into the kernels of any slug.
//
// The headers blocks_<isa>.h offer the same names in namespaces of their own: Blocks, RoundKeys and encrypt. Include
// one in a file that is compiled with the flags named here, and only there: everything has internal linkage.
// Flags: -mavx512f -mavx512bw -mavx512vl -mavx512dq -mvaes.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "aes/key_schedule.h"

namespace crypsis::aes::blocks_vaes512 {
namespace {

struct RoundKeys;

// kBlocks blocks that are neighbours in memory.
struct Blocks {
  using Keys = RoundKeys;
  static constexpr std::size_t kBlocks = 4;
  static constexpr int kTogether = 8;  // registers that go through the rounds together to fill the units
  __m512i v;

  static Blocks zero() { return {_mm512_setzero_si512()}; }
  static Blocks load(const void* from) { return {_mm512_loadu_si512(from)}; }
  void store(void* to) const { _mm512_storeu_si512(to, v); }
  // The first n <= kBlocks blocks; the others are zero, or left in memory as they were.
  static Blocks load_first(const void* from, std::size_t n) {
    return {_mm512_maskz_loadu_epi64(first(n), from)};
  }
  void store_first(void* to, std::size_t n) const { _mm512_mask_storeu_epi64(to, first(n), v); }
  // One block of 16 bytes, in every place.
  static Blocks broadcast(const void* block) {
    return {_mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(block)))};
  }
  // The little-endian 128-bit integers first + i for place i; `first` is given by its 64-bit halves.
  static Blocks sequence(std::uint64_t low, std::uint64_t high) {
    const __m512i start = _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(high),  //
                                                                static_cast<long long>(low)));
    const __m512i sum = _mm512_add_epi64(start, _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));
    // Low halves that became smaller carry into the high half beside them.
    const __mmask8 wrapped = _mm512_cmplt_epu64_mask(sum, start);
    const __mmask8 high_halves = static_cast<__mmask8>(wrapped << 1);
    return {_mm512_mask_add_epi64(sum, high_halves, sum, _mm512_set1_epi64(1))};
  }

  // a[0], b[0], a[1], b[1] and so on: the first half, the second half.
  static Blocks interleave_low(Blocks a, Blocks b) {
    return {_mm512_permutex2var_epi64(a.v, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), b.v)};
  }
  static Blocks interleave_high(Blocks a, Blocks b) {
    return {_mm512_permutex2var_epi64(a.v, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), b.v)};
  }
  // The low 64-bit half of each place plus n, without a carry out of it: for sequences whose end is known.
  Blocks plus(std::uint64_t n) const {
    return {
        _mm512_add_epi64(v, _mm512_set_epi64(0, static_cast<long long>(n), 0, static_cast<long long>(n), 0,
                                             static_cast<long long>(n), 0, static_cast<long long>(n)))};
  }
  // Each block's bytes in reverse order: between little- and big-endian integers.
  Blocks reversed() const {
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    return {_mm512_shuffle_epi8(v, order)};
  }

  friend Blocks operator^(Blocks a, Blocks b) { return {_mm512_xor_si512(a.v, b.v)}; }
  friend Blocks operator&(Blocks a, Blocks b) { return {_mm512_and_si512(a.v, b.v)}; }
  Blocks& operator^=(Blocks other) { return *this = *this ^ other; }

 private:
  static __mmask8 first(std::size_t n) { return static_cast<__mmask8>((1u << (2 * n)) - 1); }
};

// The round keys of one key, each in every place.
struct RoundKeys {
  __m512i k[kRounds + 1];

  explicit RoundKeys(const KeySchedule& schedule) {
    for (int i = 0; i <= kRounds; ++i) {
      k[i] = Blocks::broadcast(schedule.bytes + static_cast<std::size_t>(i) * kBlockBytes).v;
    }
  }
};

// x[r] = AES-128 of x[r], block by block. R registers go through the rounds together: the latency of a round is four
// to eight times what a unit needs for it, so R = 8 fills the units. Constant-time.
template <int R>
[[gnu::always_inline]] inline void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm512_xor_si512(x[r].v, keys.k[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) x[r].v = _mm512_aesenc_epi128(x[r].v, keys.k[i]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) x[r].v = _mm512_aesenclast_epi128(x[r].v, keys.k[kRounds]);
}

}  // namespace
}  // namespace crypsis::aes::blocks_vaes512
