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

namespace crypsis::vole {

// The expanded keys of pi0 and pi1.
struct TreeKeys {
  aes::KeySchedule side[2];
};

struct Impl : Backend {
  // One tree: 2^depth leaves from one seed; sums[level][side], depth * 2 blocks.
  void (*expand_tree)(const TreeKeys& keys, const std::uint8_t* seed, unsigned depth, std::uint8_t* leaves,
                      std::uint8_t* sums);

  // One tree without the leaf at `position`, from known[level], depth blocks.
  void (*reconstruct_tree)(const TreeKeys& keys, const std::uint8_t* known, std::uint64_t position,
                           unsigned depth, std::uint8_t* leaves);

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
