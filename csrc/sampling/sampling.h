// SPDX-License-Identifier: Apache-2.0
// Random polynomials of lattice schemes as functions of a stream of random bytes: uniform residues, ternary secrets,
// centred binomial errors, noise that floods. All numbers in a stream are little-endian.
//
// Constant-time: no branch and no address depends on the stream. Bad sizes throw std::invalid_argument and a backend
// that cannot run here BackendUnavailable, before anything is written. No output may overlap an input.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::sampling {

inline constexpr std::size_t kWideBytes = 16, kTernaryBytes = 8, kBinomialBytes = 6;
inline constexpr int kCoins = 42, kMaxFloodBits = 100;

struct Options {
  std::string_view backend;  // empty: the best one
  int threads = 0;           // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

// Primes 2^20 < p < 2^60.
struct Moduli {
  const std::uint64_t* primes;
  std::size_t n;
};

// stream, out: [n_items, moduli.n, n] numbers of 16 bytes, their residues.
void uniform(const std::uint8_t* stream, std::size_t n_items, std::size_t n, const Moduli& moduli,
             std::uint64_t* out, const Options& options);

// out: [n_items, moduli.n, n] residues of (x mod 2^(bits + 1)) - 2^bits for [n_items, n] numbers x of 16 bytes.
void flood(const std::uint8_t* stream, std::size_t n_items, std::size_t n, int bits, const Moduli& moduli,
           std::uint64_t* out, const Options& options);

// out[i] = floor(3 x / 2^64) - 1 for n numbers x of 8 bytes.
void ternary(const std::uint8_t* stream, std::size_t n, std::int8_t* out, const Options& options);

// out[i] = ones among bits 0 to 20 less ones among bits 21 to 41 of n numbers of 6 bytes.
void binomial(const std::uint8_t* stream, std::size_t n, std::int8_t* out, const Options& options);

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

}  // namespace crypsis::sampling
