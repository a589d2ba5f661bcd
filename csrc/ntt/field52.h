// SPDX-License-Identifier: Apache-2.0
// What transform_avx512.h needs of 52-bit arithmetic, p < 2^50 (IFMA). Values count mod 2^52: a lane's bits 52 and up
// mean nothing until finish() clears them, and a value's representative is the one in [0, 2^52).
#pragma once
#include "ntt/modular_avx512.h"
#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

// How often x is brought back to two p: how far values may spread depends on p.
enum class Reduce52 : std::uint8_t { kNever, kBlock, kStage };

// A product less p is in [-p, p): every stage moves values by up to p, up or down.
//   kNever: x of the first stage starts log_n p up; all stay in [0, (2 log_n + 1) p), below 2^52 for the primes served.
//   kBlock: x of a block's first stage is brought to [3p, 5p), three stages spread it to [0, 8p) < 2^52: p < 2^49.
//   kStage: x of every stage is brought to [p, 3p), the stage spreads it to [0, 4p) < 2^52: p < 2^50.
template <Reduce52 kReduce>
class Field52 {
 public:
  using Factor = Factor52;
  static bool serves(const PrimeTables& t) {
    if (kReduce == Reduce52::kNever) {
      return t.p < (std::uint64_t{1} << 52) / static_cast<std::uint64_t>(2 * t.log_n + 1);
    }
    return t.p < (kReduce == Reduce52::kBlock ? kMaxPrime52 / 2 : kMaxPrime52);
  }

  explicit Field52(const PrimeTables& t)
      : p_(all(t.p)),
        minus_p_(all(0 - t.p)),
        reciprocal_(all((std::uint64_t{1} << 52) / t.p)),
        start_(all(t.p * start(t))),
        base_(all(0 - start(t))) {}

  static Twiddles quotients(const PrimeTables& t) { return t.quotients52(); }
  static Factor factor(Lanes w, Lanes quotient) { return {w, quotient}; }

  Lanes first(Lanes x) const { return _mm512_add_epi64(x, start_); }
  Lanes block(Lanes x) const {
    return kReduce == Reduce52::kNever ? x : reduce_lazy52(base_, x, reciprocal_, minus_p_);
  }
  Lanes stage(Lanes x) const {
    return kReduce == Reduce52::kStage ? reduce_lazy52(base_, x, reciprocal_, minus_p_) : x;
  }

  void butterfly(Lanes& x, Lanes& y, const Factor& f) const {
    const Lanes r = multiply_add_lazy52(minus_p_, y, f, minus_p_);
    y = _mm512_sub_epi64(x, r);
    x = _mm512_add_epi64(x, r);
  }
  void butterfly(Lanes& x, Lanes& y) const {
    const Lanes r = y;
    y = _mm512_sub_epi64(x, r);
    x = _mm512_add_epi64(x, r);
  }

  Lanes finish(Lanes x) const {
    return reduce_once(low52(reduce_lazy52(_mm512_setzero_si512(), x, reciprocal_, minus_p_)), p_);
  }
  Lanes finish(Lanes x, const Factor& f) const { return multiply52(x, f, p_, minus_p_); }

 private:
  static std::uint64_t start(const PrimeTables& t) {
    if (kReduce == Reduce52::kNever) return static_cast<std::uint64_t>(t.log_n);
    return kReduce == Reduce52::kBlock ? 3 : 1;
  }

  Lanes p_, minus_p_, reciprocal_, start_, base_;
};

}  // namespace
}  // namespace crypsis::ntt
