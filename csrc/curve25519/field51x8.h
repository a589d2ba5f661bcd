// SPDX-License-Identifier: Apache-2.0
// GF(2^255 - 19), eight elements at a time: radix 2^51, five limbs, one AVX-512 register a limb, a lane an
// element. Included by AVX-512 files only; everything has internal linkage.
//
// Two types keep the carries honest. IFMA multiplies the low 52 bits of its operands, so a product takes
// Reduced values only, and a sum of two Reduced values already overflows that. Therefore products come out
// Wide (before the carry), sums and differences are taken of Wide values, and one carry serves both. Ranges,
// per limb:
//   Reduced   < 2^51 + 2^15
//   Wide      < 2^61; a plain product of Reduced values is < 2^59 (limb 0: 124.5 * 2^52; see NOTES.md)
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace crypsis::curve25519 {
namespace {

struct Reduced {
  __m512i v[5];
};
struct Wide {
  __m512i v[5];
};

constexpr std::uint64_t kMask51 = (std::uint64_t{1} << 51) - 1;

inline __m512i splat(std::uint64_t value) {
  return _mm512_set1_epi64(static_cast<long long>(value));
}
inline __m512i add64(__m512i a, __m512i b) {
  return _mm512_add_epi64(a, b);
}
inline __m512i sub64(__m512i a, __m512i b) {
  return _mm512_sub_epi64(a, b);
}
inline __m512i lo52(__m512i acc, __m512i a, __m512i b) {
  return _mm512_madd52lo_epu64(acc, a, b);
}
inline __m512i hi52(__m512i acc, __m512i a, __m512i b) {
  return _mm512_madd52hi_epu64(acc, a, b);
}

// Limbs of 2^9 * p: at least 2^60 - 2^14, above any plain product's limb, so that Wide - Wide + kBias stays
// positive.
constexpr std::uint64_t kBias0 = ((std::uint64_t{1} << 51) - 19) << 9;
constexpr std::uint64_t kBiasN = kMask51 << 9;

inline Reduced splat_small(std::uint64_t value) {
  return {{splat(value), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
           _mm512_setzero_si512()}};
}

// One parallel carry: limbs below 2^61 become Reduced (51 bits plus a carry below 2^10, limb 0 plus 19 times
// one).
inline Reduced carry(const Wide& w) {
  const __m512i mask = splat(kMask51);
  const __m512i c0 = _mm512_srli_epi64(w.v[0], 51);
  const __m512i c1 = _mm512_srli_epi64(w.v[1], 51);
  const __m512i c2 = _mm512_srli_epi64(w.v[2], 51);
  const __m512i c3 = _mm512_srli_epi64(w.v[3], 51);
  const __m512i c4 = _mm512_srli_epi64(w.v[4], 51);
  return {{lo52(_mm512_and_si512(w.v[0], mask), c4, splat(19)), add64(_mm512_and_si512(w.v[1], mask), c0),
           add64(_mm512_and_si512(w.v[2], mask), c1), add64(_mm512_and_si512(w.v[3], mask), c2),
           add64(_mm512_and_si512(w.v[4], mask), c3)}};
}

inline Wide add(const Wide& a, const Wide& b) {
  return {{add64(a.v[0], b.v[0]), add64(a.v[1], b.v[1]), add64(a.v[2], b.v[2]), add64(a.v[3], b.v[3]),
           add64(a.v[4], b.v[4])}};
}

// a - b where a was produced with its bias in (mul_biased, sqr_biased, biased) and b was not.
inline Wide sub(const Wide& a, const Wide& b) {
  return {{sub64(a.v[0], b.v[0]), sub64(a.v[1], b.v[1]), sub64(a.v[2], b.v[2]), sub64(a.v[3], b.v[3]),
           sub64(a.v[4], b.v[4])}};
}

inline Wide widen(const Reduced& a) {
  return {{a.v[0], a.v[1], a.v[2], a.v[3], a.v[4]}};
}

inline Wide biased(const Wide& a) {
  return add(a, {{splat(kBias0), splat(kBiasN), splat(kBiasN), splat(kBiasN), splat(kBiasN)}});
}

// low + 19 * high: column k + 5 has weight 2^255 = 19 (mod p) over column k.
inline __m512i fold(__m512i low, __m512i high) {
  const __m512i x3 = add64(add64(high, high), high);
  return add64(add64(low, x3), _mm512_slli_epi64(high, 4));
}

// The schoolbook product. Column k sums the low halves of a[i] b[j], i + j = k, and twice the high halves of
// i + j = k - 1 (a high half weighs 2^52 = 2 * 2^51), so a column starts with its high halves, doubles, goes
// on with the low ones. With Biased, 2^9 p is added for nothing by starting columns 0-4 from it (halved where
// doubled).
template <bool Biased>
inline Wide mul_impl(const Reduced& a, const Reduced& b) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i half = Biased ? splat(kBiasN / 2) : zero;
  __m512i c0 = Biased ? splat(kBias0) : zero;
  __m512i c1 = half, c2 = half, c3 = half, c4 = half;
  __m512i c5 = zero, c6 = zero, c7 = zero, c8 = zero, c9 = zero;

  c1 = hi52(c1, a.v[0], b.v[0]);
  c2 = hi52(c2, a.v[0], b.v[1]);
  c3 = hi52(c3, a.v[0], b.v[2]);
  c4 = hi52(c4, a.v[0], b.v[3]);
  c5 = hi52(c5, a.v[0], b.v[4]);
  c2 = hi52(c2, a.v[1], b.v[0]);
  c3 = hi52(c3, a.v[1], b.v[1]);
  c4 = hi52(c4, a.v[1], b.v[2]);
  c5 = hi52(c5, a.v[1], b.v[3]);
  c6 = hi52(c6, a.v[1], b.v[4]);
  c3 = hi52(c3, a.v[2], b.v[0]);
  c4 = hi52(c4, a.v[2], b.v[1]);
  c5 = hi52(c5, a.v[2], b.v[2]);
  c6 = hi52(c6, a.v[2], b.v[3]);
  c7 = hi52(c7, a.v[2], b.v[4]);
  c4 = hi52(c4, a.v[3], b.v[0]);
  c5 = hi52(c5, a.v[3], b.v[1]);
  c6 = hi52(c6, a.v[3], b.v[2]);
  c7 = hi52(c7, a.v[3], b.v[3]);
  c8 = hi52(c8, a.v[3], b.v[4]);
  c5 = hi52(c5, a.v[4], b.v[0]);
  c6 = hi52(c6, a.v[4], b.v[1]);
  c7 = hi52(c7, a.v[4], b.v[2]);
  c8 = hi52(c8, a.v[4], b.v[3]);
  c9 = hi52(c9, a.v[4], b.v[4]);

  c1 = add64(c1, c1);
  c2 = add64(c2, c2);
  c3 = add64(c3, c3);
  c4 = add64(c4, c4);
  c5 = add64(c5, c5);
  c6 = add64(c6, c6);
  c7 = add64(c7, c7);
  c8 = add64(c8, c8);
  c9 = add64(c9, c9);

  c0 = lo52(c0, a.v[0], b.v[0]);
  c1 = lo52(c1, a.v[0], b.v[1]);
  c2 = lo52(c2, a.v[0], b.v[2]);
  c3 = lo52(c3, a.v[0], b.v[3]);
  c4 = lo52(c4, a.v[0], b.v[4]);
  c1 = lo52(c1, a.v[1], b.v[0]);
  c2 = lo52(c2, a.v[1], b.v[1]);
  c3 = lo52(c3, a.v[1], b.v[2]);
  c4 = lo52(c4, a.v[1], b.v[3]);
  c5 = lo52(c5, a.v[1], b.v[4]);
  c2 = lo52(c2, a.v[2], b.v[0]);
  c3 = lo52(c3, a.v[2], b.v[1]);
  c4 = lo52(c4, a.v[2], b.v[2]);
  c5 = lo52(c5, a.v[2], b.v[3]);
  c6 = lo52(c6, a.v[2], b.v[4]);
  c3 = lo52(c3, a.v[3], b.v[0]);
  c4 = lo52(c4, a.v[3], b.v[1]);
  c5 = lo52(c5, a.v[3], b.v[2]);
  c6 = lo52(c6, a.v[3], b.v[3]);
  c7 = lo52(c7, a.v[3], b.v[4]);
  c4 = lo52(c4, a.v[4], b.v[0]);
  c5 = lo52(c5, a.v[4], b.v[1]);
  c6 = lo52(c6, a.v[4], b.v[2]);
  c7 = lo52(c7, a.v[4], b.v[3]);
  c8 = lo52(c8, a.v[4], b.v[4]);

  return {{fold(c0, c5), fold(c1, c6), fold(c2, c7), fold(c3, c8), fold(c4, c9)}};
}

// Squaring: a cross product counts twice, its high half four times, so a column is
// 2 * (2 * cross high + square high + cross low) + square low: 30 products instead of 50.
template <bool Biased>
inline Wide sqr_impl(const Reduced& a) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i half = Biased ? splat(kBiasN / 2) : zero;
  const __m512i quarter = Biased ? splat(kBiasN / 4) : zero;
  __m512i c0 = Biased ? splat(kBias0) : zero;
  __m512i c1 = half, c2 = quarter, c3 = quarter, c4 = quarter;
  __m512i c5 = zero, c6 = zero, c7 = zero, c8 = zero, c9 = zero;

  c2 = hi52(c2, a.v[0], a.v[1]);
  c3 = hi52(c3, a.v[0], a.v[2]);
  c4 = hi52(c4, a.v[0], a.v[3]);
  c5 = hi52(c5, a.v[0], a.v[4]);
  c6 = hi52(c6, a.v[1], a.v[4]);
  c7 = hi52(c7, a.v[2], a.v[4]);
  c8 = hi52(c8, a.v[3], a.v[4]);
  c4 = hi52(c4, a.v[1], a.v[2]);
  c5 = hi52(c5, a.v[1], a.v[3]);
  c6 = hi52(c6, a.v[2], a.v[3]);

  c2 = add64(c2, c2);
  c3 = add64(c3, c3);
  c4 = add64(c4, c4);
  c5 = add64(c5, c5);
  c6 = add64(c6, c6);
  c7 = add64(c7, c7);
  c8 = add64(c8, c8);

  c1 = hi52(c1, a.v[0], a.v[0]);
  c3 = hi52(c3, a.v[1], a.v[1]);
  c5 = hi52(c5, a.v[2], a.v[2]);
  c7 = hi52(c7, a.v[3], a.v[3]);
  c9 = hi52(c9, a.v[4], a.v[4]);
  c1 = lo52(c1, a.v[0], a.v[1]);
  c2 = lo52(c2, a.v[0], a.v[2]);
  c3 = lo52(c3, a.v[0], a.v[3]);
  c4 = lo52(c4, a.v[0], a.v[4]);
  c5 = lo52(c5, a.v[1], a.v[4]);
  c6 = lo52(c6, a.v[2], a.v[4]);
  c7 = lo52(c7, a.v[3], a.v[4]);
  c3 = lo52(c3, a.v[1], a.v[2]);
  c4 = lo52(c4, a.v[1], a.v[3]);
  c5 = lo52(c5, a.v[2], a.v[3]);

  c1 = add64(c1, c1);
  c2 = add64(c2, c2);
  c3 = add64(c3, c3);
  c4 = add64(c4, c4);
  c5 = add64(c5, c5);
  c6 = add64(c6, c6);
  c7 = add64(c7, c7);
  c8 = add64(c8, c8);
  c9 = add64(c9, c9);

  c0 = lo52(c0, a.v[0], a.v[0]);
  c2 = lo52(c2, a.v[1], a.v[1]);
  c4 = lo52(c4, a.v[2], a.v[2]);
  c6 = lo52(c6, a.v[3], a.v[3]);
  c8 = lo52(c8, a.v[4], a.v[4]);

  return {{fold(c0, c5), fold(c1, c6), fold(c2, c7), fold(c3, c8), fold(c4, c9)}};
}

inline Wide mul(const Reduced& a, const Reduced& b) {
  return mul_impl<false>(a, b);
}
inline Wide mul_biased(const Reduced& a, const Reduced& b) {
  return mul_impl<true>(a, b);
}
inline Wide sqr(const Reduced& a) {
  return sqr_impl<false>(a);
}
inline Wide sqr_biased(const Reduced& a) {
  return sqr_impl<true>(a);
}

// base + a * small, small < 2^32.
inline Wide add_mul_small(const Wide& base, const Reduced& a, std::uint64_t small) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i s = splat(small);
  const __m512i h0 = hi52(zero, a.v[0], s);
  const __m512i h1 = hi52(zero, a.v[1], s);
  const __m512i h2 = hi52(zero, a.v[2], s);
  const __m512i h3 = hi52(zero, a.v[3], s);
  const __m512i h4 = hi52(zero, a.v[4], s);
  return {{lo52(lo52(base.v[0], a.v[0], s), h4, splat(38)), add64(lo52(base.v[1], a.v[1], s), add64(h0, h0)),
           add64(lo52(base.v[2], a.v[2], s), add64(h1, h1)), add64(lo52(base.v[3], a.v[3], s), add64(h2, h2)),
           add64(lo52(base.v[4], a.v[4], s), add64(h3, h3))}};
}

inline Reduced select(__mmask8 take_b, const Reduced& a, const Reduced& b) {
  Reduced r;
  for (int i = 0; i < 5; ++i) r.v[i] = _mm512_mask_blend_epi64(take_b, a.v[i], b.v[i]);
  return r;
}

// The unique representative in [0, p), limbs below 2^51.
inline Reduced freeze(const Reduced& a) {
  const __m512i mask = splat(kMask51);
  // Two sequential carries bring the value below 2^255 (the second absorbs a wrap of the first), exact limbs.
  Reduced r = a;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < 4; ++i) {
      r.v[i + 1] = add64(r.v[i + 1], _mm512_srli_epi64(r.v[i], 51));
      r.v[i] = _mm512_and_si512(r.v[i], mask);
    }
    const __m512i top = _mm512_srli_epi64(r.v[4], 51);
    r.v[4] = _mm512_and_si512(r.v[4], mask);
    r.v[0] = lo52(r.v[0], top, splat(19));
  }
  // q = 1 exactly when the value is at least p, i.e. when adding 19 carries out of bit 255.
  __m512i q = _mm512_srli_epi64(add64(r.v[0], splat(19)), 51);
  for (int i = 1; i < 5; ++i) q = _mm512_srli_epi64(add64(r.v[i], q), 51);
  r.v[0] = lo52(r.v[0], q, splat(19));
  for (int i = 0; i < 4; ++i) {
    r.v[i + 1] = add64(r.v[i + 1], _mm512_srli_epi64(r.v[i], 51));
    r.v[i] = _mm512_and_si512(r.v[i], mask);
  }
  r.v[4] = _mm512_and_si512(r.v[4], mask);
  return r;
}

// Lanes whose value is zero mod p.
inline __mmask8 is_zero(const Reduced& a) {
  const Reduced r = freeze(a);
  const __m512i any = _mm512_or_si512(
      r.v[0], _mm512_or_si512(_mm512_or_si512(r.v[1], r.v[2]), _mm512_or_si512(r.v[3], r.v[4])));
  return _mm512_testn_epi64_mask(any, any);
}

// Bits `shift` to `shift` + 63 of high : low.
inline __m512i join(__m512i low, __m512i high, unsigned shift) {
  return _mm512_or_si512(_mm512_srli_epi64(low, shift), _mm512_slli_epi64(high, 64 - shift));
}

// Four 64-bit words (lane = element) to limbs: the top bit is dropped [RFC 7748, 5].
inline Reduced from_words(const __m512i w[4]) {
  const __m512i mask = splat(kMask51);
  return {{_mm512_and_si512(w[0], mask), _mm512_and_si512(join(w[0], w[1], 51), mask),
           _mm512_and_si512(join(w[1], w[2], 38), mask), _mm512_and_si512(join(w[2], w[3], 25), mask),
           _mm512_and_si512(_mm512_srli_epi64(w[3], 12), mask)}};
}

// Limbs of a frozen value to words.
inline void to_words(const Reduced& r, __m512i w[4]) {
  w[0] = _mm512_or_si512(r.v[0], _mm512_slli_epi64(r.v[1], 51));
  w[1] = _mm512_or_si512(_mm512_srli_epi64(r.v[1], 13), _mm512_slli_epi64(r.v[2], 38));
  w[2] = _mm512_or_si512(_mm512_srli_epi64(r.v[2], 26), _mm512_slli_epi64(r.v[3], 25));
  w[3] = _mm512_or_si512(_mm512_srli_epi64(r.v[3], 39), _mm512_slli_epi64(r.v[4], 12));
}

}  // namespace
}  // namespace crypsis::curve25519
