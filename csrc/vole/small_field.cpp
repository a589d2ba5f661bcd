// SPDX-License-Identifier: Apache-2.0
// The leaves of the trees as AES keys, and the work of the tiles shared among threads.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "common/wipe.h"
#include "vole/impl.h"

namespace crypsis::vole {
namespace {

// A tile is some 20 microseconds of work.
constexpr std::size_t kGrainTiles = 4;

// Swaps x[i] and x[i ^ distance] for all i if `swap`, in the same time if not.
void swap_by(std::uint8_t* blocks, std::size_t n, std::size_t distance, bool swap) {
  const auto mask = static_cast<std::uint8_t>(0 - static_cast<unsigned>(swap));
  for (std::size_t i = 0; i < n; ++i) {
    if (i & distance) continue;
    std::uint8_t* const a = blocks + i * kBlockBytes;
    std::uint8_t* const b = blocks + (i ^ distance) * kBlockBytes;
    for (std::size_t j = 0; j < kBlockBytes; ++j) {
      const auto difference = static_cast<std::uint8_t>((a[j] ^ b[j]) & mask);
      a[j] = static_cast<std::uint8_t>(a[j] ^ difference);
      b[j] = static_cast<std::uint8_t>(b[j] ^ difference);
    }
  }
}

bool bit(const std::uint8_t* bytes, std::size_t i) {
  return (bytes[i / 8] >> (i % 8)) & 1;
}

}  // namespace

struct SmallField::State {
  std::vector<std::uint8_t> depth;
  std::vector<std::size_t> first_leaf;
  std::vector<aes::KeySchedule> leaves;
  alignas(64) std::uint8_t delta_mask[kColumns][kBlockBytes] = {};
  SmallFieldKeys keys{};

  ~State() {
    secure_wipe(leaves.data(), leaves.size() * sizeof(aes::KeySchedule));
    secure_wipe(delta_mask, sizeof delta_mask);
  }
};

std::vector<std::uint8_t> tree_depths(unsigned k) {
  if (k < 1 || k > kMaxFieldBits) {
    throw std::invalid_argument("k is " + std::to_string(k) + ": use 1 to " + std::to_string(kMaxFieldBits));
  }
  std::vector<std::uint8_t> depths(kDeltaBits / k, static_cast<std::uint8_t>(k));
  if (kDeltaBits % k != 0) depths.push_back(static_cast<std::uint8_t>(kDeltaBits % k));
  return depths;
}

SmallField::SmallField(unsigned k, const std::uint8_t* leaves, const std::uint8_t* delta)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.depth = tree_depths(k);
  std::size_t n_leaves = 0;
  for (const std::uint8_t depth : s.depth) {
    s.first_leaf.push_back(n_leaves);
    n_leaves += std::size_t{1} << depth;
  }
  s.leaves.resize(n_leaves);
  std::uint8_t tree[(std::size_t{1} << kMaxFieldBits) * kBlockBytes];
  const WipeGuard wipe(tree);
  for (std::size_t i = 0, column = 0; i < s.depth.size(); column += s.depth[i], ++i) {
    const std::size_t n = std::size_t{1} << s.depth[i];
    std::copy_n(leaves + s.first_leaf[i] * kBlockBytes, n * kBlockBytes, tree);
    if (delta != nullptr) {
      for (std::size_t j = 0; j < s.depth[i]; ++j) {
        const bool set = bit(delta, column + j);
        swap_by(tree, n, std::size_t{1} << j, set);
        std::fill_n(s.delta_mask[column + j], kBlockBytes,
                    static_cast<std::uint8_t>(0 - static_cast<unsigned>(set)));
      }
    }
    for (std::size_t x = 0; x < n; ++x)
      aes::expand_key(tree + x * kBlockBytes, s.leaves[s.first_leaf[i] + x]);
  }
  s.keys = {delta == nullptr,    s.depth.size(),  s.depth.data(),
            s.first_leaf.data(), s.leaves.data(), s.delta_mask};
}

SmallField::~SmallField() = default;

bool SmallField::full() const {
  return state_->keys.full;
}

std::size_t SmallField::n_leaves() const {
  return state_->leaves.size();
}

std::size_t SmallField::n_rows(bool chosen) const {
  return state_->keys.n_rows(chosen);
}

void SmallField::extend(std::string_view backend, const SmallFieldJob& job, int threads) const {
  const Impl& impl = select(backend);
  parallel_for(n_tiles(job.n_blocks), kGrainTiles, threads,
               [&](std::size_t begin, std::size_t end) { impl.extend(state_->keys, job, begin, end); });
}

std::size_t columns_bytes(std::size_t n_blocks) {
  return n_tiles(n_blocks) * kTileColumnBytes;
}

void columns_to_rows(std::string_view backend, const std::uint8_t* columns, std::size_t n_blocks,
                     std::uint8_t* rows, int threads) {
  const Impl& impl = select(backend);
  parallel_for(n_tiles(n_blocks), kGrainTiles, threads, [&](std::size_t begin, std::size_t end) {
    impl.columns_to_rows(columns, n_blocks, begin, end, rows);
  });
}

void hash_columns(std::string_view backend, const std::uint8_t* challenge, const std::uint8_t* columns,
                  const std::uint8_t* bits, std::size_t n_blocks, std::uint8_t* out) {
  const Impl& impl = select(backend);
  aes::KeySchedule keys;
  const WipeGuard wipe(keys);
  aes::expand_key(challenge, keys);
  impl.hash_columns(keys, columns, bits, n_blocks, out);
}

}  // namespace crypsis::vole
