// SPDX-License-Identifier: Apache-2.0
// Products of many rows at once. A long segment is cut into pieces, so that every lane of every thread has some;
// the pieces' products are then a smaller problem of the same kind.
#include <algorithm>
#include <cstring>

#include "bigint/bigint.h"
#include "common/threads.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

// Rows between two steps, wiped at the end: partial products tell as much as what they were made of.
class TemporaryRows {
 public:
  TemporaryRows(std::size_t n, std::size_t limbs) : words_(n * limbs) {}
  ~TemporaryRows() { secure_wipe(words_.data(), words_.size() * sizeof(Word)); }
  TemporaryRows(const TemporaryRows&) = delete;
  TemporaryRows& operator=(const TemporaryRows&) = delete;
  Word* data() noexcept { return words_.data(); }

 private:
  Words words_;
};

// Pieces a lane gets on average: enough that the uneven last ones cost little.
constexpr std::size_t kPiecesPerLane = 4;

// Segments cut into pieces: starts of each segment's pieces in `runs`, whose targets number them.
struct Pieces {
  std::vector<Run> runs;
  std::vector<std::int64_t> starts;
  bool cut = false;  // a segment has more than one
};

Pieces cut_segments(const std::int64_t* starts, std::size_t n_segments, std::size_t workers,
                    std::size_t least) {
  const std::size_t n_items = static_cast<std::size_t>(starts[n_segments] - starts[0]);
  const std::size_t most = std::max(least, (n_items + workers - 1) / workers);
  Pieces pieces;
  pieces.starts.reserve(n_segments + 1);
  pieces.runs.reserve(n_segments);
  for (std::size_t i = 0; i < n_segments; ++i) {
    pieces.starts.push_back(static_cast<std::int64_t>(pieces.runs.size()));
    const std::size_t begin = static_cast<std::size_t>(starts[i]);
    const std::size_t length = static_cast<std::size_t>(starts[i + 1]) - begin;
    const std::size_t count = std::max<std::size_t>(1, (length + most - 1) / most);
    for (std::size_t p = 0; p < count; ++p) {
      pieces.runs.push_back(
          {begin + p * length / count, begin + (p + 1) * length / count, pieces.runs.size()});
    }
    pieces.cut = pieces.cut || count > 1;
  }
  pieces.starts.push_back(static_cast<std::int64_t>(pieces.runs.size()));
  return pieces;
}

std::size_t workers_of(const Impl& impl, int threads) {
  return impl.lanes * static_cast<std::size_t>(resolve_threads(threads)) * kPiecesPerLane;
}

// Lanes run as long as their longest run: like lengths together.
std::vector<Run> by_length(std::vector<Run> runs) {
  const auto length = [](const Run& run) { return run.end - run.begin; };
  std::stable_sort(runs.begin(), runs.end(),
                   [&](const Run& a, const Run& b) { return length(a) > length(b); });
  return runs;
}

void execute(const Impl& impl, const Modulus& modulus, RunJob job, const std::vector<Run>& unsorted,
             int threads) {
  const std::vector<Run> runs = by_length(unsorted);
  job.runs = runs.data();
  parallel_for(runs.size(), impl.lanes, threads,
               [&](std::size_t begin, std::size_t end) { impl.runs(modulus, job, begin, end); });
}

void products(const Impl& impl, const Modulus& modulus, const Word* rows, const std::int64_t* index,
              const std::int64_t* starts, std::size_t n_segments, Word* out, int threads) {
  const Pieces pieces = cut_segments(starts, n_segments, workers_of(impl, threads), 2);
  if (!pieces.cut) {
    execute(impl, modulus, {rows, index, nullptr, nullptr, out, false}, pieces.runs, threads);
    return;
  }
  TemporaryRows partial(pieces.runs.size(), modulus.limbs());
  execute(impl, modulus, {rows, index, nullptr, nullptr, partial.data(), false}, pieces.runs, threads);
  products(impl, modulus, partial.data(), nullptr, pieces.starts.data(), n_segments, out, threads);
}

// A block's rows stay in the second-level cache for all groupings, and each bin gets some tens of them.
constexpr std::size_t kBlockBytes = 1 << 20;
constexpr std::size_t kRowsPerBin = 32;

// Rows of a block in the order of their bins, grouping after grouping; where each bin starts among them.
class SortedBlock {
 public:
  SortedBlock(const Bins& bins, std::size_t n_rows)
      : bins_(bins), keys_(n_rows * bins.groupings), index_(keys_.size()) {}

  void sort(std::size_t begin, std::size_t end) {
    switch (bins_.bytes) {
      case 1:
        return sort_as<std::int8_t>(begin, end);
      case 2:
        return sort_as<std::int16_t>(begin, end);
      case 4:
        return sort_as<std::int32_t>(begin, end);
      default:
        return sort_as<std::int64_t>(begin, end);
    }
  }
  const std::int64_t* index() const { return index_.data(); }
  const std::int64_t* starts() const { return starts_.data(); }

 private:
  // Keys are read once: the caller's numbers may change meanwhile, and these are addresses.
  template <class Number>
  void sort_as(std::size_t begin, std::size_t end) {
    const std::size_t groupings = bins_.groupings, n_bins = bins_.n_bins, n_keys = groupings * n_bins;
    starts_.assign(n_keys + 2, 0);
    std::size_t* key = keys_.data();
    for (std::size_t i = begin; i < end; ++i) {
      const Number* const numbers = static_cast<const Number*>(bins_.numbers) + row(i) * groupings;
      for (std::size_t g = 0; g < groupings; ++g) {
        const std::size_t bin = static_cast<std::size_t>(static_cast<std::int64_t>(numbers[g]));
        *key = bin < n_bins ? g * n_bins + bin : n_keys;
        ++starts_[*key++ + 1];
      }
    }
    for (std::size_t k = 0; k < n_keys; ++k) starts_[k + 1] += starts_[k];
    next_.assign(starts_.begin(), starts_.end() - 1);
    key = keys_.data();
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t g = 0; g < groupings; ++g, ++key) {
        if (*key == n_keys) continue;
        index_[static_cast<std::size_t>(next_[*key]++)] = static_cast<std::int64_t>(row(i));
      }
    }
  }
  std::size_t row(std::size_t i) const {
    return bins_.index == nullptr ? i : static_cast<std::size_t>(bins_.index[i]);
  }

  const Bins& bins_;
  std::vector<std::size_t> keys_;
  std::vector<std::int64_t> index_, starts_, next_;
};

void running_products(const Impl& impl, const Modulus& modulus, const Word* rows, const std::int64_t* starts,
                      std::size_t n_segments, Word* out, int threads) {
  const std::size_t limbs = modulus.limbs();
  const Pieces pieces = cut_segments(starts, n_segments, workers_of(impl, threads), 16);
  RunJob job{rows, nullptr, nullptr, nullptr, out, true};
  if (!pieces.cut) {
    execute(impl, modulus, job, pieces.runs, threads);
    return;
  }
  // Products of whole pieces, running over those, then every piece starts from what stands before it.
  const std::size_t n_pieces = pieces.runs.size();
  TemporaryRows whole(n_pieces, limbs), initial(n_pieces, limbs);
  execute(impl, modulus, {rows, nullptr, nullptr, nullptr, whole.data(), false}, pieces.runs, threads);
  running_products(impl, modulus, whole.data(), pieces.starts.data(), n_segments, whole.data(), threads);
  for (std::size_t i = 0; i < n_segments; ++i) {
    for (std::size_t p = static_cast<std::size_t>(pieces.starts[i]);
         p < static_cast<std::size_t>(pieces.starts[i + 1]); ++p) {
      const bool first = p == static_cast<std::size_t>(pieces.starts[i]);
      const Word* const before = first ? modulus.r() : whole.data() + (p - 1) * limbs;
      std::memcpy(initial.data() + p * limbs, before, limbs * sizeof(Word));
    }
  }
  job.initial = initial.data();
  execute(impl, modulus, job, pieces.runs, threads);
}

// rows[0] = 1 / rows[0].
bool invert_row(const Impl& impl, const Modulus& modulus, Word* row) {
  TemporaryRows plain(1, modulus.limbs());
  if (!invert_vartime(modulus, row, plain.data())) return false;
  const MulJob by_r{plain.data(), 0, modulus.r2(), 0, plain.data(), true};
  impl.mul(modulus, by_r, 0, 1);  // 1 / (x R) becomes 1 / x,
  impl.mul(modulus, by_r, 0, 1);  // then R / x
  std::copy_n(plain.data(), modulus.limbs(), row);
  return true;
}

bool inverses(const Impl& impl, const Modulus& modulus, const Word* rows, std::size_t n, Word* out,
              int threads) {
  const std::size_t limbs = modulus.limbs();
  const std::int64_t starts[2] = {0, static_cast<std::int64_t>(n)};
  const Pieces pieces = cut_segments(starts, 1, workers_of(impl, threads), 16);
  const std::size_t n_pieces = pieces.runs.size();
  TemporaryRows before(n, limbs), totals(n_pieces, limbs);
  execute(impl, modulus, {rows, nullptr, nullptr, nullptr, before.data(), true}, pieces.runs, threads);
  for (const Run& run : pieces.runs) {
    std::memcpy(totals.data() + run.target * limbs, before.data() + (run.end - 1) * limbs,
                limbs * sizeof(Word));
  }
  const bool good = n_pieces == 1 ? invert_row(impl, modulus, totals.data())
                                  : inverses(impl, modulus, totals.data(), n_pieces, totals.data(), threads);
  if (!good) return false;
  const std::vector<Run> runs = by_length(pieces.runs);
  const InverseJob job{rows, before.data(), runs.data(), totals.data(), out};
  parallel_for(runs.size(), impl.lanes, threads,
               [&](std::size_t begin, std::size_t end) { impl.inverses(modulus, job, begin, end); });
  return true;
}

}  // namespace

void segmented_prod(const Call& call, const Modulus& modulus, const Word* rows, const std::int64_t* index,
                    const std::int64_t* starts, std::size_t n_segments, Word* out) {
  if (n_segments == 0) return;
  products(select(call.backend), modulus, rows, index, starts, n_segments, out, call.threads);
}

void scatter_mul(const Call& call, const Modulus& modulus, const Word* rows, const Bins& bins, Word* out) {
  const std::size_t n_segments = bins.groupings * bins.n_bins, limbs = modulus.limbs();
  if (n_segments == 0) return;
  const Impl& impl = select(call.backend);
  const std::size_t most =
      std::max<std::size_t>({1, kBlockBytes / (limbs * sizeof(Word)), kRowsPerBin * bins.n_bins});
  const std::size_t n_blocks = std::max<std::size_t>(1, (bins.n + most - 1) / most);
  SortedBlock block(bins, (bins.n + n_blocks - 1) / n_blocks);
  TemporaryRows partial(n_blocks > 1 ? n_segments : 0, limbs);
  for (std::size_t b = 0; b < n_blocks; ++b) {
    block.sort(b * bins.n / n_blocks, (b + 1) * bins.n / n_blocks);
    products(impl, modulus, rows, block.index(), block.starts(), n_segments, b == 0 ? out : partial.data(),
             call.threads);
    if (b > 0) mul(call, modulus, {out, limbs, partial.data(), limbs, out, true}, n_segments);
  }
}

void cumulative_prod(const Call& call, const Modulus& modulus, const Word* rows, const std::int64_t* starts,
                     std::size_t n_segments, Word* out) {
  if (n_segments == 0) return;
  running_products(select(call.backend), modulus, rows, starts, n_segments, out, call.threads);
}

bool batch_inverse_vartime(const Call& call, const Modulus& modulus, const Word* rows, std::size_t n,
                           Word* out) {
  return n == 0 || inverses(select(call.backend), modulus, rows, n, out, call.threads);
}

}  // namespace crypsis::bigint
