// SPDX-License-Identifier: Apache-2.0
// Usage, under valgrind only: ntt_undefined BACKEND OPERATION
// Declares the secret words uninitialised to memcheck and runs the operation: memcheck then reports each branch and each
// address that depends on them. Exit status 2: bad usage or not under valgrind, which has no AVX-512 (ntt_trace).
#include <cstdio>

#include "ntt_operations.h"
#include "undefined.h"

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::ntt::Impl* impl = argc == 3 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr || !running_on_valgrind()) {
    std::fprintf(stderr, "usage, under valgrind: ntt_undefined BACKEND OPERATION\n");
    return 2;
  }
  static Secret secret;
  static std::uint64_t out[kN];
  prepare(impl);
  make_undefined(&secret, sizeof secret);
  return run(argv[2], impl, secret, out) ? 0 : 2;
}
