// SPDX-License-Identifier: Apache-2.0
// Own tags in lines of sixteen, equal ones found while they are put there; then the peer's tags, which ascend, walk
// over the lines once.
#pragma once
#include "partition/tag_lines.h"

namespace crypsis::partition {
namespace {

inline MatchResult fault_of(Fault fault, std::size_t first, std::size_t second) {
  MatchResult result;
  result.fault = fault;
  result.first = first;
  result.second = second;
  return result;
}

// The sorted overflow's tag of that value: its index, or -1.
inline std::int64_t find_overflow(const TagBin& own, const BinScratch& scratch, std::size_t n, Entry value) {
  std::size_t low = 0, high = n;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (value_of(own, scratch.entries[middle]) < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == n || value_of(own, scratch.entries[low]) != value) return -1;
  return static_cast<std::uint32_t>(scratch.entries[low]);
}

MatchResult match_bin(const TagBin& own, const TagBin& peer, std::uint32_t* own_index,
                      std::uint32_t* peer_index, const BinScratch& scratch) {
  std::size_t first = 0, second = 0;  // equal own tags
  const TagLines lines =
      fill_lines(own, scratch, [&](std::size_t b, std::int32_t print, std::uint8_t count, std::size_t i) {
        std::uint32_t equal = equal_lanes(prints_of(scratch, b), print, count);
        if (equal == 0) [[likely]] return;
        for (equal &= (1u << kLanes) - 1; equal != 0 && second == 0; equal &= equal - 1) {
          const auto other = static_cast<std::uint32_t>(indices_of(scratch, b)[__builtin_ctz(equal)]);
          if (value_at(own, other) == value_at(own, i)) first = other, second = i;
        }
      });
  for (std::size_t i = 1; i < lines.n_overflow && second == 0; ++i) {
    const Entry before = scratch.entries[i - 1], e = scratch.entries[i];
    if (value_of(own, before) != value_of(own, e)) continue;
    first = static_cast<std::uint32_t>(before);
    second = static_cast<std::uint32_t>(e);
  }
  if (second != 0) return fault_of(Fault::kOwnEqual, own.first + first, own.first + second);

  MatchResult result;
  Entry last = 0;
  for (std::size_t i = 0; i < peer.n; ++i) {
    const Entry value = value_at(peer, i);
    if (value <= last && i != 0) [[unlikely]] {
      return fault_of(Fault::kPeerOrder, peer.first + i - 1, peer.first + i);
    }
    last = value;
    if (result.n_pairs == own.n) continue;  // all found, or none there: only the peer's order is left to check
    const std::size_t b = lines.bucket(value);
    const std::uint8_t count = scratch.filled[b];
    std::size_t index = 0;
    bool found = false;
    if (count != kOverflow) [[likely]] {
      std::uint32_t equal = equal_lanes(prints_of(scratch, b), lines.print(value), count);
      // No branch on what is even odds: own tag 0 is compared where none is equal.
      const auto candidate =
          static_cast<std::uint32_t>(indices_of(scratch, b)[__builtin_ctz(equal | 1u << (kLanes - 1))]);
      index = equal != 0 ? candidate : 0;
      found = (equal != 0) & (value_at(own, index) == value);
      for (equal &= equal - 1; equal != 0 && !found; equal &= equal - 1) [[unlikely]] {
        index = static_cast<std::uint32_t>(indices_of(scratch, b)[__builtin_ctz(equal)]);
        found = value_at(own, index) == value;
      }
    } else {
      const std::int64_t at = find_overflow(own, scratch, lines.n_overflow, value);
      found = at >= 0;
      index = found ? static_cast<std::size_t>(at) : 0;
    }
    own_index[result.n_pairs] = static_cast<std::uint32_t>(own.first + index);
    peer_index[result.n_pairs] = static_cast<std::uint32_t>(peer.first + i);
    result.n_pairs += found;
  }
  return result;
}

}  // namespace
}  // namespace crypsis::partition
