// SPDX-License-Identifier: Apache-2.0
// Usage: embedding_trace BACKEND OPERATION [STEPS]
// Compares the instruction traces of the operation for two messages (trace.h); STEPS ends each run after so many.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "embedding_operations.h"
#include "trace.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::embedding::Impl* impl = argc == 3 || argc == 4 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr) {
    std::fprintf(stderr, "usage: embedding_trace BACKEND OPERATION [STEPS]\n");
    return kUsage;
  }
  const std::size_t n_steps = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : ~std::size_t{0};
  make_tables();
  // Two messages far apart: both signs and all sizes up to 2^60; and zeros, then halves.
  static Secret secrets[2];
  std::mt19937_64 random(1);
  for (double& value : secrets[0].values) {
    value =
        static_cast<double>(static_cast<std::int64_t>(random())) / static_cast<double>(16 << random() % 24);
  }
  for (std::size_t i = kN / 4; i < kN; ++i) secrets[1].values[i] = 0.5;

  const auto operation = [&](const Secret& secret) {
    return [&secret, impl, name = argv[2]] {
      static Output out;
      return run(name, impl, secret, out);
    };
  };
  const decltype(operation(secrets[0])) operations[2] = {operation(secrets[0]), operation(secrets[1])};
  return compare_traces(operations, n_steps);
}
