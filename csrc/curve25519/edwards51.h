// SPDX-License-Identifier: Apache-2.0
// Points of edwards25519, -x^2 + y^2 = 1 + d x^2 y^2, in extended coordinates (X : Y : Z : T), x = X / Z, y = Y / Z,
// T = X Y / Z, over the five limbs of field51.h. The sum below is complete on this curve [HWCD08, 3.1]: a = -1 is a
// square and d is not, so no input needs a branch. Everything is constant-time.
#pragma once
#include "curve25519/field51.h"

namespace crypsis::curve25519::edwards51 {

using namespace field51;

// d = -121665 / 121666, 2 d, and a square root of -1 [RFC 9496, 4.1].
constexpr Fe kD{{0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff}};
constexpr Fe kTwoD{{0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff}};
constexpr Fe kRootMinusOne{
    {0x61b274a0ea0b0, 0xd5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d}};

struct Point {
  Fe x, y, z, t;
};

constexpr Point kIdentity{kZero, kOne, kOne, kZero};

// What a sum needs of its second operand: Y + X, Y - X, 2 Z and 2 d T.
struct Addend {
  Fe plus, minus, z2, dt2;
};

constexpr Addend kZeroAddend{kOne, kOne, {{2, 0, 0, 0, 0}}, kZero};

inline Addend addend(const Point& p) {
  return {reduce(add(p.y, p.x)), reduce(sub(p.y, p.x)), reduce(add(p.z, p.z)), mul(p.t, kTwoD)};
}

inline Addend negate(const Addend& p) {
  return {p.minus, p.plus, p.z2, field51::negate(p.dt2)};
}

// mask all ones: b; mask zero: a.
inline Addend select(std::uint64_t mask, const Addend& a, const Addend& b) {
  return {field51::select(mask, a.plus, b.plus), field51::select(mask, a.minus, b.minus),
          field51::select(mask, a.z2, b.z2), field51::select(mask, a.dt2, b.dt2)};
}

// p + q [HWCD08, 3.1]: 8 products.
inline Point add(const Point& p, const Addend& q) {
  const Fe a = mul(sub(p.y, p.x), q.minus), b = mul(field51::add(p.y, p.x), q.plus);
  const Fe c = mul(p.t, q.dt2), d = mul(p.z, q.z2);
  const FeSum e = sub(b, a), f = sub(d, c), g = field51::add(d, c), h = field51::add(b, a);
  return {mul(e, f), mul(g, h), mul(f, g), mul(e, h)};
}

// 2 p [HWCD08, 3.3]: 4 products, 4 squares.
inline Point double_point(const Point& p) {
  const Fe a = square(p.x), b = square(p.y), zz = square(p.z);
  const Fe h = reduce(field51::add(a, b)), g = reduce(sub(a, b));
  const FeSum e = sub(h, square(field51::add(p.x, p.y)));
  const FeSum f = field51::add(reduce(field51::add(zz, zz)), g);
  return {mul(e, f), mul(g, h), mul(f, g), mul(e, h)};
}

}  // namespace crypsis::curve25519::edwards51
