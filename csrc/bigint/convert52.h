// SPDX-License-Identifier: Apache-2.0
// Eight rows of 64-bit limbs to and from vectors of 52-bit digits.
#pragma once
#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bigint/columns52.h"
#include "bigint/modulus.h"

namespace crypsis::bigint {
namespace {

// v[i] word j <-> v[j] word i.
inline void transpose8(Vector v[8]) {
  Vector p[8], s[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    p[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
    p[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      s[i + j] = _mm512_shuffle_i64x2(p[i + j], p[i + j + 2], 0x88);
      s[i + j + 2] = _mm512_shuffle_i64x2(p[i + j], p[i + j + 2], 0xdd);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    v[j] = _mm512_shuffle_i64x2(s[j], s[j + 4], 0x88);
    v[j + 4] = _mm512_shuffle_i64x2(s[j], s[j + 4], 0xdd);
  }
}

inline __mmask8 first_words(std::size_t count) {
  return static_cast<__mmask8>(count >= 8 ? 0xff : (1u << count) - 1);
}

// columns[j] word l = rows[l][j] for j < n_words; up to seven vectors after them are written too.
inline void gather_words(Vector* columns, const Word* const* rows, std::size_t n_words) {
  for (std::size_t j = 0; j < n_words; j += 8) {
    const __mmask8 mask = first_words(n_words - j);
    Vector v[8];
#pragma GCC unroll 8
    for (int lane = 0; lane < 8; ++lane) v[lane] = _mm512_maskz_loadu_epi64(mask, rows[lane] + j);
    transpose8(v);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) columns[j + static_cast<std::size_t>(i)] = v[i];
  }
}

// The reverse; lanes whose row is null are dropped.
inline void scatter_words(const Vector* columns, Word* const* rows, std::size_t n_words) {
  for (std::size_t j = 0; j < n_words; j += 8) {
    const __mmask8 mask = first_words(n_words - j);
    Vector v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) v[i] = columns[j + static_cast<std::size_t>(i)];
    transpose8(v);
#pragma GCC unroll 8
    for (int lane = 0; lane < 8; ++lane) {
      if (rows[lane] != nullptr) _mm512_mask_storeu_epi64(rows[lane] + j, mask, v[lane]);
    }
  }
}

// Sixteen digits are thirteen limbs, so the shifts repeat. Both directions work on whole groups of that size: the
// buffers have room for them, zeros after the number.
constexpr std::size_t kGroupDigits = 16, kGroupLimbs = 13;

inline void limbs_to_digits(Vector* digits, const Vector* limbs, std::size_t n_groups) {
  const Vector mask = splat(kMask52);
  for (; n_groups > 0; --n_groups, digits += kGroupDigits, limbs += kGroupLimbs) {
#pragma GCC unroll 16
    for (unsigned i = 0; i < kGroupDigits; ++i) {
      const unsigned limb = 52 * i / 64, shift = 52 * i % 64;
      Vector x = _mm512_srli_epi64(limbs[limb], shift);
      if (shift > 12) x = _mm512_or_si512(x, _mm512_slli_epi64(limbs[limb + 1], 64 - shift));
      digits[i] = _mm512_and_si512(x, mask);
    }
  }
}

inline void digits_to_limbs(Vector* limbs, const Vector* digits, std::size_t n_groups) {
  for (; n_groups > 0; --n_groups, digits += kGroupDigits, limbs += kGroupLimbs) {
#pragma GCC unroll 16
    for (unsigned i = 0; i < kGroupLimbs; ++i) {
      const unsigned digit = 64 * i / 52, shift = 64 * i % 52;
      Vector x = _mm512_srli_epi64(digits[digit], shift);
      x = _mm512_or_si512(x, _mm512_slli_epi64(digits[digit + 1], 52 - shift));
      if (shift > 40) x = _mm512_or_si512(x, _mm512_slli_epi64(digits[digit + 2], 104 - shift));
      limbs[i] = x;
    }
  }
}

}  // namespace
}  // namespace crypsis::bigint
