// SPDX-License-Identifier: Apache-2.0
// Composition to doubles on eight lanes. Internal linkage.
#pragma once
#include <cstddef>
#include <cstdint>

#include "common/wipe.h"
#include "ntt/modular_avx512.h"
#include "rns/compose_lanes.h"
#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

using ntt::Lanes;

// x in [0, t) -> the centred residue; half = (t - 1) / 2.
inline Lanes centre(Lanes x, Lanes t, Lanes half) {
  return _mm512_mask_sub_epi64(x, _mm512_cmpgt_epu64_mask(x, half), x, t);
}

struct EightLanes {
  using Words = Lanes;
  using Reals = __m512d;
  using Mask = __mmask8;
  static Words all(std::uint64_t x) { return ntt::all(x); }
  static Words add(Words a, Words b) { return _mm512_add_epi64(a, b); }
  static Words subtract(Words a, Words b) { return _mm512_sub_epi64(a, b); }
  static Words bit_and(Words a, Words b) { return _mm512_and_si512(a, b); }
  static Words bit_or(Words a, Words b) { return _mm512_or_si512(a, b); }
  static Words bit_xor(Words a, Words b) { return _mm512_xor_si512(a, b); }
  template <int kBits>
  static Words shift_up(Words a) {
    return _mm512_slli_epi64(a, kBits);
  }
  template <int kBits>
  static Words shift_down(Words a) {
    return _mm512_srli_epi64(a, kBits);
  }
  static Words shift_down_signed(Words a) { return _mm512_srai_epi64(a, kWordBits); }
  static Words shift_up_each(Words a, Words by) { return _mm512_sllv_epi64(a, by); }
  static Words shift_down_each(Words a, Words by) { return _mm512_srlv_epi64(a, by); }
  static Words multiply32(Words a, Words b) { return _mm512_mul_epu32(a, b); }
  static Mask is_zero(Words a) { return _mm512_cmpeq_epi64_mask(a, _mm512_setzero_si512()); }
  static Words select(Mask mask, Words yes, Words no) { return _mm512_mask_mov_epi64(no, mask, yes); }
  static Words exponent(Words a) { return _mm512_srli_epi64(_mm512_castpd_si512(_mm512_cvtepi64_pd(a)), 52); }
  static Reals scale(Words x, Words power) {
    return _mm512_scalef_pd(_mm512_cvtepi64_pd(x), _mm512_cvtepi64_pd(power));
  }
  static Reals with_sign(Reals x, Words sign) {
    return _mm512_castsi512_pd(_mm512_or_si512(_mm512_castpd_si512(x), sign));
  }
};

void compose(const Radix& radix, const std::uint64_t* const* rows, std::size_t n, double* out) {
  const std::size_t end = n / ntt::kLanes * ntt::kLanes;
  if (radix.count == 1) {
    const std::uint64_t t = radix.chain.prime(radix.numbers[0]);
    for (std::size_t at = 0; at < end; at += ntt::kLanes) {
      const Lanes digit = centre(ntt::load(rows[0] + at), ntt::all(t), ntt::all(t >> 1));
      _mm512_storeu_pd(out + at, _mm512_cvtepi64_pd(digit));
    }
    compose_run(radix, rows, end, n, out);
    return;
  }
  const Weights weights(radix);
  Compose<EightLanes> lanes;
  const WipeGuard wipe(lanes);
  for (std::size_t at = 0; at < end; at += ntt::kLanes) {
    for (std::size_t i = 0; i < radix.count; ++i) {
      const std::uint64_t t = radix.chain.prime(radix.numbers[i]);
      const Lanes modulus = ntt::all(t), twice = ntt::all(2 * t);
      const Lanes offset = ntt::all(2 * kDigitBound / t * t + t);  // a multiple of t above every z_j
      Lanes x = ntt::reduce_once(_mm512_add_epi64(ntt::load(rows[i] + at), ntt::all(t >> 1)), modulus);
      for (std::size_t j = 0; j < i; ++j) {
        const Constant& inverse = radix.chain.inverse(radix.numbers[j], radix.numbers[i]);
        const ntt::Factor64 factor = ntt::make_factor64(ntt::all(inverse.value), ntt::all(inverse.quotient));
        const Lanes shifted = _mm512_sub_epi64(_mm512_add_epi64(x, offset), lanes.digits[j]);
        x = ntt::multiply64(shifted, factor, modulus, twice);
      }
      lanes.digits[i] = x;
    }
    _mm512_storeu_pd(out + at, lanes.value(weights, radix.count));
  }
  compose_run(radix, rows, end, n, out);
}

}  // namespace
}  // namespace crypsis::rns
