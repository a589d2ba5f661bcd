// SPDX-License-Identifier: Apache-2.0
// The kernels below oblivious transfer and vector oblivious linear evaluation: punctured GGM trees, small-field VOLE,
// LPN encoders. Checked entry points; the backends behind them are in impl.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
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

inline constexpr unsigned kMaxFieldBits = 8;
inline constexpr std::size_t kDeltaBits = 128;

// Depths of the trees that make 128 bits of Delta with k bits each, k = 1 to 8; the last one takes what is left.
std::vector<std::uint8_t> tree_depths(unsigned k);

// A tweak of TMMO: the low half counts from item to item, below 2^64, the high one tells sessions apart.
struct Tweak {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

// Correlated rows to keys [GKWY20], n of them: with `delta` (16 bytes) out[2 i], out[2 i + 1] = H(rows[i]),
// H(rows[i] ^ delta); without, out[i] = H(rows[i]), and then out may be rows. H is TMMO with the tweak first + i, or MMO
// where `first` is nullptr, under the aes slug's key for hashes. Constant-time.
void random_keys(std::string_view backend, const std::uint8_t* rows, std::size_t n, const std::uint8_t* delta,
                 const Tweak* first, std::uint8_t* out, int threads);

struct SmallFieldKeys;
struct SmallFieldJob;

// Small-field VOLE [Roy22, Fig. 7] with q = 2^k and p = 2, for all trees at once: each leaf is an AES-128 key whose
// counter stream is the leaf's share. Immutable; the key schedules are wiped by the destructor.
class SmallField {
 public:
  // leaves: of all trees one after the other, 2^depth blocks each. With `delta` (16 bytes) the object is punctured:
  // the leaf at the value of Delta's bits of its tree is not used. Constant-time in leaves and delta.
  SmallField(unsigned k, const std::uint8_t* leaves, const std::uint8_t* delta);
  ~SmallField();
  SmallField(const SmallField&) = delete;
  SmallField& operator=(const SmallField&) = delete;

  bool full() const;
  std::size_t n_leaves() const;
  std::size_t n_rows(bool chosen) const;  // of corrections
  // The job's fields are described in impl.h.
  void extend(std::string_view backend, const SmallFieldJob& job, int threads) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Bytes of the columns of n_blocks * 128 positions, and what may be done with them; see impl.h.
std::size_t columns_bytes(std::size_t n_blocks);
void columns_to_rows(std::string_view backend, const std::uint8_t* columns, std::size_t n_blocks,
                     std::uint8_t* rows, int threads);
void hash_columns(std::string_view backend, const std::uint8_t* challenge, const std::uint8_t* columns,
                  const std::uint8_t* bits, std::size_t n_blocks, std::uint8_t* out);

}  // namespace crypsis::vole
