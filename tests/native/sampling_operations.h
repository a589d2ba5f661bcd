// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on a secret stream, and the planted leaks that they must catch.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "sampling/impl.h"

namespace crypsis::native_tests {

// Numbers of 16 bytes: a count with a tail in every backend.
constexpr std::size_t kNumbers = 77;

struct Secret {
  std::uint8_t bytes[16 * kNumbers];
};

// Not inlined, so that the compiler cannot fold the leaks away or specialise the operation for known inputs.
[[gnu::noinline]] inline void leak_by_branch(const Secret& secret, std::uint8_t* out) {
  volatile std::uint8_t sum = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    if (secret.bytes[i] & 1) sum = static_cast<std::uint8_t>(sum + 1);
  }
  out[0] = sum;
}

[[gnu::noinline]] inline void leak_by_address(const Secret& secret, std::uint8_t* out) {
  static const volatile std::uint8_t table[256] = {1, 2, 3};
  for (std::size_t i = 0; i < sizeof secret.bytes; ++i) out[i] = table[secret.bytes[i]];
}

// Runs `operation` on the secret; false if there is no such operation. `out` has the size of Secret.
[[gnu::noinline]] inline bool run(std::string_view operation, const sampling::Impl* impl,
                                  const Secret& secret, std::uint8_t* out) {
  static std::uint64_t words[kNumbers];
  auto* const small = reinterpret_cast<std::int8_t*>(out);
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t p = (std::uint64_t{1} << 40) + 15;
  const auto base = static_cast<std::uint64_t>((Wide{1} << 64) % p);
  const sampling::Modulus modulus{p, static_cast<std::uint64_t>((Wide{1} << 64) / p), base,
                                  static_cast<std::uint64_t>((Wide{base} << 64) / p),
                                  1.0 / static_cast<double>(p)};
  if (operation == "wide") {
    impl->wide(secret.bytes, kNumbers, modulus, {~std::uint64_t{0}, ~std::uint64_t{0}, 0}, words);
    impl->wide(secret.bytes, kNumbers, modulus, {~std::uint64_t{0}, 0xffff, 12345}, words);
  } else if (operation == "ternary") {
    impl->ternary(secret.bytes, 2 * kNumbers, small);
  } else if (operation == "binomial") {
    impl->binomial(secret.bytes, 2 * kNumbers, small);
  } else if (operation == "leak_by_branch") {
    leak_by_branch(secret, out);
  } else if (operation == "leak_by_address") {
    leak_by_address(secret, out);
  } else {
    return false;
  }
  return true;
}

inline const sampling::Impl* find_backend(std::string_view name) {
  for (const sampling::Impl* impl : sampling::compiled()) {
    if (impl->name == name) return impl;
  }
  return nullptr;
}

}  // namespace crypsis::native_tests
