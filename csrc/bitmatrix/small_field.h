// SPDX-License-Identifier: Apache-2.0
// GF(2^k) for k = 1 to 8, the fields of SoftSpokenOT [Roy22], in loops over whole cache lines that the
// compiler turns into each backend's vectors. No table, no branch on an element. Internal linkage.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bitmatrix/impl.h"
#include "bitmatrix/transpose_portable.h"
#include "common/wipe.h"

namespace crypsis::bitmatrix {
namespace {

// The modulus without x^k: the irreducible polynomials of least weight, smallest exponents first, of
// [Seroussi 1998]; k = 8 is also that of AES [FIPS 197, 4.2].
// k = 1: x; 2: x^2+x+1; 3: x^3+x+1; 4: x^4+x+1; 5: x^5+x^2+1; 6: x^6+x+1; 7: x^7+x+1; 8: x^8+x^4+x^3+x+1.
constexpr std::uint8_t kModulus[9] = {0, 0, 3, 3, 3, 5, 3, 3, 0x1b};

// step(at, n_bytes) for every whole line, its size known to the compiler, then for what is left.
template <class Step>
inline void for_lines(std::size_t n_bytes, const Step& step) {
  std::size_t at = 0;
  for (; n_bytes - at >= kPlaneBytes; at += kPlaneBytes) step(at, kPlaneBytes);
  if (at < n_bytes) step(at, n_bytes - at);
}

// Eight bytes of 0 or 1 to eight bytes of 0 or 255.
inline std::uint64_t byte_masks(std::uint64_t bits) {
  return (bits << 8) - bits;
}

template <int k>
void gf2k_multiply_fixed(const std::uint8_t* a, const std::uint8_t* b, std::size_t b_step, std::size_t n,
                         std::uint8_t* out) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL, kElements = kOnes * ((1u << k) - 1);
  struct {
    std::uint64_t x[kPlaneBytes / 8] = {}, y[kPlaneBytes / 8] = {}, r[kPlaneBytes / 8];
  } lines;
  const WipeGuard wipe(lines);
  if (b_step == 0) std::fill_n(lines.y, kPlaneBytes / 8, kOnes * b[0]);
  for_lines(n, [&](std::size_t at, std::size_t some) __attribute__((always_inline)) {
    std::memcpy(lines.x, a + at, some);
    if (b_step != 0) std::memcpy(lines.y, b + at, some);
    for (std::size_t i = 0; i < kPlaneBytes / 8; ++i) {
      const std::uint64_t x = lines.x[i] & kElements, y = lines.y[i];
      std::uint64_t r = 0;
#pragma GCC unroll 8
      for (int bit = k - 1; bit >= 0; --bit) {  // Horner: r = r x + y_bit a, in each byte
        const std::uint64_t tops = byte_masks((r >> (k - 1)) & kOnes);
        r = ((r << 1) & kElements & ~kOnes) ^ (tops & (kOnes * kModulus[k]));
        r ^= byte_masks((y >> bit) & kOnes) & x;
      }
      lines.r[i] = r;
    }
    std::memcpy(out + at, lines.r, some);
  });
}

template <int k>
void gf2k_multiply_sliced_fixed(const std::uint8_t* a, const std::uint8_t* b, std::size_t b_stride,
                                std::size_t stride, std::size_t n_bytes, std::uint8_t* out) {
  constexpr std::size_t kWords = kPlaneBytes / 8;
  struct {
    std::uint64_t x[k][kWords], y[k][kWords], t[2 * k - 1][kWords];
  } planes;
  const WipeGuard wipe(planes);
  std::memset(&planes, 0, sizeof planes);
  if (b_stride == 0) std::memcpy(planes.y, b, sizeof planes.y);
  for_lines(n_bytes, [&](std::size_t at, std::size_t some) __attribute__((always_inline)) {
    for (std::size_t j = 0; j < k; ++j) {
      std::memcpy(planes.x[j], a + j * stride + at, some);
      if (b_stride != 0) std::memcpy(planes.y[j], b + j * b_stride + at, some);
    }
#pragma GCC unroll 15
    for (int d = 0; d < 2 * k - 1; ++d) {
      std::uint64_t sum[kWords] = {};
#pragma GCC unroll 8
      for (int i = 0; i < k; ++i) {
        if (d < i || d - i >= k) continue;
        for (std::size_t w = 0; w < kWords; ++w) sum[w] ^= planes.x[i][w] & planes.y[d - i][w];
      }
      std::memcpy(planes.t[d], sum, sizeof sum);
    }
#pragma GCC unroll 7
    for (int d = 2 * k - 2; d >= k; --d) {
#pragma GCC unroll 8
      for (int e = 0; e < k; ++e) {
        if (((kModulus[k] >> e) & 1) == 0) continue;
        for (std::size_t w = 0; w < kWords; ++w) planes.t[d - k + e][w] ^= planes.t[d][w];
      }
    }
    for (std::size_t j = 0; j < k; ++j) std::memcpy(out + j * stride + at, planes.t[j], some);
  });
}

// Ones in the lower n (at most 32) of every 2^log_field bits.
template <int n, int log_field>
constexpr std::uint64_t low_bits() {
  std::uint64_t mask = 0;
  for (int at = 0; at < 64; at += 1 << log_field) mask |= ((1ULL << n) - 1) << at;
  return mask;
}

// In every 2^log_field bits, the n low bits of the upper half move down to follow those of the lower half;
// and back.
template <int n, int log_field>
std::uint64_t join_halves(std::uint64_t x) {
  constexpr std::uint64_t kLow = low_bits<n, log_field>();
  return (x & kLow) | ((x >> ((1 << (log_field - 1)) - n)) & (kLow << n));
}

template <int n, int log_field>
std::uint64_t part_halves(std::uint64_t x) {
  constexpr std::uint64_t kLow = low_bits<n, log_field>();
  return (x & kLow) | ((x & (kLow << n)) << ((1 << (log_field - 1)) - n));
}

// Eight elements of k bits, one a byte of `x`, as 8 k adjoining bits; and back.
template <int k>
std::uint64_t join_elements(std::uint64_t x) {
  return join_halves<4 * k, 6>(join_halves<2 * k, 5>(join_halves<k, 4>(x)));
}

template <int k>
std::uint64_t part_elements(std::uint64_t x) {
  return part_halves<k, 4>(part_halves<2 * k, 5>(part_halves<4 * k, 6>(x)));
}

// While eight bytes of the packed side remain they are written (read) at once; the ones after the k of this
// step are written again by the next (belong to the next).
template <int k>
void pack_elements_fixed(const std::uint8_t* elements, std::size_t n, std::uint8_t* out) {
  for (; n >= 64; n -= 8, elements += 8, out += k) store_le64(out, join_elements<k>(load_le64(elements)));
  std::uint8_t eight[8];
  const WipeGuard wipe(eight);
  while (n > 0) {
    const std::size_t some = std::min<std::size_t>(8, n);
    std::memset(eight, 0, sizeof eight);
    std::memcpy(eight, elements, some);
    store_le64(eight, join_elements<k>(load_le64(eight)));
    std::memcpy(out, eight, (some * k + 7) / 8);
    n -= some, elements += some, out += k;
  }
}

template <int k>
void unpack_elements_fixed(const std::uint8_t* packed, std::size_t n, std::uint8_t* out) {
  for (; n >= 64; n -= 8, packed += k, out += 8) store_le64(out, part_elements<k>(load_le64(packed)));
  std::uint8_t eight[8];
  const WipeGuard wipe(eight);
  while (n > 0) {
    const std::size_t some = std::min<std::size_t>(8, n);
    std::memset(eight, 0, sizeof eight);
    std::memcpy(eight, packed, (some * k + 7) / 8);
    store_le64(eight, part_elements<k>(load_le64(eight)));
    std::memcpy(out, eight, some);
    n -= some, packed += k, out += some;
  }
}

// Calls f.operator()<k>() for k from 1 to 8.
template <class F>
inline void with_degree(int k, const F& f) {
  switch (k) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    case 5:
      return f.template operator()<5>();
    case 6:
      return f.template operator()<6>();
    case 7:
      return f.template operator()<7>();
    default:
      return f.template operator()<8>();
  }
}

inline void gf2k_multiply(int k, const std::uint8_t* a, const std::uint8_t* b, std::size_t b_step,
                          std::size_t n, std::uint8_t* out) {
  with_degree(k, [=]<int d>() { gf2k_multiply_fixed<d>(a, b, b_step, n, out); });
}

inline void gf2k_multiply_sliced(int k, const std::uint8_t* a, const std::uint8_t* b, std::size_t b_stride,
                                 std::size_t stride, std::size_t n_bytes, std::uint8_t* out) {
  with_degree(k, [=]<int d>() { gf2k_multiply_sliced_fixed<d>(a, b, b_stride, stride, n_bytes, out); });
}

inline void pack_elements(int k, const std::uint8_t* elements, std::size_t n, std::uint8_t* out) {
  with_degree(k, [=]<int d>() { pack_elements_fixed<d>(elements, n, out); });
}

inline void unpack_elements(int k, const std::uint8_t* packed, std::size_t n, std::uint8_t* out) {
  with_degree(k, [=]<int d>() { unpack_elements_fixed<d>(packed, n, out); });
}

}  // namespace
}  // namespace crypsis::bitmatrix
