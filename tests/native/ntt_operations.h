// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret residues.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "ntt/impl.h"
#include "ntt/modular_portable.h"
#include "secrets.h"

namespace crypsis::native_tests {

using ntt::compiled;
using ntt::Impl;

constexpr int kLogN = 8;  // vectors, and two passes
constexpr std::size_t kN = 1 << kLogN;

// Words; run() brings what must be residues below the prime by masks, which a secret may pass through.
struct Secret {
  std::uint64_t words[3 * kN];
};

// Of every kind of arithmetic in csrc/ntt/field52.h and field64.h; public, made before anything is watched.
inline const ntt::Basis& basis() {
  static const ntt::Basis made = [] {
    std::vector<std::uint64_t> primes = ntt::find_primes(kLogN, {40, 48, 50, 60});
    for (const std::uint64_t p : ntt::find_primes(11, {56, 60})) primes.push_back(p);  // 1 mod 2^12
    return ntt::Basis(kLogN, primes);
  }();
  return made;
}

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 512, sizeof(Secret) - 512);
}
inline void prepare(const Impl& impl) {
  std::vector<std::uint64_t> zeros(kN);
  for (std::size_t limb = 0; limb < basis().limbs(); ++limb) {
    impl.forward(basis()[limb], zeros.data(), zeros.data());
    impl.inverse(basis()[limb], zeros.data(), zeros.data());
  }
}

[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  static std::uint64_t out[kN];
  static std::uint32_t table[kN];
  ntt::automorphism_table(kLogN, 5, table);
  for (std::size_t limb = 0; limb < basis().limbs(); ++limb) {
    const ntt::PrimeTables& t = basis()[limb];
    static Secret residues;
    for (std::size_t i = 0; i < 3 * kN; ++i) {
      residues.words[i] = secret.words[i] & ((std::uint64_t{1} << (t.bits - 1)) - 1);
    }
    const std::uint64_t *const a = residues.words, *const b = a + kN, *const c = b + kN;
    if (operation == "forward") {
      impl.forward(t, a, out);
    } else if (operation == "inverse") {
      impl.inverse(t, a, out);
    } else if (operation == "pointwise") {
      impl.add(t, a, b, kN - 3, out);
      impl.subtract(t, a, b, kN - 3, out);
      impl.negate(t, a, kN - 3, out);
      impl.multiply(t, a, b, kN - 3, out);
      impl.multiply_add(t, a, b, c, kN - 3, out);
      impl.scale(t, a, 5, ntt::shoup_quotient(5, t.p), kN - 3, out);
    } else if (operation == "permute") {
      impl.permute(table, a, kN, out);
    } else if (operation == "from_signed") {
      impl.from_signed(t, reinterpret_cast<const std::int8_t*>(secret.words), kN - 3, out);
      impl.from_signed(t, reinterpret_cast<const std::int16_t*>(secret.words), kN - 3, out);
      impl.from_signed(t, reinterpret_cast<const std::int32_t*>(secret.words), kN - 3, out);
      impl.from_signed(t, reinterpret_cast<const std::int64_t*>(secret.words), kN - 3, out);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace crypsis::native_tests
