// SPDX-License-Identifier: Apache-2.0
// What does not depend on N's size: tables, and everything element by element, over batches uint64[n, limbs, N] of
// values in [0, p), a thread an element. `primes`: a Prime a limb. `out` may be an input, but for automorphisms.
#include "ntt/tables.cuh"

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// The prime's powers psi^(2^k), k = 0..log_n, then those of 1 / psi.
constexpr u32 kPowers = 17;

// out: Factor[2, N] for one prime, both directions (tables.cuh); powers: Factor[2, kPowers]. A thread a factor.
extern "C" __global__ void __launch_bounds__(256)
    build_tables(u64* __restrict__ out, const u64* __restrict__ powers, const Prime* __restrict__ prime,
                 u32 log_n) {
  const u64 t = thread_index();
  if (t >= 2ull << log_n) return;
  const u32 backward = static_cast<u32>(t >> log_n);
  const u32 exponent =
      reverse_bits(factor_index(static_cast<u32>(t) & ((1u << log_n) - 1), static_cast<int>(log_n)),
                   static_cast<int>(log_n));
  u64 value = 1;
  for (u32 k = 0; k < log_n; ++k) {
    const u64* power = powers + 2 * (backward * kPowers + k);
    if ((exponent >> k & 1u) != 0) value = multiply_factor(value, {power[0], power[1]}, prime->p);
  }
  out[2 * t] = value;
  // value 2^64 = quotient p + rest, so quotient = -rest / p mod 2^64
  out[2 * t + 1] = (0 - multiply_factor(value, prime->word, prime->p)) * prime->inverse;
}

// Where element t of a batch is; rows are its polynomials' limbs, fewer than 2^32 of them.
struct Element {
  u64 t;
  u32 polynomial, limb, index;
};

__device__ __forceinline__ Element element_of(u64 t, u32 limbs, u32 log_n) {
  const u32 row = static_cast<u32>(t >> log_n);
  return {t, row / limbs, row % limbs, static_cast<u32>(t) & ((1u << log_n) - 1)};
}

// An operand that has a polynomial for every `repeat` of the batch in a row, `n` of them by turns.
struct Turns {
  u32 n, repeat;
};

__device__ __forceinline__ u64 turn(const Element& at, Turns turns, u32 limbs, u32 log_n) {
  const u64 polynomial = at.polynomial / turns.repeat % turns.n;
  return ((polynomial * limbs + at.limb) << log_n) + at.index;
}

// Of all kernels below: `n` elements, `limbs` primes.
#define CRYPSIS_ELEMENT                           \
  const u64 t = thread_index();                   \
  if (t >= n) return;                             \
  const Element at = element_of(t, limbs, log_n); \
  const Prime& prime = primes[at.limb]

extern "C" __global__ void __launch_bounds__(256)
    add(u64* out, const u64* a, const u64* b, Turns b_turns, const Prime* __restrict__ primes, u64 n,
        u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  out[t] = add_residues(a[t], b[turn(at, b_turns, limbs, log_n)], prime.p);
}

extern "C" __global__ void __launch_bounds__(256)
    subtract(u64* out, const u64* a, const u64* b, Turns b_turns, const Prime* __restrict__ primes, u64 n,
             u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  out[t] = subtract_residues(a[t], b[turn(at, b_turns, limbs, log_n)], prime.p);
}

extern "C" __global__ void __launch_bounds__(256)
    multiply(u64* out, const u64* a, const u64* b, Turns b_turns, const Prime* __restrict__ primes, u64 n,
             u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  out[t] = multiply_residues(a[t], b[turn(at, b_turns, limbs, log_n)], prime);
}

extern "C" __global__ void __launch_bounds__(256)
    multiply_add(u64* out, const u64* a, const u64* b, Turns b_turns, const u64* c, Turns c_turns,
                 const Prime* __restrict__ primes, u64 n, u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  Wide sum{c[turn(at, c_turns, limbs, log_n)], 0};
  add_product(sum, a[t], b[turn(at, b_turns, limbs, log_n)]);
  out[t] = reduce_wide(sum, prime);
}

// Pairs x, y of polynomials to (x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1): [pairs, 2, limbs, N] to [pairs, 3, limbs, N], a
// thread an element of a pair. y may be x; out is memory of its own.
extern "C" __global__ void __launch_bounds__(256)
    tensor(u64* __restrict__ out, const u64* x, const u64* y, const Prime* __restrict__ primes, u64 n,
           u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  const u64 half = static_cast<u64>(limbs) << log_n;
  const u64 within = t - at.polynomial * half, from = 2 * at.polynomial * half + within;
  const u64 x0 = x[from], x1 = x[from + half], y0 = y[from], y1 = y[from + half];
  u64* const to = out + 3 * at.polynomial * half + within;
  Wide crossed{0, 0};
  add_product(crossed, x0, y1);
  add_product(crossed, x1, y0);
  to[0] = multiply_residues(x0, y0, prime);
  to[half] = reduce_wide(crossed, prime);
  to[2 * half] = multiply_residues(x1, y1, prime);
}

extern "C" __global__ void __launch_bounds__(256)
    negate(u64* out, const u64* a, const Prime* __restrict__ primes, u64 n, u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  out[t] = negate_residue(a[t], prime.p);
}

// factors: a Factor a limb.
extern "C" __global__ void __launch_bounds__(256)
    scale(u64* out, const u64* a, const Factor* __restrict__ factors, const Prime* __restrict__ primes, u64 n,
          u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  out[t] = multiply_factor(a[t], factors[at.limb], prime.p);
}

// in: i64[n / (limbs N), N], any values.
extern "C" __global__ void __launch_bounds__(256)
    from_signed(u64* __restrict__ out, const i64* __restrict__ in, const Prime* __restrict__ primes, u64 n,
                u32 limbs, u32 log_n) {
  CRYPSIS_ELEMENT;
  const i64 value = in[(static_cast<u64>(at.polynomial) << log_n) + at.index];
  const u64 bits = static_cast<u64>(value);
  const u64 residue = reduce_word(value < 0 ? 0 - bits : bits, prime);
  out[t] = value < 0 ? negate_residue(residue, prime.p) : residue;
}

// a(x^galois) of transforms: out[j] = a[k] where psi's power at k is that at j times galois.
extern "C" __global__ void __launch_bounds__(256)
    permute(u64* __restrict__ out, const u64* __restrict__ in, u64 n, u32 log_n, u32 galois) {
  const u64 t = thread_index();
  if (t >= n) return;
  const u64 first = t >> log_n << log_n;
  out[t] = in[first + permuted(static_cast<u32>(t - first), galois, static_cast<int>(log_n))];
}

// a(x^galois) of coefficients. `inverse`: 1 / galois mod 2N: coefficient i goes to i galois mod 2N, N and more with a
// minus.
extern "C" __global__ void __launch_bounds__(256)
    permute_coefficients(u64* __restrict__ out, const u64* __restrict__ in, const Prime* __restrict__ primes,
                         u64 n, u32 limbs, u32 log_n, u32 inverse) {
  CRYPSIS_ELEMENT;
  const u32 degree = 1u << log_n, from = at.index * inverse & (2 * degree - 1);
  const u64 value = in[t - at.index + (from & (degree - 1))];
  out[t] = from < degree ? value : negate_residue(value, prime.p);
}
