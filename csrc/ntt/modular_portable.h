// SPDX-License-Identifier: Apache-2.0
// Arithmetic mod p < 2^60 on 64-bit words, constant-time: Shoup's products by known constants [Har14], Barrett's for
// two unknown factors. Internal linkage: files compiled for different instruction sets include this.
#pragma once
#include <cstdint>

#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

using Wide = unsigned __int128;

inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint64_t>((Wide{a} * b) >> 64);
}

// x in [0, 2 m) -> [0, m), without a branch: m < 2^63.
inline std::uint64_t reduce_once(std::uint64_t x, std::uint64_t m) {
  const std::uint64_t less = x - m;
  return less + (m & (0 - (less >> 63)));
}

// floor(w 2^64 / p) for a public w < p.
inline std::uint64_t shoup_quotient(std::uint64_t w, std::uint64_t p) {
  return static_cast<std::uint64_t>((Wide{w} << 64) / p);
}

// x w mod p in [0, 2p), for any x: x w - floor(x quotient / 2^64) p, where the floor is the quotient or one less.
inline std::uint64_t shoup_lazy(std::uint64_t x, std::uint64_t w, std::uint64_t quotient, std::uint64_t p) {
  return x * w - multiply_high(x, quotient) * p;
}

inline std::uint64_t shoup(std::uint64_t x, std::uint64_t w, std::uint64_t quotient, std::uint64_t p) {
  return reduce_once(shoup_lazy(x, w, quotient, p), p);
}

// Any word mod p.
inline std::uint64_t reduce_word(std::uint64_t x, const PrimeTables& t) {
  return reduce_once(x - multiply_high(x, t.one_quotient) * t.p, t.p);
}

// Any two words mod p: hi 2^64 + lo. Each half's lazy product is below 2p, the sum below 4p < 2^62.
inline std::uint64_t reduce_wide(Wide x, const PrimeTables& t) {
  const auto hi = static_cast<std::uint64_t>(x >> 64), lo = static_cast<std::uint64_t>(x);
  const std::uint64_t sum =
      shoup_lazy(hi, t.wide, t.wide_quotient, t.p) + lo - multiply_high(lo, t.one_quotient) * t.p;
  return reduce_once(reduce_once(sum, 2 * t.p), t.p);
}

// x < p^2 mod p. With k = bits: x >> (k - 2) < 2^(k + 2) <= 2^62 and barrett = floor(2^(k + 62) / p) <= 2^63; the
// quotient falls short of x / p by less than 1/2 (bits shifted out) + 1/4 (barrett's floor) + 1 (floor): r < 1.75 p.
inline std::uint64_t reduce_product(Wide x, const PrimeTables& t) {
  const auto top = static_cast<std::uint64_t>(x >> (t.bits - 2));
  return reduce_once(static_cast<std::uint64_t>(x) - multiply_high(top, t.barrett) * t.p, t.p);
}

inline std::uint64_t multiply_mod(std::uint64_t a, std::uint64_t b, const PrimeTables& t) {
  return reduce_product(Wide{a} * b, t);
}

}  // namespace
}  // namespace crypsis::ntt
