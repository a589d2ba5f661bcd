// SPDX-License-Identifier: Apache-2.0
// SM3's compression function [GB/T 32905-2016, 5.3].
#pragma once

#include "common/arith.cuh"
#include "hashing/messages.cuh"

struct Sm3 {
  static constexpr bool kBigEndian = true;

  static __device__ __forceinline__ void initial(u32 state[8]) {
    const u32 words[8] = {0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600,
                          0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e};
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] = words[j];
  }

  // state = the chaining value after the block w; w is overwritten.
  static __device__ __forceinline__ void compress(u32 state[8], u32 w[kBlockWords], u32 one) {
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
    for (u32 i = 0; i < 64; ++i) {
      if (i >= 12) {  // word i + 4 of the schedule, over word i - 12 in a ring of 16
        const u32 x = w[(i - 12) % 16] ^ w[(i - 5) % 16] ^ rotate_left(w[(i + 1) % 16], 15);
        const u32 p1 = x ^ rotate_left(x, 15) ^ rotate_left(x, 23);
        w[(i + 4) % 16] = p1 ^ rotate_left(w[(i - 9) % 16], 7) ^ w[(i - 2) % 16];
      }
      const u32 constant = i < 16 ? 0x79cc4519u : 0x7a879d8au;
      const u32 turned = i % 32 == 0 ? constant : (constant << (i % 32)) | (constant >> (32 - i % 32));
      const u32 a12 = rotate_left(a, 12);
      const u32 ss1 = rotate_left(plus(plus(e, turned, one), a12, one), 7);
      const u32 ff = i < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c);
      const u32 gg = i < 16 ? e ^ f ^ g : (e & f) | (~e & g);
      const u32 tt1 = plus(plus(plus(w[i % 16] ^ w[(i + 4) % 16], d, one), ff, one), ss1 ^ a12, one);
      const u32 tt2 = plus(plus(plus(w[i % 16], h, one), gg, one), ss1, one);
      d = c;
      c = rotate_left(b, 9);
      b = a;
      a = tt1;
      h = g;
      g = rotate_left(f, 19);
      f = e;
      e = tt2 ^ rotate_left(tt2, 9) ^ rotate_left(tt2, 17);
    }
    const u32 out[8] = {a, b, c, d, e, f, g, h};
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] ^= out[j];
  }
};
