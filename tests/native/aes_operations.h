// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret keys and blocks, and the planted leaks that they must
// catch.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "aes/aes.h"
#include "aes/impl.h"

namespace crypsis::native_tests {

// A whole group of every backend and a rest that fills no register.
constexpr std::size_t kRows = 35;

struct Secret {
  std::uint8_t bytes[kRows * aes::kBlockBytes];
};

// Not inlined, so that the compiler cannot fold the leaks away or specialise the operation for known inputs.
[[gnu::noinline]] inline void leak_by_branch(const Secret& secret, std::uint8_t* out) {
  volatile std::uint8_t sum = 0;
  for (const std::uint8_t byte : secret.bytes) {
    if (byte & 1) sum = static_cast<std::uint8_t>(sum + 1);
  }
  out[0] = sum;
}

[[gnu::noinline]] inline void leak_by_address(const Secret& secret, std::uint8_t* out) {
  static const volatile std::uint8_t table[256] = {1, 2, 3};
  for (std::size_t i = 0; i < sizeof secret.bytes; ++i) out[i] = table[secret.bytes[i]];
}

// Runs `operation` on the secret; false if there is no such operation. out has 11 kRows blocks.
[[gnu::noinline]] inline bool run(std::string_view operation, const aes::Impl& impl, const Secret& secret,
                                  std::uint8_t* out) {
  static std::uint8_t known[kRows * aes::kBlockBytes];
  for (std::size_t i = 0; i < sizeof known; ++i) known[i] = static_cast<std::uint8_t>(37 * i + 5);
  const aes::Counter counter{~std::uint64_t{0} - 3, 5};  // wraps within the first group
  aes::KeySchedule schedule;
  impl.expand_keys(known, &schedule, 1);
  if (operation == "keys") {
    static aes::KeySchedule schedules[kRows];
    impl.expand_keys(secret.bytes, schedules, kRows);
    impl.ctr(schedules[0], counter, known, out, kRows);
  } else if (operation == "permute") {
    impl.permute(schedule, secret.bytes, out, kRows);
  } else if (operation == "mmo") {
    impl.mmo(schedule, secret.bytes, out, kRows);
  } else if (operation == "tmmo") {
    impl.tmmo(schedule, counter, secret.bytes, out, kRows);
  } else if (operation == "ctr") {
    impl.ctr(schedule, counter, secret.bytes, out, kRows);
  } else if (operation == "ggm_level") {
    impl.ggm_level(schedule, schedule, secret.bytes, out, kRows);
  } else if (operation == "leak_by_branch") {
    leak_by_branch(secret, out);
  } else if (operation == "leak_by_address") {
    leak_by_address(secret, out);
  } else {
    return false;
  }
  return true;
}

inline const aes::Impl* find_backend(std::string_view name) {
  for (const aes::Impl* impl : aes::compiled()) {
    if (impl->name == name) return impl;
  }
  return nullptr;
}

}  // namespace crypsis::native_tests
