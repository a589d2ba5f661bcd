// SPDX-License-Identifier: Apache-2.0
// Bit matrices and the fields of characteristic two that OT extension and VOLE are made of. Checked entry
// points; the backends behind them are in impl.h, and the inline headers for other slugs' kernels are
// transpose_*.h and gf128_*.h.
//
// Bits are packed with the least significant bit of a byte first. Every function's time depends on sizes
// only, never on bits or elements, and no output may overlap an input. Bad sizes throw std::invalid_argument
// and a backend that cannot run here BackendUnavailable, before anything is written.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::bitmatrix {

struct Options {
  std::string_view backend;  // empty: the best one
  int threads = 0;           // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

// bits: n_rows rows of n_columns bits, both multiples of 8. out: n_columns rows of n_rows bits; bit r of row
// c is bit c of row r of `bits`.
void transpose(const std::uint8_t* bits, std::size_t n_rows, std::size_t n_columns, std::uint8_t* out,
               const Options& options);

// GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1); elements of 16 bytes, bit i of the little-endian
// integer is the coefficient of x^i.
inline constexpr std::size_t kElementBytes = 16;

// out[i] = a[i] b[i], or a[i] b[0] where `broadcast`; plus summand[i] unless that is nullptr. `summand` may be `out`.
void gf128_multiply(const std::uint8_t* a, const std::uint8_t* b, bool broadcast, const std::uint8_t* summand,
                    std::size_t n, std::uint8_t* out, const Options& options);

// out[r] = sum over i of a[r n + i] b[i], for n_rows rows of n elements.
void gf128_inner_product(const std::uint8_t* a, std::size_t n_rows, std::size_t n, const std::uint8_t* b,
                         std::uint8_t* out, const Options& options);

// out[i] = x^i for 0 <= i < n.
void gf128_powers(const std::uint8_t* x, std::size_t n, std::uint8_t* out, const Options& options);

// The same over GF(2^64) = GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), elements of 8 bytes.
void gf64_inner_product(const std::uint8_t* a, std::size_t n_rows, std::size_t n, const std::uint8_t* b,
                        std::uint8_t* out, const Options& options);

// out[i] = (a[i] pair[0], a[i] pair[1]) over GF(2^64): elements of 8 bytes to two of them; summand as above.
void gf64_multiply(const std::uint8_t* a, const std::uint8_t* pair, const std::uint8_t* summand,
                   std::size_t n, std::uint8_t* out, const Options& options);

// GF(2^k), k = 1 to 8, by the polynomials in small_field.h. Elements in bytes (the bits above k are ignored):
// out[i] = a[i] b[i], or a[i] b[0] where `broadcast`.
void gf2k_multiply(int k, const std::uint8_t* a, const std::uint8_t* b, bool broadcast, std::size_t n,
                   std::uint8_t* out, const Options& options);

// Elements in bit slices: bit i of plane j is the coefficient of x^j of element i. k planes of n_bytes bytes
// each, one after the other; `b` has k planes, or one element in a byte where `broadcast`.
void gf2k_multiply_sliced(int k, const std::uint8_t* a, const std::uint8_t* b, bool broadcast,
                          std::size_t n_bytes, std::uint8_t* out, const Options& options);

// n elements of k bits (the low bits of a byte) to ceil(n k / 8) bytes, element i at bits i k to (i + 1) k;
// and back.
void pack_elements(int k, const std::uint8_t* elements, std::size_t n, std::uint8_t* out,
                   const Options& options);
void unpack_elements(int k, const std::uint8_t* packed, std::size_t n, std::uint8_t* out,
                     const Options& options);

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

}  // namespace crypsis::bitmatrix
