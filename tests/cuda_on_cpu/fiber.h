// SPDX-License-Identifier: Apache-2.0
// A stack and a switch: the least that a CUDA thread needs. x86-64 swaps the six callee-saved registers and the
// stack pointer; other machines use ucontext (about ten times slower, same semantics).
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// -DCUDA_ON_CPU_UCONTEXT takes ucontext on x86-64 too.
#if defined(__x86_64__) && !defined(CUDA_ON_CPU_UCONTEXT)
#define CUDA_ON_CPU_ASSEMBLY 1
#else
#define CUDA_ON_CPU_ASSEMBLY 0
#endif

#if !CUDA_ON_CPU_ASSEMBLY
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// -DCUDA_ON_CPU_TSAN: the kernels are compiled for ThreadSanitizer and every CUDA thread is a fiber of its own there.
#if !defined(CUDA_ON_CPU_TSAN)
#define CUDA_ON_CPU_TSAN 0
#endif

#if CUDA_ON_CPU_TSAN
// [sanitizer/tsan_interface.h of LLVM; GCC's libtsan has them and installs no header]
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cuda_on_cpu {

// ASan's red zones around locals make frames several times larger.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 512 * 1024;
#else
constexpr std::size_t kStackBytes = 256 * 1024;
#endif

// A stack with an unmapped page below it: an overflow faults instead of writing into a neighbour.
class Stack {
 public:
  Stack() {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
      std::perror("cuda_on_cpu: no memory for the stacks of a block");
      std::abort();
    }
    bottom_ = static_cast<char*>(memory) + page;
  }
  Stack(const Stack&) = delete;  // lives in a pool until the process ends; with TSan until its block ends
#if CUDA_ON_CPU_TSAN
  ~Stack() {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    munmap(bottom_ - page, kStackBytes + page);
  }
#endif
  Stack& operator=(const Stack&) = delete;
  char* bottom() const { return bottom_; }
  char* top() const { return bottom_ + kStackBytes; }

 private:
  char* bottom_;
};

#if CUDA_ON_CPU_ASSEMBLY
extern "C" void cuda_on_cpu_switch(void** save, void* load);
asm(R"(
  .text
  .p2align 4
  .hidden cuda_on_cpu_switch
  .globl cuda_on_cpu_switch
  .type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");
#endif

// A suspended flow of control. The one that runs has no saved state.
class Context {
 public:
  // Made ready to run `entry`, which must never return, on `stack`.
  void start(const Stack& stack, void (*entry)()) {
    bottom_ = stack.bottom();
    size_ = kStackBytes;
#if CUDA_ON_CPU_TSAN
    fiber_ = __tsan_create_fiber(0);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(bottom_, size_);  // what an abandoned fiber left poisoned
    fake_stack_ = nullptr;
#endif
#if CUDA_ON_CPU_ASSEMBLY
    void** top = reinterpret_cast<void**>(stack.top());
    *--top = nullptr;  // a return address of zero ends a debugger's or sanitizer's walk
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    saved_ = top;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack.bottom();
    context_.uc_stack.ss_size = kStackBytes;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
#endif
  }

  // Suspends `from` (the running one) and goes on with this one; `last`: `from` never runs again.
  void resume(Context& from, [[maybe_unused]] bool last = false) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_, bottom_, size_);
#endif
#if CUDA_ON_CPU_TSAN
    if (from.fiber_ == nullptr) from.fiber_ = __tsan_get_current_fiber();  // the host's
    constexpr unsigned kOrdersNothing = 1;
    __tsan_switch_to_fiber(fiber_, kOrdersNothing);
#endif
#if CUDA_ON_CPU_ASSEMBLY
    cuda_on_cpu_switch(&from.saved_, saved_);
#else
    swapcontext(&from.context_, &context_);
#endif
    from.arrived();
  }

  // To be called first by `entry`; resume() does it for a fiber that goes on.
  void arrived() {
#if defined(__SANITIZE_ADDRESS__)
    const void* old_bottom = nullptr;
    std::size_t old_size = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &old_bottom, &old_size);
    if (host_of_ != nullptr) {  // the first arrival tells where the host's own stack is
      host_of_->bottom_ = static_cast<char*>(const_cast<void*>(old_bottom));
      host_of_->size_ = old_size;
      host_of_ = nullptr;
    }
#endif
  }

  // This context is entered first from `host`, a thread of the operating system.
  void entered_from([[maybe_unused]] Context& host) {
#if defined(__SANITIZE_ADDRESS__)
    host_of_ = &host;
#endif
  }

#if CUDA_ON_CPU_TSAN
  // After the last resume of one that was started.
  void forget() { __tsan_destroy_fiber(fiber_); }
#endif

 private:
  char* bottom_ = nullptr;
  std::size_t size_ = 0;
#if CUDA_ON_CPU_ASSEMBLY
  void* saved_ = nullptr;
#else
  ucontext_t context_;
#endif
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack_ = nullptr;
  Context* host_of_ = nullptr;
#endif
#if CUDA_ON_CPU_TSAN
  void* fiber_ = nullptr;
#endif
};

}  // namespace cuda_on_cpu
