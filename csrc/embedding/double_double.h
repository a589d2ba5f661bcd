// SPDX-License-Identifier: Apache-2.0
// Numbers of about 104 bits as unevaluated sums of two doubles [Dek71]: twiddle factors are computed in them and then
// rounded once, the same on every machine. Compile without contraction of products and sums.
#pragma once
#include <cmath>

namespace crypsis::embedding {
namespace {

struct DoubleDouble {
  double hi, lo;  // |lo| is at most half a unit in the last place of hi, so hi is the sum rounded to nearest
};

// a + b exactly, for |a| >= |b|.
inline DoubleDouble quick_sum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}
inline DoubleDouble exact_sum(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}
inline DoubleDouble exact_product(double a, double b) {
  constexpr double kSplit = 134217729;  // 2^27 + 1
  const double a_up = kSplit * a, a_hi = a_up - (a_up - a), a_lo = a - a_hi;
  const double b_up = kSplit * b, b_hi = b_up - (b_up - b), b_lo = b - b_hi;
  const double product = a * b;
  return {product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

inline DoubleDouble add(DoubleDouble a, DoubleDouble b) {
  DoubleDouble high = exact_sum(a.hi, b.hi);
  const DoubleDouble low = exact_sum(a.lo, b.lo);
  high = quick_sum(high.hi, high.lo + low.hi);
  return quick_sum(high.hi, high.lo + low.lo);
}
inline DoubleDouble negate(DoubleDouble a) {
  return {-a.hi, -a.lo};
}
inline DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = exact_product(a.hi, b.hi);
  return quick_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}
// One Newton step each from the quotient or root in double.
inline DoubleDouble divide(DoubleDouble a, DoubleDouble b) {
  const double first = a.hi / b.hi;
  const DoubleDouble rest = add(a, negate(multiply(b, {first, 0})));
  const double second = rest.hi / b.hi;
  const DoubleDouble last = add(rest, negate(multiply(b, {second, 0})));
  const DoubleDouble sum = quick_sum(first, second);
  return add(sum, {last.hi / b.hi, 0});
}
inline DoubleDouble square_root(DoubleDouble a) {
  const double root = std::sqrt(a.hi);
  const DoubleDouble rest = add(a, negate(exact_product(root, root)));
  return quick_sum(root, rest.hi / (2 * root));
}

}  // namespace
}  // namespace crypsis::embedding
