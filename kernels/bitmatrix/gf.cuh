// SPDX-License-Identifier: Apache-2.0
// GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1) and GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), for the
// kernels of any slug. Elements are little-endian words: bit i of word w is the coefficient of x^(32 w + i). `Block` is
// any structure of four words w[4] (AesBlock), `Half` one of two.
//
//   c = gf128_multiply(a, b);
//   f = gf128_factor(b); c = gf128_multiply(gf128_factor(a), f);       // the same b many times
//   Gf128Sum s = {}; gf128_accumulate(s, a, b); ...; c = gf128_reduce<AesBlock>(s);
//
// A GPU has no carry-less product. Integer products of every fourth bit: 16 IMAD.WIDE a 32 x 32 bits, and nine of those
// by Karatsuba for 128 x 128 (NOTES.md counts the other ways). Constant time: no branch, no address, and the multiplier
// takes the same time for all operands.
#pragma once

#include "common/arith.cuh"
#include "common/types.cuh"

// Every fourth bit of a word, from bit 0, 1, 2 and 3.
struct GfParts {
  u32 part[4];
};

__device__ __forceinline__ GfParts gf_parts(u32 x) {
  return {{x & 0x11111111u, x & 0x22222222u, x & 0x44444444u, x & 0x88888888u}};
}

// if_one where mask has a 1, if_zero elsewhere.
__device__ __forceinline__ u64 gf_choose(u64 mask, u64 if_one, u64 if_zero) {
  return (if_one & mask) | (if_zero & ~mask);
}

// The product of two polynomials of 32 bits. Of parts i and j it has sums of up to 8 bits at every fourth place, whose
// lowest bits are sums over GF(2); nothing reaches the next place that is read, as 8 < 16. Two may be added, not xored,
// where one's places are four bits higher: a place then gets 8 + 7 = 15 bits at most.
__device__ __forceinline__ u64 gf_carryless(const GfParts& a, const GfParts& b) {
  const u32 *x = a.part, *y = b.part;
  const u64 c0 = mad_wide(x[0], y[0], mul_wide(x[1], y[3])) ^ mul_wide(x[2], y[2]) ^ mul_wide(x[3], y[1]);
  const u64 c1 = mad_wide(x[0], y[1], mul_wide(x[2], y[3])) ^ mad_wide(x[1], y[0], mul_wide(x[3], y[2]));
  const u64 c2 = mad_wide(x[0], y[2], mul_wide(x[3], y[3])) ^ mul_wide(x[1], y[1]) ^ mul_wide(x[2], y[0]);
  const u64 c3 = mul_wide(x[0], y[3]) ^ mul_wide(x[1], y[2]) ^ mul_wide(x[2], y[1]) ^ mul_wide(x[3], y[0]);
  const u64 low = gf_choose(0x5555555555555555ull, c0, c1), high = gf_choose(0x5555555555555555ull, c2, c3);
  return gf_choose(0x3333333333333333ull, low, high);
}

// What Karatsuba multiplies of 64 bits: low word, high word, their sum.
struct Gf64Factor {
  GfParts p[3];
};

__device__ __forceinline__ Gf64Factor gf64_factor(u32 low, u32 high) {
  return {{gf_parts(low), gf_parts(high), gf_parts(low ^ high)}};
}

// A polynomial of 128 bits.
struct Gf64Sum {
  u32 w[4];
};

__device__ __forceinline__ Gf64Sum gf64_product(const Gf64Factor& a, const Gf64Factor& b) {
  const u64 low = gf_carryless(a.p[0], b.p[0]), high = gf_carryless(a.p[1], b.p[1]);
  const u64 middle = gf_carryless(a.p[2], b.p[2]);
  const u32 low0 = static_cast<u32>(low), low1 = static_cast<u32>(low >> 32);
  const u32 high0 = static_cast<u32>(high), high1 = static_cast<u32>(high >> 32);
  const u32 shared = low1 ^ high0;
  return {{low0, low0 ^ shared ^ static_cast<u32>(middle), high1 ^ shared ^ static_cast<u32>(middle >> 32),
           high1}};
}

__device__ __forceinline__ void gf64_add(Gf64Sum& sum, const Gf64Sum& other) {
#pragma unroll
  for (u32 i = 0; i < 4; ++i) sum.w[i] ^= other.w[i];
}

// x^64 = x^4 + x^3 + x + 1: the upper half h is worth h (x^4 + x^3 + x + 1), of which the bits above 63 are four at most
// and, since that is linear, may join h before.
template <class Half>
__device__ __forceinline__ Half gf64_reduce(const Gf64Sum& sum) {
  const u32 h1 = sum.w[3], h0 = sum.w[2] ^ (h1 >> 31) ^ (h1 >> 29) ^ (h1 >> 28);
  Half out;
  out.w[0] = sum.w[0] ^ h0 ^ (h0 << 1) ^ (h0 << 3) ^ (h0 << 4);
  out.w[1] = sum.w[1] ^ h1 ^ funnel_left(h0, h1, 1) ^ funnel_left(h0, h1, 3) ^ funnel_left(h0, h1, 4);
  return out;
}

template <class Half>
__device__ __forceinline__ void gf64_accumulate(Gf64Sum& sum, const Half& a, const Half& b) {
  gf64_add(sum, gf64_product(gf64_factor(a.w[0], a.w[1]), gf64_factor(b.w[0], b.w[1])));
}

template <class Half>
__device__ __forceinline__ Half gf64_multiply(const Half& a, const Half& b) {
  return gf64_reduce<Half>(gf64_product(gf64_factor(a.w[0], a.w[1]), gf64_factor(b.w[0], b.w[1])));
}

// Low half, high half, their sum.
struct Gf128Factor {
  Gf64Factor p[3];
};

template <class Block>
__device__ __forceinline__ Gf128Factor gf128_factor(const Block& a) {
  return {{gf64_factor(a.w[0], a.w[1]), gf64_factor(a.w[2], a.w[3]),
           gf64_factor(a.w[0] ^ a.w[2], a.w[1] ^ a.w[3])}};
}

// A polynomial of 256 bits: sums of products, reduced once.
struct Gf128Sum {
  u32 w[8];
};

__device__ __forceinline__ Gf128Sum gf128_product(const Gf128Factor& a, const Gf128Factor& b) {
  const Gf64Sum low = gf64_product(a.p[0], b.p[0]), high = gf64_product(a.p[1], b.p[1]);
  const Gf64Sum middle = gf64_product(a.p[2], b.p[2]);
  Gf128Sum out;
#pragma unroll
  for (u32 i = 0; i < 2; ++i) {
    const u32 shared = low.w[2 + i] ^ high.w[i];
    out.w[i] = low.w[i];
    out.w[2 + i] = low.w[i] ^ shared ^ middle.w[i];
    out.w[4 + i] = high.w[2 + i] ^ shared ^ middle.w[2 + i];
    out.w[6 + i] = high.w[2 + i];
  }
  return out;
}

__device__ __forceinline__ void gf128_add(Gf128Sum& sum, const Gf128Sum& other) {
#pragma unroll
  for (u32 i = 0; i < 8; ++i) sum.w[i] ^= other.w[i];
}

// x^128 = x^7 + x^2 + x + 1, as in gf64_reduce: seven bits at most come out above 127.
template <class Block>
__device__ __forceinline__ Block gf128_reduce(const Gf128Sum& sum) {
  const u32 top = sum.w[7];
  u32 h[4] = {sum.w[4] ^ (top >> 31) ^ (top >> 30) ^ (top >> 25), sum.w[5], sum.w[6], top};
  Block out;
#pragma unroll
  for (u32 i = 0; i < 4; ++i) {
    const u32 below = i == 0 ? 0 : h[i == 0 ? 0 : i - 1];
    out.w[i] = sum.w[i] ^ h[i] ^ funnel_left(below, h[i], 1) ^ funnel_left(below, h[i], 2) ^
               funnel_left(below, h[i], 7);
  }
  return out;
}

template <class Block>
__device__ __forceinline__ void gf128_accumulate(Gf128Sum& sum, const Block& a, const Block& b) {
  gf128_add(sum, gf128_product(gf128_factor(a), gf128_factor(b)));
}

template <class Block>
__device__ __forceinline__ Block gf128_multiply(const Block& a, const Block& b) {
  return gf128_reduce<Block>(gf128_product(gf128_factor(a), gf128_factor(b)));
}
