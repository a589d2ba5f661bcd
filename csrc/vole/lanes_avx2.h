// SPDX-License-Identifier: Apache-2.0
// lanes_portable.h with 128 and 256 bits. Compile with -mavx2.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "vole/lanes_portable.h"

namespace crypsis::vole {
namespace {

struct Lane128 {
  __m128i v;

  static Lane128 load(const std::uint8_t* from) {
    return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))};
  }
  void store(std::uint8_t* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }
  void operator^=(Lane128 other) { v = _mm_xor_si128(v, other.v); }
  bool is_zero() const { return _mm_testz_si128(v, v) != 0; }
};

struct Wide256 {
  static constexpr std::size_t kBlocks = 2, kElement = 16;
  __m256i v;

  static Wide256 load(const std::uint8_t* from) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))};
  }
  void store(std::uint8_t* to) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
  Wide256 broadcast(std::size_t lane) const {
    return {lane == 0 ? _mm256_permute2x128_si256(v, v, 0x00) : _mm256_permute2x128_si256(v, v, 0x11)};
  }
  Wide256 rotated() const { return {_mm256_permute2x128_si256(v, v, 0x01)}; }
  Wide256 mul_x() const {  // as in bitmatrix/gf128_pclmul.h, twice
    const __m256i sign = _mm256_srai_epi32(_mm256_shuffle_epi32(v, 0x13), 31);
    const __m256i carries = _mm256_set_epi32(0, 1, 0, 0x87, 0, 1, 0, 0x87);
    return {_mm256_xor_si256(_mm256_slli_epi64(v, 1), _mm256_and_si256(sign, carries))};
  }
  void add_masked(Wide256 x, Wide256 mask) { v = _mm256_xor_si256(v, _mm256_and_si256(x.v, mask.v)); }
};

// Times X in GF(2^64), as in lanes_portable.h, four times.
inline __m256i mul_x64(__m256i v) {
  const __m256i sign = _mm256_cmpgt_epi64(_mm256_setzero_si256(), v);
  return _mm256_xor_si256(_mm256_slli_epi64(v, 1), _mm256_and_si256(sign, _mm256_set1_epi64x(0x1b)));
}

struct Pairs256 {
  static constexpr std::size_t kBlocks = 2, kElement = 16;
  __m256i v;

  static Pairs256 load(const std::uint8_t* from) { return {Wide256::load(from).v}; }
  void store(std::uint8_t* to) const { Wide256{v}.store(to); }
  Pairs256 broadcast(std::size_t lane) const { return {Wide256{v}.broadcast(lane).v}; }
  Pairs256 rotated() const { return {Wide256{v}.rotated().v}; }
  Pairs256 mul_x() const { return {mul_x64(v)}; }
  void add_masked(Pairs256 x, Pairs256 mask) { v = _mm256_xor_si256(v, _mm256_and_si256(x.v, mask.v)); }
};

struct Singles256 {
  static constexpr std::size_t kBlocks = 4, kElement = 8;
  __m256i v;

  static Singles256 load(const std::uint8_t* from) { return {Wide256::load(from).v}; }
  void store(std::uint8_t* to) const { Wide256{v}.store(to); }
  Singles256 broadcast(std::size_t lane) const {
    switch (lane) {  // the instruction takes constants; the loops around it are unrolled
      case 0:
        return {_mm256_permute4x64_epi64(v, 0x00)};
      case 1:
        return {_mm256_permute4x64_epi64(v, 0x55)};
      case 2:
        return {_mm256_permute4x64_epi64(v, 0xaa)};
      default:
        return {_mm256_permute4x64_epi64(v, 0xff)};
    }
  }
  Singles256 rotated() const { return {_mm256_permute4x64_epi64(v, 0x93)}; }
  Singles256 mul_x() const { return {mul_x64(v)}; }
  void add_masked(Singles256 x, Singles256 mask) { v = _mm256_xor_si256(v, _mm256_and_si256(x.v, mask.v)); }
};

struct LanesAvx2 {
  using Lane = Lane128;
  using Wide = Wide256;
  using Pairs = Pairs256;
  using Singles = Singles256;
  template <class Word>
  static Word little_endian(Word word) {
    return word;
  }
};

}  // namespace
}  // namespace crypsis::vole
