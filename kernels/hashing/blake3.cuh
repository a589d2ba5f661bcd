// SPDX-License-Identifier: Apache-2.0
// BLAKE3's compression function and flags ["BLAKE3: one function, fast everywhere", 2.1 to 2.3].
#pragma once

#include "common/arith.cuh"
#include "hashing/messages.cuh"

constexpr u32 kChunkStart = 1, kChunkEnd = 2, kParent = 4, kRoot = 8;
constexpr u32 kKeyedHash = 16, kDeriveKeyContext = 32, kDeriveKeyMaterial = 64;
constexpr u32 kChunkBlocks = 16;

struct Blake3 {
  static constexpr bool kBigEndian = false;

  static __device__ __forceinline__ void initial(u32 state[8]) {
    const u32 words[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] = words[j];
  }

  static __device__ __forceinline__ void mix(u32& a, u32& b, u32& c, u32& d, u32 x, u32 y, u32 one) {
    a = plus(plus(a, x, one), b, one);
    d = rotate_right(d ^ a, 16);
    c = plus(c, d, one);
    b = rotate_right(b ^ c, 12);
    a = plus(plus(a, y, one), b, one);
    d = rotate_right(d ^ a, 8);
    c = plus(c, d, one);
    b = rotate_right(b ^ c, 7);
  }

  // cv = the first eight words of the output for the block m; n_bytes of the block are data.
  static __device__ __forceinline__ void compress(u32 cv[8], const u32 m[kBlockWords], u32 n_bytes,
                                                  u64 counter, u32 flags, u32 one) {
    // Which word round r mixes in where: the permutation of table 2 applied r times.
    const u32 order[7][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                              {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
                              {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
                              {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
                              {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
                              {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
                              {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13}};
    u32 v[16] = {cv[0],
                 cv[1],
                 cv[2],
                 cv[3],
                 cv[4],
                 cv[5],
                 cv[6],
                 cv[7],
                 0x6a09e667,
                 0xbb67ae85,
                 0x3c6ef372,
                 0xa54ff53a,
                 static_cast<u32>(counter),
                 static_cast<u32>(counter >> 32),
                 n_bytes,
                 flags};
#pragma unroll
    for (u32 r = 0; r < 7; ++r) {
#pragma unroll
      for (u32 i = 0; i < 4; ++i) {  // columns
        mix(v[i], v[4 + i], v[8 + i], v[12 + i], m[order[r][2 * i]], m[order[r][2 * i + 1]], one);
      }
#pragma unroll
      for (u32 i = 0; i < 4; ++i) {  // diagonals
        mix(v[i], v[4 + (i + 1) % 4], v[8 + (i + 2) % 4], v[12 + (i + 3) % 4], m[order[r][8 + 2 * i]],
            m[order[r][9 + 2 * i]], one);
      }
    }
#pragma unroll
    for (u32 j = 0; j < 8; ++j) cv[j] = v[j] ^ v[j + 8];
  }
};
