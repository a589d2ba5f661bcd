// SPDX-License-Identifier: Apache-2.0
// Peels one bin by all threads of a block, in steps: a step takes the next blockDim.x columns of the queue at once and
// leaves what the queue, one column after the other, would leave; NOTES.md proves it.
#pragma once

#include "common/types.cuh"
#include "okvs/rows.cuh"

constexpr u32 kMaxWarps = 32;

// The number of flags set in the threads before this one, and in `total` that of all; two flags a thread. One barrier:
// every thread's loads before the call come before every thread's stores after it. `counts` is u32[kMaxWarps] in shared
// memory; between two calls with the same there is another barrier.
__device__ __forceinline__ u32 flags_before(bool first, bool second, u32* counts, u32& total) {
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, below = (1u << lane) - 1;
  const u32 firsts = __ballot_sync(kFullWarp, first), seconds = __ballot_sync(kFullWarp, second);
  const u32 own = static_cast<u32>(__popc(firsts) + __popc(seconds));
  if (lane == 0) counts[warp] = own;
  __syncthreads();
  u32 sum = lane < blockDim.x / 32 ? counts[lane] : 0;  // lane w: of warps 0 to w
#pragma unroll
  for (u32 distance = 1; distance < 32; distance *= 2) {
    const u32 below_it = __shfl_up_sync(kFullWarp, sum, distance);
    if (lane >= distance) sum += below_it;
  }
  total = __shfl_sync(kFullWarp, sum, 31);
  const u32 before = __shfl_sync(kFullWarp, sum, static_cast<int>(warp)) - own;
  return before + static_cast<u32>(__popc(firsts & below) + __popc(seconds & below));
}

// One bin's arrays in global memory. Other threads change them between barriers: no __ldg, no const __restrict__.
struct Bin {
  u64* state;    // a word a column
  u32* order;    // a column that has one row left: grows along the queue
  u16* queue;    // columns in the order in which they came to have one row
  u64* records;  // rows in the order in which they were taken
  u16* steps;    // first record of each step that has one, then their number
};

struct Peeled {
  u32 records, steps;
};

// Columns with one row, ascending; their number.
__device__ __forceinline__ u32 begin_queue(const Bin& bin, u32 sparse, u32* counts) {
  u32 tail = 0;
  for (u32 base = 0; base < sparse; base += 2 * blockDim.x) {
    const u32 column = base + 2 * threadIdx.x;
    bool one = false, two = false;
    if (column < sparse) {
      bin.order[column] = column;
      one = count_of(bin.state[column]) == 1;
    }
    if (column + 1 < sparse) {
      bin.order[column + 1] = column + 1;
      two = count_of(bin.state[column + 1]) == 1;
    }
    u32 found;
    const u32 at = tail + flags_before(one, two, counts, found);
    if (one) bin.queue[at] = static_cast<u16>(column);
    if (two) bin.queue[at + one] = static_cast<u16>(column + 1);
    tail += found;
    __syncthreads();
  }
  return tail;
}

// Whether `other` has one row left, which is then `column`'s own, and comes before it in the queue.
__device__ __forceinline__ bool goes_first(const Bin& bin, u32 other, u32 column) {
  return count_of(bin.state[other]) == 1 && bin.order[other] < bin.order[column];
}

// Whether the removal with this key was the one that brought the column to one row.
__device__ __forceinline__ bool came_to_one(const Bin& bin, u32 column, u32 key) {
  return count_of(bin.state[column]) == 1 && bin.order[column] == key;
}

// counts: u32[2][kMaxWarps] in shared memory.
__device__ __forceinline__ Peeled peel_bin(const Bin& bin, u32 sparse, u32* counts) {
  u32* const pushed_counts = counts + kMaxWarps;
  u32 head = 0, tail = begin_queue(bin, sparse, counts);
  Peeled done = {0, 0};
  while (head < tail) {
    const u32 at = head + threadIdx.x;
    u32 column = 0, next = 0, last = 0;
    u64 word = 0;
    bool takes = false;
    if (at < tail) {
      column = bin.queue[at];
      word = bin.state[column];
      next = next_of(word);
      last = last_of(word);
      // Without a row left the word is zero; with one the row's other columns may be in the queue as well.
      takes = count_of(word) == 1 && !goes_first(bin, next, column) && !goes_first(bin, last, column);
    }
    u32 taken;
    const u32 place = done.records + flags_before(takes, false, counts, taken);
    const u32 key = sparse + 2 * place;
    if (takes) {
      const u32 id = id_of(word);
      bin.records[place] = record_of(word, column);
      atomicAdd(bin.state + next, 0 - row_word(last, column, id));
      atomicAdd(bin.state + last, 0 - row_word(column, next, id));
      atomicMax(bin.order + next, key);
      atomicMax(bin.order + last, key + 1);
    }
    __syncthreads();
    const bool one = takes && came_to_one(bin, next, key), two = takes && came_to_one(bin, last, key + 1);
    u32 pushed;
    const u32 to = tail + flags_before(one, two, pushed_counts, pushed);
    if (one) bin.queue[to] = static_cast<u16>(next);
    if (two) bin.queue[to + one] = static_cast<u16>(last);
    if (taken != 0) {
      if (threadIdx.x == 0) bin.steps[done.steps] = static_cast<u16>(done.records);
      ++done.steps;
    }
    head = tail - head < blockDim.x ? tail : head + blockDim.x;
    tail += pushed;
    done.records += taken;
    __syncthreads();
  }
  if (threadIdx.x == 0) bin.steps[done.steps] = static_cast<u16>(done.records);
  return done;
}
