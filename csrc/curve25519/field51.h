// SPDX-License-Identifier: Apache-2.0
// GF(2^255 - 19) in five limbs of 51 bits. Every function is constant-time unless its name ends in _vartime.
//
// Two types carry the range, so that a forgotten carry does not compile:
//   Fe     "reduced":   each limb < 2^52. What multiplication, squaring and decoding return.
//   FeSum  "unreduced": each limb < 2^54. One addition or subtraction of two Fe; an operand of a
//   multiplication only.
// A product of two unreduced operands has columns < (1 + 4 * 19) * 2^108 < 2^115, and the top column, which
// is the one whose carry is multiplied by 19, < 5 * 2^108 + 2^64: 19 times its carry stays below 2^64.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace crypsis::curve25519::field51 {

__extension__ typedef unsigned __int128 u128;

constexpr std::uint64_t kMask51 = (std::uint64_t{1} << 51) - 1;

struct FeSum {
  std::uint64_t v[5];
};

struct Fe {
  std::uint64_t v[5];
};

constexpr Fe kZero{{0, 0, 0, 0, 0}};
constexpr Fe kOne{{1, 0, 0, 0, 0}};

inline FeSum widen(const Fe& a) {
  return {{a.v[0], a.v[1], a.v[2], a.v[3], a.v[4]}};
}

// a + b: limbs < 2^53.
inline FeSum add(const Fe& a, const Fe& b) {
  FeSum r;
  for (int i = 0; i < 5; ++i) r.v[i] = a.v[i] + b.v[i];
  return r;
}

// a - b + 4p: limbs < 2^54, and never negative because every limb of 4p exceeds 2^52.
inline FeSum sub(const Fe& a, const Fe& b) {
  constexpr std::uint64_t kFourP0 = (std::uint64_t{1} << 53) - 76, kFourP = (std::uint64_t{1} << 53) - 4;
  FeSum r;
  r.v[0] = a.v[0] + kFourP0 - b.v[0];
  for (int i = 1; i < 5; ++i) r.v[i] = a.v[i] + kFourP - b.v[i];
  return r;
}

// Limbs of columns c (each < 2^115, the top one < 2^111): one carry chain, then the wrap of the top carry
// times 19.
inline Fe carry_columns(u128 c0, u128 c1, u128 c2, u128 c3, u128 c4) {
  c1 += static_cast<std::uint64_t>(c0 >> 51);
  c2 += static_cast<std::uint64_t>(c1 >> 51);
  c3 += static_cast<std::uint64_t>(c2 >> 51);
  c4 += static_cast<std::uint64_t>(c3 >> 51);
  const std::uint64_t r0 =
      (static_cast<std::uint64_t>(c0) & kMask51) + 19 * static_cast<std::uint64_t>(c4 >> 51);
  return {{r0 & kMask51, (static_cast<std::uint64_t>(c1) & kMask51) + (r0 >> 51),
           static_cast<std::uint64_t>(c2) & kMask51, static_cast<std::uint64_t>(c3) & kMask51,
           static_cast<std::uint64_t>(c4) & kMask51}};
}

inline u128 wide(std::uint64_t a, std::uint64_t b) {
  return static_cast<u128>(a) * b;
}

// a * b. 25 wide products and 4 by 19.
inline Fe mul(const FeSum& a, const FeSum& b) {
  const std::uint64_t b1 = b.v[1] * 19, b2 = b.v[2] * 19, b3 = b.v[3] * 19, b4 = b.v[4] * 19;
  const std::uint64_t *x = a.v, *y = b.v;
  return carry_columns(
      wide(x[0], y[0]) + wide(x[1], b4) + wide(x[2], b3) + wide(x[3], b2) + wide(x[4], b1),
      wide(x[0], y[1]) + wide(x[1], y[0]) + wide(x[2], b4) + wide(x[3], b3) + wide(x[4], b2),
      wide(x[0], y[2]) + wide(x[1], y[1]) + wide(x[2], y[0]) + wide(x[3], b4) + wide(x[4], b3),
      wide(x[0], y[3]) + wide(x[1], y[2]) + wide(x[2], y[1]) + wide(x[3], y[0]) + wide(x[4], b4),
      wide(x[0], y[4]) + wide(x[1], y[3]) + wide(x[2], y[2]) + wide(x[3], y[1]) + wide(x[4], y[0]));
}
inline Fe mul(const Fe& a, const Fe& b) {
  return mul(widen(a), widen(b));
}
inline Fe mul(const FeSum& a, const Fe& b) {
  return mul(a, widen(b));
}
inline Fe mul(const Fe& a, const FeSum& b) {
  return mul(widen(a), b);
}

// a^2. 15 wide products.
inline Fe square(const FeSum& a) {
  const std::uint64_t* x = a.v;
  const std::uint64_t d0 = 2 * x[0], d1 = 2 * x[1], d2 = 2 * x[2] * 19, d4 = 19 * x[4], e4 = 2 * d4;
  return carry_columns(wide(x[0], x[0]) + wide(e4, x[1]) + wide(d2, x[3]),
                       wide(d0, x[1]) + wide(e4, x[2]) + wide(19 * x[3], x[3]),
                       wide(d0, x[2]) + wide(x[1], x[1]) + wide(e4, x[3]),
                       wide(d0, x[3]) + wide(d1, x[2]) + wide(d4, x[4]),
                       wide(d0, x[4]) + wide(d1, x[3]) + wide(x[2], x[2]));
}
inline Fe square(const Fe& a) {
  return square(widen(a));
}

// a * c for a small constant, c < 2^32.
inline Fe mul_small(const FeSum& a, std::uint64_t c) {
  const std::uint64_t* x = a.v;
  return carry_columns(wide(x[0], c), wide(x[1], c), wide(x[2], c), wide(x[3], c), wide(x[4], c));
}

// The carries of a sum, without a multiplication.
inline Fe reduce(const FeSum& a) {
  return carry_columns(a.v[0], a.v[1], a.v[2], a.v[3], a.v[4]);
}

inline Fe negate(const Fe& a) {
  return reduce(sub(kZero, a));
}

// mask all ones: b; mask zero: a.
template <class Limbs>
inline Limbs select(std::uint64_t mask, const Limbs& a, const Limbs& b) {
  Limbs r;
  for (int i = 0; i < 5; ++i) r.v[i] = a.v[i] ^ (mask & (a.v[i] ^ b.v[i]));
  return r;
}

inline std::uint64_t load64(const std::uint8_t* p) {
  std::uint64_t r = 0;
  for (int i = 0; i < 8; ++i) r |= static_cast<std::uint64_t>(p[i]) << (8 * i);
  return r;
}

// Little-endian 32 bytes; the top bit is ignored and values in [p, 2^255) are accepted [RFC 7748, 5].
inline Fe from_bytes(const std::uint8_t* p) {
  const std::uint64_t w0 = load64(p), w1 = load64(p + 8), w2 = load64(p + 16), w3 = load64(p + 24);
  return {{w0 & kMask51, ((w0 >> 51) | (w1 << 13)) & kMask51, ((w1 >> 38) | (w2 << 26)) & kMask51,
           ((w2 >> 25) | (w3 << 39)) & kMask51, (w3 >> 12) & kMask51}};
}

// The unique representative in [0, p).
inline Fe canonical(const Fe& a) {
  Fe r = reduce(widen(a));  // value < 2^255 + 2^52, so at most one p too many
  // q = 1 exactly when value >= p: then value + 19 carries out of bit 255.
  std::uint64_t q = (r.v[0] + 19) >> 51;
  for (int i = 1; i < 5; ++i) q = (r.v[i] + q) >> 51;
  r.v[0] += 19 * q;
  std::uint64_t carry = 0;
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t limb = r.v[i] + carry;
    r.v[i] = limb & kMask51;
    carry = limb >> 51;
  }
  return r;
}

inline void store64(std::uint8_t* p, std::uint64_t w) {
  for (int i = 0; i < 8; ++i) p[i] = static_cast<std::uint8_t>(w >> (8 * i));
}

inline void to_bytes(std::uint8_t* out, const Fe& a) {
  const Fe r = canonical(a);
  store64(out, r.v[0] | (r.v[1] << 51));
  store64(out + 8, (r.v[1] >> 13) | (r.v[2] << 38));
  store64(out + 16, (r.v[2] >> 26) | (r.v[3] << 25));
  store64(out + 24, (r.v[3] >> 39) | (r.v[4] << 12));
}

// All ones if a = 0 mod p, else zero.
inline std::uint64_t zero_mask(const Fe& a) {
  const Fe r = canonical(a);
  const std::uint64_t any = r.v[0] | r.v[1] | r.v[2] | r.v[3] | r.v[4];
  return ((any | (0 - any)) >> 63) - 1;
}
inline std::uint64_t equal_mask(const Fe& a, const Fe& b) {
  return zero_mask(reduce(sub(a, b)));
}

// All ones if the canonical value is odd: sgn0 [RFC 9380, 4.1].
inline std::uint64_t odd_mask(const Fe& a) {
  return 0 - (canonical(a).v[0] & 1);
}

inline Fe square_times(Fe a, int n) {
  for (int i = 0; i < n; ++i) a = square(a);
  return a;
}

// a^(2^250 - 1) and a^11, from which every power below is a few steps away.
struct ChainTail {
  Fe ones250, a11;
};
inline ChainTail power_chain(const Fe& a) {
  const Fe a2 = square(a), a9 = mul(a, square_times(a2, 2)), a11 = mul(a2, a9);
  const Fe n5 = mul(a9, square(a11));  // 2^5 - 1
  const Fe n10 = mul(n5, square_times(n5, 5));
  const Fe n20 = mul(n10, square_times(n10, 10));
  const Fe n40 = mul(n20, square_times(n20, 20));
  const Fe n50 = mul(n10, square_times(n40, 10));
  const Fe n100 = mul(n50, square_times(n50, 50));
  const Fe n200 = mul(n100, square_times(n100, 100));
  return {mul(n50, square_times(n200, 50)), a11};
}

// a^(p - 2) = a^(2^255 - 21): the inverse, and 0 for 0.
inline Fe invert(const Fe& a) {
  const ChainTail t = power_chain(a);
  return mul(t.a11, square_times(t.ones250, 5));
}

// a^((p - 5) / 8) = a^(2^252 - 3).
inline Fe power_p58(const Fe& a) {
  return mul(a, square_times(power_chain(a).ones250, 2));
}

// Replaces values[i] by its inverse, zero by zero, with one inversion for all [Montgomery 1987, 10.3.1].
// scratch has room for n elements. A zero is replaced by one in the running product, so it spoils no
// neighbour.
inline void invert_batch(Fe* values, Fe* scratch, std::size_t n) {
  Fe product = kOne;
  for (std::size_t i = 0; i < n; ++i) {
    scratch[i] = product;
    product = mul(product, select(zero_mask(values[i]), values[i], kOne));
  }
  Fe inverse = invert(product);
  for (std::size_t i = n; i-- > 0;) {
    const std::uint64_t is_zero = zero_mask(values[i]);
    const Fe factor = select(is_zero, values[i], kOne);
    values[i] = select(is_zero, mul(inverse, scratch[i]), kZero);
    inverse = mul(inverse, factor);
  }
}

}  // namespace crypsis::curve25519::field51
