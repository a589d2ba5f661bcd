// SPDX-License-Identifier: Apache-2.0
// Single-steps an operation under ptrace for two secrets, with the very code that is shipped, and compares the
// sequences of instruction addresses: they must be equal. This catches branches on secrets, whatever the instruction
// set; it does not see data addresses (undefined.h does, where valgrind knows the code). Stepping costs tens of
// microseconds an instruction.
#pragma once
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace crypsis::native_tests {

// Exit statuses of the trace programs.
constexpr int kEqual = 0, kDiffer = 1, kUsage = 2, kNoPtrace = 3;

template <class Operation>
[[noreturn]] void traced_child(const Operation& operation) {
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kNoPtrace);
  raise(SIGSTOP);  // the parent steps from here
  const bool known = operation();
  raise(SIGSTOP);  // to here
  _exit(known ? 0 : kUsage);
}

// A child that waits to be stepped through the operation; -1 where it could not be made.
template <class Operation>
pid_t start(const Operation& operation) {
  const pid_t pid = fork();
  if (pid == 0) traced_child(operation);
  return pid;
}

// Instruction addresses of the child's operation. Returns the child's exit status if it ended early.
inline int record(pid_t pid, std::size_t n_steps, std::vector<std::uint64_t>& trace) {
  if (pid < 0) return kNoPtrace;
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

// Traces `operations[0]` and `operations[1]`, the same call on two secrets, and says whether they are equal; each
// returns false for a name that is unknown.
template <class Operation>
int compare_traces(const Operation (&operations)[2], std::size_t n_steps) {
  // Both before anything else: the same memory layout, down to the allocator's state.
  const pid_t children[2] = {start(operations[0]), start(operations[1])};
  std::vector<std::uint64_t> traces[2];
  int status = 0;
  for (int i = 0; i < 2; ++i) {
    const int ended = record(children[i], n_steps, traces[i]);
    if (status == 0) status = ended;
  }
  if (status != 0) return status;
  if (traces[0] != traces[1]) {
    std::size_t i = 0;
    while (i < traces[0].size() && i < traces[1].size() && traces[0][i] == traces[1][i]) ++i;
    std::printf("traces of %zu and %zu instructions differ from instruction %zu on\n", traces[0].size(),
                traces[1].size(), i);
    return kDiffer;
  }
  std::printf("traces of %zu instructions are equal\n", traces[0].size());
  return kEqual;
}

}  // namespace crypsis::native_tests
