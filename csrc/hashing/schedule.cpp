// SPDX-License-Identifier: Apache-2.0
#include "hashing/schedule.h"

#include <algorithm>

namespace crypsis::hashing {
namespace {

// Readable, never looked at: what the entries behind the last message point to.
constexpr std::uint8_t kNothing[1] = {0};

std::uint64_t count_blocks(std::uint64_t n_bytes, bool padded) noexcept {
  if (padded)
    return (n_bytes + 8) / kBlockBytes + 1;  // 0x80 and 64 bits of length follow [FIPS 180-4, 5.1.1]
  return std::max<std::uint64_t>(1, (n_bytes + kBlockBytes - 1) / kBlockBytes);
}

template <class Offset>
void read_offsets(const Messages& messages, std::size_t begin, Window& window) noexcept {
  const Offset* const offsets = static_cast<const Offset*>(messages.offsets) + begin;
  for (std::size_t i = 0; i < window.n_items; ++i) {
    window.data[i] = messages.data + offsets[i];
    window.n_bytes[i] = static_cast<std::uint64_t>(offsets[i + 1] - offsets[i]);
  }
}

// Longest first; stable. Counting sort, as nearly all messages have a few blocks; the long ones then go among
// themselves.
void sort_by_blocks(Window& window) noexcept {
  constexpr std::size_t kBuckets = 64;
  const Window unsorted = window;
  auto bucket = [&](std::size_t i) {
    return kBuckets - std::min<std::size_t>(unsorted.n_blocks[i], kBuckets);
  };
  std::uint32_t starts[kBuckets + 1] = {};
  for (std::size_t i = 0; i < window.n_items; ++i) ++starts[bucket(i) + 1];
  for (std::size_t b = 0; b < kBuckets; ++b) starts[b + 1] += starts[b];
  const std::uint32_t n_long = starts[1];
  std::uint32_t order[kWindowItems];
  for (std::size_t i = 0; i < window.n_items; ++i) order[starts[bucket(i)]++] = static_cast<std::uint32_t>(i);
  std::sort(order, order + n_long, [&](std::uint32_t a, std::uint32_t b) {
    return unsorted.n_blocks[a] != unsorted.n_blocks[b] ? unsorted.n_blocks[a] > unsorted.n_blocks[b] : a < b;
  });
  for (std::size_t i = 0; i < window.n_items; ++i) {
    const std::uint32_t from = order[i];
    window.data[i] = unsorted.data[from];
    window.n_bytes[i] = unsorted.n_bytes[from];
    window.n_blocks[i] = unsorted.n_blocks[from];
    window.position[i] = from;
  }
}

}  // namespace

void plan_window(const Job& job, std::size_t begin, std::size_t end, bool sort, Window& window) noexcept {
  const Messages& messages = job.messages;
  window.n_items = std::min(end - begin, kWindowItems);
  switch (messages.layout) {
    case Messages::Layout::kRows:
      for (std::size_t i = 0; i < window.n_items; ++i) {
        window.data[i] = messages.data + (begin + i) * messages.stride;
        window.n_bytes[i] = messages.width;
      }
      break;
    case Messages::Layout::kOffsets32:
      read_offsets<std::int32_t>(messages, begin, window);
      break;
    case Messages::Layout::kOffsets64:
      read_offsets<std::int64_t>(messages, begin, window);
      break;
  }
  const bool padded = job.algorithm != Algorithm::kBlake3;
  std::uint64_t longest = 0;
  std::uint64_t differs = 0;
  for (std::size_t i = 0; i < window.n_items; ++i) {
    const std::uint64_t n_blocks = count_blocks(window.n_bytes[i], padded);
    window.n_blocks[i] = n_blocks;
    window.position[i] = static_cast<std::uint32_t>(i);
    longest = std::max(longest, window.n_bytes[i]);
    differs |= n_blocks ^ window.n_blocks[0];
  }
  window.max_bytes = longest;
  window.in_order = differs == 0 || !sort;
  if (!window.in_order) sort_by_blocks(window);
  for (std::size_t i = window.n_items; i < window.n_items + kMaxLanes; ++i) {
    window.data[i] = kNothing;
    window.n_bytes[i] = 0;
    window.n_blocks[i] = 0;
  }
}

}  // namespace crypsis::hashing
