// SPDX-License-Identifier: Apache-2.0
// Usage, under valgrind only: curve25519_undefined BACKEND OPERATION
// Declares the secret bytes uninitialised to memcheck and runs the operation: memcheck then reports each
// branch and each address that depends on them. Exit status 2: bad usage or not under valgrind. valgrind 3.19
// has no AVX-512; for that backend there is curve25519_trace.
#include <cstdio>

#include "curve25519_operations.h"

namespace {

// A client request of valgrind on x86-64: a sequence that does nothing on a CPU; rax points to the request,
// rdx takes the answer (valgrind manual, 3.1). Written out so that valgrind's headers are not needed.
std::uint64_t client_request(std::uint64_t code, const void* address, std::uint64_t size) {
  volatile std::uint64_t request[6] = {code, reinterpret_cast<std::uint64_t>(address), size, 0, 0, 0};
  std::uint64_t answer = 0;
  __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
                   : "=d"(answer)
                   : "a"(&request[0]), "0"(answer)
                   : "cc", "memory");
  return answer;
}

constexpr std::uint64_t kRunningOnValgrind = 0x1001;
constexpr std::uint64_t kMemcheck = (std::uint64_t{'M'} << 24) | (std::uint64_t{'C'} << 16);
constexpr std::uint64_t kMakeUndefined = kMemcheck + 1;

}  // namespace

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const crypsis::curve25519::Impl* impl = argc == 3 ? find_backend(argv[1]) : nullptr;
  if (impl == nullptr || client_request(kRunningOnValgrind, nullptr, 0) == 0) {
    std::fprintf(stderr, "usage, under valgrind: curve25519_undefined BACKEND OPERATION\n");
    return 2;
  }
  static Secret secret;
  static std::uint8_t out[2 * kRows * 32];
  client_request(kMakeUndefined, &secret, sizeof secret);
  return run(argv[2], impl, secret, out) ? 0 : 2;
}
