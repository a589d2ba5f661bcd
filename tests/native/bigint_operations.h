// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret values mod n or secret exponents.
#pragma once
#include <cstdint>
#include <string_view>

#include "bigint/bigint.h"
#include "bigint/impl.h"
#include "secrets.h"

namespace crypsis::native_tests {

using bigint::compiled;
using bigint::Impl;

using bigint::Word;

// Nine rows: a full group of eight lanes and one with seven idle. Nine limbs: one more than a pass of the portable
// code, and two blocks of columns of the AVX-512 code.
constexpr std::size_t kRows = 9, kLimbs = 9, kWords = kRows * kLimbs;

struct Secret {
  Word words[kWords];  // as values: below 2^(64 kLimbs - 1), which is below the modulus
};

// Odd, its top bit set, so above every secret.
inline const bigint::Modulus& known_modulus() {
  static const bigint::Modulus modulus = [] {
    Word n[kLimbs];
    for (std::size_t i = 0; i < kLimbs; ++i) n[i] = 0xd1342543de82ef95 * (i + 1) | 1;
    n[kLimbs - 1] |= Word{1} << 63;
    return bigint::Modulus(n, kLimbs);
  }();
  return modulus;
}

// Words below 2^63 each, so that rows are below the modulus.
inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 8 * kLimbs, 8 * kLimbs);
  for (Secret& secret : secrets) {
    for (Word& word : secret.words) word >>= 1;
  }
}
inline void prepare(const Impl&) {
  known_modulus();
}

// Runs `operation` on the secret, with the result in out[kWords]; false if there is no such operation.
[[gnu::noinline]] inline bool run_into(std::string_view operation, const Impl& impl, const Secret& secret,
                                       Word* out) {
  using namespace bigint;
  const Modulus& modulus = known_modulus();
  static Secret known;
  for (std::size_t i = 0; i < kWords; ++i) known.words[i] = (0x9e3779b97f4a7c15 * (i + 1)) >> 1;
  const Call call{impl.name, 1};
  const Word* const values = secret.words;
  constexpr std::size_t kExponentBits = 70, kExponentLimbs = 2;
  if (operation == "mul") {
    impl.mul(modulus, {values, kLimbs, known.words, kLimbs, out, true}, 0, kRows);
  } else if (operation == "sqr") {
    impl.mul(modulus, {values, kLimbs, nullptr, 0, out, true}, 0, kRows);
  } else if (operation == "mul_plain") {
    impl.mul(modulus, {values, kLimbs, values, kLimbs, out, false}, 0, kRows);
  } else if (operation == "powm_bases") {
    impl.powm(modulus, {values, kLimbs, known.words, kExponentLimbs, 0, 12, out, false, false}, 0, kRows);
  } else if (operation == "powm_exponents") {
    impl.powm(modulus,
              {known.words, kLimbs, values, kExponentLimbs, kExponentLimbs, kExponentBits, out, false, false},
              0, kRows);
  } else if (operation == "powm_one_exponent") {
    impl.powm(modulus, {known.words, kLimbs, values, kExponentLimbs, 0, kExponentBits, out, true, false}, 0,
              kRows);
  } else if (operation == "fixed_base") {
    FixedBase(call, modulus, known.words, kExponentBits, 8, false)
        .powm(1, values, kExponentLimbs, out, kRows, false);
  } else if (operation == "multi_powm") {
    multi_powm(call, modulus, known.words, 3, values, 64, nullptr, out, kRows);
  } else if (operation == "segmented_prod") {
    const std::int64_t starts[] = {0, 1, 1, static_cast<std::int64_t>(kRows)};
    segmented_prod(call, modulus, values, nullptr, starts, 3, out);
  } else if (operation == "cumulative_prod") {
    const std::int64_t starts[] = {0, static_cast<std::int64_t>(kRows)};
    cumulative_prod(call, modulus, values, starts, 1, out);
  } else if (operation == "leak_by_free") {
    const Words copy(values, values + kWords);
    out[0] = copy[1];
  } else if (operation == "range_check") {
    // n - 1 - value: for the small ones all limbs but the lowest are those of n. For traces: the answer itself is public.
    static Word rows[kWords];
    for (std::size_t row = 0; row < kRows; ++row) {
      unsigned __int128 borrow = 1;
      for (std::size_t i = 0; i < kLimbs; ++i) {
        const unsigned __int128 d = modulus.n()[i] - borrow - values[row * kLimbs + i];
        rows[row * kLimbs + i] = static_cast<Word>(d);
        borrow = (d >> 64) & 1;
      }
    }
    out[0] = first_not_below(modulus, rows, kRows);
  } else {
    return false;
  }
  return true;
}

inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static Word out[kWords];
  return run_into(operation, impl, secret, out);
}

}  // namespace crypsis::native_tests
