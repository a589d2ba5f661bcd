// SPDX-License-Identifier: Apache-2.0
// Key switching element by element, between the transforms of rns.cu: digits of coefficients, the product with the key.
// A thread an element; `primes`: a Prime a row or limb.
#include "ntt/tables.cuh"
#include "rns/digits.cuh"

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// values u64[n, rows, N]: residues to digits in place, of each `width` rows in a row. inverses: Factor[rows, width], at
// (i, j) 1 / t_j mod t_i of moduli i and j of the digit. A thread a coefficient of a digit.
extern "C" __global__ void __launch_bounds__(256)
    mixed_radix(u64* values, const Factor* __restrict__ inverses, const Prime* __restrict__ primes, u64 n,
                u32 rows, u32 width, u32 log_n) {
  const u64 t = thread_index();
  const u32 digits = (rows + width - 1) / width;
  if (t >= n * digits << log_n) return;
  const u32 line = static_cast<u32>(t >> log_n), begin = line % digits * width;
  const u32 end = begin + width < rows ? begin + width : rows;
  u64* const first = values + (static_cast<u64>(line / digits) * rows << log_n) + (t & ((1ull << log_n) - 1));
  for (u32 i = begin; i < end; ++i) {
    const Prime& prime = primes[i];
    u64 x = first[static_cast<u64>(i) << log_n];
    for (u32 j = begin; j < i; ++j) {
      const u64 digit = first[static_cast<u64>(j) << log_n];
      x = multiply_factor(x + prime.offset - digit, inverses[i * width + j - begin], prime.p);
    }
    first[static_cast<u64>(i) << log_n] = x > prime.p >> 1 ? x - prime.p : x;
  }
}

// Where the rows that a division takes its remainder from stand in x u64[n, limbs, N].
struct Collection {
  u32 limbs, special;  // the first row's limb, as many as there are below
  u32 n_special;
  u32 last;  // 1: then the limb before `special`, plus P times that of `add`, if there is one
  u32 halves, n_added, add_limbs;  // as in rns.cu
  u32 log_n;
};

// out u64[n, n_special + last, N]; factor: P modulo the last row's prime.
extern "C" __global__ void __launch_bounds__(256)
    collect(u64* __restrict__ out, const u64* __restrict__ x, const u64* __restrict__ add,
            const Factor* __restrict__ factor, const Prime* __restrict__ primes, u64 n, Collection job) {
  const u64 t = thread_index();
  const u32 rows = job.n_special + job.last;
  if (t >= n * rows << job.log_n) return;
  const u32 line = static_cast<u32>(t >> job.log_n), row = line % rows, polynomial = line / rows;
  const u64 index = t & ((1ull << job.log_n) - 1);
  const u32 limb = row < job.n_special ? job.special + row : job.special - 1;
  u64 value = x[((static_cast<u64>(polynomial) * job.limbs + limb) << job.log_n) + index];
  const u32 half = polynomial % job.halves;
  if (row == job.n_special && half < job.n_added) {
    const u64 added = static_cast<u64>(polynomial / job.halves) * job.n_added + half;
    const u64 addend = add[((added * job.add_limbs + limb) << job.log_n) + index];
    value = add_residues(value, multiply_factor(addend, *factor, primes[row].p), primes[row].p);
  }
  out[t] = value;
}

struct Product {
  u32 digits, full;  // digits u64[n, digits, full, N]
  u32 left, moduli;  // of `full` the first `left` are the key's first; the others stand from `moduli` on
  u32 key_limbs;     // key u64[.., 2, key_limbs, N]
  u32 log_n, galois;
};

// out u64[n, 2, full, N]: the sum over digits of digit(x^galois) key, reduced once; at most 256 digits. Neighbouring
// blocks read the same of the key.
extern "C" __global__ void __launch_bounds__(256)
    inner_product(u64* __restrict__ out, const u64* __restrict__ digits, const u64* __restrict__ key,
                  const Prime* __restrict__ primes, u64 n, Product job) {
  const u64 t = thread_index();
  if (t >= n * job.full << job.log_n) return;
  const u32 log_run = job.log_n < 8 ? job.log_n : 8, log_runs = job.log_n - log_run;
  const u32 run = static_cast<u32>(t >> log_run), polynomial = run % static_cast<u32>(n);
  const u32 rest = run / static_cast<u32>(n);
  const u32 limb = rest >> log_runs;
  const u32 index =
      (rest & ((1u << log_runs) - 1)) << log_run | (static_cast<u32>(t) & ((1u << log_run) - 1));
  const u32 from = job.galois == 1 ? index : permuted(index, job.galois, static_cast<int>(job.log_n));
  const u32 key_limb = limb < job.left ? limb : limb - job.left + job.moduli;
  const u64 degree = 1ull << job.log_n;
  const u64* digit = digits + (static_cast<u64>(polynomial) * job.digits * job.full + limb) * degree + from;
  const u64* key_row = key + key_limb * degree + index;
  Wide sum0{}, sum1{};
#pragma unroll 2
  for (u32 d = 0; d < job.digits; ++d) {
    const u64 value = *digit;
    add_product(sum0, value, key_row[0]);
    add_product(sum1, value, key_row[job.key_limbs * degree]);
    digit += job.full * degree;
    key_row += 2 * job.key_limbs * degree;
  }
  const Prime& prime = primes[limb];
  u64* to = out + (static_cast<u64>(polynomial) * 2 * job.full + limb) * degree + index;
  to[0] = reduce_wide(sum0, prime);
  to[job.full * degree] = reduce_wide(sum1, prime);
}
