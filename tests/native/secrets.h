// SPDX-License-Identifier: Apache-2.0
// What the operations of every slug share: two secrets far apart, and the planted leaks that each way of watching must
// catch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace crypsis::native_tests {

// Random bytes; and `n_zeros` bytes of 0, then `n_ones` of 0xff, then other random bytes.
template <class Secret>
void make_secrets(Secret (&secrets)[2], std::size_t n_zeros, std::size_t n_ones) {
  std::mt19937_64 random(1);
  for (Secret& secret : secrets) {
    auto* const bytes = reinterpret_cast<std::uint8_t*>(&secret);
    for (std::size_t i = 0; i < sizeof secret; ++i) bytes[i] = static_cast<std::uint8_t>(random());
  }
  std::memset(&secrets[1], 0, n_zeros);
  std::memset(reinterpret_cast<std::uint8_t*>(&secrets[1]) + n_zeros, 0xff, n_ones);
}

constexpr std::size_t kLeaked = 64;  // bytes

// Not inlined, so that the compiler cannot fold the leaks away.
[[gnu::noinline]] inline void leak_by_branch(const std::uint8_t* secret) {
  static volatile std::uint8_t sum;
  for (std::size_t i = 0; i < kLeaked; ++i) {
    if (secret[i] & 1) sum = static_cast<std::uint8_t>(sum + 1);
  }
}

[[gnu::noinline]] inline void leak_by_address(const std::uint8_t* secret) {
  static const volatile std::uint8_t table[256] = {1, 2, 3};
  static volatile std::uint8_t sum;
  for (std::size_t i = 0; i < kLeaked; ++i) sum = static_cast<std::uint8_t>(sum + table[secret[i]]);
}

// Runs the planted leak of that name; false if there is none.
template <class Secret>
bool leak(std::string_view name, const Secret& secret) {
  static_assert(sizeof secret >= kLeaked);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&secret);
  if (name == "leak_by_branch") {
    leak_by_branch(bytes);
  } else if (name == "leak_by_address") {
    leak_by_address(bytes);
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
