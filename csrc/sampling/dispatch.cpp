// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "sampling/impl.h"
#include "sampling/sampling.h"

namespace crypsis::sampling {
namespace {

constexpr std::string_view kSlug = "sampling";
__extension__ using Wide = unsigned __int128;

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

std::vector<Modulus> make_moduli(const Moduli& moduli) {
  std::vector<Modulus> made;
  for (std::size_t i = 0; i < moduli.n; ++i) {
    const std::uint64_t p = moduli.primes[i];
    if (p <= (std::uint64_t{1} << 20) || p >= (std::uint64_t{1} << 60) || p % 2 == 0) {
      throw std::invalid_argument("prime " + std::to_string(p) +
                                  " is out of range: give odd primes between 2^20 and 2^60");
    }
    const auto base = static_cast<std::uint64_t>((Wide{1} << 64) % p);
    made.push_back({p, static_cast<std::uint64_t>((Wide{1} << 64) / p), base,
                    static_cast<std::uint64_t>((Wide{base} << 64) / p), 1.0 / static_cast<double>(p)});
  }
  if (made.empty()) throw std::invalid_argument("there are no primes: give at least one");
  return made;
}

// A thread is worth starting for some tens of microseconds of work.
constexpr std::size_t kGrain = 1 << 15;

// n_rows rows of n numbers; row r has the modulus r mod the number of moduli.
template <class Body>
void over_rows(std::size_t n_rows, std::size_t n, int threads, const Body& body) {
  parallel_for(n_rows, std::max<std::size_t>(1, kGrain / std::max<std::size_t>(1, n)), threads,
               [&](std::size_t begin, std::size_t end) {
                 for (std::size_t row = begin; row < end; ++row) body(row);
               });
}

}  // namespace

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
      &avx2,
#endif
      &portable,
  };
  return table;
}

void uniform(const std::uint8_t* stream, std::size_t n_items, std::size_t n, const Moduli& moduli,
             std::uint64_t* out, const Options& options) {
  const std::vector<Modulus> made = make_moduli(moduli);
  const Impl& impl = select(options.backend);
  const Window whole{~std::uint64_t{0}, ~std::uint64_t{0}, 0};
  over_rows(n_items * made.size(), n, options.threads, [&](std::size_t row) {
    impl.wide(stream + kWideBytes * n * row, n, made[row % made.size()], whole, out + n * row);
  });
}

void flood(const std::uint8_t* stream, std::size_t n_items, std::size_t n, int bits, const Moduli& moduli,
           std::uint64_t* out, const Options& options) {
  if (bits < 0 || bits > kMaxFloodBits) {
    throw std::invalid_argument("bits is " + std::to_string(bits) + ": give 0 to " +
                                std::to_string(kMaxFloodBits));
  }
  const std::vector<Modulus> made = make_moduli(moduli);
  const Impl& impl = select(options.backend);
  const Wide half = Wide{1} << bits, mask = 2 * half - 1;
  over_rows(n_items * made.size(), n, options.threads, [&](std::size_t row) {
    const Modulus& modulus = made[row % made.size()];
    const Window window{static_cast<std::uint64_t>(mask), static_cast<std::uint64_t>(mask >> 64),
                        static_cast<std::uint64_t>(half % modulus.p)};
    impl.wide(stream + kWideBytes * n * (row / made.size()), n, modulus, window, out + n * row);
  });
}

void ternary(const std::uint8_t* stream, std::size_t n, std::int8_t* out, const Options& options) {
  const Impl& impl = select(options.backend);
  parallel_for(n, kGrain * 4, options.threads, [&](std::size_t begin, std::size_t end) {
    impl.ternary(stream + kTernaryBytes * begin, end - begin, out + begin);
  });
}

void binomial(const std::uint8_t* stream, std::size_t n, std::int8_t* out, const Options& options) {
  const Impl& impl = select(options.backend);
  parallel_for(n, kGrain * 4, options.threads, [&](std::size_t begin, std::size_t end) {
    impl.binomial(stream + kBinomialBytes * begin, end - begin, out + begin);
  });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::sampling
