// SPDX-License-Identifier: Apache-2.0
// Montgomery squares: each product of two different limbs once. With x_g the part of thread g, T = TPI and B one part,
//     a^2 = sum over g of x_g^2 B^(2 g) + 2 * sum over g < h of x_g x_h B^(g + h),
// and thread g takes its own square and x_g x_(g + d mod T) for d = 1 .. T / 2: at d = T / 2, two threads have the same
// product, and each takes half of it. That is T / 2 parts times a part, where `multiply` takes T; the reduction takes T
// more in both. The double-length sum is in shared memory, from where the reduction draws it limb by limb.
//
// In one half round all products go to different places of the sum, but for those whose g + d passes T: they have a sum
// of their own. Half a part is a unit: kUnit limbs and one word for carries into the unit, which is also what keeps
// threads in different banks.
#pragma once

#include "bigint/montgomery.cuh"

constexpr int kUnit = kPart / 2;
constexpr int kUnitWords = kUnit + 1;
constexpr int kSumWords = 4 * TPI * kUnitWords + 1;
constexpr int kOperandWords = TPI * (kPart + 1);

// Whole units, of an even number of limbs; more than 16 limbs a part would not fit the registers.
constexpr bool kSquares = kPart % 4 == 0 && kPart <= 16 && kLimbs % kUnit == 0;

// Words of a number in shared memory in kernels that square: the parts, the two sums. Odd, as kStride.
constexpr int kSquareStride = kSquares ? (kOperandWords + (TPI == 1 ? 1 : 2) * kSumWords) | 1 : kStride;

// Where limb j of what begins at a unit stands.
__device__ __forceinline__ constexpr int unit_word(int j) {
  return j / kUnit * kUnitWords + j % kUnit;
}

// Rows i .. of the triangle of cross products: adds x[i] * x[j] at limb i + j for all j > i, to `even` or `odd`: where
// i + j is so.
template <int i>
__device__ __forceinline__ void cross_rows(u32* even, u32* odd, const u32* x) {
  if constexpr (i + 1 < kPart) {
    constexpr int n_odd = (kPart - i) / 2, n_even = (kPart - 1 - i) / 2;
    u32* const to_odd = odd + 2 * i + 1;
    to_odd[2 * n_odd] += mad_row<2 * n_odd>(to_odd, to_odd, x + i + 1, x[i]);
    if constexpr (n_even > 0) {
      u32* const to_even = even + 2 * i + 2;
      to_even[2 * n_even] += mad_row<2 * n_even>(to_even, to_even, x + i + 2, x[i]);
    }
    cross_rows<i + 1>(even, odd, x);
  }
}

// sum[2 kPart] = the products of two different limbs of x, once each.
CRYPSIS_INLINE void cross_products(u32* sum, const u32* x) {
  u32 even[2 * kPart + 2], odd[2 * kPart + 2];
#pragma unroll
  for (int j = 0; j < 2 * kPart + 2; ++j) even[j] = odd[j] = 0;
  cross_rows<0>(even, odd, x);
  add_row<2 * kPart>(sum, even, odd);
}

// sum += x * y of kUnit limbs, `sum` beginning at a unit: three units of limbs, and the carry into the fourth.
CRYPSIS_INLINE void add_product(u32* sum, const u32* x, const u32* y) {
  u32 even[kPart + 2], odd[kPart + 2];
#pragma unroll
  for (int j = 0; j < kPart + 2; ++j) {
    even[j] = j < kPart ? sum[unit_word(j)] : 0;
    odd[j] = 0;
  }
#pragma unroll
  for (int i = 0; i < kUnit; ++i) {
    u32* const at = i % 2 == 0 ? even : odd;  // as in multiply_step, they swap
    u32* const above = i % 2 == 0 ? odd : even;
    const u32 limb = y[i];
    u32 carry = 0;
    at[0] = add_carry(at[0], above[1], carry);
    const u32 over_at = mad_row<kPart>(at, at, x, limb);
    const u32 over_above = mad_row<kPart>(above, above + 2, x + 1, limb, carry);
    sum[unit_word(i)] = at[0];
    carry = 0;
    at[kPart] = add_carry(sum[unit_word(kPart + i)], over_at, carry);
    at[kPart + 1] = over_above + carry;
  }
  u32 high[kPart];
  const u32 carry = add_row<kPart>(high, even, odd + 1);
#pragma unroll
  for (int j = 0; j < kPart; ++j) sum[unit_word(kUnit + j)] = high[j];
  sum[3 * kUnitWords + kUnit] += odd[kPart + 1] + carry;
}

// The products of different parts, added to the two sums of a number.
CRYPSIS_INLINE void part_products(const Group& group, u32* x, u32* sum, u32* wrapped_sum) {
  const u32* const operand = group.factor;
#pragma unroll 1
  for (u32 round = 0; round + 1 < TPI; ++round) {
    const u32 d = 1 + round / 2;
    u32 half = round % 2, mine = group.place, other = group.place + d;
    bool wraps = other >= TPI;
    if (wraps) other -= TPI;
    if (d == TPI / 2 && wraps) {  // the other half of what the thread d below has
      mine = other;
      other = group.place;
      half = 1;
    }
    if (d == TPI / 2) {
#pragma unroll
      for (int j = 0; j < kPart; ++j) x[j] = operand[mine * (kPart + 1) + j];
    }
    u32* const to = (wraps ? wrapped_sum : sum) + (2 * (mine + other) + half) * kUnitWords;
    add_product(to, x, operand + other * (kPart + 1) + half * kUnit);
    __syncwarp();
  }
}

// The double-length square of the number, carried through, in `sum`.
CRYPSIS_INLINE void square_in_shared(const Group& group, const u32* a, u32* sum, u32* wrapped_sum) {
  u32* const own = sum + group.place * 4 * kUnitWords;
  u32* const own_wrapped = wrapped_sum + group.place * 4 * kUnitWords;
  u32 x[kPart], total[2 * kPart], term[2 * kPart];
  cross_products(total, a);
  u32 over = 0;
  if constexpr (TPI > 1) {
    __syncwarp();  // the last operand and sum have been read to their ends
#pragma unroll
    for (int j = 0; j < kPart; ++j) {
      x[j] = a[j];
      group.factor[group.place * (kPart + 1) + j] = a[j];
    }
#pragma unroll
    for (int j = 0; j < 2 * kPart; ++j) {
      own[unit_word(j)] = total[j];
      own_wrapped[unit_word(j)] = 0;
    }
#pragma unroll
    for (int unit = 0; unit < 4; ++unit) {
      own[unit * kUnitWords + kUnit] = own_wrapped[unit * kUnitWords + kUnit] = 0;
    }
    __syncwarp();
    part_products(group, x, sum, wrapped_sum);
#pragma unroll
    for (int j = 0; j < kPart; ++j) x[j] = group.factor[group.place * (kPart + 1) + j];
#pragma unroll
    for (int j = 0; j < 2 * kPart; ++j) {
      total[j] = own[unit_word(j)];
      term[j] = own_wrapped[unit_word(j)];
    }
    over = add_row<2 * kPart>(total, total, term);
#pragma unroll
    for (int j = 0; j < 2 * kPart; ++j) {
      const int carries = j / kUnit * kUnitWords + kUnit;
      term[j] = j % kUnit == 0 ? own[carries] + own_wrapped[carries] : 0;
    }
    over += add_row<2 * kPart>(total, total, term);
  } else {
#pragma unroll
    for (int j = 0; j < kPart; ++j) x[j] = a[j];
    __syncwarp();
  }
  over = 2 * over + add_row<2 * kPart>(total, total, total);
#pragma unroll
  for (int j = 0; j < kPart; ++j) {
    const u64 product = mul_wide(x[j], x[j]);
    term[2 * j] = static_cast<u32>(product);
    term[2 * j + 1] = static_cast<u32>(product >> 32);
  }
  over += add_row<2 * kPart>(total, total, term);
  resolve<2 * kPart>(group, total, over);
#pragma unroll
  for (int j = 0; j < 2 * kPart; ++j) own[unit_word(j)] = total[j];
  __syncwarp();
}

// One limb of the reduction: multiply_step without a product; `next` enters the number at its top.
__device__ __forceinline__ void reduce_step(const Group& group, u32* even, u32* odd, u32 next) {
  u32 carry = 0;
  even[0] = add_carry(even[0], odd[1], carry);
  u32 q = even[0] * group.minus_inverse;
  if (TPI > 1) q = __shfl_sync(kFullWarp, q, 0, TPI);
  const u32 above_even = mad_row<kPart>(even, even, group.n, q);
  u32 low = next;
  if (TPI > 1) {
    low = __shfl_down_sync(kFullWarp, even[0], 1, TPI);
    if (group.place == TPI - 1) low = next;
  }
  const u32 above_odd = mad_row<kPart>(odd, odd + 2, group.n + 1, q, carry);
  carry = 0;
  even[kPart] = add_carry(low, above_even, carry);
  even[kPart + 1] = above_odd + carry;
}

// r = sum / R mod n; sum is below n R.
CRYPSIS_INLINE void reduce_sum(const Group& group, u32* r, const u32* sum) {
  u32 even[kPart + 2], odd[kPart + 2];
#pragma unroll
  for (int j = 0; j < kPart + 2; ++j) {
    even[j] = j < kPart ? sum[group.place * 2 * kUnitWords + unit_word(j)] : 0;
    odd[j] = 0;
  }
  const u32* next = sum + 2 * TPI * kUnitWords;
#pragma unroll 2
  for (int i = 0; i < kLimbs; i += kUnit) {
#pragma unroll
    for (int step = 0; step < kUnit; step += 2) {
      reduce_step(group, even, odd, next[step]);
      reduce_step(group, odd, even, next[step + 1]);
    }
    next += kUnitWords;
  }
  const u32 carry = add_row<kPart>(r, even, odd + 1);
  reduce_once(group, r, odd[kPart + 1] + carry);
}

// r = a^2 / R mod n; r may be a. Overwrites the factor.
CRYPSIS_INLINE void square(const Group& group, u32* r, const u32* a) {
  if constexpr (kSquares) {
    u32* const sum = group.factor + kOperandWords;
    square_in_shared(group, a, sum, sum + (TPI == 1 ? 0 : kSumWords));
    reduce_sum(group, r, sum);
  } else {
    set_factor(group, a);
    multiply(group, r, a);
  }
}
