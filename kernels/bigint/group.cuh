// SPDX-License-Identifier: Apache-2.0
// A number spread over a group of TPI threads of one warp: thread g holds the limbs g * kPart .. (g + 1) * kPart of
// 32 bits in registers, zeros above LIMBS. Rows in memory are those of the CPU: uint64[n, limbs] little-endian,
// which is u32[n, LIMBS].
//
// Collectives are called by whole, converged warps: groups past the end of a batch compute on row 0 and store
// nothing. No function here branches on limbs: all are constant-time.
#pragma once

#include "common/arith.cuh"

// LIMBS: 32-bit limbs of a number, even, exact: R = 2^(32 LIMBS). TPI: threads of a number, a power of two.
// THREADS: of a block. BLOCKS: of a multiprocessor, what bounds the registers.
#ifndef LIMBS
#define LIMBS 64
#endif
#ifndef TPI
#define TPI 2
#endif
#ifndef THREADS
#define THREADS 128
#endif
#ifndef BLOCKS
#define BLOCKS 3
#endif

constexpr int kLimbs = LIMBS;
constexpr int kPart = ((LIMBS + TPI - 1) / TPI + 1) / 2 * 2;  // limbs of a thread, even
constexpr int kRows = THREADS / TPI;                          // numbers of a block

// Words of a number in shared memory, where `multiply` finds its multiplier: odd, so that limb i of all numbers is in
// different banks.
constexpr int kStride = TPI * kPart + 1;

static_assert(kLimbs % 2 == 0 && kLimbs >= 2, "rows are 64-bit limbs");
static_assert(TPI >= 1 && TPI <= 32 && (TPI & (TPI - 1)) == 0, "a group is part of a warp");
static_assert(THREADS % 32 == 0, "blocks are whole warps");

// Inlined on a GPU, where arrays must be registers. A CPU compiles each once: many instances are tested there.
#ifdef __CUDA_ARCH__
#define CRYPSIS_INLINE __device__ __forceinline__
#else
#define CRYPSIS_INLINE __device__ __attribute__((noinline))
#endif

// The constants of a modulus in device memory, rows of LIMBS words: n, R mod n, R^2 mod n, one; then -1/n mod 2^32.
struct Constants {
  const u32* at;
  __device__ __forceinline__ const u32* n() const { return at; }
  __device__ __forceinline__ const u32* r() const { return at + kLimbs; }
  __device__ __forceinline__ const u32* r2() const { return at + 2 * kLimbs; }
  __device__ __forceinline__ const u32* one() const { return at + 3 * kLimbs; }
  __device__ __forceinline__ u32 minus_inverse() const { return at[4 * kLimbs]; }
};

// Where a thread stands, and its part of the modulus.
struct Group {
  u32 lane, place;  // in the warp, in the number
  u32* factor;      // shared memory of the number: the multiplier of `multiply`
  u32 minus_inverse;
  u32 n[kPart];
};

// The row of this thread's group; past the end for the last groups of a batch.
__device__ __forceinline__ u64 row_index() {
  return static_cast<u64>(blockIdx.x) * kRows + threadIdx.x / TPI;
}

CRYPSIS_INLINE void load_row(const Group& group, u32* x, const u32* row) {
  const u64* const words = reinterpret_cast<const u64*>(row);
#pragma unroll
  for (int j = 0; j < kPart; j += 2) {
    const u32 limb = group.place * kPart + j;
    u64 word = 0;
    if (TPI * kPart == kLimbs || limb < kLimbs) word = words[limb / 2];
    x[j] = static_cast<u32>(word);
    x[j + 1] = static_cast<u32>(word >> 32);
  }
}

CRYPSIS_INLINE void store_row(const Group& group, u32* row, const u32* x) {
  u64* const words = reinterpret_cast<u64*>(row);
#pragma unroll
  for (int j = 0; j < kPart; j += 2) {
    const u32 limb = group.place * kPart + j;
    if (TPI * kPart == kLimbs || limb < kLimbs) {
      words[limb / 2] = (static_cast<u64>(x[j + 1]) << 32) | x[j];
    }
  }
}

// `shared`: kRows * stride words of dynamic memory: 4 bytes each, which the launch gives.
CRYPSIS_INLINE Group make_group(const Constants& constants, u32* shared, int stride = kStride) {
  Group group;
  group.lane = threadIdx.x % 32;
  group.place = threadIdx.x % TPI;
  group.factor = shared + threadIdx.x / TPI * stride;
  group.minus_inverse = constants.minus_inverse();
  load_row(group, group.n, constants.n());
  return group;
}

// The multiplier of the next `multiply`. A number is of one warp, so no barrier of the block is needed.
CRYPSIS_INLINE void set_factor(const Group& group, const u32* x) {
  __syncwarp();  // the last product has been read to its end
#pragma unroll
  for (int j = 0; j < kPart; ++j) group.factor[group.place * kPart + j] = x[j];
  __syncwarp();
}

CRYPSIS_INLINE void set_factor_row(const Group& group, const u32* row) {
  u32 x[kPart];
  load_row(group, x, row);
  set_factor(group, x);
}

// The last lane of each group of a warp.
constexpr u32 kLastLanes = static_cast<u32>((0xffffffffull / ((1ull << TPI) - 1)) << (TPI - 1));

// The value of a flag (0 or 1) of the group's last thread.
__device__ __forceinline__ u32 flag_of_last(const Group& group, u32 flag) {
  if (TPI == 1) return flag;
  return (__ballot_sync(kFullWarp, flag) >> (group.lane | (TPI - 1))) & 1u;
}

// The carry (0 or 1) into each thread's part, where a part gives one by itself (`generates`) or hands on the one it
// gets (`propagates`, never both): the binary sum of the two masks ripples through all parts at once.
__device__ __forceinline__ u32 carry_in(const Group& group, u32 generates, bool propagates) {
  if (TPI == 1) return 0;
  const u32 give = __ballot_sync(kFullWarp, generates) & ~kLastLanes;
  const u32 pass = __ballot_sync(kFullWarp, propagates) & ~kLastLanes;
  return (((pass + (give << 1)) ^ pass) >> group.lane) & 1u;
}

// x - y over the whole number; the borrow out of it, the same for all threads of the group.
CRYPSIS_INLINE u32 subtract(const Group& group, u32* difference, const u32* x, const u32* y) {
  const u32 borrow = sub_row<kPart>(difference, x, y);
  u32 any = 0;
#pragma unroll
  for (int j = 0; j < kPart; ++j) any |= difference[j];
  const u32 into = carry_in(group, borrow, any == 0);
  if (TPI > 1) {
    u32 zeros[kPart];
#pragma unroll
    for (int j = 0; j < kPart; ++j) zeros[j] = 0;
    sub_row<kPart>(difference, difference, zeros, into);
  }
  return flag_of_last(group, borrow | (into & static_cast<u32>(any == 0)));
}

// Adds to each part of N limbs what the part below has `over` its own (small); the carry out of the whole number, with
// what its last part had over, in the last thread.
template <int N>
CRYPSIS_INLINE u32 resolve(const Group& group, u32* x, u32 over) {
  if (TPI == 1) return over;
  u32 below = __shfl_up_sync(kFullWarp, over, 1, TPI);
  if (group.place == 0) below = 0;
  const u32 carry = add_small<N>(x, x, below);
  u32 all = x[0];
#pragma unroll
  for (int j = 1; j < N; ++j) all &= x[j];
  const bool ones = all == 0xffffffffu;
  const u32 into = carry_in(group, carry, ones);
  add_small<N>(x, x, into);
  return over + carry + (into & static_cast<u32>(ones));
}

// x = the parts x plus `over` (small) above each, minus n where that is not below n. The whole is below 2 n.
CRYPSIS_INLINE void reduce_once(const Group& group, u32* x, u32 over) {
  const u32 top = flag_of_last(group, resolve<kPart>(group, x, over));
  u32 reduced[kPart];
  const u32 borrow = subtract(group, reduced, x, group.n);
  select_row<kPart>(x, top | (borrow ^ 1u), reduced, x);
}
