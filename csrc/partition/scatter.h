// SPDX-License-Identifier: Apache-2.0
// Distribution of rows to bins. Rows of a bin are collected in a cache line of its own and stored as whole
// lines: some hundred streams then cost a page translation and a line's ownership once for four rows. T says how
// a line is stored.
#pragma once
#include "partition/rows.h"

namespace crypsis::partition {
namespace {

inline void count_keys(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, std::uint64_t* counts) {
  for (std::size_t i = 0; i < n; ++i) ++counts[bin_of_key(keys + kRowBytes * i, n_bins)];
}

inline void count_digests(const std::uint8_t* digests, std::size_t n, std::size_t n_bins,
                          std::uint64_t* counts) {
  for (std::size_t i = 0; i < n; ++i) ++counts[bin_of_digest(digests + kRowBytes * i, n_bins)];
}

struct KeySource {
  const std::uint8_t* keys;
  std::size_t n_bins;
  std::uint32_t first;
  std::uint32_t* order;

  std::size_t bin(std::size_t i) const { return bin_of_key(keys + kRowBytes * i, n_bins); }
  Row row(std::size_t i) const { return load_row(keys + kRowBytes * i); }
  void placed(std::size_t i, std::uint64_t at) const {
    if (order != nullptr) order[at] = first + static_cast<std::uint32_t>(i);
  }
};

template <bool kGiven>
struct RecordSource {
  const std::uint8_t* digests;
  std::size_t n_bins;
  const std::uint32_t* rows;
  std::uint32_t first;

  std::size_t bin(std::size_t i) const { return bin_of_digest(digests + kRowBytes * i, n_bins); }
  Row row(std::size_t i) const {
    Row row = load_row(digests + kRowBytes * i);
    row[3] = kGiven ? rows[i] : first + static_cast<std::uint32_t>(i);
    return row;
  }
  void placed(std::size_t, std::uint64_t) const {}
};

// Every row by itself: few bins, whose lines stay in the first cache, or so many that nothing helps.
template <class Source>
void scatter_single(const Source& source, std::size_t n, std::uint64_t* next, std::uint8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t at = next[source.bin(i)]++;
    store_row(out + kRowBytes * at, source.row(i));
    source.placed(i, at);
  }
}

// `out` is aligned to a row. A line of the output that a bin shares with its neighbour (or with the same bin of
// another chunk) is stored by rows.
template <class T, class Source>
void scatter_lines(const Source& source, std::size_t n, std::size_t n_bins, const Cursors& cursors,
                   std::uint8_t* out) {
  const std::uint64_t skew = reinterpret_cast<std::uintptr_t>(out) / kRowBytes % kLineRows;
  std::uint64_t* const next = cursors.next;
  for (std::size_t b = 0; b < n_bins; ++b) cursors.begin[b] = next[b];
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t b = source.bin(i);
    const std::uint64_t at = next[b]++;
    std::uint8_t* const line = cursors.lines + kLineBytes * b;
    const std::uint64_t slot = (at + skew) % kLineRows;
    store_row(line + kRowBytes * slot, source.row(i));
    source.placed(i, at);
    if (slot != kLineRows - 1) continue;
    const std::uint64_t n_rows = at + 1 - cursors.begin[b];
    if (n_rows >= kLineRows) {
      T::store_line(out + kRowBytes * (at + 1 - kLineRows), line);
    } else {
      for (std::uint64_t s = kLineRows - n_rows; s < kLineRows; ++s) {
        store_row(out + kRowBytes * (at + 1 + s - kLineRows), load_row(line + kRowBytes * s));
      }
    }
  }
  for (std::size_t b = 0; b < n_bins; ++b) {
    const std::uint64_t end = (next[b] + skew) % kLineRows, n_rows = next[b] - cursors.begin[b];
    for (std::uint64_t s = n_rows < end ? end - n_rows : 0; s < end; ++s) {
      store_row(out + kRowBytes * (next[b] + s - end),
                load_row(cursors.lines + kLineBytes * b + kRowBytes * s));
    }
  }
  T::finish();
}

template <class T, class Source>
void scatter(const Source& source, std::size_t n, std::size_t n_bins, const Cursors& cursors,
             std::uint8_t* out) {
  if (cursors.lines == nullptr || reinterpret_cast<std::uintptr_t>(out) % kRowBytes != 0) {
    scatter_single(source, n, cursors.next, out);
  } else {
    scatter_lines<T>(source, n, n_bins, cursors, out);
  }
}

template <class T>
void scatter_keys(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, const Cursors& cursors,
                  std::uint8_t* out, std::uint32_t first, std::uint32_t* order) {
  scatter<T>(KeySource{keys, n_bins, first, order}, n, n_bins, cursors, out);
}

template <class T>
void scatter_records(const std::uint8_t* digests, const std::uint32_t* rows, std::uint32_t first_row,
                     std::size_t n, std::size_t n_bins, const Cursors& cursors, std::uint8_t* out) {
  if (rows != nullptr) {
    scatter<T>(RecordSource<true>{digests, n_bins, rows, 0}, n, n_bins, cursors, out);
  } else {
    scatter<T>(RecordSource<false>{digests, n_bins, nullptr, first_row}, n, n_bins, cursors, out);
  }
}

}  // namespace
}  // namespace crypsis::partition
