// SPDX-License-Identifier: Apache-2.0
// Eight messages in a register. There are no byte masks here: tails are copied to a padded block first.
#include <immintrin.h>

#include "hashing/rounds.h"

namespace crypsis::hashing {
namespace {

struct Lanes8 {
  static constexpr std::size_t kLanes = 8;
  __m256i v;

  CRYPSIS_INLINE static Lanes8 set1(std::uint32_t x) { return {_mm256_set1_epi32(static_cast<int>(x))}; }
  CRYPSIS_INLINE static Lanes8 load(const std::uint32_t* p) {
    return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p))};
  }
  CRYPSIS_INLINE friend Lanes8 operator+(Lanes8 a, Lanes8 b) { return {_mm256_add_epi32(a.v, b.v)}; }
  CRYPSIS_INLINE friend Lanes8 operator^(Lanes8 a, Lanes8 b) { return {_mm256_xor_si256(a.v, b.v)}; }
  CRYPSIS_INLINE friend Lanes8 operator|(Lanes8 a, Lanes8 b) { return {_mm256_or_si256(a.v, b.v)}; }
  template <int n>
  CRYPSIS_INLINE Lanes8 ror() const {
    if constexpr (n == 16) {  // whole bytes move with one shuffle
      return {_mm256_shuffle_epi8(v, bytes(0x0d0c0f0e09080b0a, 0x0504070601000302))};
    } else if constexpr (n == 8) {
      return {_mm256_shuffle_epi8(v, bytes(0x0c0f0e0d080b0a09, 0x0407060500030201))};
    } else {
      return {_mm256_or_si256(_mm256_srli_epi32(v, n), _mm256_slli_epi32(v, 32 - n))};
    }
  }
  template <int n>
  CRYPSIS_INLINE Lanes8 shr() const {
    return {_mm256_srli_epi32(v, n)};
  }
  CRYPSIS_INLINE static Lanes8 xor3(Lanes8 a, Lanes8 b, Lanes8 c) { return a ^ b ^ c; }
  CRYPSIS_INLINE static Lanes8 choose(Lanes8 a, Lanes8 b, Lanes8 c) {
    return c ^ Lanes8{_mm256_and_si256(a.v, (b ^ c).v)};
  }
  CRYPSIS_INLINE static Lanes8 majority(Lanes8 a, Lanes8 b, Lanes8 c) {
    return Lanes8{_mm256_and_si256(a.v, b.v)} | Lanes8{_mm256_and_si256(c.v, (a | b).v)};
  }
  CRYPSIS_INLINE static Lanes8 byte_swap(Lanes8 x) {
    return {_mm256_shuffle_epi8(x.v, bytes(0x0c0d0e0f08090a0b, 0x0405060700010203))};
  }
  template <Extent kExtent>
  CRYPSIS_INLINE static void load_blocks(const Step<8>& step, Lanes8 w[16]);
  CRYPSIS_INLINE static void store_digests(const Lanes8 s[8], std::uint8_t* out);

 private:
  CRYPSIS_INLINE static __m256i bytes(long long high, long long low) {
    return _mm256_broadcastsi128_si256(_mm_set_epi64x(high, low));
  }
};

// out[j] lane i = row[i] lane j.
CRYPSIS_INLINE void transpose_8x8(const __m256i row[8], __m256i out[8]) {
  __m256i u[2][4];  // u[g][c]: words c and 4 + c of rows 4g to 4g + 3
  for (int g = 0; g < 2; ++g) {
    const __m256i a = _mm256_unpacklo_epi32(row[4 * g], row[4 * g + 1]);
    const __m256i b = _mm256_unpackhi_epi32(row[4 * g], row[4 * g + 1]);
    const __m256i c = _mm256_unpacklo_epi32(row[4 * g + 2], row[4 * g + 3]);
    const __m256i d = _mm256_unpackhi_epi32(row[4 * g + 2], row[4 * g + 3]);
    u[g][0] = _mm256_unpacklo_epi64(a, c);
    u[g][1] = _mm256_unpackhi_epi64(a, c);
    u[g][2] = _mm256_unpacklo_epi64(b, d);
    u[g][3] = _mm256_unpackhi_epi64(b, d);
  }
  for (int c = 0; c < 4; ++c) {
    out[c] = _mm256_permute2x128_si256(u[0][c], u[1][c], 0x20);
    out[4 + c] = _mm256_permute2x128_si256(u[0][c], u[1][c], 0x31);
  }
}

template <Extent kExtent>
CRYPSIS_INLINE void Lanes8::load_blocks(const Step<8>& step, Lanes8 w[16]) {
  alignas(32) std::uint8_t scratch[8][kBlockBytes];
  const std::uint8_t* block[8];
  for (int i = 0; i < 8; ++i) block[i] = stage_block(step.data[i], step.take[i], step.pad[i], scratch[i]);
  for (int half = 0; half < 2; ++half) {
    if (half == 1 && kExtent != Extent::kFull) {
      for (int i = 8; i < 16; ++i) w[i].v = _mm256_setzero_si256();
      return;
    }
    __m256i row[8];
    __m256i column[8];
    for (int i = 0; i < 8; ++i) {
      row[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block[i] + 32 * half));
    }
    transpose_8x8(row, column);
    for (int i = 0; i < 8; ++i) w[8 * half + i].v = column[i];
  }
}

CRYPSIS_INLINE void Lanes8::store_digests(const Lanes8 s[8], std::uint8_t* out) {
  const __m256i row[8] = {s[0].v, s[1].v, s[2].v, s[3].v, s[4].v, s[5].v, s[6].v, s[7].v};
  __m256i column[8];
  transpose_8x8(row, column);
  for (int i = 0; i < 8; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * i), column[i]);
}

bool accepts(Algorithm) noexcept {
  return true;
}

}  // namespace

const Impl avx2{{"avx2", kAvx2}, accepts, digest_lanes<Lanes8>, additions<Lanes8>};

}  // namespace crypsis::hashing
