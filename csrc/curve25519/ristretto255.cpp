// SPDX-License-Identifier: Apache-2.0
#include "curve25519/ristretto255.h"

#include <algorithm>
#include <atomic>

#include "common/threads.h"
#include "common/wipe.h"
#include "curve25519/edwards51.h"
#include "curve25519/scalar252.h"

namespace crypsis::curve25519::ristretto255 {
namespace {

using namespace edwards51;
using scalar252::Scalar;

constexpr std::size_t kGrain = 8;  // rows a thread takes at least: a fraction of a millisecond

// [RFC 9496, 4.1]
constexpr Fe kRootAdMinusOne{
    {0x7f6a0497b2e1b, 0x1836f0a97afd2, 0x7d747f6be7638, 0x456079e7e6498, 0x376931bf2b834}};
constexpr Fe kInverseRootAMinusD{
    {0xfdaa805d40ea, 0x2eb482e57d339, 0x7610274bc58, 0x6510b613dc8ff, 0x786c8905cfaff}};
constexpr Fe kOneMinusDSquared{
    {0x409c1945fc176, 0x719abc6a1fc4f, 0x1c37f90b20684, 0x6bccca55eedf, 0x29072a8b2b3e}};
constexpr Fe kDMinusOneSquared{
    {0x55aaa44ed4d20, 0x59603c3332635, 0x26d3baf4a7928, 0x120a66e6997a9, 0x5968b37af66c2}};
constexpr std::uint8_t kGenerator[32] = {0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9,
                                         0x61, 0xc5, 0x00, 0x51, 0x5f, 0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82,
                                         0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76};

// The nonnegative one of a and -a: the even one [RFC 9496, 3.1].
Fe absolute(const Fe& a) {
  return field51::select(odd_mask(a), a, field51::negate(a));
}

struct Root {
  std::uint64_t was_square;  // all ones or zero
  Fe value;
};

// SQRT_RATIO_M1 [RFC 9496, 4.2]: |sqrt(u / v)|, or |sqrt(i u / v)| where u / v is no square.
Root root_of_ratio(const Fe& u, const Fe& v) {
  const Fe v3 = mul(square(v), v), v7 = mul(square(v3), v);
  const Fe r = mul(mul(u, v3), power_p58(mul(u, v7)));
  const Fe check = mul(v, square(r)), minus_u = field51::negate(u);
  const std::uint64_t correct = equal_mask(check, u), flipped = equal_mask(check, minus_u);
  const std::uint64_t flipped_i = equal_mask(check, mul(minus_u, kRootMinusOne));
  return {correct | flipped, absolute(field51::select(flipped | flipped_i, r, mul(r, kRootMinusOne)))};
}

// [RFC 9496, 4.3.1]. Returns all ones for an encoding, zero for anything else; `out` is then some field elements.
std::uint64_t decode(const std::uint8_t* bytes, Point& out) {
  const Fe s = from_bytes(bytes);
  std::uint8_t again[32];
  field51::to_bytes(again, s);
  std::uint8_t difference = 0;  // not below p, or the top bit set
  for (int i = 0; i < 32; ++i) difference = static_cast<std::uint8_t>(difference | (again[i] ^ bytes[i]));
  const std::uint64_t canonical_mask = (static_cast<std::uint64_t>(difference) - 1) >> 63;

  const Fe ss = square(s);
  const Fe u1 = reduce(sub(kOne, ss)), u2 = reduce(field51::add(kOne, ss)), u2_squared = square(u2);
  const Fe v = reduce(sub(field51::negate(mul(kD, square(u1))), u2_squared));
  const Root root = root_of_ratio(kOne, mul(v, u2_squared));
  const Fe den_x = mul(root.value, u2), den_y = mul(mul(root.value, den_x), v);
  const Fe x = absolute(mul(field51::add(s, s), den_x)), y = mul(u1, den_y), t = mul(x, y);
  out = {x, y, kOne, t};
  return (0 - canonical_mask) & ~odd_mask(s) & root.was_square & ~odd_mask(t) & ~zero_mask(y);
}

// [RFC 9496, 4.3.2]
void encode(const Point& p, std::uint8_t* out) {
  const Fe u1 = mul(field51::add(p.z, p.y), sub(p.z, p.y)), u2 = mul(p.x, p.y);
  const Fe root = root_of_ratio(kOne, mul(u1, square(u2))).value;
  const Fe den1 = mul(root, u1), den2 = mul(root, u2), z_inverse = mul(mul(den1, den2), p.t);
  const std::uint64_t rotate = odd_mask(mul(p.t, z_inverse));
  const Fe x = field51::select(rotate, p.x, mul(p.y, kRootMinusOne));
  const Fe y = field51::select(rotate, p.y, mul(p.x, kRootMinusOne));
  const Fe den = field51::select(rotate, den2, mul(den1, kInverseRootAMinusD));
  const Fe signed_y = field51::select(odd_mask(mul(x, z_inverse)), y, field51::negate(y));
  field51::to_bytes(out, absolute(mul(den, sub(p.z, signed_y))));
}

// MAP [RFC 9496, 4.3.4], the Elligator 2 map of Ristretto.
Point map(const Fe& t) {
  const Fe r = mul(kRootMinusOne, square(t)), minus_one = field51::negate(kOne);
  const Fe u = mul(field51::add(r, kOne), kOneMinusDSquared);
  const Fe v = mul(sub(minus_one, mul(r, kD)), field51::add(r, kD));
  const Root root = root_of_ratio(u, v);
  const Fe s = field51::select(root.was_square, field51::negate(absolute(mul(root.value, t))), root.value);
  const Fe c = field51::select(root.was_square, r, minus_one);
  const Fe n = reduce(sub(mul(mul(c, sub(r, kOne)), kDMinusOneSquared), v));
  const Fe ss = square(s);
  const Fe w0 = mul(field51::add(s, s), v), w1 = mul(n, kRootAdMinusOne);
  const FeSum w2 = sub(kOne, ss), w3 = field51::add(kOne, ss);
  return {mul(w0, w3), mul(w2, w1), mul(w1, w3), mul(w0, w2)};
}

struct Table {
  Addend multiple[8];  // 1 P .. 8 P
};

void fill(Table& table, const Point& p) {
  table.multiple[0] = addend(p);
  Point q = p;
  for (int i = 1; i < 8; ++i) {
    q = edwards51::add(q, table.multiple[0]);
    table.multiple[i] = addend(q);
  }
}

// digit * P for a digit in -8..8; reads every entry.
Addend pick(const Table& table, std::int8_t digit) {
  const std::int64_t wide = digit;
  const std::uint64_t negative = static_cast<std::uint64_t>(wide >> 63);
  const std::uint64_t size = (static_cast<std::uint64_t>(wide) ^ negative) - negative;
  Addend r = kZeroAddend;
  for (std::uint64_t i = 1; i <= 8; ++i) {
    const std::uint64_t different = i ^ size;
    const std::uint64_t same = ((different | (0 - different)) >> 63) - 1;
    r = edwards51::select(same, r, table.multiple[i - 1]);
  }
  return edwards51::select(negative, r, edwards51::negate(r));
}

// The multiples 1..8 of 256^i times the generator, i < 32. Public.
struct BaseTable {
  Table row[32];

  BaseTable() {
    Point p;
    decode(kGenerator, p);
    for (Table& table : row) {
      fill(table, p);
      for (int i = 0; i < 8; ++i) p = double_point(p);
    }
  }
};

const BaseTable& base_table() {
  static const BaseTable table;
  return table;
}

struct Multiplication {
  std::int8_t digits[64];
  Scalar scalar;
  Table table;
  Point point, sum;
};

[[gnu::noinline]] std::uint64_t multiply(const std::uint8_t* scalar, const std::uint8_t* element,
                                         std::uint8_t* out) {
  Multiplication m;
  const WipeGuard guard(m);
  const std::uint64_t valid = decode(element, m.point);
  m.scalar = scalar252::reduce_bytes(scalar, 32);
  scalar252::radix16(m.scalar, m.digits);
  fill(m.table, m.point);
  m.sum = edwards51::add(kIdentity, pick(m.table, m.digits[63]));
  for (int i = 62; i >= 0; --i) {
    for (int k = 0; k < 4; ++k) m.sum = double_point(m.sum);
    m.sum = edwards51::add(m.sum, pick(m.table, m.digits[i]));
  }
  encode(m.sum, out);
  return valid;
}

// Odd digits first, times 16, then the even ones: half the table and four doublings.
[[gnu::noinline]] void multiply_base(const BaseTable& base, const std::uint8_t* scalar, std::uint8_t* out) {
  Multiplication m;
  const WipeGuard guard(m);
  m.scalar = scalar252::reduce_bytes(scalar, 32);
  scalar252::radix16(m.scalar, m.digits);
  m.sum = kIdentity;
  for (int i = 1; i < 64; i += 2) m.sum = edwards51::add(m.sum, pick(base.row[i / 2], m.digits[i]));
  for (int k = 0; k < 4; ++k) m.sum = double_point(m.sum);
  for (int i = 0; i < 64; i += 2) m.sum = edwards51::add(m.sum, pick(base.row[i / 2], m.digits[i]));
  encode(m.sum, out);
}

[[gnu::noinline]] std::uint64_t add_encoded(const std::uint8_t* a, const std::uint8_t* b,
                                            std::uint64_t subtract, std::uint8_t* out) {
  Point p, q;
  const std::uint64_t valid = decode(a, p) & decode(b, q);
  const Addend plus = addend(q);
  encode(edwards51::add(p, edwards51::select(subtract, plus, edwards51::negate(plus))), out);
  return valid;
}

[[gnu::noinline]] void derive_one(const std::uint8_t* uniform, std::uint8_t* out) {
  const Point p = map(from_bytes(uniform)), q = map(from_bytes(uniform + 32));
  encode(edwards51::add(p, addend(q)), out);
}

// body(row) over [0, n) on the threads; returns the first row for which it gave zero, n if there is none.
template <class Body>
std::size_t for_rows(std::size_t n, int threads, const Body& body) {
  std::atomic<std::size_t> first_bad{n};
  parallel_for(n, kGrain, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (body(i) == 0) {
        std::size_t seen = first_bad.load();
        while (i < seen && !first_bad.compare_exchange_weak(seen, i)) {
        }
      }
    }
    secure_wipe_stack();
  });
  return first_bad.load();
}

}  // namespace

std::size_t check(const std::uint8_t* elements, std::size_t n, int threads) {
  return for_rows(n, threads, [=](std::size_t i) {
    Point p;
    return decode(elements + 32 * i, p);
  });
}

std::size_t scalar_mult(const std::uint8_t* scalars, std::size_t scalar_stride, const std::uint8_t* elements,
                        std::uint8_t* out, std::size_t n, int threads) {
  return for_rows(n, threads, [=](std::size_t i) {
    return multiply(scalars + i * scalar_stride, elements + 32 * i, out + 32 * i);
  });
}

void scalar_mult_base(const std::uint8_t* scalars, std::uint8_t* out, std::size_t n, int threads) {
  const BaseTable& base = base_table();
  for_rows(n, threads, [=, &base](std::size_t i) {
    multiply_base(base, scalars + 32 * i, out + 32 * i);
    return 1;
  });
}

std::size_t add(const std::uint8_t* a, const std::uint8_t* b, bool subtract, std::uint8_t* out, std::size_t n,
                int threads) {
  const std::uint64_t mask = subtract ? ~std::uint64_t{0} : 0;
  return for_rows(n, threads,
                  [=](std::size_t i) { return add_encoded(a + 32 * i, b + 32 * i, mask, out + 32 * i); });
}

void derive(const std::uint8_t* uniform, std::uint8_t* out, std::size_t n, int threads) {
  for_rows(n, threads, [=](std::size_t i) {
    derive_one(uniform + 64 * i, out + 32 * i);
    return 1;
  });
}

void reduce_scalars(const std::uint8_t* wide, std::uint8_t* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    scalar252::to_bytes(out + 32 * i, scalar252::reduce_bytes(wide + 64 * i, 64));
  }
  secure_wipe_stack();
}

}  // namespace crypsis::curve25519::ristretto255
