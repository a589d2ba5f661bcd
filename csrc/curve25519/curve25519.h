// SPDX-License-Identifier: Apache-2.0
// The curve25519 slug for the bindings: threaded, dispatched batches on arrays whose lengths the caller has
// checked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/dispatch.h"
#include "common/messages.h"

namespace crypsis::curve25519 {

// out[i] = X25519(scalars[i], points[i]); see Impl::scalar_mult for layout, ranges and timing. `backend`
// empty: the best one. threads <= 0: the default number.
void scalar_mult(std::string_view backend, const std::uint8_t* scalars, std::size_t scalar_stride,
                 const std::uint8_t* points, std::uint8_t* out, std::size_t n, int threads);

// out[i] = u coordinate of Elligator 2 of elements[i]; see Impl::map_to_curve.
void map_to_curve(std::string_view backend, const std::uint8_t* elements, std::uint8_t* out, std::size_t n,
                  int threads);

// hash_to_curve (random_oracle) or encode_to_curve of curve25519_XMD:SHA-512_ELL2_{RO,NU}_ [RFC 9380, 8.5]:
// affine (u, v), rows of 32 bytes little-endian, cofactor cleared. Every part follows the one before in the
// outputs; its offsets were checked. dst has 1..255 bytes. Constant-time in the messages' contents, not in their
// lengths. The point at infinity, which no known message reaches, is written as (0, 0).
void hash_to_curve(std::span<const Messages> parts, std::span<const std::uint8_t> dst, bool random_oracle,
                   std::uint8_t* out_u, std::uint8_t* out_v, int threads);

enum class PointDefect { none, not_canonical, low_order };

struct PointCheck {
  std::size_t row;  // the first bad row; n if there is none
  PointDefect defect;
};

// Points from a peer, rows of 32 bytes: each must be below p, top bit clear, and not one of the five u
// coordinates of order 1, 2, 4 or 8 on the curve or its twist. Points on the twist pass: X25519 is safe on
// them. Public data only.
PointCheck check_points_vartime(const std::uint8_t* points, std::size_t n);

// Rows of `crypsis backends`, best first.
std::vector<BackendStatus> backends();

}  // namespace crypsis::curve25519
