// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "common/wipe.h"
#include "embedding/embedding.h"
#include "embedding/impl.h"

namespace crypsis::embedding {
namespace {

constexpr std::string_view kSlug = "embedding";
const double kLimit = std::ldexp(1.0, kMaxBits);

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

[[noreturn]] void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

void check_degree(int log_n) {
  if (log_n < kMinLogN || log_n > kMaxLogN) {
    refuse("log_n is " + std::to_string(log_n) + ": give " + std::to_string(kMinLogN) + " to " +
           std::to_string(kMaxLogN));
  }
}

void check_scale(double scale) {
  if (!(scale >= 1 / kLimit && scale <= kLimit)) {
    refuse("scale is " + std::to_string(scale) + ": give a number from 2^-" + std::to_string(kMaxBits) +
           " to 2^" + std::to_string(kMaxBits));
  }
}

void check_slots(const Slots& slots, int log_n) {
  const std::size_t n = std::size_t{1} << (log_n - 1);
  if (slots.m > n) {
    refuse("a vector has " + std::to_string(slots.m) + " values: a polynomial of degree 2^" +
           std::to_string(log_n) + " has " + std::to_string(n) + " slots; split it");
  }
}

std::vector<Modulus> make_moduli(const Moduli& moduli) {
  std::vector<Modulus> made;
  for (std::size_t i = 0; i < moduli.n; ++i) {
    const std::uint64_t p = moduli.primes[i];
    if (p <= (std::uint64_t{1} << 20) || p >= (std::uint64_t{1} << 60)) {
      refuse("prime " + std::to_string(p) + " is out of range: give primes between 2^20 and 2^60");
    }
    __extension__ using Wide = unsigned __int128;
    const std::uint64_t base = (std::uint64_t{1} << kWordBits) % p;
    made.push_back(
        {p, 1.0 / static_cast<double>(p), base, static_cast<std::uint64_t>((Wide{base} << 64) / p)});
  }
  if (made.empty()) refuse("there are no primes: give at least one");
  return made;
}

// What coefficients must stay below: half the primes' product, less what the product in doubles may be too large by.
double limit_of(const std::vector<Modulus>& moduli) {
  double limit = 0.5 - 1e-12;
  for (const Modulus& modulus : moduli) limit = std::min(limit * static_cast<double>(modulus.p), kLimit);
  return limit;
}

// The largest of n numbers, all finite and below 2^kMaxBits, or an error that names the first that is not.
double largest_of(const Impl& impl, const char* name, const double* values, std::size_t n, int threads) {
  std::uint64_t most = 0;
  std::mutex lock;
  parallel_for(n, 1 << 17, threads, [&](std::size_t begin, std::size_t end) {
    const std::uint64_t found = impl.largest(values + begin, end - begin);
    const std::lock_guard<std::mutex> hold(lock);
    most = std::max(most, found);
  });
  const auto largest = std::bit_cast<double>(most);
  if (largest < kLimit) return largest;
  const auto first = static_cast<std::size_t>(
      std::find_if(values, values + n, [](double x) { return !(std::fabs(x) < kLimit); }) - values);
  refuse(std::string(name) + " are not all numbers below 2^" + std::to_string(kMaxBits) + ": number " +
         std::to_string(first) + " of " + std::to_string(n) + " is " +
         (std::isnan(values[first])   ? "NaN"
          : std::isinf(values[first]) ? "infinite"
                                      : "larger") +
         "; remove or replace it");
}

double largest_of(const Impl& impl, const Slots& slots, int threads) {
  return largest_of(impl, "slots", slots.values, slots.n_items * slots.m * (slots.complex ? 2 : 1), threads);
}

void check_product(double largest, double scale) {
  if (!(largest * scale < kLimit)) {
    refuse("the largest value times the scale is 2^" + std::to_string(kMaxBits) +
           " or more: lower the scale");
  }
}

// Memory of a thread that calls keep, so that none but the first touches new pages; wiped after each use.
class Scratch {
 public:
  explicit Scratch(std::size_t n) : n_(n) {
    if (kept().n < n) kept() = {aligned_doubles(n), n};
  }
  ~Scratch() { secure_wipe(kept().memory.get(), n_ * sizeof(double)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  double* get() const { return kept().memory.get(); }

 private:
  struct Kept {
    AlignedDoubles memory;
    std::size_t n = 0;
  };
  static Kept& kept() {
    thread_local Kept memory;
    return memory;
  }
  std::size_t n_;
};

// A thread is worth starting for some tens of microseconds of work.
std::size_t grain_items(std::size_t n) {
  return std::max<std::size_t>(1, (std::size_t{1} << 15) / n);
}

void put_residues(const Impl& impl, const double* coefficients, std::size_t n, int n_words,
                  const std::vector<Modulus>& moduli, std::uint64_t* out) {
  // In pieces that stay in the first cache for all primes.
  constexpr std::size_t kPiece = 1024;
  for (std::size_t at = 0; at < n; at += kPiece) {
    const std::size_t piece = std::min(kPiece, n - at);
    for (std::size_t i = 0; i < moduli.size(); ++i) {
      if (n_words == 1) {
        impl.residues(coefficients + at, piece, moduli[i], out + i * n + at);
      } else {
        residues_of_words(coefficients + at, piece, n_words, moduli[i], out + i * n + at);
      }
    }
  }
}

int words_of(double largest) {
  if (largest < 1) return 1;
  return 1 + std::max(0, std::ilogb(largest) + kWordBits - kFirstWordBits) / kWordBits;
}

struct Transform {
  const Impl& impl;
  const Tables& tables;
  const Slots& slots;
  double factor;

  void operator()(std::size_t item, double* work, double* out) const {
    const std::size_t row = slots.m * (slots.complex ? 2 : 1);
    impl.to_coefficients(tables, slots.values + item * row, slots.complex, slots.m, factor, work, out);
  }
};

void all_coefficients(const Transform& transform, double* out, int threads) {
  const std::size_t n = 2 * transform.tables.n;
  parallel_for(transform.slots.n_items, grain_items(n), threads, [&](std::size_t begin, std::size_t end) {
    const Scratch scratch(n);
    for (std::size_t i = begin; i < end; ++i) transform(i, scratch.get(), out + i * n);
  });
}

void all_residues(const Impl& impl, const double* coefficients, std::size_t n_items, std::size_t n,
                  const std::vector<Modulus>& moduli, std::uint64_t* out, int threads) {
  const double largest = largest_of(impl, "coefficients", coefficients, n_items * n, threads);
  if (!(largest < limit_of(moduli))) {
    refuse(
        "a coefficient is half the primes' product or more: lower the scale or the values, or take more "
        "primes");
  }
  const int n_words = words_of(largest);
  parallel_for(n_items, grain_items(n), threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      put_residues(impl, coefficients + i * n, n, n_words, moduli, out + i * n * moduli.size());
    }
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

void to_coefficients(const Slots& slots, int log_n, double scale, double* out, const Options& options) {
  check_degree(log_n);
  check_scale(scale);
  check_slots(slots, log_n);
  const Impl& impl = select(options.backend);
  check_product(largest_of(impl, slots, options.threads), scale);
  const Tables& made = tables(log_n);
  all_coefficients({impl, made, slots, scale / static_cast<double>(made.n)}, out, options.threads);
}

void to_slots(const double* coefficients, std::size_t n_items, int log_n, double scale, double* out,
              const Options& options) {
  check_degree(log_n);
  check_scale(scale);
  const Impl& impl = select(options.backend);
  const std::size_t n = std::size_t{1} << log_n;
  const double factor = 1 / scale;
  check_product(largest_of(impl, "coefficients", coefficients, n_items * n, options.threads), factor);
  const Tables& made = tables(log_n);
  parallel_for(n_items, grain_items(n), options.threads, [&](std::size_t begin, std::size_t end) {
    const Scratch scratch(n);
    for (std::size_t i = begin; i < end; ++i) {
      impl.to_slots(made, coefficients + i * n, factor, scratch.get(), out + i * n);
    }
  });
}

void to_residues(const double* coefficients, std::size_t n_items, int log_n, const Moduli& moduli,
                 std::uint64_t* out, const Options& options) {
  check_degree(log_n);
  const std::vector<Modulus> made = make_moduli(moduli);
  all_residues(select(options.backend), coefficients, n_items, std::size_t{1} << log_n, made, out,
               options.threads);
}

void encode(const Slots& slots, int log_n, double scale, const Moduli& moduli, std::uint64_t* out,
            const Options& options) {
  check_degree(log_n);
  check_scale(scale);
  check_slots(slots, log_n);
  const std::vector<Modulus> made = make_moduli(moduli);
  const Impl& impl = select(options.backend);
  const double largest = largest_of(impl, slots, options.threads);
  check_product(largest, scale);
  const Tables& twiddles = tables(log_n);
  const Transform transform{impl, twiddles, slots, scale / static_cast<double>(twiddles.n)};
  const std::size_t n = std::size_t{1} << log_n;

  // A coefficient is at most the largest |slot| times the scale, and that at most sqrt(2) times the largest part.
  if (largest * scale < std::min(std::ldexp(1.0, kFirstWordBits - 1), limit_of(made) / 1.5)) {
    parallel_for(slots.n_items, grain_items(n), options.threads, [&](std::size_t begin, std::size_t end) {
      const Scratch scratch(2 * n);
      for (std::size_t i = begin; i < end; ++i) {
        transform(i, scratch.get(), scratch.get() + n);
        put_residues(impl, scratch.get() + n, n, 1, made, out + i * n * made.size());
      }
    });
    return;
  }
  const std::size_t count = slots.n_items * n;
  const AlignedDoubles coefficients = aligned_doubles(count);
  all_coefficients(transform, coefficients.get(), options.threads);
  try {
    all_residues(impl, coefficients.get(), slots.n_items, n, made, out, options.threads);
  } catch (...) {
    secure_wipe(coefficients.get(), count * sizeof(double));
    throw;
  }
  secure_wipe(coefficients.get(), count * sizeof(double));
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::embedding
