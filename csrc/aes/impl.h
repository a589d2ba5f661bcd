// SPDX-License-Identifier: Apache-2.0
// What a backend of the aes slug provides. Callers (dispatch.cpp) have checked every length.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "aes/aes.h"
#include "aes/key_schedule.h"
#include "common/dispatch.h"

namespace crypsis::aes {

// Blocks are 16 bytes at any alignment, n of them; n may be 0. An output may be the input exactly; otherwise they do
// not overlap. Everything is constant-time in keys and blocks, not in
// n, nor in counters: whether the low half of one wraps is a branch.
struct Impl : Backend {
  // out[i] = the eleven round keys of keys[i] [FIPS 197, 5.2]. out does not overlap keys.
  void (*expand_keys)(const std::uint8_t* keys, KeySchedule* out, std::size_t n);

  // out[i] = AES(in[i]) [FIPS 197, 5.1].
  void (*permute)(const KeySchedule& key, const std::uint8_t* in, std::uint8_t* out, std::size_t n);

  // out[i] = AES(in[i]) ^ in[i].
  void (*mmo)(const KeySchedule& key, const std::uint8_t* in, std::uint8_t* out, std::size_t n);

  // out[i] = AES(AES(in[i]) ^ t) ^ AES(in[i]), t the little-endian integer first + i mod 2^128.
  void (*tmmo)(const KeySchedule& key, Counter first, const std::uint8_t* in, std::uint8_t* out,
               std::size_t n);

  // out[i] = AES(c) ^ in[i], c the big-endian integer first + i mod 2^128 [SP 800-38A, 6.5]; `in` null: zeros.
  void (*ctr)(const KeySchedule& key, Counter first, const std::uint8_t* in, std::uint8_t* out,
              std::size_t n);

  // children[2 i] = L(p) ^ p and children[2 i + 1] = R(p) ^ p for p = parents[i], L and R AES under the two keys.
  // children, 2 n blocks, does not overlap parents.
  void (*ggm_level)(const KeySchedule& left, const KeySchedule& right, const std::uint8_t* parents,
                    std::uint8_t* children, std::size_t n);

  // For benchmarks: takes kRegisters registers of kBlocks blocks through AES `repeats` times without touching memory,
  // which is as fast as the units go. Returns the number of blocks.
  std::size_t (*rounds)(const KeySchedule& key, std::size_t repeats);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl aesni;
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

// The one that a call uses; BackendUnavailable where `backend` or CRYPSIS_BACKEND names none that runs here.
const Impl& select(std::string_view backend);

}  // namespace crypsis::aes
