// SPDX-License-Identifier: Apache-2.0
// Declares secrets uninitialised to valgrind's memcheck, which then reports each branch and each address that depends
// on them.
#pragma once
#include <cstdint>

namespace crypsis::native_tests {

// A client request of valgrind on x86-64: a sequence that does nothing on a CPU; rax points to the request,
// rdx takes the answer (valgrind manual, 3.1). Written out so that valgrind's headers are not needed.
inline std::uint64_t client_request(std::uint64_t code, const void* address, std::uint64_t size) {
  volatile std::uint64_t request[6] = {code, reinterpret_cast<std::uint64_t>(address), size, 0, 0, 0};
  std::uint64_t answer = 0;
  __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
                   : "=d"(answer)
                   : "a"(&request[0]), "0"(answer)
                   : "cc", "memory");
  return answer;
}

inline bool running_on_valgrind() {
  return client_request(0x1001, nullptr, 0) != 0;
}

inline void make_undefined(const void* memory, std::size_t n_bytes) {
  constexpr std::uint64_t kMemcheck = (std::uint64_t{'M'} << 24) | (std::uint64_t{'C'} << 16);
  client_request(kMemcheck + 1, memory, n_bytes);
}

}  // namespace crypsis::native_tests
