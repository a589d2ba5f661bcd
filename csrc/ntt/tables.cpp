// SPDX-License-Identifier: Apache-2.0
#include "ntt/tables.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <set>
#include <stdexcept>
#include <string>

#include "ntt/modular_portable.h"
#include "ntt/ntt.h"

namespace crypsis::ntt {
namespace {

constexpr std::align_val_t kAlignment{64};

// Public numbers only: here and below, divisions take time that depends on them.
std::uint64_t power(std::uint64_t base, std::uint64_t exponent, std::uint64_t p) {
  Wide result = 1, square = base % p;
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) result = result * square % p;
    square = square * square % p;
  }
  return static_cast<std::uint64_t>(result);
}

// Miller and Rabin's test with the first twelve primes as bases: no composite below 3.3 10^24 passes [SW17].
bool is_prime(std::uint64_t n) {
  static constexpr std::array<std::uint64_t, 12> bases{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  if (n < 2) return false;
  for (const std::uint64_t base : bases) {
    if (n % base == 0) return n == base;
  }
  const int twos = std::countr_zero(n - 1);
  for (const std::uint64_t base : bases) {
    std::uint64_t x = power(base, (n - 1) >> twos, n);
    bool passes = x == 1 || x == n - 1;
    for (int i = 1; i < twos && !passes; ++i) {
      x = static_cast<std::uint64_t>(Wide{x} * x % n);
      passes = x == n - 1;
    }
    if (!passes) return false;
  }
  return true;
}

int check_log_n(int log_n) {
  if (log_n < kMinLogN || log_n > kMaxLogN) {
    throw std::invalid_argument("log_n is " + std::to_string(log_n) + ": give " + std::to_string(kMinLogN) +
                                " to " + std::to_string(kMaxLogN));
  }
  return log_n;
}

std::uint64_t check_prime(int log_n, std::uint64_t p) {
  const std::string name = "prime " + std::to_string(p);
  if (p < kMinPrime || p >= kMaxPrime)
    throw std::invalid_argument(name + " is out of range: give 17 to 2^60 - 1");
  const std::uint64_t order = std::uint64_t{2} << check_log_n(log_n);
  if (p % order != 1) {
    throw std::invalid_argument(name + " is not 1 mod 2N = " + std::to_string(order) +
                                ": find_primes gives primes that are");
  }
  if (!is_prime(p)) throw std::invalid_argument(name + " is not prime: find_primes gives primes");
  return p;
}

// A root of unity has order 2N exactly where its N-th power is -1; its odd powers are the others of that order.
std::uint64_t smallest_root(std::size_t n, std::uint64_t p) {
  std::uint64_t root = 0;
  for (std::uint64_t g = 2; root == 0; ++g) {
    const std::uint64_t candidate = power(g, (p - 1) / (2 * n), p);
    if (power(candidate, n, p) == p - 1) root = candidate;
  }
  const auto square = static_cast<std::uint64_t>(Wide{root} * root % p);
  const std::uint64_t quotient = shoup_quotient(square, p);
  std::uint64_t smallest = root;
  for (std::size_t i = 1; i < n; ++i) {
    root = shoup(root, square, quotient, p);
    smallest = std::min(smallest, root);
  }
  return smallest;
}

std::size_t reversed(std::size_t i, int n_bits) {
  std::size_t result = 0;
  for (int bit = 0; bit < n_bits; ++bit) result |= (i >> bit & 1) << (n_bits - 1 - bit);
  return result;
}

}  // namespace

Words::Words(std::size_t n) : words_(new (kAlignment) std::uint64_t[n + kPadding]) {
  std::fill(words_.get() + n, words_.get() + n + kPadding, 0);
}

void Words::Free::operator()(std::uint64_t* words) const noexcept {
  operator delete[](words, kAlignment);
}

PrimeTables::PrimeTables(int log_n_in, std::uint64_t p_in)
    : log_n(check_log_n(log_n_in)),
      n(std::size_t{1} << log_n),
      p(check_prime(log_n, p_in)),
      bits(static_cast<int>(std::bit_width(p))),
      psi(smallest_root(n, p)),
      barrett(static_cast<std::uint64_t>((Wide{1} << (bits + 62)) / p)),
      one_quotient(shoup_quotient(1, p)),
      wide(static_cast<std::uint64_t>((Wide{1} << 64) % p)),
      wide_quotient(shoup_quotient(wide, p)),
      roots_(3 * n) {
  std::uint64_t* const forward = roots_.data();
  std::uint64_t* const inverse = forward + n;
  std::uint64_t* const untwist = inverse + n;
  const std::uint64_t quotient = shoup_quotient(psi, p);
  std::uint64_t root = 1;
  for (std::size_t i = 0; i < n; ++i) {
    forward[reversed(i, log_n)] = root;
    root = shoup(root, psi, quotient, p);
  }
  // psi^-e = -psi^(N - e)
  inverse[0] = 1;
  for (std::size_t t = 1; t < n; t *= 2) {
    inverse[t] = 1;
    for (std::size_t j = 1; j < t; ++j) inverse[t + j] = p - forward[reversed(n - j * (n / t), log_n)];
  }
  const std::uint64_t back = p - forward[reversed(n - 1, log_n)], back_quotient = shoup_quotient(back, p);
  root = power(n, p - 2, p);
  for (std::size_t i = 0; i < n; ++i) {
    untwist[i] = root;
    root = shoup(root, back, back_quotient, p);
  }
}

Twiddles PrimeTables::quotients64() const {
  std::call_once(once64_, [this] {
    auto quotients = std::make_unique<Words>(3 * n);
    for (std::size_t i = 0; i < 3 * n; ++i) quotients->data()[i] = shoup_quotient(roots_.data()[i], p);
    quotients64_ = std::move(quotients);
  });
  return at(*quotients64_);
}

Twiddles PrimeTables::quotients52() const {
  std::call_once(once52_, [this] {
    auto quotients = std::make_unique<Words>(3 * n);
    for (std::size_t i = 0; i < 3 * n; ++i) {
      quotients->data()[i] = static_cast<std::uint64_t>((Wide{roots_.data()[i]} << 52) / p);
    }
    quotients52_ = std::move(quotients);
  });
  return at(*quotients52_);
}

Twiddles PrimeTables::quotients_double() const {
  std::call_once(once_double_, [this] {
    auto quotients = std::make_unique<Words>(3 * n);
    for (std::size_t i = 0; i < 3 * n; ++i) {
      const double quotient = static_cast<double>(roots_.data()[i]) / static_cast<double>(p);
      quotients->data()[i] = std::bit_cast<std::uint64_t>(quotient);
    }
    quotients_double_ = std::move(quotients);
  });
  return at(*quotients_double_);
}

Basis::Basis(int log_n, const std::vector<std::uint64_t>& primes) : log_n_(check_log_n(log_n)) {
  std::set<std::uint64_t> seen;
  for (const std::uint64_t p : primes) {
    check_prime(log_n, p);
    if (!seen.insert(p).second) {
      throw std::invalid_argument("prime " + std::to_string(p) + " is there twice: give distinct primes");
    }
  }
  for (const std::uint64_t p : primes) limbs_.push_back(std::make_shared<const PrimeTables>(log_n, p));
}

Basis::Basis(int log_n, std::vector<std::shared_ptr<const PrimeTables>> limbs)
    : log_n_(check_log_n(log_n)), limbs_(std::move(limbs)) {
  std::set<std::uint64_t> seen;
  for (const auto& limb : limbs_) {
    if (limb->log_n != log_n) {
      throw std::invalid_argument("a limb has log_n " + std::to_string(limb->log_n) + ", the basis " +
                                  std::to_string(log_n) + ": give limbs of one degree");
    }
    if (!seen.insert(limb->p).second) {
      throw std::invalid_argument("prime " + std::to_string(limb->p) +
                                  " is there twice: give distinct primes");
    }
  }
}

std::vector<std::uint64_t> find_primes(int log_n, const std::vector<int>& bits) {
  const std::uint64_t step = std::uint64_t{2} << check_log_n(log_n);
  std::vector<std::uint64_t> found;
  for (const int n_bits : bits) {
    const std::string name = "bits is " + std::to_string(n_bits);
    if (n_bits < 5 || n_bits > 60) throw std::invalid_argument(name + ": give 5 to 60");
    const std::uint64_t above = std::uint64_t{1} << n_bits, floor = above / 2;
    std::uint64_t p = above < step ? 0 : above - step + 1;
    while (p > floor && (!is_prime(p) || std::find(found.begin(), found.end(), p) != found.end())) p -= step;
    if (p <= floor || p < kMinPrime) {
      throw std::invalid_argument(name + ": no prime of that size is left that is 1 mod 2N = " +
                                  std::to_string(step) + "; give more bits or a smaller log_n");
    }
    found.push_back(p);
  }
  return found;
}

}  // namespace crypsis::ntt
