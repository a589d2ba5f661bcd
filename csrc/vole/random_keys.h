// SPDX-License-Identifier: Apache-2.0
// Correlated blocks to independent keys by fixed-key AES [GKWY20]: MMO(x) = pi(x) ^ x, which is correlation robust
// (section 7.2), and TMMO(x, i) = pi(pi(x) ^ i) ^ pi(x), tweakable and circular correlation robust (section 7.4).
// `Isa` as in trees.h. The same functions as mmo and tmmo of the aes slug; here q and q ^ Delta go through together.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vole/impl.h"

namespace crypsis::vole {
namespace {

template <class Isa>
struct RandomKeys {
  using Blocks = typename Isa::Blocks;
  using RoundKeys = typename Isa::RoundKeys;
  static constexpr std::size_t kBlocks = Blocks::kBlocks;

  template <bool kTweaked, int R>
  [[gnu::always_inline]] static void hash(const RoundKeys& pi, Blocks (&x)[R], const Blocks (&tweaks)[R]) {
    Blocks y[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) y[r] = x[r];
    Isa::encrypt(pi, x);
    if constexpr (kTweaked) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        y[r] = x[r];
        x[r] ^= tweaks[r];
      }
      Isa::encrypt(pi, x);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] ^= y[r];
  }

  // n (a multiple of R * kBlocks, or less than kBlocks and then R = 1) rows at `in`, to one key a row or a pair.
  template <bool kTweaked, bool kPairs, int R>
  [[gnu::always_inline]] static void step(const RoundKeys& pi, const Blocks& delta, Tweak first,
                                          std::size_t at, const std::uint8_t* in, std::uint8_t* out) {
    Blocks x[R];
    Blocks tweaks[R];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < R; ++r) {
      x[r] = Blocks::load(in + r * sizeof(Blocks));
      const std::uint64_t low = first.low + at + r * kBlocks;
      tweaks[r] = kTweaked ? Blocks::sequence(low, first.high) : Blocks::zero();
    }
    if constexpr (kPairs) {
      Blocks y[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) y[r] = x[r] ^ delta;
      hash<kTweaked>(pi, x, tweaks);
      hash<kTweaked>(pi, y, tweaks);
#pragma GCC unroll 8
      for (std::size_t r = 0; r < R; ++r) Isa::store_interleaved(x[r], y[r], out + 2 * r * sizeof(Blocks));
    } else {
      hash<kTweaked>(pi, x, tweaks);
#pragma GCC unroll 8
      for (std::size_t r = 0; r < R; ++r) x[r].store(out + r * sizeof(Blocks));
    }
  }

  template <bool kTweaked, bool kPairs>
  static void run(const aes::KeySchedule& key, const std::uint8_t* delta_block, Tweak first,
                  const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
    const RoundKeys pi(key);
    const Blocks delta = kPairs ? Blocks::broadcast(delta_block) : Blocks::zero();
    constexpr std::size_t kOut = (kPairs ? 2 : 1) * kBlockBytes;
    constexpr std::size_t kGroup = Isa::kWide * kBlocks;
    std::size_t i = 0;
    for (; i + kGroup <= n; i += kGroup) {
      step<kTweaked, kPairs, Isa::kWide>(pi, delta, first, i, in + i * kBlockBytes, out + i * kOut);
    }
    for (; i < n; i += kBlocks) {
      const std::size_t take = n - i < kBlocks ? n - i : kBlocks;
      alignas(64) std::uint8_t rows[kBlocks * kBlockBytes] = {};
      alignas(64) std::uint8_t keys[kBlocks * kOut];
      std::memcpy(rows, in + i * kBlockBytes, take * kBlockBytes);
      step<kTweaked, kPairs, 1>(pi, delta, first, i, rows, keys);
      std::memcpy(out + i * kOut, keys, take * kOut);
    }
  }

  static void keys(const aes::KeySchedule& key, const std::uint8_t* delta, const Tweak* first,
                   const std::uint8_t* in, std::size_t n, std::uint8_t* out) {
    const Tweak from = first == nullptr ? Tweak{} : *first;
    if (delta != nullptr) {
      (first == nullptr ? run<false, true> : run<true, true>)(key, delta, from, in, n, out);
    } else {
      (first == nullptr ? run<false, false> : run<true, false>)(key, delta, from, in, n, out);
    }
  }
};

}  // namespace
}  // namespace crypsis::vole
