// SPDX-License-Identifier: Apache-2.0
// Arithmetic mod p on eight 64-bit lanes, constant-time. AVX-512F and DQ; with IFMA where the file's flags have it.
// Internal linkage.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

using Lanes = __m512i;
inline constexpr std::size_t kLanes = 8;

inline Lanes load(const std::uint64_t* from) {
  return _mm512_loadu_si512(from);
}
inline void store(std::uint64_t* to, Lanes x) {
  _mm512_storeu_si512(to, x);
}
inline Lanes all(std::uint64_t x) {
  return _mm512_set1_epi64(static_cast<long long>(x));
}

// Low words of products, and lanes of x in another order. Intel's cores since Golden Cove wait for the register that
// these two instructions write, as if they read it; so it is set to zero first, which costs nothing to execute (NOTES.md).
inline Lanes multiply_low(Lanes a, Lanes b) {
  Lanes product = _mm512_setzero_si512();
  asm("vpmullq %2, %1, %0" : "+v"(product) : "v"(a), "v"(b));
  return product;
}
inline Lanes reorder(Lanes order, Lanes x) {
  Lanes result = _mm512_setzero_si512();
  asm("vpermq %2, %1, %0" : "+v"(result) : "v"(order), "vm"(x));
  return result;
}

// x in [0, 2m) -> [0, m): below m, x - m wraps round to more than x.
inline Lanes reduce_once(Lanes x, Lanes m) {
  return _mm512_min_epu64(x, _mm512_sub_epi64(x, m));
}

// A factor that is known beforehand, w < p < 2^60, and its quotient floor(w 2^64 / p) in halves.
struct Factor64 {
  Lanes w, high, low;
};

inline Factor64 make_factor64(Lanes w, Lanes quotient) {
#if defined(__AVX512IFMA__)
  return {w, _mm512_srli_epi64(quotient, 32), _mm512_slli_epi64(quotient, 20)};
#else
  return {w, _mm512_srli_epi64(quotient, 32), quotient};
#endif
}

// floor(y quotient / 2^64) or up to 2 less: of the four products of halves, the least is left out (below 1), and the
// middle ones are rounded down one by one (each below 1). IFMA shifts and adds within the product: y's low half comes
// to bits 20 to 51, y's high half meets the quotient's low one there; 8 instructions become 5.
inline Lanes quotient64(Lanes y, const Factor64& f) {
  const Lanes top = _mm512_srli_epi64(y, 32);
  const Lanes high = _mm512_mul_epu32(top, f.high);
#if defined(__AVX512IFMA__)
  return _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(high, top, f.low), _mm512_slli_epi64(y, 20), f.high);
#else
  const Lanes middle = _mm512_srli_epi64(_mm512_mul_epu32(top, f.low), 32);
  return _mm512_add_epi64(_mm512_add_epi64(high, middle), _mm512_srli_epi64(_mm512_mul_epu32(y, f.high), 32));
#endif
}

// y w mod p in [0, 4p), for any y: the quotient above is short of y w / p by less than 2 (its own) + 1 (the floor) + 1
// (floor of w 2^64 / p, y times over 2^64).
inline Lanes multiply_lazy64(Lanes y, const Factor64& f, Lanes p) {
  return _mm512_sub_epi64(multiply_low(y, f.w), multiply_low(quotient64(y, f), p));
}

inline Lanes multiply64(Lanes y, const Factor64& f, Lanes p, Lanes two_p) {
  return reduce_once(reduce_once(multiply_lazy64(y, f, p), two_p), p);
}

// floor(x / p) or one less for x < 2^8 p, of numbers of few bits: x's top 32 bits times p's reciprocal. With k = bits
// of p and s = max(0, k - 24): x >> s < 2^32; reciprocal = floor(2^(31 + k) / p) < 2^32; what is shifted out is below
// 2^-23 p, the reciprocal's floor costs at most 2^(32 - 31 - k + s) < 1/8, the last floor 1.
struct SmallQuotient {
  Lanes first_shift, reciprocal, last_shift;
  explicit SmallQuotient(const PrimeTables& t) {
    const auto k = static_cast<std::uint64_t>(t.bits), s = k > 24 ? k - 24 : 0;
    first_shift = all(s);
    reciprocal = all(static_cast<std::uint64_t>((static_cast<unsigned __int128>(1) << (31 + k)) / t.p));
    last_shift = all(31 + k - s);
  }
  Lanes operator()(Lanes x) const {
    const Lanes top = _mm512_srlv_epi64(x, first_shift);
    return _mm512_srlv_epi64(_mm512_mul_epu32(top, reciprocal), last_shift);
  }
};

#if defined(__AVX512IFMA__)

// The same with 52-bit products for p < 2^50; quotient = floor(w 2^52 / p).
struct Factor52 {
  Lanes w, quotient;
};

// base + (y w mod p in [0, 2p)), of which bits 52 and up mean nothing: y's low 52 bits are all that is read, and sums
// of what this returns can go on as long as their true value stays in [0, 2^52). minus_p = 2^64 - p.
inline Lanes multiply_add_lazy52(Lanes base, Lanes y, const Factor52& f, Lanes minus_p) {
  const Lanes quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), y, f.quotient);
  return _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(base, y, f.w), quotient, minus_p);
}

inline Lanes low52(Lanes x) {
  return _mm512_and_si512(x, all((std::uint64_t{1} << 52) - 1));
}

inline Lanes multiply52(Lanes y, const Factor52& f, Lanes p, Lanes minus_p) {
  return reduce_once(low52(multiply_add_lazy52(_mm512_setzero_si512(), y, f, minus_p)), p);
}

// x mod p in [0, 2p), plus k p where base = -k; bits 52 and up mean nothing, before and after. reciprocal =
// floor(2^52 / p): the quotient falls short of x / p by less than 1 (its floor) + x / 2^52 < 1 (the reciprocal's).
inline Lanes reduce_lazy52(Lanes base, Lanes x, Lanes reciprocal, Lanes minus_p) {
  return _mm512_madd52lo_epu64(x, _mm512_madd52hi_epu64(base, x, reciprocal), minus_p);
}

#endif

}  // namespace
}  // namespace crypsis::ntt
