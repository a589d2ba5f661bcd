// SPDX-License-Identifier: Apache-2.0
// 32-bit limb arithmetic with carries: all the PTX of the project [PTX ISA 9.0, 9.7.2 extended precision], each
// function with a portable body of the same result. -DCRYPSIS_PORTABLE_ARITH takes the portable ones on a GPU too,
// so that a test can compare the two.
//
// A carry flag lives from one statement to the next, as long as nothing else that writes it comes between. The
// compiler keeps `asm volatile` statements in order and moves others freely, so every statement here that touches
// the flag is volatile, and a chain is one function. For the same reason kernels use no unsigned __int128: its sums
// are carry chains that the compiler may put inside ours. Single steps take and give carries as 0 or 1 in a
// register; rows are whole chains. A row of N limbs is in registers, least significant limb first: all loops
// unroll, so N is a constant. No function here branches on data: all are constant-time.
//
// Multiplying rows, the even/odd form: the products a*b[0], a*b[2], ... do not overlap, so `mad_row` adds them to
// an accumulator in one chain, which ptxas fuses to one IMAD.WIDE.U32.X each; a*b[1], a*b[3], ... go with a second
// mad_row(..., b + 1, a) to a second accumulator that stands one limb higher. Adding the two at the end gives the
// product. Keep the loop over rows rolled with two rows a turn: one costs moves between register pairs, and many
// unrolled make ptxas interleave the chains until it runs out of predicates for their carries.
#pragma once

#include "common/types.cuh"

#if defined(__CUDA_ARCH__) && !defined(CRYPSIS_PORTABLE_ARITH)
#define CRYPSIS_PTX 1
#else
#define CRYPSIS_PTX 0
#endif

// ---- single steps -------------------------------------------------------------------------------------------

// a * b, all 64 bits.
__device__ __forceinline__ u64 mul_wide(u32 a, u32 b) {
#if CRYPSIS_PTX
  u64 product;
  asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(a), "r"(b));
  return product;
#else
  return static_cast<u64>(a) * b;
#endif
}

// a * b + c mod 2^64; no wrap where c < 2^64 - (2^32-1)^2, so two 32-bit addends always fit.
__device__ __forceinline__ u64 mad_wide(u32 a, u32 b, u64 c) {
#if CRYPSIS_PTX
  u64 sum;
  asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(sum) : "r"(a), "r"(b), "l"(c));
  return sum;
#else
  return static_cast<u64>(a) * b + c;
#endif
}

// mad_wide as one instruction in every case: of mad.wide ptxas 13.0 may make a product and a 64-bit sum (three).
__device__ __forceinline__ u64 mad_wide_fused(u32 a, u32 b, u64 c) {
#if CRYPSIS_PTX
  u32 low = static_cast<u32>(c), high = static_cast<u32>(c >> 32);
  asm volatile(
      "mad.lo.cc.u32 %0, %2, %3, %0;\n\t"
      "madc.hi.u32 %1, %2, %3, %1;"
      : "+&r"(low), "+r"(high)  // low is written before a and b are read again
      : "r"(a), "r"(b));
  return static_cast<u64>(high) << 32 | low;
#else
  return mad_wide(a, b, c);
#endif
}

// The high 32 bits of a * b.
__device__ __forceinline__ u32 mul_hi(u32 a, u32 b) {
#if CRYPSIS_PTX
  u32 high;
  asm("mul.hi.u32 %0, %1, %2;" : "=r"(high) : "r"(a), "r"(b));
  return high;
#else
  return static_cast<u32>((static_cast<u64>(a) * b) >> 32);
#endif
}

// a + b + carry mod 2^32; carry is 0 or 1, in and out.
__device__ __forceinline__ u32 add_carry(u32 a, u32 b, u32& carry) {
#if CRYPSIS_PTX
  u32 sum;
  asm volatile(
      "{\n\t.reg .u32 unused;\n\t"
      "add.cc.u32 unused, %1, 0xffffffff;\n\t"
      "addc.cc.u32 %0, %2, %3;\n\t"
      "addc.u32 %1, 0, 0;\n\t}"
      : "=&r"(sum), "+r"(carry)
      : "r"(a), "r"(b));
  return sum;
#else
  const u64 sum = static_cast<u64>(a) + b + carry;
  carry = static_cast<u32>(sum >> 32);
  return static_cast<u32>(sum);
#endif
}

// a - b - borrow mod 2^32; borrow is 0 or 1, in and out.
__device__ __forceinline__ u32 sub_borrow(u32 a, u32 b, u32& borrow) {
#if CRYPSIS_PTX
  u32 difference;
  asm volatile(
      "{\n\t.reg .u32 unused;\n\t"
      "sub.cc.u32 unused, 0, %1;\n\t"
      "subc.cc.u32 %0, %2, %3;\n\t"
      "subc.u32 %1, 0, 0;\n\t"
      "and.b32 %1, %1, 1;\n\t}"
      : "=&r"(difference), "+r"(borrow)
      : "r"(a), "r"(b));
  return difference;
#else
  const u64 difference = static_cast<u64>(a) - b - borrow;
  borrow = static_cast<u32>(difference >> 32) & 1u;
  return static_cast<u32>(difference);
#endif
}

// The low limb of a * b + c + carry; carry becomes the high one. Any 32-bit carry: the sum always fits 64 bits.
__device__ __forceinline__ u32 mad_carry(u32 a, u32 b, u32 c, u32& carry) {
  const u64 sum = mad_wide(a, b, static_cast<u64>(c) + carry);
  carry = static_cast<u32>(sum >> 32);
  return static_cast<u32>(sum);
}

// The high 32 bits of (high:low) << shift, shift 0..31.
__device__ __forceinline__ u32 funnel_left(u32 low, u32 high, u32 shift) {
#if CRYPSIS_PTX
  u32 result;
  asm("shf.l.wrap.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(shift));
  return result;
#else
  const u64 both = (static_cast<u64>(high) << 32) | low;
  return static_cast<u32>((both << (shift & 31u)) >> 32);
#endif
}

// The low 32 bits of (high:low) >> shift, shift 0..31.
__device__ __forceinline__ u32 funnel_right(u32 low, u32 high, u32 shift) {
#if CRYPSIS_PTX
  u32 result;
  asm("shf.r.wrap.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(shift));
  return result;
#else
  const u64 both = (static_cast<u64>(high) << 32) | low;
  return static_cast<u32>(both >> (shift & 31u));
#endif
}

__device__ __forceinline__ u32 rotate_left(u32 x, u32 shift) {
  return funnel_left(x, x, shift);
}
__device__ __forceinline__ u32 rotate_right(u32 x, u32 shift) {
  return funnel_right(x, x, shift);
}

// choice 0 or 1: `if_one` or `if_zero` without a branch.
__device__ __forceinline__ u32 select(u32 choice, u32 if_one, u32 if_zero) {
  return if_zero ^ ((0u - choice) & (if_one ^ if_zero));
}

// x itself, of which the compiler knows nothing: what is computed from it after a long stretch of code is computed there
// again, and keeps no registers meanwhile.
__device__ __forceinline__ u32 fresh(u32 x) {
#if CRYPSIS_PTX
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// ---- rows: one carry chain each -----------------------------------------------------------------------------
// `out` may be `a` or `in` itself, or stand below it (out + 2 == in shifts right by two limbs on the way).

// out = a + b + carry (0 or 1) over N limbs; the carry out.
template <int N>
__device__ __forceinline__ u32 add_row(u32* out, const u32* a, const u32* b, u32 carry = 0) {
#if CRYPSIS_PTX
  u32 unused;
  asm volatile("add.cc.u32 %0, %1, 0xffffffff;" : "=r"(unused) : "r"(carry));
#pragma unroll
  for (int j = 0; j < N; ++j) {
    asm volatile("addc.cc.u32 %0, %1, %2;" : "=r"(out[j]) : "r"(a[j]), "r"(b[j]));
  }
  asm volatile("addc.u32 %0, 0, 0;" : "=r"(carry));
  return carry;
#else
  for (int j = 0; j < N; ++j) out[j] = add_carry(a[j], b[j], carry);
  return carry;
#endif
}

// out = a + small over N limbs; the carry out.
template <int N>
__device__ __forceinline__ u32 add_small(u32* out, const u32* a, u32 small) {
#if CRYPSIS_PTX
  u32 carry;
  asm volatile("add.cc.u32 %0, %1, %2;" : "=r"(out[0]) : "r"(a[0]), "r"(small));
#pragma unroll
  for (int j = 1; j < N; ++j) {
    asm volatile("addc.cc.u32 %0, %1, 0;" : "=r"(out[j]) : "r"(a[j]));
  }
  asm volatile("addc.u32 %0, 0, 0;" : "=r"(carry));
  return carry;
#else
  u32 carry = 0;
  out[0] = add_carry(a[0], small, carry);
  for (int j = 1; j < N; ++j) out[j] = add_carry(a[j], 0, carry);
  return carry;
#endif
}

// out = a - b - borrow (0 or 1) over N limbs; the borrow out.
template <int N>
__device__ __forceinline__ u32 sub_row(u32* out, const u32* a, const u32* b, u32 borrow = 0) {
#if CRYPSIS_PTX
  u32 unused;
  asm volatile("sub.cc.u32 %0, 0, %1;" : "=r"(unused) : "r"(borrow));
#pragma unroll
  for (int j = 0; j < N; ++j) {
    asm volatile("subc.cc.u32 %0, %1, %2;" : "=r"(out[j]) : "r"(a[j]), "r"(b[j]));
  }
  asm volatile("subc.u32 %0, 0, 0;" : "=r"(borrow));
  return borrow & 1u;
#else
  for (int j = 0; j < N; ++j) out[j] = sub_borrow(a[j], b[j], borrow);
  return borrow;
#endif
}

// out = a * b[0], b[2], .., b[N-2], each 64 bits wide side by side: N limbs of out, N even.
template <int N>
__device__ __forceinline__ void mul_row(u32* out, const u32* b, u32 a) {
  static_assert(N % 2 == 0, "a row of products has an even number of limbs");
#pragma unroll
  for (int j = 0; j < N; j += 2) {
    const u64 product = mul_wide(b[j], a);
    out[j] = static_cast<u32>(product);
    out[j + 1] = static_cast<u32>(product >> 32);
  }
}

// out = in + a * (b[0], b[2], .., b[N-2] side by side) over N limbs, N even; the carry out.
// A second form below takes a carry (0 or 1) in.
template <int N>
__device__ __forceinline__ u32 mad_row(u32* out, const u32* in, const u32* b, u32 a) {
  static_assert(N % 2 == 0, "a row of products has an even number of limbs");
  u32 carry = 0;
#if CRYPSIS_PTX
  asm volatile("mad.lo.cc.u32 %0, %1, %2, %3;" : "=r"(out[0]) : "r"(b[0]), "r"(a), "r"(in[0]));
  asm volatile("madc.hi.cc.u32 %0, %1, %2, %3;" : "=r"(out[1]) : "r"(b[0]), "r"(a), "r"(in[1]));
#pragma unroll
  for (int j = 2; j < N; j += 2) {
    asm volatile("madc.lo.cc.u32 %0, %1, %2, %3;" : "=r"(out[j]) : "r"(b[j]), "r"(a), "r"(in[j]));
    asm volatile("madc.hi.cc.u32 %0, %1, %2, %3;" : "=r"(out[j + 1]) : "r"(b[j]), "r"(a), "r"(in[j + 1]));
  }
  asm volatile("addc.u32 %0, 0, 0;" : "=r"(carry));
#else
  for (int j = 0; j < N; j += 2) {
    const u64 product = mul_wide(b[j], a);
    out[j] = add_carry(in[j], static_cast<u32>(product), carry);
    out[j + 1] = add_carry(in[j + 1], static_cast<u32>(product >> 32), carry);
  }
#endif
  return carry;
}

template <int N>
__device__ __forceinline__ u32 mad_row(u32* out, const u32* in, const u32* b, u32 a, u32 carry) {
  static_assert(N % 2 == 0, "a row of products has an even number of limbs");
#if CRYPSIS_PTX
  u32 unused;
  asm volatile("add.cc.u32 %0, %1, 0xffffffff;" : "=r"(unused) : "r"(carry));
#pragma unroll
  for (int j = 0; j < N; j += 2) {
    asm volatile("madc.lo.cc.u32 %0, %1, %2, %3;" : "=r"(out[j]) : "r"(b[j]), "r"(a), "r"(in[j]));
    asm volatile("madc.hi.cc.u32 %0, %1, %2, %3;" : "=r"(out[j + 1]) : "r"(b[j]), "r"(a), "r"(in[j + 1]));
  }
  asm volatile("addc.u32 %0, 0, 0;" : "=r"(carry));
#else
  for (int j = 0; j < N; j += 2) {
    const u64 product = mul_wide(b[j], a);
    out[j] = add_carry(in[j], static_cast<u32>(product), carry);
    out[j + 1] = add_carry(in[j + 1], static_cast<u32>(product >> 32), carry);
  }
#endif
  return carry;
}

// out = choice (0 or 1) ? if_one : if_zero, without a branch.
template <int N>
__device__ __forceinline__ void select_row(u32* out, u32 choice, const u32* if_one, const u32* if_zero) {
#pragma unroll
  for (int j = 0; j < N; ++j) out[j] = select(choice, if_one[j], if_zero[j]);
}
