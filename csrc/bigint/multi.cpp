// SPDX-License-Identifier: Apache-2.0
// Products of powers: how many bases and bits of each a table takes, and in which order tables and rows meet.
#include <algorithm>
#include <memory>

#include "bigint/bigint.h"
#include "common/threads.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

constexpr std::size_t kRowGrain = 8;
constexpr double kSquaring = 0.76;  // of a product

// Tables made and used up before the next ones are: all of them where they are read more than once, else few, which stay
// in the second-level cache.
constexpr std::size_t kBlockBytes = 64 << 20;
constexpr std::size_t kCachedBytes = 1 << 20;
constexpr std::size_t kStateBytes = 16 << 20;
constexpr std::size_t kRowsAtATime = 128;

std::size_t up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

struct Plan {
  JointWidth width;
  double products;
};

// The fewest products for `n` rows of `k` exponents each. A wider digit of one base saves squarings; more bases of fewer
// bits fill a table of the same size by as many products, for all of them together.
Plan plan_of(const Impl& impl, const Modulus& modulus, std::size_t n, std::size_t k,
             std::size_t exponent_bits) {
  const double scan = impl.scan_cost(modulus);
  const double rows = static_cast<double>(up(n, impl.lanes));
  Plan best{{1, 1}, 1e300};
  for (std::size_t bases = 1; bases <= kMostJointBits; ++bases) {
    for (std::size_t bits = 1; bases * bits <= kMostJointBits; ++bits) {
      const JointWidth width{bases, bits};
      const std::size_t n_tables = (k + bases - 1) / bases, windows = (exponent_bits + bits - 1) / bits;
      const double entries = static_cast<double>(width.n_entries());
      const double look_ups = static_cast<double>(n_tables * windows);
      const double squarings = static_cast<double>((windows - 1) * bits);
      const double cost = static_cast<double>(up(n_tables, impl.lanes)) * entries +
                          rows * (look_ups * (1 + entries * scan) + kSquaring * squarings);
      if (cost < best.products) best = {width, cost};
    }
  }
  return best;
}

// Aligned, uninitialised words that are wiped at the end.
class Memory {
 public:
  explicit Memory(std::size_t n_words)
      : n_bytes_(up(n_words * sizeof(Word), 64)),
        words_(static_cast<Word*>(::operator new(n_bytes_, std::align_val_t{64}))) {}
  ~Memory() {
    secure_wipe(words_, n_bytes_);
    ::operator delete(words_, std::align_val_t{64});
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Word* get() const noexcept { return words_; }

 private:
  std::size_t n_bytes_;
  Word* words_;
};

}  // namespace

double multi_powm_products(const Call& call, const Modulus& modulus, std::size_t k, std::size_t exponent_bits,
                           std::size_t n) {
  if (n == 0 || k == 0 || exponent_bits == 0) return 0;
  return plan_of(select(call.backend), modulus, n, k, exponent_bits).products;
}

void multi_powm(const Call& call, const Modulus& modulus, const Word* bases, std::size_t k,
                const Word* exponents, std::size_t exponent_bits, const Word* factor, Word* out,
                std::size_t n) {
  const Impl& impl = select(call.backend);
  const std::size_t limbs = modulus.limbs();
  if (k == 0 || exponent_bits == 0) {
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(factor == nullptr ? modulus.r() : factor, limbs, out + i * limbs);
    }
    return;
  }
  if (n == 0) return;
  const JointWidth width = plan_of(impl, modulus, n, k, exponent_bits).width;
  const std::size_t windows = (exponent_bits + width.bits - 1) / width.bits;
  const std::size_t n_tables = (k + width.bases - 1) / width.bases;
  const std::size_t table_words = impl.table_words(modulus, width.bases * width.bits, false);
  const std::size_t threads = static_cast<std::size_t>(resolve_threads(call.threads));
  const bool read_once = n <= kRowsAtATime * threads;
  const std::size_t block = std::min(
      n_tables,
      up(std::max<std::size_t>(1, (read_once ? kCachedBytes : kBlockBytes) / (table_words * sizeof(Word))),
         impl.lanes * threads));
  const std::size_t element_words = impl.element_words(modulus);
  const std::size_t row_bytes = windows * element_words * sizeof(Word) / impl.lanes;
  const std::size_t n_rows =
      std::min(n, up(std::max(kStateBytes / row_bytes, 8 * kRowsAtATime), kRowsAtATime));
  const std::size_t state_elements = up(n_rows, impl.lanes) / impl.lanes;
  const Memory tables(block * table_words), state(windows * state_elements * element_words);

  const auto build = [&](std::size_t first, std::size_t count) {
    const std::size_t from = first * width.bases;
    const JointTables job{bases + from * limbs, std::min(k - from, count * width.bases), width};
    parallel_for(count, impl.lanes, call.threads, [&](std::size_t begin, std::size_t end) {
      impl.joint_tables(modulus, job, tables.get(), begin, end);
    });
  };
  if (block == n_tables) build(0, n_tables);
  for (std::size_t row = 0; row < n; row += n_rows) {
    const std::size_t count = std::min(n_rows, n - row);
    JointJob job{.table = tables.get(),
                 .n_tables = block,
                 .width = width,
                 .exponents = nullptr,
                 .stride = k,
                 .n_bases = 0,
                 .n_windows = windows,
                 .state = state.get(),
                 .state_elements = state_elements,
                 .fresh = true,
                 .factor = factor,
                 .out = out + row * limbs};
    for (std::size_t first = 0; first < n_tables; first += block) {
      job.n_tables = std::min(block, n_tables - first);
      if (block < n_tables) build(first, job.n_tables);
      const std::size_t from = first * width.bases;
      job.exponents = exponents + row * k + from;
      job.n_bases = std::min(k - from, job.n_tables * width.bases);
      job.fresh = first == 0;
      parallel_for(count, kRowGrain, call.threads, [&](std::size_t begin, std::size_t end) {
        impl.joint_products(modulus, job, begin, end);
      });
    }
    parallel_for(count, kRowGrain, call.threads,
                 [&](std::size_t begin, std::size_t end) { impl.joint_finish(modulus, job, begin, end); });
  }
}

}  // namespace crypsis::bigint
