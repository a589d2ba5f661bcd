// SPDX-License-Identifier: Apache-2.0
// AES-128 of a block a thread [FIPS 197, 5.1], for the kernels of any slug. Columns are little-endian words, so byte
// r of word c is row r, column c of the state. SubBytes, ShiftRows and MixColumns of a round are sixteen lookups in one
// table, T[x] = (2 S(x), S(x), S(x), 3 S(x)) in bytes 0 to 3; the other rows take its words rotated, the last round its
// byte 1.
//
//   __shared__ u32 table[kAesTableWords];      // or dynamic
//   aes_load_table(table);
//   __syncthreads();
//   y = aes_encrypt(table, round_keys, x);     // any number of times
//
// Constant time: the table stands in shared memory once for each of 32 banks, and a lane reads the copy in its own
// bank, so a warp's lookup is one access whatever the bytes are. For that, blocks are one-dimensional.
#pragma once

#include "common/arith.cuh"
#include "common/bytes.cuh"
#include "common/types.cuh"

constexpr u32 kAesRounds = 10;
constexpr u32 kAesKeyWords = 4 * (kAesRounds + 1);  // of crypsis.aes.expand_key, as little-endian words
constexpr u32 kAesBanks = 32;
constexpr u32 kAesTableWords = 256 * kAesBanks;  // 32 KB

struct AesBlock {
  u32 w[4];  // 16 bytes as little-endian words
};

__device__ __forceinline__ AesBlock operator^(const AesBlock& a, const AesBlock& b) {
  return {{a.w[0] ^ b.w[0], a.w[1] ^ b.w[1], a.w[2] ^ b.w[2], a.w[3] ^ b.w[3]}};
}

// The block at `from`, any address; one access where that is a multiple of 16.
__device__ __forceinline__ AesBlock aes_load(const u8* from) {
  AesBlock x;
  load_words<4>(x.w, from);
  return x;
}

__device__ __forceinline__ void aes_store(u8* to, const AesBlock& x) {
  store_words<4>(to, x.w);
}

// The S-box [FIPS 197, table 4].
__device__ const u8 kAesSbox[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76,
    0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0,
    0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
    0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75,
    0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84,
    0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
    0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
    0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2,
    0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
    0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb,
    0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
    0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
    0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a,
    0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
    0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16};

// Word 32 x + b of `shared` becomes T[x], for each bank b. By all threads of the block; the caller synchronises.
__device__ __forceinline__ void aes_load_table(u32* shared) {
#pragma unroll 4  // loads of several entries at a time
  for (u32 i = threadIdx.x; i < kAesTableWords; i += blockDim.x) {
    const u32 s = kAesSbox[i / kAesBanks];
    const u32 twice = (s << 1) ^ (0x11b * (s >> 7));
    shared[i] = twice | s << 8 | s << 16 | (twice ^ s) << 24;
  }
}

// One lane's copy of the table. The distance of two entries is a number that the compiler does not know: so an address
// is a multiplication and a sum in one, on the pipe that has nothing else to do (NOTES.md).
struct AesTable {
  const u8* entries;
  u32 distance;

  __device__ __forceinline__ explicit AesTable(const u32* shared)
      : entries(reinterpret_cast<const u8*>(shared + threadIdx.x % kAesBanks)),
        distance(fresh(4 * kAesBanks)) {}

  // T of byte `row` of a column.
  template <u32 row>
  __device__ __forceinline__ u32 at(u32 column) const {
    const u32 byte = __byte_perm(column, 0, 0x4440 + row);
    return *reinterpret_cast<const u32*>(entries + byte * distance);
  }
};

// AES of x under the round keys of crypsis.aes.expand_key: 44 words of a kernel parameter, in registers or in memory.
// They are read where they are used.
__device__ __forceinline__ AesBlock aes_encrypt(const u32* shared, const u32* round_keys, AesBlock x) {
  const AesTable table(shared);
  AesBlock a;
#pragma unroll
  for (u32 c = 0; c < 4; ++c) a.w[c] = x.w[c] ^ round_keys[c];
#pragma unroll
  for (u32 round = 1; round < kAesRounds; ++round) {
    AesBlock next;
#pragma unroll
    for (u32 c = 0; c < 4; ++c) {  // row r comes from column c + r
      const u32 t0 = table.at<0>(a.w[c]), t1 = table.at<1>(a.w[(c + 1) % 4]);
      const u32 t2 = table.at<2>(a.w[(c + 2) % 4]), t3 = table.at<3>(a.w[(c + 3) % 4]);
      next.w[c] = t0 ^ round_keys[4 * round + c] ^ __byte_perm(t1, 0, 0x2103) ^ __byte_perm(t2, 0, 0x1032) ^
                  __byte_perm(t3, 0, 0x0321);
    }
    a = next;
  }
  AesBlock out;
#pragma unroll
  for (u32 c = 0; c < 4; ++c) {
    const u32 low = __byte_perm(table.at<0>(a.w[c]), table.at<1>(a.w[(c + 1) % 4]), 0x0051);
    const u32 high = __byte_perm(table.at<2>(a.w[(c + 2) % 4]), table.at<3>(a.w[(c + 3) % 4]), 0x0051);
    out.w[c] = __byte_perm(low, high, 0x5410) ^ round_keys[4 * kAesRounds + c];
  }
  return out;
}
