// SPDX-License-Identifier: Apache-2.0
// Integers modulo l = 2^252 + 27742317777372353535851937790883648493, the order of the prime-order group. Constant-time.
#pragma once
#include <cstddef>
#include <cstdint>

#include "curve25519/field51.h"

namespace crypsis::curve25519::scalar252 {

using field51::load64;
using field51::store64;
using field51::u128;

struct Scalar {
  std::uint64_t w[4];  // little-endian; canonical: below l
};

// l - 2^252, 125 bits.
constexpr std::uint64_t kTail[2] = {0x5812631a5cf5d3ed, 0x14def9dea2f79cd6};
constexpr Scalar kOrder{{kTail[0], kTail[1], 0, std::uint64_t{1} << 60}};

// r 2^32 + word mod l for canonical r. With q the part from 2^252 on, below 2^33: 2^252 = -tail, so the value is low -
// q tail with low < 2^252 and q tail < 2^158: above -l, and below l without a carry from above.
inline Scalar shift_in(const Scalar& r, std::uint32_t word) {
  const std::uint64_t s[5] = {(r.w[0] << 32) | word, (r.w[1] << 32) | (r.w[0] >> 32),
                              (r.w[2] << 32) | (r.w[1] >> 32), (r.w[3] << 32) | (r.w[2] >> 32), r.w[3] >> 32};
  const std::uint64_t q = (s[4] << 4) | (s[3] >> 60);
  const u128 p0 = static_cast<u128>(q) * kTail[0];
  const u128 p1 = static_cast<u128>(q) * kTail[1] + static_cast<std::uint64_t>(p0 >> 64);
  const std::uint64_t product[4] = {static_cast<std::uint64_t>(p0), static_cast<std::uint64_t>(p1),
                                    static_cast<std::uint64_t>(p1 >> 64), 0};
  const std::uint64_t low[4] = {s[0], s[1], s[2], s[3] & ((std::uint64_t{1} << 60) - 1)};
  Scalar out;
  std::uint64_t borrow = 0;
  for (int i = 0; i < 4; ++i) {
    const u128 difference = static_cast<u128>(low[i]) - product[i] - borrow;
    out.w[i] = static_cast<std::uint64_t>(difference);
    borrow = static_cast<std::uint64_t>(difference >> 64) & 1;
  }
  const std::uint64_t negative = 0 - borrow;
  std::uint64_t carry = 0;
  for (int i = 0; i < 4; ++i) {
    const u128 sum = static_cast<u128>(out.w[i]) + (kOrder.w[i] & negative) + carry;
    out.w[i] = static_cast<std::uint64_t>(sum);
    carry = static_cast<std::uint64_t>(sum >> 64);
  }
  return out;
}

// Little-endian bytes, a multiple of 4 of them, mod l.
inline Scalar reduce_bytes(const std::uint8_t* bytes, std::size_t n_bytes) {
  Scalar r{{0, 0, 0, 0}};
  for (std::size_t i = n_bytes; i > 0; i -= 4) {
    const std::uint8_t* b = bytes + i - 4;
    r = shift_in(r, static_cast<std::uint32_t>(b[0]) | static_cast<std::uint32_t>(b[1]) << 8 |
                        static_cast<std::uint32_t>(b[2]) << 16 | static_cast<std::uint32_t>(b[3]) << 24);
  }
  return r;
}

inline void to_bytes(std::uint8_t* out, const Scalar& a) {
  for (int i = 0; i < 4; ++i) store64(out + 8 * i, a.w[i]);
}

// Signed digits of a canonical scalar in radix 16: the sum of digits[i] 16^i, each in -8..8 (the last one at most 2).
inline void radix16(const Scalar& a, std::int8_t (&digits)[64]) {
  for (int i = 0; i < 64; ++i) digits[i] = static_cast<std::int8_t>((a.w[i / 16] >> (4 * (i % 16))) & 15);
  int carry = 0;
  for (int i = 0; i < 63; ++i) {
    const int digit = digits[i] + carry;
    carry = (digit + 8) >> 4;
    digits[i] = static_cast<std::int8_t>(digit - 16 * carry);
  }
  digits[63] = static_cast<std::int8_t>(digits[63] + carry);
}

}  // namespace crypsis::curve25519::scalar252
