// SPDX-License-Identifier: Apache-2.0
// AVX2: four doubles a register.
#include <immintrin.h>

#include "embedding/passes.h"
#include "embedding/residues.h"

namespace crypsis::embedding {
namespace {

struct Lanes {
  static constexpr std::size_t kLanes = 4;
  using Vector = __m256d;
  using Words = __m256i;

  [[gnu::always_inline]] static Vector load(const double* from) { return _mm256_loadu_pd(from); }
  [[gnu::always_inline]] static void store(double* to, Vector a) { _mm256_storeu_pd(to, a); }
  [[gnu::always_inline]] static Vector broadcast(double a) { return _mm256_set1_pd(a); }
  [[gnu::always_inline]] static Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  [[gnu::always_inline]] static Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  [[gnu::always_inline]] static Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }

  [[gnu::always_inline]] static void split(const double* from, double* re, double* im) {
    const Vector a = load(from), b = load(from + 4);
    store(re, _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8));
    store(im, _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8));
  }
  [[gnu::always_inline]] static void join(Vector re, Vector im, double* to) {
    const Vector a = _mm256_unpacklo_pd(re, im), b = _mm256_unpackhi_pd(re, im);
    store(to, _mm256_permute2f128_pd(a, b, 0x20));
    store(to + 4, _mm256_permute2f128_pd(a, b, 0x31));
  }

  [[gnu::always_inline]] static void transpose(Vector* v) {
    const Vector a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    const Vector c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
  }
  [[gnu::always_inline]] static void store_rows(Vector (&rows)[8], double* to, const std::uint32_t* block) {
    for (std::size_t half = 0; half < 8; half += 4) {
      transpose(rows + half);
      for (std::size_t i = 0; i < 4; ++i) store(to + 8 * std::size_t{block[i]} + half, rows[half + i]);
    }
  }
  [[gnu::always_inline]] static void load_rows(const double* from, const std::uint32_t* block,
                                               Vector (&rows)[8]) {
    for (std::size_t half = 0; half < 8; half += 4) {
      for (std::size_t i = 0; i < 4; ++i) rows[half + i] = load(from + 8 * std::size_t{block[i]} + half);
      transpose(rows + half);
    }
  }

  // Below 2^51 the sum with 1.5 2^52 is rounded to an integer, which its low bits then hold.
  [[gnu::always_inline]] static Words nearest_small(Vector a) {
    const Vector magic = broadcast(0x1.8p52);
    return _mm256_sub_epi64(_mm256_castpd_si256(add(a, magic)), _mm256_castpd_si256(magic));
  }
  // The multiple of 2^32 nearest to a, and what is left: both exact.
  [[gnu::always_inline]] static Words nearest(Vector a) {
    const Vector magic = broadcast(0x1.8p52);
    const Vector high = sub(add(mul(a, broadcast(0x1p-32)), magic), magic);
    const Vector low = sub(a, mul(high, broadcast(0x1p32)));
    return _mm256_add_epi64(_mm256_slli_epi64(nearest_small(high), 32), nearest_small(low));
  }
  [[gnu::always_inline]] static Words broadcast_words(std::uint64_t a) {
    return _mm256_set1_epi64x(static_cast<long long>(a));
  }
  [[gnu::always_inline]] static void store_words(std::uint64_t* to, Words a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a);
  }
  [[gnu::always_inline]] static Words sub_words(Words a, Words b) { return _mm256_sub_epi64(a, b); }
  // The lower halves of products.
  [[gnu::always_inline]] static Words mul_words(Words a, Words b) {
    const Words cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), b),
                                         _mm256_mul_epu32(a, _mm256_srli_epi64(b, 32)));
    return _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64(cross, 32));
  }
  [[gnu::always_inline]] static Words add_if_negative(Words a, Words b) {
    return _mm256_add_epi64(a, _mm256_and_si256(b, _mm256_cmpgt_epi64(_mm256_setzero_si256(), a)));
  }
};

}  // namespace

const Impl avx2 = make_impl<Lanes>("avx2", kAvx2);

}  // namespace crypsis::embedding
