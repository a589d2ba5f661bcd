// SPDX-License-Identifier: Apache-2.0
// What transform_avx512.h needs of 64-bit arithmetic, p < 2^60. Products are in [0, 4p).
#pragma once
#include "ntt/modular_avx512.h"
#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

// kReduce false: no stage reduces. x of the first stage starts log_n * 4p up, then every stage moves values by less
// than 4p up or down: they stay in [0, (8 log_n + 1) p), which the caller knows to be below 2^64.
// kReduce true: x is below 4p at the start of a block of up to three stages; y - x comes 4p up, so that after k stages
// values are in [0, 4 (k + 1) p), at most 16p < 2^64.
// kSparse (with IFMA): p is 1 mod 2^12, as every p is for N >= 2^11; then q p = q + 2^12 (q (p >> 12) mod 2^52) mod 2^64,
// in as many operations as vpmullq's three but 10 cycles sooner, and butterflies wait for each other.
template <bool kReduce, bool kSparse>
class Field64 {
 public:
  using Factor = Factor64;
  static bool serves(const PrimeTables& t) {
    if (kSparse && (t.p & 0xfff) != 1) return false;
    return kReduce || t.p < ~std::uint64_t{0} / static_cast<std::uint64_t>(8 * t.log_n + 1);
  }

  explicit Field64(const PrimeTables& t)
      : p_(all(t.p)),
        p_upper_(all(t.p >> 12)),
        two_p_(all(2 * t.p)),
        four_p_(all(4 * t.p)),
        eight_p_(all(8 * t.p)),
        start_(all(4 * t.p * static_cast<std::uint64_t>(t.log_n))),
        divide_(t) {}

  static Twiddles quotients(const PrimeTables& t) { return t.quotients64(); }
  static Factor factor(Lanes w, Lanes quotient) { return make_factor64(w, quotient); }

  // x of a transform's first stage, in [0, p).
  Lanes first(Lanes x) const { return kReduce ? x : _mm512_add_epi64(x, start_); }
  // x of the first stage of any later block.
  Lanes block(Lanes x) const { return kReduce ? reduce_once(reduce_once(x, eight_p_), four_p_) : x; }
  // x of a block's later stages.
  Lanes stage(Lanes x) const { return x; }

  void butterfly(Lanes& x, Lanes& y, const Factor& f) const {
    const Lanes r = product(y, f);
    y = _mm512_sub_epi64(kReduce ? _mm512_add_epi64(x, four_p_) : x, r);
    x = _mm512_add_epi64(x, r);
  }
  // With the factor 1: x as first() left it, y in [0, p).
  void butterfly(Lanes& x, Lanes& y) const {
    const Lanes r = y;
    y = _mm512_sub_epi64(kReduce ? _mm512_add_epi64(x, four_p_) : x, r);
    x = _mm512_add_epi64(x, r);
  }

  Lanes finish(Lanes x) const { return reduce_once(_mm512_sub_epi64(x, multiply_low(divide_(x), p_)), p_); }
  Lanes finish(Lanes x, const Factor& f) const { return multiply64(x, f, p_, two_p_); }

 private:
  // multiply_lazy64
  Lanes product(Lanes y, const Factor& f) const {
#if defined(__AVX512IFMA__)
    if constexpr (kSparse) {
      const Lanes q = quotient64(y, f);
      const Lanes upper = _mm512_madd52lo_epu64(_mm512_setzero_si512(), q, p_upper_);
      return _mm512_sub_epi64(_mm512_sub_epi64(multiply_low(y, f.w), q), _mm512_slli_epi64(upper, 12));
    }
#endif
    return multiply_lazy64(y, f, p_);
  }

  Lanes p_, p_upper_, two_p_, four_p_, eight_p_, start_;
  SmallQuotient divide_;
};

}  // namespace
}  // namespace crypsis::ntt
