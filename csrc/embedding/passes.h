// SPDX-License-Identifier: Apache-2.0
// The passes of tables.h over Lanes, a vector of doubles (lanes_*.h). A polynomial's first n coefficients are the real
// parts of n complex numbers and the others their imaginary parts, since zeta^(5^j N / 2) = i for every j: so a
// transform of n points does [CKKS17, CHKKS18]. Internal linkage; no product may be contracted with a sum.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "common/wipe.h"
#include "embedding/impl.h"
#include "embedding/one_lane.h"

namespace crypsis::embedding {
namespace {

constexpr std::size_t kBlock = 1024;  // complex numbers that stay in the first cache with their twiddles

template <class L>
struct Complex {
  typename L::Vector re, im;
};
template <class L>
[[gnu::always_inline]] inline Complex<L> load(const double* re, const double* im) {
  return {L::load(re), L::load(im)};
}
template <class L>
[[gnu::always_inline]] inline void store(double* re, double* im, const Complex<L>& a) {
  L::store(re, a.re);
  L::store(im, a.im);
}
template <class L>
[[gnu::always_inline]] inline Complex<L> operator+(const Complex<L>& a, const Complex<L>& b) {
  return {L::add(a.re, b.re), L::add(a.im, b.im)};
}
template <class L>
[[gnu::always_inline]] inline Complex<L> operator-(const Complex<L>& a, const Complex<L>& b) {
  return {L::sub(a.re, b.re), L::sub(a.im, b.im)};
}
// a w, or a conj(w).
template <class L, bool kConjugate>
[[gnu::always_inline]] inline Complex<L> rotate(const Complex<L>& a, const Complex<L>& w) {
  const auto rr = L::mul(a.re, w.re), ii = L::mul(a.im, w.im);
  const auto ri = L::mul(a.re, w.im), ir = L::mul(a.im, w.re);
  if constexpr (kConjugate) return {L::add(rr, ii), L::sub(ir, ri)};
  return {L::sub(rr, ii), L::add(ir, ri)};
}
template <class L>
[[gnu::always_inline]] inline Complex<L> times_i(const Complex<L>& a, const Complex<L>& b) {
  return {L::sub(a.re, b.im), L::add(a.im, b.re)};  // a + i b
}
template <class L>
[[gnu::always_inline]] inline Complex<L> minus_i(const Complex<L>& a, const Complex<L>& b) {
  return {L::add(a.re, b.im), L::sub(a.im, b.re)};  // a - i b
}

// One pass over n complex numbers in place.
template <class L, bool kInverse>
void radix2(const Pass& pass, double* re, double* im, std::size_t n) {
  const std::size_t h = pass.h;
  const double* const w = pass.twiddles;
  for (std::size_t at = 0; at < n; at += 2 * h) {
    for (std::size_t j = 0; j < h; j += L::kLanes) {
      double *const r = re + at + j, *const i = im + at + j;
      const Complex<L> twiddle = load<L>(w + j, w + h + j);
      const Complex<L> x = load<L>(r, i), y = load<L>(r + h, i + h);
      if constexpr (kInverse) {
        store<L>(r, i, x + y);
        store<L>(r + h, i + h, rotate<L, true>(x - y, twiddle));
      } else {
        const Complex<L> turned = rotate<L, false>(y, twiddle);
        store<L>(r, i, x + turned);
        store<L>(r + h, i + h, x - turned);
      }
    }
  }
}

// Stages 2 h and 4 h: the twiddle at j + h of the latter is -i u, since 5^h = 1 + 12 h mod 16 h for even h.
template <class L, bool kInverse>
void radix4(const Pass& pass, double* re, double* im, std::size_t n) {
  const std::size_t h = pass.h;
  const double* const w = pass.twiddles;
  for (std::size_t at = 0; at < n; at += 4 * h) {
    for (std::size_t j = 0; j < h; j += L::kLanes) {
      double *const r = re + at + j, *const i = im + at + j;
      const Complex<L> u1 = load<L>(w + j, w + h + j), u2 = load<L>(w + 2 * h + j, w + 3 * h + j);
      const Complex<L> u3 = load<L>(w + 4 * h + j, w + 5 * h + j);
      const Complex<L> x0 = load<L>(r, i), x1 = load<L>(r + h, i + h);
      const Complex<L> x2 = load<L>(r + 2 * h, i + 2 * h), x3 = load<L>(r + 3 * h, i + 3 * h);
      if constexpr (kInverse) {
        const Complex<L> a0 = x0 + x2, a1 = x1 + x3, s = x0 - x2, t = x1 - x3;
        store<L>(r, i, a0 + a1);
        store<L>(r + h, i + h, rotate<L, true>(a0 - a1, u2));
        store<L>(r + 2 * h, i + 2 * h, rotate<L, true>(times_i(s, t), u1));
        store<L>(r + 3 * h, i + 3 * h, rotate<L, true>(minus_i(s, t), u3));
      } else {
        const Complex<L> b1 = rotate<L, false>(x1, u2), b2 = rotate<L, false>(x2, u1);
        const Complex<L> b3 = rotate<L, false>(x3, u3);
        const Complex<L> a0 = x0 + b1, a1 = x0 - b1, s = b2 + b3, d = b2 - b3;
        store<L>(r, i, a0 + s);
        store<L>(r + h, i + h, minus_i(a1, d));
        store<L>(r + 2 * h, i + 2 * h, a0 - s);
        store<L>(r + 3 * h, i + 3 * h, times_i(a1, d));
      }
    }
  }
}

template <class L, bool kInverse>
void run_pass(const Pass& pass, double* re, double* im, std::size_t n) {
  if (pass.radix == 2) {
    radix2<L, kInverse>(pass, re, im, n);
  } else {
    radix4<L, kInverse>(pass, re, im, n);
  }
}

// All passes after the first one (which leaves blocks of 8), short ones block by block.
template <class L, bool kInverse>
void run_passes(const Tables& tables, double* re, double* im) {
  const std::size_t n = tables.n, count = tables.passes.size();
  std::size_t n_short = 0, block = std::min<std::size_t>(n, 8);
  while (n_short < count && tables.passes[n_short].length() <= kBlock) {
    block = tables.passes[n_short++].length();
  }
  const auto in_blocks = [&] {
    for (std::size_t at = 0; at < n; at += block) {
      for (std::size_t k = 0; k < n_short; ++k) {
        const Pass& pass = tables.passes[kInverse ? n_short - 1 - k : k];
        run_pass<L, kInverse>(pass, re + at, im + at, block);
      }
    }
  };
  if constexpr (!kInverse) in_blocks();
  for (std::size_t k = n_short; k < count; ++k) {
    run_pass<L, kInverse>(tables.passes[kInverse ? count - 1 - (k - n_short) : k], re, im, n);
  }
  if constexpr (kInverse) in_blocks();
}

// Stages 2, 4 and 8 on eight vectors; their twiddles are the same in every block.
template <class L, bool kInverse>
[[gnu::always_inline]] inline void first_stages(const Tables& tables, Complex<L> (&x)[8]) {
#pragma GCC unroll 3
  for (int stage = 0; stage < 3; ++stage) {
    const int h = kInverse ? 4 >> stage : 1 << stage;
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const int j = k & (h - 1), low = 2 * (k - j) + j;
      const double (&w)[2] = tables.first[h - 1 + j];
      const Complex<L> twiddle{L::broadcast(w[0]), L::broadcast(w[1])};
      const Complex<L> a = x[low], b = x[low + h];
      if constexpr (kInverse) {
        x[low] = a + b;
        x[low + h] = rotate<L, true>(a - b, twiddle);
      } else {
        const Complex<L> turned = rotate<L, false>(b, twiddle);
        x[low] = a + turned;
        x[low + h] = a - turned;
      }
    }
  }
}

// Position 8 a + b of the reversed order is the natural one's reversed(b) n / 8 + reversed(a): blocks of eight vectors
// a distance n / 8 apart, one block a lane.
constexpr std::size_t kReversed8[8] = {0, 4, 2, 6, 1, 5, 3, 7};

template <class L>
void first_pass(const Tables& tables, const double* from, double* re, double* im) {
  const std::size_t n = tables.n, step = n / 8;
  for (std::size_t at = 0; at < step; at += L::kLanes) {
    Complex<L> x[8];
    for (std::size_t b = 0; b < 8; ++b) {
      const double* const source = from + kReversed8[b] * step + at;
      x[b] = load<L>(source, source + n);
    }
    first_stages<L, false>(tables, x);
    typename L::Vector rows[8];
    for (std::size_t b = 0; b < 8; ++b) rows[b] = x[b].re;
    L::store_rows(rows, re, tables.reversed.data() + at);
    for (std::size_t b = 0; b < 8; ++b) rows[b] = x[b].im;
    L::store_rows(rows, im, tables.reversed.data() + at);
  }
}

// Results of fewer lanes than a cache line has are gathered in lines first: the 16 rows they go to lie a power of two
// apart, in one set of the first cache, which keeps fewer.
template <class L>
void last_inverse_pass(const Tables& tables, const double* re, const double* im, double factor, double* to) {
  const std::size_t n = tables.n, step = n / 8;
  alignas(64) double lines[16][8];
  const typename L::Vector scale = L::broadcast(factor);
  for (std::size_t at = 0; at < step; at += L::kLanes) {
    typename L::Vector rows[8];
    Complex<L> x[8];
    L::load_rows(re, tables.reversed.data() + at, rows);
    for (std::size_t b = 0; b < 8; ++b) x[b].re = rows[b];
    L::load_rows(im, tables.reversed.data() + at, rows);
    for (std::size_t b = 0; b < 8; ++b) x[b].im = rows[b];
    first_stages<L, true>(tables, x);
    const std::size_t in_line = at % 8;
    for (std::size_t b = 0; b < 8; ++b) {
      double* const target = to + kReversed8[b] * step + at;
      double* const re_line = L::kLanes == 8 ? target : lines[b] + in_line;
      double* const im_line = L::kLanes == 8 ? target + n : lines[8 + b] + in_line;
      L::store(re_line, L::mul(x[b].re, scale));
      L::store(im_line, L::mul(x[b].im, scale));
    }
    if (L::kLanes == 8 || in_line + L::kLanes < 8) continue;
    for (std::size_t b = 0; b < 8; ++b) {
      double* const target = to + kReversed8[b] * step + at - in_line;
      std::memcpy(target, lines[b], sizeof lines[b]);
      std::memcpy(target + n, lines[8 + b], sizeof lines[b]);
    }
  }
  secure_wipe(lines, sizeof lines);
}

template <class L>
void to_coefficients(const Tables& tables, const double* slots, bool complex, std::size_t m, double factor,
                     double* work, double* out) {
  const std::size_t n = tables.n;
  double *const re = work, *const im = work + n;
  std::size_t done = 0;
  if (complex) {
    for (; done + L::kLanes <= m; done += L::kLanes) L::split(slots + 2 * done, re + done, im + done);
    for (; done < m; ++done) {
      re[done] = slots[2 * done];
      im[done] = slots[2 * done + 1];
    }
    std::memset(im + m, 0, (n - m) * sizeof(double));
  } else {
    if (m > 0) std::memcpy(re, slots, m * sizeof(double));
    std::memset(im, 0, n * sizeof(double));
  }
  std::memset(re + m, 0, (n - m) * sizeof(double));
  if (n >= kFirstSlots) {
    run_passes<L, true>(tables, re, im);
    last_inverse_pass<L>(tables, re, im, factor, out);
    return;
  }
  run_passes<OneLane, true>(tables, re, im);  // radix 2 only
  for (std::size_t i = 0; i < n; ++i) {
    out[tables.reversed[i]] = re[i] * factor;
    out[tables.reversed[i] + n] = im[i] * factor;
  }
}

template <class L>
void to_slots(const Tables& tables, const double* coefficients, double factor, double* work, double* out) {
  const std::size_t n = tables.n;
  double *const re = work, *const im = work + n;
  if (n >= kFirstSlots) {
    first_pass<L>(tables, coefficients, re, im);
    run_passes<L, false>(tables, re, im);
    const typename L::Vector scale = L::broadcast(factor);
    for (std::size_t i = 0; i < n; i += L::kLanes) {
      L::join(L::mul(L::load(re + i), scale), L::mul(L::load(im + i), scale), out + 2 * i);
    }
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    re[i] = coefficients[tables.reversed[i]];
    im[i] = coefficients[tables.reversed[i] + n];
  }
  run_passes<OneLane, false>(tables, re, im);
  for (std::size_t i = 0; i < n; ++i) {
    out[2 * i] = re[i] * factor;
    out[2 * i + 1] = im[i] * factor;
  }
}

}  // namespace
}  // namespace crypsis::embedding
