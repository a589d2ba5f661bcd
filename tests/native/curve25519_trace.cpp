// SPDX-License-Identifier: Apache-2.0
// Usage: curve25519_trace BACKEND OPERATION [STEPS]
// Single-steps the operation under ptrace for two secrets, with the very code that is shipped, and compares
// the sequences of instruction addresses: they must be equal. This catches branches on secrets, whatever the
// instruction set; it does not see data addresses (curve25519_undefined does, where valgrind knows the code).
// Stepping costs tens of microseconds an instruction: STEPS ends each run after so many.
//
// Exit status 0: equal; 1: they differ; 2: bad usage; 3: ptrace is not permitted here.
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "curve25519_operations.h"

namespace {

using crypsis::native_tests::Secret;

constexpr int kDiffer = 1, kUsage = 2, kNoPtrace = 3;

[[noreturn]] void child(const char* operation, const crypsis::curve25519::Impl* impl, const Secret& secret) {
  static std::uint8_t out[sizeof(Secret) * 2];
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kNoPtrace);
  raise(SIGSTOP);  // the parent steps from here
  const bool known = crypsis::native_tests::run(operation, impl, secret, out);
  raise(SIGSTOP);  // to here
  _exit(known ? 0 : kUsage);
}

// Instruction addresses of one run in a forked child: same memory layout for every child of this process.
// Returns the child's exit status if it ended early.
int record(const char* operation, const crypsis::curve25519::Impl* impl, const Secret& secret,
           std::size_t n_steps, std::vector<std::uint64_t>& trace) {
  const pid_t pid = fork();
  if (pid < 0) return kNoPtrace;
  if (pid == 0) child(operation, impl, secret);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return kNoPtrace;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  while (trace.size() < n_steps) {
    if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0 || waitpid(pid, &status, 0) != pid) {
      return kNoPtrace;
    }
    if (!WIFSTOPPED(status)) return kNoPtrace;
    if (WSTOPSIG(status) == SIGSTOP) {
      ptrace(PTRACE_CONT, pid, nullptr, nullptr);
      waitpid(pid, &status, 0);
      return WIFEXITED(status) ? WEXITSTATUS(status) : kNoPtrace;
    }
    const long rip = ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rip), nullptr);
    trace.push_back(static_cast<std::uint64_t>(rip));
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const crypsis::curve25519::Impl* impl =
      argc == 3 || argc == 4 ? crypsis::native_tests::find_backend(argv[1]) : nullptr;
  if (impl == nullptr) {
    std::fprintf(stderr, "usage: curve25519_trace BACKEND OPERATION [STEPS]\n");
    return kUsage;
  }
  const std::size_t n_steps = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : ~std::size_t{0};
  // Two secrets far apart: random rows; and zeros (low order), all ones, then other random rows.
  Secret secrets[2];
  std::mt19937_64 random(1);
  for (Secret& secret : secrets) {
    for (std::uint8_t& byte : secret.bytes) byte = static_cast<std::uint8_t>(random());
  }
  std::memset(secrets[1].bytes, 0, 32);
  std::memset(secrets[1].bytes + 32, 0xff, 32);

  std::vector<std::uint64_t> traces[2];
  for (int i = 0; i < 2; ++i) {
    if (const int status = record(argv[2], impl, secrets[i], n_steps, traces[i]); status != 0) return status;
  }
  if (traces[0] != traces[1]) {
    std::size_t i = 0;
    while (i < traces[0].size() && i < traces[1].size() && traces[0][i] == traces[1][i]) ++i;
    std::printf("traces of %zu and %zu instructions differ from instruction %zu on\n", traces[0].size(),
                traces[1].size(), i);
    return kDiffer;
  }
  std::printf("traces of %zu instructions are equal\n", traces[0].size());
  return 0;
}
