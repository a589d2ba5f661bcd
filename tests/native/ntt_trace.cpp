// SPDX-License-Identifier: Apache-2.0
// Usage: ntt_trace BACKEND OPERATION [STEPS]
// Compares the instruction traces of the operation for two secrets (trace.h); STEPS ends each run after so many.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "ntt_operations.h"
#include "trace.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::ntt::Impl* impl = argc == 3 || argc == 4 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr) {
    std::fprintf(stderr, "usage: ntt_trace BACKEND OPERATION [STEPS]\n");
    return kUsage;
  }
  const std::size_t n_steps = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : ~std::size_t{0};
  // Two secrets far apart: random words; and zeros, then ones.
  static Secret secrets[2];
  std::mt19937_64 random(1);
  for (std::uint64_t& word : secrets[0].words) word = random();
  std::memset(secrets[1].words + 64, 0xff, sizeof secrets[1].words - 64 * 8);
  prepare(impl);

  const auto operation = [&](const Secret& secret) {
    return [&secret, impl, name = argv[2]] {
      static std::uint64_t out[kN];
      return run(name, impl, secret, out);
    };
  };
  const decltype(operation(secrets[0])) operations[2] = {operation(secrets[0]), operation(secrets[1])};
  return compare_traces(operations, n_steps);
}
