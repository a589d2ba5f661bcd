// SPDX-License-Identifier: Apache-2.0
// Sorts for what keyed hashes do not make: many entries in a bucket, many tags with one beginning.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "partition/rows.h"

namespace crypsis::partition {
namespace {

// Below this, comparisons beat passes over 256 counters.
constexpr std::size_t kRadixSize = 1024;

// Least significant byte first, over the bytes in which any two entries differ.
void radix_sort(Entry* entries, std::size_t n) {
  Entry differ = 0;
  for (std::size_t i = 1; i < n; ++i) differ |= entries[i] ^ entries[0];
  std::vector<Entry> memory(n);
  Entry *from = entries, *to = memory.data();
  for (unsigned shift = 0; shift < 128; shift += 8) {
    if ((differ >> shift & 0xff) == 0) continue;
    const auto digit = [=](Entry e) { return static_cast<std::size_t>(e >> shift & 0xff); };
    std::array<std::size_t, 256> next{};
    for (std::size_t i = 0; i < n; ++i) ++next[digit(from[i])];
    std::size_t total = 0;
    for (std::size_t& count : next) total += std::exchange(count, total);
    for (std::size_t i = 0; i < n; ++i) to[next[digit(from[i])]++] = from[i];
    std::swap(from, to);
  }
  if (from != entries) std::copy(from, from + n, entries);
}

}  // namespace

void sort_large(Entry* entries, std::size_t n) {
  if (std::is_sorted(entries, entries + n)) return;  // all rows of one key, in order: the common large bucket
  if (n < kRadixSize) {
    std::sort(entries, entries + n);
  } else {
    radix_sort(entries, n);
  }
}

void sort_runs(Entry* entries, std::size_t n, const TagBin& bin) {
  const auto value = [&](Entry e) {
    return tag_value(bin.tags + bin.width * static_cast<std::uint32_t>(e), bin.width);
  };
  for (std::size_t begin = 0; begin < n;) {
    std::size_t end = begin + 1;
    while (end < n && entries[end] >> 32 == entries[begin] >> 32) ++end;
    if (end - begin > 1) {
      std::sort(entries + begin, entries + end, [&](Entry a, Entry b) {
        const Entry x = value(a), y = value(b);
        return x != y ? x < y : a < b;  // equal tags in order of their indices
      });
    }
    begin = end;
  }
}

}  // namespace crypsis::partition
