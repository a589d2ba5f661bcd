// SPDX-License-Identifier: Apache-2.0
// The backend for every CPU: 51-bit limbs and 64 x 64 -> 128 multiplication.
#include <algorithm>

#include "common/wipe.h"
#include "curve25519/field51.h"
#include "curve25519/impl.h"

namespace crypsis::curve25519 {
namespace {

using namespace field51;

// Points that share one inversion. The inversion is 254 squarings and 11 products, so 64 points leave 2.6 %
// of a ladder's 2550 operations at 0.2 %.
constexpr std::size_t kBlock = 64;

constexpr std::uint64_t kJ = 486662;    // v^2 = u^3 + J u^2 + u
constexpr std::uint64_t kA24 = 121665;  // (J - 2) / 4

struct Projective {
  Fe x, z;
};

// 2(x : z) from a = x + z and b = x - z.
inline Projective double_point(const FeSum& a, const FeSum& b) {
  const Fe aa = square(a), bb = square(b);
  const FeSum e = sub(aa, bb);
  return {mul(aa, bb), mul(e, add(aa, mul_small(e, kA24)))};
}

// The Montgomery ladder [RFC 7748, 5] on the clamped scalar, without the final division. Differences from the
// text, all of them independent of the scalar:
//  - The sum P + Q does not depend on which of the two is doubled, so instead of swapping the points, each
//    step selects the operands of the doubling: half the masking, and the swaps of neighbouring steps merge.
//  - Bit 254 is always set: start from (P, 2P). Bits 0..2 are always clear: end with doublings only.
[[gnu::noinline]] Projective ladder(const std::uint8_t* scalar, const Fe& u) {
  struct State {
    std::uint8_t k[32];
    Projective p, q;  // kP and (k + 1)P, in either order: `swap` says so
  } s;
  const WipeGuard guard(s);
  std::memcpy(s.k, scalar, 32);
  s.p = {u, kOne};
  s.q = double_point(add(u, kOne), sub(u, kOne));

  // After the first bit (1): kP = P is in p, (k + 1)P = 2P in q.
  std::uint64_t previous = 0;
  for (int t = 253; t >= 3; --t) {
    const std::uint64_t bit = (s.k[t >> 3] >> (t & 7)) & 1u;
    // Double q when this bit differs from where the previous step left kP.
    const std::uint64_t mask = 0 - (bit ^ previous);
    previous = bit;
    const FeSum a = add(s.p.x, s.p.z), b = sub(s.p.x, s.p.z);
    const FeSum c = add(s.q.x, s.q.z), d = sub(s.q.x, s.q.z);
    const Fe da = mul(d, a), cb = mul(c, b);
    s.p = double_point(select(mask, a, c), select(mask, b, d));
    s.q = {square(add(da, cb)), mul(square(sub(da, cb)), u)};
  }
  const std::uint64_t mask = 0 - previous;
  Projective r{select(mask, s.p.x, s.q.x), select(mask, s.p.z, s.q.z)};
  for (int t = 0; t < 3; ++t) r = double_point(add(r.x, r.z), sub(r.x, r.z));
  return r;
}

struct Block {
  Fe x[kBlock], z[kBlock], scratch[kBlock];
};

// out[i] = x[i] / z[i], zero where z[i] is zero.
void divide_and_store(Block& block, std::uint8_t* out, std::size_t n) {
  invert_batch(block.z, block.scratch, n);
  for (std::size_t i = 0; i < n; ++i) to_bytes(out + 32 * i, mul(block.x[i], block.z[i]));
}

void scalar_mult(const std::uint8_t* scalars, std::size_t scalar_stride, const std::uint8_t* points,
                 std::uint8_t* out, std::size_t n) {
  Block block;
  const WipeGuard guard(block);
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t size = std::min(kBlock, n - begin);
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t row = begin + i;
      const Projective r = ladder(scalars + row * scalar_stride, from_bytes(points + 32 * row));
      block.x[i] = r.x;
      block.z[i] = r.z;
    }
    divide_and_store(block, out + 32 * begin, size);
  }
  secure_wipe_stack();
}

// All ones if a is a square (or 0): a^((p - 1) / 2) = a^(2^254 - 10) is 1 (or 0), else -1.
std::uint64_t square_mask(const Fe& a) {
  const Fe a2 = square(a), a4 = square(a2);
  // 2^254 - 10 = 2^4 (2^250 - 1) + 6
  const Fe chi = mul(square_times(power_chain(a).ones250, 4), mul(a2, a4));
  return ~zero_mask(reduce(add(chi, kOne)));
}

// Elligator 2 for v^2 = u^3 + J u^2 + u with Z = 2 [RFC 9380, 6.7.1]: with d = 1 + 2 r^2 (never zero, as -1/2
// is not a square), u1 = -J / d, and u = u1 if g(u1) is a square, else -u1 - J = -J (d - 1) / d. d^4 g(u1) =
// -J d (d^2 - J^2 (d - 1)), so the symbol needs no division and the divisions of a block share one.
void map_to_curve(const std::uint8_t* elements, std::uint8_t* out, std::size_t n) {
  Block block;
  const WipeGuard guard(block);
  const Fe minus_j = negate(Fe{{kJ, 0, 0, 0, 0}});
  const Fe j_squared{{kJ * kJ, 0, 0, 0, 0}};
  for (std::size_t begin = 0; begin < n; begin += kBlock) {
    const std::size_t size = std::min(kBlock, n - begin);
    for (std::size_t i = 0; i < size; ++i) {
      const Fe r2 = square(from_bytes(elements + 32 * (begin + i)));
      const Fe w = reduce(add(r2, r2));  // d - 1
      const Fe d = reduce(add(w, kOne));
      const Fe g = mul(mul(minus_j, d), sub(square(d), mul(j_squared, w)));
      block.z[i] = d;
      block.x[i] = mul(minus_j, select(square_mask(g), w, kOne));
    }
    divide_and_store(block, out + 32 * begin, size);
  }
}

}  // namespace

const Impl portable = {{"portable", 0}, scalar_mult, map_to_curve};

}  // namespace crypsis::curve25519
