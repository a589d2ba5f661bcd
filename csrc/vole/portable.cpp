// SPDX-License-Identifier: Apache-2.0
// Plain C++: bitsliced AES, right on every 64-bit CPU.
#include "aes/blocks_portable.h"
#include "bitmatrix/gf128_portable.h"
#include "bitmatrix/transpose_portable.h"
#include "vole/encoders.h"
#include "vole/impl.h"
#include "vole/lanes_portable.h"
#include "vole/random_keys.h"
#include "vole/small_field.h"
#include "vole/trees.h"

namespace crypsis::vole {
namespace {

struct Isa : LanesPortable {
  using Blocks = aes::blocks_portable::Blocks;
  using RoundKeys = aes::blocks_portable::RoundKeys;
  static constexpr int kWide = 1;

  template <int R>
  static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_portable::encrypt(keys, x);
  }
  // left[0], right[0], left[1], right[1], ...
  static void store_interleaved(const Blocks& left, const Blocks& right, std::uint8_t* to) {
    for (std::size_t i = 0; i < Blocks::kBlocks; ++i) {
      std::memcpy(to + 2 * i * kBlockBytes, left.v + 2 * i, kBlockBytes);
      std::memcpy(to + (2 * i + 1) * kBlockBytes, right.v + 2 * i, kBlockBytes);
    }
  }
  // The halves (low, high) of each block become (high, low ^ high).
  static Blocks sigma(Blocks x) {
    for (std::size_t i = 0; i < 2 * Blocks::kBlocks; i += 2) {
      const std::uint64_t low = x.v[i];
      x.v[i] = x.v[i + 1];
      x.v[i + 1] ^= low;
    }
    return x;
  }
  // x with `value` in the place i for which first + i == index, if there is one; constant-time in index.
  static Blocks select(Blocks x, std::uint64_t first, std::uint64_t index, const Blocks& value) {
    for (std::size_t i = 0; i < Blocks::kBlocks; ++i) {
      const std::uint64_t differs = (first + i) ^ index;
      const std::uint64_t keep = 0 - ((differs | (0 - differs)) >> 63);
      for (std::size_t w = 2 * i; w < 2 * i + 2; ++w) x.v[w] = (x.v[w] & keep) | (value.v[w] & ~keep);
    }
    return x;
  }
};

using Kernel = SmallFieldKernel<Isa, bitmatrix::TransposePortable, bitmatrix::Gf128Portable,
                                WholeSteps<bitmatrix::TransposePortable>>;

}  // namespace

const Impl portable{{"portable", 0},         Trees<Isa>::expand,   Trees<Isa>::reconstruct, Kernel::extend,
                    Kernel::columns_to_rows, Kernel::hash_columns, RandomKeys<Isa>::keys,   kLpnKernels<Isa>};

}  // namespace crypsis::vole
