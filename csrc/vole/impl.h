// SPDX-License-Identifier: Apache-2.0
// What a backend of the vole slug provides. Callers (dispatch.cpp and the other .cpp files here) have checked every
// argument. Every function is constant-time in all bytes it is given.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "aes/key_schedule.h"
#include "common/dispatch.h"
#include "vole/lpn_kernels.h"
#include "vole/vole.h"

namespace crypsis::vole {

// The expanded keys of pi0 and pi1.
struct TreeKeys {
  aes::KeySchedule side[2];
};

// Small-field VOLE works on tiles of 4096 positions. The columns of a tile are rows of kTileBytes, kColumnStride apart:
// a stride that is no power of two, so that they spread over the sets of a cache.
inline constexpr std::size_t kColumns = 128;
inline constexpr std::size_t kTileBlocks = 32;
inline constexpr std::size_t kTileBytes = kTileBlocks * 16;
inline constexpr std::size_t kColumnStride = kTileBytes + 64;
inline constexpr std::size_t kTileColumnBytes = kColumns * kColumnStride;

inline std::size_t n_tiles(std::size_t n_blocks) {
  return (n_blocks + kTileBlocks - 1) / kTileBlocks;
}
inline std::size_t tile_blocks(std::size_t n_blocks, std::size_t tile) {
  const std::size_t rest = n_blocks - tile * kTileBlocks;
  return rest < kTileBlocks ? rest : kTileBlocks;
}

// The leaves of all trees as AES keys. Tree i covers columns first_column_i + [0, depth[i]).
struct SmallFieldKeys {
  bool full;  // all leaves; else leaf 0 of each tree is missing (its slot is not read)
  std::size_t n_trees;
  const std::uint8_t* depth;      // n_trees
  const std::size_t* first_leaf;  // n_trees
  const aes::KeySchedule* leaves;
  const std::uint8_t (*delta_mask)[16];  // kColumns, bytes of 0 or 255; punctured only

  // Rows of corrections; without `chosen` the first tree needs none.
  std::size_t n_rows(bool chosen) const { return n_trees - (chosen ? 0 : 1); }
};

// Positions [128 first_block, 128 (first_block + n_blocks)). Corrections lie tile by tile, in a tile row by row.
struct SmallFieldJob {
  std::uint64_t first_block;
  std::size_t n_blocks;
  const std::uint8_t* choices;      // full: n_blocks blocks, or nullptr for random ones
  std::uint8_t* corrections_out;    // full
  std::uint8_t* bits_out;           // full: the choices, n_blocks blocks, or nullptr
  const std::uint8_t* corrections;  // punctured
  bool chosen;                      // punctured: the corrections have a row for the first tree
  std::uint8_t* rows;               // 128 n_blocks blocks, or nullptr
  std::uint8_t* columns;            // n_tiles(n_blocks) * kTileColumnBytes, or nullptr
};

struct Impl : Backend {
  // One tree: 2^depth leaves from one seed; sums[level][side], depth * 2 blocks.
  void (*expand_tree)(const TreeKeys& keys, const std::uint8_t* seed, unsigned depth, std::uint8_t* leaves,
                      std::uint8_t* sums);

  // One tree without the leaf at `position`, from known[level], depth blocks. That leaf becomes zero, or `correction` ^
  // all others unless that is nullptr.
  void (*reconstruct_tree)(const TreeKeys& keys, const std::uint8_t* known, std::uint64_t position,
                           unsigned depth, const std::uint8_t* correction, std::uint8_t* leaves);

  // Small-field VOLE [Roy22, Fig. 7] of every tree, tiles [begin, end) of the job.
  void (*extend)(const SmallFieldKeys& keys, const SmallFieldJob& job, std::size_t begin_tile,
                 std::size_t end_tile);

  // The columns of tiles [begin, end) as 128 blocks a block of positions.
  void (*columns_to_rows)(const std::uint8_t* columns, std::size_t n_blocks, std::size_t begin_tile,
                          std::size_t end_tile, std::uint8_t* rows);

  // out[c] = sum over blocks b < n_blocks - 1 of AES(challenge, b) * column_c[b], plus column_c[n_blocks - 1], in
  // GF(2^128), for the 128 columns and then, unless it is nullptr, for `bits`.
  void (*hash_columns)(const aes::KeySchedule& challenge, const std::uint8_t* columns,
                       const std::uint8_t* bits, std::size_t n_blocks, std::uint8_t* out);

  // random_keys of vole.h; `delta` or `first` may be nullptr.
  void (*random_keys)(const aes::KeySchedule& key, const std::uint8_t* delta, const Tweak* first,
                      const std::uint8_t* rows, std::size_t n, std::uint8_t* out);

  LpnKernels lpn;
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

// The fixed ones.
const TreeKeys& tree_keys();

// The backend asked for, or the best; BackendUnavailable.
const Impl& select(std::string_view backend);

}  // namespace crypsis::vole
