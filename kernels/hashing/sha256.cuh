// SPDX-License-Identifier: Apache-2.0
// SHA-256's compression function [FIPS 180-4, 6.2.2].
#pragma once

#include "common/arith.cuh"
#include "hashing/messages.cuh"

struct Sha256 {
  static constexpr bool kBigEndian = true;

  static __device__ __forceinline__ void initial(u32 state[8]) {
    const u32 words[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] = words[j];
  }

  // state = the chaining value after the block w; w is overwritten.
  static __device__ __forceinline__ void compress(u32 state[8], u32 w[kBlockWords], u32 one) {
    const u32 k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
    for (u32 i = 0; i < 64; ++i) {
      if (i >= 16) {  // the schedule in a ring of 16 words
        const u32 x = w[(i - 15) % 16], y = w[(i - 2) % 16];
        const u32 s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ (x >> 3);
        const u32 s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ (y >> 10);
        w[i % 16] = plus(plus(plus(w[i % 16], s0, one), w[(i - 7) % 16], one), s1, one);
      }
      const u32 sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
      const u32 choose = (e & f) ^ (~e & g);
      const u32 sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
      const u32 majority = (a & b) ^ (a & c) ^ (b & c);
      const u32 t1 = plus(plus(plus(plus(w[i % 16], k[i], one), h, one), choose, one), sum1, one);
      h = g;
      g = f;
      f = e;
      e = plus(d, t1, one);
      d = c;
      c = b;
      b = a;
      a = plus(plus(sum0, majority, one), t1, one);
    }
    const u32 out[8] = {a, b, c, d, e, f, g, h};
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] = plus(state[j], out[j], one);
  }
};
