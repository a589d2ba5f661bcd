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

// The own tag of that value, or -1: for lines where several prints are equal or that overflowed.
[[gnu::noinline]] std::int64_t find_tag(const TagBin& own, const BinScratch& scratch, const TagLines& lines,
                                        Entry value) {
  const std::size_t b = lines.bucket(high_of(value));
  const std::uint8_t count = scratch.filled[b];
  if (count != kOverflow) {
    std::uint32_t equal = equal_lanes(prints_of(scratch, b), lines.print(high_of(value)), count);
    for (; equal != 0; equal &= equal - 1) {
      const auto index = static_cast<std::uint32_t>(indices_of(scratch, b)[__builtin_ctz(equal)]);
      if (value_at(own, index) == value) return index;
    }
    return -1;
  }
  std::size_t low = 0, high = lines.n_overflow;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (value_of(own, scratch.entries[middle]) < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == lines.n_overflow || value_of(own, scratch.entries[low]) != value) return -1;
  return static_cast<std::uint32_t>(scratch.entries[low]);
}

// Peer tags of a block: first a candidate for each, then all candidates are compared, so that what one waits for
// in memory does not hold up the next. No branch depends on whether a tag is found, which is even odds.
inline constexpr std::size_t kBlock = 64;
struct Block {
  std::uint32_t candidates[kBlock], own[kBlock + 1], peer[kBlock + 1];
  std::uint8_t any[kBlock];  // whether there is a candidate
};

MatchResult match_bin(const TagBin& own, const TagBin& peer, std::uint32_t* own_index,
                      std::uint32_t* peer_index, const BinScratch& scratch) {
  std::size_t first = 0, second = 0;  // equal own tags
  const TagLines lines =
      fill_lines(own, scratch, [&](std::size_t b, std::int32_t print, std::uint8_t count, std::size_t i) {
        std::uint32_t equal = equal_lanes(prints_of(scratch, b), print, count);
        if (equal == 0) [[likely]]
          return;
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
  Block block;
  Entry last = 0;
  for (std::size_t begin = 0; begin < peer.n; begin += kBlock) {
    const std::size_t n = peer.n - begin < kBlock ? peer.n - begin : kBlock;
    bool exact = false;
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t high = high_at(peer, begin + i);
      const std::size_t b = lines.bucket(high);
      const std::uint8_t count = scratch.filled[b];
      const std::uint32_t equal = equal_lanes(prints_of(scratch, b), lines.print(high), count);
      exact |= (count == kOverflow) | ((equal & (equal - 1)) != 0);
      const std::size_t lane = static_cast<std::size_t>(__builtin_ctz(equal | 1u << (kLanes - 1)));
      block.any[i] = equal != 0;
      // Own tag 0 where there is none.
      block.candidates[i] =
          static_cast<std::uint32_t>(indices_of(scratch, b)[lane]) & -static_cast<std::uint32_t>(equal != 0);
    }
    std::size_t n_found = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const Entry value = value_at(peer, begin + i);
      if (value <= last && begin + i != 0) [[unlikely]] {
        return fault_of(Fault::kPeerOrder, peer.first + begin + i - 1, peer.first + begin + i);
      }
      last = value;
      if (own.n == 0) continue;
      std::uint32_t index = block.candidates[i];
      bool found = (block.any[i] != 0) & (value_at(own, index) == value);
      if (exact) [[unlikely]] {
        const std::int64_t at = find_tag(own, scratch, lines, value);
        found = at >= 0;
        index = static_cast<std::uint32_t>(at);
      }
      block.own[n_found] = static_cast<std::uint32_t>(own.first + index);
      block.peer[n_found] = static_cast<std::uint32_t>(peer.first + begin + i);
      n_found += found;
    }
    std::memcpy(own_index + result.n_pairs, block.own, n_found * sizeof *own_index);
    std::memcpy(peer_index + result.n_pairs, block.peer, n_found * sizeof *peer_index);
    result.n_pairs += n_found;
  }
  return result;
}

}  // namespace
}  // namespace crypsis::partition
