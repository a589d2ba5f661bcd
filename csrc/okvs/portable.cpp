// SPDX-License-Identifier: Apache-2.0
// Plain C++ for every CPU: bitsliced AES, carry-less products by integer ones.
#include "aes/blocks_portable.h"
#include "bitmatrix/gf128_portable.h"
#include "okvs/element.h"
#include "okvs/rows.h"

namespace crypsis::okvs {
namespace {

struct Isa {
  using Blocks = aes::blocks_portable::Blocks;
  using RoundKeys = aes::blocks_portable::RoundKeys;
  using Field = bitmatrix::Gf128Portable;
  using Vector = Field::Vector;

  template <int R>
  static void encrypt(const RoundKeys& keys, Blocks (&x)[R]) {
    aes::blocks_portable::encrypt(keys, x);
  }
  static void columns(const std::uint8_t* hashes, std::uint32_t sparse, Columns* out) {
    for (std::size_t i = 0; i < kStep; ++i) {
      const std::uint64_t low = bitmatrix::load_le64(hashes + 16 * i),
                          high = bitmatrix::load_le64(hashes + 16 * i + 8);
      const auto scaled = [](std::uint64_t word, std::uint64_t n) { return (word & 0xffffffff) * n >> 32; };
      const std::uint64_t a = scaled(low, sparse);
      std::uint64_t b = scaled(low >> 32, sparse - 1), c = scaled(high, sparse - 2);
      b += b >= a;
      const std::uint64_t first = a < b ? a : b, second = a < b ? b : a;
      c += c >= first;
      c += c >= second;
      out[i] = a | b << 16 | c << 32;
    }
  }
  static Vector mul64(Vector a, Vector b) { return {multiply64(a.low, b.low), multiply64(a.high, b.high)}; }
  static Vector twice(Vector h) { return {h.low, h.low}; }
  static Vector lows(Vector h, Vector next) { return {h.low, next.low}; }
};

}  // namespace

const Impl portable = make_impl<Isa>("portable", 0);

}  // namespace crypsis::okvs
