// SPDX-License-Identifier: Apache-2.0
// What a backend of the embedding slug provides: one polynomial a call. Callers have checked every size and value; no
// alignment is assumed, nothing overlaps. Only sums, differences and products rounded one by one, in one order: all
// backends give the same bits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "embedding/embedding.h"
#include "embedding/tables.h"

namespace crypsis::embedding {

// A prime and what its reductions need.
struct Modulus {
  std::uint64_t p;
  double inverse;               // 1 / p, rounded
  std::uint64_t base;           // 2^62 mod p
  std::uint64_t base_quotient;  // floor(2^64 base / p)
};

// |x[i]| below this has one word; each of 62 bits more lets x grow by 2^62.
inline constexpr int kFirstWordBits = 61, kWordBits = 62;

// residues() of any backend for numbers of n_words words: |x[i]| < 2^(61 + 62 (n_words - 1)), n_words at most 17.
void residues_of_words(const double* x, std::size_t n, int n_words, const Modulus& modulus,
                       std::uint64_t* out);

struct Impl : Backend {
  // m slots, then zeros, to 2 n coefficients times `factor`. work: 2 n doubles.
  void (*to_coefficients)(const Tables& tables, const double* slots, bool complex, std::size_t m,
                          double factor, double* work, double* out);
  // 2 n coefficients to n slots (re, im) times `factor`. work: 2 n doubles.
  void (*to_slots)(const Tables& tables, const double* coefficients, double factor, double* work,
                   double* out);
  // out[i] = the integer nearest to x[i] (ties to even) mod p, |x[i]| < 2^61; n a power of two.
  void (*residues)(const double* x, std::size_t n, const Modulus& modulus, std::uint64_t* out);
  // The bits of the largest |x[i]|, NaN being above infinity; 0 for n = 0.
  std::uint64_t (*largest)(const double* x, std::size_t n);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::embedding
