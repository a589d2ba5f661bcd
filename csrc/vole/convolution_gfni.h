// SPDX-License-Identifier: Apache-2.0
// The two convolutions of expand_convolute.h on bit slices, eight places at a time: with GFNI one instruction multiplies
// 8 x 8 bits with 64 bit positions of eight elements, where a masked xor adds one element to four. Compile with
// -mavx512f -mavx512bw -mgfni.
//
// A group is eight places. In a slice, 64 bytes for 64 bits of each element, byte k holds bit k of the eight elements,
// place i in bit i. With M_d the 8 x 8 matrix by which a group reaches the d-th one after it, y the convoluted groups and
// S the step by one place that makes 25 of 24:
//
//     y_G = (1 + M_0)^-1 (x_G + M_1 y_(G-1) + M_2 y_(G-2) + M_3 y_(G-3) + X (S y)_(G-3)),   M_0 strictly triangular.
//
// The first convolution leaves its groups in slices, the second puts them back. Matrices follow from the taps: public.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aes/key_schedule.h"
#include "vole/lpn_kernels.h"
#include "vole/primal_lpn.h"

namespace crypsis::vole {
namespace {

// Byte 7 - i of a matrix is row i; bit a of it multiplies bit a of a byte.
inline constexpr long long kUnitMatrix = 0x0102040810204080;

inline __m512i times(__m512i slices, __m512i matrix) {
  return _mm512_gf2p8affine_epi64_epi8(slices, matrix, 0);
}

// Eight elements of eight bytes to a slice.
inline __m512i to_slice(__m512i elements) {
  const __m512i pairs = _mm512_shuffle_epi8(
      elements, _mm512_broadcast_i32x4(_mm_set_epi8(7, 15, 6, 14, 5, 13, 4, 12, 3, 11, 2, 10, 1, 9, 0, 8)));
  const __m512i gathered =
      _mm512_permutexvar_epi16(_mm512_set_epi16(7, 15, 23, 31, 6, 14, 22, 30, 5, 13, 21, 29, 4, 12, 20, 28, 3,
                                                11, 19, 27, 2, 10, 18, 26, 1, 9, 17, 25, 0, 8, 16, 24),
                               pairs);
  return times(_mm512_set1_epi64(static_cast<long long>(0x8040201008040201ULL)), gathered);
}

inline __m512i from_slice(__m512i slice) {
  // The transpose of each 8 x 8 bits comes with the bits of a byte in the other order.
  const __m512i bytes = times(times(_mm512_set1_epi64(static_cast<long long>(0x8040201008040201ULL)), slice),
                              _mm512_set1_epi64(static_cast<long long>(0x8040201008040201ULL)));
  const __m512i pairs =
      _mm512_permutexvar_epi16(_mm512_set_epi16(31, 27, 23, 19, 15, 11, 7, 3, 30, 26, 22, 18, 14, 10, 6, 2,
                                                29, 25, 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0),
                               bytes);
  return _mm512_shuffle_epi8(
      pairs, _mm512_broadcast_i32x4(_mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0)));
}

// Slices of eight blocks of 16 bytes: the lower halves, and the upper ones.
inline void load_blocks(const std::uint8_t* from, __m512i* slices) {
  const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64);
  const __m512i even = _mm512_permutex2var_epi64(a, _mm512_set_epi64(13, 12, 9, 8, 5, 4, 1, 0), b);
  const __m512i odd = _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 14, 11, 10, 7, 6, 3, 2), b);
  slices[0] = to_slice(_mm512_unpacklo_epi64(even, odd));
  slices[1] = to_slice(_mm512_unpackhi_epi64(even, odd));
}
inline void store_blocks(const __m512i* slices, std::uint8_t* to) {
  const __m512i low = from_slice(slices[0]), high = from_slice(slices[1]);
  const __m512i even = _mm512_unpacklo_epi64(low, high), odd = _mm512_unpackhi_epi64(low, high);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi64(even, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), odd));
  _mm512_storeu_si512(to + 64,
                      _mm512_permutex2var_epi64(even, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), odd));
}

// Bytes one place up; `before` is what comes below, by its last lane. carry: byte 15 of the lowest lane of that, in the
// places of a mask for shuffles.
inline __m512i times_x(__m512i slice, __m512i before, __m512i carry) {
  const __m512i lanes = _mm512_alignr_epi64(slice, before, 6);
  return _mm512_xor_si512(_mm512_alignr_epi8(slice, lanes, 15), _mm512_shuffle_epi8(lanes, carry));
}
inline __m512i nowhere() {
  return _mm512_set1_epi8(-128);
}
inline __m512i carry_to(std::uint64_t places) {  // byte 15 where a byte of `places` is 15, else nothing
  return _mm512_mask_set1_epi64(nowhere(), 1, static_cast<long long>(places));
}

struct SlicedBlocks {  // X^128 = X^7 + X^2 + X + 1
  static constexpr std::size_t kSlices = 2;
  static void load(const std::uint8_t* from, __m512i* slices) { load_blocks(from, slices); }
  static void store(const __m512i* slices, std::uint8_t* to) { store_blocks(slices, to); }
  static void mul_x(const __m512i* y, __m512i* z) {
    z[0] = times_x(y[0], y[1], carry_to(0x0f808080800f0f80));
    z[1] = _mm512_alignr_epi8(y[1], _mm512_alignr_epi64(y[1], y[0], 6), 15);
  }
};
struct SlicedSingles {  // X^64 = X^4 + X^3 + X + 1
  static constexpr std::size_t kSlices = 1;
  static void load(const std::uint8_t* from, __m512i* slices) {
    slices[0] = to_slice(_mm512_loadu_si512(from));
  }
  static void store(const __m512i* slices, std::uint8_t* to) {
    _mm512_storeu_si512(to, from_slice(slices[0]));
  }
  static void mul_x(const __m512i* y, __m512i* z) {
    z[0] = times_x(y[0], y[0], carry_to(0x8080800f0f800f80));
  }
};
struct SlicedPairs {
  static constexpr std::size_t kSlices = 2;
  static void load(const std::uint8_t* from, __m512i* slices) { load_blocks(from, slices); }
  static void store(const __m512i* slices, std::uint8_t* to) { store_blocks(slices, to); }
  static void mul_x(const __m512i* y, __m512i* z) {
    SlicedSingles::mul_x(y, z);
    SlicedSingles::mul_x(y + 1, z + 1);
  }
};

template <class Isa, class Kind>
struct ConvolutionGfni {
  static constexpr std::size_t kPlaces = 8;
  static constexpr std::size_t kBatch = 512;  // tap words drawn at a time
  static constexpr std::size_t kSlices = Kind::kSlices, kGroupBytes = 64 * kSlices;

  // (1 + M_0)^-1, M_1, M_2, M_3 of each group of a batch, and before them of the last groups of the one before.
  static constexpr std::size_t kBefore = 4, kGroups = kBatch / kPlaces;
  struct Matrices {
    alignas(64) std::uint64_t of[kBefore + kGroups + kBefore][4] = {};

    void draw(const typename Isa::RoundKeys& keys, std::size_t first) {
      std::memmove(of, of + kGroups, sizeof of[0] * kBefore);
      alignas(64) std::uint32_t words[kBatch];
      PublicStream<Isa>::fill(keys, first / 4, kBatch / 4, reinterpret_cast<std::uint8_t*>(words));
      const __m512i shifts = _mm512_set_epi32(8, 7, 6, 5, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1);
      const __m512i taps = _mm512_set1_epi32(0xffffff), unit = _mm512_set1_epi64(kUnitMatrix);
      const __m512i by_byte =
          _mm512_broadcast_i32x4(_mm_set_epi8(3, 7, 11, 15, 2, 6, 10, 14, 1, 5, 9, 13, 0, 4, 8, 12));
      const __m512i by_group = _mm512_set_epi32(11, 15, 10, 14, 9, 13, 8, 12, 3, 7, 2, 6, 1, 5, 0, 4);
      for (std::size_t i = 0; i < kBatch; i += 16) {
        // Bit b of byte d of a word: does it go to place b of the d-th group on?
        const __m512i reach = _mm512_sllv_epi32(_mm512_and_si512(_mm512_load_si512(words + i), taps), shifts);
        const __m512i columns = _mm512_permutexvar_epi32(by_group, _mm512_shuffle_epi8(reach, by_byte));
        const __m512i rows = times(unit, columns);
        // L = M_0: (1 + L)^-1 = (1 + L)(1 + L^2)(1 + L^4). A product P Q takes the transpose of Q.
        const __m512i square = times(rows, columns), square_t = times(columns, rows);
        const __m512i fourth_t = times(square_t, square);
        const __m512i product = times(_mm512_xor_si512(rows, unit), _mm512_xor_si512(square_t, unit));
        const __m512i inverse = times(product, _mm512_xor_si512(fourth_t, unit));
        _mm512_store_si512(of[kBefore + i / kPlaces], _mm512_mask_mov_epi64(rows, 0x11, inverse));
      }
    }
  };

  // y of the last three groups, and X times that of the fourth before.
  struct History {
    __m512i y[3][kSlices], fourth[kSlices];

    History() {
      for (auto& slices : y) clear(slices);
      clear(fourth);
    }
    static void clear(__m512i (&slices)[kSlices]) {
      for (__m512i& slice : slices) slice = _mm512_setzero_si512();
    }
    // Adds what a group gets from those before it; `own` are its matrices. To be followed by a push.
    [[gnu::always_inline]] void add_to(__m512i (&slices)[kSlices], const std::uint64_t (*own)[4]) {
      __m512i third[kSlices];
      Kind::mul_x(y[2], third);
#pragma GCC unroll 4
      for (std::size_t s = 0; s < kSlices; ++s) {
        const __m512i step =
            _mm512_xor_si512(_mm512_add_epi8(third[s], third[s]), times(fourth[s], wrap_matrix()));
        const __m512i near = times(y[0][s], matrix(own[-1] + 1));
        const __m512i far =
            _mm512_xor_si512(times(y[1][s], matrix(own[-2] + 2)), times(y[2][s], matrix(own[-3] + 3)));
        slices[s] = _mm512_ternarylogic_epi64(near, far, _mm512_xor_si512(slices[s], step), 0x96);
        fourth[s] = third[s];
      }
    }
    [[gnu::always_inline]] void push(const __m512i (&now)[kSlices]) {
#pragma GCC unroll 4
      for (std::size_t s = 0; s < kSlices; ++s) {
        y[2][s] = y[1][s];
        y[1][s] = y[0][s];
        y[0][s] = now[s];
      }
    }
  };
  static __m512i matrix(const std::uint64_t* from) {
    return _mm512_set1_epi64(static_cast<long long>(*from));
  }
  // Place 7 to place 0 of the group after.
  static __m512i wrap_matrix() { return _mm512_set1_epi64(static_cast<long long>(0x8000000000000000ULL)); }

  template <bool kSliced>
  static void load(const std::uint8_t* from, __m512i (&slices)[kSlices]) {
    if constexpr (kSliced) {
      for (std::size_t s = 0; s < kSlices; ++s) slices[s] = _mm512_loadu_si512(from + 64 * s);
    } else {
      Kind::load(from, slices);
    }
  }
  template <bool kSliced>
  static void store(const __m512i (&slices)[kSlices], std::uint8_t* to) {
    if constexpr (kSliced) {
      for (std::size_t s = 0; s < kSlices; ++s) _mm512_storeu_si512(to + 64 * s, slices[s]);
    } else {
      Kind::store(slices, to);
    }
  }

  // One convolution of n places, n a power of two of at least 64.
  template <bool kFromSlices, bool kToSlices>
  static void pass(const aes::KeySchedule& key, std::uint8_t* vector, std::size_t n) {
    const typename Isa::RoundKeys keys(key);
    Matrices matrices;
    History history;
    const std::size_t n_groups = n / kPlaces;
    std::size_t stop = 0;
    for (std::size_t at = 0; at < n_groups; at += kGroups) {
      matrices.draw(keys, at * kPlaces);
      stop = n_groups - at < kGroups ? n_groups - at : kGroups;
      for (std::size_t g = 0; g < stop; ++g) {
        const std::uint64_t (*const own)[4] = matrices.of + kBefore + g;
        __m512i slices[kSlices];
        std::uint8_t* const group = vector + (at + g) * kGroupBytes;
        load<kFromSlices>(group, slices);
        history.add_to(slices, own);
#pragma GCC unroll 4
        for (std::size_t s = 0; s < kSlices; ++s) slices[s] = times(slices[s], matrix(own[0]));
        history.push(slices);
        store<kToSlices>(slices, group);
      }
    }
    // Beyond the end nothing is a source; what goes there belongs to the beginning.
    for (std::size_t g = 0; g < kBefore; ++g) {
      __m512i slices[kSlices], none[kSlices];
      load<kToSlices>(vector + g * kGroupBytes, slices);
      history.add_to(slices, matrices.of + kBefore + stop + g);
      store<kToSlices>(slices, vector + g * kGroupBytes);
      History::clear(none);
      history.push(none);
    }
  }

  static void convolute(const aes::KeySchedule (&keys)[2], std::uint8_t* vector, std::size_t n) {
    pass<false, true>(keys[0], vector, n);
    pass<true, false>(keys[1], vector, n);
  }
};

template <class Isa>
struct ConvolutionsGfni {
  static constexpr auto blocks = ConvolutionGfni<Isa, SlicedBlocks>::convolute;
  static constexpr auto pairs = ConvolutionGfni<Isa, SlicedPairs>::convolute;
  static constexpr auto singles = ConvolutionGfni<Isa, SlicedSingles>::convolute;
  static constexpr LpnKernels::ConvoluteTwo two_blocks = nullptr;
};

}  // namespace
}  // namespace crypsis::vole
