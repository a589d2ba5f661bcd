// SPDX-License-Identifier: Apache-2.0
// AVX-512: eight doubles a register.
#include <immintrin.h>

#include "embedding/passes.h"
#include "embedding/residues.h"

namespace crypsis::embedding {
namespace {

struct Lanes {
  static constexpr std::size_t kLanes = 8;
  using Vector = __m512d;
  using Words = __m512i;

  [[gnu::always_inline]] static Vector load(const double* from) { return _mm512_loadu_pd(from); }
  [[gnu::always_inline]] static void store(double* to, Vector a) { _mm512_storeu_pd(to, a); }
  [[gnu::always_inline]] static Vector broadcast(double a) { return _mm512_set1_pd(a); }
  [[gnu::always_inline]] static Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
  [[gnu::always_inline]] static Vector sub(Vector a, Vector b) { return _mm512_sub_pd(a, b); }
  [[gnu::always_inline]] static Vector mul(Vector a, Vector b) { return _mm512_mul_pd(a, b); }

  [[gnu::always_inline]] static void split(const double* from, double* re, double* im) {
    const Vector a = load(from), b = load(from + 8);
    store(re, _mm512_permutex2var_pd(a, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0), b));
    store(im, _mm512_permutex2var_pd(a, _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1), b));
  }
  [[gnu::always_inline]] static void join(Vector re, Vector im, double* to) {
    store(to, _mm512_permutex2var_pd(re, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), im));
    store(to + 8, _mm512_permutex2var_pd(re, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), im));
  }

  [[gnu::always_inline]] static void transpose(Vector (&v)[8]) {
    Vector a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
      a[i] = _mm512_unpacklo_pd(v[i], v[i + 1]);
      a[i + 1] = _mm512_unpackhi_pd(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; ++j) {  // lanes (0, 2) and (1, 3) of pairs of 16 bytes
        b[i + j] = _mm512_shuffle_f64x2(a[i + j], a[i + 2 + j], 0x88);
        b[i + 2 + j] = _mm512_shuffle_f64x2(a[i + j], a[i + 2 + j], 0xdd);
      }
    }
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm512_shuffle_f64x2(b[i], b[i + 4], 0x88);
      v[i + 4] = _mm512_shuffle_f64x2(b[i], b[i + 4], 0xdd);
    }
  }
  [[gnu::always_inline]] static void store_rows(Vector (&rows)[8], double* to, const std::uint32_t* block) {
    transpose(rows);
    for (std::size_t i = 0; i < 8; ++i) store(to + 8 * std::size_t{block[i]}, rows[i]);
  }
  [[gnu::always_inline]] static void load_rows(const double* from, const std::uint32_t* block,
                                               Vector (&rows)[8]) {
    for (std::size_t i = 0; i < 8; ++i) rows[i] = load(from + 8 * std::size_t{block[i]});
    transpose(rows);
  }

  [[gnu::always_inline]] static Words nearest(Vector a) {
    return _mm512_cvt_roundpd_epi64(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  [[gnu::always_inline]] static Words nearest_small(Vector a) { return nearest(a); }
  [[gnu::always_inline]] static Words broadcast_words(std::uint64_t a) {
    return _mm512_set1_epi64(static_cast<long long>(a));
  }
  [[gnu::always_inline]] static void store_words(std::uint64_t* to, Words a) { _mm512_storeu_si512(to, a); }
  [[gnu::always_inline]] static Words sub_words(Words a, Words b) { return _mm512_sub_epi64(a, b); }
  [[gnu::always_inline]] static Words mul_words(Words a, Words b) { return _mm512_mullo_epi64(a, b); }
  // The smaller one as unsigned numbers.
  [[gnu::always_inline]] static Words add_if_negative(Words a, Words b) {
    return _mm512_min_epu64(a, _mm512_add_epi64(a, b));
  }
};

}  // namespace

const Impl avx512 = make_impl<Lanes>("avx512", kAvx512f | kAvx512dq);

}  // namespace crypsis::embedding
