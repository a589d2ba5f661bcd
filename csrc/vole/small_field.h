// SPDX-License-Identifier: Apache-2.0
// Small-field VOLE [Roy22, Fig. 7] for any instruction set: `Isa` as in trees.h, `Transpose` and `Field` from
// csrc/bitmatrix. Work is done in tiles of 4096 positions, whose 128 columns (72 KiB) stay in L2.
//
// For a tree with leaf streams r_x, x < 2^d, the owner of all leaves wants u = xor of all r_x and, for each bit j, v_j =
// xor of the r_x whose x has bit j. Pairs are summed first: v_0 takes the odd ones, and only the sum of a pair goes to u
// and to the other v_j: 1 + (d + 1) / 2 xors a leaf instead of 1 + d / 2 a leaf and bit. The punctured owner has the
// leaves renumbered so that the missing one is 0, and starts from the peer's corrections instead of zero.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bitmatrix/transpose_tiles.h"
#include "common/wipe.h"
#include "vole/impl.h"

namespace crypsis::vole {
namespace {

// Where shuffles do not run beside AES: the transpose of a tile at once.
template <class Transpose>
class WholeSteps {
 public:
  void begin(const std::uint8_t* columns, std::uint8_t* rows) {
    bitmatrix::rows_to_blocks<Transpose>(columns, kColumnStride, 128 * kTileBlocks, rows, scratch_);
  }
  void step() {}
  void finish() {}

 private:
  bitmatrix::TileScratch<Transpose> scratch_;
};

template <class Isa, class Transpose, class Field, class Steps>
struct SmallFieldKernel {
  using Blocks = typename Isa::Blocks;
  using RoundKeys = typename Isa::RoundKeys;
  static constexpr int kWide = Isa::kWide;
  static constexpr std::size_t kGroup = kWide * Blocks::kBlocks;  // blocks that go through AES together
  static_assert(kTileBlocks % kGroup == 0);

  struct Scratch {
    alignas(64) std::uint8_t columns[2][kTileColumnBytes];  // of this tile, and of the one before
    alignas(64) std::uint8_t counters[kTileBytes];
    alignas(64) std::uint8_t total[kTileBytes];
    alignas(64) std::uint8_t choices[kTileBytes];
    Steps steps;
    bitmatrix::TileScratch<Transpose> transpose;
  };

  [[gnu::always_inline]] static void add_to(std::uint8_t* to, const Blocks (&x)[kWide]) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kWide; ++r) {
      std::uint8_t* const at = to + r * sizeof(Blocks);
      (Blocks::load(at) ^ x[r]).store(at);
    }
  }

  [[gnu::always_inline]] static void stream(const RoundKeys& keys, const std::uint8_t* counters,
                                            Blocks (&x)[kWide]) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kWide; ++r) x[r] = Blocks::load(counters + r * sizeof(Blocks));
    Isa::encrypt(keys, x);
  }

  // All streams of one tree over one tile, added to its columns and, from a full tree, to scratch.total.
  template <bool kFull>
  static void add_tree(const aes::KeySchedule* leaves, unsigned depth, std::uint8_t* columns,
                       Scratch& scratch) {
    for (std::size_t pair = 0; pair < std::size_t{1} << (depth - 1); ++pair) {
      const RoundKeys even_keys(leaves[2 * pair]);
      const RoundKeys odd_keys(leaves[2 * pair + 1]);
      for (std::size_t at = 0; at < kTileBytes; at += kGroup * kBlockBytes) {
        Blocks sum[kWide];
        stream(odd_keys, scratch.counters + at, sum);
        add_to(columns + at, sum);
        if (kFull || pair != 0) {
          Blocks even[kWide];
          stream(even_keys, scratch.counters + at, even);
#pragma GCC unroll 8
          for (int r = 0; r < kWide; ++r) sum[r] ^= even[r];
        }
        if (kFull) add_to(scratch.total + at, sum);
        for (unsigned j = 1; j < depth; ++j) {
          if ((pair >> (j - 1)) & 1) add_to(columns + j * kColumnStride + at, sum);
        }
      }
      scratch.steps.step();
      if (depth < 4) scratch.steps.step();  // few pairs a tile
    }
  }

  static void set_counters(std::uint64_t first_block, Scratch& scratch) {
    for (std::size_t i = 0; i < kTileBlocks; i += Blocks::kBlocks) {
      Blocks::sequence(first_block + i, 0).store(scratch.counters + i * kBlockBytes);
    }
  }

  static void sender_tile(const SmallFieldKeys& keys, const SmallFieldJob& job, std::size_t tile,
                          Scratch& scratch, std::uint8_t* columns) {
    const std::size_t begin = tile * kTileBlocks;
    const std::size_t n_bytes = tile_blocks(job.n_blocks, tile) * kBlockBytes;
    std::uint8_t* correction =
        job.corrections_out + begin * kBlockBytes * keys.n_rows(job.choices != nullptr);
    set_counters(job.first_block + begin, scratch);
    std::memset(scratch.choices, 0, kTileBytes);
    if (job.choices != nullptr) std::memcpy(scratch.choices, job.choices + begin * kBlockBytes, n_bytes);
    for (std::size_t i = 0, column = 0; i < keys.n_trees; column += keys.depth[i], ++i) {
      std::uint8_t* const to = columns + column * kColumnStride;
      std::memset(to, 0, keys.depth[i] * kColumnStride);
      std::memcpy(scratch.total, scratch.choices, kTileBytes);
      add_tree<true>(keys.leaves + keys.first_leaf[i], keys.depth[i], to, scratch);
      if (i == 0 && job.choices == nullptr) {  // the first tree's own total is the choice: nothing to correct
        std::memcpy(scratch.choices, scratch.total, kTileBytes);
      } else {
        std::memcpy(correction, scratch.total, n_bytes);
        correction += n_bytes;
      }
    }
    if (job.bits_out != nullptr) std::memcpy(job.bits_out + begin * kBlockBytes, scratch.choices, n_bytes);
  }

  static void receiver_tile(const SmallFieldKeys& keys, const SmallFieldJob& job, std::size_t tile,
                            Scratch& scratch, std::uint8_t* columns) {
    const std::size_t begin = tile * kTileBlocks;
    const std::size_t n_bytes = tile_blocks(job.n_blocks, tile) * kBlockBytes;
    set_counters(job.first_block + begin, scratch);
    const std::uint8_t* correction = job.corrections + begin * kBlockBytes * keys.n_rows(job.chosen);
    for (std::size_t i = 0, column = 0; i < keys.n_trees; column += keys.depth[i], ++i) {
      std::memset(scratch.total, 0, kTileBytes);
      if (i != 0 || job.chosen) {
        std::memcpy(scratch.total, correction, n_bytes);
        correction += n_bytes;
      }
      std::uint8_t* const to = columns + column * kColumnStride;
      for (std::size_t j = 0; j < keys.depth[i]; ++j) {
        const Blocks mask = Blocks::broadcast(keys.delta_mask[column + j]);
        for (std::size_t at = 0; at < kTileBytes; at += sizeof(Blocks)) {
          (Blocks::load(scratch.total + at) & mask).store(to + j * kColumnStride + at);
        }
      }
      add_tree<false>(keys.leaves + keys.first_leaf[i], keys.depth[i], to, scratch);
    }
  }

  static void extend(const SmallFieldKeys& keys, const SmallFieldJob& job, std::size_t begin_tile,
                     std::size_t end_tile) {
    Scratch scratch;
    const WipeGuard wipe(scratch);
    for (std::size_t tile = begin_tile; tile < end_tile; ++tile) {
      std::uint8_t* const columns =
          job.columns != nullptr ? job.columns + tile * kTileColumnBytes : scratch.columns[tile % 2];
      (keys.full ? sender_tile : receiver_tile)(keys, job, tile, scratch, columns);
      scratch.steps.finish();  // of the tile before
      if (job.rows == nullptr) continue;
      const std::size_t n = tile_blocks(job.n_blocks, tile);
      std::uint8_t* const rows = job.rows + tile * kTileBlocks * kColumns * kBlockBytes;
      if (n == kTileBlocks) {
        scratch.steps.begin(columns, rows);
      } else {
        bitmatrix::rows_to_blocks<Transpose>(columns, kColumnStride, 128 * n, rows, scratch.transpose);
      }
    }
    scratch.steps.finish();
  }

  static void columns_to_rows(const std::uint8_t* columns, std::size_t n_blocks, std::size_t begin_tile,
                              std::size_t end_tile, std::uint8_t* rows) {
    bitmatrix::TileScratch<Transpose> scratch;
    const WipeGuard wipe(scratch);
    for (std::size_t tile = begin_tile; tile < end_tile; ++tile) {
      bitmatrix::rows_to_blocks<Transpose>(columns + tile * kTileColumnBytes, kColumnStride,
                                           128 * tile_blocks(n_blocks, tile),
                                           rows + tile * kTileBlocks * kColumns * kBlockBytes, scratch);
    }
  }

  struct HashScratch {
    typename Field::Sum sums[kColumns + 1];
    alignas(64) std::uint8_t coefficients[kTileBytes];
  };

  static void hash_columns(const aes::KeySchedule& challenge, const std::uint8_t* columns,
                           const std::uint8_t* bits, std::size_t n_blocks, std::uint8_t* out) {
    const RoundKeys keys(challenge);
    HashScratch scratch;
    const WipeGuard wipe(scratch);
    for (auto& sum : scratch.sums) sum = typename Field::Sum();
    for (std::size_t tile = 0; tile < n_tiles(n_blocks); ++tile) {
      const std::size_t begin = tile * kTileBlocks;
      const std::size_t n = tile_blocks(n_blocks, tile);
      for (std::size_t at = 0; at < kTileBlocks; at += kGroup) {
        Blocks x[kWide];
        for (int r = 0; r < kWide; ++r) {
          x[r] = Blocks::sequence(begin + at + static_cast<std::size_t>(r) * Blocks::kBlocks, 0);
        }
        Isa::encrypt(keys, x);
        for (std::size_t r = 0; r < kWide; ++r) {
          x[r].store(scratch.coefficients + (at + r * Blocks::kBlocks) * kBlockBytes);
        }
      }
      if (begin + n ==
          n_blocks) {  // the last block masks the result: its coefficient is 1, what follows counts as 0
        std::memset(scratch.coefficients + (n - 1) * kBlockBytes, 0, (kTileBlocks - n + 1) * kBlockBytes);
        scratch.coefficients[(n - 1) * kBlockBytes] = 1;
      }
      for (std::size_t column = 0; column < kColumns; ++column) {
        add_products(scratch.sums[column], columns + tile * kTileColumnBytes + column * kColumnStride,
                     scratch.coefficients);
      }
      if (bits != nullptr) {
        alignas(64) std::uint8_t padded[kTileBytes] = {};
        std::memcpy(padded, bits + begin * kBlockBytes, n * kBlockBytes);
        add_products(scratch.sums[kColumns], padded, scratch.coefficients);
        secure_wipe(padded, sizeof padded);
      }
    }
    for (std::size_t i = 0; i < kColumns + (bits != nullptr); ++i) {
      Field::reduce_lanes(scratch.sums[i], out + i * kBlockBytes);
    }
  }

  [[gnu::always_inline]] static void add_products(typename Field::Sum& into, const std::uint8_t* column,
                                                  const std::uint8_t* coefficients) {
    typename Field::Sum sum = into;
#pragma GCC unroll 8
    for (std::size_t at = 0; at < kTileBytes; at += Field::kLanes * kBlockBytes) {
      Field::accumulate(sum, Field::load(column + at), Field::load(coefficients + at));
    }
    into = sum;
  }
};

}  // namespace
}  // namespace crypsis::vole
