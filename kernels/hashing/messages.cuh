// SPDX-License-Identifier: Apache-2.0
// The 64-byte blocks of one thread's message as words in registers. Messages lie anywhere in a byte buffer: words are
// read aligned and put together with one byte permutation each, which is the byte swap that SHA-256 and SM3 need
// anyway. No byte outside the buffer is read, bytes of neighbouring messages are.
#pragma once

#include "common/types.cuh"

constexpr u32 kBlockWords = 16;
constexpr u32 kBlockBytes = 64;

// a + b. `one` is 1, which the compiler does not know: so the sum is an IMAD, on the pipe that hashing leaves idle,
// where plain additions would queue with the rotations (NOTES.md). Sums of more nest on the left, plus(plus(a, b), c):
// in plus(a, plus(b, c)) the compiler takes `one` out of two products and adds plainly.
__device__ __forceinline__ u32 plus(u32 a, u32 b, u32 one) {
  return a * one + b;
}

// n bytes at `at` in a buffer from `begin` to `end`.
struct Message {
  const u8* at;
  u64 n;
  bool inside;  // the aligned words that hold its bytes lie in the buffer

  __device__ __forceinline__ Message(const u8* data, u64 n_data, u64 offset, u64 n_bytes)
      : at(data + offset), n(n_bytes) {
    const u64 begin = reinterpret_cast<u64>(data), first = begin + offset;
    inside = (first & ~3ull) >= begin && ((first + n + 3) & ~3ull) <= begin + n_data;
  }
};

// Byte order of the words: how __byte_perm picks four bytes from two aligned words, the message starting at byte
// `start` (0 to 3) of the first.
template <bool kBigEndian>
__device__ __forceinline__ u32 pick(u32 start) {
  return (kBigEndian ? 0x0123u : 0x3210u) + 0x1111u * start;
}

// The first n bytes (1 to 3, or none) of a word are a message's: those, and zeros.
template <bool kBigEndian>
__device__ __forceinline__ u32 first_bytes(u32 word, u32 n) {
  const u32 kept = kBigEndian ? ~(0xffffffffu >> (8 * n)) : (1u << (8 * n)) - 1u;
  return word & kept;
}

// Words of block `block` of a message: its bytes, then zeros. `take` of its bytes are in the block, 0 to 64.
template <bool kBigEndian>
__device__ __forceinline__ void load_block(u32 w[kBlockWords], const Message& message, u64 block, u32 take) {
  const u8* const at = message.at + block * kBlockBytes;
  if (message.inside) {
    const u32 start = static_cast<u32>(reinterpret_cast<u64>(at)) & 3u;
    const u32* const words = reinterpret_cast<const u32*>(at - start);
    const u32 selector = pick<kBigEndian>(start);
    if (take == kBlockBytes) {
      u32 low = words[0];
#pragma unroll
      for (u32 j = 0; j < kBlockWords; ++j) {
        const u32 high = j + 1 < kBlockWords || start != 0 ? words[j + 1] : 0;
        w[j] = __byte_perm(low, high, selector);
        low = high;
      }
    } else {
      const u32 n_words = take == 0 ? 0 : (start + take + 3) / 4;
      const u32 whole = take / 4, rest = take % 4;
      u32 low = 0 < n_words ? words[0] : 0;
#pragma unroll
      for (u32 j = 0; j < kBlockWords; ++j) {
        const u32 high = j + 1 < n_words ? words[j + 1] : 0;
        const u32 word = __byte_perm(low, high, selector);
        w[j] = j < whole ? word : j == whole ? first_bytes<kBigEndian>(word, rest) : 0;
        low = high;
      }
    }
  } else {  // at an end of the buffer: byte by byte
#pragma unroll
    for (u32 j = 0; j < kBlockWords; ++j) {
      w[j] = 0;
#pragma unroll
      for (u32 b = 0; b < 4; ++b) {
        const u32 byte = 4 * j + b < take ? at[4 * j + b] : 0;
        w[j] |= byte << (kBigEndian ? 24 - 8 * b : 8 * b);
      }
    }
  }
}

// The same of a row of kWidth bytes, a multiple of 4, of an array at a multiple of 16 bytes: what is behind a row is
// known to the compiler.
template <bool kBigEndian, u32 kWidth>
__device__ __forceinline__ void load_row(u32 w[kBlockWords], const u8* at) {
  static_assert(kWidth % 4 == 0 && kWidth <= kBlockBytes, "rows of up to 16 whole words");
  u32 row[kBlockWords] = {};
  if (kWidth % 16 == 0) {
#pragma unroll
    for (u32 j = 0; j < kWidth / 4; j += 4) {
      const uint4 four = reinterpret_cast<const uint4*>(at)[j / 4];
      row[j] = four.x;
      row[j + 1] = four.y;
      row[j + 2] = four.z;
      row[j + 3] = four.w;
    }
  } else {
#pragma unroll
    for (u32 j = 0; j < kWidth / 4; ++j) row[j] = reinterpret_cast<const u32*>(at)[j];
  }
#pragma unroll
  for (u32 j = 0; j < kBlockWords; ++j) w[j] = kBigEndian ? __byte_perm(row[j], 0, 0x0123) : row[j];
}

// Writes the first n bytes (16 to 32) of a digest's eight words.
template <bool kBigEndian>
__device__ __forceinline__ void store_digest(u8* to, const u32 words[8], u32 n) {
  u32 swapped[8];
#pragma unroll
  for (u32 j = 0; j < 8; ++j) swapped[j] = kBigEndian ? __byte_perm(words[j], 0, 0x0123) : words[j];
  if ((reinterpret_cast<u64>(to) & 15) == 0 && n % 16 == 0) {
    reinterpret_cast<uint4*>(to)[0] = make_uint4(swapped[0], swapped[1], swapped[2], swapped[3]);
    if (n == 32) reinterpret_cast<uint4*>(to)[1] = make_uint4(swapped[4], swapped[5], swapped[6], swapped[7]);
    return;
  }
#pragma unroll
  for (u32 i = 0; i < 32; ++i) {
    if (i < n) to[i] = static_cast<u8>(swapped[i / 4] >> (8 * (i % 4)));
  }
}
