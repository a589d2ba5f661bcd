// SPDX-License-Identifier: Apache-2.0
// Both transforms of one limb in vectors of four doubles, N >= 16, for primes whose products fit (serves). Internal
// linkage.
//
// A double holds an integer. Of a product y w, h = fl(y w) and l = y w - h are exact together (FMA); with q = the
// integer next to y fl(w / p), h - q p + l is y w - q p. |y| < 2^51 makes q differ from y w / p by 1/2 + 2^-52 |y| <= 1
// at most: results are in [-p, p], every difference and sum is an integer below 2^53, so exact. Values start in [0, p)
// and grow by p a stage: (log_n + 1) p < 2^51.
#pragma once
#include <immintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>

#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

using Doubles = __m256d;
inline constexpr std::size_t kDoubles = 4;
inline constexpr double kTwo52 = 4503599627370496.0;

inline bool doubles_serve(const PrimeTables& t) {
  return t.log_n >= 4 && t.p < (std::uint64_t{1} << 51) / static_cast<std::uint64_t>(t.log_n + 1);
}

inline Doubles load_doubles(const std::uint64_t* from) {
  return _mm256_loadu_pd(reinterpret_cast<const double*>(from));
}
inline void store_doubles(std::uint64_t* to, Doubles x) {
  _mm256_storeu_pd(reinterpret_cast<double*>(to), x);
}
// Words below 2^52 to doubles and back: the mantissa of 2^52 + x is x.
inline Doubles to_doubles(Doubles words) {
  const Doubles magic = _mm256_set1_pd(kTwo52);
  return _mm256_sub_pd(_mm256_or_pd(words, magic), magic);
}
inline Doubles to_words(Doubles x) {
  const Doubles magic = _mm256_set1_pd(kTwo52);
  return _mm256_xor_pd(_mm256_add_pd(x, magic), magic);
}
inline Doubles nearest(Doubles x) {
  return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

struct FactorDouble {
  Doubles w, quotient;  // w / p
};

inline Doubles multiply_doubles(Doubles y, const FactorDouble& f, Doubles p) {
  const Doubles h = _mm256_mul_pd(y, f.w), l = _mm256_fmsub_pd(y, f.w, h);
  return _mm256_add_pd(_mm256_fnmadd_pd(nearest(_mm256_mul_pd(y, f.quotient)), p, h), l);
}

// [-p, p) -> [0, p). Not by the sign bit, which -0 has too.
inline Doubles make_positive(Doubles x, Doubles p) {
  return _mm256_add_pd(x, _mm256_and_pd(_mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ), p));
}

class TransformDoubles {
 public:
  explicit TransformDoubles(const PrimeTables& t)
      : n_(t.n),
        roots_(t.roots()),
        quotients_(t.quotients_double()),
        p_(_mm256_set1_pd(static_cast<double>(t.p))),
        reciprocal_(_mm256_set1_pd(1.0 / static_cast<double>(t.p))) {}

  void forward(const std::uint64_t* in, std::uint64_t* out) const {
    std::size_t m = 1, t = n_ / 2;
    if (t >= 2 * kDoubles) {
      forward_two<true>(m, t, in, out);
      for (m *= 4, t /= 4; t >= 2 * kDoubles; m *= 4, t /= 4) forward_two<false>(m, t, out, out);
    }
    if (t >= kDoubles) {
      for (std::size_t i = 0; i < m; ++i) {
        std::uint64_t *const a = out + 2 * i * t, *const b = a + t;
        const FactorDouble f = broadcast(m + i);
        for (std::size_t j = 0; j < t; j += kDoubles) {
          Doubles x = load_doubles(a + j), y = load_doubles(b + j);
          butterfly(x, y, f);
          store_doubles(a + j, x);
          store_doubles(b + j, y);
        }
      }
    }
    for (std::size_t i = 0; i < n_; i += 2 * kDoubles) forward_last(i, out + i);
  }

  void inverse(const std::uint64_t* in, std::uint64_t* out) const {
    for (std::size_t i = 0; i < n_; i += 2 * kDoubles) inverse_first(in + i, out + i);
    std::size_t t = kDoubles;
    for (; 4 * t <= n_; t *= 4) inverse_two(t, out);
    for (; 2 * t <= n_; t *= 2) {
      for (std::size_t j = 0; j < t; j += kDoubles) {
        Doubles x = load_doubles(out + j), y = load_doubles(out + t + j);
        butterfly(x, y, inverse_at(t + j));
        store_doubles(out + j, x);
        store_doubles(out + t + j, y);
      }
    }
    for (std::size_t i = 0; i < n_; i += kDoubles) {
      const FactorDouble f{to_doubles(load_doubles(roots_.untwist + i)),
                           load_doubles(quotients_.untwist + i)};
      const Doubles x = multiply_doubles(load_doubles(out + i), f, p_);
      store_doubles(out + i, to_words(finish(x)));
    }
  }

 private:
  FactorDouble broadcast(std::size_t i) const {
    return {_mm256_set1_pd(static_cast<double>(roots_.forward[i])),
            _mm256_set1_pd(std::bit_cast<double>(quotients_.forward[i]))};
  }
  FactorDouble inverse_at(std::size_t i) const {
    return {to_doubles(load_doubles(roots_.inverse + i)), load_doubles(quotients_.inverse + i)};
  }
  void butterfly(Doubles& x, Doubles& y, const FactorDouble& f) const {
    const Doubles r = multiply_doubles(y, f, p_);
    y = _mm256_sub_pd(x, r);
    x = _mm256_add_pd(x, r);
  }
  // Any value to [0, p).
  Doubles finish(Doubles x) const {
    return make_positive(_mm256_fnmadd_pd(nearest(_mm256_mul_pd(x, reciprocal_)), p_, x), p_);
  }

  template <bool kFirst>
  void forward_two(std::size_t m, std::size_t t, const std::uint64_t* in, std::uint64_t* out) const {
    const std::size_t s = t / 2;
    for (std::size_t i = 0; i < m; ++i) {
      const FactorDouble f0 = broadcast(m + i), f1 = broadcast(2 * (m + i)), f2 = broadcast(2 * (m + i) + 1);
      for (std::size_t j = 2 * i * t; j < 2 * i * t + s; j += kDoubles) {
        Doubles x[4];
        for (std::size_t k = 0; k < 4; ++k) {
          x[k] = load_doubles(in + k * s + j);
          if (kFirst) x[k] = to_doubles(x[k]);
        }
        butterfly(x[0], x[2], f0);
        butterfly(x[1], x[3], f0);
        butterfly(x[0], x[1], f1);
        butterfly(x[2], x[3], f2);
        for (std::size_t k = 0; k < 4; ++k) store_doubles(out + k * s + j, x[k]);
      }
    }
  }

  // The stages t = 2 and 1 of eight elements, the first of which is number i; results in [0, p).
  void forward_last(std::size_t i, std::uint64_t* data) const {
    const Doubles a = load_doubles(data), b = load_doubles(data + kDoubles);
    Doubles x = _mm256_permute2f128_pd(a, b, 0x20), y = _mm256_permute2f128_pd(a, b, 0x31);
    const auto twice = [](const std::uint64_t* two) {  // w0 w0 w1 w1
      return _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(reinterpret_cast<const double*>(two))),
                                   0x50);
    };
    const std::size_t i2 = (n_ + i) / 4, i1 = (n_ + i) / 2;
    butterfly(x, y, {to_doubles(twice(roots_.forward + i2)), twice(quotients_.forward + i2)});
    Doubles u = _mm256_unpacklo_pd(x, y), v = _mm256_unpackhi_pd(x, y);
    butterfly(u, v, {to_doubles(load_doubles(roots_.forward + i1)), load_doubles(quotients_.forward + i1)});
    u = to_words(finish(u));
    v = to_words(finish(v));
    x = _mm256_unpacklo_pd(u, v);
    y = _mm256_unpackhi_pd(u, v);
    store_doubles(data, _mm256_permute2f128_pd(x, y, 0x20));
    store_doubles(data + kDoubles, _mm256_permute2f128_pd(x, y, 0x31));
  }

  // The stages t = 1, without roots, and 2.
  void inverse_first(const std::uint64_t* in, std::uint64_t* out) const {
    const Doubles a = to_doubles(load_doubles(in)), b = to_doubles(load_doubles(in + kDoubles));
    Doubles x = _mm256_permute2f128_pd(a, b, 0x20), y = _mm256_permute2f128_pd(a, b, 0x31);
    const Doubles even = _mm256_unpacklo_pd(x, y), odd = _mm256_unpackhi_pd(x, y);
    const Doubles sum = _mm256_add_pd(even, odd), difference = _mm256_sub_pd(even, odd);
    x = _mm256_unpacklo_pd(sum, difference);
    y = _mm256_unpackhi_pd(sum, difference);
    const auto pair = [](const std::uint64_t* two) {
      return _mm256_broadcast_pd(reinterpret_cast<const __m128d*>(two));
    };
    butterfly(x, y, {to_doubles(pair(roots_.inverse + 2)), pair(quotients_.inverse + 2)});
    store_doubles(out, _mm256_permute2f128_pd(x, y, 0x20));
    store_doubles(out + kDoubles, _mm256_permute2f128_pd(x, y, 0x31));
  }

  // The stages t and 2t.
  void inverse_two(std::size_t t, std::uint64_t* out) const {
    for (std::size_t i = 0; i < n_; i += 4 * t) {
      for (std::size_t j = 0; j < t; j += kDoubles) {
        Doubles x[4];
        for (std::size_t k = 0; k < 4; ++k) x[k] = load_doubles(out + i + k * t + j);
        const FactorDouble f = inverse_at(t + j);
        butterfly(x[0], x[1], f);
        butterfly(x[2], x[3], f);
        butterfly(x[0], x[2], inverse_at(2 * t + j));
        butterfly(x[1], x[3], inverse_at(3 * t + j));
        for (std::size_t k = 0; k < 4; ++k) store_doubles(out + i + k * t + j, x[k]);
      }
    }
  }

  std::size_t n_;
  Twiddles roots_, quotients_;
  Doubles p_, reciprocal_;
};

}  // namespace
}  // namespace crypsis::ntt
