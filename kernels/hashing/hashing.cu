// SPDX-License-Identifier: Apache-2.0
// Digests of many messages, one a thread: -DALGORITHM=0 SHA-256, 1 SM3, 2 BLAKE3. The contract is that of
// csrc/hashing/hashing.h: same modes, same bytes.
//
// digest_messages   message i is data[offsets[i], offsets[i + 1]), or row i of uint8[n, width] where offsets is null;
//                   BLAKE3: up to 1,024 bytes
// digest_width      rows alone, with -DWIDTH=4, 8, .., 64 and data at a multiple of 16 bytes
// digest_tree       BLAKE3 of messages of any length; chaining values in shared memory
// start_messages    one thread: what the key or the domain makes of the initial value
// check_offsets     with ALGORITHM 0: offsets never decrease and stay in the data; the longest message
//
// `start` is u32[16]: the chaining value that messages start from, and HMAC's outer one. Running time depends on
// lengths, not on bytes or key.
#include "common/arith.cuh"  // here, not below #if: a file is inlined where it is first included
#include "common/errors.cuh"
#include "common/types.cuh"
#include "hashing/messages.cuh"

#if ALGORITHM == 0
#include "hashing/sha256.cuh"
typedef Sha256 Function;
#elif ALGORITHM == 1
#include "hashing/sm3.cuh"
typedef Sm3 Function;
#elif ALGORITHM == 2
#include "hashing/blake3.cuh"
typedef Blake3 Function;
#else
#error "ALGORITHM is 0 (SHA-256), 1 (SM3) or 2 (BLAKE3)"
#endif

constexpr u32 kModePlain = 0, kModeDomain = 1, kModeKey = 2;

// What all messages of a launch share; as in bindings/crypsis/cuda/hashing.py.
struct Job {
  u64 n;            // messages
  u64 n_data;       // bytes of data
  u32 mode;         // kMode...
  u32 digest_size;  // 16 to 32
  u32 one;          // 1, for `plus`
  u32 unused;
};

struct KeyBlock {
  u8 bytes[64];  // the key or the domain, then zeros
};

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Message t: of `offsets`, or where that is null row t of `width` bytes.
__device__ __forceinline__ Message message_of(u64 t, const u8* data, const i64* offsets, u64 width,
                                              const Job& job) {
  const bool rows = offsets == nullptr;
  const u64 begin = rows ? t * width : static_cast<u64>(offsets[t]);
  const u64 end = rows ? begin + width : static_cast<u64>(offsets[t + 1]);
  return Message(data, job.n_data, begin, end - begin);
}

#if ALGORITHM == 2

__device__ __forceinline__ u32 mode_flags(u32 mode) {
  return mode == kModeKey ? kKeyedHash : mode == kModeDomain ? kDeriveKeyMaterial : 0;
}

// Block `block` of a message of one chunk.
__device__ __forceinline__ u32 block_flags(u32 mode, bool first, bool last) {
  return mode_flags(mode) | (first ? kChunkStart : 0) | (last ? kChunkEnd | kRoot : 0);
}

__device__ __forceinline__ void digest(const Message& message, const u32* start, const Job& job, u8* to) {
  u32 state[8], w[kBlockWords];
#pragma unroll
  for (u32 j = 0; j < 8; ++j) state[j] = start[j];
  const u32 n = static_cast<u32>(message.n);
  const u32 n_blocks = n == 0 ? 1 : (n + kBlockBytes - 1) / kBlockBytes;
  for (u32 block = 0; block < n_blocks; ++block) {
    const u32 rest = n - block * kBlockBytes, take = rest < kBlockBytes ? rest : kBlockBytes;
    load_block<false>(w, message, block, take);
    Blake3::compress(state, w, take, 0, block_flags(job.mode, block == 0, block + 1 == n_blocks), job.one);
  }
  store_digest<false>(to, state, job.digest_size);
}

#else

// Puts 0x80 behind the `take` bytes of a block (below 64), none of w behind them being set.
__device__ __forceinline__ void pad(u32 w[kBlockWords], u32 take) {
#pragma unroll
  for (u32 j = 0; j < kBlockWords; ++j) w[j] |= j == take / 4 ? 0x80000000u >> (8 * (take % 4)) : 0;
}

// HMAC's second pass: the inner digest is the message, behind one block of key [RFC 2104, 2].
__device__ __forceinline__ void outer_block(u32 state[8], u32 w[kBlockWords], const u32* start) {
#pragma unroll
  for (u32 j = 0; j < 8; ++j) {
    w[j] = state[j];
    state[j] = start[8 + j];
    w[8 + j] = 0;
  }
  w[8] = 0x80000000;
  w[15] = 8 * (64 + 32);
}

__device__ __forceinline__ void digest(const Message& message, const u32* start, const Job& job, u8* to) {
  u32 state[8], w[kBlockWords];
#pragma unroll
  for (u32 j = 0; j < 8; ++j) state[j] = start[j];
  const u64 n = message.n;
  const u64 n_blocks = (n + 8) / kBlockBytes + 1;  // 0x80 and 64 bits of length follow [FIPS 180-4, 5.1.1]
  const u64 n_steps = n_blocks + (job.mode == kModeKey ? 1 : 0);
  for (u64 block = 0; block < n_steps; ++block) {
    if (block == n_blocks) {
      outer_block(state, w, start);
    } else {
      const u64 at = block * kBlockBytes, rest = n < at ? 0 : n - at;
      const u32 take = rest < kBlockBytes ? static_cast<u32>(rest) : kBlockBytes;
      load_block<true>(w, message, block, take);
      if (take < kBlockBytes) {
        if (n >= at) pad(w, take);
        if (block + 1 == n_blocks) {
          const u64 n_bits = 8 * (n + (job.mode == kModePlain ? 0 : kBlockBytes));
          w[14] = static_cast<u32>(n_bits >> 32);
          w[15] = static_cast<u32>(n_bits);
        }
      }
    }
    Function::compress(state, w, job.one);
  }
  store_digest<true>(to, state, job.digest_size);
}

#endif

#ifdef WIDTH

extern "C" __global__ void __launch_bounds__(128)
    digest_width(u8* __restrict__ out, const u8* __restrict__ data, const u32* __restrict__ start, Job job) {
  const u64 t = thread_index();
  if (t >= job.n) return;
  u32 state[8], w[kBlockWords];
#pragma unroll
  for (u32 j = 0; j < 8; ++j) state[j] = start[j];
  load_row<Function::kBigEndian, WIDTH>(w, data + t * WIDTH);
#if ALGORITHM == 2
  Blake3::compress(state, w, WIDTH, 0, block_flags(job.mode, true, true), job.one);
#else
  const u32 n_bits = 8 * (WIDTH + (job.mode == kModePlain ? 0 : kBlockBytes));
  if (WIDTH < 64) w[WIDTH / 4 % 16] = 0x80000000;
  if (WIDTH < 56) w[15] = n_bits;
  Function::compress(state, w, job.one);
  if (WIDTH >= 56) {  // the length has a block of its own
#pragma unroll
    for (u32 j = 0; j < kBlockWords; ++j) w[j] = 0;
    if (WIDTH == 64) w[0] = 0x80000000;
    w[15] = n_bits;
    Function::compress(state, w, job.one);
  }
  if (job.mode == kModeKey) {
    outer_block(state, w, start);
    Function::compress(state, w, job.one);
  }
#endif
  store_digest<Function::kBigEndian>(out + t * job.digest_size, state, job.digest_size);
}

#else

extern "C" __global__ void __launch_bounds__(128)
    digest_messages(u8* __restrict__ out, const u8* __restrict__ data, const i64* __restrict__ offsets,
                    u64 width, const u32* __restrict__ start, Job job) {
  const u64 t = thread_index();
  if (t >= job.n) return;
  digest(message_of(t, data, offsets, width, job), start, job, out + t * job.digest_size);
}

// start[0..8): what every message starts from. start[8..16): HMAC's outer value, else zeros. One thread.
extern "C" __global__ void start_messages(u32* __restrict__ start, KeyBlock block, u32 n_bytes, u32 mode,
                                          u32 one) {
  u32 state[8], w[kBlockWords];
  Function::initial(state);
#if ALGORITHM == 2
#pragma unroll
  for (u32 j = 0; j < kBlockWords; ++j) {
    w[j] = 0;
#pragma unroll
    for (u32 b = 0; b < 4; ++b) w[j] |= static_cast<u32>(block.bytes[4 * j + b]) << (8 * b);
  }
  if (mode == kModeKey) {
#pragma unroll
    for (u32 j = 0; j < 8; ++j) state[j] = w[j];
  } else if (mode == kModeDomain) {
    Blake3::compress(state, w, n_bytes, 0, kDeriveKeyContext | kChunkStart | kChunkEnd | kRoot, one);
  }
#pragma unroll
  for (u32 j = 0; j < 8; ++j) start[8 + j] = 0;
#else
  // A domain's block is its length, its bytes and zeros; HMAC's are the key with each byte xored.
#pragma unroll 1
  for (u32 pass = 0; pass < 2; ++pass) {
    if (pass == 1) Function::initial(state);
    const u32 mask = mode != kModeKey ? 0 : pass == 0 ? 0x36363636u : 0x5c5c5c5cu;
#pragma unroll
    for (u32 j = 0; j < kBlockWords; ++j) {
      w[j] = mask;
#pragma unroll
      for (u32 b = 0; b < 4; ++b) {
        const u32 i = 4 * j + b;
        const u32 shifted = i == 0 ? n_bytes : block.bytes[i == 0 ? 0 : i - 1];
        const u32 byte = mode == kModeDomain ? shifted : block.bytes[i];
        w[j] ^= byte << (24 - 8 * b);
      }
    }
    if (mode != kModePlain) Function::compress(state, w, one);
    if (pass == 1) {
#pragma unroll
      for (u32 j = 0; j < 8; ++j) start[8 + j] = state[j];
      break;
    }
#pragma unroll
    for (u32 j = 0; j < 8; ++j) start[j] = state[j];
  }
#endif
#if ALGORITHM == 2
#pragma unroll
  for (u32 j = 0; j < 8; ++j) start[j] = state[j];
#endif
}

#if ALGORITHM == 0

// errors[0]: an error word; errors[1]: the length of the longest message, from 0.
extern "C" __global__ void __launch_bounds__(128)
    check_offsets(u64* __restrict__ errors, const i64* __restrict__ offsets, u64 n, u64 n_data) {
  const u64 t = thread_index();
  if (t >= n) return;
  const i64 begin = offsets[t], end = offsets[t + 1];
  if (begin < 0 || end < begin || static_cast<u64>(end) > n_data) {
    raise_error(errors, kErrorCorruptData, t);
    return;
  }
  const u64 length = static_cast<u64>(end - begin);
  if (length > errors[1]) atomicMax(errors + 1, length);  // an old value costs an atomic, no more
}

#elif ALGORITHM == 2

// Messages of any length, a tree of chunks [BLAKE3, 2.1]: chaining values of finished subtrees wait in shared
// memory, one for each set bit of the number of chunks. A thread's loop does one compression a turn, of a block or of
// a parent.
extern "C" __global__ void __launch_bounds__(32)
    digest_tree(u8* __restrict__ out, const u8* __restrict__ data, const i64* __restrict__ offsets, u64 width,
                const u32* __restrict__ start, Job job) {
  CRYPSIS_DYNAMIC_SHARED(u32, stacks);  // [subtrees that wait][8][blockDim.x]
  const u64 t = thread_index();
  if (t >= job.n) return;
  const Message message = message_of(t, data, offsets, width, job);
  const u64 n = message.n;
  const u64 n_blocks = n == 0 ? 1 : (n + kBlockBytes - 1) / kBlockBytes;
  const u32 flags = mode_flags(job.mode);
  u32 state[8], w[kBlockWords];
  u64 block = 0,
      merges = 0;  // merges: bit i set where a subtree of 2^i chunks is to be joined with the one before
  u32 waiting = 0;
  bool joining = false;
  for (;;) {
    u32 n_bytes = kBlockBytes, block_kind;
    u64 counter = 0;
    if (joining) {  // the parent of the subtree that waits on top and the one just finished
      --waiting;
      const bool root = block == n_blocks && waiting == 0;
#pragma unroll
      for (u32 j = 0; j < 8; ++j) {
        w[j] = stacks[(waiting * 8 + j) * blockDim.x + threadIdx.x];
        w[8 + j] = state[j];
        state[j] = start[j];
      }
      block_kind = kParent | (root ? kRoot : 0);
    } else {
      const u64 rest = n - block * kBlockBytes;
      n_bytes = rest < kBlockBytes ? static_cast<u32>(rest) : kBlockBytes;
      load_block<false>(w, message, block, n_bytes);
      counter = block / kChunkBlocks;
      block_kind = 0;
      if (block % kChunkBlocks == 0) {
        block_kind = kChunkStart;
#pragma unroll
        for (u32 j = 0; j < 8; ++j) state[j] = start[j];
      }
      ++block;
      if (block == n_blocks || block % kChunkBlocks == 0) {
        block_kind |= kChunkEnd | (n_blocks <= kChunkBlocks ? kRoot : 0);
        merges = counter + 1;  // trailing zeros: how many finished subtrees this chunk completes
      }
    }
    Blake3::compress(state, w, n_bytes, counter, flags | block_kind, job.one);
    if (block == n_blocks) {  // the last chunk joins all that waits
      if (waiting == 0) break;
      joining = true;
    } else if (joining || block % kChunkBlocks == 0) {
      joining = (merges & 1) == 0;
      merges >>= 1;
      if (!joining) {
#pragma unroll
        for (u32 j = 0; j < 8; ++j) stacks[(waiting * 8 + j) * blockDim.x + threadIdx.x] = state[j];
        ++waiting;
      }
    }
  }
  store_digest<false>(out + t * job.digest_size, state, job.digest_size);
}

#endif

#endif
