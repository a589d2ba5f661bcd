// SPDX-License-Identifier: Apache-2.0
// What becomes of the leaves of one tree before they are noise, for any instruction set (Isa as in trees.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vole/trees.h"

namespace crypsis::vole {
namespace {

template <class Isa>
struct NoiseLeaves {
  using Blocks = typename Isa::Blocks;
  static constexpr std::size_t kBlocks = Blocks::kBlocks;

  static Blocks low_bits_off() {
    std::uint8_t block[kBlockBytes];
    std::memset(block, 0xff, sizeof block);
    block[0] = 0xfe;
    return Blocks::broadcast(block);
  }

  static void clear_low_bits(std::uint8_t* leaves, std::size_t n) {
    const Blocks keep = low_bits_off();
    std::size_t i = 0;
    for (; i + kBlocks <= n; i += kBlocks) {
      (Blocks::load(leaves + i * kBlockBytes) & keep).store(leaves + i * kBlockBytes);
    }
    if (i < n)
      (Blocks::load_first(leaves + i * kBlockBytes, n - i) & keep)
          .store_first(leaves + i * kBlockBytes, n - i);
  }

  // The leaf at `position` is zero and becomes the xor of all others. Then the lowest bit of each leaf is cleared, and that
  // of this one set; every leaf is read and written alike.
  static void place(std::uint8_t* leaves, std::size_t n, std::uint64_t position) {
    Blocks sum = Blocks::zero();
    std::size_t i = 0;
    for (; i + kBlocks <= n; i += kBlocks) sum ^= Blocks::load(leaves + i * kBlockBytes);
    if (i < n) sum ^= Blocks::load_first(leaves + i * kBlockBytes, n - i);
    Block value{};
    const WipeGuard wipe(value);
    Trees<Isa>::fold(sum, value);
    std::uint8_t bytes[kBlockBytes];
    value.store(bytes);
    const Blocks keep = low_bits_off();
    bytes[0] |= 1;
    const Blocks noise = Blocks::broadcast(bytes);
    for (i = 0; i + kBlocks <= n; i += kBlocks) {
      const Blocks leaf = Blocks::load(leaves + i * kBlockBytes) & keep;
      Isa::select(leaf, i, position, noise).store(leaves + i * kBlockBytes);
    }
    if (i < n) {
      const Blocks leaf = Blocks::load_first(leaves + i * kBlockBytes, n - i) & keep;
      Isa::select(leaf, i, position, noise).store_first(leaves + i * kBlockBytes, n - i);
    }
  }

  // Zero everywhere but `value` at `position`; every place is written alike.
  static void indicate(std::uint8_t* out, std::size_t n, std::uint64_t position, const std::uint8_t* value) {
    const Blocks noise = Blocks::broadcast(value);
    std::size_t i = 0;
    for (; i + kBlocks <= n; i += kBlocks) {
      Isa::select(Blocks::zero(), i, position, noise).store(out + i * kBlockBytes);
    }
    if (i < n) Isa::select(Blocks::zero(), i, position, noise).store_first(out + i * kBlockBytes, n - i);
  }
};

}  // namespace
}  // namespace crypsis::vole
