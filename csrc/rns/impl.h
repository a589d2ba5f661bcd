// SPDX-License-Identifier: Apache-2.0
// What a backend of the rns slug provides: element-wise work on runs of n coefficients, any n, any alignment. Callers
// have checked everything. Constant-time in residues and digits.
//
// A "digit" is a signed word: r_i of the centred mixed radix x = r_0 + t_0 (r_1 + t_1 (r_2 + ..)), |r_i| < t_i / 2, kept
// in two's complement.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "rns/rns.h"

namespace crypsis::rns {

// The moduli t_0 .. t_(count-1) that a value is written in: their numbers in the chain.
struct Radix {
  const Chain& chain;
  std::size_t count;
  std::uint8_t numbers[kMaxModuli];
};

// Digits of moduli below this are below 2^50 in size.
inline constexpr std::uint64_t kNarrowModulus = std::uint64_t{1} << 51;

// What one digit contributes to residues modulo a target: digit * factor.
struct Conversion {
  std::size_t count;
  Constant factors[kMaxModuli];
  bool is_narrow[kMaxModuli];  // the digit's modulus is below kNarrowModulus
  bool is_small;  // count == 1, the factor is 1 and the digit is below the target: nothing to multiply
};

// One product of a digit's limb with both halves of a key.
struct Term {
  const std::uint64_t *digit, *key0, *key1;
};
inline constexpr std::size_t kMaxTerms = kMaxModuli;

struct Impl : Backend {
  // rows[i][0, n): residues mod t_i on the way in, digits r_i on the way out.
  void (*mixed_radix)(const Radix& radix, std::uint64_t* const* rows, std::size_t n);
  // out = sum of digits_i factors_i mod p.
  void (*convert)(const ntt::PrimeTables& target, const Conversion& conversion,
                  const std::uint64_t* const* digits, std::size_t n, std::uint64_t* out);
  // out0, out1 = sum of digit[table[j]] key[j], mod p; table == nullptr: the identity. With a table, n and the place
  // that `table` and the keys start from are multiples of 8 unless the degree is below 8; digit starts at coefficient 0.
  void (*inner_product)(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                        const std::uint32_t* table, std::size_t n, std::uint64_t* out0, std::uint64_t* out1);
  // out = x a + y + add b mod p; y, add may be nullptr; out may be any of the three.
  void (*combine)(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
                  const std::uint64_t* add, Constant b, std::size_t n, std::uint64_t* out);
  // rows[i]: residues mod t_i; out: the centred value as a double. Overwrites nothing but out.
  void (*compose)(const Radix& radix, const std::uint64_t* const* rows, std::size_t n, double* out);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
extern const Impl avx512ifma;
#endif

// Best first.
std::span<const Impl* const> compiled();
const Impl& select(const Options& options);

}  // namespace crypsis::rns
