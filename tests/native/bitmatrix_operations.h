// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret bytes.
#pragma once
#include <cstdint>
#include <string_view>

#include "bitmatrix/impl.h"
#include "secrets.h"

namespace crypsis::native_tests {

using bitmatrix::compiled;
using bitmatrix::Impl;

// 128 x 600 bits: a whole tile and a tail; or 600 elements of GF(2^128), a count with a tail.
constexpr std::size_t kColumns = 600;

struct Secret {
  std::uint8_t bytes[128 * kColumns / 8];
};

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 64, sizeof(Secret) - 64);
}
inline void prepare(const Impl&) {}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static std::uint8_t out[sizeof(Secret)];
  const std::uint8_t* const a = secret.bytes;
  if (operation == "transpose") {
    const bitmatrix::Matrix wide{a, 128, kColumns, out}, narrow{a, kColumns, 128, out};
    impl.transpose_tiles(wide, 0, bitmatrix::tile_count(wide));
    impl.transpose_tiles(narrow, 0, bitmatrix::tile_count(narrow));
  } else if (operation == "gf128_multiply") {
    impl.gf128_multiply(a, a + 16 * 7, 1, nullptr, 7, out);
    impl.gf128_multiply(a, a + 16 * 7, 0, a + 16 * 14, 7, out);
  } else if (operation == "gf64_multiply") {
    impl.gf64_multiply(a, a + 8 * 15, nullptr, 15, out);
    impl.gf64_multiply(a, a + 8 * 15, a + 16 * 15, 15, out);
  } else if (operation == "inner_products") {
    impl.gf128_inner_product(a, a + 16 * 7, 7, out);
    impl.gf64_inner_product(a, a + 8 * 15, 15, out);
  } else if (operation == "gf128_powers") {
    impl.gf128_powers(a, 5, 30, out);
  } else if (operation == "gf2k") {
    for (int k = 1; k <= 8; ++k) {
      impl.gf2k_multiply(k, a, a + 70, 1, 70, out);
      impl.gf2k_multiply(k, a, a + 70, 0, 70, out);
      impl.gf2k_multiply_sliced(k, a, a + 560, 70, 70, 70, out);
      impl.pack_elements(k, a, 70, out);
      impl.unpack_elements(k, a, 70, out);
    }
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
