// SPDX-License-Identifier: Apache-2.0
// Arithmetic modulo primes p, 2^20 < p < 2^60, on 64-bit words [Har14: David Harvey, Faster arithmetic for
// number-theoretic transforms, 2014]. Since 16 p < 2^64, values wait as any of their residues below 16 p; bounds are
// multiples of p known when the kernel is compiled. No function branches on values: all are constant-time.
#pragma once

#include "common/arith.cuh"

// A number w < p that others are multiplied by, and floor(w 2^64 / p).
struct alignas(16) Factor {
  u64 value;
  u64 quotient;
};

// What kernels know of a prime: words of bindings/crypsis/cuda/_ntt_tables.py.
struct Prime {
  u64 p;
  u64 inverse;  // 1 / p mod 2^64
  Factor word;  // 2^64 mod p; the quotient of 1 is `one`
  u64 one;      // floor(2^64 / p)
  u64 forward;  // addresses of tables of Factor, see tables.cuh
  u64 backward;
  u64 offset;     // the least multiple of p from 2^59 on
  Factor degree;  // 1 / N mod p
  Factor last;    // 1 / N times the factor of the inverse's last stage
};
static_assert(sizeof(Prime) == 96, "twelve words");

__device__ __forceinline__ u64 join(u32 low, u32 high) {
  return static_cast<u64>(high) << 32 | low;
}
__device__ __forceinline__ u32 low_half(u64 x) {
  return static_cast<u32>(x);
}
__device__ __forceinline__ u32 high_half(u64 x) {
  return static_cast<u32>(x >> 32);
}

// x - bound or x, whichever is in [0, bound), for x < 2 bound and bound <= 2^63.
__device__ __forceinline__ u64 reduce_once(u64 x, u64 bound) {
  const u64 less = x - bound;
  return static_cast<i64>(less) < 0 ? x : less;
}

// x < BOUND p, BOUND a power of two up to 16, to [0, p).
template <int BOUND>
__device__ __forceinline__ u64 reduce_fully(u64 x, u64 p) {
#pragma unroll
  for (int half = BOUND / 2; half >= 1; half /= 2) x = reduce_once(x, p * half);
  return x;
}

// start + x w mod p: less than start + 4 p, for any x < 2^64 and start < 12 p. `minus_p` is 2^64 - p.
// The quotient leaves out the product of the low halves and what the middle ones carry: it is at most 3 short, and
// with x 2^-64 of the factor's own rounding the remainder is below 4 p. Five wide products instead of six.
__device__ __forceinline__ u64 multiply_add_lazily(u64 start, u64 x, Factor w, u64 minus_p) {
  const u32 x0 = low_half(x), x1 = high_half(x);
  const u32 w0 = low_half(w.quotient), w1 = high_half(w.quotient);
  const u64 quotient = mad_wide(x1, w1, mul_hi(x1, w0)) + mul_hi(x0, w1);
  u64 sum = mad_wide(x0, low_half(w.value), start);
  sum = mad_wide(low_half(quotient), low_half(minus_p), sum);
  const u32 high = high_half(sum) + x0 * high_half(w.value) + x1 * low_half(w.value) +
                   low_half(quotient) * high_half(minus_p) + high_half(quotient) * low_half(minus_p);
  return join(low_half(sum), high);
}

__device__ __forceinline__ u64 multiply_lazily(u64 x, Factor w, u64 minus_p) {
  return multiply_add_lazily(0, x, w, minus_p);
}

// x w mod p in [0, 2 p), any x: Harvey's.
__device__ __forceinline__ u64 multiply_exactly(u64 x, Factor w, u64 p) {
  return x * w.value - __umul64hi(x, w.quotient) * p;
}

// x w mod p, any x.
__device__ __forceinline__ u64 multiply_factor(u64 x, Factor w, u64 p) {
  return reduce_once(multiply_exactly(x, w, p), p);
}

// Any x mod p, in [0, 2 p).
__device__ __forceinline__ u64 reduce_word_lazily(u64 x, const Prime& prime) {
  return x - __umul64hi(x, prime.one) * prime.p;
}

__device__ __forceinline__ u64 reduce_word(u64 x, const Prime& prime) {
  return reduce_once(reduce_word_lazily(x, prime), prime.p);
}

// A sum of products below 2^128.
struct Wide {
  u64 low, high;
};

__device__ __forceinline__ void add_product(Wide& sum, u64 a, u64 b) {
  const u64 low = sum.low + a * b;
  sum.high += __umul64hi(a, b) + (low < sum.low ? 1 : 0);
  sum.low = low;
}

// (high 2^64 + low) mod p, any words.
__device__ __forceinline__ u64 reduce_wide(Wide x, const Prime& prime) {
  const u64 sum = multiply_exactly(x.high, prime.word, prime.p) + reduce_word_lazily(x.low, prime);
  return reduce_fully<4>(sum, prime.p);
}

__device__ __forceinline__ u64 multiply_residues(u64 a, u64 b, const Prime& prime) {
  return reduce_wide({a * b, __umul64hi(a, b)}, prime);
}

__device__ __forceinline__ u64 add_residues(u64 a, u64 b, u64 p) {
  return reduce_once(a + b, p);
}
__device__ __forceinline__ u64 subtract_residues(u64 a, u64 b, u64 p) {
  const u64 difference = a - b;
  return static_cast<i64>(difference) < 0 ? difference + p : difference;
}
__device__ __forceinline__ u64 negate_residue(u64 a, u64 p) {
  return a == 0 ? 0 : p - a;
}
