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
  for (std::size_t i = 0; i < bin.n; ++i) {  // a key is written again for each of its rows, the last end counts
    const Entry e = entries[i];
    n_keys += (e ^ last) >> 32 != 0;
    last = e;
    bin.rows[i] = static_cast<std::uint32_t>(e);
    bin.row_ends[n_keys - 1] = bin.first + static_cast<std::uint32_t>(i) + 1;
    store_key(bin.records + kRowBytes * (n_keys - 1), e);
  }
  return n_keys;
}

inline void sort_tag_entries(const TagBin& bin, const BinScratch& scratch) {
  sort_entries([=](std::size_t i) { return tag_entry(bin.tags + bin.width * i, bin.width, i); }, bin.n, 0,
               ~std::uint64_t{0}, scratch);
  if (bin.width > 12) sort_runs(scratch.entries, bin.n, bin);
}

void sort_bin(const TagBin& bin, std::uint8_t* out, std::uint32_t* order, const BinScratch& scratch) {
  sort_tag_entries(bin, scratch);
  for (std::size_t i = 0; i < bin.n; ++i) {
    const auto index = static_cast<std::uint32_t>(scratch.entries[i]);
    copy_tag(out + bin.width * i, bin.tags + bin.width * index, bin.width);
    order[i] = static_cast<std::uint32_t>(bin.first + index);
  }
}

// Own tags sorted, then one pass over both.
MatchResult match_bin(const TagBin& own, const TagBin& peer, std::uint32_t* own_index,
                      std::uint32_t* peer_index, const BinScratch& scratch) {
  MatchResult result;
  const auto own_value = [&](std::size_t i) {
    return tag_value(own.tags + own.width * static_cast<std::uint32_t>(scratch.entries[i]), own.width);
  };
  sort_tag_entries(own, scratch);
  const Entry* const entries = scratch.entries;
  for (std::size_t i = 1; i < own.n; ++i) {
    if ((entries[i] ^ entries[i - 1]) >> 32 != 0 || own_value(i) != own_value(i - 1)) continue;
    result.fault = Fault::kOwnEqual;
    result.first = own.first + static_cast<std::uint32_t>(entries[i - 1]);
    result.second = own.first + static_cast<std::uint32_t>(entries[i]);
    return result;
  }
  Entry last = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < peer.n; ++i) {
    const Entry value = tag_value(peer.tags + peer.width * i, peer.width);
    if (i != 0 && value <= last) {
      result.fault = Fault::kPeerOrder;
      result.first = peer.first + i - 1;
      result.second = peer.first + i;
      return result;
    }
    last = value;
    while (at < own.n && entries[at] >> 32 < value >> 32) ++at;
    while (at < own.n && entries[at] >> 32 == value >> 32 && own_value(at) < value) ++at;
    if (at < own.n && entries[at] >> 32 == value >> 32 && own_value(at) == value) {
      own_index[result.n_pairs] = static_cast<std::uint32_t>(own.first + static_cast<std::uint32_t>(entries[at]));
      peer_index[result.n_pairs++] = static_cast<std::uint32_t>(peer.first + i);
    }
  }
  return result;
}

}  // namespace
}  // namespace crypsis::partition
