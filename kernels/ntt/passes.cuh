// SPDX-License-Identifier: Apache-2.0
// The passes over memory of a transform of N = 2^LOG_N elements: one up to 2^13, two above, columns and rows of a
// matrix of kRows x kColumns. Values between two passes are below 16 p.
//
// Blocks of kThreads threads; `transform` counts limb by limb, polynomials within: those that run at a time share
// factors. One pass: kLines transforms a block, N / E threads each. Two: kBlocks blocks a transform, each with a tile of
// 2^kLogTile elements: all rows of some columns, or some rows.
#pragma once

#include "ntt/lines.cuh"

#ifndef LOG_N
#define LOG_N 13
#endif

constexpr int kLogN = LOG_N;
constexpr u32 kN = 1u << kLogN;
constexpr int kLogOnePass = 13;
constexpr bool kOnePass = kLogN <= kLogOnePass;
constexpr int kLogE = log_elements(kLogN);
constexpr int kE = 1 << kLogE;
constexpr int kLogTile = 12;

constexpr u32 kThreads = kN / kE > 256 && kOnePass ? kN / kE : 256;
constexpr u32 kLines = kOnePass ? kThreads / (kN / kE) : 1;

constexpr int kLogRows = kOnePass ? 0 : (kLogN + 1) / 2;
constexpr int kLogColumns = kLogN - kLogRows;
constexpr u32 kColumns = 1u << kLogColumns;
constexpr u32 kBlocks = kOnePass ? 1 : kN >> kLogTile;

static_assert(kLogN >= 2 && kLogN <= 16, "N goes from 4 to 65536");

// Which transform of a batch uint64[n, limbs, N] a thread works on. Threads behind the last one work on transform 0 and
// store nothing, so that barriers have all threads.
struct Place {
  u64 offset;      // of its first element
  u64 polynomial;  // in [0, n)
  u32 limb;
  bool real;
};

__device__ __forceinline__ Place place_of(u64 transform, u64 n, u32 limbs) {
  Place place{};
  place.real = transform < n * limbs;
  const u32 chosen = place.real ? static_cast<u32>(transform) : 0;  // grids have fewer than 2^31 blocks
  place.limb = chosen / static_cast<u32>(n);
  place.polynomial = chosen % static_cast<u32>(n);
  place.offset = (place.polynomial * limbs + place.limb) * kN;
  return place;
}

__device__ __forceinline__ Factors factors_of(u64 table, u32 base, u32 column) {
  return {reinterpret_cast<const Factor*>(table), base, column, kN / kE};
}

// One pass, or the rows of two: lines of neighbours, kColumns each.
typedef Line<kLogColumns, kLogE, 1, true> Row;

struct RowPlace {
  Place place;
  u32 row;    // of the matrix
  Row line;   // in shared memory
  u64 first;  // where the line begins
};

__device__ __forceinline__ RowPlace row_place(u64* shared, u64 n, u32 limbs) {
  const u32 of_block = threadIdx.x / Row::kThreads;
  RowPlace at{};
  u64 transform;
  if (kOnePass) {
    transform = static_cast<u64>(blockIdx.x) * kLines + of_block;
    at.row = 0;
  } else {
    transform = blockIdx.x / kBlocks;
    at.row = blockIdx.x % kBlocks * (kThreads / Row::kThreads) + of_block;
  }
  at.place = place_of(transform, n, limbs);
  at.line = {shared + of_block * padded(kColumns), threadIdx.x % Row::kThreads};
  at.first = at.place.offset + (static_cast<u64>(at.row) << kLogColumns);
  return at;
}

__device__ __forceinline__ Factors row_factors(const RowPlace& at, u64 table) {
  return factors_of(table, (1u << kLogRows) + at.row, at.row * Row::kThreads + at.line.thread);
}

#if LOG_N > 13

// The columns of two passes: kTileColumns lines side by side.
constexpr u32 kTileColumns = 1u << (kLogTile - kLogRows);
typedef Line<kLogRows, kLogE, kTileColumns, false> Column;

struct ColumnPlace {
  Place place;
  Column line;
  u64 first;  // element 0 of the column

  // Where in memory the thread's element is before stage FIRST.
  template <int FIRST, int COUNT>
  __device__ __forceinline__ u64 element(int e) const {
    return first + (line.template origin<FIRST, COUNT>() << kLogColumns) +
           (Column::step<FIRST, COUNT>(e) << kLogColumns);
  }
};

__device__ __forceinline__ ColumnPlace column_place(u64* shared, u64 n, u32 limbs) {
  const u32 column = threadIdx.x % kTileColumns;
  ColumnPlace at{};
  at.place = place_of(blockIdx.x / kBlocks, n, limbs);
  at.line = {shared + column, threadIdx.x / kTileColumns};
  at.first = at.place.offset + blockIdx.x % kBlocks * kTileColumns + column;
  return at;
}

#endif

// ---- forward ------------------------------------------------------------------------------------------------

constexpr int kFirstCount = group_stages(0, kLogColumns);

// x: elements of the row as before its stage 0, below BOUND p; to the transform's, in [0, p), as they stand in memory.
template <int BOUND>
__device__ __forceinline__ void forward_row(u64* x, const RowPlace& at, const Prime& prime) {
  constexpr int kLastFirst = kLogColumns - kLogE;
  forward_line<kLogColumns, 0, BOUND, true>(x, at.line, row_factors(at, prime.forward), prime.p);
#pragma unroll
  for (int e = 0; e < kE; ++e) x[e] = reduce_fully<16>(x[e], prime.p);
  at.line.template store<kLastFirst, kLogE>(x);
  __syncthreads();
  at.line.load_across(x);
}

__device__ __forceinline__ void store_row(u64* out, const u64* x, const RowPlace& at) {
  if (!at.place.real) return;
#pragma unroll
  for (int e = 0; e < kE; ++e) out[at.first + at.line.thread + Row::across(e)] = x[e];
}

#if LOG_N > 13

constexpr int kColumnCount = group_stages(0, kLogRows);

// x: elements of the column as before stage 0, below BOUND p; to memory, below kForwardStored p.
template <int BOUND>
__device__ __forceinline__ void forward_column(u64* x, const ColumnPlace& at, u64* out, const Prime& prime) {
  constexpr int kLast = kLogRows - kLogElements;
  forward_line<kLogRows, 0, BOUND, false>(x, at.line, factors_of(prime.forward, 1, 0), prime.p);
  if (!at.place.real) return;
#pragma unroll
  for (int e = 0; e < kE; ++e) {
    out[at.element<kLast, kLogElements>(e)] = x[e];
  }
}

#endif

// ---- inverse ------------------------------------------------------------------------------------------------

// Elements of the row, below BOUND p, from memory; x: below kInverseStored p as before stage 0.
template <int BOUND>
__device__ __forceinline__ void inverse_row(u64* x, const RowPlace& at, const Prime& prime) {
  constexpr int kLastFirst = kLogColumns - kLogE;
  at.line.store_across(x);
  __syncthreads();
  at.line.template load<kLastFirst, kLogE>(x);
  inverse_line<kLogColumns, kLogColumns, BOUND, true, kOnePass>(x, at.line, row_factors(at, prime.backward),
                                                                prime);
}

#if LOG_N > 13

// The same of columns, as before the last group; to below 4 p.
__device__ __forceinline__ void inverse_column(u64* x, const ColumnPlace& at, const Prime& prime) {
  inverse_line<kLogRows, kLogRows, kInverseStored, false, true>(x, at.line, factors_of(prime.backward, 1, 0),
                                                                prime);
}

#endif
