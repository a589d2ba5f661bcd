// SPDX-License-Identifier: Apache-2.0
// Radix partition, sort and match of 16-byte digests and of tags: what set intersection does besides
// cryptography. Checked entry points; the backends behind them are in impl.h.
//
// Rows are digests, so bins and buckets come from their bytes and are even for honest inputs; any input is
// handled in n log n time at most. Time and addresses depend on the bytes. No output may overlap an input or
// another output. Bad sizes throw std::invalid_argument and a backend that cannot run here
// BackendUnavailable, before anything is written. Every backend and number of threads gives the same bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::partition {

struct Options {
  std::string_view backend;  // empty: the best one
  int threads = 0;           // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

inline constexpr std::size_t kMaxRows = 0xffffffff;  // row ids and indices are 32 bits
inline constexpr std::size_t kMaxBins = std::size_t{1} << 24;
inline constexpr std::size_t kMinTagBytes = 8, kMaxTagBytes = 16;

// Keys of 16 bytes grouped by inner bin floor(le64(key[0:8]) n_bins / 2^64), in their order within a bin.
// out: n keys. order: the n indices they had. starts: n_bins + 1.
void by_bin(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, std::uint8_t* out,
            std::uint32_t* order, std::uint64_t* starts, const Options& options);

// Digests of 16 bytes to records digest[0:12] || le32(row), grouped by outer bin
// floor(le32(digest[12:16]) n_bins / 2^32), in their order within a bin. rows: n of them, or null for
// first_row + i. out: n records. starts: n_bins + 1.
void records(const std::uint8_t* digests, const std::uint32_t* rows, std::uint32_t first_row, std::size_t n,
             std::size_t n_bins, std::uint8_t* out, std::uint64_t* starts, const Options& options);

// Records to distinct keys record[0:12] || 0000, ascending by (le64(key[0:8]), le32(key[8:12])), hence grouped
// by inner bin; the rows of a key ascend. Returns u, the number of keys. keys: space for n keys, u written.
// starts: n_bins + 1, of keys. row_starts: space for n + 1, u + 1 written: rows of key k are
// rows[row_starts[k], row_starts[k + 1]). rows: n. Bytes of keys and row_starts beyond u are scratch.
std::size_t group(const std::uint8_t* records, std::size_t n, std::size_t n_bins, std::uint8_t* keys,
                  std::uint64_t* starts, std::uint32_t* row_starts, std::uint32_t* rows,
                  const Options& options);

// Tags of `width` bytes (8 to 16), bin b is [starts[b], starts[b + 1]): ascending by bytes within each bin,
// equal tags in their order. order: the index each had in `tags`.
void sort_tags(const std::uint8_t* tags, std::size_t n, std::size_t width, const std::uint64_t* starts,
               std::size_t n_bins, std::uint8_t* out, std::uint32_t* order, const Options& options);

// A bin's tags, as sort_tags has them.
struct Tags {
  const std::uint8_t* tags;
  std::size_t n;
  const std::uint64_t* starts;
};

enum class Fault : std::uint8_t { kNone, kPeerOrder, kOwnEqual };

struct MatchResult {
  std::size_t n_pairs = 0;
  Fault fault = Fault::kNone;  // of the first bin that has one; the outputs are then scratch
  std::size_t bin = 0;
  std::size_t first = 0, second = 0;  // indices of the tags that are not ascending or are equal
};

// Pairs (index in own, index in peer) of equal tags in the same bin, ascending by the latter. Peer tags must be
// strictly ascending by bytes and own tags distinct in each bin: a fault otherwise. own_index, peer_index: space
// for the sum over bins of min(own tags, peer tags).
MatchResult match(const Tags& own, const Tags& peer, std::size_t width, std::size_t n_bins,
                  std::uint32_t* own_index, std::uint32_t* peer_index, const Options& options);

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

}  // namespace crypsis::partition
