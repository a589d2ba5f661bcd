// SPDX-License-Identifier: Apache-2.0
// A line: 2^LOG_LENGTH elements in shared memory and the registers of 2^LOG_LENGTH / E threads, on which consecutive
// stages of a transform run, four at a time in registers (the first time what is left over).
//
// `Line` says which elements a thread holds before stage FIRST, and where they stand in shared memory: STRIDE words
// apart, or PADDED, where a thread's own are neighbours and would all be in one bank.
#pragma once

#include "ntt/butterflies.cuh"
#include "ntt/tables.cuh"

// Stages of the group that begins with stage `first` of `count`.
__device__ __forceinline__ constexpr int group_stages(int first, int count) {
  return (count - first - 1) % kLogElements + 1;
}

// Words of shared memory of a padded line.
__device__ __forceinline__ constexpr u32 padded(u32 index) {
  return index + (index >> 4);
}

template <int LOG_LENGTH, int LOG_E, u32 STRIDE, bool PADDED>
struct Line {
  static constexpr int kElements = 1 << LOG_E;
  static constexpr u32 kThreads = 1u << (LOG_LENGTH - LOG_E);

  u64* memory;  // of this line
  u32 thread;   // of the line

  // Element j 2^COUNT + i of the thread before stage FIRST, that of subgroup j's butterflies at i, has the index
  // origin + step: what the thread gives, and what is known here.
  template <int FIRST, int COUNT>
  __device__ __forceinline__ u32 origin() const {
    constexpr u32 kLow = low(FIRST, COUNT);
    return FIRST == 0 ? thread : thread / kLow * (kLow << COUNT) + thread % kLow;
  }
  template <int FIRST, int COUNT>
  __device__ __forceinline__ static constexpr u32 step(int element) {
    static_assert(FIRST == 0 || COUNT == LOG_E, "only the first group has subgroups");
    return static_cast<u32>(element & ((1 << COUNT) - 1)) * low(FIRST, COUNT) +
           static_cast<u32>(element >> COUNT) * kThreads;
  }
  template <int COUNT>
  __device__ __forceinline__ u32 subgroup(int j) const {
    return thread + static_cast<u32>(j) * kThreads;
  }
  // As the line stands in global memory, neighbouring threads on neighbours: thread + this.
  __device__ __forceinline__ static constexpr u32 across(int element) {
    return static_cast<u32>(element) * kThreads;
  }

  template <int FIRST, int COUNT>
  __device__ __forceinline__ void store(const u64* x) const {
    constexpr bool kApart =
        low(FIRST, COUNT) == 1 || (low(FIRST, COUNT) | (COUNT < LOG_E ? kThreads : 0)) % 16 == 0;
    const u32 start = origin<FIRST, COUNT>();
#pragma unroll
    for (int e = 0; e < kElements; ++e) at<kApart>(start, step<FIRST, COUNT>(e)) = x[e];
  }
  template <int FIRST, int COUNT>
  __device__ __forceinline__ void load(u64* x) const {
    constexpr bool kApart =
        low(FIRST, COUNT) == 1 || (low(FIRST, COUNT) | (COUNT < LOG_E ? kThreads : 0)) % 16 == 0;
    const u32 start = origin<FIRST, COUNT>();
#pragma unroll
    for (int e = 0; e < kElements; ++e) x[e] = at<kApart>(start, step<FIRST, COUNT>(e));
  }
  __device__ __forceinline__ void store_across(const u64* x) const {
#pragma unroll
    for (int e = 0; e < kElements; ++e) at<kThreads % 16 == 0>(thread, across(e)) = x[e];
  }
  __device__ __forceinline__ void load_across(u64* x) const {
#pragma unroll
    for (int e = 0; e < kElements; ++e) x[e] = at<kThreads % 16 == 0>(thread, across(e));
  }

 private:
  __device__ __forceinline__ static constexpr u32 low(int first, int count) {
    return 1u << (LOG_LENGTH - first - count);
  }
  // APART: one of the two is a multiple of 16 and the other below 16, or `known` is, so that they pad separately.
  template <bool APART>
  __device__ __forceinline__ u64& at(u32 start, u32 known) const {
    if constexpr (!PADDED) return memory[start * STRIDE + known * STRIDE];
    if constexpr (APART) return memory[padded(start) + padded(known)];
    return memory[padded(start + known)];
  }
};

__device__ __forceinline__ Factor load_factor(const Factor* table, u32 position) {
  const ulonglong2 both = __ldg(reinterpret_cast<const ulonglong2*>(table) + position);
  return {both.x, both.y};
}

// The factors of a prime in one direction: those of lines in natural order, and the last ones.
struct Factors {
  const Factor* table;
  u32 base;     // of the line: its first stage s has the blocks base - 2^s of the whole transform
  u32 column;   // of the thread's E neighbours in the whole transform
  u32 columns;  // N / E
};

// Those of a group of COUNT stages from FIRST on.
template <int LOG_LENGTH, int FIRST, int COUNT>
struct NaturalFactors {
  const Factor* table;
  u32 start;

  __device__ __forceinline__ NaturalFactors(const Factors& factors, u32 subgroup)
      : table(factors.table), start((factors.base << FIRST) + subgroup / kLow) {}
  __device__ __forceinline__ Factor operator()(int depth, int block) const {
    return load_factor(table, (start << depth) + static_cast<u32>(block));
  }

  static constexpr u32 kLow = 1u << (LOG_LENGTH - FIRST - COUNT);
};

template <int LOG_LENGTH, int COUNT>
struct NaturalFactors<LOG_LENGTH, 0, COUNT> {  // one for all subgroups
  const Factor* table;
  u32 start;

  __device__ __forceinline__ NaturalFactors(const Factors& factors, u32)
      : table(factors.table), start(factors.base) {}
  __device__ __forceinline__ Factor operator()(int depth, int block) const {
    return load_factor(table, (start << depth) + static_cast<u32>(block));
  }
};

struct LastFactors {
  const Factors& factors;

  __device__ __forceinline__ Factor operator()(int depth, int block) const {
    const u32 row = (1u << depth) + static_cast<u32>(block);
    return load_factor(factors.table, row * factors.columns + factors.column);
  }
};

// The stages from FIRST on. x: elements as before stage FIRST, below BOUND p; afterwards as before the last group, below
// kForwardStored p. ENDS: the last group is the transform's.
template <int LOG_LENGTH, int FIRST, int BOUND, bool ENDS, class L>
__device__ __forceinline__ void forward_line(u64* x, const L& line, const Factors& factors, u64 p) {
  constexpr int kCount = group_stages(FIRST, LOG_LENGTH), kNext = FIRST + kCount;
  if constexpr (ENDS && kNext == LOG_LENGTH) {
    forward_stages<kCount, BOUND>(x, LastFactors{factors}, p);
  } else {
#pragma unroll
    for (int j = 0; j < L::kElements >> kCount; ++j) {
      const NaturalFactors<LOG_LENGTH, FIRST, kCount> natural(factors, line.template subgroup<kCount>(j));
      forward_stages<kCount, BOUND>(x + (j << kCount), natural, p);
    }
  }
  if constexpr (kNext < LOG_LENGTH) {
    line.template store<FIRST, kCount>(x);
    __syncthreads();
    line.template load<kNext, group_stages(kNext, LOG_LENGTH)>(x);
    forward_line<LOG_LENGTH, kNext, kForwardStored, ENDS>(x, line, factors, p);
  }
}

// The stages before END, backwards. x: elements as before the last group of them, below BOUND p; afterwards as before
// stage 0, below kInverseStored p. BEGINS: the first group run is the transform's last one. SCALES: the last stage run
// is the transform's first, with 1 / N.
template <int LOG_LENGTH, int END, int BOUND, bool BEGINS, bool SCALES, class L>
__device__ __forceinline__ void inverse_line(u64* x, const L& line, const Factors& factors,
                                             const Prime& prime) {
  constexpr int kFirst = END > kLogElements ? END - kLogElements : 0, kCount = END - kFirst;
  constexpr bool kScales = SCALES && kFirst == 0;
  if constexpr (BEGINS && END == LOG_LENGTH) {
    inverse_stages<kCount, BOUND, kScales>(x, LastFactors{factors}, prime);
  } else {
#pragma unroll
    for (int j = 0; j < L::kElements >> kCount; ++j) {
      const NaturalFactors<LOG_LENGTH, kFirst, kCount> natural(factors, line.template subgroup<kCount>(j));
      inverse_stages<kCount, BOUND, kScales>(x + (j << kCount), natural, prime);
    }
  }
  if constexpr (kFirst > 0) {
    constexpr int kBefore = kFirst > kLogElements ? kFirst - kLogElements : 0;
    line.template store<kFirst, kCount>(x);
    __syncthreads();
    line.template load<kBefore, kFirst - kBefore>(x);
    inverse_line<LOG_LENGTH, kFirst, kInverseStored, BEGINS, SCALES>(x, line, factors, prime);
  }
}
