// SPDX-License-Identifier: Apache-2.0
// AES-128 as boolean operations on words: sixteen blocks at once in 64-bit words, thirty-two in pairs of them, which
// every 64-bit CPU has registers for; no table, no branch, no address that depends on data.
//
// Layout: word w[row][b] holds bit b of the sixteen bytes in one row of the state [FIPS 197, 3.4]: bit 16 c + i of it
// belongs to column c of block i. So SubBytes is one circuit per row, ShiftRows a rotation of whole words by 16 bits a
// column, and MixColumns additions between rows without any movement.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aes/key_schedule.h"

namespace crypsis::aes::bitsliced {
namespace {

constexpr std::size_t kBlocks = 16;

using Single = std::uint64_t;
using Pair __attribute__((vector_size(16))) =
    std::uint64_t;  // SSE2, NEON: the same operations on two at once

template <class Word>
struct State {
  Word w[4][8];
};

// The S-box of FIPS 197 on eight words of bits, least significant first: the circuit of 115 gates of Boyar and
// Peralta [BP10], in the names of the paper (x0 and s0 are the most significant bits there).
template <class Word>
[[gnu::always_inline]] inline void sub_bytes(Word (&q)[8]) {
  const Word x0 = q[7], x1 = q[6], x2 = q[5], x3 = q[4], x4 = q[3], x5 = q[2], x6 = q[1], x7 = q[0];
  // Top linear layer.
  const Word y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5, t0 = x1 ^ x2, y1 = t0 ^ x7,
             y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6, y3 = y5 ^ y8, t1 = x4 ^ y12,
             y15 = t1 ^ x5, y20 = t1 ^ x1, y6 = y15 ^ x7, y10 = y15 ^ t0, y11 = y20 ^ y9, y7 = x7 ^ y11,
             y17 = y10 ^ y11, y19 = y10 ^ y8, y16 = t0 ^ y11, y21 = y13 ^ y16, y18 = x0 ^ y16;
  // The nonlinear part: inversion in GF(2^4) over GF(2^2).
  const Word t2 = y12 & y15, t3 = y3 & y6, t4 = t3 ^ t2, t5 = y4 & x7, t6 = t5 ^ t2, t7 = y13 & y16,
             t8 = y5 & y1, t9 = t8 ^ t7, t10 = y2 & y7, t11 = t10 ^ t7, t12 = y9 & y11, t13 = y14 & y17,
             t14 = t13 ^ t12, t15 = y8 & y10, t16 = t15 ^ t12, t17 = t4 ^ t14, t18 = t6 ^ t16, t19 = t9 ^ t14,
             t20 = t11 ^ t16, t21 = t17 ^ y20, t22 = t18 ^ y19, t23 = t19 ^ y21, t24 = t20 ^ y18;
  const Word t25 = t21 ^ t22, t26 = t21 & t23, t27 = t24 ^ t26, t28 = t25 & t27, t29 = t28 ^ t22,
             t30 = t23 ^ t24, t31 = t22 ^ t26, t32 = t31 & t30, t33 = t32 ^ t24, t34 = t23 ^ t33,
             t35 = t27 ^ t33, t36 = t24 & t35, t37 = t36 ^ t34, t38 = t27 ^ t36, t39 = t29 & t38,
             t40 = t25 ^ t39;
  const Word t41 = t40 ^ t37, t42 = t29 ^ t33, t43 = t29 ^ t40, t44 = t33 ^ t37, t45 = t42 ^ t41;
  const Word z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16, z4 = t40 & y1, z5 = t29 & y7,
             z6 = t42 & y11, z7 = t45 & y17, z8 = t41 & y10, z9 = t44 & y12, z10 = t37 & y3, z11 = t33 & y4,
             z12 = t43 & y13, z13 = t40 & y5, z14 = t29 & y2, z15 = t42 & y9, z16 = t45 & y14, z17 = t41 & y8;
  // Bottom linear layer; the complements add the constant 0x63.
  const Word t46 = z15 ^ z16, t47 = z10 ^ z11, t48 = z5 ^ z13, t49 = z9 ^ z10, t50 = z2 ^ z12, t51 = z2 ^ z5,
             t52 = z7 ^ z8, t53 = z0 ^ z3, t54 = z6 ^ z7, t55 = z16 ^ z17, t56 = z12 ^ t48, t57 = t50 ^ t53,
             t58 = z4 ^ t46, t59 = z3 ^ t54, t60 = t46 ^ t57, t61 = z14 ^ t57, t62 = t52 ^ t58,
             t63 = t49 ^ t58, t64 = z4 ^ t59, t65 = t61 ^ t62, t66 = z1 ^ t63;
  const Word s0 = t59 ^ t63, s6 = ~(t56 ^ t62), s7 = ~(t48 ^ t60), t67 = t64 ^ t65, s3 = t53 ^ t66,
             s4 = t51 ^ t66, s5 = t47 ^ t65, s1 = ~(t64 ^ s3), s2 = ~(t55 ^ t67);
  q[7] = s0, q[6] = s1, q[5] = s2, q[4] = s3, q[3] = s4, q[2] = s5, q[1] = s6, q[0] = s7;
}

// Row r moves r columns to the left [FIPS 197, 5.1.2].
template <class Word>
[[gnu::always_inline]] inline void shift_rows(State<Word>& s) {
#pragma GCC unroll 4
  for (int row = 1; row < 4; ++row) {
#pragma GCC unroll 8
    for (int b = 0; b < 8; ++b) s.w[row][b] = s.w[row][b] >> 16 * row | s.w[row][b] << (64 - 16 * row);
  }
}

// out[r] = 2 (a[r] + a[r + 1]) + a[r + 1] + a[r + 2] + a[r + 3], the matrix of FIPS 197, 5.1.3 with 3 a = 2 a + a.
template <class Word>
[[gnu::always_inline]] inline void mix_columns(State<Word>& s) {
  Word pair[4][8];
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) {
#pragma GCC unroll 8
    for (int b = 0; b < 8; ++b) pair[row][b] = s.w[row][b] ^ s.w[(row + 1) % 4][b];
  }
  State<Word> out;
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) {
#pragma GCC unroll 8
    for (int b = 0; b < 8; ++b) {
      Word doubled = pair[row][(b + 7) % 8];  // x^8 = x^4 + x^3 + x + 1: bit 7 comes back at 0, 1, 3 and 4
      if (b == 1 || b == 3 || b == 4) doubled ^= pair[row][7];
      out.w[row][b] = doubled ^ s.w[(row + 1) % 4][b] ^ pair[(row + 2) % 4][b];
    }
  }
  s = out;
}

template <class Word>
[[gnu::always_inline]] inline void add(State<Word>& s, const State<Single>& key) {
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) {
#pragma GCC unroll 8
    for (int b = 0; b < 8; ++b) s.w[row][b] ^= key.w[row][b];
  }
}

// Exchanges the bits of `mask` in b with those `shift` places higher in a.
[[gnu::always_inline]] inline void swap_bits(Single& a, Single& b, Single mask, int shift) {
  const Single d = ((a >> shift) ^ b) & mask;
  b ^= d;
  a ^= d << shift;
}

// The 8 x 8 bits in each byte lane of eight words, transposed; its own inverse.
[[gnu::always_inline]] inline void transpose_bits(Single (&w)[8]) {
  for (int i = 0; i < 8; i += 2) swap_bits(w[i], w[i + 1], 0x5555555555555555, 1);
  for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1) swap_bits(w[i], w[i + 2], 0x3333333333333333, 2);
  for (int i = 0; i < 4; ++i) swap_bits(w[i], w[i + 4], 0x0f0f0f0f0f0f0f0f, 4);
}

[[gnu::always_inline]] inline Single load32(const std::uint8_t* from) {
  return Single{from[0]} | Single{from[1]} << 8 | Single{from[2]} << 16 | Single{from[3]} << 24;
}

[[gnu::always_inline]] inline void store32(std::uint8_t* to, Single value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

// Between the bytes of blocks j and j + 8 and word j of each row before transpose_bits: there byte 2 c + h is column c
// of block j + 8 h. Singles named by block (a: j, b: j + 8) and column parity become words named by row.
[[gnu::always_inline]] inline void split_rows(Single& a_even, Single& a_odd, Single& b_even, Single& b_odd) {
  swap_bits(a_even, b_even, 0x00ff00ff00ff00ff, 8);
  swap_bits(a_odd, b_odd, 0x00ff00ff00ff00ff, 8);
  swap_bits(a_even, a_odd, 0x0000ffff0000ffff, 16);
  swap_bits(b_even, b_odd, 0x0000ffff0000ffff, 16);
}

inline void pack(const std::uint8_t from[kBlocks * kBlockBytes], State<Single>& s) {
  for (std::size_t j = 0; j < 8; ++j) {
    const std::uint8_t* const a = from + j * kBlockBytes;
    const std::uint8_t* const b = a + 8 * kBlockBytes;
    s.w[0][j] = load32(a) | load32(a + 8) << 32;
    s.w[2][j] = load32(a + 4) | load32(a + 12) << 32;
    s.w[1][j] = load32(b) | load32(b + 8) << 32;
    s.w[3][j] = load32(b + 4) | load32(b + 12) << 32;
    split_rows(s.w[0][j], s.w[2][j], s.w[1][j], s.w[3][j]);
  }
  for (auto& row : s.w) transpose_bits(row);
}

inline void unpack(State<Single>& s, std::uint8_t to[kBlocks * kBlockBytes]) {
  for (auto& row : s.w) transpose_bits(row);
  for (std::size_t j = 0; j < 8; ++j) {
    split_rows(s.w[0][j], s.w[2][j], s.w[1][j], s.w[3][j]);  // its own inverse: the swaps commute
    std::uint8_t* const a = to + j * kBlockBytes;
    std::uint8_t* const b = a + 8 * kBlockBytes;
    store32(a, s.w[0][j]), store32(a + 8, s.w[0][j] >> 32);
    store32(a + 4, s.w[2][j]), store32(a + 12, s.w[2][j] >> 32);
    store32(b, s.w[1][j]), store32(b + 8, s.w[1][j] >> 32);
    store32(b + 4, s.w[3][j]), store32(b + 12, s.w[3][j] >> 32);
  }
}

}  // namespace
}  // namespace crypsis::aes::bitsliced
