// SPDX-License-Identifier: Apache-2.0
// Key expansion with AESKEYGENASSIST, for the backends that have it. Internal linkage, as blocks_<isa>.h.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "aes/key_schedule.h"

namespace crypsis::aes {
namespace {

// One round of FIPS 197, 5.2: each column is the one before plus the one a round ago; the first takes the assist's
// SubWord(RotWord(last column)) + round constant, which stands in its highest word.
template <int kRoundConstant>
inline __m128i next_round_key(__m128i key) {
  const __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, kRoundConstant), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));  // prefix sums of the columns
  return _mm_xor_si128(key, word);
}

inline void expand_keys_aesni(const std::uint8_t* keys, KeySchedule* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    __m128i k = _mm_loadu_si128(reinterpret_cast<const __m128i*>(keys + i * kBlockBytes));
    std::uint8_t* to = out[i].bytes;
    const auto put = [&to](__m128i round_key) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), round_key);
      to += kBlockBytes;
      return round_key;
    };
    put(k);
    k = put(next_round_key<0x01>(k));
    k = put(next_round_key<0x02>(k));
    k = put(next_round_key<0x04>(k));
    k = put(next_round_key<0x08>(k));
    k = put(next_round_key<0x10>(k));
    k = put(next_round_key<0x20>(k));
    k = put(next_round_key<0x40>(k));
    k = put(next_round_key<0x80>(k));
    k = put(next_round_key<0x1b>(k));
    put(next_round_key<0x36>(k));
  }
}

}  // namespace
}  // namespace crypsis::aes
