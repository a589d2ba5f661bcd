// SPDX-License-Identifier: Apache-2.0
// Tags of one bin in buckets of sixteen by their leading bits, without counting first: 32 bits of a tag go to a cache
// line, its index to the next. Four to eight tags a bucket on average leave so much space that few overflow; their
// tags, or all of a bin that is not even, go to a list that is sorted.
#pragma once
#include "partition/rows.h"

namespace crypsis::partition {
namespace {

// A line as registers of this ISA; GCC breaks wider vectors into single elements.
#if defined(__AVX512F__)
inline constexpr std::size_t kPartBytes = 64;
#elif defined(__AVX2__)
inline constexpr std::size_t kPartBytes = 32;
#else
inline constexpr std::size_t kPartBytes = 16;
#endif
using Part = std::int32_t __attribute__((vector_size(kPartBytes)));
inline constexpr std::size_t kParts = kLineBytes / kPartBytes, kPartLanes = kLanes / kParts;

inline constexpr struct {
  alignas(kLineBytes) std::int32_t lane[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  alignas(kLineBytes) std::int32_t bit[kLanes] = {1,       1 << 1,  1 << 2,  1 << 3, 1 << 4,  1 << 5,
                                                  1 << 6,  1 << 7,  1 << 8,  1 << 9, 1 << 10, 1 << 11,
                                                  1 << 12, 1 << 13, 1 << 14, 1 << 15};
} kOfLanes;

// By reference: how a vector is returned depends on the ISA.
inline void load_part(const std::int32_t* line, std::size_t part, Part& to) {
  std::memcpy(&to, line + kPartLanes * part, sizeof to);
}

struct TagLines {
  unsigned bits;           // 2^bits buckets, by the leading bits of a tag
  std::size_t n_overflow;  // tags of buckets that overflowed, sorted in scratch.entries

  std::size_t bucket(std::uint64_t high) const { return high >> 1 >> (63 - bits); }
  // The 32 bits below, turned so that their order is that of signed integers, which every ISA compares.
  std::int32_t print(std::uint64_t high) const {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(high << bits >> 32) ^ 0x80000000u);
  }
};

inline std::int32_t* prints_of(const BinScratch& scratch, std::size_t bucket) {
  return scratch.lines + 2 * kLanes * bucket;
}

inline std::int32_t* indices_of(const BinScratch& scratch, std::size_t bucket) {
  return scratch.lines + 2 * kLanes * bucket + kLanes;
}

inline Entry value_at(const TagBin& bin, std::size_t index) {
  return tag_value(bin.tags + bin.width * index, bin.width);
}

// Its leading 64 bits.
inline std::uint64_t high_at(const TagBin& bin, std::size_t index) {
  return __builtin_bswap64(load64(bin.tags + bin.width * index));
}

inline Entry value_of(const TagBin& bin, Entry e) {
  return value_at(bin, static_cast<std::uint32_t>(e));
}

// Bit i: lane i of the line equals `print`; of the first `count` lanes only.
inline std::uint32_t equal_lanes(const std::int32_t* line, std::int32_t print, std::uint8_t count) {
#if defined(__AVX512F__)
  const std::uint32_t equal = _mm512_cmpeq_epi32_mask(_mm512_load_si512(line), _mm512_set1_epi32(print));
#else
  Part bits = {};
  for (std::size_t p = 0; p < kParts; ++p) {
    Part lanes, bit;
    load_part(line, p, lanes);
    load_part(kOfLanes.bit, p, bit);
    bits |= (lanes == print) & bit;
  }
  std::uint64_t words[kPartBytes / 8], all = 0;
  std::memcpy(words, &bits, sizeof bits);
  for (const std::uint64_t word : words) all |= word;
  const auto equal = static_cast<std::uint32_t>(all | all >> 32);
#endif
  return equal & ((std::uint32_t{1} << count) - 1);
}

// seen(bucket, print, count, index) is called before a tag is put in its bucket of `count` tags.
template <class Seen>
inline TagLines fill_lines(const TagBin& bin, const BinScratch& scratch, const Seen& seen) {
  TagLines lines{line_bits(bin.n), 0};
  const std::size_t n_buckets = std::size_t{1} << lines.bits;
  std::memset(scratch.filled, 0, n_buckets);
  for (std::size_t i = 0; i < bin.n; ++i) {
    const std::uint64_t high = high_at(bin, i);
    const std::size_t b = lines.bucket(high);
    const std::int32_t print = lines.print(high);
    const std::uint8_t count = scratch.filled[b];
    seen(b, print, count, i);
    if (count < kLanes) [[likely]] {
      prints_of(scratch, b)[count] = print;
      indices_of(scratch, b)[count] = static_cast<std::int32_t>(i);
      scratch.filled[b] = static_cast<std::uint8_t>(count + 1);
    } else {
      scratch.filled[b] = kOverflow;
      scratch.entries[lines.n_overflow++] = tag_entry(bin.tags + bin.width * i, bin.width, i);
    }
  }
  if (lines.n_overflow == 0) return lines;
  for (std::size_t b = 0; b < n_buckets; ++b) {
    if (scratch.filled[b] != kOverflow) continue;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto i = static_cast<std::uint32_t>(indices_of(scratch, b)[lane]);
      scratch.entries[lines.n_overflow++] = tag_entry(bin.tags + bin.width * i, bin.width, i);
    }
  }
  sort_large(scratch.entries, lines.n_overflow);
  if (bin.width > 12) sort_runs(scratch.entries, lines.n_overflow, bin);
  return lines;
}

// The indices of a line of `count` in the order of their prints' leading 28 bits, equal ones in their order;
// whole lines are written, so kLanes values.
inline void sort_line(const std::int32_t* prints, const std::int32_t* indices, std::uint8_t count,
                      std::int32_t* sorted) {
  // Distinct by their lane in the low bits; those behind `count` are the greatest.
  alignas(kLineBytes) std::int32_t keys[kLanes], places[kLanes];
  Part key[kParts], place[kParts] = {};
  for (std::size_t p = 0; p < kParts; ++p) {
    Part lane;
    load_part(kOfLanes.lane, p, lane);
    load_part(prints, p, key[p]);
    const Part behind = lane >= static_cast<std::int32_t>(count);
    key[p] = (((key[p] & ~behind) | (behind & INT32_MAX)) & ~15) | lane;
  }
  std::memcpy(keys, key, sizeof key);
  constexpr std::size_t kHalf = kLanes / 2;  // most lines hold no more
  const std::size_t end = count > kHalf ? kLanes : kHalf;
  for (std::size_t i = 0; i < end; ++i) {
    for (std::size_t p = 0; p < kParts; ++p) place[p] -= key[p] > keys[i];
  }
  std::memcpy(places, place, sizeof place);
  for (std::size_t i = 0; i < end; ++i) sorted[places[i]] = indices[i];
}

void sort_bin(const TagBin& bin, std::uint8_t* out, std::uint32_t* order, const BinScratch& scratch) {
  const TagLines lines =
      fill_lines(bin, scratch, [](std::size_t, std::int32_t, std::uint8_t, std::size_t) {});
  std::int32_t* const sorted = scratch.sorted;
  std::size_t at = 0, overflow = 0;
  for (std::size_t b = 0; b < std::size_t{1} << lines.bits; ++b) {
    const std::uint8_t count = scratch.filled[b];
    if (count != kOverflow) [[likely]] {
      sort_line(prints_of(scratch, b), indices_of(scratch, b), count, sorted + at);
      at += count;
      continue;
    }
    for (; overflow < lines.n_overflow; ++overflow) {
      const Entry e = scratch.entries[overflow];
      if (lines.bucket(high_of(e)) != b) break;
      sorted[at++] = static_cast<std::int32_t>(e);
    }
  }
  // Where 28 bits below the bucket were not enough, tags stand at most a line from their place.
  bool ascending = true;
  Entry last = 0;
  for (std::size_t i = 0; i < bin.n; ++i) {
    const auto index = static_cast<std::uint32_t>(sorted[i]);
    const Entry value = value_at(bin, index);
    ascending &= last <= value;
    last = value;
    copy_tag(out + bin.width * i, bin.tags + bin.width * index, bin.width);
    order[i] = static_cast<std::uint32_t>(bin.first + index);
  }
  if (ascending) [[likely]]
    return;
  for (std::size_t i = 1; i < bin.n; ++i) {
    const std::int32_t index = sorted[i];
    const Entry value = value_at(bin, static_cast<std::uint32_t>(index));
    std::size_t j = i;
    for (; j != 0 && value < value_at(bin, static_cast<std::uint32_t>(sorted[j - 1])); --j) {
      sorted[j] = sorted[j - 1];
    }
    sorted[j] = index;
  }
  for (std::size_t i = 0; i < bin.n; ++i) {
    const auto index = static_cast<std::uint32_t>(sorted[i]);
    copy_tag(out + bin.width * i, bin.tags + bin.width * index, bin.width);
    order[i] = static_cast<std::uint32_t>(bin.first + index);
  }
}

}  // namespace
}  // namespace crypsis::partition
