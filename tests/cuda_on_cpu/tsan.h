// SPDX-License-Identifier: Apache-2.0
// What ThreadSanitizer is told of a launch: __syncthreads orders the threads of a block, __syncwarp those of a warp, the
// end of a launch all of them before the host; nothing else orders anything, shuffles and votes neither. Without
// CUDA_ON_CPU_TSAN all of it is empty.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fiber.h"

#if CUDA_ON_CPU_TSAN
// What GCC calls before a volatile access, which CUDA takes for a relaxed atomic one [CUDA C++ Programming Guide, 10.6]:
// it may meet atomics and its like, and orders nothing. libtsan leaves these functions to others.
#define CUDA_ON_CPU_VOLATILE(bytes, bits, type)                                                  \
  extern "C" type __tsan_atomic##bits##_load(const volatile type* address, int order);           \
  extern "C" type __tsan_atomic##bits##_fetch_or(volatile type* address, type value, int order); \
  extern "C" inline __attribute__((used)) void __tsan_volatile_read##bytes(void* address) {      \
    __tsan_atomic##bits##_load(static_cast<type*>(address), __ATOMIC_RELAXED);                   \
  }                                                                                              \
  extern "C" inline __attribute__((used)) void __tsan_volatile_write##bytes(void* address) {     \
    __tsan_atomic##bits##_fetch_or(static_cast<type*>(address), 0, __ATOMIC_RELAXED);            \
  }
CUDA_ON_CPU_VOLATILE(1, 8, std::uint8_t)
CUDA_ON_CPU_VOLATILE(2, 16, std::uint16_t)
CUDA_ON_CPU_VOLATILE(4, 32, std::uint32_t)
CUDA_ON_CPU_VOLATILE(8, 64, std::uint64_t)
#undef CUDA_ON_CPU_VOLATILE
#endif

namespace cuda_on_cpu::tsan {

constexpr unsigned kBlock = 32;  // in the place of a warp's number: all of the block

#if CUDA_ON_CPU_TSAN

// Two for each group of threads, in turns: who is at a barrier already must not reach who has yet to leave the last.
struct Places {
  alignas(8) char of[kBlock + 1][2][8];
};
inline std::unique_ptr<Places> places;  // a block's own: blocks have no order
alignas(8) inline char end_of_launch[8];

// Lives from the arrival at a barrier to the departure.
class Meeting {
 public:
  Meeting(unsigned group, unsigned turn) : place_(places->of[group][turn % 2]) { __tsan_release(place_); }
  ~Meeting() { __tsan_acquire(place_); }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

 private:
  char* place_;
};

// At each stop, which may be the last: an error leaves fibers where they are. Only launch_ends looks at it.
inline void thread_stops() {
  __tsan_release(end_of_launch);
}
inline void launch_ends() {
  __tsan_acquire(end_of_launch);
}

// TSan forgets who used the pages that munmap and mmap name, and only those: shared memory that the next block finds
// at the same address is other memory. Static shared memory begins at a page (build.py), what follows it is kept.
inline void block_begins(unsigned char* begin, unsigned char* end) {
  places = std::make_unique<Places>();
  if (begin == end) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t used = static_cast<std::size_t>(end - begin);
  const std::size_t whole = (used + page - 1) / page * page;
  if (reinterpret_cast<std::uintptr_t>(begin) % page != 0) std::abort();
  const std::vector<unsigned char> kept(end, begin + whole);
  if (mmap(begin, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != begin) {
    std::abort();
  }
  volatile unsigned char* to = end;  // no memcpy, which TSan watches
  for (const unsigned char byte : kept) *to++ = byte;
}

inline unsigned char* allocate_shared(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<unsigned char*>(memory);
}
inline void free_shared(unsigned char* memory, std::size_t bytes) {
  munmap(memory, bytes + 1);
}

#else

struct Meeting {
  Meeting(unsigned, unsigned) {}
};
inline void thread_stops() {}
inline void launch_ends() {}
inline void block_begins(const unsigned char*, const unsigned char*) {}
inline unsigned char* allocate_shared(std::size_t bytes) {
  return static_cast<unsigned char*>(std::malloc(bytes));
}
inline void free_shared(unsigned char* memory, std::size_t) {
  std::free(memory);
}

#endif

}  // namespace cuda_on_cpu::tsan
