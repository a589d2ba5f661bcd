// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret bytes.
#pragma once
#include <cstdint>
#include <string_view>

#include "curve25519/curve25519.h"
#include "curve25519/impl.h"
#include "curve25519/ristretto255.h"
#include "secrets.h"

namespace crypsis::native_tests {

using curve25519::compiled;
using curve25519::Impl;

// Three rows: one group of eight lanes, some idle; one inversion block.
constexpr std::size_t kRows = 3;

struct Secret {
  std::uint8_t bytes[kRows * 32];
};

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 32, 32);
}
inline void prepare(const Impl&) {}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static std::uint8_t out[2 * sizeof(Secret)];
  static std::uint8_t public_points[kRows * 32], public_scalar[32];
  for (std::size_t i = 0; i < sizeof public_points; ++i)
    public_points[i] = static_cast<std::uint8_t>(37 * i + 5);
  for (std::size_t i = 0; i < sizeof public_scalar; ++i)
    public_scalar[i] = static_cast<std::uint8_t>(91 * i + 3);
  if (operation == "scalars") {
    impl.scalar_mult(secret.bytes, 32, public_points, out, kRows);
  } else if (operation == "one_scalar") {
    impl.scalar_mult(secret.bytes, 0, public_points, out, kRows);
  } else if (operation == "points") {
    impl.scalar_mult(public_scalar, 0, secret.bytes, out, kRows);
  } else if (operation == "elements") {
    impl.map_to_curve(secret.bytes, out, kRows);
  } else if (operation == "messages") {
    const Messages messages{secret.bytes, kRows, Messages::Layout::kRows, 32, 32, nullptr};
    const std::uint8_t dst[] = {'t', 'e', 's', 't'};
    curve25519::hash_to_curve({&messages, 1}, dst, true, out, out + kRows * 32, 1);
  } else if (operation == "ristretto_scalars") {
    static std::uint8_t elements[32];  // public
    curve25519::ristretto255::scalar_mult_base(public_points, elements, 1, 1);
    curve25519::ristretto255::scalar_mult(secret.bytes, 32, elements, out, 1, 1);
  } else if (operation == "ristretto_base") {
    curve25519::ristretto255::scalar_mult_base(secret.bytes, out, 1, 1);
  } else if (operation == "ristretto_derive") {
    curve25519::ristretto255::derive(secret.bytes, out, 1, 1);
  } else if (operation == "ristretto_reduce") {
    curve25519::ristretto255::reduce_scalars(secret.bytes, out, 1);
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
