// SPDX-License-Identifier: Apache-2.0
// Inverses by division steps [Bernstein, Yang 2019], 62 at a time on the low words, then applied to all limbs.
#include <algorithm>
#include <bit>

#include "bigint/modulus.h"

namespace crypsis::bigint {
namespace {

using Signed = std::int64_t;
using SignedWide = __int128;

constexpr int kDigit = 62;
constexpr Word kDigitMask = (Word{1} << kDigit) - 1;

// Digits of 62 bits, the top one signed.
using Digits = std::vector<Signed>;

Digits to_digits(const Word* x, std::size_t limbs, std::size_t n_digits) {
  Digits digits(n_digits, 0);
  for (std::size_t i = 0; i < n_digits; ++i) {
    const std::size_t bit = i * kDigit, limb = bit / 64, shift = bit % 64;
    if (limb >= limbs) break;
    Word value = x[limb] >> shift;
    if (shift > 2 && limb + 1 < limbs) value |= x[limb + 1] << (64 - shift);
    digits[i] = static_cast<Signed>(value & kDigitMask);
  }
  return digits;
}

// (f, g) -> (u f + v g, q f + r g) / 2^62 is what 62 division steps do; |u| + |v| and |q| + |r| are at most 2^62.
struct Matrix {
  Signed u, v, q, r;
};

Matrix division_steps(Signed& delta, Word f, Word g) {
  Word u = 1, v = 0, q = 0, r = 1;
  int left = kDigit;
  for (;;) {
    const int zeros = std::countr_zero(g | (~Word{0} << left));
    g >>= zeros;
    u <<= zeros;
    v <<= zeros;
    delta += zeros;
    left -= zeros;
    if (left == 0) break;
    if (delta > 0) {  // g is odd: (f, g) = (g, -f)
      delta = -delta;
      const Word old_f = f, old_u = u, old_v = v;
      f = g;
      g = Word{0} - old_f;
      u = q;
      q = Word{0} - old_u;
      v = r;
      r = Word{0} - old_v;
    }
    // The next 1 - delta steps cannot swap: cancel up to six low bits of g at once by a multiple of f, where
    // f (2 - f^2) is 1 / f mod 64.
    const Signed free_steps = 1 - delta;
    const int count = static_cast<int>(std::min<Signed>({free_steps, left, 6}));
    const Word multiple = (g * f * (f * f - 2)) & ((Word{1} << count) - 1);
    g += f * multiple;
    q += u * multiple;
    r += v * multiple;
  }
  return {static_cast<Signed>(u), static_cast<Signed>(v), static_cast<Signed>(q), static_cast<Signed>(r)};
}

void apply(const Matrix& m, Digits& f, Digits& g) {
  SignedWide carry_f = static_cast<SignedWide>(m.u) * f[0] + static_cast<SignedWide>(m.v) * g[0];
  SignedWide carry_g = static_cast<SignedWide>(m.q) * f[0] + static_cast<SignedWide>(m.r) * g[0];
  carry_f >>= kDigit;
  carry_g >>= kDigit;
  const std::size_t n_digits = f.size();
  for (std::size_t i = 1; i < n_digits; ++i) {
    carry_f += static_cast<SignedWide>(m.u) * f[i] + static_cast<SignedWide>(m.v) * g[i];
    carry_g += static_cast<SignedWide>(m.q) * f[i] + static_cast<SignedWide>(m.r) * g[i];
    f[i - 1] = static_cast<Signed>(static_cast<Word>(carry_f) & kDigitMask);
    g[i - 1] = static_cast<Signed>(static_cast<Word>(carry_g) & kDigitMask);
    carry_f >>= kDigit;
    carry_g >>= kDigit;
  }
  f[n_digits - 1] = static_cast<Signed>(carry_f);
  g[n_digits - 1] = static_cast<Signed>(carry_g);
}

// The same for (d, e) mod n: a multiple of n makes the division by 2^62 exact. Each round adds at most n to the
// bound of |d| and |e|: with fewer than 2^9 rounds nine more bits hold them.
void apply_mod(const Matrix& m, Digits& d, Digits& e, const Digits& n, Word minus_inverse) {
  SignedWide carry_d = static_cast<SignedWide>(m.u) * d[0] + static_cast<SignedWide>(m.v) * e[0];
  SignedWide carry_e = static_cast<SignedWide>(m.q) * d[0] + static_cast<SignedWide>(m.r) * e[0];
  const Signed add_d = static_cast<Signed>((static_cast<Word>(carry_d) * minus_inverse) & kDigitMask);
  const Signed add_e = static_cast<Signed>((static_cast<Word>(carry_e) * minus_inverse) & kDigitMask);
  carry_d = (carry_d + static_cast<SignedWide>(add_d) * n[0]) >> kDigit;
  carry_e = (carry_e + static_cast<SignedWide>(add_e) * n[0]) >> kDigit;
  const std::size_t n_digits = d.size();
  for (std::size_t i = 1; i < n_digits; ++i) {
    carry_d += static_cast<SignedWide>(m.u) * d[i] + static_cast<SignedWide>(m.v) * e[i];
    carry_e += static_cast<SignedWide>(m.q) * d[i] + static_cast<SignedWide>(m.r) * e[i];
    carry_d += static_cast<SignedWide>(add_d) * n[i];
    carry_e += static_cast<SignedWide>(add_e) * n[i];
    d[i - 1] = static_cast<Signed>(static_cast<Word>(carry_d) & kDigitMask);
    e[i - 1] = static_cast<Signed>(static_cast<Word>(carry_e) & kDigitMask);
    carry_d >>= kDigit;
    carry_e >>= kDigit;
  }
  d[n_digits - 1] = static_cast<Signed>(carry_d);
  e[n_digits - 1] = static_cast<Signed>(carry_e);
}

bool is_zero(const Digits& x) {
  for (const Signed digit : x) {
    if (digit != 0) return false;
  }
  return true;
}

// 1 or -1 where x is that, else 0.
int sign_of_unit(const Digits& x) {
  if (x[0] == 1) {
    Digits rest(x.begin() + 1, x.end());
    return is_zero(rest) ? 1 : 0;
  }
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    if (x[i] != static_cast<Signed>(kDigitMask)) return 0;
  }
  return x.back() == -1 ? -1 : 0;
}

// x = x + factor * n, carries resolved.
void add_multiple(Digits& x, const Digits& n, Signed factor) {
  SignedWide carry = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    carry += x[i] + static_cast<SignedWide>(factor) * n[i];
    if (i + 1 == x.size()) {
      x[i] = static_cast<Signed>(carry);
    } else {
      x[i] = static_cast<Signed>(static_cast<Word>(carry) & kDigitMask);
      carry >>= kDigit;
    }
  }
}

}  // namespace

bool invert_vartime(const Modulus& modulus, const Word* a, Word* out) {
  const std::size_t limbs = modulus.limbs();
  const std::size_t n_digits = (modulus.n_bits() + 12) / kDigit + 1;
  const Digits n = to_digits(modulus.n(), limbs, n_digits);
  Digits f = n, g = to_digits(a, limbs, n_digits);
  Digits d(n_digits, 0), e(n_digits, 0);  // f = d a and g = e a mod n, up to the powers of two divided out
  e[0] = 1;
  Signed delta = 1;
  while (!is_zero(g)) {
    const Word low_f = static_cast<Word>(f[0]) | (static_cast<Word>(f[1]) << kDigit);
    const Word low_g = static_cast<Word>(g[0]) | (static_cast<Word>(g[1]) << kDigit);
    const Matrix m = division_steps(delta, low_f, low_g);
    apply(m, f, g);
    apply_mod(m, d, e, n, modulus.minus_inverse());
  }
  const int sign = sign_of_unit(f);
  if (sign == 0) return false;
  if (sign < 0) {
    for (Signed& digit : d) digit = -digit;
    add_multiple(d, n, 0);
  }
  // |d| < 2^9 n: bring it to [0, n).
  for (Signed step = 512; step > 0; step /= 2) {
    Digits trial = d;
    if (d.back() < 0) {
      add_multiple(trial, n, step);
      d = trial;
    }
    trial = d;
    add_multiple(trial, n, -step);
    if (trial.back() >= 0) d = trial;
  }
  if (d.back() < 0) add_multiple(d, n, 1);
  for (std::size_t i = 0; i < limbs; ++i) {
    const std::size_t bit = i * 64, digit = bit / kDigit, shift = bit % kDigit;
    Word value = static_cast<Word>(d[digit]) >> shift;
    for (std::size_t next = 1, filled = kDigit - shift; filled < 64 && digit + next < n_digits; ++next) {
      value |= static_cast<Word>(d[digit + next]) << filled;
      filled += kDigit;
    }
    out[i] = value;
  }
  return true;
}

}  // namespace crypsis::bigint
