// SPDX-License-Identifier: Apache-2.0
// Blocks outside AES for the LPN encoders: Lane is one block, Wide a group of neighbours. This one is plain C++; the
// others have the same names. (csrc/aes's portable Blocks are shaped for bitslicing.)
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bitmatrix/gf128_portable.h"

namespace crypsis::vole {
namespace {

inline std::uint64_t little_endian64(std::uint64_t word) {
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

struct LanePortable {
  std::uint64_t w[2];

  static LanePortable load(const std::uint8_t* from) {
    LanePortable x;
    std::memcpy(x.w, from, sizeof x.w);
    return x;
  }
  void store(std::uint8_t* to) const { std::memcpy(to, w, sizeof w); }
  void operator^=(const LanePortable& other) {
    w[0] ^= other.w[0];
    w[1] ^= other.w[1];
  }
  bool is_zero() const { return (w[0] | w[1]) == 0; }
};

struct Lane64 {  // one element of GF(2^64)
  std::uint64_t w;

  static Lane64 load(const std::uint8_t* from) {
    Lane64 x;
    std::memcpy(&x.w, from, sizeof x.w);
    return x;
  }
  void store(std::uint8_t* to) const { std::memcpy(to, &w, sizeof w); }
  void operator^=(Lane64 other) { w ^= other.w; }
};

struct WidePortable : LanePortable {
  static constexpr std::size_t kBlocks = 1, kElement = 16;
  static WidePortable load(const std::uint8_t* from) { return {LanePortable::load(from)}; }
  WidePortable broadcast(std::size_t) const { return *this; }
  // The blocks one place up, the last one first.
  WidePortable rotated() const { return *this; }
  // Times X in GF(2^128), X^128 = X^7 + X^2 + X + 1.
  WidePortable mul_x() const {
    const auto product = bitmatrix::Gf128Portable::mul_x({little_endian64(w[0]), little_endian64(w[1])});
    return {{{little_endian64(product.low), little_endian64(product.high)}}};
  }
  void add_masked(const WidePortable& x, const WidePortable& mask) {
    w[0] ^= x.w[0] & mask.w[0];
    w[1] ^= x.w[1] & mask.w[1];
  }
};

// Times X in GF(2^64), X^64 = X^4 + X^3 + X + 1.
inline std::uint64_t mul_x64(std::uint64_t word) {
  const std::uint64_t a = little_endian64(word);
  return little_endian64((a << 1) ^ (0x1b & (0 - (a >> 63))));
}

// Pairs of GF(2^64), and single elements.
struct PairsPortable : LanePortable {
  static constexpr std::size_t kBlocks = 1, kElement = 16;
  static PairsPortable load(const std::uint8_t* from) { return {LanePortable::load(from)}; }
  PairsPortable broadcast(std::size_t) const { return *this; }
  PairsPortable rotated() const { return *this; }
  PairsPortable mul_x() const { return {{{mul_x64(w[0]), mul_x64(w[1])}}}; }
  void add_masked(const PairsPortable& x, const PairsPortable& mask) {
    w[0] ^= x.w[0] & mask.w[0];
    w[1] ^= x.w[1] & mask.w[1];
  }
};

struct SinglesPortable : Lane64 {
  static constexpr std::size_t kBlocks = 1, kElement = 8;
  static SinglesPortable load(const std::uint8_t* from) { return {Lane64::load(from)}; }
  SinglesPortable broadcast(std::size_t) const { return *this; }
  SinglesPortable rotated() const { return *this; }
  SinglesPortable mul_x() const { return {{mul_x64(w)}}; }
  void add_masked(const SinglesPortable& x, const SinglesPortable& mask) { w ^= x.w & mask.w; }
};

// What every Isa of the encoders has beside Blocks.
struct LanesPortable {
  using Lane = LanePortable;
  using Wide = WidePortable;
  using Pairs = PairsPortable;
  using Singles = SinglesPortable;
  static std::uint32_t little_endian(std::uint32_t word) {
    return std::endian::native == std::endian::little ? word : __builtin_bswap32(word);
  }
  static std::uint16_t little_endian(std::uint16_t word) {
    return std::endian::native == std::endian::little ? word : __builtin_bswap16(word);
  }
};

}  // namespace
}  // namespace crypsis::vole
