// SPDX-License-Identifier: Apache-2.0
// The expand-convolute encoder [RRT23] for any instruction set and element. `Isa` gives Blocks, RoundKeys and encrypt for
// the public code; `Wide` is a register of Wide::kBlocks elements of Wide::kElement bytes for the convolution, `Lane` one
// element: a block of GF(2^128), a pair of GF(2^64), or one element of GF(2^64).
//
// Convolution: element i is added to those of the next 24 that its tap word names, and X times element i to element
// i + 25, for i from left to right; what falls off the end is added at the beginning. (The X is what makes it a code over
// the field: with bits alone the outputs' span gives the noise away, LPN_NOTES.md.) A register holds a group of neighbours.
// What an element adds to a group is that element in every place, masked; the masks are a table with all 2^kBlocks of
// them, since the taps are public.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
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

template <class Isa, class Wide, class Lane>
struct ExpandConvolute {
  static constexpr std::size_t kLanes = Wide::kBlocks;
  static constexpr std::size_t kElement = Wide::kElement;
  static constexpr std::size_t kGroups = (kLanes - 1 + kReach) / kLanes;  // later groups that a group reaches
  static constexpr std::size_t kTapGroups = (kLanes - 1 + kRandomTaps) / kLanes;  // those by its random taps
  static_assert(kLanes == 1 || kReach % kLanes == 1);
  static constexpr std::size_t kSpill = (kGroups + 1) * kLanes;
  static constexpr std::size_t kBatch =
      512;  // tap words, or rows of the expander times their weight rounded up

  struct Masks {
    static constexpr std::size_t kBytes = kLanes * kElement;
    alignas(64) std::uint8_t bytes[std::size_t{1} << kLanes][kBytes];
    Masks() {
      for (std::size_t m = 0; m < std::size_t{1} << kLanes; ++m) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          std::memset(bytes[m] + lane * kElement, (m >> lane) & 1 ? 0xff : 0, kElement);
        }
      }
    }
    Wide lanes(std::size_t set) const { return Wide::load(bytes[set]); }
    Wide of(const std::uint64_t* word, std::size_t group) const {
      if constexpr (kLanes == 4 || kLanes == 8) {
        static_assert(std::endian::native == std::endian::little && kBytes % 8 == 0);
        const auto* const own = reinterpret_cast<const std::uint8_t*>(word);
        std::size_t at;
        if constexpr (kLanes == 4) {
          at = own[group] * (kBytes / 8);
        } else {
          std::uint16_t offset;
          std::memcpy(&offset, own + 2 * group, sizeof offset);
          at = offset;
        }
        return Wide::load(&bytes[0][0] + at);
      } else {
        return Wide::load(bytes[(*word >> (group * kLanes)) & ((std::size_t{1} << kLanes) - 1)]);
      }
    }
  };

  // What `n_words` tap words say, prepared for `mask`: bit s of a word is place s of the block's group and the later ones.
  struct Taps {
    alignas(64) std::uint64_t words[kBatch];

    void draw(const typename Isa::RoundKeys& keys, std::size_t first) {
      alignas(64) std::uint32_t drawn[kBatch];
      PublicStream<Isa>::fill(keys, first / 4, kBatch / 4, reinterpret_cast<std::uint8_t*>(drawn));
      constexpr std::uint64_t kRandom = (std::uint64_t{1} << kRandomTaps) - 1;
      for (std::size_t i = 0; i < kBatch; ++i) {
        std::uint64_t word = Isa::little_endian(drawn[i]);
        word = (word & kRandom) << (i % kLanes + 1);
        // An address in the table of masks for each group: a byte in steps that the loads have, or 16 bits.
        if constexpr (kLanes == 4 || kLanes == 8) word = (word | word << 16) & 0x0000ffff0000ffffU;
        if constexpr (kLanes == 8) word = ((word | word << 8) & 0x00ff00ff00ff00ffU) * Masks::kBytes;
        if constexpr (kLanes == 4) {
          word = (word | word << 8) & 0x00ff00ff00ff00ffU;
          word = ((word | word << 4) & 0x0f0f0f0f0f0f0f0fU) << 3;
        }
        words[i] = word;
      }
    }
  };

  // The groups that the current one reaches, with what was added to them so far: in registers where they fit, else where
  // they belong. at(g) and put(g) count from the current group; put moves group g to where the next step finds it.
  template <std::size_t V>
  struct Window {
    static constexpr bool kHeld = kGroups <= 8;
    Wide held[V][kHeld ? kGroups + 1 : 1];

    void open(std::uint8_t* const (&x)[V]) {
      if constexpr (kHeld) {
        for (std::size_t v = 0; v < V; ++v) {
          for (std::size_t g = 0; g < kGroups; ++g) held[v][g] = Wide::load(x[v] + g * kLanes * kElement);
        }
      }
    }
    Wide at(std::uint8_t* const (&x)[V], std::size_t v, std::size_t g) const {
      if (kHeld && g < kGroups) return held[v][g];
      return Wide::load(x[v] + g * kLanes * kElement);
    }
    void put(std::uint8_t* const (&x)[V], std::size_t v, std::size_t g, Wide sum) {
      if constexpr (kHeld) {
        held[v][g - 1] = sum;
      } else {
        sum.store(x[v] + g * kLanes * kElement);
      }
    }
    void close(std::uint8_t* const (&x)[V]) const {
      if constexpr (kHeld) {
        for (std::size_t v = 0; v < V; ++v) {
          for (std::size_t g = 0; g < kGroups; ++g) held[v][g].store(x[v] + g * kLanes * kElement);
        }
      }
    }
  };

  // Groups at x[v][0, n_blocks) of V vectors, taps in step with them; writes up to kSpill - kLanes blocks beyond.
  template <std::size_t V>
  static void run(const Masks& masks, const std::uint64_t* taps, std::size_t n_blocks,
                  const std::array<std::uint8_t*, V>& vectors, std::size_t first) {
    constexpr std::size_t kStep = kLanes * kElement;
    std::uint8_t* x[V];
    Window<V> window;
    for (std::size_t v = 0; v < V; ++v) x[v] = vectors[v] + first * kElement;
    window.open(x);
    for (std::size_t i = 0; i < n_blocks; i += kLanes) {
      Wide source[V][kLanes];
      Wide group[V];
      for (std::size_t v = 0; v < V; ++v) group[v] = window.at(x, v, 0);
#pragma GCC unroll 8
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        for (std::size_t v = 0; v < V; ++v) source[v][lane] = group[v].broadcast(lane);
        if (lane + 1 == kLanes) break;
        const Wide mask = masks.of(taps + i + lane, 0);
        for (std::size_t v = 0; v < V; ++v) group[v].add_masked(source[v][lane], mask);
      }
      Wide times_x[V];  // moved up by one place, as 25 is one more than a multiple of the lanes
      for (std::size_t v = 0; v < V; ++v) {
        group[v].store(x[v]);
        times_x[v] = group[v].mul_x().rotated();
      }
#pragma GCC unroll 32
      for (std::size_t g = 1; g <= kGroups; ++g) {
        Wide sum[V];
        for (std::size_t v = 0; v < V; ++v) sum[v] = window.at(x, v, g);
#pragma GCC unroll 8
        for (std::size_t lane = 0; lane < kLanes && g <= kTapGroups; ++lane) {
          const Wide mask = masks.of(taps + i + lane, g);
          for (std::size_t v = 0; v < V; ++v) sum[v].add_masked(source[v][lane], mask);
        }
        if (g >= kReach / kLanes) {
          constexpr std::size_t kFirst = 1, kAll = (std::size_t{1} << kLanes) - 1;
          const Wide mask = masks.lanes(g == kGroups ? kFirst : kAll - kFirst);
          for (std::size_t v = 0; v < V; ++v) sum[v].add_masked(times_x[v], mask);
        }
        for (std::size_t v = 0; v < V; ++v) window.put(x, v, g, sum[v]);
      }
      for (std::size_t v = 0; v < V; ++v) x[v] += kStep;
    }
    window.close(x);
  }

  // One pass over x[v][0, n), n a power of two of at least 64; the last groups run beside it, as they reach beyond it.
  template <std::size_t V>
  static void convolute_all(const aes::KeySchedule& key, const std::array<std::uint8_t*, V>& x,
                            std::size_t n) {
    const typename Isa::RoundKeys keys(key);
    const Masks masks;
    Taps taps;
    alignas(64) std::uint8_t end[V][2 * 32 * kElement] = {};
    const WipeGuard wipe(end);
    static_assert(kSpill <= 32 + kLanes && 32 % kLanes == 0);
    const std::size_t inside = n - 32;
    std::array<std::uint8_t*, V> ends;
    for (std::size_t v = 0; v < V; ++v) ends[v] = end[v];
    for (std::size_t at = 0; at < n; at += kBatch) {
      taps.draw(keys, at);
      const std::size_t stop = std::min(at + kBatch, n);
      run<V>(masks, taps.words, std::min(stop, inside) - at, x, at);
      if (stop < n) continue;
      for (std::size_t v = 0; v < V; ++v) std::memcpy(end[v], x[v] + inside * kElement, 32 * kElement);
      run<V>(masks, taps.words + (inside - at), 32, ends, 0);
      for (std::size_t v = 0; v < V; ++v) std::memcpy(x[v] + inside * kElement, end[v], 32 * kElement);
    }
    for (std::size_t v = 0; v < V; ++v) {
      for (std::size_t i = 0; i < kReach; ++i) {
        Lane sum = Lane::load(x[v] + i * kElement);
        sum ^= Lane::load(end[v] + (32 + i) * kElement);
        sum.store(x[v] + i * kElement);
      }
    }
  }

  static void convolute(const aes::KeySchedule (&keys)[2], std::uint8_t* vector, std::size_t n) {
    for (const aes::KeySchedule& key : keys) convolute_all<1>(key, {vector}, n);
  }
  static void convolute_two(const aes::KeySchedule (&keys)[2], std::uint8_t* first, std::uint8_t* second,
                            std::size_t n) {
    for (const aes::KeySchedule& key : keys) convolute_all<2>(key, {first, second}, n);
  }

  // out[i], i in [first_row, first_row + n_rows) shifted to 0, from weight blocks of table[0, 2^log_code). A row's
  // positions are the low bits of the 32-bit words from row * weight on; first_row is a multiple of four.
  template <std::size_t kWeight>
  static void expand_rows(const aes::KeySchedule& key, std::size_t any_weight, std::size_t first_row,
                          std::size_t n_rows, const std::uint8_t* table, unsigned log_code,
                          std::uint8_t* out) {
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
        Lane sum = Lane::load(table + std::size_t{at[0]} * kElement);
#pragma GCC unroll 8
        for (std::size_t j = 1; j < weight; ++j) sum ^= Lane::load(table + std::size_t{at[j]} * kElement);
        sum.store(out + (done + i) * kElement);
      }
    }
  }

  static void expand(const aes::KeySchedule& key, std::size_t weight, std::size_t first_row,
                     std::size_t n_rows, const std::uint8_t* table, unsigned log_code, std::uint8_t* out) {
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
