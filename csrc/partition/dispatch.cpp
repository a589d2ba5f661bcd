// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/threads.h"
#include "partition/impl.h"

namespace crypsis::partition {
namespace {

#if defined(__x86_64__)
constexpr std::array<const Impl*, 2> kCompiled{&avx512, &portable};
#else
constexpr std::array<const Impl*, 1> kCompiled{&portable};
#endif

// A thread is worth starting for some tens of microseconds of work.
constexpr std::size_t kGrainRows = 1 << 14;
// Rows of more bins than this are collected in lines; to fewer bins they are stored one by one, which is faster while
// the places written to stay in the first cache. An order beside the rows doubles those.
constexpr std::size_t kMinLineBins = 64, kMinLineBinsOrdered = 16;

const Impl& select(const Options& options) {
  return select_backend<Impl>("partition", "", compiled(), options.backend, [](const Impl&) { return true; });
}

void check_sizes(std::size_t n, std::size_t n_bins) {
  if (n > kMaxRows) {
    throw std::invalid_argument(std::to_string(n) + " rows: give at most 4294967295, split the batch");
  }
  if (n_bins == 0 || n_bins > kMaxBins) {
    throw std::invalid_argument("n_bins is " + std::to_string(n_bins) + ": give 1 to 16777216");
  }
}

void check_starts(const char* name, const std::uint64_t* starts, std::size_t n_bins, std::size_t n) {
  const auto at = [&](std::size_t i) {
    return std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(starts[i]);
  };
  if (starts[0] != 0) throw std::invalid_argument(at(0) + ": starts begin with 0");
  for (std::size_t b = 0; b < n_bins; ++b) {
    if (starts[b + 1] < starts[b])
      throw std::invalid_argument(at(b + 1) + " after " + at(b) + ": starts ascend");
  }
  if (starts[n_bins] != n) {
    throw std::invalid_argument(at(n_bins) + ": the last start is the number of tags, " + std::to_string(n));
  }
}

void check_width(std::size_t width) {
  if (width < kMinTagBytes || width > kMaxTagBytes) {
    throw std::invalid_argument("tags have " + std::to_string(width) + " bytes: give 8 to 16");
  }
}

struct Aligned {
  void operator()(std::uint8_t* memory) const { ::operator delete(memory, std::align_val_t{kLineBytes}); }
};

using Bytes = std::unique_ptr<std::uint8_t, Aligned>;

Bytes allocate_lines(std::size_t n_lines) {
  return Bytes(
      static_cast<std::uint8_t*>(::operator new(n_lines * kLineBytes, std::align_val_t{kLineBytes})));
}

// A stable distribution of n rows to bins, in chunks for threads: every chunk counts, then places its rows behind
// those of the chunks before it. count(begin, n, counts), place(begin, n, cursors).
template <class Count, class Place>
void distribute(std::size_t n, std::size_t n_bins, std::size_t min_line_bins, int threads,
                std::uint64_t* starts, const Count& count, const Place& place) {
  const auto team = static_cast<std::size_t>(resolve_threads(threads));
  // The counters of all chunks are less work than the rows.
  const std::size_t most = std::max<std::size_t>(1, n / std::max(kGrainRows, 4 * n_bins));
  const std::size_t n_chunks = std::min(team, most);
  const std::size_t chunk = n / n_chunks + 1;
  const auto next = std::make_unique<std::uint64_t[]>(n_chunks * n_bins);
  const auto each = [&](const auto& body) {
    parallel_for(n_chunks, 1, threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t c = begin; c < end; ++c) {
        const std::size_t first = std::min(n, c * chunk);
        body(first, std::min(n, first + chunk) - first, next.get() + c * n_bins);
      }
    });
  };
  each(count);
  std::uint64_t total = 0;
  for (std::size_t b = 0; b < n_bins; ++b) {
    starts[b] = total;
    for (std::size_t c = 0; c < n_chunks; ++c) total += std::exchange(next[c * n_bins + b], total);
  }
  starts[n_bins] = total;
  const bool in_lines = n_bins > min_line_bins && n_bins <= kMaxLineBins;
  each([&](std::size_t first, std::size_t some, std::uint64_t* cursors) {
    Bytes lines;
    std::unique_ptr<std::uint64_t[]> begin;
    if (in_lines) {
      lines = allocate_lines(n_bins);
      begin = std::make_unique_for_overwrite<std::uint64_t[]>(n_bins);
    }
    place(first, some, Cursors{cursors, begin.get(), lines.get()});
  });
}

// Calls body(bin, scratch) for every bin, on threads. n: rows in all; size(bin): of them there. Memory that a
// kernel does not touch costs nothing.
template <class Size, class Body>
void for_bins(std::size_t n_bins, std::size_t n, int threads, bool of_tags, const Size& size,
              const Body& body) {
  const std::size_t average = n / n_bins + 1;
  parallel_for(
      n_bins, std::max<std::size_t>(1, kGrainRows / average), threads,
      [&](std::size_t begin, std::size_t end) {
        std::size_t most = 0;
        for (std::size_t b = begin; b < end; ++b) most = std::max<std::size_t>(most, size(b));
        const auto entries = std::make_unique_for_overwrite<Entry[]>(most);
        const auto counts =
            std::make_unique_for_overwrite<std::uint32_t[]>(of_tags ? 0 : bucket_count(most) + 1);
        const std::size_t n_buckets = of_tags ? std::size_t{1} << line_bits(most) : 0;
        const Bytes lines = allocate_lines(2 * n_buckets);
        const auto filled = std::make_unique_for_overwrite<std::uint8_t[]>(n_buckets);
        const auto sorted = std::make_unique_for_overwrite<std::int32_t[]>(of_tags ? most + kLanes : 0);
        const BinScratch scratch{entries.get(), counts.get(), reinterpret_cast<std::int32_t*>(lines.get()),
                                 filled.get(), sorted.get()};
        for (std::size_t b = begin; b < end; ++b) body(b, scratch);
      });
}

// The least le64 of a key in the bin.
std::uint64_t lowest_of_bin(std::size_t bin, std::size_t n_bins) {
  return static_cast<std::uint64_t>(((static_cast<Entry>(bin) << 64) + n_bins - 1) / n_bins);
}

}  // namespace

std::span<const Impl* const> compiled() {
  return kCompiled;
}

void by_bin(const std::uint8_t* keys, std::size_t n, std::size_t n_bins, std::uint8_t* out,
            std::uint32_t* order, std::uint64_t* starts, const Options& options) {
  check_sizes(n, n_bins);
  const Impl& impl = select(options);
  distribute(
      n, n_bins, kMinLineBinsOrdered, options.threads, starts,
      [&](std::size_t first, std::size_t some, std::uint64_t* counts) {
        impl.count_keys(keys + kRowBytes * first, some, n_bins, counts);
      },
      [&](std::size_t first, std::size_t some, const Cursors& cursors) {
        impl.scatter_keys(keys + kRowBytes * first, some, n_bins, cursors, out,
                          static_cast<std::uint32_t>(first), order);
      });
}

void records(const std::uint8_t* digests, const std::uint32_t* rows, std::uint32_t first_row, std::size_t n,
             std::size_t n_bins, std::uint8_t* out, std::uint64_t* starts, const Options& options) {
  check_sizes(n, n_bins);
  if (rows == nullptr && first_row > kMaxRows - n) {
    throw std::invalid_argument("first_row is " + std::to_string(first_row) + " for " + std::to_string(n) +
                                " rows: a party has at most 4294967295 rows");
  }
  const Impl& impl = select(options);
  distribute(
      n, n_bins, kMinLineBins, options.threads, starts,
      [&](std::size_t first, std::size_t some, std::uint64_t* counts) {
        impl.count_digests(digests + kRowBytes * first, some, n_bins, counts);
      },
      [&](std::size_t first, std::size_t some, const Cursors& cursors) {
        impl.scatter_records(digests + kRowBytes * first, rows == nullptr ? nullptr : rows + first,
                             first_row + static_cast<std::uint32_t>(first), some, n_bins, cursors, out);
      });
}

std::size_t group(const std::uint8_t* records, std::size_t n, std::size_t n_bins, std::uint8_t* keys,
                  std::uint64_t* starts, std::uint32_t* row_starts, std::uint32_t* rows,
                  const Options& options) {
  check_sizes(n, n_bins);
  const Impl& impl = select(options);
  distribute(
      n, n_bins, kMinLineBins, options.threads, starts,
      [&](std::size_t first, std::size_t some, std::uint64_t* counts) {
        impl.count_keys(records + kRowBytes * first, some, n_bins, counts);
      },
      [&](std::size_t first, std::size_t some, const Cursors& cursors) {
        impl.scatter_keys(records + kRowBytes * first, some, n_bins, cursors, keys, 0, nullptr);
      });
  row_starts[0] = 0;
  const auto n_keys = std::make_unique_for_overwrite<std::size_t[]>(n_bins);
  for_bins(
      n_bins, n, options.threads, false, [&](std::size_t b) { return starts[b + 1] - starts[b]; },
      [&](std::size_t b, const BinScratch& scratch) {
        const std::uint64_t low = lowest_of_bin(b, n_bins), first = starts[b];
        const std::uint64_t span = lowest_of_bin(b + 1, n_bins) - 1 - low;
        n_keys[b] = impl.group_bin({keys + kRowBytes * first, starts[b + 1] - first, low, span,
                                    static_cast<std::uint32_t>(first), row_starts + first + 1, rows + first},
                                   scratch);
      });
  // Close the gaps that merged keys left at the end of each bin.
  std::size_t total = 0;
  for (std::size_t b = 0; b < n_bins; ++b) {
    const std::size_t from = starts[b], some = n_keys[b];
    if (from != total) {
      std::memmove(keys + kRowBytes * total, keys + kRowBytes * from, kRowBytes * some);
      std::memmove(row_starts + total + 1, row_starts + from + 1, sizeof *row_starts * some);
    }
    starts[b] = total;
    total += some;
  }
  starts[n_bins] = total;
  return total;
}

void sort_tags(const std::uint8_t* tags, std::size_t n, std::size_t width, const std::uint64_t* starts,
               std::size_t n_bins, std::uint8_t* out, std::uint32_t* order, const Options& options) {
  check_sizes(n, n_bins);
  check_width(width);
  check_starts("starts", starts, n_bins, n);
  const Impl& impl = select(options);
  for_bins(
      n_bins, n, options.threads, true, [&](std::size_t b) { return starts[b + 1] - starts[b]; },
      [&](std::size_t b, const BinScratch& scratch) {
        const std::size_t first = starts[b];
        impl.sort_bin({tags + width * first, starts[b + 1] - first, width, first}, out + width * first,
                      order + first, scratch);
      });
}

MatchResult match(const Tags& own, const Tags& peer, std::size_t width, std::size_t n_bins,
                  std::uint32_t* own_index, std::uint32_t* peer_index, const Options& options) {
  check_sizes(own.n, n_bins);
  check_sizes(peer.n, n_bins);
  check_width(width);
  check_starts("own_starts", own.starts, n_bins, own.n);
  check_starts("peer_starts", peer.starts, n_bins, peer.n);
  const Impl& impl = select(options);
  const auto bin_of = [&](const Tags& tags, std::size_t b) {
    return TagBin{tags.tags + width * tags.starts[b], tags.starts[b + 1] - tags.starts[b], width,
                  tags.starts[b]};
  };
  // Bin b writes its pairs at places[b], where there is space for as many as it can have.
  const auto places = std::make_unique_for_overwrite<std::size_t[]>(n_bins);
  const auto results = std::make_unique<MatchResult[]>(n_bins);
  std::size_t space = 0;
  for (std::size_t b = 0; b < n_bins; ++b) {
    places[b] = space;
    space += std::min(own.starts[b + 1] - own.starts[b], peer.starts[b + 1] - peer.starts[b]);
  }
  for_bins(
      n_bins, own.n + peer.n, options.threads, true,
      [&](std::size_t b) { return own.starts[b + 1] - own.starts[b]; },
      [&](std::size_t b, const BinScratch& scratch) {
        results[b] = impl.match_bin(bin_of(own, b), bin_of(peer, b), own_index + places[b],
                                    peer_index + places[b], scratch);
      });
  MatchResult all;
  for (std::size_t b = 0; b < n_bins; ++b) {
    if (results[b].fault != Fault::kNone) {
      results[b].bin = b;
      return results[b];
    }
    const std::size_t some = results[b].n_pairs;
    if (places[b] != all.n_pairs && some != 0) {
      std::memmove(own_index + all.n_pairs, own_index + places[b], sizeof *own_index * some);
      std::memmove(peer_index + all.n_pairs, peer_index + places[b], sizeof *peer_index * some);
    }
    all.n_pairs += some;
  }
  return all;
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 2> known{"avx512", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>("partition", "", known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::partition
