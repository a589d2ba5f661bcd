// SPDX-License-Identifier: Apache-2.0
// Correlated GGM trees [GYWZXLZ23, Fig. 3] for any instruction set (Isa as in trees.h, and sigma): the two children of x are
// H(x) and H(x) ^ x, so that every level's nodes add up to Delta when the first two do. One AES block a child pair. H is
// the circular correlation-robust hash [GKWY20, section 7.3]: H(x) = pi(sigma(x)) ^ sigma(x), sigma an orthomorphism.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vole/trees.h"

namespace crypsis::vole {
namespace {

template <class Isa>
struct HalfTrees {
  using Blocks = typename Isa::Blocks;
  using RoundKeys = typename Isa::RoundKeys;
  using Base = Trees<Isa>;
  static constexpr std::size_t kBlocks = Blocks::kBlocks;
  static constexpr int kWide = Isa::kWide;

  // Children of n nodes of one level; sums[0] is of all left ones, sums[1] of all right ones.
  template <bool kPatched>
  static void expand_level(const RoundKeys& keys, const std::uint8_t* parents, std::size_t n,
                           const Patch& patch, std::uint8_t* children, Block sums[2]) {
    constexpr std::size_t kGroup = kWide * kBlocks;
    Blocks left_sum = Blocks::zero();
    Blocks parent_sum = Blocks::zero();
    std::size_t i = 0;
    for (; i + kGroup <= n; i += kGroup) {
      Blocks x[kWide];
      Blocks left[kWide];
      for (int r = 0; r < kWide; ++r) {
        const std::size_t at = i + r * kBlocks;
        x[r] = Base::template patched<kPatched>(Blocks::load(parents + at * kBlockBytes), at, patch);
        left[r] = Isa::sigma(x[r]);
      }
      Isa::encrypt(keys, left);
      for (int r = 0; r < kWide; ++r) {
        left[r] ^= Isa::sigma(x[r]);
        left_sum ^= left[r];
        parent_sum ^= x[r];
        Isa::store_interleaved(left[r], left[r] ^ x[r], children + 2 * (i + r * kBlocks) * kBlockBytes);
      }
    }
    sums[0] = sums[1] = Block{};
    Base::fold(left_sum, sums[0]);
    Base::fold(left_sum ^ parent_sum, sums[1]);
    while (i < n) {
      const std::size_t take = n - i < kBlocks ? n - i : kBlocks;
      const Blocks x =
          Base::template patched<kPatched>(Blocks::load_first(parents + i * kBlockBytes, take), i, patch);
      Blocks y[1] = {Isa::sigma(x)};
      Isa::encrypt(keys, y);
      alignas(64) std::uint8_t side[2][kBlocks * kBlockBytes];
      const Blocks left = y[0] ^ Isa::sigma(x);
      left.store(side[0]);
      (left ^ x).store(side[1]);
      for (std::size_t j = 0; j < take; ++j, ++i) {
        for (std::size_t s = 0; s < 2; ++s) {
          const Block child = Block::load(side[s] + j * kBlockBytes);
          child.store(children + (2 * i + s) * kBlockBytes);
          sums[s] ^= child;
        }
      }
    }
  }

  // sums[level]: of the left nodes one below `level`, depth blocks.
  static void expand(const aes::KeySchedule& schedule, const std::uint8_t* seed, const std::uint8_t* delta,
                     unsigned depth, std::uint8_t* leaves, std::uint8_t* sums) {
    const RoundKeys keys(schedule);
    std::uint8_t* const end = leaves + (std::size_t{1} << depth) * kBlockBytes;
    Block node = Block::load(seed);
    node.store(sums);
    node.store(end - 2 * kBlockBytes);
    node ^= Block::load(delta);
    node.store(end - kBlockBytes);
    for (unsigned level = 1; level < depth; ++level) {
      const std::size_t n = std::size_t{1} << level;
      Block level_sums[2];
      expand_level<false>(keys, end - n * kBlockBytes, n, {}, end - 2 * n * kBlockBytes, level_sums);
      level_sums[0].store(sums + level * kBlockBytes);
    }
  }

  // known[level]: the sum on the side away from the path. The leaf at `position` is zero.
  static void reconstruct(const aes::KeySchedule& schedule, const std::uint8_t* known, std::uint64_t position,
                          unsigned depth, std::uint8_t* leaves) {
    const RoundKeys keys(schedule);
    const std::size_t n_leaves = std::size_t{1} << depth;
    std::uint8_t* const end = leaves + n_leaves * kBlockBytes;
    // The children of the path's node, which counts as zero, are in every sum: take them out again.
    Block of_zero[2];
    std::uint8_t scratch[2 * kBlockBytes];
    std::memset(scratch, 0, sizeof scratch);
    expand_level<false>(keys, scratch + kBlockBytes, 1, {}, scratch, of_zero);

    std::memset(end - 2 * kBlockBytes, 0, 2 * kBlockBytes);
    Patch patch;
    const WipeGuard wipe(patch);
    patch.path = position >> (depth - 1);
    patch.sibling = patch.path ^ 1;
    patch.value = Block::load(known);
    for (unsigned level = 1; level < depth; ++level) {
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
      }
    }
    std::size_t i = 0;
    for (; i + kBlocks <= n_leaves; i += kBlocks) {
      Base::template patched<true>(Blocks::load(leaves + i * kBlockBytes), i, patch)
          .store(leaves + i * kBlockBytes);
    }
    if (i < n_leaves) {
      const std::size_t rest = n_leaves - i;
      Base::template patched<true>(Blocks::load_first(leaves + i * kBlockBytes, rest), i, patch)
          .store_first(leaves + i * kBlockBytes, rest);
    }
  }
};

}  // namespace
}  // namespace crypsis::vole
