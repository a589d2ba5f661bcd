// SPDX-License-Identifier: Apache-2.0
// The expand-convolute encoder [RRT23] for any instruction set. `Isa` gives Blocks, RoundKeys and encrypt for the public
// code, Lane (one block), and Wide: a register of Wide::kBlocks blocks for the convolution.
//
// Convolution: block i is added to those of the next 24 blocks that its tap word names, and to block i + 25 always, for
// i from left to right; what falls off the end is added at the beginning. A register holds a group of neighbours. What
// a block adds to a group is that block in every place, masked; the masks are a table with all 2^kBlocks of them, since
// the taps are public.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aes/key_schedule.h"
#include "common/wipe.h"
#include "vole/lpn.h"
#include "vole/primal_lpn.h"
#include "vole/vole.h"

namespace crypsis::vole {
namespace {

inline constexpr std::size_t kRandomTaps = 24;
inline constexpr std::size_t kReach = kRandomTaps + 1;

template <class Isa>
struct ExpandConvolute {
  using Lane = typename Isa::Lane;
  using Wide = typename Isa::Wide;
  static constexpr std::size_t kLanes = Wide::kBlocks;
  static constexpr std::size_t kGroups = (kLanes - 1 + kReach) / kLanes;  // later groups that a group reaches
  static constexpr std::size_t kSpill = (kGroups + 1) * kLanes;
  static constexpr std::size_t kBatch = 512;  // tap words, or rows of the expander times their weight rounded up

  struct Masks {
    alignas(64) std::uint8_t bytes[std::size_t{1} << kLanes][kLanes * kBlockBytes];
    Masks() {
      for (std::size_t m = 0; m < std::size_t{1} << kLanes; ++m) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          std::memset(bytes[m] + lane * kBlockBytes, (m >> lane) & 1 ? 0xff : 0, kBlockBytes);
        }
      }
    }
    Wide of(std::uint64_t targets, std::size_t group) const {
      return Wide::load(bytes[(targets >> (group * kLanes)) & ((std::size_t{1} << kLanes) - 1)]);
    }
  };

  // Groups at x[0, n_blocks), taps in step with them; writes up to kSpill - kLanes blocks beyond.
  static void run(const Masks& masks, const std::uint32_t* taps, std::size_t n_blocks, std::uint8_t* x) {
    constexpr std::size_t kStep = kLanes * kBlockBytes;
    Wide next = Wide::load(x);
    for (std::size_t i = 0; i < n_blocks; i += kLanes, x += kStep) {
      Wide group = next;
      std::uint64_t targets[kLanes];  // bit s: place s of the groups from this one on
      Wide source[kLanes];
#pragma GCC unroll 4
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        constexpr std::uint64_t kRandom = (std::uint64_t{1} << kRandomTaps) - 1;
        targets[lane] = ((taps[i + lane] & kRandom) | (kRandom + 1)) << (lane + 1);
        source[lane] = group.broadcast(lane);
        if (lane + 1 < kLanes) group.add_masked(source[lane], masks.of(targets[lane], 0));
      }
      group.store(x);
#pragma GCC unroll 32
      for (std::size_t g = 1; g <= kGroups; ++g) {
        Wide sum = Wide::load(x + g * kStep);
#pragma GCC unroll 4
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          // The last group is out of reach of the first lanes.
          if (lane + kReach >= g * kLanes) sum.add_masked(source[lane], masks.of(targets[lane], g));
        }
        if (g == 1) {
          next = sum;
        } else {
          sum.store(x + g * kStep);
        }
      }
    }
    next.store(x);
  }

  // One pass over x[0, n), n a power of two of at least 64; the last groups run beside it, as they reach beyond the end.
  static void convolute(const aes::KeySchedule& key, std::uint8_t* x, std::size_t n) {
    const typename Isa::RoundKeys keys(key);
    const Masks masks;
    alignas(64) std::uint32_t taps[kBatch];
    alignas(64) std::uint8_t end[2 * 32 * kBlockBytes] = {};
    const WipeGuard wipe(end);
    static_assert(kSpill <= 32 + kLanes && 32 % kLanes == 0);
    const std::size_t inside = n - 32;
    for (std::size_t at = 0; at < n; at += kBatch) {
      PublicStream<Isa>::fill(keys, at / 4, kBatch / 4, reinterpret_cast<std::uint8_t*>(taps));
      for (std::uint32_t& word : taps) word = Isa::little_endian(word);
      const std::size_t stop = std::min(at + kBatch, n);
      if (at < inside) run(masks, taps, std::min(stop, inside) - at, x + at * kBlockBytes);
      if (stop == n) {
        std::memcpy(end, x + inside * kBlockBytes, 32 * kBlockBytes);
        run(masks, taps + (inside - at), 32, end);
        std::memcpy(x + inside * kBlockBytes, end, 32 * kBlockBytes);
      }
    }
    for (std::size_t i = 0; i < kReach; ++i) {
      Lane sum = Lane::load(x + i * kBlockBytes);
      sum ^= Lane::load(end + (32 + i) * kBlockBytes);
      sum.store(x + i * kBlockBytes);
    }
  }

  // out[i], i in [first_row, first_row + n_rows) shifted to 0, from weight blocks of table[0, 2^log_code). A row's
  // positions are the low bits of the 32-bit words from row * weight on; first_row is a multiple of four.
  template <std::size_t kWeight>
  static void expand_rows(const aes::KeySchedule& key, std::size_t any_weight, std::size_t first_row,
                          std::size_t n_rows, const std::uint8_t* table, unsigned log_code, std::uint8_t* out) {
    const std::size_t weight = kWeight != 0 ? kWeight : any_weight;
    const typename Isa::RoundKeys keys(key);
    constexpr std::size_t kRows = 128;  // weight * 128 / 4 blocks of stream are whole units in every backend
    static_assert(kRows / 4 % PublicStream<Isa>::kUnit == 0);
    alignas(64) std::uint32_t words[kRows * kMaxExpanderWeight];
    const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << log_code) - 1);
    for (std::size_t done = 0; done < n_rows; done += kRows) {
      PublicStream<Isa>::fill(keys, (first_row + done) * weight / 4, kRows * weight / 4,
                              reinterpret_cast<std::uint8_t*>(words));
      for (std::size_t i = 0; i < kRows * weight; ++i) words[i] = Isa::little_endian(words[i]) & mask;
      const std::size_t stop = std::min(kRows, n_rows - done);
      for (std::size_t i = 0; i < stop; ++i) {
        const std::uint32_t* const at = words + i * weight;
        Lane sum = Lane::load(table + std::size_t{at[0]} * kBlockBytes);
#pragma GCC unroll 8
        for (std::size_t j = 1; j < weight; ++j) sum ^= Lane::load(table + std::size_t{at[j]} * kBlockBytes);
        sum.store(out + (done + i) * kBlockBytes);
      }
    }
  }

  static void expand(const aes::KeySchedule& key, std::size_t weight, std::size_t first_row, std::size_t n_rows,
                     const std::uint8_t* table, unsigned log_code, std::uint8_t* out) {
    if (weight == 7) {
      expand_rows<7>(key, weight, first_row, n_rows, table, log_code, out);
    } else if (weight == 21) {
      expand_rows<21>(key, weight, first_row, n_rows, table, log_code, out);
    } else {
      expand_rows<0>(key, weight, first_row, n_rows, table, log_code, out);
    }
  }
};

}  // namespace
}  // namespace crypsis::vole
