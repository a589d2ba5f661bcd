// SPDX-License-Identifier: Apache-2.0
// Both transforms of one limb in vectors of eight, N >= 64, over the arithmetic of a Field (field52.h, field64.h).
// Internal linkage. Operations and passes over memory are counted in NOTES.md.
//
// A block is up to three stages on eight vectors in registers. Forward: blocks of vectors ever closer together, last
// the runs of 64 elements: one block across their eight vectors and one inside pairs of vectors. Inverse: the same
// backwards. Above kCacheLogN the transform halves three times, then does each eighth by itself, in the first cache.
#pragma once
#include "ntt/modular_avx512.h"
#include "ntt/tables.h"

namespace crypsis::ntt {
namespace {

// Left to itself the compiler passes vectors of a block through memory.
#define CRYPSIS_NTT_INLINE [[gnu::always_inline]] inline

inline constexpr int kRunLogN = 6, kCacheLogN = 11;
// Passes work on two columns of vectors at once, stage by stage: products take longer than one column's others last.
inline constexpr std::size_t kColumns = 2;
inline constexpr std::size_t kRun = std::size_t{1} << kRunLogN;

// log2 of the radix of a transform's first pass (its last one, inverse): 8s where it pays, 4s to end with.
inline int radix_of(int log_n) {
  const int left = log_n - kRunLogN;
  if (left == 4) return 2;
  return left < 3 ? left : 3;
}

template <class Field>
class Transform {
 public:
  using Factor = typename Field::Factor;

  explicit Transform(const PrimeTables& tables)
      : field_(tables), tables_(tables), roots_(tables.roots()), quotients_(Field::quotients(tables)) {}

  void forward(const std::uint64_t* in, std::uint64_t* out) const {
    if (tables_.log_n == kRunLogN) {
      forward_run<true>(0, in, out);
    } else {
      forward_pass<true>(1, in, out, tables_.log_n);
      forward_parts(1, out, tables_.log_n);
    }
  }

  void inverse(const std::uint64_t* in, std::uint64_t* out) const {
    inverse_parts(in, out, tables_.log_n);
    if (tables_.log_n == kRunLogN) {
      for (std::size_t j = 0; j < kRun; j += kLanes) store(out + j, untwist(load(out + j), j));
    } else {
      inverse_pass<true>(out, tables_.log_n);
    }
  }

 private:
  CRYPSIS_NTT_INLINE Factor broadcast(std::size_t i) const {
    return Field::factor(all(roots_.forward[i]), all(quotients_.forward[i]));
  }
  CRYPSIS_NTT_INLINE Factor forward_at(std::size_t i, Lanes order) const {
    return Field::factor(reorder(order, load(roots_.forward + i)),
                         reorder(order, load(quotients_.forward + i)));
  }
  CRYPSIS_NTT_INLINE Factor inverse_at(std::size_t i) const {
    return Field::factor(load(roots_.inverse + i), load(quotients_.inverse + i));
  }
  CRYPSIS_NTT_INLINE Lanes untwist(Lanes x, std::size_t i) const {
    return field_.finish(x, Field::factor(load(roots_.untwist + i), load(quotients_.untwist + i)));
  }

  template <bool kFirst>
  CRYPSIS_NTT_INLINE Lanes start(Lanes x) const {
    return kFirst ? field_.first(x) : field_.block(x);
  }
  CRYPSIS_NTT_INLINE void later(Lanes& x, Lanes& y, const Factor& f) const {
    x = field_.stage(x);
    field_.butterfly(x, y, f);
  }

  // The parts that are left when the first pass over data[0, 2^log_n), node `node` of the tree of halvings, is done.
  void forward_parts(std::size_t node, std::uint64_t* data, int log_n) const {
    const int radix = radix_of(log_n), log_part = log_n - radix;
    const std::size_t n_parts = std::size_t{1} << radix;
    if (log_part > kCacheLogN) {
      for (std::size_t i = 0; i < n_parts; ++i) {
        std::uint64_t* const part = data + (i << log_part);
        forward_pass<false>(node * n_parts + i, part, part, log_part);
        forward_parts(node * n_parts + i, part, log_part);
      }
      return;
    }
    for (std::size_t i = 0; i < n_parts; ++i)
      forward_small(node * n_parts + i, data + (i << log_part), log_part);
  }

  // In the first cache: pass after pass.
  void forward_small(std::size_t node, std::uint64_t* data, int log_n) const {
    std::size_t n_parts = 1;
    for (int left = log_n; left > kRunLogN;) {
      for (std::size_t i = 0; i < n_parts; ++i) {
        std::uint64_t* const part = data + (i << left);
        forward_pass<false>(node * n_parts + i, part, part, left);
      }
      n_parts <<= radix_of(left);
      left -= radix_of(left);
    }
    const std::size_t first = node * n_parts - (tables_.n >> kRunLogN);
    for (std::size_t i = 0; i < n_parts; ++i) {
      forward_run<false>(first + i, data + i * kRun, data + i * kRun);
    }
  }

  template <bool kFirst>
  void forward_pass(std::size_t node, const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    switch (radix_of(log_n)) {
      case 1:
        return forward_pass2<kFirst>(node, in, out, std::size_t{1} << (log_n - 1));
      case 2:
        return forward_pass4<kFirst>(node, in, out, std::size_t{1} << (log_n - 2));
      default:
        return forward_pass8<kFirst>(node, in, out, std::size_t{1} << (log_n - 3));
    }
  }

  template <bool kFirst>
  void forward_pass2(std::size_t node, const std::uint64_t* in, std::uint64_t* out, std::size_t t) const {
    const Factor f = broadcast(node);
    for (std::size_t j = 0; j < t; j += kLanes) {
      Lanes x = start<kFirst>(load(in + j)), y = load(in + t + j);
      field_.butterfly(x, y, f);
      store(out + j, x);
      store(out + t + j, y);
    }
  }

  template <bool kFirst>
  void forward_pass4(std::size_t node, const std::uint64_t* in, std::uint64_t* out, std::size_t t) const {
    const Factor f0 = broadcast(node), f1 = broadcast(2 * node), f2 = broadcast(2 * node + 1);
    for (std::size_t j = 0; j < t; j += kColumns * kLanes) {
      Lanes x[kColumns][4];
      for (std::size_t c = 0; c < kColumns; ++c) {
        for (std::size_t k = 0; k < 4; ++k) x[c][k] = load(in + k * t + j + c * kLanes);
        for (std::size_t k = 0; k < 2; ++k) {
          x[c][k] = start<kFirst>(x[c][k]);
          field_.butterfly(x[c][k], x[c][k + 2], f0);
        }
      }
      for (auto& column : x) {
        later(column[0], column[1], f1);
        later(column[2], column[3], f2);
      }
      for (std::size_t c = 0; c < kColumns; ++c) {
        for (std::size_t k = 0; k < 4; ++k) store(out + k * t + j + c * kLanes, x[c][k]);
      }
    }
  }

  struct Factors8 {
    Factor f0, f1, f2, f3, f4, f5, f6;
  };
  CRYPSIS_NTT_INLINE Factors8 broadcast8(std::size_t node) const {
    return {broadcast(node),         broadcast(2 * node),     broadcast(2 * node + 1), broadcast(4 * node),
            broadcast(4 * node + 1), broadcast(4 * node + 2), broadcast(4 * node + 3)};
  }

  template <bool kFirst, std::size_t kWide>
  CRYPSIS_NTT_INLINE void forward_block(Lanes (&columns)[kWide][8], const Factors8& f) const {
    for (auto& x : columns) {
      for (int k = 0; k < 4; ++k) {
        x[k] = start<kFirst>(x[k]);
        field_.butterfly(x[k], x[k + 4], f.f0);
      }
    }
    for (auto& x : columns) {
      later(x[0], x[2], f.f1);
      later(x[1], x[3], f.f1);
      later(x[4], x[6], f.f2);
      later(x[5], x[7], f.f2);
    }
    for (auto& x : columns) {
      later(x[0], x[1], f.f3);
      later(x[2], x[3], f.f4);
      later(x[4], x[5], f.f5);
      later(x[6], x[7], f.f6);
    }
  }

  template <bool kFirst>
  void forward_pass8(std::size_t node, const std::uint64_t* in, std::uint64_t* out, std::size_t t) const {
    const Factors8 f = broadcast8(node);
    for (std::size_t j = 0; j < t; j += kColumns * kLanes) {
      Lanes x[kColumns][8];
      for (std::size_t c = 0; c < kColumns; ++c) {
        for (std::size_t k = 0; k < 8; ++k) x[c][k] = load(in + k * t + j + c * kLanes);
      }
      forward_block<kFirst>(x, f);
      for (std::size_t c = 0; c < kColumns; ++c) {
        for (std::size_t k = 0; k < 8; ++k) store(out + k * t + j + c * kLanes, x[c][k]);
      }
    }
  }

  // Run number i of N / 64: the last six stages, results in [0, p).
  template <bool kFirst>
  void forward_run(std::size_t i, const std::uint64_t* in, std::uint64_t* out) const {
    const std::size_t node = (tables_.n >> kRunLogN) + i;
    Lanes block[1][8];
    Lanes(&x)[8] = block[0];
    for (std::size_t k = 0; k < 8; ++k) x[k] = load(in + kLanes * k);
    forward_block<kFirst>(block, broadcast8(node));
    // Of a pair of vectors a and b, each stage's x in one, its y in the other: halves of four elements, of two, single
    // ones; the roots of the four groups of two and of the eight single ones then come in their order.
    const Lanes four = _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1),
                two = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const Lanes low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const Lanes high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const Lanes zip_a = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11),
                zip_b = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    // Stage by stage over the four pairs: the chain of one alone is longer than what a core looks ahead.
    Lanes u[4], v[4];
    for (std::size_t k = 0; k < 4; ++k) {
      u[k] = field_.block(_mm512_shuffle_i64x2(x[2 * k], x[2 * k + 1], 0x44));
      v[k] = _mm512_shuffle_i64x2(x[2 * k], x[2 * k + 1], 0xEE);
      field_.butterfly(u[k], v[k], forward_at(8 * node + 2 * k, four));
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const Lanes s = _mm512_permutex2var_epi64(u[k], low, v[k]),
                  t = _mm512_permutex2var_epi64(u[k], high, v[k]);
      u[k] = s;
      v[k] = t;
      later(u[k], v[k], forward_at(16 * node + 4 * k, two));
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const Lanes s = _mm512_unpacklo_epi64(u[k], v[k]), t = _mm512_unpackhi_epi64(u[k], v[k]);
      const std::size_t i1 = 32 * node + 8 * k;
      u[k] = s;
      v[k] = t;
      later(u[k], v[k], Field::factor(load(roots_.forward + i1), load(quotients_.forward + i1)));
    }
    for (std::size_t k = 0; k < 4; ++k) {
      u[k] = field_.finish(u[k]);
      v[k] = field_.finish(v[k]);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      store(out + 2 * kLanes * k, _mm512_permutex2var_epi64(u[k], zip_a, v[k]));
      store(out + 2 * kLanes * k + kLanes, _mm512_permutex2var_epi64(u[k], zip_b, v[k]));
    }
  }

  // All of a transform of 2^log_n elements but its last pass (of 64: all).
  void inverse_parts(const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    if (log_n == kRunLogN) return inverse_run(in, out);
    const int radix = radix_of(log_n), log_part = log_n - radix;
    const std::size_t n_parts = std::size_t{1} << radix;
    for (std::size_t i = 0; i < n_parts; ++i) {
      const std::size_t at = i << log_part;
      if (log_part > kCacheLogN) {
        inverse_parts(in + at, out + at, log_part);
        inverse_pass<false>(out + at, log_part);
      } else {
        inverse_small(in + at, out + at, log_part);
      }
    }
  }

  void inverse_small(const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    const std::size_t n = std::size_t{1} << log_n;
    for (std::size_t i = 0; i < n; i += kRun) inverse_run(in + i, out + i);
    inverse_passes(out, log_n, log_n);
  }

  // The passes of parts of 2^log_part elements in out[0, 2^log_n), the closest first.
  void inverse_passes(std::uint64_t* out, int log_n, int log_part) const {
    if (log_part == kRunLogN) return;
    inverse_passes(out, log_n, log_part - radix_of(log_part));
    for (std::size_t at = 0; at < std::size_t{1} << log_n; at += std::size_t{1} << log_part) {
      inverse_pass<false>(out + at, log_part);
    }
  }

  template <bool kLast>
  void inverse_pass(std::uint64_t* data, int log_n) const {
    switch (radix_of(log_n)) {
      case 1:
        return inverse_pass2<kLast>(data, std::size_t{1} << (log_n - 1));
      case 2:
        return inverse_pass4<kLast>(data, std::size_t{1} << (log_n - 2));
      default:
        return inverse_pass8<kLast>(data, std::size_t{1} << (log_n - 3));
    }
  }

  template <bool kLast>
  CRYPSIS_NTT_INLINE void put(std::uint64_t* data, std::size_t i, Lanes x) const {
    store(data + i, kLast ? untwist(x, i) : x);
  }

  template <bool kLast>
  void inverse_pass2(std::uint64_t* data, std::size_t t) const {
    for (std::size_t j = 0; j < t; j += kLanes) {
      Lanes x = field_.block(load(data + j)), y = load(data + t + j);
      field_.butterfly(x, y, inverse_at(t + j));
      put<kLast>(data, j, x);
      put<kLast>(data, t + j, y);
    }
  }

  template <bool kLast>
  void inverse_pass4(std::uint64_t* data, std::size_t t) const {
    for (std::size_t first = 0; first < t; first += kColumns * kLanes) {
      Lanes x[kColumns][4];
      for (std::size_t c = 0; c < kColumns; ++c) {
        const std::size_t j = first + c * kLanes;
        for (std::size_t k = 0; k < 4; ++k) x[c][k] = load(data + k * t + j);
        const Factor f = inverse_at(t + j);
        for (std::size_t k = 0; k < 4; k += 2) {
          x[c][k] = field_.block(x[c][k]);
          field_.butterfly(x[c][k], x[c][k + 1], f);
        }
      }
      for (std::size_t c = 0; c < kColumns; ++c) {
        const std::size_t j = first + c * kLanes;
        later(x[c][0], x[c][2], inverse_at(2 * t + j));
        later(x[c][1], x[c][3], inverse_at(3 * t + j));
      }
      for (std::size_t c = 0; c < kColumns; ++c) {
        for (std::size_t k = 0; k < 4; ++k) put<kLast>(data, k * t + first + c * kLanes, x[c][k]);
      }
    }
  }

  // Distances t, 2t and 4t of eight vectors t apart.
  CRYPSIS_NTT_INLINE void inverse_block(Lanes (&x)[8], std::size_t t, std::size_t j) const {
    const Factor f = inverse_at(t + j);
    for (int k = 0; k < 8; k += 2) {
      x[k] = field_.block(x[k]);
      field_.butterfly(x[k], x[k + 1], f);
    }
    for (std::size_t k = 0; k < 2; ++k) {
      const Factor g = inverse_at(2 * t + k * t + j);
      later(x[k], x[k + 2], g);
      later(x[k + 4], x[k + 6], g);
    }
    for (std::size_t k = 0; k < 4; ++k) later(x[k], x[k + 4], inverse_at(4 * t + k * t + j));
  }

  template <bool kLast>
  void inverse_pass8(std::uint64_t* data, std::size_t t) const {
    for (std::size_t j = 0; j < t; j += kLanes) {
      Lanes x[8];
      for (std::size_t k = 0; k < 8; ++k) x[k] = load(data + k * t + j);
      inverse_block(x, t, j);
      for (std::size_t k = 0; k < 8; ++k) put<kLast>(data, k * t + j, x[k]);
    }
  }

  // 64 elements: the first six stages. Roots are the same in every run.
  void inverse_run(const std::uint64_t* in, std::uint64_t* out) const {
    const Lanes even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
                odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const Lanes low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const Lanes high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    const Lanes two = _mm512_setr_epi64(0, 1, 0, 1, 0, 1, 0, 1),
                four = _mm512_setr_epi64(0, 1, 2, 3, 0, 1, 2, 3);
    const auto repeated = [&](std::size_t i, Lanes order) {
      return Field::factor(reorder(order, load(roots_.inverse + i)),
                           reorder(order, load(quotients_.inverse + i)));
    };
    const Factor by_two = repeated(2, two), by_four = repeated(4, four);
    Lanes x[8], u[4], v[4];
    for (std::size_t k = 0; k < 4; ++k) {
      const Lanes a = load(in + 2 * kLanes * k), b = load(in + 2 * kLanes * k + kLanes);
      u[k] = field_.first(_mm512_permutex2var_epi64(a, even, b));
      v[k] = _mm512_permutex2var_epi64(a, odd, b);
      field_.butterfly(u[k], v[k]);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const Lanes s = _mm512_unpacklo_epi64(u[k], v[k]), t = _mm512_unpackhi_epi64(u[k], v[k]);
      u[k] = s;
      v[k] = t;
      later(u[k], v[k], by_two);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const Lanes s = _mm512_permutex2var_epi64(u[k], low, v[k]),
                  t = _mm512_permutex2var_epi64(u[k], high, v[k]);
      u[k] = s;
      v[k] = t;
      later(u[k], v[k], by_four);
      x[2 * k] = _mm512_shuffle_i64x2(u[k], v[k], 0x44);
      x[2 * k + 1] = _mm512_shuffle_i64x2(u[k], v[k], 0xEE);
    }
    inverse_block(x, kLanes, 0);
    for (std::size_t k = 0; k < 8; ++k) store(out + kLanes * k, x[k]);
  }

  Field field_;
  const PrimeTables& tables_;
  Twiddles roots_, quotients_;
};

#undef CRYPSIS_NTT_INLINE

}  // namespace
}  // namespace crypsis::ntt
