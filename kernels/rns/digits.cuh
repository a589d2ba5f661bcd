// SPDX-License-Identifier: Apache-2.0
// Digits of residue number systems and what they are modulo another prime; the contract is csrc/rns/impl.h's.
//
// x modulo t_0 t_1 .. is r_0 + t_0 (r_1 + t_1 (r_2 + ..)), every |r_i| < t_i / 2 [mixed radix, centred]: signed words,
// exact, so that results are the CPU's. Nothing here branches on residues.
#pragma once

#include "ntt/residues.cuh"

// x in [0, t) to the residue in (-t / 2, t / 2), as a signed word.
__device__ __forceinline__ u64 centre(u64 x, u64 t) {
  return x > t >> 1 ? x - t : x;
}

// Digits of a batch u64[n, rows, N], of coefficients. Where `moduli` is not null the rows are residues yet, of digits
// of one modulus each.
struct Digits {
  const u64* words;
  const u64* moduli;
  u32 rows;
};

// E coefficients at `first`, `first` + step(1), .. of `count` digits from `row` on, as residues modulo `prime`: in
// [0, 2 p). factors: for each digit t_0 .. t_(i-1) mod p.
template <int E, class Step>
__device__ __forceinline__ void convert(u64* x, const Digits& digits, u64 first, u32 log_n, u32 row,
                                        u32 count, const Factor* __restrict__ factors, const Prime& prime,
                                        Step step) {
  const u64* words = digits.words + first;
  if (digits.moduli != nullptr) {
    const u64 modulus = digits.moduli[row];
#pragma unroll
    for (int e = 0; e < E; ++e) {
      x[e] = reduce_word_lazily(centre(words[step(e)], modulus) + prime.offset, prime);
    }
    return;
  }
#pragma unroll
  for (int e = 0; e < E; ++e) x[e] = reduce_word_lazily(words[step(e)] + prime.offset, prime);
  for (u32 i = 1; i < count; ++i) {
    words += 1ull << log_n;
    const Factor factor = factors[i];
#pragma unroll
    for (int e = 0; e < E; ++e) {
      const u64 term = multiply_exactly(words[step(e)] + prime.offset, factor, prime.p);
      x[e] = reduce_once(x[e] + term, 2 * prime.p);
    }
  }
}
