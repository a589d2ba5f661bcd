// SPDX-License-Identifier: Apache-2.0
// What a backend of the partition slug provides: kernels over a chunk of rows or over one bin. Callers
// (dispatch.cpp) have checked every size; no alignment is assumed where none is named, nothing overlaps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "partition/partition.h"

namespace crypsis::partition {

inline constexpr std::size_t kRowBytes = 16;
inline constexpr std::size_t kLineBytes = 64, kLineRows = kLineBytes / kRowBytes;

// More bins than this are scattered without lines: their lines would not fit the second cache.
inline constexpr std::size_t kMaxLineBins = 8192;

// 96 bits of key above 32 bits of index or row: the order of these integers is the order of the result.
using Entry = unsigned __int128;

// What a chunk's scatter needs besides its data.
struct Cursors {
  std::uint64_t* next;   // n_bins: where the next row of each bin goes, in rows of `out`; moved on
  std::uint64_t* begin;  // n_bins: scratch
  std::uint8_t* lines;   // n_bins lines of kLineBytes, aligned to kLineBytes; null: write every row by itself
};

// Lanes of a line of tags' leading bits, and the fill of one that holds more.
inline constexpr std::size_t kLanes = kLineBytes / sizeof(std::int32_t);
inline constexpr std::uint8_t kOverflow = kLanes + 1;

// Scratch of one thread, for bins of at most the size it was made for.
struct BinScratch {
  Entry* entries;         // as many as a bin has
  std::uint32_t* counts;  // group_bin: bucket_count(n) + 1
  // sort_bin, match_bin: 2^line_bits(n) buckets
  std::int32_t* lines;   // two lines each, aligned to kLineBytes
  std::uint8_t* filled;  // one each
  std::int32_t* sorted;  // sort_bin: n + kLanes
};

// Buckets that a bin of n entries is distributed to: two entries each, on average, or up to four.
constexpr unsigned bucket_bits(std::size_t n) {
  unsigned bits = 0;
  while (bits < 24 && (n >> (bits + 2)) != 0) ++bits;
  return bits;
}
constexpr std::size_t bucket_count(std::size_t n) {
  return std::size_t{1} << bucket_bits(n);
}

// Four to eight tags a bucket of kLanes.
constexpr unsigned line_bits(std::size_t n) {
  unsigned bits = 0;
  while (bits < 28 && n >> bits >= 8) ++bits;
  return bits;
}

// One bin of group(): n records at `records`, whose place takes the keys.
struct GroupBin {
  std::uint8_t* records;
  std::size_t n;
  std::uint64_t low, span;  // le64(record[0:8]) - low is at most span
  std::uint32_t first;      // position of its first row in `rows`
  std::uint32_t* row_ends;  // of each key, absolute
  std::uint32_t* rows;
};

struct TagBin {
  const std::uint8_t* tags;
  std::size_t n, width;
  std::size_t first;  // index of its first tag
};

struct Impl : Backend {
  // counts[bin] += 1 for each row: by le64(row[0:8]), by le32(row[12:16]).
  void (*count_keys)(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, std::uint64_t* counts);
  void (*count_digests)(const std::uint8_t* digests, std::size_t n, std::size_t n_bins,
                        std::uint64_t* counts);
  // order: null, or takes first + i.
  void (*scatter_keys)(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, const Cursors& cursors,
                       std::uint8_t* out, std::uint32_t first, std::uint32_t* order);
  void (*scatter_records)(const std::uint8_t* digests, const std::uint32_t* rows, std::uint32_t first_row,
                          std::size_t n, std::size_t n_bins, const Cursors& cursors, std::uint8_t* out);
  // Returns the number of keys.
  std::size_t (*group_bin)(const GroupBin& bin, const BinScratch& scratch);
  void (*sort_bin)(const TagBin& bin, std::uint8_t* out, std::uint32_t* order, const BinScratch& scratch);
  MatchResult (*match_bin)(const TagBin& own, const TagBin& peer, std::uint32_t* own_index,
                           std::uint32_t* peer_index, const BinScratch& scratch);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

// The rare cases, for every backend; large.cpp. Any input in n log n time.
void sort_large(Entry* entries, std::size_t n);
// Entries of tags longer than 12 bytes, sorted by their first 12 and index: puts runs of equal ones in order of
// the rest.
void sort_runs(Entry* entries, std::size_t n, const TagBin& bin);

}  // namespace crypsis::partition
