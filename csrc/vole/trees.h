// SPDX-License-Identifier: Apache-2.0
// GGM trees for any instruction set. `Isa` gives Blocks, RoundKeys and encrypt (csrc/aes/blocks_<isa>.h), kWide (the
// registers that go through AES together), interleave and select; see portable.cpp.
//
// A tree is grown level by level inside the memory of its leaves: level l lies in its last 2^l blocks, so that a group
// of children never reaches a parent that is still unread. One tree of 2^13 leaves is 128 KiB and stays in L2.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/wipe.h"
#include "vole/impl.h"
#include "vole/vole.h"

namespace crypsis::vole {
namespace {

struct Block {
  std::uint64_t w[2];

  static Block load(const std::uint8_t* from) {
    Block x;
    std::memcpy(x.w, from, kBlockBytes);
    return x;
  }
  void store(std::uint8_t* to) const { std::memcpy(to, w, kBlockBytes); }
  void operator^=(const Block& other) {
    w[0] ^= other.w[0];
    w[1] ^= other.w[1];
  }
};

inline constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// What the holder of a punctured tree knows better than its memory: the node on the path is zero, its sibling `value`.
struct Patch {
  std::uint64_t path = kNowhere;
  std::uint64_t sibling = kNowhere;
  Block value{};
};

template <class Isa>
struct Trees {
  using Blocks = typename Isa::Blocks;
  using RoundKeys = typename Isa::RoundKeys;
  static constexpr std::size_t kBlocks = Blocks::kBlocks;
  static constexpr int kWide = Isa::kWide;

  struct Keys {
    RoundKeys left;
    RoundKeys right;
    explicit Keys(const TreeKeys& keys) : left(keys.side[0]), right(keys.side[1]) {}
  };

  static void fold(const Blocks& blocks, Block& into) {
    alignas(64) std::uint8_t bytes[kBlocks * kBlockBytes];
    blocks.store(bytes);
    for (std::size_t i = 0; i < kBlocks; ++i) into ^= Block::load(bytes + i * kBlockBytes);
  }

  template <bool kPatched>
  static Blocks patched(Blocks x, std::uint64_t first, const Patch& patch) {
    if constexpr (kPatched) {
      x = Isa::select(x, first, patch.path, Blocks::zero());
      x = Isa::select(x, first, patch.sibling, Blocks::broadcast(&patch.value));
    }
    return x;
  }

  // Children of n nodes of one level; sums are of all left and all right ones.
  template <bool kPatched>
  static void expand_level(const Keys& keys, const std::uint8_t* parents, std::size_t n, const Patch& patch,
                           std::uint8_t* children, Block sums[2]) {
    constexpr std::size_t kGroup = kWide * kBlocks;
    Blocks left_sum = Blocks::zero();
    Blocks right_sum = Blocks::zero();
    std::size_t i = 0;
    for (; i + kGroup <= n; i += kGroup) {
      Blocks x[kWide];
      Blocks left[kWide];
      Blocks right[kWide];
      for (int r = 0; r < kWide; ++r) {
        const std::size_t at = i + r * kBlocks;
        x[r] = patched<kPatched>(Blocks::load(parents + at * kBlockBytes), at, patch);
        left[r] = x[r];
        right[r] = x[r];
      }
      Isa::encrypt(keys.left, left);
      for (int r = 0; r < kWide; ++r) {
        left[r] ^= x[r];
        left_sum ^= left[r];
      }
      Isa::encrypt(keys.right, right);
      for (int r = 0; r < kWide; ++r) {
        right[r] ^= x[r];
        right_sum ^= right[r];
        Isa::store_interleaved(left[r], right[r], children + 2 * (i + r * kBlocks) * kBlockBytes);
      }
    }
    sums[0] = sums[1] = Block{};
    fold(left_sum, sums[0]);
    fold(right_sum, sums[1]);
    while (i < n) {
      const std::size_t take = n - i < kBlocks ? n - i : kBlocks;
      const Blocks x = patched<kPatched>(Blocks::load_first(parents + i * kBlockBytes, take), i, patch);
      alignas(64) std::uint8_t side[2][kBlocks * kBlockBytes];
      Blocks y[1] = {x};
      Isa::encrypt(keys.left, y);
      (y[0] ^ x).store(side[0]);
      y[0] = x;
      Isa::encrypt(keys.right, y);
      (y[0] ^ x).store(side[1]);
      for (std::size_t j = 0; j < take; ++j, ++i) {
        for (std::size_t s = 0; s < 2; ++s) {
          const Block child = Block::load(side[s] + j * kBlockBytes);
          child.store(children + (2 * i + s) * kBlockBytes);
          sums[s] ^= child;
        }
      }
    }
  }

  static void expand(const TreeKeys& schedules, const std::uint8_t* seed, unsigned depth,
                     std::uint8_t* leaves, std::uint8_t* sums) {
    const Keys keys(schedules);
    const std::size_t n_leaves = std::size_t{1} << depth;
    std::uint8_t* const end = leaves + n_leaves * kBlockBytes;
    std::memcpy(end - kBlockBytes, seed, kBlockBytes);
    for (unsigned level = 0; level < depth; ++level) {
      const std::size_t n = std::size_t{1} << level;
      Block level_sums[2];
      expand_level<false>(keys, end - n * kBlockBytes, n, {}, end - 2 * n * kBlockBytes, level_sums);
      level_sums[0].store(sums + (2 * level) * kBlockBytes);
      level_sums[1].store(sums + (2 * level + 1) * kBlockBytes);
    }
  }

  // The leaf at `position` is zero, or, where `correction` is given, that ^ all others.
  static void reconstruct(const TreeKeys& schedules, const std::uint8_t* known, std::uint64_t position,
                          unsigned depth, const std::uint8_t* correction, std::uint8_t* leaves) {
    const Keys keys(schedules);
    const std::size_t n_leaves = std::size_t{1} << depth;
    std::uint8_t* const end = leaves + n_leaves * kBlockBytes;
    // The children of the path's node, which counts as zero, are in every sum: take them out again.
    Block of_zero[2];
    std::uint8_t scratch[2 * kBlockBytes];
    std::memset(scratch, 0, sizeof scratch);
    expand_level<false>(keys, scratch + kBlockBytes, 1, {}, scratch, of_zero);

    std::memset(end - kBlockBytes, 0, kBlockBytes);
    Patch patch;
    const WipeGuard wipe(patch);
    Block others{};  // the xor of all leaves but the missing one
    const WipeGuard wipe_others(others);
    for (unsigned level = 0; level < depth; ++level) {
      const std::size_t n = std::size_t{1} << level;
      Block level_sums[2];
      expand_level<true>(keys, end - n * kBlockBytes, n, patch, end - 2 * n * kBlockBytes, level_sums);
      const std::uint64_t side = ((position >> (depth - 1 - level)) & 1) ^ 1;
      const Block given = Block::load(known + level * kBlockBytes);
      patch.path = position >> (depth - 1 - level);
      patch.sibling = patch.path ^ 1;
      for (int w = 0; w < 2; ++w) {
        const std::uint64_t left = level_sums[0].w[w] ^ of_zero[0].w[w];
        const std::uint64_t right = level_sums[1].w[w] ^ of_zero[1].w[w];
        patch.value.w[w] = given.w[w] ^ left ^ ((left ^ right) & (0 - side));
        others.w[w] = left ^ right ^ patch.value.w[w];
      }
    }
    Block missing{};
    const WipeGuard wipe_missing(missing);
    if (correction != nullptr) {
      missing = Block::load(correction);
      missing ^= others;
    }
    const Blocks at_path = Blocks::broadcast(&missing), at_sibling = Blocks::broadcast(&patch.value);
    const auto filled = [&](Blocks x, std::size_t first) {
      x = Isa::select(x, first, patch.path, at_path);
      return Isa::select(x, first, patch.sibling, at_sibling);
    };
    std::size_t i = 0;
    for (; i + kBlocks <= n_leaves; i += kBlocks) {
      filled(Blocks::load(leaves + i * kBlockBytes), i).store(leaves + i * kBlockBytes);
    }
    if (i < n_leaves) {
      const std::size_t rest = n_leaves - i;
      filled(Blocks::load_first(leaves + i * kBlockBytes, rest), i)
          .store_first(leaves + i * kBlockBytes, rest);
    }
  }
};

}  // namespace
}  // namespace crypsis::vole
