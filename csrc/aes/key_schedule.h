// SPDX-License-Identifier: Apache-2.0
// The expanded AES-128 key, as every backend and the headers blocks_<isa>.h take it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace crypsis::aes {

constexpr std::size_t kBlockBytes = 16;
constexpr int kRounds = 10;

// The eleven round keys of one key, in the order and byte order of the standard [FIPS 197, 5.2]. As secret as the key.
struct KeySchedule {
  alignas(16) std::uint8_t bytes[(kRounds + 1) * kBlockBytes];
};

// Constant-time in the key: the S-box is a circuit, not a table.
void expand_key(const std::uint8_t key[kBlockBytes], KeySchedule& out) noexcept;

}  // namespace crypsis::aes
