// SPDX-License-Identifier: Apache-2.0
// What the constant-time programs run: an operation on secret residues or digits. The kernels of a backend on runs with
// a tail, and whole calls, which have the transforms of ntt within them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ntt/modular_portable.h"
#include "rns/engine.h"
#include "secrets.h"

namespace crypsis::native_tests {

using rns::compiled;
using rns::Impl;

constexpr int kLogN = 6;
constexpr std::size_t kN = 1 << kLogN, kRun = kN - 3, kRows = 6;
constexpr std::size_t kLevel = 2, kFull = 5;  // three moduli, two special ones

// Words; run() makes residues or digits of them by masks, which a secret may pass through.
struct Secret {
  std::uint64_t words[kRows * kN];
};

// Of every kind of arithmetic of a backend: primes for doubles, for 52-bit products, for 64-bit ones.
inline const rns::Chain& known_chain() {
  static const rns::Chain made = [] {
    const std::vector<std::uint64_t> p = ntt::find_primes(kLogN, {60, 55, 60, 40, 48});
    return rns::Chain(ntt::Basis(kLogN, {p[2], p[3], p[4]}), ntt::Basis(kLogN, {p[0], p[1]}), 2);
  }();
  return made;
}

inline std::uint64_t below(std::uint64_t word, int bits) {
  return word & ((std::uint64_t{1} << bits) - 1);
}

inline void run_kernels(std::string_view operation, const Impl& impl, const Secret& secret) {
  const rns::Chain& chain = known_chain();
  static Secret residues, digits, scratch;
  static std::uint64_t out[2][kN];
  static double doubles[kN];
  std::uint64_t* rows[kRows];
  for (std::size_t i = 0; i < kRows; ++i) {
    rows[i] = (operation == "convert" ? digits : residues).words + i * kN;
    const int bits = chain.tables(i % kFull).bits - 1;
    for (std::size_t at = 0; at < kN; ++at) {
      const std::uint64_t word = secret.words[i * kN + at];
      residues.words[i * kN + at] = below(word, bits);
      digits.words[i * kN + at] = below(word, bits - 1) - (std::uint64_t{1} << (bits - 2));
    }
  }
  const rns::Radix radix{chain, kFull, {0, 1, 2, 3, 4}}, single{chain, 1, {1}};
  if (operation == "mixed_radix") return impl.mixed_radix(radix, rows, kRun);
  if (operation == "compose") return impl.compose(radix, rows, kRun, doubles);
  static std::uint32_t table[kN];
  ntt::automorphism_table(kLogN, 5, table);
  for (std::size_t target = 0; target < kFull; ++target) {
    const ntt::PrimeTables& t = chain.tables(target);
    const rns::Constant factor{5, ntt::shoup_quotient(5, t.p)}, one{1, t.one_quotient};
    if (operation == "convert") {
      impl.convert(t, rns::conversion_to(radix, target, 3), rows, kRun, out[0]);
      impl.convert(t, rns::conversion_to(single, target, 1), rows + 1, kRun, out[0]);
      continue;
    }
    std::uint64_t* of_target[kRows];
    for (std::size_t i = 0; i < kRows; ++i) {
      of_target[i] = scratch.words + i * kN;
      for (std::size_t at = 0; at < kN; ++at) of_target[i][at] = below(secret.words[i * kN + at], t.bits - 1);
    }
    if (operation == "inner_product") {
      const rns::Term terms[2] = {{of_target[0], of_target[1], of_target[2]},
                                  {of_target[3], of_target[4], of_target[5]}};
      impl.inner_product(t, terms, 2, nullptr, kRun, out[0], out[1]);
      impl.inner_product(t, terms, 2, table, kN, out[0], out[1]);
    } else {  // combine
      impl.combine(t, of_target[0], factor, nullptr, nullptr, one, kRun, out[0]);
      impl.combine(t, of_target[0], factor, of_target[1], of_target[2], one, kRun, out[0]);
      impl.combine(t, of_target[0], one, of_target[1], of_target[2], factor, kRun, out[0]);
    }
  }
}

// Few terms in blocks of several vectors with two rows; and, in a ring as small as one vector, so many terms that a sum
// takes two calls of the kernel and an addition, from the columns of a matrix.
inline void run_pair_products(const Impl& impl, const Secret& secret) {
  constexpr int kSmallLogN = 3;
  constexpr std::size_t kLimbs = kLevel + 1, kFew = 2, kPoly = kLimbs * kN;
  constexpr std::size_t kMany = rns::kMaxTerms + 1, kSmallPoly = kLimbs << kSmallLogN;
  const rns::Chain& chain = known_chain();
  static const std::vector<std::uint64_t> primes{chain.prime(0), chain.prime(1), chain.prime(2)};
  static const ntt::Basis basis(kLogN, primes), small(kSmallLogN, primes);
  static std::uint64_t words[kMany * kSmallPoly], out[2][2 * kPoly];
  static_assert(sizeof words >= 2 * kFew * kPoly * sizeof(std::uint64_t));
  const rns::Options options{std::string(impl.name), 1};
  const auto fill = [&](std::size_t count) {  // below the primes of 40 bits and more
    for (std::size_t at = 0; at < count; ++at) words[at] = below(secret.words[at % (kRows * kN)], 39);
  };
  fill(2 * kFew * kPoly);
  rns::pair_products(basis, {words, kFew * kPoly, kPoly, words, words + kFew * kPoly, 2, kFew}, out[0],
                     out[1], options);
  fill(kMany * kSmallPoly);
  rns::pair_products(small, {words, kSmallPoly, 0, words, words, 2, kMany}, out[0], out[1], options);
}

// One implementation, whichever the backend. Widths that meet words' ends at every place, and that never cross one. What
// `unpack` says of its input is public and is looked at by nobody here.
inline void run_packing(std::string_view operation, const Secret& secret) {
  constexpr std::size_t kLength = 61, kMost = 4;
  static std::uint64_t numbers[kMost * kN];
  static std::uint8_t bytes[kMost * kN * sizeof(std::uint64_t)];
  for (const unsigned bits : {1U, 32U, 43U, 60U, 63U}) {
    if (operation == "pack") {
      for (std::size_t at = 0; at < 2 * kN; ++at)
        numbers[at] = below(secret.words[at], static_cast<int>(bits));
      rns::pack({numbers, 2, kLength, kN}, bits, bytes);
    } else {
      static_assert(sizeof secret.words >= 2 * kN * sizeof(std::uint64_t));
      const auto* const packed = reinterpret_cast<const std::uint8_t*>(secret.words);
      const std::uint64_t prime = (std::uint64_t{1} << bits) - 1;  // any bound: nothing is computed modulo it
      static_cast<void>(rns::unpack(packed, prime, bits, {numbers, 2, kLength, kN}));
    }
  }
}

// Runs `operation` on the secret; false if there is no such operation.
[[gnu::noinline]] inline bool run(std::string_view operation, const Impl& impl, const Secret& secret) {
  for (const char* kernel : {"mixed_radix", "compose", "convert", "inner_product", "combine"}) {
    if (operation == kernel) return run_kernels(operation, impl, secret), true;
  }
  if (operation == "pair_products") return run_pair_products(impl, secret), true;
  if (operation == "pack" || operation == "unpack") return run_packing(operation, secret), true;
  const rns::Chain& chain = known_chain();
  const rns::Options options{std::string(impl.name), 1};
  static std::uint64_t c[2 * (kLevel + 1) * kN], key[4 * kFull * kN], out[8 * kFull * kN];
  for (std::size_t limb = 0; limb < 2 * (kLevel + 1); ++limb) {
    const int bits = chain.tables(limb % (kLevel + 1)).bits - 1;
    for (std::size_t at = 0; at < kN; ++at) c[limb * kN + at] = below(secret.words[limb * kN + at], bits);
  }
  for (std::size_t i = 0; i < 4 * kFull * kN; ++i) key[i] = below(secret.words[i % (kRows * kN)], 39);
  if (operation == "switch_key") {
    rns::switch_key(chain, kLevel, {c, key, c, 2, 1, false}, 1, out, options);
    rns::switch_key(chain, kLevel, {c, key, c, 1, 5, true}, 1, out, options);
  } else if (operation == "rescale") {
    rns::rescale(chain, kLevel, c, 2, out, options);
  } else if (operation == "rotated_sums") {
    rns::rotated_sums(chain, kLevel, {c, key, key, {{key, 5}, {nullptr, 1}}, {{0, 0}, {0, 1}}, 1}, 1, out,
                      options);
  } else {
    return false;
  }
  return true;
}

inline void choose(Secret (&secrets)[2]) {
  make_secrets(secrets, 512, sizeof(Secret) / 2);
}
inline void prepare(const Impl& impl) {  // tables of the transforms, and scratch
  static const Secret zeros{};
  for (const char* call : {"switch_key", "rescale", "rotated_sums", "pair_products"}) run(call, impl, zeros);
}

}  // namespace crypsis::native_tests
