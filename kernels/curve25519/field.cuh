// SPDX-License-Identifier: Apache-2.0
// GF(2^255 - 19) in eight limbs of 32 bits, one element a thread. An Fe is any number below 2^256, a residue
// modulo 2p = 2^256 - 38; `canonical` alone makes it unique. Everything here is constant-time.
#pragma once

#include "common/arith.cuh"

struct Fe {
  u32 v[8];  // least significant limb first
};

__device__ __forceinline__ Fe small_element(u32 value) {
  return {{value, 0, 0, 0, 0, 0, 0, 0}};
}

// x += 2^256 over, over < 2^26. After a carry out, x is below 38 over, so the last 38 stays in the lowest
// limb.
__device__ __forceinline__ void fold(Fe& x, u32 over) {
  const u32 carry = add_small<8>(x.v, x.v, 38 * over);
  x.v[0] += 38 * carry;
}

__device__ __forceinline__ Fe add(const Fe& a, const Fe& b) {
  Fe r;
  const u32 carry = add_row<8>(r.v, a.v, b.v);
  fold(r, carry);
  return r;
}

// A borrow of 2^256 is 38 too much; taking those off may borrow again, and then the lowest limb is 2^32 - 38
// or more.
__device__ __forceinline__ Fe sub(const Fe& a, const Fe& b) {
  Fe r;
  const Fe excess = small_element(38 * sub_row<8>(r.v, a.v, b.v));
  r.v[0] -= 38 * sub_row<8>(r.v, r.v, excess.v);
  return r;
}

// choice (0 or 1) ? if_one : if_zero.
__device__ __forceinline__ Fe select(u32 choice, const Fe& if_one, const Fe& if_zero) {
  Fe r;
  select_row<8>(r.v, choice, if_one.v, if_zero.v);
  return r;
}

// low + c high of eight limbs each, c < 2^25. 8 products.
__device__ __forceinline__ Fe mad_small(const u32* low, const u32* high, u32 c) {
  Fe r;
  u32 odd[8];
  u32 over = mad_row<8>(r.v, low, high, c);
  mul_row<8>(odd, high + 1, c);
  over += odd[7] + add_row<7>(r.v + 1, r.v + 1, odd);
  fold(r, over);
  return r;
}

__device__ __forceinline__ Fe mul_small(const Fe& a, u32 c) {
  return mad_small(small_element(0).v, a.v, c);
}

// The 16 limbs of a product: 2^256 = 38.
__device__ __forceinline__ Fe reduce(const u32* product) {
  return mad_small(product, product + 8, 38);
}

// Products at even places are summed in `even`, those at odd ones in `odd`, which begins at place 1. A row
// ends in limbs that are zero, and gives no carry, or where the one before ended: then its carry opens the
// next limb. 64 products and 8.
__device__ __forceinline__ Fe mul(const Fe& a, const Fe& b) {
  u32 even[16], odd[16];
  mul_row<8>(even, a.v, b.v[0]);
  mul_row<8>(odd, a.v + 1, b.v[0]);
  even[8] = even[9] = 0;
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    if (i > 0) {
      even[i + 8] = mad_row<8>(even + i, even + i, a.v, b.v[i]);
      even[i + 9] = odd[i + 7] = 0;
      mad_row<8>(odd + i, odd + i, a.v + 1, b.v[i]);
    }
    mad_row<8>(even + i + 2, even + i + 2, a.v + 1, b.v[i + 1]);
    odd[i + 8] = mad_row<8>(odd + i, odd + i, a.v, b.v[i + 1]);
  }
  add_row<15>(even + 1, even + 1, odd);
  return reduce(even);
}

// Rows i, i + 1 and so on of the products of two different limbs, each once: a[i] times what is above it.
template <int i>
__device__ __forceinline__ void cross_rows(u32* even, u32* odd, const u32* a) {
  if constexpr (i < 8) {
    constexpr int n = 8 - i;  // limbs of the row at odd places
    if constexpr (i > 0) odd[2 * i + n - 1] = 0;
    mad_row<n>(odd + 2 * i, odd + 2 * i, a + i + 1, a[i]);
    if constexpr (i < 6) {
      even[2 * i + n] = mad_row<n - 2>(even + 2 * i + 2, even + 2 * i + 2, a + i + 2, a[i]);
      even[2 * i + n + 1] = 0;
      mad_row<n - 2>(even + 2 * i + 4, even + 2 * i + 4, a + i + 3, a[i + 1]);
      odd[2 * i + n] = mad_row<n - 2>(odd + 2 * i + 2, odd + 2 * i + 2, a + i + 2, a[i + 1]);
    }
    cross_rows<i + 2>(even, odd, a);
  }
}

// 28 products, 8 squares and 8 for the reduction.
__device__ __forceinline__ Fe square(const Fe& a) {
  u32 even[16], odd[16];
#pragma unroll
  for (int j = 0; j < 16; ++j) even[j] = odd[j] = 0;
  cross_rows<0>(even, odd, a.v);
  add_row<15>(even + 1, even + 1, odd);
  add_row<15>(even + 1, even + 1, even + 1);
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const u64 product = mul_wide(a.v[j], a.v[j]);
    odd[2 * j] = static_cast<u32>(product);
    odd[2 * j + 1] = static_cast<u32>(product >> 32);
  }
  add_row<16>(even, even, odd);
  return reduce(even);
}

// The residue below p.
__device__ __forceinline__ Fe canonical(const Fe& a) {
  Fe r = a, above;
  const u32 top = r.v[7] >> 31;
  r.v[7] &= 0x7fffffffu;
  add_small<8>(r.v, r.v, 19 * top);  // below 2^255 + 19
  add_small<8>(above.v, r.v, 19);    // 2^255 and more where r >= p
  const u32 too_large = above.v[7] >> 31;
  above.v[7] &= 0x7fffffffu;
  return select(too_large, above, r);
}

// 1 where a = 0 mod p, else 0.
__device__ __forceinline__ u32 is_zero(const Fe& a) {
  const Fe r = canonical(a);
  u32 any = 0;
#pragma unroll
  for (int j = 0; j < 8; ++j) any |= r.v[j];
  return 1u - ((any | (0u - any)) >> 31);
}

// Powers of which the exponent begins with 250 ones: what is left of p - 2 = 2^255 - 21 and of (p - 1) / 2 =
// 2^254 - 10 are 01011 and 0110.
enum Power : u32 {
  kInverse,    // a^(p - 2): 0 for 0
  kCharacter,  // a^((p - 1) / 2): 1 for a square, 0 for 0, else -1
};

// A turn squares x `squarings` times and multiplies by what x was, by a, or by what x was before an earlier
// turn that says `keep`.
enum Factor : u8 { kBefore, kBase, kKept, kNothing };
struct Turn {
  u8 squarings, keep;
  Factor factor;
};
constexpr u32 kCommonTurns = 10, kLastTurns = 3;
__constant__ const Turn kPowerTurns[kCommonTurns + 2 * kLastTurns] = {
    {1, 0, kBefore},                                     // a^(2^2 - 1)
    {2, 0, kBefore},                                     // 2^4 - 1
    {1, 0, kBase},                                       // 2^5 - 1
    {5, 0, kBefore},   {10, 1, kBefore},                 // 2^20 - 1; kept: 2^10 - 1
    {20, 0, kBefore},  {10, 0, kKept},                   // 2^50 - 1
    {50, 1, kBefore},                                    // 2^100 - 1; kept: 2^50 - 1
    {100, 0, kBefore}, {50, 0, kKept},                   // 2^250 - 1
    {2, 0, kBase},                                       // kInverse
    {2, 0, kBase},     {1, 0, kBase},    {2, 0, kBase},  // kCharacter
    {1, 0, kBase},     {1, 0, kNothing}};

// a^(p - 2) with 254 squarings and 13 products, a^((p - 1) / 2) with 253 and 12. One squaring and one product
// in two loops: short code, at the price of two products more than unrolled chains have.
__device__ __forceinline__ Fe power(const Fe& a, Power which) {
  Fe x = a, kept = a;
#pragma unroll 1
  for (u32 t = 0; t < kCommonTurns + kLastTurns; ++t) {
    const Turn turn = kPowerTurns[t < kCommonTurns ? t : t + kLastTurns * which];
    Fe factor = a;
    if (turn.keep != 0) kept = x;
    if (turn.factor == kBefore) factor = x;
    if (turn.factor == kKept) factor = kept;
#pragma unroll 1
    for (u32 i = 0; i < turn.squarings; ++i) x = square(x);
    if (turn.factor != kNothing) x = mul(x, factor);
  }
  return x;
}
