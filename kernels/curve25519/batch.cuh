// SPDX-License-Identifier: Apache-2.0
// Elements in memory, and the inversions that a block of threads shares.
#pragma once

#include "curve25519/field.cuh"

__device__ __forceinline__ u32 load_word(const u8* at) {
  return at[0] | static_cast<u32>(at[1]) << 8 | static_cast<u32>(at[2]) << 16 | static_cast<u32>(at[3]) << 24;
}

// The 32 bytes of a row at any address, little-endian; two loads where it is a multiple of 16.
__device__ __forceinline__ Fe load_row(const u8* at) {
  Fe r;
  if ((reinterpret_cast<u64>(at) & 15) == 0) {
    const uint4 low = reinterpret_cast<const uint4*>(at)[0], high = reinterpret_cast<const uint4*>(at)[1];
    r = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
  } else {
#pragma unroll
    for (int j = 0; j < 8; ++j) r.v[j] = load_word(at + 4 * j);
  }
  return r;
}

// A field element of a caller: the top bit is dropped [RFC 7748, 5].
__device__ __forceinline__ Fe load_element(const u8* at) {
  Fe r = load_row(at);
  r.v[7] &= 0x7fffffffu;
  return r;
}

__device__ __forceinline__ void store_element(u8* at, const Fe& a) {
  const Fe r = canonical(a);
  if ((reinterpret_cast<u64>(at) & 15) == 0) {
    reinterpret_cast<uint4*>(at)[0] = make_uint4(r.v[0], r.v[1], r.v[2], r.v[3]);
    reinterpret_cast<uint4*>(at)[1] = make_uint4(r.v[4], r.v[5], r.v[6], r.v[7]);
  } else {
#pragma unroll
    for (int i = 0; i < 32; ++i) at[i] = static_cast<u8>(r.v[i / 4] >> (8 * (i % 4)));
  }
}

// A table of elements in shared memory, one column a thread of the block: a lane's words are in its own bank.
struct Columns {
  u32* words;

  __device__ __forceinline__ Fe load(u32 column) const {
    Fe r;
#pragma unroll
    for (u32 j = 0; j < 8; ++j) r.v[j] = words[j * blockDim.x + column];
    return r;
  }
  __device__ __forceinline__ void store(u32 column, const Fe& a) const {
#pragma unroll
    for (u32 j = 0; j < 8; ++j) words[j * blockDim.x + column] = a.v[j];
  }
};

constexpr u32 kSharedWords = 16;  // a thread: two columns

// x / z of every thread of the block, 0 where z is 0 mod p. Called by all of them; shared: kSharedWords a
// thread.
//
// An inversion takes a warp as long for one lane as for 32. So one warp inverts for all, each lane the
// product of what its lane has in all warps [Montgomery 1987, 10.3.1]: 1 / warps of the work. Which one
// differs between blocks, since a warp's number says which quarter of the multiprocessor it runs on.
__device__ __forceinline__ Fe divide(u32* shared, const Fe& x, const Fe& z) {
  const Columns values{shared}, products{shared + 8 * blockDim.x};
  const u32 own = threadIdx.x, lane = own % 32, warps = blockDim.x / 32;
  const u32 zero = is_zero(z);
  values.store(own, select(zero, small_element(1), z));  // a factor 0 would spoil all
  __syncthreads();
  if (own / 32 == (blockIdx.x * 0x9e3779b1u >> 16) % warps) {
    Fe product = values.load(lane);
#pragma unroll 1
    for (u32 column = lane + 32; column < blockDim.x; column += 32) {
      products.store(column, product);
      product = mul(product, values.load(column));
    }
    Fe inverse = power(product, kInverse);
#pragma unroll 1
    for (u32 column = lane + blockDim.x - 32; column >= 32; column -= 32) {
      const Fe value = values.load(column);
      values.store(column, mul(inverse, products.load(column)));
      inverse = mul(inverse, value);
    }
    values.store(lane, inverse);
  }
  __syncthreads();
  const Fe quotient = mul(x, values.load(own));
  values.store(own, small_element(0));  // nothing of a secret stays for the block that comes next
  products.store(own, small_element(0));
  return select(zero, small_element(0), quotient);
}
