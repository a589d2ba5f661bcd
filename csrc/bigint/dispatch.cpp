// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <atomic>
#include <new>

#include "bigint/bigint.h"
#include "common/threads.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

constexpr std::string_view kSlug = "bigint";

// Two powers are milliseconds, some tens of products microseconds: what a thread takes at least.
constexpr std::size_t kPowmGrain = 8;
constexpr std::size_t kMulGrain = 64;
constexpr std::size_t kCheckGrain = 4096;

// One bit more gains or loses a few percent for a hundred rows and more, and loses a quarter or a third for eight, which
// wait for the table: NOTES.md.
constexpr std::size_t kMostScannedBits = 7;

// Windows of tables that are read whole: least products for powers of exponent_bits, each window one product and a scan.
std::size_t scanned_window(const Impl& impl, const Modulus& modulus, std::size_t exponent_bits,
                           std::size_t most) {
  const double scan = impl.scan_cost(modulus);
  std::size_t best = 1;
  double best_cost = 1e300;
  for (std::size_t w = 1; w <= std::min(most, kMostScannedBits); ++w) {
    const double entries = static_cast<double>(std::size_t{1} << w);
    const double windows = static_cast<double>((exponent_bits + w - 1) / w);
    const double cost = windows * (1 + entries * scan);
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

std::size_t measure_products(const Call& call, std::size_t repeats) {
  return select(call.backend).products(repeats);
}

Tables::Tables(const Call& call, const Modulus& modulus, const Word* bases, std::size_t n, std::size_t window,
               bool vartime)
    : impl_(select(call.backend)),
      n_(n),
      window_(window),
      vartime_(vartime),
      n_bytes_(n * impl_.table_words(modulus, window, vartime) * sizeof(Word)),
      words_(static_cast<Word*>(::operator new(n_bytes_, std::align_val_t{64})), Release{n_bytes_}) {
  parallel_for(n, impl_.lanes, call.threads, [&](std::size_t begin, std::size_t end) {
    impl_.tables(modulus, bases, window_, vartime_, words_.get(), begin, end);
  });
}

void Tables::Release::operator()(Word* words) const noexcept {
  secure_wipe(words, n_bytes);  // a modulus may be secret, and this tells it
  ::operator delete(words, std::align_val_t{64});
}

FixedBase::FixedBase(const Call& call, const Modulus& modulus, const Word* base, std::size_t exponent_bits,
                     std::size_t most_bits, bool vartime)
    : modulus_(modulus),
      tables_(make_tables(
          call, modulus, base, exponent_bits,
          vartime ? most_bits : scanned_window(select(call.backend), modulus, exponent_bits, most_bits),
          vartime)) {}

Tables FixedBase::make_tables(const Call& call, const Modulus& modulus, const Word* base,
                              std::size_t exponent_bits, std::size_t window, bool vartime) {
  const Impl& impl = select(call.backend);
  const std::size_t limbs = modulus.limbs(), n_tables = (exponent_bits + window - 1) / window;
  Words bases(n_tables * limbs);
  Words power(base, base + limbs);
  for (std::size_t t = 0; t < n_tables; ++t) {
    std::copy(power.begin(), power.end(), bases.begin() + static_cast<std::ptrdiff_t>(t * limbs));
    const MulJob square{power.data(), limbs, nullptr, 0, power.data(), true};
    for (std::size_t i = 0; i < window && t + 1 < n_tables; ++i) impl.mul(modulus, square, 0, 1);
  }
  return Tables(call, modulus, bases.data(), n_tables, window, vartime);
}

void FixedBase::powm(int threads, const Word* exponents, std::size_t exponent_limbs, Word* out, std::size_t n,
                     bool montgomery) const {
  const TableJob job{tables_.words(), tables_.n(), tables_.window(), exponents,        exponent_limbs,
                     exponent_limbs,  out,         montgomery,       tables_.vartime()};
  const Impl& impl = tables_.impl();
  parallel_for(n, kPowmGrain, threads,
               [&](std::size_t begin, std::size_t end) { impl.table_powm(modulus_, job, begin, end); });
}

}  // namespace crypsis::bigint
