// SPDX-License-Identifier: Apache-2.0
// What a backend of the curve25519 slug provides. Callers (dispatch.cpp) have checked every length.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"

namespace crypsis::curve25519 {

struct Impl : Backend {
  // X25519 [RFC 7748, 5]: out[i] = u(clamp(scalars[i]) * points[i]) for i < n. Rows are 32 bytes,
  // little-endian; scalar i starts at scalars + i * scalar_stride, stride 0 (one scalar for all) or 32. The
  // top bit of each point is ignored and the value reduced mod p, as the RFC says; a low-order point gives
  // zero. Constant-time in scalars and points. out may alias points exactly.
  void (*scalar_mult)(const std::uint8_t* scalars, std::size_t scalar_stride, const std::uint8_t* points,
                      std::uint8_t* out, std::size_t n);

  // The u coordinate of Elligator 2's map for curve25519 [RFC 9380, 6.7.1 with Z = 2], field element in, u
  // out: rows of 32 bytes little-endian, top bit ignored, reduced mod p. Not cofactor-cleared. Constant-time.
  // out may alias.
  void (*map_to_curve)(const std::uint8_t* elements, std::uint8_t* out, std::size_t n);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::curve25519
