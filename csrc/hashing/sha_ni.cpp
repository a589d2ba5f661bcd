// SPDX-License-Identifier: Apache-2.0
// SHA-256 by the SHA extensions. Two messages at a time: two rounds take 4 cycles, another pair may start
// after 2.
#include <immintrin.h>

#include "hashing/schedule.h"

namespace crypsis::hashing {
namespace {

// The instructions want (a, b, e, f) and (c, d, g, h), a and c on top [Intel SDM vol. 2, SHA256RNDS2].
struct PairState {
  __m128i abef[2];
  __m128i cdgh[2];
};

struct Sha256Pair {
  static constexpr std::size_t kLanes = 2;
  using State = PairState;

  static __m128i words(std::uint32_t w3, std::uint32_t w2, std::uint32_t w1, std::uint32_t w0) {
    return _mm_set_epi32(static_cast<int>(w3), static_cast<int>(w2), static_cast<int>(w1),
                         static_cast<int>(w0));
  }

  static void start(State& state, const std::uint32_t h[8]) {
    for (int lane = 0; lane < 2; ++lane) {
      state.abef[lane] = words(h[0], h[1], h[4], h[5]);
      state.cdgh[lane] = words(h[2], h[3], h[6], h[7]);
    }
  }

  static void compress(State& state, const Step<2>& step) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    alignas(16) std::uint8_t scratch[2][kBlockBytes];
    __m128i m[2][4];
    __m128i abef[2];
    __m128i cdgh[2];
    for (int lane = 0; lane < 2; ++lane) {
      const std::uint8_t* const block =
          stage_block(step.data[lane], step.take[lane], step.pad[lane], scratch[lane]);
      for (int j = 0; j < 4; ++j) {
        m[lane][j] =
            _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * j)), swap);
      }
      m[lane][3] = _mm_or_si128(m[lane][3], words(step.word_b[lane], step.word_a[lane], 0, 0));
      abef[lane] = state.abef[lane];
      cdgh[lane] = state.cdgh[lane];
    }
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {  // four rounds each
      const __m128i k = _mm_load_si128(reinterpret_cast<const __m128i*>(kSha256Round + 4 * r));
#pragma GCC unroll 2
      for (int lane = 0; lane < 2; ++lane) {
        __m128i* const w = m[lane];
        if (r >= 4) {
          const __m128i shifted = _mm_alignr_epi8(w[(r + 3) & 3], w[(r + 2) & 3], 4);
          const __m128i partial = _mm_add_epi32(_mm_sha256msg1_epu32(w[r & 3], w[(r + 1) & 3]), shifted);
          w[r & 3] = _mm_sha256msg2_epu32(partial, w[(r + 3) & 3]);
        }
        const __m128i wk = _mm_add_epi32(w[r & 3], k);
        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], wk);
        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(wk, 0x0e));
      }
    }
    for (int lane = 0; lane < 2; ++lane) {
      if (!step.all_live && step.live[lane] == 0) continue;
      state.abef[lane] = _mm_add_epi32(state.abef[lane], abef[lane]);
      state.cdgh[lane] = _mm_add_epi32(state.cdgh[lane], cdgh[lane]);
    }
  }

  static void finish(const State& state, std::uint8_t* out) {
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    for (int lane = 0; lane < 2; ++lane) {
      const __m128i dcba = _mm_unpackhi_epi64(state.cdgh[lane], state.abef[lane]);
      const __m128i hgfe = _mm_unpacklo_epi64(state.cdgh[lane], state.abef[lane]);
      auto* const to = reinterpret_cast<__m128i*>(out + 32 * lane);
      _mm_storeu_si128(to, _mm_shuffle_epi8(dcba, reverse));
      _mm_storeu_si128(to + 1, _mm_shuffle_epi8(hgfe, reverse));
    }
  }
};

bool accepts(Algorithm algorithm) noexcept {
  return algorithm == Algorithm::kSha256;
}

// Eight states, each hidden from the compiler: two rounds take 4 cycles, so two or four would do.
std::size_t pairs_of_rounds(std::size_t repeats) {
  const __m128i other = _mm_set1_epi32(1), wk = _mm_set1_epi32(2);
  __m128i states[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) states[i] = _mm_set1_epi32(i);
  for (std::size_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 8
    for (__m128i& state : states) {
      state = _mm_sha256rnds2_epu32(state, other, wk);
      __asm__ volatile("" : "+x"(state));
    }
  }
  return repeats * 8;
}

}  // namespace

const Impl sha_ni{{"sha_ni", kShaNi | kSse41 | kSsse3}, accepts, run<Sha256Pair>, pairs_of_rounds};

}  // namespace crypsis::hashing
