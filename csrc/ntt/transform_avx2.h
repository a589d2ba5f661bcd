// SPDX-License-Identifier: Apache-2.0
// Both transforms of one limb in vectors of four, N >= 32, over the arithmetic of a Field (field_avx2.h). Internal linkage.
//
// Passes of two stages. Above kCacheLogN the transform quarters, then does each quarter by itself, in the first cache.
#pragma once
#include "ntt/field_avx2.h"

namespace crypsis::ntt {
namespace {

inline constexpr int kLeastLogN = 5;
// Parts of 16 KiB: the first cache holds one beside the roots.
inline constexpr int kCacheLogN = 11;
// Columns of vectors that a pass works on at once, stage by stage: one column's products leave the ports waiting.
inline constexpr std::size_t kColumns = 2;

template <class Field>
class TransformAvx2 {
 public:
  using Factor = typename Field::Factor;

  explicit TransformAvx2(const PrimeTables& t)
      : field_(t), log_n_(t.log_n), roots_(t.roots()), quotients_(Field::quotients(t)) {}

  void forward(const std::uint64_t* in, std::uint64_t* out) const {
    forward_pass<true>(1, in, out, log_n_);
    for (std::size_t i = 0; i < 4; ++i) forward_part(4 + i, out + (i << (log_n_ - 2)), log_n_ - 2);
  }

  void inverse(const std::uint64_t* in, std::uint64_t* out) const { inverse_part<true>(in, out, log_n_); }

 private:
  Factor broadcast(std::size_t i) const {
    return Field::factor(all4(roots_.forward[i]), all4(quotients_.forward[i]));
  }
  Factor inverse_at(std::size_t i) const {
    return Field::factor(load4(roots_.inverse + i), load4(quotients_.inverse + i));
  }
  template <bool kFirst>
  Four start(Four x) const {
    return kFirst ? field_.first(x) : field_.block(x);
  }
  void later(Four& x, Four& y, const Factor& f) const {
    x = field_.stage(x);
    field_.butterfly(x, y, f);
  }

  // What follows on data[0, 2^log_n), node `node` of the tree of halvings: all of its stages.
  void forward_part(std::size_t node, std::uint64_t* data, int log_n) const {
    if (log_n > kCacheLogN) {
      forward_pass<false>(node, data, data, log_n);
      for (std::size_t i = 0; i < 4; ++i) {
        forward_part(4 * node + i, data + (i << (log_n - 2)), log_n - 2);
      }
      return;
    }
    const std::size_t n = std::size_t{1} << log_n;
    std::size_t n_parts = 1;
    for (; log_n >= 4; log_n -= 2, n_parts *= 4) {
      for (std::size_t i = 0; i < n_parts; ++i) {
        std::uint64_t* const part = data + (i << log_n);
        forward_pass<false>(node * n_parts + i, part, part, log_n);
      }
    }
    if (log_n == 3) {
      for (std::size_t i = 0; i < n_parts; ++i) {
        Four x = field_.block(load4(data + 8 * i)), y = load4(data + 8 * i + kFour);
        field_.butterfly(x, y, broadcast(node * n_parts + i));
        store4(data + 8 * i, x);
        store4(data + 8 * i + kFour, y);
      }
    }
    for (std::size_t i = 0; i < n; i += 2 * kFour) forward_last(node * (n / 4) + i / 4, data + i);
  }

  template <bool kFirst>
  void forward_pass(std::size_t node, const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    const std::size_t t = std::size_t{1} << (log_n - 2);
    const Factor f0 = broadcast(node), f1 = broadcast(2 * node), f2 = broadcast(2 * node + 1);
    if (t == kFour) return forward_columns<kFirst, 1>(f0, f1, f2, in, out, t, 0);
    for (std::size_t j = 0; j < t; j += kColumns * kFour)
      forward_columns<kFirst, kColumns>(f0, f1, f2, in, out, t, j);
  }

  template <bool kFirst, std::size_t kWide>
  [[gnu::always_inline]] void forward_columns(const Factor& f0, const Factor& f1, const Factor& f2,
                                              const std::uint64_t* in, std::uint64_t* out, std::size_t t,
                                              std::size_t j) const {
    Four x[4][kWide];
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t c = 0; c < kWide; ++c) {
        x[k][c] = load4(in + k * t + j + c * kFour);
        if (kFirst) x[k][c] = Field::enter(x[k][c]);
      }
    }
    for (std::size_t k = 0; k < 2; ++k) {
      for (std::size_t c = 0; c < kWide; ++c) {
        x[k][c] = start<kFirst>(x[k][c]);
        field_.butterfly(x[k][c], x[k + 2][c], f0);
      }
    }
    for (std::size_t c = 0; c < kWide; ++c) {
      later(x[0][c], x[1][c], f1);
      later(x[2][c], x[3][c], f2);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t c = 0; c < kWide; ++c) store4(out + k * t + j + c * kFour, x[k][c]);
    }
  }

  // The last two stages of eight elements: nodes `node` and node + 1. Results in [0, p).
  void forward_last(std::size_t node, std::uint64_t* data) const {
    const Four a = load4(data), b = load4(data + kFour);
    Four x = field_.block(_mm256_permute2x128_si256(a, b, 0x20)), y = _mm256_permute2x128_si256(a, b, 0x31);
    const auto twice = [](const std::uint64_t* two) {  // w0 w0 w1 w1
      return _mm256_permute4x64_epi64(
          _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(two))), 0x50);
    };
    field_.butterfly(x, y, Field::factor(twice(roots_.forward + node), twice(quotients_.forward + node)));
    Four u = _mm256_unpacklo_epi64(x, y), v = _mm256_unpackhi_epi64(x, y);
    later(u, v, Field::factor(load4(roots_.forward + 2 * node), load4(quotients_.forward + 2 * node)));
    u = field_.finish(u);
    v = field_.finish(v);
    x = _mm256_unpacklo_epi64(u, v);
    y = _mm256_unpackhi_epi64(u, v);
    store4(data, _mm256_permute2x128_si256(x, y, 0x20));
    store4(data + kFour, _mm256_permute2x128_si256(x, y, 0x31));
  }

  template <bool kLast>
  void inverse_part(const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    if (log_n > kCacheLogN) {
      const std::size_t part = std::size_t{1} << (log_n - 2);
      for (std::size_t i = 0; i < 4; ++i) inverse_part<false>(in + i * part, out + i * part, log_n - 2);
      return inverse_pass<kLast>(part, out);
    }
    const std::size_t n = std::size_t{1} << log_n;
    for (std::size_t i = 0; i < n; i += 2 * kFour) inverse_first(in + i, out + i);
    std::size_t t = kFour;
    if (log_n % 2 != 0) {
      const Factor f = inverse_at(t);
      for (std::size_t i = 0; i < n; i += 2 * kFour) {
        Four x = field_.block(load4(out + i)), y = load4(out + i + kFour);
        field_.butterfly(x, y, f);
        store4(out + i, x);
        store4(out + i + kFour, y);
      }
      t *= 2;
    }
    for (; 4 * t < n; t *= 4) {
      for (std::size_t i = 0; i < n; i += 4 * t) inverse_pass<false>(t, out + i);
    }
    inverse_pass<kLast>(t, out);
  }

  // The first stage, without roots, and the second one.
  void inverse_first(const std::uint64_t* in, std::uint64_t* out) const {
    const Four a = Field::enter(load4(in)), b = Field::enter(load4(in + kFour));
    Four x = _mm256_permute2x128_si256(a, b, 0x20), y = _mm256_permute2x128_si256(a, b, 0x31);
    Four u = field_.first(_mm256_unpacklo_epi64(x, y)), v = _mm256_unpackhi_epi64(x, y);
    field_.butterfly(u, v);
    x = field_.block(_mm256_unpacklo_epi64(u, v));
    y = _mm256_unpackhi_epi64(u, v);
    const auto pair = [](const std::uint64_t* two) {
      return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(two)));
    };
    field_.butterfly(x, y, Field::factor(pair(roots_.inverse + 2), pair(quotients_.inverse + 2)));
    store4(out, _mm256_permute2x128_si256(x, y, 0x20));
    store4(out + kFour, _mm256_permute2x128_si256(x, y, 0x31));
  }

  // The stages t and 2t of data[0, 4t); kLast: t = N / 4, and the product by psi^-i / N.
  template <bool kLast>
  void inverse_pass(std::size_t t, std::uint64_t* data) const {
    if (t == kFour) return inverse_columns<kLast, 1>(t, data, 0);
    for (std::size_t j = 0; j < t; j += kColumns * kFour) inverse_columns<kLast, kColumns>(t, data, j);
  }

  template <bool kLast, std::size_t kWide>
  [[gnu::always_inline]] void inverse_columns(std::size_t t, std::uint64_t* data, std::size_t j) const {
    Four x[4][kWide];
    for (std::size_t c = 0; c < kWide; ++c) {
      for (std::size_t k = 0; k < 4; ++k) x[k][c] = load4(data + k * t + j + c * kFour);
      const Factor f = inverse_at(t + j + c * kFour);
      x[0][c] = field_.block(x[0][c]);
      x[2][c] = field_.block(x[2][c]);
      field_.butterfly(x[0][c], x[1][c], f);
      field_.butterfly(x[2][c], x[3][c], f);
    }
    for (std::size_t c = 0; c < kWide; ++c) {
      later(x[0][c], x[2][c], inverse_at(2 * t + j + c * kFour));
      later(x[1][c], x[3][c], inverse_at(3 * t + j + c * kFour));
    }
    for (std::size_t c = 0; c < kWide; ++c) {
      for (std::size_t k = 0; k < 4; ++k) {
        const std::size_t at = k * t + j + c * kFour;
        if (kLast) {
          x[k][c] = field_.finish(x[k][c],
                                  Field::factor(load4(roots_.untwist + at), load4(quotients_.untwist + at)));
        }
        store4(data + at, x[k][c]);
      }
    }
  }

  Field field_;
  int log_n_;
  Twiddles roots_, quotients_;
};

}  // namespace
}  // namespace crypsis::ntt
