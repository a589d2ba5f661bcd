// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret messages.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

#include "embedding/impl.h"
#include "secrets.h"

namespace crypsis::native_tests {

using embedding::compiled;
using embedding::Impl;

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

// Both signs and all sizes up to 2^60; and zeros, then halves.
inline void choose(Secret (&secrets)[2]) {
  std::mt19937_64 random(1);
  for (double& value : secrets[0].values) {
    value =
        static_cast<double>(static_cast<std::int64_t>(random())) / static_cast<double>(16 << random() % 24);
  }
  for (std::size_t i = kN / 4; i < kN; ++i) secrets[1].values[i] = 0.5;
}
inline void prepare(const Impl&) {
  embedding::tables(kLogN);
  embedding::tables(kSmallLogN);
}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static Output out;
  static double work[kN];
  const embedding::Tables &tables = embedding::tables(kLogN), &small = embedding::tables(kSmallLogN);
  const std::uint64_t p = (std::uint64_t{1} << 60) - 93, base = std::uint64_t{4 * 93};  // 2^62 mod p
  __extension__ using Wide = unsigned __int128;
  const embedding::Modulus modulus{p, 1.0 / static_cast<double>(p), base,
                                   static_cast<std::uint64_t>((Wide{base} << 64) / p)};
  if (operation == "to_coefficients") {
    impl.to_coefficients(tables, secret.values, true, kN / 2 - 3, 3.0, work, out.values);
    impl.to_coefficients(tables, secret.values, false, kN / 2 - 3, 3.0, work, out.values);
    impl.to_coefficients(small, secret.values, true, 7, 3.0, work, out.values);
  } else if (operation == "to_slots") {
    impl.to_slots(tables, secret.values, 0.5, work, out.values);
    impl.to_slots(small, secret.values, 0.5, work, out.values);
  } else if (operation == "residues") {
    impl.residues(secret.values, kN, modulus, out.words);
    impl.residues(secret.values, 4, modulus, out.words);
  } else if (operation == "words") {
    embedding::residues_of_words(secret.values, 20, 1, modulus, out.words);
    embedding::residues_of_words(secret.values, 20, 3, modulus, out.words);
  } else if (operation == "largest") {
    out.words[0] = impl.largest(secret.values, kN - 3);
  } else {
    return false;
  }
  return true;
}

}  // namespace crypsis::native_tests
