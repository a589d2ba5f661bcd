// SPDX-License-Identifier: Apache-2.0
// lanes_portable.h with 128 and 512 bits. Compile as gf128_vpclmul.h.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "bitmatrix/gf128_vpclmul.h"
#include "vole/lanes_avx2.h"

namespace crypsis::vole {
namespace {

struct Wide512 {
  static constexpr std::size_t kBlocks = 4, kElement = 16;
  __m512i v;

  static Wide512 load(const std::uint8_t* from) { return {_mm512_loadu_si512(from)}; }
  void store(std::uint8_t* to) const { _mm512_storeu_si512(to, v); }
  Wide512 broadcast(std::size_t lane) const {
    switch (lane) {  // the instruction takes constants; the loops around it are unrolled
      case 0:
        return {_mm512_shuffle_i64x2(v, v, 0x00)};
      case 1:
        return {_mm512_shuffle_i64x2(v, v, 0x55)};
      case 2:
        return {_mm512_shuffle_i64x2(v, v, 0xaa)};
      default:
        return {_mm512_shuffle_i64x2(v, v, 0xff)};
    }
  }
  Wide512 rotated() const { return {_mm512_shuffle_i64x2(v, v, 0x93)}; }
  Wide512 mul_x() const { return {bitmatrix::Gf128Vpclmul::mul_x(v)}; }
  void add_masked(Wide512 x, Wide512 mask) {
    v = _mm512_ternarylogic_epi64(v, x.v, mask.v, 0x78);  // v ^ (x & mask)
  }
};

// Times X in GF(2^64), as in lanes_portable.h, eight times.
inline __m512i mul_x64(__m512i v) {
  const __m512i sign = _mm512_srai_epi64(v, 63);
  return _mm512_ternarylogic_epi64(_mm512_slli_epi64(v, 1), sign, _mm512_set1_epi64(0x1b), 0x78);
}

struct Pairs512 {
  static constexpr std::size_t kBlocks = 4, kElement = 16;
  __m512i v;

  static Pairs512 load(const std::uint8_t* from) { return {_mm512_loadu_si512(from)}; }
  void store(std::uint8_t* to) const { _mm512_storeu_si512(to, v); }
  Pairs512 broadcast(std::size_t lane) const { return {Wide512{v}.broadcast(lane).v}; }
  Pairs512 rotated() const { return {Wide512{v}.rotated().v}; }
  Pairs512 mul_x() const { return {mul_x64(v)}; }
  void add_masked(Pairs512 x, Pairs512 mask) { v = _mm512_ternarylogic_epi64(v, x.v, mask.v, 0x78); }
};

struct Singles512 {
  static constexpr std::size_t kBlocks = 8, kElement = 8;
  __m512i v;

  static Singles512 load(const std::uint8_t* from) { return {_mm512_loadu_si512(from)}; }
  void store(std::uint8_t* to) const { _mm512_storeu_si512(to, v); }
  Singles512 broadcast(std::size_t lane) const {
    return {_mm512_permutexvar_epi64(_mm512_set1_epi64(static_cast<long long>(lane)), v)};
  }
  Singles512 rotated() const { return {_mm512_alignr_epi64(v, v, 7)}; }
  Singles512 mul_x() const { return {mul_x64(v)}; }
  void add_masked(Singles512 x, Singles512 mask) { v = _mm512_ternarylogic_epi64(v, x.v, mask.v, 0x78); }
};

struct LanesAvx512 {
  using Lane = Lane128;
  using Wide = Wide512;
  using Pairs = Pairs512;
  using Singles = Singles512;
  template <class Word>
  static Word little_endian(Word word) {
    return word;
  }
};

}  // namespace
}  // namespace crypsis::vole
