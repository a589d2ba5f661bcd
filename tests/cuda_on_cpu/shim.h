// SPDX-License-Identifier: Apache-2.0
// CUDA's device language for g++: a kernel file, unchanged, is compiled below this header (see launcher.py) and
// every CUDA thread runs as a fiber (runtime.cpp). Semantics follow the CUDA C++ Programming Guide, sections 7.3
// to 7.22 and 10; where the guide leaves a use undefined, the launch ends with an error that names the line.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__ __attribute__((visibility("default"), used))
#define __device__
#define __host__
#define __constant__
// Blocks run one after another, so a static variable is per block; the runtime poisons them at each block's start.
#define __shared__ static
// Not forced here: a kernel of unrolled rows takes 3 and 7 times (with sanitizers) as long to compile if it is.
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#if defined(CUDA_ON_CPU_SCAN)  // build.py reads them off the preprocessed text
#define __launch_bounds__(...) CUDA_ON_CPU_BOUNDS(__VA_ARGS__)
#else
#define __launch_bounds__(...)
#endif
#define __align__(n) __attribute__((aligned(n)))
#define CRYPSIS_CUDA_ON_CPU 1
#define CRYPSIS_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::cuda_on_cpu::dynamic_shared())

struct uint2 {
  unsigned x, y;
} __align__(8);
struct uint3 {
  unsigned x, y, z;
};
struct uint4 {
  unsigned x, y, z, w;
} __align__(16);
struct ulonglong2 {
  unsigned long long x, y;
} __align__(16);
struct dim3 {
  unsigned x, y, z;
};
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) {
  return {x, y};
}

// Set by the scheduler before a fiber goes on; opaque calls (barriers, shuffles) make the compiler read them again.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;

namespace cuda_on_cpu {

enum class Collective : std::uint8_t {
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kAny,
  kAll,
  kSyncWarp
};

struct Site {
  const char* file;
  int line;
};

// One lane's part in a warp collective: blocks until every live lane of the warp is at the same call site.
std::uint64_t warp_collective(Collective kind, unsigned mask, std::uint64_t value, unsigned operand,
                              int width, Site site);
void block_barrier(Site site);
[[noreturn]] void trap(Site site);
void* dynamic_shared();

template <class T>
T shuffle(Collective kind, unsigned mask, T value, unsigned operand, int width, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "CUDA shuffles 4 and 8 byte arithmetic types");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_collective(kind, mask, bits, operand, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class... A, std::size_t... I>
void invoke_at(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}
template <class... A>
void invoke(void (*kernel)(A...), void** arguments) {
  invoke_at(kernel, arguments, std::index_sequence_for<A...>{});
}

// "P8 C8 V4": pointer, pointer to const, value; with the size in bytes of the parameter.
template <class... A>
int signature(void (*)(A...), char* kinds, int* sizes, int capacity) {
  int count = 0;
  [[maybe_unused]] auto add = [&](char kind, std::size_t size) {
    if (count < capacity) kinds[count] = kind, sizes[count] = static_cast<int>(size);
    ++count;
  };
  (add(!std::is_pointer_v<A> ? 'V' : std::is_const_v<std::remove_pointer_t<A>> ? 'C' : 'P', sizeof(A)), ...);
  return count;
}

template <class T>
constexpr bool kAtomicType =
    std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

// One fiber runs at a time and is never interrupted: a plain read and write is atomic.
template <class T, class F>
T atomic(T* address, F next) {
  static_assert(kAtomicType<T>, "CUDA has this atomic for int, unsigned and unsigned long long");
#if defined(CUDA_ON_CPU_TSAN)  // atomic for TSan too, and ordering nothing else: as relaxed as CUDA's
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  __atomic_store_n(address, next(old), __ATOMIC_RELAXED);
#else
  T old = *address;
  *address = next(old);
#endif
  return old;
}

}  // namespace cuda_on_cpu

// The call site of a default argument is the caller's line.
#define CUDA_ON_CPU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CUDA_ON_CPU_SITE) {
  cuda_on_cpu::block_barrier({file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_ON_CPU_SITE) {
  cuda_on_cpu::warp_collective(cuda_on_cpu::Collective::kSyncWarp, mask, 0, 0, 32, {file, line});
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::shuffle(cuda_on_cpu::Collective::kShuffle, mask, value, static_cast<unsigned>(lane),
                              width, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::shuffle(cuda_on_cpu::Collective::kShuffleUp, mask, value, delta, width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::shuffle(cuda_on_cpu::Collective::kShuffleDown, mask, value, delta, width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::shuffle(cuda_on_cpu::Collective::kShuffleXor, mask, value,
                              static_cast<unsigned>(lane_mask), width, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return static_cast<unsigned>(cuda_on_cpu::warp_collective(cuda_on_cpu::Collective::kBallot, mask,
                                                            predicate != 0, 0, 32, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return static_cast<int>(
      cuda_on_cpu::warp_collective(cuda_on_cpu::Collective::kAny, mask, predicate != 0, 0, 32, {file, line}));
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return static_cast<int>(
      cuda_on_cpu::warp_collective(cuda_on_cpu::Collective::kAll, mask, predicate != 0, 0, 32, {file, line}));
}
[[noreturn]] inline void __trap(CUDA_ON_CPU_SITE) {
  cuda_on_cpu::trap({file, line});
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) {
    return static_cast<T>(static_cast<unsigned long long>(old) + static_cast<unsigned long long>(value));
  });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old > value ? old : value; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old < value ? old : value; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old | value; });
}
template <class T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old & value; });
}
template <class T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old ^ value; });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return cuda_on_cpu::atomic(address, [=](T old) { return old == compare ? value : old; });
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= ((x >> i) & 1u) << (31 - i);
  return reversed;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long bytes = (static_cast<unsigned long long>(y) << 32) | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = (selector >> (4 * i)) & 7u;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * pick)) & 0xffu;
    if ((selector >> (4 * i)) & 8u) byte = (byte & 0x80u) ? 0xffu : 0u;  // the sign of the byte, replicated
    result |= byte << (8 * i);
  }
  return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned>((both << (shift & 31u)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  const unsigned long long both = (static_cast<unsigned long long>(high) << 32) | low;
  return static_cast<unsigned>(both >> (shift & 31u));
}
inline unsigned min(unsigned a, unsigned b) {
  return a < b ? a : b;
}
inline unsigned max(unsigned a, unsigned b) {
  return a > b ? a : b;
}
inline int min(int a, int b) {
  return a < b ? a : b;
}
inline int max(int a, int b) {
  return a > b ? a : b;
}
inline unsigned long long min(unsigned long long a, unsigned long long b) {
  return a < b ? a : b;
}
inline unsigned long long max(unsigned long long a, unsigned long long b) {
  return a > b ? a : b;
}

// Appended by build.py for every kernel of the file; most: the threads of its __launch_bounds__, 0 without.
#define CUDA_ON_CPU_EXPORT(kernel, most)                                                               \
  extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_call_##kernel(void** arguments) { \
    cuda_on_cpu::invoke(&kernel, arguments);                                                           \
  }                                                                                                    \
  extern "C" __attribute__((visibility("default"))) int cuda_on_cpu_signature_##kernel(                \
      char* kinds, int* sizes, int capacity) {                                                         \
    return cuda_on_cpu::signature(&kernel, kinds, sizes, capacity);                                    \
  }                                                                                                    \
  extern "C" __attribute__((visibility("default"))) unsigned cuda_on_cpu_bounds_##kernel() {           \
    return static_cast<unsigned>(most);                                                                \
  }
