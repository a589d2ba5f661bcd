// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "aes/fixed_keys.h"
#include "common/threads.h"
#include "vole/impl.h"
#include "vole/vole.h"

namespace crypsis::vole {
namespace {

constexpr std::string_view kSlug = "vole";

// A thread is worth starting for some 2^14 leaves, tens of microseconds of work.
constexpr std::size_t kGrainLeaves = std::size_t{1} << 14;

void check_depth(unsigned depth) {
  if (depth < 1 || depth > kMaxTreeDepth) {
    throw std::invalid_argument("depth is " + std::to_string(depth) + ": use 1 to " +
                                std::to_string(kMaxTreeDepth));
  }
}

std::size_t grain_trees(unsigned depth) {
  return std::max<std::size_t>(1, kGrainLeaves >> depth);
}

}  // namespace

// pi0 and pi1 are the aes slug's keys for trees, apart from the one that its hashes use.
const TreeKeys& tree_keys() {
  static const TreeKeys keys = [] {
    TreeKeys made;
    aes::expand_key(aes::kFixedKeys[aes::kLeftKey], made.side[0]);
    aes::expand_key(aes::kFixedKeys[aes::kRightKey], made.side[1]);
    return made;
  }();
  return keys;
}

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
      &avx2,
#endif
      &portable,
  };
  return table;
}

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

void expand_trees(std::string_view backend, const std::uint8_t* seeds, std::size_t n_trees, unsigned depth,
                  std::uint8_t* leaves, std::uint8_t* sums, int threads) {
  check_depth(depth);
  const Impl& impl = select(backend);
  const TreeKeys& keys = tree_keys();
  parallel_for(n_trees, grain_trees(depth), threads, [=, &impl, &keys](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      impl.expand_tree(keys, seeds + i * kBlockBytes, depth, leaves + (i << depth) * kBlockBytes,
                       sums + i * depth * 2 * kBlockBytes);
    }
  });
}

void reconstruct_trees(std::string_view backend, const std::uint8_t* known, const std::uint64_t* positions,
                       std::size_t n_trees, unsigned depth, std::uint8_t* leaves, int threads) {
  check_depth(depth);
  const Impl& impl = select(backend);
  const TreeKeys& keys = tree_keys();
  parallel_for(n_trees, grain_trees(depth), threads, [=, &impl, &keys](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      impl.reconstruct_tree(keys, known + i * depth * kBlockBytes, positions[i], depth, nullptr,
                            leaves + (i << depth) * kBlockBytes);
    }
  });
}

void random_keys(std::string_view backend, const std::uint8_t* rows, std::size_t n, const std::uint8_t* delta,
                 const Tweak* first, std::uint8_t* out, int threads) {
  static const aes::KeySchedule key = [] {
    aes::KeySchedule made;
    aes::expand_key(aes::kFixedKeys[aes::kHashKey], made);
    return made;
  }();
  const Impl& impl = select(backend);
  const std::size_t out_bytes = (delta == nullptr ? 1 : 2) * kBlockBytes;
  parallel_for(n, kGrainLeaves, threads, [=, &impl](std::size_t begin, std::size_t end) {
    Tweak from = first == nullptr ? Tweak{} : *first;
    from.low += begin;
    impl.random_keys(key, delta, first == nullptr ? nullptr : &from, rows + begin * kBlockBytes, end - begin,
                     out + begin * out_bytes);
  });
}

}  // namespace crypsis::vole
