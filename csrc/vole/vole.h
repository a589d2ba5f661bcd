// SPDX-License-Identifier: Apache-2.0
// The kernels below oblivious transfer and vector oblivious linear evaluation: punctured GGM trees, small-field VOLE,
// LPN encoders. Checked entry points; the backends behind them are in impl.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::vole {

inline constexpr std::size_t kBlockBytes = 16;
inline constexpr unsigned kMaxTreeDepth = 24;

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

// GGM trees [GGM86] over the length-doubling generator G(x) = (pi0(x) ^ x, pi1(x) ^ x), pi0 and pi1 being AES-128 under
// two fixed keys (NOTES.md has its security and the keys). Blocks are 16 bytes. Tree i grows from seeds[i];
// leaves[i][0, 2^depth) are its leaves from left to right, and sums[i][level][side] is the xor of all left (0) or right
// (1) nodes of level + 1, as the sender of a punctured tree offers them. `seeds` may not overlap the outputs.
// Constant-time. Throws BackendUnavailable before anything is written.
void expand_trees(std::string_view backend, const std::uint8_t* seeds, std::size_t n_trees, unsigned depth,
                  std::uint8_t* leaves, std::uint8_t* sums, int threads);

// All leaves of the same trees but the one at positions[i] < 2^depth, which becomes zero. known[i][level] is the sum of
// level + 1 on the side away from the path to positions[i], whose bits are read from the highest. Constant-time, in the
// positions too: neither branch nor address depends on them.
void reconstruct_trees(std::string_view backend, const std::uint8_t* known, const std::uint64_t* positions,
                       std::size_t n_trees, unsigned depth, std::uint8_t* leaves, int threads);

}  // namespace crypsis::vole
