// SPDX-License-Identifier: Apache-2.0
// Arithmetic mod p < 2^60 on four 64-bit lanes from 32-bit products (vpmuludq), constant-time. AVX2; internal linkage.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

using Four = __m256i;
inline constexpr std::size_t kFour = 4;

inline Four load4(const std::uint64_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
inline void store4(std::uint64_t* to, Four x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x);
}
inline Four all4(std::uint64_t x) {
  return _mm256_set1_epi64x(static_cast<long long>(x));
}

// Each lane's upper half in its lower one, which is all that a 32-bit product reads: a shuffle, as the ports of products
// have the shifts too.
inline Four upper(Four x) {
  return _mm256_castps_si256(_mm256_movehdup_ps(_mm256_castsi256_ps(x)));
}

// x in [0, 2m) -> [0, m), m < 2^62: signs are all that AVX2 compares.
inline Four reduce_once(Four x, Four m) {
  const Four less = _mm256_sub_epi64(x, m);
  return _mm256_add_epi64(less, _mm256_and_si256(m, _mm256_cmpgt_epi64(_mm256_setzero_si256(), less)));
}

// Two words that multiply each other: with upper halves.
struct Halves {
  Four low, high;
  explicit Halves(Four x) : low(x), high(upper(x)) {}
};

// floor(a b / 2^64) or up to 2 less: without the product of the lower halves, which is below 1, and the two middle ones
// rounded down one by one.
inline Four high_product(const Halves& a, const Halves& b) {
  const Four high = _mm256_mul_epu32(a.high, b.high);
  const Four one = _mm256_srli_epi64(_mm256_mul_epu32(a.high, b.low), 32);
  const Four other = _mm256_srli_epi64(_mm256_mul_epu32(a.low, b.high), 32);
  return _mm256_add_epi64(_mm256_add_epi64(high, one), other);
}

// (a b - q p) mod 2^64: one shift for all four middle products.
inline Four difference_of_products(const Halves& a, const Halves& b, const Halves& q, const Halves& p) {
  const Four low = _mm256_sub_epi64(_mm256_mul_epu32(a.low, b.low), _mm256_mul_epu32(q.low, p.low));
  const Four gain = _mm256_add_epi64(_mm256_mul_epu32(a.high, b.low), _mm256_mul_epu32(a.low, b.high));
  const Four loss = _mm256_add_epi64(_mm256_mul_epu32(q.high, p.low), _mm256_mul_epu32(q.low, p.high));
  return _mm256_add_epi64(low, _mm256_slli_epi64(_mm256_sub_epi64(gain, loss), 32));
}

// A factor that is known beforehand, w < p, and its quotient floor(w 2^64 / p).
struct FactorHalves {
  Halves w, quotient;
};

// y w mod p in [0, 4p), for any y: the quotient is short of y w / p by less than 2 (high_product) + 1 (the floor) + 1
// (quotient's floor, y times over 2^64).
inline Four multiply_lazy4(Four y, const FactorHalves& f, const Halves& p) {
  const Halves halves(y), q(high_product(halves, f.quotient));
  return difference_of_products(halves, f.w, q, p);
}

// x mod p in [0, 2p) for x < 2^8 p: modular_avx512.h's SmallQuotient, floor(x / p) or one less from x's top 32 bits; k =
// bits of p, s = max(0, k - 24).
class SmallQuotient4 {
 public:
  explicit SmallQuotient4(const PrimeTables& t) {
    const auto k = static_cast<std::uint64_t>(t.bits), s = k > 24 ? k - 24 : 0;
    first_shift_ = all4(s);
    reciprocal_ = all4(static_cast<std::uint64_t>((static_cast<unsigned __int128>(1) << (31 + k)) / t.p));
    last_shift_ = all4(31 + k - s);
  }
  Four remainder(Four x, const Halves& p) const {
    const Four top = _mm256_srlv_epi64(x, first_shift_);
    const Four q = _mm256_srlv_epi64(_mm256_mul_epu32(top, reciprocal_), last_shift_);
    const Four upper_part = _mm256_slli_epi64(_mm256_mul_epu32(q, p.high), 32);
    return _mm256_sub_epi64(_mm256_sub_epi64(x, _mm256_mul_epu32(q, p.low)), upper_part);
  }

 private:
  Four first_shift_, reciprocal_, last_shift_;
};

}  // namespace
}  // namespace crypsis::ntt
