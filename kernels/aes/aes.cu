// SPDX-License-Identifier: Apache-2.0
// AES-128 in batches, a block a thread and turn: csrc/aes/impl.h's functions, same bytes.
//
// permute     out[i] = AES(in[i])
// mmo         out[i] = AES(in[i]) ^ in[i] [GKWY20]
// tmmo        out[i] = AES(AES(in[i]) ^ t) ^ AES(in[i]), t = first + i, a little-endian integer [GKWY20]
// ctr         out[i] = AES(first + i) ^ in[i], a big-endian integer [SP 800-38A, 6.5]; the last block may be short
// ggm_level   out[2 i] = L(in[i]) ^ in[i], out[2 i + 1] = R(in[i]) ^ in[i]
//
// `out` may be `in` itself but for ggm_level, and both begin at any byte. Grids are of any size: threads go through the
// blocks in steps of the whole grid. Blocks of 256 threads. Constant time in keys and blocks (block.cuh).
#include "aes/block.cuh"
#include "common/arith.cuh"
#include "common/types.cuh"

// As in bindings/crypsis/cuda/aes.py: `n` blocks (ctr: bytes), and the integer of the first.
struct Job {
  u64 n;
  u64 low, high;
};

struct RoundKeys {
  u32 w[kAesKeyWords];
};

__device__ __forceinline__ u64 first_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ u64 index_step() {
  return static_cast<u64>(gridDim.x) * blockDim.x;
}

// The table in shared memory, and the round keys in registers: loads in the loop would queue with the lookups.
__device__ __forceinline__ RoundKeys start(u32* table, const u32* round_keys) {
  RoundKeys keys;
#pragma unroll
  for (u32 i = 0; i < kAesKeyWords; ++i) keys.w[i] = round_keys[i];
  aes_load_table(table);
  __syncthreads();
  return keys;
}

// first + i mod 2^128, least significant word first.
__device__ __forceinline__ AesBlock plus(const Job& job, u64 i) {
  const u64 low = job.low + i;
  const u64 high = job.high + (low < i ? 1 : 0);
  return {{static_cast<u32>(low), static_cast<u32>(low >> 32), static_cast<u32>(high),
           static_cast<u32>(high >> 32)}};
}

extern "C" __global__ void __launch_bounds__(256, 2)
    permute(u8* out, const u8* in, const u32* __restrict__ round_keys, Job job) {
  __shared__ u32 table[kAesTableWords];
  const RoundKeys keys = start(table, round_keys);
  for (u64 i = first_index(); i < job.n; i += index_step()) {
    aes_store(out + 16 * i, aes_encrypt(table, keys.w, aes_load(in + 16 * i)));
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    mmo(u8* out, const u8* in, const u32* __restrict__ round_keys, Job job) {
  __shared__ u32 table[kAesTableWords];
  const RoundKeys keys = start(table, round_keys);
  for (u64 i = first_index(); i < job.n; i += index_step()) {
    const AesBlock x = aes_load(in + 16 * i);
    aes_store(out + 16 * i, aes_encrypt(table, keys.w, x) ^ x);
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    tmmo(u8* out, const u8* in, const u32* __restrict__ round_keys, Job job) {
  __shared__ u32 table[kAesTableWords];
  const RoundKeys keys = start(table, round_keys);
  for (u64 i = first_index(); i < job.n; i += index_step()) {
    const AesBlock once = aes_encrypt(table, keys.w, aes_load(in + 16 * i));
    aes_store(out + 16 * i, aes_encrypt(table, keys.w, once ^ plus(job, i)) ^ once);
  }
}

// in: null for the key stream itself.
extern "C" __global__ void __launch_bounds__(256, 2)
    ctr(u8* out, const u8* in, const u32* __restrict__ round_keys, Job job) {
  __shared__ u32 table[kAesTableWords];
  const RoundKeys keys = start(table, round_keys);
  const u64 n_blocks = job.n / 16 + (job.n % 16 != 0 ? 1 : 0);
  for (u64 i = first_index(); i < n_blocks; i += index_step()) {
    const AesBlock number = plus(job, i);
    AesBlock x;
#pragma unroll
    for (u32 c = 0; c < 4; ++c) x.w[c] = __byte_perm(number.w[3 - c], 0, 0x0123);
    x = aes_encrypt(table, keys.w, x);
    const u64 rest = job.n - 16 * i;
    if (rest >= 16) {
      aes_store(out + 16 * i, in == nullptr ? x : x ^ aes_load(in + 16 * i));
      continue;
    }
#pragma unroll
    for (u32 b = 0; b < 15; ++b) {
      if (b >= rest) break;
      const u32 byte = x.w[b / 4] >> (8 * (b % 4));
      out[16 * i + b] = static_cast<u8>(byte ^ (in == nullptr ? 0 : in[16 * i + b]));
    }
  }
}

// The keys of the two sides are public: kernel parameters.
extern "C" __global__ void __launch_bounds__(256, 2)
    ggm_level(u8* __restrict__ out, const u8* __restrict__ in, RoundKeys left, RoundKeys right, u64 n) {
  __shared__ u32 table[kAesTableWords];
  aes_load_table(table);
  __syncthreads();
  for (u64 i = first_index(); i < n; i += index_step()) {
    const AesBlock parent = aes_load(in + 16 * i);
    aes_store(out + 32 * i, aes_encrypt(table, left.w, parent) ^ parent);
    aes_store(out + 32 * i + 16, aes_encrypt(table, right.w, parent) ^ parent);
  }
}
