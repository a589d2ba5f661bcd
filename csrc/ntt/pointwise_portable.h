// SPDX-License-Identifier: Apache-2.0
// Element-wise work on 64-bit words: the portable backend, and the ends of the vector ones. Internal linkage.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ntt/modular_portable.h"

namespace crypsis::ntt {
namespace {

inline void add_portable(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                         std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = reduce_once(a[i] + b[i], t.p);
}

inline void subtract_portable(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                              std::size_t n, std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = reduce_once(a[i] + t.p - b[i], t.p);
}

inline void negate_portable(const PrimeTables& t, const std::uint64_t* a, std::size_t n, std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = reduce_once(t.p - a[i], t.p);
}

inline void multiply_portable(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                              std::size_t n, std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = multiply_mod(a[i], b[i], t);
}

// a b + c < p^2: reduce_product's range.
inline void multiply_add_portable(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                                  const std::uint64_t* c, std::size_t n, std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = reduce_product(Wide{a[i]} * b[i] + c[i], t);
}

inline void scale_portable(const PrimeTables& t, const std::uint64_t* a, std::uint64_t constant,
                           std::uint64_t quotient, std::size_t n, std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = shoup(a[i], constant, quotient, t.p);
}

inline void permute_portable(const std::uint32_t* table, const std::uint64_t* a, std::size_t n,
                             std::uint64_t* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[table[i]];
}

// |x| mod p, then p less that where x < 0: p - 0 is reduced too.
template <class Signed>
void from_signed_portable(const PrimeTables& t, const Signed* in, std::size_t n, std::uint64_t* out) {
  if (sizeof(Signed) < 8 &&
      t.p >> (8 * sizeof(Signed) - 1) != 0) {  // |x| < p: no reduction, so that compilers take vectors
    for (std::size_t i = 0; i < n; ++i) {
      const auto x = static_cast<std::uint64_t>(std::int64_t{in[i]});
      out[i] = x + (t.p & (0 - (x >> 63)));
    }
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const auto x = static_cast<std::uint64_t>(std::int64_t{in[i]});
    const std::uint64_t negative = 0 - (x >> 63);
    const std::uint64_t r = reduce_word((x ^ negative) - negative, t);
    out[i] = reduce_once(r ^ (negative & (r ^ (t.p - r))), t.p);
  }
}

}  // namespace
}  // namespace crypsis::ntt
