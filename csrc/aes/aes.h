// SPDX-License-Identifier: Apache-2.0
// The aes slug for the bindings: threaded, dispatched batches on arrays whose lengths the caller has checked.
//
// Common to all: a block is 16 bytes; out may be the input exactly and overlaps it in no other way; `backend` empty: the
// best one; threads <= 0: the default number. Constant-time in keys and blocks, not in
// counters: whether the low half of one wraps is a branch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "aes/key_schedule.h"
#include "common/dispatch.h"

namespace crypsis::aes {

// A 128-bit integer.
struct Counter {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  Counter plus(std::uint64_t n) const noexcept {
    const std::uint64_t sum = low + n;
    return {sum, high + (sum < n)};
  }
};

struct Call {
  std::string_view backend;
  int threads = 0;
};

// Impl's functions of these names say what each computes. `key` has 16 bytes.
void expand_keys(const Call& call, const std::uint8_t* keys, std::uint8_t* out, std::size_t n);
void permute(const Call& call, const std::uint8_t* key, const std::uint8_t* in, std::uint8_t* out,
             std::size_t n);
void mmo(const Call& call, const std::uint8_t* key, const std::uint8_t* in, std::uint8_t* out, std::size_t n);
void tmmo(const Call& call, const std::uint8_t* key, Counter first, const std::uint8_t* in, std::uint8_t* out,
          std::size_t n);
void ggm_level(const Call& call, const std::uint8_t* left, const std::uint8_t* right,
               const std::uint8_t* parents, std::uint8_t* children, std::size_t n);

// Counter mode over n_bytes, of which the last block may have fewer than 16; `in` null: the key stream itself.
void ctr(const Call& call, const std::uint8_t* key, Counter first, const std::uint8_t* in, std::uint8_t* out,
         std::size_t n_bytes);

struct Impl;

// A pseudorandom stream with fast key erasure [Ber17]: the key stream of counter mode comes in segments of 2048 blocks,
// of which the first two become the next segment's key and first counter at once, and bytes that were handed out are
// overwritten. So what is in memory after a call tells nothing about earlier output. Not thread-safe.
class Stream {
 public:
  static constexpr std::size_t kSegmentBlocks = 2048;
  static constexpr std::size_t kSeedBytes = 32;
  // The output of a segment: what the two blocks of the next state leave.
  static constexpr std::size_t kSegmentBytes = (kSegmentBlocks - 2) * kBlockBytes;

  // The seed: key, then the first counter as 16 big-endian bytes.
  explicit Stream(const std::uint8_t seed[kSeedBytes]);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // The next n_bytes of the stream; how it is cut into calls makes no difference.
  void fill(std::string_view backend, std::uint8_t* out, std::size_t n_bytes);

 private:
  // The output of the next segment; the state moves to the one after.
  void next_segment(const Impl& impl, std::uint8_t* out);

  std::uint8_t state_[kSeedBytes];
  std::uint8_t
      buffer_[kSegmentBytes];  // the last `left_` bytes are still to be handed out, the others are zero
  std::size_t left_ = 0;
};

// For benchmarks: the AES units' rate, and counter mode on a buffer that stays in the first-level cache, both without
// the cost of a call from outside. Return the number of blocks.
std::size_t measure_rounds(const Call& call, std::size_t repeats);
std::size_t measure_ctr(const Call& call, std::size_t n_bytes, std::size_t repeats);

// Rows of `crypsis backends`, best first.
std::vector<BackendStatus> backends();

}  // namespace crypsis::aes
