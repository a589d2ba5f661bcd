// SPDX-License-Identifier: Apache-2.0
// Sixteen messages in a register. Blocks are loaded with byte masks: a masked-out byte is neither read nor
// faults.
#include <immintrin.h>

#include "hashing/rounds.h"

namespace crypsis::hashing {
namespace {

struct Lanes16 {
  static constexpr std::size_t kLanes = 16;
  __m512i v;

  CRYPSIS_INLINE static Lanes16 set1(std::uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
  CRYPSIS_INLINE static Lanes16 load(const std::uint32_t* p) { return {_mm512_load_si512(p)}; }
  CRYPSIS_INLINE friend Lanes16 operator+(Lanes16 a, Lanes16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
  CRYPSIS_INLINE friend Lanes16 operator^(Lanes16 a, Lanes16 b) { return {_mm512_xor_si512(a.v, b.v)}; }
  CRYPSIS_INLINE friend Lanes16 operator|(Lanes16 a, Lanes16 b) { return {_mm512_or_si512(a.v, b.v)}; }
  template <int n>
  CRYPSIS_INLINE Lanes16 ror() const {
    return {_mm512_ror_epi32(v, n)};
  }
  template <int n>
  CRYPSIS_INLINE Lanes16 shr() const {
    return {_mm512_srli_epi32(v, n)};
  }
  // The third argument is the truth table, indexed by the bits of a, b, c.
  CRYPSIS_INLINE static Lanes16 xor3(Lanes16 a, Lanes16 b, Lanes16 c) {
    return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0x96)};
  }
  CRYPSIS_INLINE static Lanes16 choose(Lanes16 a, Lanes16 b, Lanes16 c) {
    return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0xca)};
  }
  CRYPSIS_INLINE static Lanes16 majority(Lanes16 a, Lanes16 b, Lanes16 c) {
    return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0xe8)};
  }
  CRYPSIS_INLINE static Lanes16 byte_swap(Lanes16 x) {
    const __m512i order = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
    return {_mm512_shuffle_epi8(x.v, order)};
  }
  template <Extent kExtent>
  CRYPSIS_INLINE static void load_blocks(const Step<16>& step, Lanes16 w[16]);
  CRYPSIS_INLINE static void store_digests(const Lanes16 s[8], std::uint8_t* out);
};

CRYPSIS_INLINE __m512i low_words(__m512i a, __m512i b) {
  return _mm512_unpacklo_epi32(a, b);
}
CRYPSIS_INLINE __m512i high_words(__m512i a, __m512i b) {
  return _mm512_unpackhi_epi32(a, b);
}

// u[c], 128-bit part j: word 4j + c of rows 0 to 3, when part j of row i holds its words 4j to 4j + 3.
CRYPSIS_INLINE void transpose_4x4(const __m512i row[4], __m512i u[4]) {
  const __m512i a = low_words(row[0], row[1]);
  const __m512i b = high_words(row[0], row[1]);
  const __m512i c = low_words(row[2], row[3]);
  const __m512i d = high_words(row[2], row[3]);
  u[0] = _mm512_unpacklo_epi64(a, c);
  u[1] = _mm512_unpackhi_epi64(a, c);
  u[2] = _mm512_unpacklo_epi64(b, d);
  u[3] = _mm512_unpackhi_epi64(b, d);
}

CRYPSIS_INLINE __m512i padded(__m512i row, std::uint64_t pad) {
  return _mm512_mask_mov_epi8(row, pad, _mm512_set1_epi8(static_cast<char>(0x80)));
}

// Blocks below 32 bytes: two rows in a register, half the shuffles.
CRYPSIS_INLINE void load_half_blocks(const Step<16>& step, Lanes16 w[16]) {
  __m512i row[8];
  for (int i = 0; i < 8; ++i) {
    const auto low_mask = static_cast<__mmask32>((std::uint64_t{1} << step.take[i]) - 1);
    const auto high_mask = static_cast<__mmask32>((std::uint64_t{1} << step.take[i + 8]) - 1);
    const __m256i low = _mm256_maskz_loadu_epi8(low_mask, step.data[i]);
    const __m256i high = _mm256_maskz_loadu_epi8(high_mask, step.data[i + 8]);
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    row[i] = padded(both, step.pad[i] | (step.pad[i + 8] << 32));
  }
  __m512i front[4];  // parts: words c and 4 + c of rows 0-3, then of rows 8-11
  __m512i back[4];   // of rows 4-7, 12-15
  transpose_4x4(row, front);
  transpose_4x4(row + 4, back);
  const __m512i even = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
  const __m512i odd = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
  for (int c = 0; c < 4; ++c) {
    w[c].v = _mm512_permutex2var_epi64(front[c], even, back[c]);
    w[4 + c].v = _mm512_permutex2var_epi64(front[c], odd, back[c]);
    w[8 + c].v = _mm512_setzero_si512();
    w[12 + c].v = _mm512_setzero_si512();
  }
}

CRYPSIS_INLINE void load_full_blocks(const Step<16>& step, Lanes16 w[16]) {
  __m512i u[4][4];
  for (int g = 0; g < 4; ++g) {
    __m512i row[4];
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t take = step.take[4 * g + i];
      const __mmask64 mask = take == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << take) - 1;
      row[i] = padded(_mm512_maskz_loadu_epi8(mask, step.data[4 * g + i]), step.pad[4 * g + i]);
    }
    transpose_4x4(row, u[g]);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512i a = _mm512_shuffle_i32x4(u[0][c], u[1][c], 0x44);  // parts 0, 1 of each
    const __m512i b = _mm512_shuffle_i32x4(u[0][c], u[1][c], 0xee);  // parts 2, 3
    const __m512i d = _mm512_shuffle_i32x4(u[2][c], u[3][c], 0x44);
    const __m512i e = _mm512_shuffle_i32x4(u[2][c], u[3][c], 0xee);
    w[c].v = _mm512_shuffle_i32x4(a, d, 0x88);  // even parts of both
    w[4 + c].v = _mm512_shuffle_i32x4(a, d, 0xdd);
    w[8 + c].v = _mm512_shuffle_i32x4(b, e, 0x88);
    w[12 + c].v = _mm512_shuffle_i32x4(b, e, 0xdd);
  }
}

template <Extent kExtent>
CRYPSIS_INLINE void Lanes16::load_blocks(const Step<16>& step, Lanes16 w[16]) {
  if constexpr (kExtent == Extent::kFull) {
    load_full_blocks(step, w);
  } else {
    load_half_blocks(step, w);
  }
}

CRYPSIS_INLINE void Lanes16::store_digests(const Lanes16 s[8], std::uint8_t* out) {
  const __m512i low_rows[4] = {s[0].v, s[1].v, s[2].v, s[3].v};
  const __m512i high_rows[4] = {s[4].v, s[5].v, s[6].v, s[7].v};
  __m512i low[4];   // low[c], part j: words 0 to 3 of message 4j + c
  __m512i high[4];  // words 4 to 7
  transpose_4x4(low_rows, low);
  transpose_4x4(high_rows, high);
  const __m512i front = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);  // part 0 of both, part 1 of both
  const __m512i back = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  for (int c = 0; c < 4; ++c) {
    const __m512i a = _mm512_permutex2var_epi64(low[c], front, high[c]);  // messages c and 4 + c
    const __m512i b = _mm512_permutex2var_epi64(low[c], back, high[c]);   // messages 8 + c and 12 + c
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * c), _mm512_castsi512_si256(a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * (4 + c)), _mm512_extracti64x4_epi64(a, 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * (8 + c)), _mm512_castsi512_si256(b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * (12 + c)), _mm512_extracti64x4_epi64(b, 1));
  }
}

bool accepts(Algorithm) noexcept {
  return true;
}

}  // namespace

const Impl avx512{{"avx512", kAvx512f | kAvx512bw | kAvx512vl | kAvx512dq},
                  accepts,
                  digest_lanes<Lanes16>,
                  additions<Lanes16>};

}  // namespace crypsis::hashing
