// SPDX-License-Identifier: Apache-2.0
// Usage, under valgrind only: bigint_undefined BACKEND OPERATION
// Runs the operation on secrets that memcheck holds for uninitialised (undefined.h). Exit status 2: bad usage or not
// under valgrind. valgrind 3.19 has no AVX-512; for that backend there is bigint_trace.
#include <cstdio>

#include "bigint_operations.h"
#include "undefined.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::bigint::Impl* impl = argc == 3 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr || !running_on_valgrind()) {
    std::fprintf(stderr, "usage, under valgrind: bigint_undefined BACKEND OPERATION\n");
    return 2;
  }
  const crypsis::bigint::Modulus modulus = make_modulus();
  static Secret secret;
  static Word out[kWords];
  make_undefined(&secret, sizeof secret);
  return run(argv[2], *impl, modulus, secret, out) ? 0 : 2;
}
