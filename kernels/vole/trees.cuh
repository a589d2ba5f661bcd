// SPDX-License-Identifier: Apache-2.0
// Levels of GGM trees by a block of threads, whole and punctured; csrc/vole/{NOTES,LPN_NOTES}.md define the trees.
//
// A punctured tree's position is secret: its bits choose by masks, every node is read and written alike, and which node
// is missing shows in no address. A level is one tree's; node i of it has the children 2 i and 2 i + 1.
#pragma once

#include "aes/block.cuh"
#include "common/types.cuh"

constexpr u32 kTreeThreads = 256;
constexpr u32 kTreeWarps = kTreeThreads / 32;
constexpr u32 kSumWords = 8;  // the xor of a level's left nodes, and of its right ones

// Round keys of the two fixed permutations; half trees use the left one.
struct TreeKeys {
  u32 left[kAesKeyWords];
  u32 right[kAesKeyWords];
};

// All ones where a = b, else 0.
__device__ __forceinline__ u32 same_mask(u32 a, u32 b) {
  const u32 difference = a ^ b;
  return ((difference | (0u - difference)) >> 31) - 1;
}

__device__ __forceinline__ AesBlock masked(const AesBlock& x, u32 mask) {
  return {{x.w[0] & mask, x.w[1] & mask, x.w[2] & mask, x.w[3] & mask}};
}

__device__ __forceinline__ AesBlock words_of(const u32* from) {
  return {{from[0], from[1], from[2], from[3]}};
}

// What the holder of a punctured tree knows of a level better than its memory: node `path` counts as zero, and its
// sibling is `value`.
struct Patch {
  u32 path;
  AesBlock value;
};

__device__ __forceinline__ AesBlock patched(const AesBlock& x, u32 i, const Patch& patch) {
  return masked(x, ~same_mask(i >> 1, patch.path >> 1)) ^ masked(patch.value, same_mask(i, patch.path ^ 1));
}

// Of level `level` >= 1: `known` and `sums` are the tree's of the level's nodes, that is of row level - 1. The sums leave
// the path's node and its sibling out.
__device__ __forceinline__ Patch patch_of(u32 position, u32 depth, u32 level, const u8* known,
                                          const u32* sums) {
  Patch patch;
  patch.path = position >> (depth - level);
  const u32 left = 0u - (patch.path & 1);  // the side away from the path
  patch.value = aes_load(known) ^ masked(words_of(sums), left) ^ masked(words_of(sums + 4), ~left);
  return patch;
}

// GGM: G(x) = (pi0(x) ^ x, pi1(x) ^ x). Half trees: H(x), H(x) ^ x with H(x) = pi0(sigma(x)) ^ sigma(x).
template <bool kHalf>
__device__ __forceinline__ void children(const u32* table, const TreeKeys& keys, const AesBlock& x,
                                         AesBlock& left, AesBlock& right) {
  if (kHalf) {
    const AesBlock sigma = {{x.w[2], x.w[3], x.w[0] ^ x.w[2], x.w[1] ^ x.w[3]}};
    left = aes_encrypt(table, keys.left, sigma) ^ sigma;
    right = left ^ x;
  } else {
    left = aes_encrypt(table, keys.left, x) ^ x;
    right = aes_encrypt(table, keys.right, x) ^ x;
  }
}

// Children of nodes [begin, end) of a level; `sums` gets this thread's share of what they add up to.
template <bool kHalf, bool kPunctured, class Load, class Store>
__device__ __forceinline__ void grow(const u32* table, const TreeKeys& keys, u32 begin, u32 end,
                                     const Patch& patch, Load load, Store store, u32 sums[kSumWords]) {
#pragma unroll
  for (u32 w = 0; w < kSumWords; ++w) sums[w] = 0;
#pragma unroll 1
  for (u32 i = begin + threadIdx.x; i < end; i += kTreeThreads) {
    AesBlock x = load(i), left, right;
    if (kPunctured) x = patched(x, i, patch);
    children<kHalf>(table, keys, x, left, right);
    store(2 * i, left);
    store(2 * i + 1, right);
    const u32 counts = kPunctured ? ~same_mask(i, patch.path) : ~0u;
#pragma unroll
    for (u32 w = 0; w < 4; ++w) {
      sums[w] ^= left.w[w] & counts;
      sums[4 + w] ^= right.w[w] & counts;
    }
  }
}

struct SumMemory {  // in shared memory
  u32 of_warps[kTreeWarps * kSumWords];
  u32 total[kSumWords];
};

// memory.total: the xor of all threads' sums, of which the first n_items have one. Two barriers; total may be read from
// the second on until the next call.
__device__ __forceinline__ void add_up(u32 sums[kSumWords], u32 n_items, SumMemory& memory) {
  const u32 warp = threadIdx.x / 32;
  if (32 * warp < n_items) {
#pragma unroll
    for (u32 w = 0; w < kSumWords; ++w) {
#pragma unroll
      for (u32 step = 16; step > 0; step /= 2) sums[w] ^= __shfl_xor_sync(kFullWarp, sums[w], step);
    }
  }
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (u32 w = 0; w < kSumWords; ++w) memory.of_warps[kSumWords * warp + w] = sums[w];
  }
  __syncthreads();
  if (threadIdx.x < kSumWords) {
    u32 total = 0;
#pragma unroll
    for (u32 other = 0; other < kTreeWarps; ++other) {
      total ^= memory.of_warps[kSumWords * other + threadIdx.x];
    }
    memory.total[threadIdx.x] = total;
  }
  __syncthreads();
}

// What becomes of the leaf that is missing.
constexpr u32 kGapZero = 0;        // zero
constexpr u32 kGapCorrection = 1;  // the correction ^ all other leaves
constexpr u32 kGapCorrelated = 2;  // all other leaves, lowest bit set; that of every other leaf is cleared

struct Gap {
  Patch patch;
  AesBlock missing;
  u32 keep;  // of a leaf's first word
};

// `sums` are the last level's, as for patch_of.
__device__ __forceinline__ Gap gap_of(const Patch& patch, u32 kind, const u32* sums, const u8* correction) {
  Gap gap;
  gap.patch = patch;
  gap.keep = kind == kGapCorrelated ? ~1u : ~0u;
  gap.missing = {};
  if (kind != kGapZero) {
    gap.missing = words_of(sums) ^ words_of(sums + 4) ^ patch.value;
    if (kind == kGapCorrection) gap.missing = gap.missing ^ aes_load(correction);
    if (kind == kGapCorrelated) gap.missing.w[0] |= 1;
  }
  return gap;
}

__device__ __forceinline__ AesBlock filled(const AesBlock& leaf, u32 i, const Gap& gap) {
  AesBlock x = patched(leaf, i, gap.patch);
  x.w[0] &= gap.keep;
  return x ^ masked(gap.missing, same_mask(i, gap.patch.path));
}
