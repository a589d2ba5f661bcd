// SPDX-License-Identifier: Apache-2.0
// Eight points a register on AVX-512 IFMA. Operation counts, the limit and what was tried: NOTES.md.
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/wipe.h"
#include "curve25519/field51x8.h"
#include "curve25519/impl.h"

namespace crypsis::curve25519 {
namespace {

constexpr std::size_t kLanes = 8;
constexpr std::size_t kGroups =
    32;  // groups of eight that share one inversion: 2 x 10 KiB of state, within L1
constexpr std::uint64_t kA = 486662;
constexpr std::uint64_t kA24 = 121665;

// Rows of 32 bytes to four words of eight lanes. A last group with fewer than eight rows reads its first row
// again in the idle lanes: nothing outside the array is touched.
inline void load_rows(const std::uint8_t* rows, std::size_t stride, std::size_t n, __m512i w[4]) {
  alignas(64) std::uint64_t words[4][kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    std::uint64_t row[4];
    std::memcpy(row, rows + (lane < n ? lane : 0) * stride, 32);
    for (int k = 0; k < 4; ++k) words[k][lane] = row[k];
  }
  for (int k = 0; k < 4; ++k) w[k] = _mm512_load_si512(words[k]);
  secure_wipe(words, sizeof(words));
}

inline void store_rows(const __m512i w[4], std::uint8_t* rows, std::size_t n) {
  alignas(64) std::uint64_t words[4][kLanes];
  for (int k = 0; k < 4; ++k) _mm512_store_si512(words[k], w[k]);
  for (std::size_t lane = 0; lane < n; ++lane) {
    const std::uint64_t row[4] = {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
    std::memcpy(rows + lane * 32, row, 32);
  }
}

inline Reduced times(const Reduced& a, const Reduced& b) {
  return carry(mul(a, b));
}

inline Reduced sqr_n(Reduced a, int n) {
  for (int i = 0; i < n; ++i) a = carry(sqr(a));
  return a;
}

// z^(2^250 - 1) and z^11: the shared part of the chains for z^(p - 2) and z^((p - 5) / 8).
inline Reduced pow_2_250_1(const Reduced& z, Reduced& z11) {
  const Reduced z2 = sqr_n(z, 1);
  const Reduced z9 = times(sqr_n(z2, 2), z);
  z11 = times(z9, z2);
  const Reduced e5 = times(sqr_n(z11, 1), z9);  // e<k> = z^(2^k - 1)
  const Reduced e10 = times(sqr_n(e5, 5), e5);
  const Reduced e20 = times(sqr_n(e10, 10), e10);
  const Reduced e40 = times(sqr_n(e20, 20), e20);
  const Reduced e50 = times(sqr_n(e40, 10), e10);
  const Reduced e100 = times(sqr_n(e50, 50), e50);
  const Reduced e200 = times(sqr_n(e100, 100), e100);
  return times(sqr_n(e200, 50), e50);
}

// z^(p - 2), p - 2 = 2^255 - 21 = 2^5 (2^250 - 1) + 11.
inline Reduced invert(const Reduced& z) {
  Reduced z11;
  const Reduced e250 = pow_2_250_1(z, z11);
  return times(sqr_n(e250, 5), z11);
}

// Lanes where z is a square or zero: z^((p - 1) / 2), (p - 1) / 2 = 2^4 (2^250 - 1) + 6, is 1 or 0.
inline __mmask8 is_square(const Reduced& z) {
  Reduced z11;
  const Reduced e250 = pow_2_250_1(z, z11);
  const Reduced z2 = sqr_n(z, 1);
  const Reduced z6 = times(sqr_n(z2, 1), z2);
  const Reduced chi = times(sqr_n(e250, 4), z6);
  const Wide minus_one = sub(biased(widen(chi)), widen(splat_small(1)));
  return static_cast<__mmask8>(is_zero(carry(minus_one)) | is_zero(chi));
}

// Montgomery's trick over groups, lane by lane: z[i] becomes its inverse, zero stays zero. `scratch` has n
// entries.
void batch_invert(Reduced* z, Reduced* scratch, std::size_t n) {
  const Reduced one = splat_small(1);
  __mmask8 zero[kGroups];
  Reduced product = one;
  for (std::size_t i = 0; i < n; ++i) {
    zero[i] = is_zero(z[i]);
    z[i] = select(zero[i], z[i], one);  // a zero must not spoil the others
    scratch[i] = product;
    product = times(product, z[i]);
  }
  Reduced inverse = invert(product);
  const Reduced nought = splat_small(0);
  for (std::size_t i = n; i-- > 0;) {
    const Reduced own = times(inverse, scratch[i]);
    inverse = times(inverse, z[i]);
    z[i] = select(zero[i], own, nought);
  }
}

// X : Z with the carries still due; `x` carries the bias, so that sums and differences of the two can be
// taken.
struct Uncarried {
  Wide x, z;
};
struct Projective {
  Reduced x, z;
};

// 2 P from s = X + Z and d = X - Z of P.
inline Uncarried twice(const Reduced& s, const Reduced& d) {
  const Wide ss = sqr_biased(s);
  const Wide dd = sqr(d);
  const Reduced e = carry(sub(ss, dd));
  return {mul_biased(carry(ss), carry(dd)), mul(e, carry(add_mul_small(ss, e, kA24)))};
}

// The Montgomery ladder [RFC 7748, 5] on eight lanes; bit t of lane i of `scalar` is bit t mod 64 of word t
// / 64. The scalar is clamped: bit 254 set, bits 0 to 2 clear.
//
// Kept are s = X + Z and d = X - Z of two points that differ by P: a, b of the one that the last step
// doubled, c, d of the sum. The sum of the two does not depend on which is doubled next, so only the operands
// of the doubling are selected and nothing is swapped; and s, d are taken of uncarried products, so ten
// carries a step do.
Projective ladder(const __m512i scalar[4], const Reduced& x1) {
  const Wide one = widen(splat_small(1));
  Reduced c = carry(add(widen(x1), one));
  Reduced d = carry(sub(biased(widen(x1)), one));
  Uncarried doubled = twice(c, d);  // bit 254: double P, the sum 0 + P stays
  Reduced a = carry(add(doubled.x, doubled.z));
  Reduced b = carry(sub(doubled.x, doubled.z));
  __mmask8 previous = 0xff;
  for (int t = 253; t >= 3; --t) {
    const __mmask8 bit = _mm512_test_epi64_mask(scalar[t >> 6], splat(std::uint64_t{1} << (t & 63)));
    const __mmask8 other = bit ^ previous;
    previous = bit;

    // `twice` and the sum interleaved: independent products side by side keep both multipliers busy.
    const Wide ss = sqr_biased(select(other, a, c));
    const Wide dd = sqr(select(other, b, d));
    const Wide da = mul_biased(d, a);
    const Wide cb = mul(c, b);
    const Reduced e = carry(sub(ss, dd));
    const Wide x3 = sqr_biased(carry(add(da, cb)));
    const Reduced difference = carry(sqr(carry(sub(da, cb))));
    doubled.x = mul_biased(carry(ss), carry(dd));
    doubled.z = mul(e, carry(add_mul_small(ss, e, kA24)));
    const Wide z3 = mul(x1, difference);

    a = carry(add(doubled.x, doubled.z));
    b = carry(sub(doubled.x, doubled.z));
    c = carry(add(x3, z3));
    d = carry(sub(x3, z3));
  }
  doubled = twice(select(previous, a, c), select(previous, b, d));
  for (int t = 1; t >= 0; --t) {
    doubled = twice(carry(add(doubled.x, doubled.z)), carry(sub(doubled.x, doubled.z)));
  }
  return {carry(doubled.x), carry(doubled.z)};
}

void scalar_mult(const std::uint8_t* scalars, std::size_t scalar_stride, const std::uint8_t* points,
                 std::uint8_t* out, std::size_t n) {
  Projective results[kGroups];
  Reduced inverses[kGroups];
  Reduced scratch[kGroups];
  __m512i scalar[4];
  for (std::size_t begin = 0; begin < n; begin += kGroups * kLanes) {
    const std::size_t end = std::min(n, begin + kGroups * kLanes);
    std::size_t groups = 0;
    for (std::size_t i = begin; i < end; i += kLanes, ++groups) {
      const std::size_t rows = std::min(kLanes, end - i);
      load_rows(scalars + i * scalar_stride, scalar_stride, rows, scalar);
      // Clamp [RFC 7748, 5]: clear bits 0-2 and 255, set bit 254.
      scalar[0] = _mm512_and_si512(scalar[0], splat(~std::uint64_t{7}));
      scalar[3] = _mm512_or_si512(_mm512_and_si512(scalar[3], splat(~std::uint64_t{0} >> 2)),
                                  splat(std::uint64_t{1} << 62));
      __m512i words[4];
      load_rows(points + i * 32, 32, rows, words);
      results[groups] = ladder(scalar, from_words(words));
      inverses[groups] = results[groups].z;
    }
    batch_invert(inverses, scratch, groups);
    for (std::size_t g = 0; g < groups; ++g) {
      __m512i words[4];
      to_words(freeze(times(results[g].x, inverses[g])), words);
      const std::size_t i = begin + g * kLanes;
      store_rows(words, out + i * 32, std::min(kLanes, end - i));
    }
  }
  secure_wipe(scalar, sizeof(scalar));
  secure_wipe(results, sizeof(results));
  secure_wipe(inverses, sizeof(inverses));
  secure_wipe(scratch, sizeof(scratch));
}

// Elligator 2 [RFC 9380, 6.7.1], Z = 2: x1 = -A / d with d = 1 + 2 u^2 (never 0: -1/2 is no square). With
// g(x) = x^3 + A x^2 + x, g(x1) d^4 = -A (d^2 - 2 A^2 u^2) d, so its character needs no inverse; u = x1 if it
// is a square, else x2 = -x1 - A.
void map_to_curve(const std::uint8_t* elements, std::uint8_t* out, std::size_t n) {
  Reduced inverses[kGroups];
  Reduced scratch[kGroups];
  __mmask8 square[kGroups];
  const Reduced one = splat_small(1);
  const Reduced a = splat_small(kA);
  const Wide zero = widen(splat_small(0));
  for (std::size_t begin = 0; begin < n; begin += kGroups * kLanes) {
    const std::size_t end = std::min(n, begin + kGroups * kLanes);
    std::size_t groups = 0;
    for (std::size_t i = begin; i < end; i += kLanes, ++groups) {
      __m512i words[4];
      load_rows(elements + i * 32, 32, std::min(kLanes, end - i), words);
      const Wide uu = sqr(from_words(words));
      const Wide uu2 = add(uu, uu);
      const Reduced d = carry(add(uu2, widen(one)));
      const Reduced w =
          carry(sub(sqr_biased(d), add_mul_small(zero, carry(add_mul_small(zero, carry(uu2), kA)), kA)));
      const Reduced minus_a_d = carry(sub(biased(zero), add_mul_small(zero, d, kA)));
      square[groups] = is_square(times(w, minus_a_d));
      inverses[groups] = d;
    }
    batch_invert(inverses, scratch, groups);
    for (std::size_t g = 0; g < groups; ++g) {
      const Reduced a_over_d = carry(add_mul_small(zero, inverses[g], kA));
      const Reduced x1 = carry(sub(biased(zero), widen(a_over_d)));
      const Reduced x2 = carry(sub(biased(widen(a_over_d)), widen(a)));
      __m512i words[4];
      to_words(freeze(select(square[g], x2, x1)), words);
      const std::size_t i = begin + g * kLanes;
      store_rows(words, out + i * 32, std::min(kLanes, end - i));
    }
  }
  secure_wipe(inverses, sizeof(inverses));
  secure_wipe(scratch, sizeof(scratch));
}

}  // namespace

constinit const Impl avx512{{"avx512", kAvx512f | kAvx512dq | kAvx512ifma}, scalar_mult, map_to_curve};

}  // namespace crypsis::curve25519
