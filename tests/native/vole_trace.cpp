// SPDX-License-Identifier: Apache-2.0
// Usage: vole_trace BACKEND OPERATION [STEPS]
// Compares the instruction traces of the operation for two secrets (trace.h); STEPS ends each run after so many.
#include <cstdio>
#include <cstdlib>
#include <random>

#include "trace.h"
#include "vole_operations.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::vole::Impl* impl = argc == 3 || argc == 4 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr) {
    std::fprintf(stderr, "usage: vole_trace BACKEND OPERATION [STEPS]\n");
    return kUsage;
  }
  const std::size_t n_steps = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : ~std::size_t{0};
  // Two secrets far apart: random bytes; and zeros, then ones from amidst the data of each operation.
  static Secret secrets[2];
  std::mt19937_64 random(1);
  for (std::uint8_t& byte : secrets[0].bytes) byte = static_cast<std::uint8_t>(random());
  std::memset(secrets[1].bytes + 65 * kBlock, 0xff, kSecretBytes / 2);

  const auto operation = [&](const Secret& secret) {
    return [&secret, impl, name = argv[2]] { return run(name, *impl, secret); };
  };
  const decltype(operation(secrets[0])) operations[2] = {operation(secrets[0]), operation(secrets[1])};
  return compare_traces(operations, n_steps);
}
