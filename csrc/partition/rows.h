// SPDX-License-Identifier: Apache-2.0
// Loads and stores of rows, tags and entries; every file that includes this has its own copies.
#pragma once
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "partition/impl.h"

namespace crypsis::partition {
namespace {

static_assert(std::endian::native == std::endian::little, "rows hold little-endian integers");

using Row = std::uint32_t __attribute__((vector_size(kRowBytes)));  // one register

inline Row load_row(const std::uint8_t* at) {
  Row row;
  std::memcpy(&row, at, sizeof row);
  return row;
}

inline void store_row(std::uint8_t* at, Row row) {
  std::memcpy(at, &row, sizeof row);
}

inline std::uint64_t load64(const std::uint8_t* at) {
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::uint32_t load32(const std::uint8_t* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::size_t bin_of_key(const std::uint8_t* key, std::size_t n_bins) {
  return static_cast<std::size_t>(static_cast<Entry>(load64(key)) * n_bins >> 64);
}

inline std::size_t bin_of_digest(const std::uint8_t* digest, std::size_t n_bins) {
  return static_cast<std::size_t>(load32(digest + 12) * static_cast<std::uint64_t>(n_bins) >> 32);
}

inline Entry entry(std::uint64_t high, std::uint64_t low) {
  return static_cast<Entry>(high) << 64 | low;
}

inline std::uint64_t high_of(Entry e) {
  return static_cast<std::uint64_t>(e >> 64);
}

inline std::uint64_t low_of(Entry e) {
  return static_cast<std::uint64_t>(e);
}

// A record digest[0:12] || row as le64(digest[0:8]), le32(digest[8:12]), row.
inline Entry record_entry(const std::uint8_t* record) {
  const std::uint64_t rest = load64(record + 8);
  return entry(load64(record), rest << 32 | rest >> 32);
}

inline void store_key(std::uint8_t* at, Entry e) {
  const std::uint64_t first = high_of(e), last = low_of(e) >> 32;
  std::memcpy(at, &first, 8);
  std::memcpy(at + 8, &last, 8);
}

// A tag's bytes as a big-endian integer of 128 bits, zeros after the last: their order is the order of the bytes.
inline Entry tag_value(const std::uint8_t* tag, std::size_t width) {
  const std::uint64_t high = __builtin_bswap64(load64(tag));
  // The last eight bytes; those of the first eight shift out, in two steps since 64 at once is undefined.
  const unsigned over = static_cast<unsigned>(8 * (16 - width)) / 2;
  const std::uint64_t low = __builtin_bswap64(load64(tag + width - 8)) << over << over;
  return entry(high, low);
}

// Its first 12 bytes and an index.
inline Entry tag_entry(const std::uint8_t* tag, std::size_t width, std::size_t index) {
  const Entry value = tag_value(tag, width);
  return (value >> 32 << 32) | static_cast<std::uint32_t>(index);
}

// Two stores that may overlap: no byte beyond the tag is read or written.
inline void copy_tag(std::uint8_t* to, const std::uint8_t* from, std::size_t width) {
  const std::uint64_t first = load64(from), last = load64(from + width - 8);
  std::memcpy(to, &first, 8);
  std::memcpy(to + width - 8, &last, 8);
}

}  // namespace
}  // namespace crypsis::partition
