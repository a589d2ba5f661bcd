// SPDX-License-Identifier: Apache-2.0
// Montgomery products of eight numbers at a time in radix 2^52, column by column [HAC 14.36, arranged by columns as
// in Koc, Acar, Kaliski 1996, FIPS]. A number is k vectors; digit i of lane l is word l of vector i.
//
// The 2k columns of a product are cut into blocks of W <= 10. A block's sums stay in 2 W registers, low and high
// halves apart, while both a * b and q * n run through it: one load serves two multiply-adds, and a carry is resolved
// once a column. A column sums at most 4 k < 2^10 halves below 2^52: no overflow in 64 bits.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "bigint/unroll.h"

namespace crypsis::bigint {
namespace {

using Vector = __m512i;

constexpr int kMaxBlock = 10;  // k >= 5 in blocks of like width: none is narrower than 5
constexpr std::uint64_t kMask52 = (std::uint64_t{1} << 52) - 1;

inline Vector splat(std::uint64_t x) {
  return _mm512_set1_epi64(static_cast<long long>(x));
}

template <int W>
struct Columns {
  Vector lo[W], hi[W];  // column t of the block is lo[t] + hi[t - 1]

  CRYPSIS_INLINE void clear() {
    repeat<W>([&](auto t) CRYPSIS_INLINE { lo[t] = hi[t] = _mm512_setzero_si512(); });
  }
  CRYPSIS_INLINE void add(int t, Vector x, Vector y) {
    lo[t] = _mm512_madd52lo_epu64(lo[t], x, y);
    hi[t] = _mm512_madd52hi_epu64(hi[t], x, y);
  }
  CRYPSIS_INLINE void twice() {
    repeat<W>([&](auto t) CRYPSIS_INLINE {
      lo[t] = _mm512_add_epi64(lo[t], lo[t]);
      hi[t] = _mm512_add_epi64(hi[t], hi[t]);
    });
  }
  // Column t += x[i] * y[t - i] for every t and i < count.
  CRYPSIS_INLINE void rows(const Vector* x, const Vector* y, std::size_t count) {
    for (; count > 0; --count, ++x, --y) {
      const Vector xi = *x;
      repeat<W>([&](auto t) CRYPSIS_INLINE { add(t, xi, y[t]); });
    }
  }
  // Column t += x[u] * y[t - u] for 1 <= u <= t: the end of a block below column k.
  CRYPSIS_INLINE void low_triangle(const Vector* x, const Vector* y) {
    repeat<W - 1>([&](auto i) CRYPSIS_INLINE {
      constexpr int u = i + 1;
      repeat<W - u>([&](auto j) CRYPSIS_INLINE { add(u + j, x[u], y[j]); });
    });
  }
  // Column t += x[v] * y_end[t - v] for t < v < W: the beginning of a block from column k on.
  CRYPSIS_INLINE void high_triangle(const Vector* x, const Vector* y_end) {
    repeat<W - 1>([&](auto i) CRYPSIS_INLINE {
      constexpr int v = i + 1;
      repeat<v>([&](auto t) CRYPSIS_INLINE { add(t, x[v], y_end[t - v]); });
    });
  }
};

struct Reduction {
  const Vector* n;
  Vector* q;             // k digits of scratch
  Vector minus_inverse;  // -1 / n mod 2^52
  std::size_t k;
};

// Columns c .. c + W of a * b are in `sums`, c + W <= k. Adds q * n and chooses the digits q[c .. c + W) that make
// the columns vanish, but only the bits of the last one that are in `last_mask`; what stays in the last column
// goes to *rest. Returns the carry into column c + W.
template <int W>
CRYPSIS_INLINE inline Vector reduce_low(Columns<W>& sums, const Reduction& by, std::size_t c, Vector carry,
                                        Vector last_mask, Vector* rest) {
  const Vector mask = splat(kMask52);
  const Vector* const n = by.n;
  sums.rows(by.q, n + c, c);
  repeat<W>([&](auto u) CRYPSIS_INLINE {
    Vector sum = _mm512_add_epi64(sums.lo[u], carry);
    if constexpr (u > 0) sum = _mm512_add_epi64(sum, sums.hi[u - 1]);
    Vector q = _mm512_madd52lo_epu64(_mm512_setzero_si512(), sum, by.minus_inverse);
    if constexpr (u + 1 < W) {
      // sum + low half of q n[0] has 52 low bits of 0: the carry needs no product.
      carry = _mm512_srli_epi64(_mm512_add_epi64(sum, mask), 52);
    } else {
      q = _mm512_and_si512(q, last_mask);
      sum = _mm512_madd52lo_epu64(sum, q, n[0]);
      *rest = _mm512_and_si512(sum, mask);
      carry = _mm512_srli_epi64(sum, 52);
    }
    by.q[c + u] = q;
    sums.hi[u] = _mm512_madd52hi_epu64(sums.hi[u], q, n[0]);
    repeat<W - 1 - u>([&](auto i) CRYPSIS_INLINE { sums.add(u + 1 + i, q, n[i + 1]); });
  });
  return _mm512_add_epi64(carry, sums.hi[W - 1]);
}

// Columns k + c .. k + c + W of a * b are in `sums`. Adds q * n, writes digits c .. c + W of the result; bits from
// 52 on are rubbish, which multiply-adds do not see.
template <int W>
CRYPSIS_INLINE inline Vector reduce_high(Columns<W>& sums, const Reduction& by, std::size_t c, Vector carry,
                                         Vector* out) {
  sums.high_triangle(by.q + c, by.n + by.k);
  sums.rows(by.q + c + W, by.n + by.k - W, by.k - c - W);
  repeat<W>([&](auto t) CRYPSIS_INLINE {
    Vector sum = _mm512_add_epi64(sums.lo[t], carry);
    if constexpr (t > 0) sum = _mm512_add_epi64(sum, sums.hi[t - 1]);
    out[c + t] = sum;
    carry = _mm512_srli_epi64(sum, 52);
  });
  return _mm512_add_epi64(carry, sums.hi[W - 1]);
}

template <int W>
[[gnu::noinline]] Vector mul_low(const Vector* a, const Vector* b, const Reduction& by, std::size_t c,
                                 Vector carry, Vector last_mask, Vector* rest) {
  Columns<W> sums;
  sums.clear();
  sums.rows(a, b + c, c + 1);
  sums.low_triangle(a + c, b);
  return reduce_low(sums, by, c, carry, last_mask, rest);
}

template <int W>
[[gnu::noinline]] Vector mul_high(const Vector* a, const Vector* b, const Reduction& by, std::size_t c,
                                  Vector carry, Vector* out) {
  Columns<W> sums;
  sums.clear();
  sums.high_triangle(a + c, b + by.k);
  sums.rows(a + c + W, b + by.k - W, by.k - c - W);
  return reduce_high(sums, by, c, carry, out);
}

// The products of a square near its diagonal, for a block from column 2 h + P on: a[h + P + u] * a[h + t - u] for
// t > 2 u + P, doubled with everything before, then the squares.
template <int W, int P>
CRYPSIS_INLINE inline void around_diagonal(Columns<W>& sums, const Vector* a, std::size_t h) {
  const Vector* const x = a + h + P;
  const Vector* const y = a + h;
  repeat<(W - P) / 2>([&](auto u) CRYPSIS_INLINE {
    constexpr int first = 2 * u + P + 1;
    repeat<W - first>([&](auto i) CRYPSIS_INLINE { sums.add(first + i, x[u], y[first + i - u]); });
  });
  sums.twice();
  repeat<(W - P + 1) / 2>([&](auto u) CRYPSIS_INLINE { sums.add(2 * u + P, x[u], x[u]); });
}

template <int W, int P>
[[gnu::noinline]] Vector sqr_low(const Vector* a, const Reduction& by, std::size_t c, Vector carry,
                                 Vector last_mask, Vector* rest) {
  Columns<W> sums;
  sums.clear();
  sums.rows(a, a + c, (c + 1) / 2);
  around_diagonal<W, P>(sums, a, c / 2);
  return reduce_low(sums, by, c, carry, last_mask, rest);
}

// For all blocks but the last: there, column k + c is below 2 k - 2 W + 2, so the diagonal is clear of the triangle.
template <int W, int P>
[[gnu::noinline]] Vector sqr_high(const Vector* a, const Reduction& by, std::size_t c, Vector carry,
                                  Vector* out) {
  Columns<W> sums;
  sums.clear();
  sums.high_triangle(a + c, a + by.k);
  const std::size_t column = by.k + c;
  sums.rows(a + c + W, a + by.k - W, (column + 1) / 2 - (c + W));
  around_diagonal<W, P>(sums, a, column / 2);
  return reduce_high(sums, by, c, carry, out);
}

// The last block, c + W = k: digits x and y from the end of a meet in column W - 2 - (x + y).
template <int W>
[[gnu::noinline]] Vector sqr_last(const Vector* a, const Reduction& by, std::size_t c, Vector carry,
                                  Vector* out) {
  Columns<W> sums;
  sums.clear();
  const Vector* const top = a + by.k - 1;
  repeat<W - 1>([&](auto x) CRYPSIS_INLINE {
    constexpr int room = W - 1 - x;
    repeat<(x < room ? x : room)>([&](auto y) CRYPSIS_INLINE { sums.add(W - 2 - x - y, top[-x], top[-y]); });
  });
  sums.twice();
  repeat<W / 2>([&](auto x) CRYPSIS_INLINE { sums.add(W - 2 - 2 * x, top[-x], top[-x]); });
  return reduce_high(sums, by, c, carry, out);
}

// Calls f with the width as a constant.
template <class F>
auto with_width(std::size_t width, const F& f) {
  switch (width) {
    case 5:
      return f.template operator()<5>();
    case 6:
      return f.template operator()<6>();
    case 7:
      return f.template operator()<7>();
    case 8:
      return f.template operator()<8>();
    case 9:
      return f.template operator()<9>();
    default:
      return f.template operator()<10>();
  }
}

// Widths of the blocks of k columns: as few as possible, as equal as possible, the wider ones first.
class Blocks {
 public:
  explicit Blocks(std::size_t k)
      : count_((k + kMaxBlock - 1) / kMaxBlock), width_(k / count_), n_wider_(k % count_) {}
  std::size_t count() const { return count_; }
  std::size_t width(std::size_t i) const { return width_ + (i < n_wider_); }

 private:
  std::size_t count_, width_, n_wider_;
};

// r = a * b / 2^(52 k), or with fewer bits of the last digit eliminated (last_mask). Bits from 52 on are rubbish in the
// digits of r and may be in those of a and b. r may be a or
// b: digit i of r is written when no digit up to i is needed any more. Returns what remains of column k - 1.
inline Vector montgomery_mul(Vector* r, const Vector* a, const Vector* b, const Reduction& by,
                             const Blocks& blocks, Vector last_mask) {
  const Vector all = splat(kMask52);
  Vector carry = _mm512_setzero_si512(), rest = _mm512_setzero_si512();
  std::size_t c = 0;
  for (std::size_t i = 0; i < blocks.count(); ++i) {
    const Vector mask = i + 1 == blocks.count() ? last_mask : all;
    carry = with_width(blocks.width(i), [&]<int W>() { return mul_low<W>(a, b, by, c, carry, mask, &rest); });
    c += blocks.width(i);
  }
  c = 0;
  for (std::size_t i = 0; i < blocks.count(); ++i) {
    carry = with_width(blocks.width(i), [&]<int W>() { return mul_high<W>(a, b, by, c, carry, r); });
    c += blocks.width(i);
  }
  return rest;
}

// The same for a * a.
inline Vector montgomery_sqr(Vector* r, const Vector* a, const Reduction& by, const Blocks& blocks,
                             Vector last_mask) {
  const Vector all = splat(kMask52);
  Vector carry = _mm512_setzero_si512(), rest = _mm512_setzero_si512();
  std::size_t c = 0;
  for (std::size_t i = 0; i < blocks.count(); ++i) {
    const Vector mask = i + 1 == blocks.count() ? last_mask : all;
    carry = with_width(blocks.width(i), [&]<int W>() {
      return c % 2 ? sqr_low<W, 1>(a, by, c, carry, mask, &rest)
                   : sqr_low<W, 0>(a, by, c, carry, mask, &rest);
    });
    c += blocks.width(i);
  }
  c = 0;
  for (std::size_t i = 0; i < blocks.count(); ++i) {
    carry = with_width(blocks.width(i), [&]<int W>() {
      if (i + 1 == blocks.count()) return sqr_last<W>(a, by, c, carry, r);
      return (by.k + c) % 2 ? sqr_high<W, 1>(a, by, c, carry, r) : sqr_high<W, 0>(a, by, c, carry, r);
    });
    c += blocks.width(i);
  }
  return rest;
}

}  // namespace
}  // namespace crypsis::bigint
