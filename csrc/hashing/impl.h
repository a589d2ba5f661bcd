// SPDX-License-Identifier: Apache-2.0
// What a backend of the hashing slug provides. Callers (dispatch.cpp) have checked every length.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "hashing/hashing.h"

namespace crypsis::hashing {

// One pass over a set of messages, after the key or the domain became a chaining value.
struct Job {
  Algorithm algorithm;
  Messages messages;
  std::size_t digest_size;   // 1 to 32
  std::uint32_t initial[8];  // chaining value that every message starts from
  std::uint64_t
      n_prefix_bytes;   // already absorbed into `initial`: 0 or 64, counted in the final length (not BLAKE3)
  std::uint32_t flags;  // BLAKE3's mode flag for every block; 0 otherwise
};

struct Impl : Backend {
  // May this backend be asked for `algorithm`?
  bool (*accepts)(Algorithm algorithm) noexcept;

  // Digests of messages [begin, end): message i goes to out + (i - begin) * digest_size. Any length, any
  // alignment; reads no byte outside the messages. Constant-time in the bytes, not in the lengths.
  void (*digest)(const Job& job, std::size_t begin, std::size_t end, std::uint8_t* out);

  // Runs, on registers, the instruction of which a digest needs most, and nothing else; returns how often: additions of
  // 32-bit words, one (portable) or all lanes of a register at once, and pairs of rounds of SHA-NI.
  std::size_t (*operations)(std::size_t repeats);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl sha_ni;
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first for batches of `n_items` messages; the order was measured (NOTES.md).
std::span<const Impl* const> compiled(Algorithm algorithm, std::size_t n_items);

}  // namespace crypsis::hashing
