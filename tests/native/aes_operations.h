// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret keys and blocks.
#pragma once
#include <cstdint>
#include <string_view>

#include "aes/aes.h"
#include "aes/impl.h"
#include "secrets.h"

namespace crypsis::native_tests {

using aes::compiled;
using aes::Impl;

// A whole group of every backend and a rest that fills no register.
constexpr std::size_t kRows = 35;

struct Secret {
  std::uint8_t bytes[kRows * aes::kBlockBytes];
};

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, aes::kBlockBytes, aes::kBlockBytes);
}
inline void prepare(const Impl&) {}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static std::uint8_t out[11 * sizeof(Secret)];
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
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
