// SPDX-License-Identifier: Apache-2.0
// Punctured trees and the keys of random OT. The contract is that of csrc/vole/vole.h and lpn.h: same bytes.
//
//   grow_ggm, grow_half             trees from their seeds down to `levels`, one a block of 256 threads
//   puncture_ggm, puncture_half     the same for punctured trees, from the known sums
//   *_level                         one more level of all trees, for those too large for a block
//   fill_gaps                       what a punctured tree's last level lacks, where *_level made it
//   random_keys                     MMO or TMMO of rows, and of rows ^ delta
//
// Trees are leaves[tree][2^level] blocks of 16 bytes at any address; sums are words [tree][depth][2][4], of half trees
// that are whole [tree][depth][4]. Constant-time: every branch and address depends on sizes and thread numbers; AES reads
// its table in the lane's own bank.
#include "aes/block.cuh"
#include "common/arith.cuh"
#include "common/types.cuh"
#include "vole/trees.cuh"

struct Shape {
  u32 levels;  // to which this launch grows
  u32 depth;   // of the trees
};

// A block's shared memory, all of it dynamic: AES's table, the sums, and the nodes of a tree.
constexpr u32 kFixedWords = kAesTableWords + sizeof(SumMemory) / 4;
static_assert(sizeof(SumMemory) % 16 == 0, "nodes are read 16 bytes at a time");

__device__ __forceinline__ SumMemory& sums_behind(u32* table) {
  return *reinterpret_cast<SumMemory*>(table + kAesTableWords);
}

__device__ __forceinline__ u8* node_at(u8* nodes, u64 tree, u32 level, u32 i) {
  return nodes + ((tree << level) + i) * 16;
}

// Levels of one tree: those above `levels` in shared memory, two halves in turn; that one in memory.
struct Levels {
  u32* shared;
  u8* out;
  u64 tree;
  u32 levels;
  u32 keep;  // of the first word of a node that goes to `out`

  __device__ __forceinline__ u32* node(u32 level, u32 i) const {
    return shared + (((level & 1) << (levels - 1)) + i) * 4;
  }
  __device__ __forceinline__ void put(u32 level, u32 i, AesBlock x) const {
    if (level == levels) {
      x.w[0] &= keep;
      aes_store(node_at(out, tree, levels, i), x);
    } else {
      *reinterpret_cast<uint4*>(node(level, i)) = make_uint4(x.w[0], x.w[1], x.w[2], x.w[3]);
    }
  }
  __device__ __forceinline__ AesBlock get(u32 level, u32 i) const {
    const uint4 four = *reinterpret_cast<const uint4*>(node(level, i));
    return {{four.x, four.y, four.z, four.w}};
  }
};

template <bool kHalf>
__device__ __forceinline__ void grow_tree(u8* out, u32* sums, const u8* seeds, const AesBlock& delta,
                                          const TreeKeys& keys, Shape shape) {
  CRYPSIS_DYNAMIC_SHARED(u32, table);
  SumMemory& memory = sums_behind(table);
  u32* const nodes = table + kFixedWords;  // 2^levels of them
  constexpr u32 kWords = kHalf ? 4 : kSumWords;
  const u64 tree = blockIdx.x;
  u32* const own_sums = sums + tree * shape.depth * kWords;
  const Levels levels = {nodes, out, tree, shape.levels, kHalf && shape.levels == shape.depth ? ~1u : ~0u};
  aes_load_table(table);
  if (threadIdx.x == 0) {
    const AesBlock seed = aes_load(seeds + tree * 16);
    if (kHalf) {
      levels.put(1, 0, seed);
      levels.put(1, 1, seed ^ delta);
#pragma unroll
      for (u32 w = 0; w < 4; ++w) own_sums[w] = seed.w[w];
    } else {
      levels.put(0, 0, seed);
    }
  }
  __syncthreads();
#pragma unroll 1
  for (u32 level = kHalf ? 1 : 0; level < shape.levels; ++level) {
    u32 share[kSumWords];
    grow<kHalf, false>(
        table, keys, 0, 1u << level, Patch{}, [&](u32 i) { return levels.get(level, i); },
        [&](u32 i, const AesBlock& x) { levels.put(level + 1, i, x); }, share);
    add_up(share, 1u << level, memory);
    if (threadIdx.x < kWords) own_sums[level * kWords + threadIdx.x] = memory.total[threadIdx.x];
  }
}

template <bool kHalf>
__device__ __forceinline__ void puncture_tree(u8* out, u32* sums, const u8* known, const u64* positions,
                                              const u8* corrections, const TreeKeys& keys, Shape shape,
                                              u32 gap_kind) {
  CRYPSIS_DYNAMIC_SHARED(u32, table);
  SumMemory& memory = sums_behind(table);
  u32* const nodes = table + kFixedWords;
  const u64 tree = blockIdx.x;
  const u32 position = static_cast<u32>(positions[tree]);
  const u8* const own_known = known + tree * shape.depth * 16;
  const Levels levels = {nodes, out, tree, shape.levels, ~0u};
  aes_load_table(table);
  if (threadIdx.x < 2) levels.put(1, threadIdx.x, AesBlock{});
  if (threadIdx.x < kSumWords) memory.total[threadIdx.x] = 0;
  __syncthreads();
  Patch patch = patch_of(position, shape.depth, 1, own_known, memory.total);
#pragma unroll 1
  for (u32 level = 1; level < shape.levels; ++level) {
    u32 share[kSumWords];
    grow<kHalf, true>(
        table, keys, 0, 1u << level, patch, [&](u32 i) { return levels.get(level, i); },
        [&](u32 i, const AesBlock& x) { levels.put(level + 1, i, x); }, share);
    add_up(share, 1u << level, memory);
    patch = patch_of(position, shape.depth, level + 1, own_known + level * 16, memory.total);
  }
  if (shape.levels == shape.depth) {
    const Gap gap = gap_of(patch, gap_kind, memory.total, corrections + tree * 16);
    for (u32 i = threadIdx.x; i < 1u << shape.depth; i += kTreeThreads) {
      u8* const leaf = node_at(out, tree, shape.depth, i);
      aes_store(leaf, filled(aes_load(leaf), i, gap));
    }
  } else if (threadIdx.x < kSumWords) {
    sums[(tree * shape.depth + shape.levels - 1) * kSumWords + threadIdx.x] = memory.total[threadIdx.x];
  }
}

// The children of level shape.levels - 1, `per_block` nodes of one tree a block. `sums` were zero.
template <bool kHalf, bool kPunctured>
__device__ __forceinline__ void grow_level(u8* out, const u8* from, u32* sums, const u8* known,
                                           const u64* positions, const TreeKeys& keys, Shape shape,
                                           u32 per_block) {
  CRYPSIS_DYNAMIC_SHARED(u32, table);
  SumMemory& memory = sums_behind(table);
  constexpr u32 kWords = kHalf && !kPunctured ? 4 : kSumWords;
  const u32 level = shape.levels - 1, n = 1u << level;
  const u32 blocks_a_tree = (n + per_block - 1) / per_block;
  const u64 tree = blockIdx.x / blocks_a_tree;
  const u32 begin = blockIdx.x % blocks_a_tree * per_block, end = min(begin + per_block, n);
  u32* const own_sums = sums + (tree * shape.depth + level) * kWords;
  const u32 keep = kHalf && !kPunctured && shape.levels == shape.depth ? ~1u : ~0u;
  aes_load_table(table);
  __syncthreads();
  Patch patch = {};
  if (kPunctured) {
    patch = patch_of(static_cast<u32>(positions[tree]), shape.depth, level,
                     known + (tree * shape.depth + level - 1) * 16, own_sums - kWords);
  }
  u32 share[kSumWords];
  grow<kHalf, kPunctured>(
      table, keys, begin, end, patch, [&](u32 i) { return aes_load(from + ((tree << level) + i) * 16); },
      [&](u32 i, AesBlock x) {
        x.w[0] &= keep;
        aes_store(node_at(out, tree, shape.levels, i), x);
      },
      share);
  add_up(share, end - begin, memory);
  if (threadIdx.x < kWords) atomicXor(own_sums + threadIdx.x, memory.total[threadIdx.x]);
}

extern "C" __global__ void __launch_bounds__(256)
    grow_ggm(u8* out, u32* sums, const u8* seeds, TreeKeys keys, Shape shape) {
  grow_tree<false>(out, sums, seeds, AesBlock{}, keys, shape);
}
extern "C" __global__ void __launch_bounds__(256)
    grow_half(u8* out, u32* sums, const u8* seeds, const u8* delta, TreeKeys keys, Shape shape) {
  grow_tree<true>(out, sums, seeds, aes_load(delta), keys, shape);
}

extern "C" __global__ void __launch_bounds__(256)
    puncture_ggm(u8* out, u32* sums, const u8* known, const u64* positions, const u8* corrections,
                 TreeKeys keys, Shape shape, u32 gap) {
  puncture_tree<false>(out, sums, known, positions, corrections, keys, shape, gap);
}
extern "C" __global__ void __launch_bounds__(256)
    puncture_half(u8* out, u32* sums, const u8* known, const u64* positions, TreeKeys keys, Shape shape) {
  puncture_tree<true>(out, sums, known, positions, known, keys, shape, kGapCorrelated);  // no corrections
}

extern "C" __global__ void __launch_bounds__(256)
    grow_ggm_level(u8* out, const u8* from, u32* sums, TreeKeys keys, Shape shape, u32 per_block) {
  grow_level<false, false>(out, from, sums, nullptr, nullptr, keys, shape, per_block);
}
extern "C" __global__ void __launch_bounds__(256)
    grow_half_level(u8* out, const u8* from, u32* sums, TreeKeys keys, Shape shape, u32 per_block) {
  grow_level<true, false>(out, from, sums, nullptr, nullptr, keys, shape, per_block);
}
extern "C" __global__ void __launch_bounds__(256)
    puncture_ggm_level(u8* out, const u8* from, u32* sums, const u8* known, const u64* positions,
                       TreeKeys keys, Shape shape, u32 per_block) {
  grow_level<false, true>(out, from, sums, known, positions, keys, shape, per_block);
}
extern "C" __global__ void __launch_bounds__(256)
    puncture_half_level(u8* out, const u8* from, u32* sums, const u8* known, const u64* positions,
                        TreeKeys keys, Shape shape, u32 per_block) {
  grow_level<true, true>(out, from, sums, known, positions, keys, shape, per_block);
}

// A leaf a thread.
extern "C" __global__ void __launch_bounds__(256)
    fill_gaps(u8* leaves, const u32* sums, const u8* known, const u64* positions, const u8* corrections,
              u64 n_leaves, u32 depth, u32 gap_kind) {
  const u64 t = static_cast<u64>(blockIdx.x) * kTreeThreads + threadIdx.x;
  if (t >= n_leaves) return;
  const u64 tree = t >> depth, last = tree * depth + depth - 1;
  const u32* const own_sums = sums + last * kSumWords;
  const Patch patch = patch_of(static_cast<u32>(positions[tree]), depth, depth, known + last * 16, own_sums);
  const Gap gap = gap_of(patch, gap_kind, own_sums, corrections + tree * 16);
  aes_store(leaves + t * 16,
            filled(aes_load(leaves + t * 16), static_cast<u32>(t) & ((1u << depth) - 1), gap));
}

struct HashJob {
  u32 keys[kAesKeyWords];
  u32 delta[4];
  u64 tweak_low, tweak_high;  // of row 0
  u64 n;
  u32 pairs;    // H(row), H(row ^ delta) instead of H(row) alone
  u32 tweaked;  // TMMO instead of MMO
};

__device__ __forceinline__ AesBlock hash(const u32* table, const HashJob& job, const AesBlock& x, u64 i) {
  AesBlock y = aes_encrypt(table, job.keys, x);
  if (job.tweaked == 0) return y ^ x;
  const u64 low = job.tweak_low + i, high = job.tweak_high;
  const AesBlock tweak = {{static_cast<u32>(low), static_cast<u32>(low >> 32), static_cast<u32>(high),
                           static_cast<u32>(high >> 32)}};
  return aes_encrypt(table, job.keys, y ^ tweak) ^ y;
}

// Any grid: a thread takes rows a grid apart. `out` may be `rows` where there are no pairs.
extern "C" __global__ void __launch_bounds__(256) random_keys(u8* out, const u8* rows, HashJob job) {
  __shared__ u32 table[kAesTableWords];
  aes_load_table(table);
  __syncthreads();
  const u64 step = static_cast<u64>(gridDim.x) * blockDim.x;
#pragma unroll 1
  for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < job.n; i += step) {
    AesBlock x = aes_load(rows + i * 16);
    if (job.pairs == 0) {
      aes_store(out + i * 16, hash(table, job, x, i));
      continue;
    }
#pragma unroll 1
    for (u32 side = 0; side < 2; ++side) {
      aes_store(out + (2 * i + side) * 16, hash(table, job, x, i));
      x = x ^ words_of(job.delta);
    }
  }
}
