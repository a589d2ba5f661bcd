// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <new>

#include "bigint/bigint.h"
#include "common/threads.h"

namespace crypsis::bigint {
namespace {

constexpr std::string_view kSlug = "bigint";

// Two powers are milliseconds, some tens of products microseconds: what a thread takes at least.
constexpr std::size_t kPowmGrain = 8;
constexpr std::size_t kMulGrain = 64;
constexpr std::size_t kCheckGrain = 4096;

Word* allocate(std::size_t n_bytes) {
  return static_cast<Word*>(::operator new(n_bytes, std::align_val_t{64}));
}

// Window of MultiJob: least products for 2^w entries a base, shared by n rows, and one product a window; a masked
// scan costs 1/64 product an entry.
std::size_t multi_window(std::size_t exponent_bits, std::size_t n) {
  std::size_t best = 1;
  double best_cost = 1e300;
  for (std::size_t w = 1; w <= 6; ++w) {
    const double entries = static_cast<double>(std::size_t{1} << w);
    const double windows = static_cast<double>((exponent_bits + w - 1) / w);
    const double cost = entries + static_cast<double>(n) * windows * (1 + entries / 64);
    if (cost < best_cost) {
      best = w;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
#endif
      &portable,
  };
  return table;
}

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 2> known{"avx512", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

std::size_t first_not_below(int threads, const Modulus& modulus, const Word* rows, std::size_t n_rows) {
  std::atomic<std::size_t> first{n_rows};
  parallel_for(n_rows, kCheckGrain, threads, [&](std::size_t begin, std::size_t end) {
    const std::size_t row = begin + first_not_below(modulus, rows + begin * modulus.limbs(), end - begin);
    if (row == end) return;
    std::size_t least = first.load();
    while (row < least && !first.compare_exchange_weak(least, row)) {
    }
  });
  return first;
}

void mul(const Call& call, const Modulus& modulus, const MulJob& job, std::size_t n) {
  const Impl& impl = select(call.backend);
  parallel_for(n, kMulGrain, call.threads,
               [&](std::size_t begin, std::size_t end) { impl.mul(modulus, job, begin, end); });
}

void powm(const Call& call, const Modulus& modulus, const PowmJob& job, std::size_t n) {
  const Impl& impl = select(call.backend);
  parallel_for(n, kPowmGrain, call.threads,
               [&](std::size_t begin, std::size_t end) { impl.powm(modulus, job, begin, end); });
}

void FixedBase::Release::operator()(Word* table) const noexcept {
  ::operator delete(table, std::align_val_t{64});
}

FixedBase::FixedBase(const Call& call, const Modulus& modulus, const Word* base, std::size_t exponent_bits,
                     std::size_t window)
    : modulus_(modulus),
      impl_(select(call.backend)),
      window_(window),
      n_tables_((exponent_bits + window - 1) / window),
      n_bytes_((n_tables_ << window) * impl_.entry_words(modulus) * sizeof(Word)) {
  table_.reset(allocate(n_bytes_));
  const std::size_t limbs = modulus.limbs();
  Words bases(n_tables_ * limbs);
  Words power(base, base + limbs);
  for (std::size_t t = 0; t < n_tables_; ++t) {
    std::copy(power.begin(), power.end(), bases.begin() + static_cast<std::ptrdiff_t>(t * limbs));
    const MulJob square{power.data(), limbs, nullptr, 0, power.data(), true};
    for (std::size_t i = 0; i < window && t + 1 < n_tables_; ++i) impl_.mul(modulus, square, 0, 1);
  }
  parallel_for(n_tables_, impl_.lanes, call.threads, [&](std::size_t begin, std::size_t end) {
    impl_.tables(modulus, bases.data(), window_, table_.get(), begin, end);
  });
}

void FixedBase::powm(int threads, const Word* exponents, std::size_t exponent_limbs, Word* out, std::size_t n,
                     bool montgomery, bool vartime) const {
  const TableJob job{table_.get(),   n_tables_, window_,    exponents, exponent_limbs,
                     exponent_limbs, out,       montgomery, vartime};
  parallel_for(n, kPowmGrain, threads,
               [&](std::size_t begin, std::size_t end) { impl_.table_powm(modulus_, job, begin, end); });
}

void multi_powm(const Call& call, const Modulus& modulus, const Word* bases, std::size_t k,
                const Word* exponents, std::size_t exponent_bits, Word* out, std::size_t n) {
  const Impl& impl = select(call.backend);
  const std::size_t window = multi_window(exponent_bits, n);
  const std::size_t n_bytes = (k << window) * impl.entry_words(modulus) * sizeof(Word);
  struct Release {
    void operator()(Word* table) const noexcept { ::operator delete(table, std::align_val_t{64}); }
  };
  const std::unique_ptr<Word, Release> table(allocate(n_bytes));
  parallel_for(k, impl.lanes, call.threads, [&](std::size_t begin, std::size_t end) {
    impl.tables(modulus, bases, window, table.get(), begin, end);
  });
  const MultiJob job{table.get(), k, window, exponents, exponent_bits, out};
  parallel_for(n, kPowmGrain, call.threads,
               [&](std::size_t begin, std::size_t end) { impl.multi_powm(modulus, job, begin, end); });
}

}  // namespace crypsis::bigint
