// SPDX-License-Identifier: Apache-2.0
// The passes over memory of a transform of N = 2^LOG_N elements: one up to 2^13, two above, columns and rows of a
// matrix of kRows x kColumns. Values between two passes are below 16 p.
//
// Blocks of kThreads threads; `transform` counts limb by limb, polynomials within: those that run at a time share
// factors. One pass: kLines transforms a block, N / E threads each. Two: kBlocks blocks a transform, each with a tile of
// 2^kLogTile elements: all rows of some columns, or some rows.
#pragma once

#include "ntt/lines.cuh"

// THREADS: of a block, 128, 256 or 512. BLOCKS: of a multiprocessor, what bounds the registers. tuning.json has both.
#ifndef LOG_N
#define LOG_N 13
#endif
#ifndef THREADS
#define THREADS (LOG_N == 13 ? 512 : 256)
#endif
#ifndef BLOCKS
#define BLOCKS (512 / THREADS)
#endif

constexpr int kLogN = LOG_N;
constexpr u32 kN = 1u << kLogN;
constexpr int kLogOnePass = 13;
constexpr bool kOnePass = kLogN <= kLogOnePass;
constexpr int kLogE = log_elements(kLogN);
constexpr int kE = 1 << kLogE;

constexpr u32 kThreads = THREADS;
constexpr int kLogTile = kLogE + (kThreads == 512 ? 9 : kThreads == 256 ? 8 : 7);
constexpr u32 kLines = kOnePass ? kThreads / (kN / kE) : 1;

constexpr int kLogRows = kOnePass ? 0 : (kLogN + 1) / 2;
constexpr int kLogColumns = kLogN - kLogRows;
constexpr u32 kColumns = 1u << kLogColumns;
constexpr u32 kBlocks = kOnePass ? 1 : kN >> kLogTile;

static_assert(kLogN >= 2 && kLogN <= 16, "N goes from 4 to 65536");
static_assert(kThreads == 128 || kThreads == 256 || kThreads == 512, "blocks are that large");
static_assert(!kOnePass || kThreads * kE >= kN, "a block has whole transforms");

// Which transform of a batch uint64[n, limbs, N] a thread works on. Threads behind the last one work on transform 0 and
// store nothing, so that barriers have all threads.
struct Place {
  u32 index;       // of its row of N in the batch
  u32 polynomial;  // in [0, n)
  u32 limb;
  bool real;
};

// Where row `index` of a batch of rows of N begins; there are fewer than 2^32.
__device__ __forceinline__ u64 row_start(u32 index) {
  return static_cast<u64>(index) << kLogN;
}

__device__ __forceinline__ Place place_of(u64 transform, u64 n, u32 limbs) {
  Place place{};
  place.real = transform < n * limbs;
  const u32 chosen = place.real ? static_cast<u32>(transform) : 0;  // grids have fewer than 2^31 blocks
  place.limb = chosen / static_cast<u32>(n);
  place.polynomial = chosen % static_cast<u32>(n);
  place.index = place.polynomial * limbs + place.limb;
  return place;
}

__device__ __forceinline__ Factors factors_of(u64 table, u32 base, u32 column) {
  return {reinterpret_cast<const Factor*>(table), base, column, kN / kE};
}

// One pass, or the rows of two: lines of neighbours, kColumns each.
typedef Line<kLogColumns, kLogE, 1, true> Row;

struct RowPlace {
  Place place;
  u32 row;   // of the matrix
  Row line;  // in shared memory

  // The thread's first element within N, and where that is in a batch of this one's shape: the next ones are steps on.
  __device__ __forceinline__ u32 within() const { return (row << kLogColumns) + line.thread; }
  __device__ __forceinline__ u64 first() const { return row_start(place.index) + within(); }
};

__device__ __forceinline__ RowPlace row_place(u64* shared, u64 n, u32 limbs, u32 block) {
  const u32 of_block = threadIdx.x / Row::kThreads;
  RowPlace at{};
  u64 transform;
  if (kOnePass) {
    transform = static_cast<u64>(block) * kLines + of_block;
    at.row = 0;
  } else {
    transform = block / kBlocks;
    at.row = block % kBlocks * (kThreads / Row::kThreads) + of_block;
  }
  at.place = place_of(transform, n, limbs);
  at.line = {shared + of_block * padded(kColumns), threadIdx.x % Row::kThreads};
  return at;
}

__device__ __forceinline__ RowPlace row_place(u64* shared, u64 n, u32 limbs) {
  return row_place(shared, n, limbs, blockIdx.x);
}

// The same, found once more: for what comes after a transform, where registers are short.
__device__ __forceinline__ RowPlace row_place_again(u64* shared, u64 n, u32 limbs) {
  return row_place(shared, n, limbs, fresh(blockIdx.x));
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
  u32 column;  // of the matrix

  // The thread's first element before stage FIRST within N, and where that is in a batch of this one's shape.
  template <int FIRST, int COUNT>
  __device__ __forceinline__ u32 within() const {
    return (line.template origin<FIRST, COUNT>() << kLogColumns) + column;
  }
  template <int FIRST, int COUNT>
  __device__ __forceinline__ u64 first() const {
    return row_start(place.index) + within<FIRST, COUNT>();
  }
  // How far its other elements are from it.
  template <int FIRST, int COUNT>
  __device__ __forceinline__ static constexpr u32 step(int e) {
    return Column::step<FIRST, COUNT>(e) << kLogColumns;
  }
};

__device__ __forceinline__ ColumnPlace column_place(u64* shared, u64 n, u32 limbs) {
  const u32 column = threadIdx.x % kTileColumns;
  ColumnPlace at{};
  at.place = place_of(blockIdx.x / kBlocks, n, limbs);
  at.line = {shared + column, threadIdx.x / kTileColumns};
  at.column = blockIdx.x % kBlocks * kTileColumns + column;
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
  Row line = at.line;  // found once more, as above
  line.thread = fresh(threadIdx.x) % Row::kThreads;
  line.template store<kLastFirst, kLogE>(x);
  __syncthreads();
  line.load_across(x);
}

__device__ __forceinline__ void store_row(u64* out, const u64* x, const RowPlace& at) {
  if (!at.place.real) return;
  u64* const to = out + at.first();
#pragma unroll
  for (int e = 0; e < kE; ++e) to[Row::across(e)] = x[e];
}

#if LOG_N > 13

constexpr int kColumnCount = group_stages(0, kLogRows);

// x: elements of the column as before stage 0, below BOUND p; to memory, below kForwardStored p.
template <int BOUND>
__device__ __forceinline__ void forward_column(u64* x, const ColumnPlace& at, u64* out, const Prime& prime) {
  constexpr int kLast = kLogRows - kLogElements;
  forward_line<kLogRows, 0, BOUND, false>(x, at.line, factors_of(prime.forward, 1, 0), prime.p);
  if (!at.place.real) return;
  u64* const to = out + at.first<kLast, kLogElements>();
#pragma unroll
  for (int e = 0; e < kE; ++e) to[ColumnPlace::step<kLast, kLogElements>(e)] = x[e];
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
