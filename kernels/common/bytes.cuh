// SPDX-License-Identifier: Apache-2.0
// Little-endian words from and to memory that begins at any byte, in one access where it is aligned.
#pragma once

#include "common/types.cuh"

// w = the 4 kWords bytes at `from`; kWords 2 or 4.
template <u32 kWords>
__device__ __forceinline__ void load_words(u32* w, const u8* from) {
  static_assert(kWords == 2 || kWords == 4, "eight or sixteen bytes");
  if (reinterpret_cast<u64>(from) % (4 * kWords) == 0) {
    if constexpr (kWords == 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(from);
      w[0] = four.x, w[1] = four.y, w[2] = four.z, w[3] = four.w;
    } else {
      const uint2 two = *reinterpret_cast<const uint2*>(from);
      w[0] = two.x, w[1] = two.y;
    }
    return;
  }
#pragma unroll
  for (u32 j = 0; j < kWords; ++j) w[j] = 0;
#pragma unroll
  for (u32 i = 0; i < 4 * kWords; ++i) w[i / 4] |= static_cast<u32>(from[i]) << (8 * (i % 4));
}

template <u32 kWords>
__device__ __forceinline__ void store_words(u8* to, const u32* w) {
  static_assert(kWords == 2 || kWords == 4, "eight or sixteen bytes");
  if (reinterpret_cast<u64>(to) % (4 * kWords) == 0) {
    if constexpr (kWords == 4) {
      *reinterpret_cast<uint4*>(to) = make_uint4(w[0], w[1], w[2], w[3]);
    } else {
      *reinterpret_cast<uint2*>(to) = make_uint2(w[0], w[1]);
    }
    return;
  }
#pragma unroll
  for (u32 i = 0; i < 4 * kWords; ++i) to[i] = static_cast<u8>(w[i / 4] >> (8 * (i % 4)));
}
