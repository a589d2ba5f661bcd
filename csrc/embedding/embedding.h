// SPDX-License-Identifier: Apache-2.0
// The canonical embedding of CKKS [CKKS17, 2.2]: vectors of n = N / 2 complex slots to the coefficients of real
// polynomials of degree below N = 2^log_n and back, and rounded coefficients to residues. With zeta = exp(pi i / N),
// slot j is the polynomial's value at zeta^(5^j).
//
// Values are messages. Time depends on sizes, on the length of the largest value (see encode) and, as everywhere in
// floating point, on subnormal numbers. Bad values throw std::invalid_argument and a backend that cannot run here
// BackendUnavailable, before anything is written. No output may overlap an input.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::embedding {

inline constexpr int kMinLogN = 2, kMaxLogN = 17;
// Largest |coefficient| that has residues: 2^kMaxBits.
inline constexpr int kMaxBits = 1000;

struct Options {
  std::string_view backend;  // empty: the best one
  int threads = 0;           // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

// n_items vectors of m slots each, m at most N / 2; slots that are not given are zero.
struct Slots {
  const double* values;  // m doubles an item, or 2 m where `complex`: real part, imaginary part
  bool complex;
  std::size_t n_items, m;
};

// Primes 2^20 < p < 2^60.
struct Moduli {
  const std::uint64_t* primes;
  std::size_t n;
};

// out: n_items rows of N coefficients, scale times those of the polynomials with these slots.
void to_coefficients(const Slots& slots, int log_n, double scale, double* out, const Options& options);

// out: n_items rows of N / 2 complex slots, divided by `scale`, from rows of N coefficients.
void to_slots(const double* coefficients, std::size_t n_items, int log_n, double scale, double* out,
              const Options& options);

// out: uint64[n_items, moduli.n, N], the nearest integers (ties to even) modulo each prime, in [0, p). Coefficients of
// half the product of the primes or more, or of 2^kMaxBits, are refused.
void to_residues(const double* coefficients, std::size_t n_items, int log_n, const Moduli& moduli,
                 std::uint64_t* out, const Options& options);

// to_residues(to_coefficients(slots)), a polynomial at a time. Where scale times the largest part of a slot is below
// 2^60 and below a third of the primes' product, no branch and no address depends on the slots. Coefficients of larger
// ones are kept and measured first, and the time then shows how many words of 62 bits the largest has.
void encode(const Slots& slots, int log_n, double scale, const Moduli& moduli, std::uint64_t* out,
            const Options& options);

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

}  // namespace crypsis::embedding
