// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret messages, and the planted leaks that they must catch.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "embedding/impl.h"

namespace crypsis::native_tests {

// A polynomial of degree 256, which takes passes of radix 2, 4 and 8, or the first coefficients of a smaller one.
constexpr int kLogN = 8, kSmallLogN = 4;
constexpr std::size_t kN = std::size_t{1} << kLogN;

// Pages of its own: memcpy of the C library goes by the addresses modulo a page, which are public.
struct alignas(4096) Secret {
  double values[kN];
};
struct Output {
  double values[kN];
  std::uint64_t words[kN];
};

// Made before anything is traced.
inline void make_tables() {
  embedding::tables(kLogN);
  embedding::tables(kSmallLogN);
}

// Not inlined, so that the compiler cannot fold the leaks away or specialise the operation for known inputs.
[[gnu::noinline]] inline void leak_by_branch(const Secret& secret, Output& out) {
  volatile int sum = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    if (secret.values[i] > 0.5) sum = sum + 1;
  }
  out.words[0] = static_cast<std::uint64_t>(sum);
}

[[gnu::noinline]] inline void leak_by_address(const Secret& secret, Output& out) {
  static const volatile std::uint8_t table[256] = {1, 2, 3};
  for (std::size_t i = 0; i < kN; ++i) {
    std::uint64_t bits;
    std::memcpy(&bits, secret.values + i, sizeof bits);
    out.words[i] = table[bits >> 56];
  }
}

// Runs `operation` on the secret; false if there is no such operation.
[[gnu::noinline]] inline bool run(std::string_view operation, const embedding::Impl* impl,
                                  const Secret& secret, Output& out) {
  static double work[kN];
  const embedding::Tables &tables = embedding::tables(kLogN), &small = embedding::tables(kSmallLogN);
  const std::uint64_t p = (std::uint64_t{1} << 60) - 93, base = std::uint64_t{4 * 93};  // 2^62 mod p
  __extension__ using Wide = unsigned __int128;
  const embedding::Modulus modulus{p, 1.0 / static_cast<double>(p), base,
                                   static_cast<std::uint64_t>((Wide{base} << 64) / p)};
  if (operation == "to_coefficients") {
    impl->to_coefficients(tables, secret.values, true, kN / 2 - 3, 3.0, work, out.values);
    impl->to_coefficients(tables, secret.values, false, kN / 2 - 3, 3.0, work, out.values);
    impl->to_coefficients(small, secret.values, true, 7, 3.0, work, out.values);
  } else if (operation == "to_slots") {
    impl->to_slots(tables, secret.values, 0.5, work, out.values);
    impl->to_slots(small, secret.values, 0.5, work, out.values);
  } else if (operation == "residues") {
    impl->residues(secret.values, kN, modulus, out.words);
    impl->residues(secret.values, 4, modulus, out.words);
  } else if (operation == "words") {
    embedding::residues_of_words(secret.values, 20, 1, modulus, out.words);
    embedding::residues_of_words(secret.values, 20, 3, modulus, out.words);
  } else if (operation == "largest") {
    out.words[0] = impl->largest(secret.values, kN - 3);
  } else if (operation == "leak_by_branch") {
    leak_by_branch(secret, out);
  } else if (operation == "leak_by_address") {
    leak_by_address(secret, out);
  } else {
    return false;
  }
  return true;
}

inline const embedding::Impl* find_backend(std::string_view name) {
  for (const embedding::Impl* impl : embedding::compiled()) {
    if (impl->name == name) return impl;
  }
  return nullptr;
}

}  // namespace crypsis::native_tests
