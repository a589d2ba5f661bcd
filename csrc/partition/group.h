// SPDX-License-Identifier: Apache-2.0
// Work within one bin, whose entries stay in the second cache: one counting sort by the leading bits to buckets
// of two to four entries, then one insertion sort over all of them, which moves nothing far. Buckets that are not
// small, which keyed hashes do not make, go to sort_large first.
#pragma once
#include "partition/rows.h"

namespace crypsis::partition {
namespace {

inline constexpr std::uint32_t kSmallBucket = 24;

inline void insertion_sort(Entry* entries, std::size_t n) {
  for (std::size_t i = 1; i < n; ++i) {
    const Entry e = entries[i];
    if (e >= entries[i - 1]) continue;
    std::size_t j = i;
    do {
      entries[j] = entries[j - 1];
      --j;
    } while (j != 0 && e < entries[j - 1]);
    entries[j] = e;
  }
}

// Entries load(i) with high_of - low in [0, span], sorted to scratch.entries.
template <class Load>
inline void sort_entries(const Load& load, std::size_t n, std::uint64_t low, std::uint64_t span,
                         const BinScratch& scratch) {
  Entry* const entries = scratch.entries;
  if (n <= kSmallBucket) {
    for (std::size_t i = 0; i < n; ++i) entries[i] = load(i);
    insertion_sort(entries, n);
    return;
  }
  const int excess = (span == 0 ? 0 : 64 - __builtin_clzll(span)) - static_cast<int>(bucket_bits(n));
  const int shift = excess > 0 ? excess : 0;
  const std::size_t n_buckets = (span >> shift) + 1;
  std::uint32_t* const counts = scratch.counts;
  std::memset(counts, 0, n_buckets * sizeof *counts);
  for (std::size_t i = 0; i < n; ++i) ++counts[(high_of(load(i)) - low) >> shift];
  std::uint32_t total = 0, most = 0;
  for (std::size_t b = 0; b < n_buckets; ++b) {
    const std::uint32_t count = counts[b];
    counts[b] = total;
    total += count;
    most = count > most ? count : most;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const Entry e = load(i);
    entries[counts[(high_of(e) - low) >> shift]++] = e;
  }
  if (most > kSmallBucket) {  // counts hold the ends now
    std::uint32_t begin = 0;
    for (std::size_t b = 0; b < n_buckets; ++b) {
      if (counts[b] - begin > kSmallBucket) sort_large(entries + begin, counts[b] - begin);
      begin = counts[b];
    }
  }
  insertion_sort(entries, n);
}

std::size_t group_bin(const GroupBin& bin, const BinScratch& scratch) {
  if (bin.n == 0) return 0;
  const std::uint8_t* const records = bin.records;
  sort_entries([=](std::size_t i) { return record_entry(records + kRowBytes * i); }, bin.n, bin.low, bin.span,
               scratch);
  const Entry* const entries = scratch.entries;
  std::size_t n_keys = 0;
  Entry last = ~entries[0];
  for (std::size_t i = 0; i < bin.n;
       ++i) {  // a key is written again for each of its rows, the last end counts
    const Entry e = entries[i];
    n_keys += (e ^ last) >> 32 != 0;
    last = e;
    bin.rows[i] = static_cast<std::uint32_t>(e);
    bin.row_ends[n_keys - 1] = bin.first + static_cast<std::uint32_t>(i) + 1;
    store_key(bin.records + kRowBytes * (n_keys - 1), e);
  }
  return n_keys;
}

}  // namespace
}  // namespace crypsis::partition
