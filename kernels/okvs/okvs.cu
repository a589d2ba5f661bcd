// SPDX-License-Identifier: Apache-2.0
// From keys to the order in which columns take rows; csrc/okvs/NOTES.md defines the result, values.cu fills the table.
//
// add_rows   state += each key's row; job.parts blocks a bin, threads take keys in steps
// peel       one block a bin, of whole warps, up to 1,024 threads
//
// A bin's arrays stand side by side with those of the launch's other bins: state u64[bins][sparse], zero before
// add_rows; order u32[bins][sparse]; queue u16[bins][sparse]; records u64[bins][longest]; steps u16[bins][longest + 1].
// `counts` is u32[][2] by number of the bin: its records, fewer than its keys where a core is left, and the steps that
// took them.
// The host has checked `starts`. Addresses and branches depend on the keys.
#include "common/types.cuh"
#include "okvs/hash.cuh"
#include "okvs/peel.cuh"
#include "okvs/rows.cuh"

extern "C" __global__ void __launch_bounds__(256)
    add_rows(u64* __restrict__ state, const u8* __restrict__ keys, const u64* __restrict__ starts,
             RoundKeys round_keys, Job job) {
  __shared__ u32 table[kAesTableWords];
  const u64 bin = blockIdx.x / job.parts;
  const Keys own(starts, job.first + bin);
  const u64 begin = static_cast<u64>(blockIdx.x % job.parts) * blockDim.x;
  if (begin >= own.n) return;
  aes_load_table(table);
  __syncthreads();
  u64* const columns = state + bin * job.sparse;
  for (u64 i = begin + threadIdx.x; i < own.n; i += static_cast<u64>(job.parts) * blockDim.x) {
    const Columns at =
        columns_of(hash_of(table, round_keys, aes_load(keys + 16 * (own.first + i))), job.sparse);
    const u32 id = static_cast<u32>(i);
    atomicAdd(columns + at.a, row_word(at.b, at.c, id));
    atomicAdd(columns + at.b, row_word(at.c, at.a, id));
    atomicAdd(columns + at.c, row_word(at.a, at.b, id));
  }
}

extern "C" __global__ void __launch_bounds__(1024)
    peel(u64* state, u32* order, u16* queue, u64* records, u16* steps, u32* counts, Job job) {
  __shared__ u32 flags[2 * kMaxWarps];
  const u64 bin = blockIdx.x;
  const Bin own = {state + bin * job.sparse, order + bin * job.sparse, queue + bin * job.sparse,
                   records + bin * job.longest, steps + bin * (job.longest + 1)};
  const Peeled done = peel_bin(own, job.sparse, flags);
  if (threadIdx.x == 0) {
    counts[2 * (job.first + bin)] = done.records;
    counts[2 * (job.first + bin) + 1] = done.steps;
  }
}
