// SPDX-License-Identifier: Apache-2.0
// Stages of a transform on elements in registers: COUNT stages on 2^COUNT of them, without a loop left.
//
// Values are below a multiple of p that is known here, at most 16 p, and are reduced only where the next sum would
// not fit. `factor(depth, i)` gives the factor of block i of the stage `depth` of these.
#pragma once

#include "ntt/residues.cuh"

// Values below `kStored` p are what one group of stages leaves to the next.
constexpr int kForwardStored = 12, kInverseStored = 8;

// What values of the upper half must be below before a stage, so that 4 p can be added.
__device__ __forceinline__ constexpr int before_sum(int bound) {
  return bound > 12 ? 8 : bound;
}

// Cooley and Tukey's: (X, Y) to (X + w Y, X - w Y). x: below BOUND p, and below kForwardStored p afterwards.
// Stages are templates: ptxas finds registers for an array only where no loop over stages is left.
template <int COUNT, int BOUND, int DEPTH = 0, class Factors>
__device__ __forceinline__ void forward_stages(u64* x, const Factors& factor, u64 p) {
  static_assert(BOUND <= 16, "values would not fit");
  if constexpr (DEPTH < COUNT) {
    constexpr int kHalf = 1 << (COUNT - 1 - DEPTH), kBound = before_sum(BOUND);
#pragma unroll
    for (int block = 0; block < 1 << DEPTH; ++block) {
      const Factor w = factor(DEPTH, block);
#pragma unroll
      for (int k = 0; k < kHalf; ++k) {
        const int i = 2 * kHalf * block + k, j = i + kHalf;
        const u64 upper = kBound < BOUND ? reduce_once(x[i], 8 * p) : x[i];
        x[i] = multiply_add_lazily(upper, x[j], w, 0 - p);
        x[j] = 2 * upper + 4 * p - x[i];  // X - w Y + 4 p
      }
    }
    forward_stages<COUNT, kBound + 4, DEPTH + 1>(x, factor, p);
  } else if constexpr (BOUND > kForwardStored) {
#pragma unroll
    for (int k = 0; k < 1 << COUNT; ++k) x[k] = reduce_once(x[k], 8 * p);
  }
}

// What element i is below after `stages` stages of the inverse, all having been below `bound`: a product is below 4, and
// each sum of two below 8, or reduced to that, doubles it. Bit d of i tells whether stage d made it a product. Without
// a loop, so that compilers see constants.
__device__ __forceinline__ constexpr int inverse_bound(int i, int stages, int bound) {
  const int bits = i & ((1 << stages) - 1);
  const int since = bits == 0 ? stages : stages - (bits >= 8 ? 4 : bits >= 4 ? 3 : bits >= 2 ? 2 : 1);
  const int sums = (bits == 0 ? bound : 4) << since;
  return sums > 16 ? 16 : sums;
}

// Gentleman and Sande's: (X, Y) to (X + Y, (X - Y) w). x: below BOUND p, a power of two up to 8, and below
// kInverseStored p afterwards. LAST: the last stage of a transform, whose outputs both take a factor, `degree` and
// `last`, and are below 4 p.
template <int COUNT, int BOUND, bool LAST, int DEPTH = COUNT - 1, class Factors>
__device__ __forceinline__ void inverse_stages(u64* x, const Factors& factor, const Prime& prime) {
  static_assert(BOUND == 1 || BOUND == 2 || BOUND == 4 || BOUND == 8, "a power of two");
  const u64 p = prime.p, minus_p = 0 - p;
  constexpr int kHalf = 1 << (COUNT - 1 - DEPTH);
  constexpr bool kLast = LAST && DEPTH == 0;
#pragma unroll
  for (int block = 0; block < 1 << DEPTH; ++block) {
    const Factor w = kLast ? prime.last : factor(DEPTH, block);
#pragma unroll
    for (int k = 0; k < kHalf; ++k) {
      const int i = 2 * kHalf * block + k, j = i + kHalf;
      const int bound = inverse_bound(i, COUNT - 1 - DEPTH, BOUND);  // j's too
      const u64 upper = bound > 8 ? reduce_once(x[i], 8 * p) : x[i];
      const u64 lower = bound > 8 ? reduce_once(x[j], 8 * p) : x[j];
      x[i] = kLast ? multiply_lazily(upper + lower, prime.degree, minus_p) : upper + lower;
      x[j] = multiply_lazily(upper - lower + p * (bound > 8 ? 8 : bound), w, minus_p);
    }
  }
  if constexpr (DEPTH > 0) {
    inverse_stages<COUNT, BOUND, LAST, DEPTH - 1>(x, factor, prime);
  } else if constexpr (!LAST) {
#pragma unroll
    for (int k = 0; k < 1 << COUNT; ++k) {
      if (inverse_bound(k, COUNT, BOUND) > kInverseStored) x[k] = reduce_once(x[k], 8 * p);
    }
  }
}
