// SPDX-License-Identifier: Apache-2.0
// Transforms of N = 2^LOG_N elements: batches uint64[n, limbs, N], values in [0, p) in and out, `out` may be `in`.
// forward: coefficients in natural order to out[j] = a(psi^(2 brev(j) + 1)); inverse: back. One pass or two, see
// passes.cuh. Grid: n limbs transforms by kLines a block, or times kBlocks; dynamic shared memory: padded lines, or a
// tile. `primes`: a Prime a limb.
#include "ntt/passes.cuh"

#if LOG_N <= 13

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    forward(u64* out, const u64* in, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, limbs);
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = in[at.first() + Row::step<0, kFirstCount>(e)];
  forward_row<1>(x, at, primes[at.place.limb]);
  store_row(out, x, at);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    inverse(u64* out, const u64* in, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, limbs);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = in[at.first() + Row::across(e)];
  inverse_row<1>(x, at, prime);
  if (!at.place.real) return;
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    out[at.first() + Row::step<0, kFirstCount>(e)] = reduce_fully<4>(x[e], prime.p);
  }
}

#else

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    forward_columns(u64* out, const u64* in, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const ColumnPlace at = column_place(shared, n, limbs);
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    x[e] = in[at.first<0, kColumnCount>() + ColumnPlace::step<0, kColumnCount>(e)];
  }
  forward_column<1>(x, at, out, primes[at.place.limb]);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    forward_rows(u64* values, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, limbs);
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = values[at.first() + Row::step<0, kFirstCount>(e)];
  forward_row<kForwardStored>(x, at, primes[at.place.limb]);
  store_row(values, x, at);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    inverse_rows(u64* out, const u64* in, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, limbs);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = in[at.first() + Row::across(e)];
  inverse_row<1>(x, at, prime);
  if (!at.place.real) return;
#pragma unroll
  for (int e = 0; e < kE; ++e) out[at.first() + Row::step<0, kFirstCount>(e)] = x[e];
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    inverse_columns(u64* values, const Prime* __restrict__ primes, u64 n, u32 limbs) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const ColumnPlace at = column_place(shared, n, limbs);
  const Prime& prime = primes[at.place.limb];
  constexpr int kLast = kLogRows - kLogElements;
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    x[e] = values[at.first<kLast, kLogElements>() + ColumnPlace::step<kLast, kLogElements>(e)];
  }
  inverse_column(x, at, prime);
  if (!at.place.real) return;
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    values[at.first<0, kColumnCount>() + ColumnPlace::step<0, kColumnCount>(e)] =
        reduce_fully<4>(x[e], prime.p);
  }
}

#endif
