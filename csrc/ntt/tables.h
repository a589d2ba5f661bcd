// SPDX-License-Identifier: Apache-2.0
// What a transform needs of one prime: constants, powers of its root of unity, and their Shoup quotients.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace crypsis::ntt {

inline constexpr int kMinLogN = 2, kMaxLogN = 16;
inline constexpr std::uint64_t kMinPrime = 17, kMaxPrime = std::uint64_t{1} << 60;
// 52-bit products serve primes below this: 4p < 2^52.
inline constexpr std::uint64_t kMaxPrime52 = std::uint64_t{1} << 50;

// 64-byte aligned array of words; a vector may be read past its end (kPadding words).
class Words {
 public:
  static constexpr std::size_t kPadding = 8;
  explicit Words(std::size_t n);
  std::uint64_t* data() noexcept { return words_.get(); }
  const std::uint64_t* data() const noexcept { return words_.get(); }

 private:
  struct Free {
    void operator()(std::uint64_t* words) const noexcept;
  };
  std::unique_ptr<std::uint64_t[], Free> words_;
};

// Powers of psi below p in three tables of N words, and at the same place of a second array their Shoup quotients
// floor(w 2^k / p), k = 64 or 52:
//   forward[m + i] = psi^brev(m + i), i < m = 1, 2, .., N / 2: stage m's twiddle of group i (brev over log_n bits)
//   inverse[t + j] = psi^(-j N / t), j < t = 1, 2, .., N / 2: decimation in time on bit-reversed input, half length t
//   untwist[i] = psi^-i / N
struct Twiddles {
  const std::uint64_t *forward, *inverse, *untwist;
};

// Of one prime and one degree; immutable (quotients are made at their first use, thread-safe).
class PrimeTables {
 public:
  // std::invalid_argument unless p is a prime that is 1 mod 2N.
  PrimeTables(int log_n, std::uint64_t p);

  int log_n;
  std::size_t n;
  std::uint64_t p;
  int bits;                     // 2^(bits - 1) < p < 2^bits
  std::uint64_t psi;            // the smallest primitive 2N-th root of unity
  std::uint64_t barrett;        // floor(2^(bits + 62) / p): quotients of products of two residues
  std::uint64_t one_quotient;   // floor(2^64 / p): the Shoup quotient of 1
  std::uint64_t wide;           // 2^64 mod p
  std::uint64_t wide_quotient;  // floor(wide 2^64 / p)

  Twiddles roots() const noexcept { return at(roots_); }
  Twiddles quotients64() const;
  Twiddles quotients52() const;  // of primes below kMaxPrime52
  // Doubles w / p, rounded, by their bits; of primes below 2^53.
  Twiddles quotients_double() const;

 private:
  Twiddles at(const Words& words) const noexcept {
    return {words.data(), words.data() + n, words.data() + 2 * n};
  }
  Words roots_;
  mutable std::once_flag once64_, once52_, once_double_;
  mutable std::unique_ptr<Words> quotients64_, quotients52_, quotients_double_;
};

}  // namespace crypsis::ntt
