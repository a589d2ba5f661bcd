// SPDX-License-Identifier: Apache-2.0
// curve25519_XMD:SHA-512_ELL2_RO_ and _NU_ [RFC 9380, 8.5]: messages to points of the prime-order subgroup,
// affine. Everything after the hash is constant-time in the element; the divisions of a block share one
// inversion.
#include <algorithm>

#include "common/threads.h"
#include "common/wipe.h"
#include "curve25519/curve25519.h"
#include "curve25519/field51.h"
#include "curve25519/sha512.h"

namespace crypsis::curve25519 {
namespace {

using namespace field51;

constexpr std::size_t kBlock = 64;         // messages that share inversions
constexpr std::size_t kElementBytes = 48;  // L = ceil((255 + 128) / 8) [RFC 9380, 5.1]

constexpr Fe kJ{{486662, 0, 0, 0, 0}};
// A square root of -1: 2^((p - 1) / 4).
constexpr Fe kRootMinusOne{
    {0x61b274a0ea0b0, 0xd5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d}};
// 2^((p + 3) / 8), which is 1 + that root: its square is 2 sqrt(-1).
constexpr Fe kTwoPower{{0x61b274a0ea0b1, 0xd5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d}};

struct Point {
  Fe u, v;
  std::uint64_t infinite;  // all ones: the point at infinity, u and v meaningless
};

struct Block {
  Point q0[kBlock], q1[kBlock];
  Fe element[kBlock];
  Fe num[kBlock], den[kBlock], scratch[kBlock];
};

// expand_message_xmd with SHA-512 [RFC 9380, 5.3.1]; keeps what does not depend on the message.
class Expander {
 public:
  Expander(std::span<const std::uint8_t> dst, std::size_t out_size) : out_size_(out_size) {
    constexpr std::uint8_t z_pad[Sha512::kBlock] = {};
    start_.update(z_pad, sizeof z_pad);
    std::memcpy(dst_prime_, dst.data(), dst.size());
    dst_prime_[dst.size()] = static_cast<std::uint8_t>(dst.size());
    dst_prime_size_ = dst.size() + 1;
  }

  // out has room for out_size, at most 2 * 64 bytes.
  void expand(std::span<const std::uint8_t> message, std::uint8_t* out) const {
    struct {
      Sha512 hash;
      std::uint8_t b0[Sha512::kDigest], b[Sha512::kDigest];
    } s;
    const WipeGuard guard(s);
    s.hash = start_;
    s.hash.update(message.data(), message.size());
    const std::uint8_t length[3] = {static_cast<std::uint8_t>(out_size_ >> 8),
                                    static_cast<std::uint8_t>(out_size_), 0};
    s.hash.update(length, 3);
    s.hash.update(dst_prime_, dst_prime_size_);
    s.hash.finish(s.b0);
    std::memset(s.b, 0, sizeof s.b);
    std::uint8_t counter = 1;
    for (std::size_t done = 0; done < out_size_; done += Sha512::kDigest, ++counter) {
      for (std::size_t i = 0; i < Sha512::kDigest; ++i) s.b[i] ^= s.b0[i];  // b_0 itself for the first block
      s.hash.update(s.b, sizeof s.b);
      s.hash.update(&counter, 1);
      s.hash.update(dst_prime_, dst_prime_size_);
      s.hash.finish(s.b);
      std::memcpy(out + done, s.b, std::min(Sha512::kDigest, out_size_ - done));
    }
  }

 private:
  Sha512 start_;  // after Z_pad
  std::uint8_t dst_prime_[256];
  std::size_t dst_prime_size_, out_size_;
};

// 48 bytes, big-endian, mod p [RFC 9380, 5.2]: low + 2^255 top + 2^256 high with 2^255 = 19.
Fe reduce_element(const std::uint8_t* big_endian) {
  std::uint8_t le[kElementBytes], high[32] = {};
  std::reverse_copy(big_endian, big_endian + kElementBytes, le);
  std::memcpy(high, le + 32, 16);
  const Fe top{{19u * static_cast<std::uint64_t>(le[31] >> 7), 0, 0, 0, 0}};
  const Fe r = reduce(add(reduce(add(from_bytes(le), top)), mul_small(widen(from_bytes(high)), 38)));
  secure_wipe(le, sizeof le);
  secure_wipe(high, sizeof high);
  return r;
}

// Elligator 2 with both coordinates [RFC 9380, 6.7.1] of block.element, Z = 2. One power gives the symbol and
// the root: y = g(u1)^((p + 3) / 8) has y^2 = +-g(u1) if that is a square; else g(u2) = 2 r^2 g(u1) is, and
// (y r 2^((p + 3) / 8))^2 = +-g(u2). A wrong sign is mended by sqrt(-1).
void map_block(Block& block, Point* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const Fe r2 = square(block.element[i]);
    block.num[i] = reduce(add(r2, r2));
    block.den[i] = reduce(add(block.num[i], kOne));
  }
  invert_batch(block.den, block.scratch, n);
  const Fe minus_j = negate(kJ);
  for (std::size_t i = 0; i < n; ++i) {
    const Fe u1 = mul(minus_j, block.den[i]);
    const Fe g1 = mul(u1, add(mul(u1, add(u1, kJ)), kOne));
    const Fe g2 = mul(block.num[i], g1);
    const Fe y = mul(g1, power_p58(g1)), y2 = square(y);
    const std::uint64_t is_square = equal_mask(y2, g1) | equal_mask(negate(y2), g1);

    const Fe u = select(is_square, mul(u1, block.num[i]), u1);  // -u1 - J = u1 (d - 1)
    const Fe g = select(is_square, g2, g1);
    Fe v = select(is_square, mul(y, mul(block.element[i], kTwoPower)), y);
    v = select(equal_mask(square(v), g), mul(v, kRootMinusOne), v);
    // The sign that makes v odd for u1 and even for u2.
    v = select(odd_mask(v) ^ is_square, v, negate(v));
    out[i] = {u, v, 0};
  }
}

// The chord or tangent through p and q with slope num / den, den already inverted.
void finish_sum(Point& p, const Fe& q_u, const Fe& slope) {
  const Fe u = reduce(sub(square(slope), reduce(add(kJ, reduce(add(p.u, q_u))))));
  p.v = reduce(sub(mul(slope, sub(p.u, u)), p.v));
  p.u = u;
}

Fe tangent_numerator(const Fe& u) {  // 3 u^2 + 2 J u + 1
  const Fe u2 = square(u);
  return reduce(
      add(reduce(add(reduce(add(u2, u2)), u2)), reduce(add(mul_small(widen(u), 2 * 486662), kOne))));
}

// p[i] += q[i] for finite points.
void add_block(Block& block, Point* p, const Point* q, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t same_u = equal_mask(p[i].u, q[i].u);
    p[i].infinite = same_u & (~equal_mask(p[i].v, q[i].v) | zero_mask(p[i].v));
    block.num[i] = select(same_u, reduce(sub(q[i].v, p[i].v)), tangent_numerator(p[i].u));
    block.den[i] = select(same_u, reduce(sub(q[i].u, p[i].u)), reduce(add(p[i].v, p[i].v)));
  }
  invert_batch(block.den, block.scratch, n);
  for (std::size_t i = 0; i < n; ++i) finish_sum(p[i], q[i].u, mul(block.num[i], block.den[i]));
}

// p[i] = 2 p[i].
void double_block(Block& block, Point* p, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    p[i].infinite |= zero_mask(p[i].v);
    block.num[i] = tangent_numerator(p[i].u);
    block.den[i] = reduce(add(p[i].v, p[i].v));
  }
  invert_batch(block.den, block.scratch, n);
  for (std::size_t i = 0; i < n; ++i) finish_sum(p[i], p[i].u, mul(block.num[i], block.den[i]));
}

template <class Offset>
std::span<const std::uint8_t> between(const Messages& messages, std::size_t i) {
  const Offset* const offsets = static_cast<const Offset*>(messages.offsets) + i;
  return {messages.data + offsets[0], static_cast<std::size_t>(offsets[1] - offsets[0])};
}

std::span<const std::uint8_t> message_at(const Messages& messages, std::size_t i) {
  switch (messages.layout) {
    case Messages::Layout::kOffsets32:
      return between<std::int32_t>(messages, i);
    case Messages::Layout::kOffsets64:
      return between<std::int64_t>(messages, i);
    default:
      return {messages.data + i * messages.stride, messages.width};
  }
}

// Messages [begin, begin + n) to rows [0, n) of the outputs.
void hash_block(Block& block, const Expander& expander, const Messages& messages, std::size_t begin,
                std::size_t n, bool random_oracle, std::uint8_t* out_u, std::uint8_t* out_v) {
  std::uint8_t uniform[kBlock][2 * Sha512::kDigest];
  const WipeGuard guard(uniform);
  for (std::size_t i = 0; i < n; ++i) {
    expander.expand(message_at(messages, begin + i), uniform[i]);
    block.element[i] = reduce_element(uniform[i]);
  }
  map_block(block, block.q0, n);
  if (random_oracle) {
    for (std::size_t i = 0; i < n; ++i) block.element[i] = reduce_element(uniform[i] + kElementBytes);
    map_block(block, block.q1, n);
    add_block(block, block.q0, block.q1, n);
  }
  for (int t = 0; t < 3; ++t) double_block(block, block.q0, n);  // cofactor 8
  for (std::size_t i = 0; i < n; ++i) {
    const Point& p = block.q0[i];
    to_bytes(out_u + 32 * i, select(p.infinite, p.u, kZero));
    to_bytes(out_v + 32 * i, select(p.infinite, p.v, kZero));
  }
}

}  // namespace

void hash_to_curve(std::span<const Messages> parts, std::span<const std::uint8_t> dst, bool random_oracle,
                   std::uint8_t* out_u, std::uint8_t* out_v, int threads) {
  const Expander expander(dst, random_oracle ? 2 * kElementBytes : kElementBytes);
  threads = resolve_threads(threads);  // a wrong CRYPSIS_NUM_THREADS is told for an empty batch too
  for (const Messages& messages : parts) {
    parallel_for(messages.n, kBlock, threads, [&](std::size_t begin, std::size_t end) {
      Block block;
      const WipeGuard guard(block);
      for (; begin < end; begin += kBlock) {
        hash_block(block, expander, messages, begin, std::min(kBlock, end - begin), random_oracle,
                   out_u + 32 * begin, out_v + 32 * begin);
      }
    });
    out_u += 32 * messages.n;
    out_v += 32 * messages.n;
  }
}

}  // namespace crypsis::curve25519
