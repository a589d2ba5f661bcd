// SPDX-License-Identifier: Apache-2.0
#include "vole/lpn.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "common/wipe.h"
#include "vole/impl.h"
#include "vole/vole.h"

namespace crypsis::vole {
namespace {

// A thread is worth starting for some tens of microseconds: trees of 2^14 leaves, or as many rows.
constexpr std::size_t kGrain = std::size_t{1} << 14;

void check_range(const char* name, std::size_t value, std::size_t low, std::size_t high) {
  if (value < low || value > high) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ": use " +
                                std::to_string(low) + " to " + std::to_string(high));
  }
}

void check_first_row(std::uint64_t first_row) {
  if (first_row % kPrimalRowGroup != 0) {
    throw std::invalid_argument("first_row is " + std::to_string(first_row) + ": give a multiple of " +
                                std::to_string(kPrimalRowGroup));
  }
}

void check_width(std::size_t width) {
  if (width != 8 && width != kBlockBytes) {
    throw std::invalid_argument("width is " + std::to_string(width) + ": use 8 or 16");
  }
}

std::size_t grain_trees(unsigned depth) {
  return std::max<std::size_t>(1, kGrain >> depth);
}

aes::KeySchedule schedule_of(const std::uint8_t* key) {
  aes::KeySchedule made;
  aes::expand_key(key, made);
  return made;
}

// Keys of the two convolutions and the expander: seed ^ 1, 2, 3 in its first byte.
aes::KeySchedule part_of(const std::uint8_t* seed, std::uint8_t part) {
  std::uint8_t key[kBlockBytes];
  std::memcpy(key, seed, sizeof key);
  key[0] = static_cast<std::uint8_t>(key[0] ^ part);
  return schedule_of(key);
}

}  // namespace

void expand_noise(const LpnCall& call, const std::uint8_t* seeds, std::size_t n_trees, unsigned depth,
                  std::uint8_t* leaves, std::uint8_t* sums, std::uint8_t* totals) {
  check_range("depth", depth, 1, kMaxTreeDepth);
  const Impl& impl = select(call.backend);
  const TreeKeys& keys = tree_keys();
  parallel_for(n_trees, grain_trees(depth), call.threads,
               [=, &impl, &keys](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   std::uint8_t* const own = leaves + (i << depth) * kBlockBytes;
                   std::uint8_t* const own_sums = sums + i * depth * 2 * kBlockBytes;
                   impl.expand_tree(keys, seeds + i * kBlockBytes, depth, own, own_sums);
                   const std::uint8_t* const last = own_sums + (depth - 1) * 2 * kBlockBytes;
                   for (std::size_t b = 0; b < kBlockBytes; ++b) {
                     totals[i * kBlockBytes + b] = static_cast<std::uint8_t>(last[b] ^ last[kBlockBytes + b]);
                   }
                 }
               });
}

void reconstruct_noise(const LpnCall& call, const std::uint8_t* known, const std::uint64_t* positions,
                       const std::uint8_t* corrections, std::size_t n_trees, unsigned depth,
                       std::uint8_t* leaves) {
  check_range("depth", depth, 1, kMaxTreeDepth);
  const Impl& impl = select(call.backend);
  const TreeKeys& keys = tree_keys();
  parallel_for(n_trees, grain_trees(depth), call.threads,
               [=, &impl, &keys](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   impl.reconstruct_tree(keys, known + i * depth * kBlockBytes, positions[i], depth,
                                         corrections + i * kBlockBytes, leaves + (i << depth) * kBlockBytes);
                 }
               });
}

void expand_correlated(const LpnCall& call, const std::uint8_t* seeds, const std::uint8_t* delta,
                       std::size_t n_trees, unsigned depth, std::uint8_t* leaves, std::uint8_t* sums) {
  check_range("depth", depth, 1, kMaxTreeDepth);
  const Impl& impl = select(call.backend);
  const aes::KeySchedule& key = tree_keys().side[0];
  parallel_for(n_trees, grain_trees(depth), call.threads,
               [=, &impl, &key](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   std::uint8_t* const own = leaves + (i << depth) * kBlockBytes;
                   impl.lpn.expand_half(key, seeds + i * kBlockBytes, delta, depth, own,
                                        sums + i * depth * kBlockBytes);
                   impl.lpn.clear_low_bits(own, std::size_t{1} << depth);
                 }
               });
}

void reconstruct_correlated(const LpnCall& call, const std::uint8_t* known, const std::uint64_t* positions,
                            std::size_t n_trees, unsigned depth, std::uint8_t* leaves) {
  check_range("depth", depth, 1, kMaxTreeDepth);
  const Impl& impl = select(call.backend);
  const aes::KeySchedule& key = tree_keys().side[0];
  parallel_for(n_trees, grain_trees(depth), call.threads,
               [=, &impl, &key](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   std::uint8_t* const own = leaves + (i << depth) * kBlockBytes;
                   impl.lpn.reconstruct_half(key, known + i * depth * kBlockBytes, positions[i], depth, own);
                   impl.lpn.place(own, std::size_t{1} << depth, positions[i]);
                 }
               });
}

void place_noise(const LpnCall& call, const std::uint64_t* positions, const std::uint8_t* values,
                 std::size_t width, std::size_t n_trees, unsigned depth, std::uint8_t* out) {
  check_range("depth", depth, 1, kMaxTreeDepth);
  check_width(width);
  const Impl& impl = select(call.backend);
  parallel_for(n_trees, grain_trees(depth), call.threads, [=, &impl](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::uint8_t* const own = out + (i << depth) * width;
      if (width == kBlockBytes) {
        impl.lpn.indicate(own, std::size_t{1} << depth, positions[i], values + i * kBlockBytes);
        continue;
      }
      // Half as many blocks, and the value in one half of a block.
      std::uint64_t block[2];
      const WipeGuard wipe(block);
      std::memcpy(block, values + i * width, width);
      const std::uint64_t odd = 0 - (positions[i] & 1);
      block[1] = block[0] & odd;
      block[0] &= ~odd;
      std::uint8_t bytes[kBlockBytes];
      const WipeGuard wipe_bytes(bytes);
      std::memcpy(bytes, block, sizeof bytes);
      impl.lpn.indicate(own, std::size_t{1} << (depth - 1), positions[i] >> 1, bytes);
    }
  });
}

void primal_encode(const LpnCall& call, const std::uint8_t* seed, std::uint64_t first_row, std::size_t n_rows,
                   const std::uint8_t* table, unsigned log_table, std::uint8_t* out, std::uint8_t* bits) {
  check_range("log_table", log_table, 0, kMaxLogTable);
  check_first_row(first_row);
  const Impl& impl = select(call.backend);
  const aes::KeySchedule key = schedule_of(seed);
  parallel_for(n_rows, kGrain, call.threads, [=, &impl, &key](std::size_t begin, std::size_t end) {
    impl.lpn.primal(key, first_row + begin, end - begin, table, log_table, out + begin * kBlockBytes,
                    bits == nullptr ? nullptr : bits + begin / 8);
  });
}

void primal_positions(const LpnCall& call, const std::uint8_t* seed, std::uint64_t first_row,
                      std::size_t n_rows, unsigned log_table, std::uint32_t* positions) {
  check_range("log_table", log_table, 0, kMaxLogTable);
  check_first_row(first_row);
  select(call.backend).lpn.positions(schedule_of(seed), first_row, n_rows, log_table, positions);
}

void expand_convolute(const LpnCall& call, CodeField field, const std::uint8_t* seed, unsigned log_code,
                      std::size_t weight, std::size_t n_out, const CodeVector& first,
                      const CodeVector& second) {
  check_range("log_code", log_code, kMinLogCode, kMaxLogTable);
  check_range("weight", weight, 1, kMaxExpanderWeight);
  for (const CodeVector& one : {first, second}) {
    check_width(one.width);
    if (field == CodeField::k128) check_range("width", one.width, kBlockBytes, kBlockBytes);
  }
  const Impl& impl = select(call.backend);
  const std::size_t n = std::size_t{1} << log_code;
  const aes::KeySchedule keys[2] = {part_of(seed, 1), part_of(seed, 2)};
  const aes::KeySchedule expander = part_of(seed, 3);
  // Each element needs the one before: one thread.
  const auto convolute = [&](const CodeVector& one) {
    const bool blocks = one.width == kBlockBytes;
    const auto kernel = field == CodeField::k128 ? impl.lpn.convolute
                        : blocks                 ? impl.lpn.convolute_pairs
                                                 : impl.lpn.convolute_singles;
    kernel(keys, one.vector, n);
  };
  // One vector after the other: both at once would not fit a second-level cache.
  const auto expand = [&](const CodeVector& one) {
    const auto kernel = one.width == kBlockBytes ? impl.lpn.expand : impl.lpn.expand_singles;
    parallel_for(n_out, kGrain, call.threads, [&](std::size_t begin, std::size_t end) {
      kernel(expander, weight, begin, end - begin, one.vector, log_code, one.out + begin * one.width);
    });
  };
  const bool together =
      second.vector != nullptr && field == CodeField::k128 && impl.lpn.convolute_two != nullptr;
  if (together) {
    impl.lpn.convolute_two(keys, first.vector, second.vector, n);
  } else {
    convolute(first);
  }
  expand(first);
  if (second.vector == nullptr) return;
  if (!together) convolute(second);
  expand(second);
}

std::size_t measure_gather(const LpnCall& call, const std::uint8_t* table, unsigned log_table,
                           std::size_t n_rows, std::size_t repeats) {
  check_range("log_table", log_table, 0, kMaxLogTable);
  const std::uint8_t seed[kBlockBytes] = {};
  return select(call.backend).lpn.measure(schedule_of(seed), table, log_table, n_rows, repeats);
}

}  // namespace crypsis::vole
