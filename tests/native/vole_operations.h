// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: the vole slug on secret seeds, leaves, Delta, choices, positions and data, and
// the planted leaks that they must catch. The codes of the encoders are public: their seed is known.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "secrets.h"
#include "vole/impl.h"
#include "vole/lpn.h"
#include "vole/vole.h"

namespace crypsis::native_tests {

using vole::compiled;
using vole::Impl;

constexpr std::size_t kBlock = vole::kBlockBytes;
// The table of the primal encoder whose positions need 32 bits is what takes the room.
constexpr std::size_t kSecretBytes = (std::size_t{1} << 17) * kBlock;
constexpr std::size_t kTrees = 3;
constexpr std::size_t kPositions = 33;  // blocks of 128 positions: a tile and a rest

struct alignas(64) Secret {
  std::uint8_t bytes[kSecretBytes];
};

inline void secret_positions(const Secret& secret, unsigned depth, std::uint64_t (&positions)[kTrees]) {
  std::memcpy(positions, secret.bytes, sizeof positions);
  for (std::uint64_t& position : positions) position &= (std::uint64_t{1} << depth) - 1;
}

struct Buffers {
  alignas(64) std::uint8_t vector[2][(std::size_t{1} << 7) * kBlock];
  alignas(64) std::uint8_t corrections[kPositions * vole::kColumns * kBlock];
  alignas(64) std::uint8_t columns[2 * vole::kTileColumnBytes];
  alignas(64) std::uint8_t rows[kPositions * 128 * kBlock];
  alignas(64) std::uint8_t small[1024 * kBlock];
  alignas(64) aes::KeySchedule schedules[vole::kDeltaBits * 2];
};

// 128 trees of two leaves, the most columns and corrections; their key schedules are secret bytes.
inline void extend(const Impl& impl, const Secret& secret, bool full, bool chosen, Buffers& out) {
  static std::uint8_t depth[vole::kDeltaBits];
  static std::size_t first_leaf[vole::kDeltaBits];
  for (std::size_t i = 0; i < vole::kDeltaBits; ++i) {
    depth[i] = 1;
    first_leaf[i] = 2 * i;
  }
  static_assert(sizeof out.schedules < kSecretBytes / 4);
  std::memcpy(out.schedules, secret.bytes, sizeof out.schedules);
  const std::uint8_t* const rest = secret.bytes + kSecretBytes / 2;
  static std::uint8_t mask[vole::kColumns][kBlock];
  std::memcpy(mask, rest + kSecretBytes / 4, sizeof mask);
  const vole::SmallFieldKeys keys{full, vole::kDeltaBits, depth, first_leaf, out.schedules, mask};
  vole::SmallFieldJob job{};
  job.first_block = 3;
  job.n_blocks = kPositions;
  job.choices = full && chosen ? rest : nullptr;
  job.corrections_out = full ? out.corrections : nullptr;
  job.bits_out = full ? out.small : nullptr;
  job.corrections = full ? nullptr : rest;
  job.chosen = chosen;
  job.rows = out.rows;
  job.columns = out.columns;
  impl.extend(keys, job, 0, vole::n_tiles(kPositions));
}

inline void random_keys(std::string_view backend, const Secret& secret, Buffers& out) {
  const vole::Tweak tweak{5, 7};
  const std::uint8_t* const delta = secret.bytes + 64 * kBlock;
  for (const vole::Tweak* first : {static_cast<const vole::Tweak*>(nullptr), &tweak}) {
    vole::random_keys(backend, secret.bytes, 35, delta, first, out.small, 1);
    vole::random_keys(backend, secret.bytes, 35, nullptr, first, out.small, 1);
  }
}

inline void expand_convolute(std::string_view backend, const std::uint8_t* code, const Secret& secret,
                             Buffers& out) {
  std::memcpy(out.vector, secret.bytes, sizeof out.vector);
  const vole::CodeVector first{out.vector[0], out.small, kBlock};
  const vole::CodeVector other{out.vector[1], out.small + 600 * kBlock, kBlock};
  const vole::CodeVector single{out.vector[1], out.small + 600 * kBlock, 8};
  vole::expand_convolute({backend, 1}, vole::CodeField::k128, code, 7, 7, 50, first, {});
  vole::expand_convolute({backend, 1}, vole::CodeField::k128, code, 7, 7, 50, first, other);
  vole::expand_convolute({backend, 1}, vole::CodeField::k64, code, 7, 7, 50, first, {});
  vole::expand_convolute({backend, 1}, vole::CodeField::k64, code, 7, 7, 50, first, single);
}

// From amidst the data of each operation on.
inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 65 * kBlock, kSecretBytes / 2);
}
inline void prepare(const Impl&) {}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static Buffers out;
  const std::string_view name = impl.name;
  const vole::LpnCall call{name, 1};
  const std::uint8_t* const data = secret.bytes + 64 * kBlock;
  constexpr unsigned kDepth = 5;
  std::uint8_t code[kBlock] = {1, 2, 3};
  std::uint64_t positions[kTrees];
  secret_positions(secret, kDepth, positions);
  if (operation == "expand_trees") {
    vole::expand_trees(name, data, kTrees, kDepth, out.rows, out.small, 1);
  } else if (operation == "reconstruct_trees") {
    vole::reconstruct_trees(name, data, positions, kTrees, kDepth, out.rows, 1);
  } else if (operation == "full_field") {
    const vole::SmallField field(3, data, nullptr);
  } else if (operation == "punctured_field") {
    const vole::SmallField field(3, data, secret.bytes);
  } else if (operation == "extend_full") {
    extend(impl, secret, true, true, out);
    extend(impl, secret, true, false, out);
  } else if (operation == "extend_punctured") {
    extend(impl, secret, false, true, out);
    extend(impl, secret, false, false, out);
  } else if (operation == "columns_to_rows") {
    impl.columns_to_rows(secret.bytes, kPositions, 0, vole::n_tiles(kPositions), out.rows);
  } else if (operation == "hash_columns") {
    vole::hash_columns(name, code, secret.bytes, secret.bytes + kSecretBytes / 2, kPositions, out.small);
  } else if (operation == "random_keys") {
    random_keys(name, secret, out);
  } else if (operation == "noise_trees") {
    vole::expand_noise(call, data, kTrees, kDepth, out.rows, out.small, out.small + 512 * kBlock);
    vole::reconstruct_noise(call, data, positions, secret.bytes, kTrees, kDepth, out.rows);
  } else if (operation == "correlated_trees") {
    vole::expand_correlated(call, data, secret.bytes, kTrees, kDepth, out.rows, out.small);
    vole::reconstruct_correlated(call, data, positions, kTrees, kDepth, out.rows);
  } else if (operation == "place_noise") {
    vole::place_noise(call, positions, data, kBlock, kTrees, kDepth, out.rows);
    vole::place_noise(call, positions, data, 8, kTrees, kDepth, out.rows);
  } else if (operation == "primal_encode") {
    std::memcpy(out.small, secret.bytes + kSecretBytes / 2, sizeof out.small);
    vole::primal_encode(call, code, 4, 37, data, 6, out.small, out.rows);
    vole::primal_encode(call, code, 4, 37, secret.bytes, 17, out.small, out.rows);
  } else if (operation == "expand_convolute") {
    expand_convolute(name, code, secret, out);
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
