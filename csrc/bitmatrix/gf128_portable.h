// SPDX-License-Identifier: Apache-2.0
// GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1) in plain C++, for use inside the kernels of any slug. An
// element is 16 bytes; bit i of the little-endian integer is the coefficient of x^i. No table and no branch
// depends on an element; time is constant where the CPU multiplies 64-bit integers in constant time.
//
// gf128_pclmul.h and gf128_vpclmul.h have the same names over wider vectors:
//   Vector, of kLanes elements; load, store (unaligned); broadcast(one element); zero; add; mul, square, mul_x
//     (times x)
//   Sum, of products that are not reduced yet: Sum() is zero; accumulate(sum, a, b) adds a b, any number of
//     times; reduce(sum) is the Vector of the lanes' sums; reduce_lanes(sum, out16) adds the lanes too
// and, over GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), a Vector seen as 2 kLanes elements of 8 bytes:
//   Sum64; accumulate64(sum, a, b); reduce64(sum) is the 64-bit sum of all products;
//   load_low(from): kLanes elements of 8 bytes, each in the lower half of a lane, the upper one undefined;
//   mul64(a, b): (a_low b_low, a_low b_high) in each lane.
#pragma once
#include <cstddef>
#include <cstdint>

#include "bitmatrix/transpose_portable.h"

namespace crypsis::bitmatrix {
namespace {

struct Gf128Portable {
  static constexpr std::size_t kLanes = 1;
  struct Vector {
    std::uint64_t low, high;
  };
  // Coefficient i stands at x^(64 i): lo, middle (128 bits each, overlapping) and hi.
  struct Sum {
    unsigned __int128 lo = 0, middle = 0, hi = 0;
  };
  struct Sum64 {
    unsigned __int128 value = 0;
  };

  static Vector load(const std::uint8_t* from) { return {load_le64(from), load_le64(from + 8)}; }
  static void store(std::uint8_t* to, Vector a) {
    store_le64(to, a.low);
    store_le64(to + 8, a.high);
  }
  static Vector broadcast(const std::uint8_t* from) { return load(from); }
  static Vector zero() { return {0, 0}; }
  static Vector add(Vector a, Vector b) { return {a.low ^ b.low, a.high ^ b.high}; }

  static void accumulate(Sum& sum, Vector a, Vector b) {
    const unsigned __int128 lo = carryless(a.low, b.low), hi = carryless(a.high, b.high);
    sum.lo ^= lo;
    sum.hi ^= hi;
    sum.middle ^= carryless(a.low ^ a.high, b.low ^ b.high) ^ lo ^ hi;  // Karatsuba
  }
  static Vector reduce(const Sum& sum) {
    // x^128 = x^7 + x^2 + x + 1: the top 64 bits fold onto bits 64 to 134, the next onto bits 0 to 70.
    const std::uint64_t low = static_cast<std::uint64_t>(sum.lo);
    const unsigned __int128 middle = (sum.lo >> 64) ^ sum.middle ^ fold(sum.hi >> 64);
    const std::uint64_t next = static_cast<std::uint64_t>(sum.hi) ^ static_cast<std::uint64_t>(middle >> 64);
    const unsigned __int128 folded = fold(next);
    return {low ^ static_cast<std::uint64_t>(folded),
            static_cast<std::uint64_t>(middle) ^ static_cast<std::uint64_t>(folded >> 64)};
  }
  static void reduce_lanes(const Sum& sum, std::uint8_t* out) { store(out, reduce(sum)); }

  static Vector mul(Vector a, Vector b) {
    Sum sum;
    accumulate(sum, a, b);
    return reduce(sum);
  }
  static Vector square(Vector a) {
    Sum sum;
    sum.lo = spread(a.low);
    sum.hi = spread(a.high);
    return reduce(sum);
  }
  static Vector mul_x(Vector a) {
    const std::uint64_t carry = 0 - (a.high >> 63);
    return {(a.low << 1) ^ (carry & 0x87), (a.high << 1) | (a.low >> 63)};
  }

  static void accumulate64(Sum64& sum, Vector a, Vector b) {
    sum.value ^= carryless(a.low, b.low) ^ carryless(a.high, b.high);
  }
  static Vector load_low(const std::uint8_t* from) { return {load_le64(from), 0}; }
  static Vector mul64(Vector a, Vector b) {
    return {reduce64({carryless(a.low, b.low)}), reduce64({carryless(a.low, b.high)})};
  }
  static std::uint64_t reduce64(const Sum64& sum) {
    const auto times_1b = [](std::uint64_t h) {  // x^64 = x^4 + x^3 + x + 1
      const unsigned __int128 v = h;
      return v ^ (v << 1) ^ (v << 3) ^ (v << 4);
    };
    const unsigned __int128 once = times_1b(static_cast<std::uint64_t>(sum.value >> 64));
    const unsigned __int128 twice = times_1b(static_cast<std::uint64_t>(once >> 64));
    return static_cast<std::uint64_t>(sum.value ^ once ^ twice);
  }

  // The product of two polynomials over GF(2) by integer multiplications: of each factor every fifth bit is
  // kept, so that a column of the integer product sums at most 13 bits, stays below 2^5 and cannot reach the
  // next column that is read; the lowest bit of a column is the sum over GF(2). (Holes between bits: [Pornin,
  // ctmul].)
  static unsigned __int128 carryless(std::uint64_t a, std::uint64_t b) {
    constexpr std::uint64_t kFifth = 0x1084210842108421ULL;  // bits 0, 5, ..., 60
    constexpr unsigned __int128 kFifthWide =                 // bits 0, 5, ..., 125
        (static_cast<unsigned __int128>(0x2108421084210842ULL) << 64) | kFifth;
    std::uint64_t b_part[5];
    for (int j = 0; j < 5; ++j) b_part[j] = b & (kFifth << j);
    unsigned __int128 column[5] = {};
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t a_part = a & (kFifth << i);
      for (int j = 0; j < 5; ++j) {
        column[(i + j) % 5] ^= static_cast<unsigned __int128>(a_part) * b_part[j];
      }
    }
    unsigned __int128 product = 0;
    for (int c = 0; c < 5; ++c) product |= column[c] & (kFifthWide << c);
    return product;
  }

 private:
  // h (64 bits) times x^7 + x^2 + x + 1.
  static unsigned __int128 fold(unsigned __int128 h) { return h ^ (h << 1) ^ (h << 2) ^ (h << 7); }

  // Bit i to bit 2i: the square of a polynomial over GF(2).
  static unsigned __int128 spread(std::uint64_t a) {
    return (static_cast<unsigned __int128>(spread32(a >> 32)) << 64) | spread32(a & 0xffffffffU);
  }
  static std::uint64_t spread32(std::uint64_t a) {
    a = (a | (a << 16)) & 0x0000ffff0000ffffULL;
    a = (a | (a << 8)) & 0x00ff00ff00ff00ffULL;
    a = (a | (a << 4)) & 0x0f0f0f0f0f0f0f0fULL;
    a = (a | (a << 2)) & 0x3333333333333333ULL;
    return (a | (a << 1)) & 0x5555555555555555ULL;
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
