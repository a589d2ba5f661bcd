// SPDX-License-Identifier: Apache-2.0
// Montgomery products [Montgomery 1985], operand by operand with the reduction in between (CIOS) [Koc, Acar, Kaliski
// 1996, 5]. Everything is below n and the same words as on the CPU.
#pragma once

#include "bigint/group.cuh"

// One limb of the multiplier: (even, odd) = ((even, odd) + a * b + n * q) / 2^32, where `even` stands at limb 0 of the
// part, `odd` at limb 1. Division by 2^32 makes `odd` the one at limb 0, and of `even` without its two low limbs the
// one at limb 1: so the caller swaps the two each time. Between steps the new `odd` is still in place: its limb [1]
// is to be added at limb 0, limbs [2] to [kPart + 1] stand at limb 1 on. A part stays below 4 * 2^(32 kPart): what
// it has above kPart limbs is carried to the next part at the end only.
CRYPSIS_INLINE void multiply_step(const Group& group, u32* even, u32* odd, const u32* a, u32 b) {
  u32 carry = 0;
  even[0] = add_carry(even[0], odd[1], carry);
  u32 above_even = mad_row<kPart>(even, even, a, b);
  u32 q = even[0] * group.minus_inverse;
  if (TPI > 1) q = __shfl_sync(kFullWarp, q, 0, TPI);
  u32 above_odd = mad_row<kPart>(odd, odd + 2, a + 1, b, carry);
  above_even += mad_row<kPart>(even, even, group.n, q);
  u32 low = 0;  // the limb that leaves the part above this one
  if (TPI > 1) {
    low = __shfl_down_sync(kFullWarp, even[0], 1, TPI);
    if (group.place == TPI - 1) low = 0;
  }
  above_odd += mad_row<kPart>(odd, odd, group.n + 1, q);
  carry = 0;
  even[kPart] = add_carry(low, above_even, carry);
  even[kPart + 1] = above_odd + carry;
}

// Steps of a loop's body: at its end all accumulators move to the registers they began in, which some eight steps
// outweigh.
// No function, since NVRTC refuses those of the host.
constexpr int kSteps = kLimbs % 8 == 0    ? 8
                       : kLimbs % 10 == 0 ? 10
                       : kLimbs % 6 == 0  ? 6
                       : kLimbs % 14 == 0 ? 14
                       : kLimbs % 4 == 0  ? 4
                       : kLimbs % 22 == 0 ? 22
                       : kLimbs % 26 == 0 ? 26
                                          : 2;

// r = a * factor / R mod n; r may be a.
CRYPSIS_INLINE void multiply(const Group& group, u32* r, const u32* a) {
  u32 even[kPart + 2], odd[kPart + 2];
#pragma unroll
  for (int j = 0; j < kPart + 2; ++j) even[j] = odd[j] = 0;
#pragma unroll 1
  for (int i = 0; i < kLimbs; i += kSteps) {
#pragma unroll
    for (int step = 0; step < kSteps; step += 2) {
      multiply_step(group, even, odd, a, group.factor[i + step]);
      multiply_step(group, odd, even, a, group.factor[i + step + 1]);
    }
  }
  const u32 carry = add_row<kPart>(r, even, odd + 1);
  reduce_once(group, r, odd[kPart + 1] + carry);
}
