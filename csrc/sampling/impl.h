// SPDX-License-Identifier: Apache-2.0
// What a backend of the sampling slug provides. Callers have checked every size; n may be 0, no alignment is assumed,
// nothing overlaps. Constant-time in the streams.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "sampling/sampling.h"

namespace crypsis::sampling {

// A prime and what its reductions need; quotients are rounded down.
struct Modulus {
  std::uint64_t p;
  std::uint64_t quotient;       // 2^64 / p
  std::uint64_t base;           // 2^64 mod p
  std::uint64_t base_quotient;  // 2^64 base / p
  double inverse;               // 1 / p, to nearest
};

// Which of a number's 128 bits count, and what is then taken away, mod p.
struct Window {
  std::uint64_t low, high;
  std::uint64_t offset;  // below p
};

struct Impl : Backend {
  // out[i] = residue of the i-th number of 16 bytes, as the window says.
  void (*wide)(const std::uint8_t* stream, std::size_t n, const Modulus& modulus, const Window& window,
               std::uint64_t* out);
  void (*ternary)(const std::uint8_t* stream, std::size_t n, std::int8_t* out);
  void (*binomial)(const std::uint8_t* stream, std::size_t n, std::int8_t* out);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::sampling
