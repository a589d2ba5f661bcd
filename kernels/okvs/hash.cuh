// SPDX-License-Identifier: Apache-2.0
// What a key's two hashes are, AES(x) ^ x under keys that follow from the seed: csrc/okvs/NOTES.md has the definition.
#pragma once

#include "aes/block.cuh"
#include "common/arith.cuh"
#include "common/types.cuh"

// As in bindings/crypsis/cuda/okvs.py.
struct RoundKeys {
  u32 w[kAesKeyWords];
};

__device__ __forceinline__ AesBlock hash_of(const u32* table, const RoundKeys& keys, const AesBlock& key) {
  return aes_encrypt(table, keys.w, key) ^ key;
}

struct Columns {
  u32 a, b, c;
};

// Three distinct ones of `sparse`, at least 3.
__device__ __forceinline__ Columns columns_of(const AesBlock& hash, u32 sparse) {
  const u32 a = mul_hi(hash.w[0], sparse);
  u32 b = mul_hi(hash.w[1], sparse - 1), c = mul_hi(hash.w[2], sparse - 2);
  b += b >= a;
  c += c >= min(a, b);
  c += c >= max(a, b);
  return {a, b, c};
}
