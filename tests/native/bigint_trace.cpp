// SPDX-License-Identifier: Apache-2.0
// Usage: bigint_trace BACKEND OPERATION [STEPS]
// Compares the instruction traces of the operation for two secrets (trace.h); STEPS ends each run after so many.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "bigint_operations.h"
#include "trace.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::bigint::Impl* impl = argc == 3 || argc == 4 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr) {
    std::fprintf(stderr, "usage: bigint_trace BACKEND OPERATION [STEPS]\n");
    return kUsage;
  }
  const std::size_t n_steps = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : ~std::size_t{0};
  // Two secrets far apart: random words; and zeros, all ones, then other random words. Below 2^63 each, so that
  // rows are below the modulus.
  Secret secrets[2];
  std::mt19937_64 random(1);
  for (Secret& secret : secrets) {
    for (Word& word : secret.words) word = random() >> 1;
  }
  for (std::size_t i = 0; i < kLimbs; ++i) {
    secrets[1].words[i] = 0;
    secrets[1].words[kLimbs + i] = ~Word{0} >> 1;
  }
  const crypsis::bigint::Modulus modulus = make_modulus();
  const auto operation = [&](const Secret& secret) {
    return [&secret, &modulus, impl, name = argv[2]] {
      static Word out[kWords];
      return run(name, *impl, modulus, secret, out);
    };
  };
  const decltype(operation(secrets[0])) operations[2] = {operation(secrets[0]), operation(secrets[1])};
  return compare_traces(operations, n_steps);
}
