// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on a secret stream.
#pragma once
#include <cstdint>
#include <string_view>

#include "sampling/impl.h"
#include "secrets.h"

namespace crypsis::native_tests {

using sampling::compiled;
using sampling::Impl;

// Numbers of 16 bytes: a count with a tail in every backend.
constexpr std::size_t kNumbers = 77;

struct Secret {
  std::uint8_t bytes[16 * kNumbers];
};

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 64, sizeof(Secret) - 64);
}
inline void prepare(const Impl&) {}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static std::uint8_t out[sizeof(Secret)];
  static std::uint64_t words[kNumbers];
  auto* const small = reinterpret_cast<std::int8_t*>(out);
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t p = (std::uint64_t{1} << 40) + 15;
  const auto base = static_cast<std::uint64_t>((Wide{1} << 64) % p);
  const sampling::Modulus modulus{p, static_cast<std::uint64_t>((Wide{1} << 64) / p), base,
                                  static_cast<std::uint64_t>((Wide{base} << 64) / p),
                                  1.0 / static_cast<double>(p)};
  if (operation == "wide") {
    impl.wide(secret.bytes, kNumbers, modulus, {~std::uint64_t{0}, ~std::uint64_t{0}, 0}, words);
    impl.wide(secret.bytes, kNumbers, modulus, {~std::uint64_t{0}, 0xffff, 12345}, words);
  } else if (operation == "ternary") {
    impl.ternary(secret.bytes, 2 * kNumbers, small);
  } else if (operation == "binomial") {
    impl.binomial(secret.bytes, 2 * kNumbers, small);
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
