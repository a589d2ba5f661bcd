// SPDX-License-Identifier: Apache-2.0
// Tables and values of the bins, -DFIELD=128 or 64 and -DLANES=1, or 2 elements of GF(2^64) side by side (decode
// alone).
//
// decode       out[i] = the value of key i; job.parts blocks a bin, threads take keys in steps
// add_dense    rest[i] = values[i] less the dense columns' part; the same
// substitute   one block a bin, of as many threads as `peel` had: the sparse columns that have a row
//
// table: [bins][sparse + dense] elements, the launch's first bin is job.first; starts by number of the bin; values, keys
// and out by number of the key, rest from key job.keys on; records and steps as okvs.cu leaves them. Elements at any
// address. The host has checked `starts`. Addresses depend on the keys.
#include "bitmatrix/gf.cuh"
#include "common/bytes.cuh"
#include "common/types.cuh"
#include "okvs/hash.cuh"
#include "okvs/rows.cuh"

#if !((FIELD == 128 && LANES == 1) || (FIELD == 64 && (LANES == 1 || LANES == 2)))
#error "FIELD is 128 with LANES 1, or 64 with LANES 1 or 2"
#endif

constexpr u32 kBytes = FIELD / 8 * LANES, kWords = kBytes / 4;

struct Element {
  u32 w[kWords];
};
struct Half {
  u32 w[2];
};

__device__ __forceinline__ Element operator^(Element a, const Element& b) {
#pragma unroll
  for (u32 j = 0; j < kWords; ++j) a.w[j] ^= b.w[j];
  return a;
}

// Element `index` of an array; bytes where that is at no multiple of its size.
__device__ __forceinline__ Element load(const u8* from, u64 index) {
  Element x;
  load_words<kWords>(x.w, from + kBytes * index);
  return x;
}

__device__ __forceinline__ void store(u8* to, u64 index, const Element& x) {
  store_words<kWords>(to + kBytes * index, x.w);
}

// x r, lane by lane.
__device__ __forceinline__ Element times(const Element& x, const AesBlock& r) {
#if FIELD == 128
  return gf128_multiply<Element>(x, {{r.w[0], r.w[1], r.w[2], r.w[3]}});
#else
  Element product;
#pragma unroll
  for (u32 lane = 0; lane < 2 * LANES; lane += 2) {
    const Half half = gf64_multiply<Half>({{x.w[lane], x.w[lane + 1]}}, {{r.w[0], r.w[1]}});
    product.w[lane] = half.w[0];
    product.w[lane + 1] = half.w[1];
  }
  return product;
#endif
}

// The sum of a bin's dense columns times r, r^2, ...: Horner's rule. Rolled and with a new r each turn, so that a
// product's factors take no registers beyond it.
__device__ __forceinline__ Element dense_part(const u8* own, AesBlock r, const Job& job) {
  Element sum = {};
#pragma unroll 1
  for (u32 j = job.dense; j-- > 0;) {
#pragma unroll
    for (u32 i = 0; i < 4; ++i) r.w[i] = fresh(r.w[i]);
    sum = times(sum ^ load(own, job.sparse + j), r);
  }
  return sum;
}

extern "C" __global__ void __launch_bounds__(256)
    decode(u8* __restrict__ out, const u8* __restrict__ table, const u8* __restrict__ keys,
           const u64* __restrict__ starts, RoundKeys columns_key, RoundKeys element_key, Job job) {
  __shared__ u32 lookups[kAesTableWords];
  const u64 bin = job.first + blockIdx.x / job.parts;
  const Keys own(starts, bin);
  const u64 begin = static_cast<u64>(blockIdx.x % job.parts) * blockDim.x;
  if (begin >= own.n) return;
  aes_load_table(lookups);
  __syncthreads();
  const u8* const columns = table + bin * (job.sparse + job.dense) * kBytes;
  const u64 end = own.first + own.n;
  for (u64 i = own.first + begin + threadIdx.x; i < end; i += static_cast<u64>(job.parts) * blockDim.x) {
    const AesBlock key = aes_load(keys + 16 * i);
    const Columns at = columns_of(hash_of(lookups, columns_key, key), job.sparse);
    const Element sparse = load(columns, at.a) ^ load(columns, at.b) ^ load(columns, at.c);
    store(out, i, sparse ^ dense_part(columns, hash_of(lookups, element_key, key), job));
  }
}

#if LANES == 1

extern "C" __global__ void __launch_bounds__(256)
    add_dense(u8* __restrict__ rest, const u8* __restrict__ values, const u8* __restrict__ table,
              const u8* __restrict__ keys, const u64* __restrict__ starts, RoundKeys element_key, Job job) {
  __shared__ u32 lookups[kAesTableWords];
  const u64 bin = job.first + blockIdx.x / job.parts;
  const Keys own(starts, bin);
  const u64 begin = static_cast<u64>(blockIdx.x % job.parts) * blockDim.x;
  if (begin >= own.n) return;
  aes_load_table(lookups);
  __syncthreads();
  const u8* const columns = table + bin * (job.sparse + job.dense) * kBytes;
  const u64 end = own.first + own.n;
  for (u64 i = own.first + begin + threadIdx.x; i < end; i += static_cast<u64>(job.parts) * blockDim.x) {
    const AesBlock r = hash_of(lookups, element_key, aes_load(keys + 16 * i));
    store(rest, i - job.keys, load(values, i) ^ dense_part(columns, r, job));
  }
}

// Steps backwards, a row a thread: its other two columns were taken later, or by no row at all. What a step reads of
// records and values is fetched one and two steps ahead, so that a step waits for the table alone. Of a bin with a core
// the host makes the table afterwards.
extern "C" __global__ void __launch_bounds__(1024)
    substitute(u8* table, const u8* __restrict__ values, const u64* __restrict__ starts,
               const u64* __restrict__ records, const u16* __restrict__ steps, const u32* __restrict__ counts,
               Job job) {
  const u64 bin = job.first + blockIdx.x;
  const Keys own(starts, bin);
  const u32 n_records = counts[2 * bin], n_steps = counts[2 * bin + 1];
  u8* const columns = table + bin * (job.sparse + job.dense) * kBytes;
  const u64* const taken = records + static_cast<u64>(blockIdx.x) * job.longest;
  const u16* const begins = steps + static_cast<u64>(blockIdx.x) * (job.longest + 1);
  const u8* const wanted = values + kBytes * (own.first - job.keys);

  // Turn s writes step s, fetches the values of step s - 1, the records of s - 2 and the bounds of s - 3.
  u64 row = 0, row1 = 0;
  bool mine = false, mine1 = false;
  Element value = {};
  u32 end = n_records, begin = n_steps > 0 ? begins[n_steps - 1] : 0;
  for (u32 s = n_steps + 2; s-- > 0;) {
    Element sum = {}, value1 = {};
    if (mine) sum = load(columns, next_of(row)) ^ load(columns, last_of(row)) ^ value;
    if (mine1) value1 = load(wanted, id_of(row1));
    const u32 at = begin + threadIdx.x;
    const bool mine2 = s >= 2 && at < end;
    const u64 row2 = mine2 ? taken[at] : 0;
    end = begin;
    begin = s >= 3 ? begins[s - 3] : 0;
    if (mine) store(columns, column_of(row), sum);
    __syncthreads();
    row = row1, mine = mine1, value = value1;
    row1 = row2, mine1 = mine2;
  }
}

#endif
