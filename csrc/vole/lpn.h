// SPDX-License-Identifier: Apache-2.0
// The LPN encoders of silent OT and VOLE, and the punctured trees whose missing leaf is filled in. Checked entry points.
//
// A code is public and follows from a seed of 16 bytes: an AES-128 key whose counter mode gives the positions and taps.
// Addresses depend on the code only, never on the vectors: constant-time in all of them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vole/vole.h"

namespace crypsis::vole {

inline constexpr std::size_t kPrimalWeight = 10;  // ones in a row of the primal matrix [YWL+20, section 5]
inline constexpr unsigned kMaxLogTable = 24;      // positions come from the low bits of 16- or 32-bit words
inline constexpr std::size_t kMaxExpanderWeight = 40;
inline constexpr unsigned kMinLogCode = 6;  // a convolution reaches 25 places ahead, and must not meet itself

struct LpnCall {
  std::string_view backend;  // empty: the best one
  int threads = 0;
};

// As expand_trees (vole.h); totals[i] is the xor of all leaves of tree i.
void expand_noise(const LpnCall& call, const std::uint8_t* seeds, std::size_t n_trees, unsigned depth,
                  std::uint8_t* leaves, std::uint8_t* sums, std::uint8_t* totals);

// As reconstruct_trees; the missing leaf becomes corrections[i] ^ the xor of all others.
void reconstruct_noise(const LpnCall& call, const std::uint8_t* known, const std::uint64_t* positions,
                       const std::uint8_t* corrections, std::size_t n_trees, unsigned depth,
                       std::uint8_t* leaves);

// Correlated trees [GYWZXLZ23]: the first two nodes are seeds[i] and seeds[i] ^ delta, and every level adds up to delta;
// afterwards the lowest bit of each leaf is cleared. sums[i][level] is of the left nodes one below `level`.
void expand_correlated(const LpnCall& call, const std::uint8_t* seeds, const std::uint8_t* delta,
                       std::size_t n_trees, unsigned depth, std::uint8_t* leaves, std::uint8_t* sums);

// All leaves of those but one; that becomes the xor of all others, which is itself ^ delta. Then the lowest bit of each
// leaf is cleared, and set at the positions. known[i][level] as in reconstruct_trees.
void reconstruct_correlated(const LpnCall& call, const std::uint8_t* known, const std::uint64_t* positions,
                            std::size_t n_trees, unsigned depth, std::uint8_t* leaves);

// out[i][0, 2^depth) for tree i: zero but for values[i] at positions[i]. Constant-time in the positions. Values of
// `width` bytes, 8 or 16.
void place_noise(const LpnCall& call, const std::uint64_t* positions, const std::uint8_t* values,
                 std::size_t width, std::size_t n_trees, unsigned depth, std::uint8_t* out);

// out[i] ^= the xor of ten blocks of table[0, 2^log_table), for rows first_row + i of the matrix; first_row is a
// multiple of kPrimalRowGroup. `bits` may be nullptr; else it gets the lowest bits of out, packed. The positions of a row are drawn independently: two may be the same, and cancel.
inline constexpr std::size_t kPrimalRowGroup = 4;
void primal_encode(const LpnCall& call, const std::uint8_t* seed, std::uint64_t first_row, std::size_t n_rows,
                   const std::uint8_t* table, unsigned log_table, std::uint8_t* out, std::uint8_t* bits);

// Expand-convolute [RRT23]: vector[0, 2^log_code) is convoluted twice in place, then out[i], n_out of them, is the xor
// of `weight` of its elements. LPN_NOTES.md has the definition. Over GF(2^128), elements of 16 bytes; over GF(2^64),
// elements of 8 bytes or, width 16, pairs of them. The same code for two vectors, which may cost less
// together than twice.
enum class CodeField : std::uint8_t { k128, k64 };
struct CodeVector {
  std::uint8_t* vector = nullptr;
  std::uint8_t* out = nullptr;
  std::size_t width = kBlockBytes;
};
// second.vector may be nullptr.
void expand_convolute(const LpnCall& call, CodeField field, const std::uint8_t* seed, unsigned log_code,
                      std::size_t weight, std::size_t n_out, const CodeVector& first,
                      const CodeVector& second);

// The positions of rows [first_row, first_row + n_rows) of the primal matrix, and of the expander: for tests of their
// distribution. positions[n_rows][10 or weight].
void primal_positions(const LpnCall& call, const std::uint8_t* seed, std::uint64_t first_row,
                      std::size_t n_rows, unsigned log_table, std::uint32_t* positions);

// For benchmarks: reads 16-byte blocks at pseudorandom places of table[0, 2^log_table), ten an output as the encoder
// does, with the positions ready; returns the number of reads.
std::size_t measure_gather(const LpnCall& call, const std::uint8_t* table, unsigned log_table,
                           std::size_t n_rows, std::size_t repeats);

}  // namespace crypsis::vole
