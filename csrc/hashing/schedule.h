// SPDX-License-Identifier: Apache-2.0
// From n messages of any lengths to full registers: the loop that every backend runs around its compression
// function.
//
// Messages are taken in windows, sorted inside a window by their number of blocks (longest first) and put
// into lanes in that order. A group of L lanes takes as many steps as its longest message has blocks; lanes
// that ended stand still. As the groups' maxima and minima interleave, the steps wasted in a window are at
// most those of its longest message.
//
// Internal linkage throughout: ISA files include this, and their copies must not meet those of others.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/wipe.h"
#include "hashing/constants.h"
#include "hashing/impl.h"
#include "hashing/scalar.h"

namespace crypsis::hashing {

inline constexpr std::size_t kWindowItems =
    512;  // 16 KiB of plan: stays in the first-level cache beside the blocks
inline constexpr std::size_t kMaxLanes = 16;

// The messages of one window in processing order. kMaxLanes empty entries follow the last, so a group may run
// over.
struct Window {
  const std::uint8_t* data[kWindowItems + kMaxLanes];
  std::uint64_t n_bytes[kWindowItems + kMaxLanes];
  std::uint64_t n_blocks[kWindowItems + kMaxLanes];
  std::uint32_t position[kWindowItems];  // where the digest goes, counted from the window's first message
  std::size_t n_items;
  bool in_order;            // position[i] == i
  std::uint64_t max_bytes;  // longest message
};

// Fills `window` with messages [begin, min(end, begin + kWindowItems)). Not in an ISA file, so it may use the
// library.
void plan_window(const Job& job, std::size_t begin, std::size_t end, bool sort, Window& window) noexcept;

namespace {

// How much of a group's blocks can be other than zero, besides the length words: what the rounds may leave
// out. The identifiers that private set intersection hashes are short.
enum class Extent : std::uint8_t {
  kFull,
  kHalf,   // every message is below 32 bytes: words 8 to 14 are zero (8 to 15 in BLAKE3)
  kShort,  // below 20 bytes: words 5 to 14 (5 to 15)
};

// What the L lanes absorb in one step. Lane i reads bytes [0, take[i]) at data[i] and zeros behind them.
template <std::size_t L>
struct alignas(64) Step {
  const std::uint8_t* data[L];
  std::uint64_t take[L];  // 0 to 64
  std::uint64_t
      pad[L];  // bit take[i] set where the byte 0x80 follows the message, else 0 (always 0 in BLAKE3)
  std::uint32_t word_a[L];  // SHA-256, SM3: to be or-ed into words 14 and 15, the bit length; BLAKE3: block
                            // length, flags
  std::uint32_t word_b[L];
  std::uint32_t live[L];  // all ones: the lane takes part; 0: its state stays. Set when all_live is false.
  bool all_live;
  Extent extent;
};

template <std::size_t L>
void fill_step(const Window& window, std::size_t first, std::uint64_t block, const Job& job, Step<L>& step) {
  const bool padded = job.algorithm != Algorithm::kBlake3;
  for (std::size_t i = 0; i < L; ++i) {
    const std::uint64_t n_bytes = window.n_bytes[first + i];
    const std::uint64_t at = block * kBlockBytes;
    const std::uint64_t from = n_bytes < at ? n_bytes : at;
    const std::uint64_t rest = n_bytes - from;
    const bool last = block + 1 == window.n_blocks[first + i];
    step.data[i] = window.data[first + i] + from;
    step.take[i] = rest < kBlockBytes ? rest : kBlockBytes;
    if (padded) {
      const bool ends = n_bytes >= at && rest < kBlockBytes;
      const std::uint64_t n_bits = last ? (n_bytes + job.n_prefix_bytes) * 8 : 0;
      step.pad[i] = std::uint64_t{ends} << (rest & 63);
      step.word_a[i] = static_cast<std::uint32_t>(n_bits >> 32);
      step.word_b[i] = static_cast<std::uint32_t>(n_bits);
    } else {
      step.pad[i] = 0;
      step.word_a[i] = static_cast<std::uint32_t>(step.take[i]);
      step.word_b[i] = job.flags | (block == 0 ? kChunkStart : 0u) | (last ? kChunkEnd | kRoot : 0u);
    }
    step.live[i] = block < window.n_blocks[first + i] ? ~std::uint32_t{0} : 0;
  }
}

template <std::size_t L>
struct alignas(64) DigestBuffer {
  std::uint8_t bytes[L * kDigestBytes];
};

// Engine: kLanes; State; start(State&, initial); compress(State&, const Step<kLanes>&); finish(const State&,
// bytes), which writes kLanes digests of 32 bytes.
template <class Engine>
void run(const Job& job, std::size_t begin, std::size_t end, std::uint8_t* out) {
  constexpr std::size_t L = Engine::kLanes;
  Window window;
  Step<L> step;
  typename Engine::State state;
  DigestBuffer<L> buffer;
  const WipeGuard wipe_state(state);
  const WipeGuard wipe_buffer(buffer);
  std::uint8_t* const digests = buffer.bytes;
  const std::size_t size = job.digest_size;
  for (std::size_t at = begin; at < end; at += window.n_items) {
    plan_window(job, at, end, L > 1 || job.algorithm == Algorithm::kBlake3, window);
    std::uint8_t* const window_out = out + (at - begin) * size;
    std::size_t i = 0;
    if (job.algorithm == Algorithm::kBlake3) {
      // More than one chunk: a tree, hashed alone. The longest come first.
      for (; i < window.n_items && window.n_blocks[i] > kBlake3ChunkBlocks; ++i) {
        std::uint32_t words[8];
        scalar::blake3_message(job.initial, job.flags, window.data[i], window.n_bytes[i], words);
        std::memcpy(window_out + window.position[i] * size, words, size);
      }
    }
    step.extent = window.max_bytes < 20   ? Extent::kShort
                  : window.max_bytes < 32 ? Extent::kHalf
                                          : Extent::kFull;
    for (; i < window.n_items; i += L) {
      Engine::start(state, job.initial);
      const std::uint64_t n_steps = window.n_blocks[i];
      const std::uint64_t n_full = window.n_blocks[i + L - 1];
      for (std::uint64_t block = 0; block < n_steps; ++block) {
        fill_step<L>(window, i, block, job, step);
        step.all_live =
            block < n_full || n_steps == 1;  // with one step, what idle lanes compute is never looked at
        Engine::compress(state, step);
      }
      const std::size_t n = window.n_items - i < L ? window.n_items - i : L;
      if (size == kDigestBytes && window.in_order && n == L) {
        Engine::finish(state, window_out + i * kDigestBytes);
        continue;
      }
      Engine::finish(state, digests);
      for (std::size_t lane = 0; lane < n; ++lane) {
        std::uint8_t* const to = window_out + window.position[i + lane] * size;
        if (size == kDigestBytes) {
          std::memcpy(to, digests + lane * kDigestBytes, kDigestBytes);
        } else if (size == 16) {
          std::memcpy(to, digests + lane * kDigestBytes, 16);
        } else {
          std::memcpy(to, digests + lane * kDigestBytes, size);
        }
      }
    }
  }
}

// A lane's 64 bytes in memory: the message itself where a whole block is left, else `scratch` with the
// padding.
[[maybe_unused]] const std::uint8_t* stage_block(const std::uint8_t* data, std::uint64_t take,
                                                 std::uint64_t pad, std::uint8_t scratch[kBlockBytes]) {
  if (take == kBlockBytes) return data;
  std::memset(scratch, 0, kBlockBytes);
  if (take != 0) std::memcpy(scratch, data, take);
  scratch[take] = pad != 0 ? 0x80 : 0;
  return scratch;
}

}  // namespace
}  // namespace crypsis::hashing
