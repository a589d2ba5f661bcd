// SPDX-License-Identifier: Apache-2.0
// Key switching of CKKS [HK20] where its digits are transformed: a digit is made residues of another prime where the
// transform's first pass reads, and divisions are done where its last one writes. The other steps: steps.cu. Grids and
// shared memory are those of ntt.cu; values in [0, p) in and out. With LOG_N above 13 `.._columns`, then `.._rows`.
#include "ntt/passes.cuh"
#include "rns/digits.cuh"

// ---- decompose ----------------------------------------------------------------------------------------------
// out u64[n, digits, full, N]: digit d of c modulo every prime of `full`, transformed. n counts polynomials and digits.

struct Decomposition {
  u32 digits, alpha;  // of alpha moduli each
  u32 rows;           // moduli left: the first of `full`
  u32 full;
};

// What a transform of `decompose` is of.
struct DigitPlace {
  u32 polynomial;
  u32 begin, count;  // moduli of the digit
  bool own;          // the prime is one of them: the digit is c itself
};

__device__ __forceinline__ DigitPlace digit_place(const Place& place, const Decomposition& job) {
  DigitPlace at{};
  at.polynomial = place.polynomial / job.digits;
  at.begin = place.polynomial % job.digits * job.alpha;
  at.count = job.rows - at.begin < job.alpha ? job.rows - at.begin : job.alpha;
  at.own = place.limb >= at.begin && place.limb < at.begin + at.count;
  return at;
}

// Residues of coefficients index + step(e) of a digit, below 2 p.
template <class Step>
__device__ __forceinline__ void load_digit(u64* x, const Digits& digits, const DigitPlace& at, u32 index,
                                           const Factor* factors, const Prime& prime, Step step) {
  const u64 first = row_start(at.polynomial * digits.rows + at.begin) + index;
  convert<kE>(x, digits, first, kLogN, at.begin, at.count, factors + at.begin, prime, step);
}

// The row of a transform to memory, or c's where that is the digit itself.
__device__ __forceinline__ void store_digit(u64* out, const u64* c, const u64* x, const RowPlace& at,
                                            const DigitPlace& digit, const Decomposition& job) {
  if (!digit.own) {
    store_row(out, x, at);
  } else if (at.place.real) {
    const u64* from = c + row_start(digit.polynomial * job.rows + at.place.limb) + at.within();
    u64* const to = out + at.first();
#pragma unroll
    for (int e = 0; e < kE; ++e) to[Row::across(e)] = from[Row::across(e)];
  }
}

// ---- divide -------------------------------------------------------------------------------------------------
// out u64[n, targets, N] = (x - digits) a + add b, x u64[n, x_limbs, N].

struct Division {
  u32 targets, x_limbs;
  u32 halves, n_added, add_limbs;  // of `halves` polynomials in a row the first n_added have one to add
};

// a and b of a target.
struct Quotient {
  Factor a, b;
};

template <class Step>
__device__ __forceinline__ void load_remainder(u64* x, const Digits& digits, const Place& place, u32 index,
                                               const Factor* factors, const Prime& prime, Step step) {
  const u64 first = row_start(place.polynomial * digits.rows) + index;
  const u32 limb_factors = place.limb * digits.rows;
  convert<kE>(x, digits, first, kLogN, 0, digits.rows, factors + limb_factors, prime, step);
}

__device__ __forceinline__ void store_quotient(u64* out, const u64* dividend, const u64* add, u64* x,
                                               const RowPlace& at, const Quotient& quotient,
                                               const Division& job, const Prime& prime) {
  const u32 n = at.place.polynomial, half = n % job.halves;
  const u64* from = dividend + row_start(n * job.x_limbs + at.place.limb) + at.within();
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    x[e] = multiply_factor(from[Row::across(e)] + prime.p - x[e], quotient.a, prime.p);
  }
  if (half < job.n_added) {
    const u32 added = n / job.halves * job.n_added + half;
    const u64* addend = add + row_start(added * job.add_limbs + at.place.limb) + at.within();
#pragma unroll
    for (int e = 0; e < kE; ++e) {
      x[e] = add_residues(x[e], multiply_factor(addend[Row::across(e)], quotient.b, prime.p), prime.p);
    }
  }
  store_row(out, x, at);
}

#if LOG_N <= 13

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    decompose(u64* out, const u64* __restrict__ c, Digits digits, const Factor* __restrict__ factors,
              const Prime* __restrict__ primes, u64 n, Decomposition job) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, job.full);
  const DigitPlace digit = digit_place(at.place, job);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
  load_digit(x, digits, digit, at.line.thread, factors + at.place.limb * job.rows, prime,
             [](int e) { return Row::step<0, kFirstCount>(e); });
  forward_row<2>(x, at, prime);
  const RowPlace to = row_place_again(shared, n, job.full);
  store_digit(out, c, x, to, digit_place(to.place, job), job);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    divide(u64* out, const u64* __restrict__ dividend, const u64* __restrict__ add, Digits digits,
           const Factor* __restrict__ factors, const Quotient* __restrict__ quotients,
           const Prime* __restrict__ primes, u64 n, Division job) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, job.targets);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
  load_remainder(x, digits, at.place, at.line.thread, factors, prime,
                 [](int e) { return Row::step<0, kFirstCount>(e); });
  forward_row<2>(x, at, prime);
  const RowPlace to = row_place_again(shared, n, job.targets);
  store_quotient(out, dividend, add, x, to, quotients[to.place.limb], job, primes[to.place.limb]);
}

#else

__device__ __forceinline__ u32 column_step(int e) {
  return ColumnPlace::step<0, kColumnCount>(e);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    decompose_columns(u64* __restrict__ out, Digits digits, const Factor* __restrict__ factors,
                      const Prime* __restrict__ primes, u64 n, Decomposition job) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const ColumnPlace at = column_place(shared, n, job.full);
  const DigitPlace digit = digit_place(at.place, job);
  if (digit.own) return;  // the whole block
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
  load_digit(x, digits, digit, at.within<0, kColumnCount>(), factors + at.place.limb * job.rows, prime,
             column_step);
  forward_column<2>(x, at, out, prime);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    decompose_rows(u64* out, const u64* __restrict__ c, const Prime* __restrict__ primes, u64 n,
                   Decomposition job) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, job.full);
  const DigitPlace digit = digit_place(at.place, job);
  u64 x[kE];
  if (!digit.own) {  // one case for the whole block
#pragma unroll
    for (int e = 0; e < kE; ++e) x[e] = out[at.first() + Row::step<0, kFirstCount>(e)];
    forward_row<kForwardStored>(x, at, primes[at.place.limb]);
  }
  store_digit(out, c, x, at, digit, job);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    divide_columns(u64* __restrict__ out, Digits digits, const Factor* __restrict__ factors,
                   const Prime* __restrict__ primes, u64 n, u32 targets) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const ColumnPlace at = column_place(shared, n, targets);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
  load_remainder(x, digits, at.place, at.within<0, kColumnCount>(), factors, prime, column_step);
  forward_column<2>(x, at, out, prime);
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)
    divide_rows(u64* out, const u64* __restrict__ dividend, const u64* __restrict__ add,
                const Quotient* __restrict__ quotients, const Prime* __restrict__ primes, u64 n,
                Division job) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  const RowPlace at = row_place(shared, n, job.targets);
  const Prime& prime = primes[at.place.limb];
  u64 x[kE];
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = out[at.first() + Row::step<0, kFirstCount>(e)];
  forward_row<kForwardStored>(x, at, prime);
  store_quotient(out, dividend, add, x, at, quotients[at.place.limb], job, prime);
}

#endif
