// SPDX-License-Identifier: Apache-2.0
// The scheduler of the shim: runs the blocks of a grid one after another, each CUDA thread as a fiber that goes as
// far as it can (to a barrier, a warp collective or its end). Lanes and warps take turns in order, or in reverse.
// Running far is what makes a missing barrier visible: in one of the two orders the reader comes before the writer.
#include <cstdarg>
#include <deque>
#include <vector>

#include "fiber.h"
#include "tsan.h"
// Behind the standard library, whose attributes its macros would break.
#include "shim.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

// The kernel's static __shared__ variables: launcher.py renames .bss of the kernel's object file to this section.
extern "C" {
extern unsigned char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
}

namespace cuda_on_cpu {
namespace {

constexpr unsigned kLanes = 32;
constexpr unsigned kFullMask = 0xffffffffu;
constexpr std::uint64_t kMaxSharedBytes = 227 * 1024;  // of a block, sm_90
constexpr unsigned char kPoison = 0xa5;

enum class State : std::uint8_t { kReady, kAtCollective, kAtBarrier, kDone };

struct Thread {
  Context context;
  uint3 index;
  unsigned position;  // in the order of turns; warps are runs of positions
  unsigned lane;
  unsigned warp;  // in the order of turns
  State state;
  Collective kind;
  int width;
  unsigned operand;
  Site site;
  std::uint64_t value;
  std::uint64_t result;
  unsigned n_warp_syncs;
  unsigned n_block_syncs;
};

struct Warp {
  unsigned first, last;  // positions, half open
  Thread* lanes[kLanes];
};

struct Launch {
  void (*call)(void**);
  const char* name;
  void** arguments;
  bool reversed;
  char* message;
  std::size_t message_bytes;
};

Launch launch;
Context host;
bool failed;
Thread* current;
std::vector<Thread> threads;  // by position
std::vector<Warp> warps;      // by order of turns
std::deque<Stack> stacks;     // reused by every launch
std::uint64_t switches;
void* dynamic_memory;

const char* name_of(Collective kind) {
  switch (kind) {
    case Collective::kShuffle:
      return "__shfl_sync";
    case Collective::kShuffleUp:
      return "__shfl_up_sync";
    case Collective::kShuffleDown:
      return "__shfl_down_sync";
    case Collective::kShuffleXor:
      return "__shfl_xor_sync";
    case Collective::kBallot:
      return "__ballot_sync";
    case Collective::kAny:
      return "__any_sync";
    case Collective::kAll:
      return "__all_sync";
    case Collective::kSyncWarp:
      return "__syncwarp";
  }
  return "?";
}

// Ends the launch: back to the host, with the fibers left where they are.
[[noreturn]] __attribute__((format(printf, 3, 4))) void fail(const Thread& thread, Site site,
                                                             const char* format, ...) {
  char what[512];
  va_list list;
  va_start(list, format);
  std::vsnprintf(what, sizeof what, format, list);
  va_end(list);
  std::snprintf(launch.message, launch.message_bytes,
                "%s:%d: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s", site.file, site.line,
                launch.name, blockIdx.x, blockIdx.y, blockIdx.z, thread.index.x, thread.index.y,
                thread.index.z, what);
  failed = true;
  tsan::thread_stops();
  host.resume(current->context, true);
  std::abort();
}

bool same(Site a, Site b) {
  return a.line == b.line && std::strcmp(a.file, b.file) == 0;
}

const char* where(const Thread& thread) {
  static char text[256];
  if (thread.state == State::kDone) {
    std::snprintf(text, sizeof text, "has exited");
  } else {
    std::snprintf(text, sizeof text, "waits at %s of %s:%d",
                  thread.state == State::kAtBarrier ? "__syncthreads" : name_of(thread.kind),
                  thread.site.file, thread.site.line);
  }
  return text;
}

[[noreturn]] void fail_divergent(const Thread& thread, const char* name, const Thread& other) {
  fail(thread, thread.site, "%s is not reached by all: thread (%u, %u, %u) %s", name, other.index.x,
       other.index.y, other.index.z, where(other));
}

// The lane that `thread` reads, or its own where CUDA says so [CUDA C++ Programming Guide, 10.22].
unsigned source_lane(const Thread& thread) {
  const unsigned width = static_cast<unsigned>(thread.width);
  const unsigned base = thread.lane & ~(width - 1);
  switch (thread.kind) {
    case Collective::kShuffle:
      return base + (thread.operand & (width - 1));
    case Collective::kShuffleUp:
      return thread.lane - base < thread.operand ? thread.lane : thread.lane - thread.operand;
    case Collective::kShuffleDown:
      return thread.operand >= base + width - thread.lane ? thread.lane : thread.lane + thread.operand;
    default:
      return thread.lane ^ thread.operand;
  }
}

std::uint64_t shuffled(const Warp& warp, const Thread& thread) {
  const unsigned from = source_lane(thread);
  if (thread.kind == Collective::kShuffleXor && thread.operand >= static_cast<unsigned>(thread.width)) {
    fail(thread, thread.site, "%s: lane mask %u leaves the group of %d lanes", name_of(thread.kind),
         thread.operand, thread.width);
  }
  const Thread* source = warp.lanes[from];
  if (source == nullptr || source->state == State::kDone) {
    fail(thread, thread.site, "%s reads lane %u, which %s", name_of(thread.kind), from,
         source == nullptr ? "does not exist: the block has fewer threads" : "has exited");
  }
  return source->value;
}

// Every live lane waits: checks that they wait for the same thing and gives each its answer.
void resolve(Warp& warp, const Thread& leader) {
  unsigned ballot = 0;
  unsigned live = 0;
  for (const Thread* thread : warp.lanes) {
    if (thread == nullptr || thread->state == State::kDone) continue;
    if (thread->state != State::kAtCollective || thread->kind != leader.kind ||
        !same(thread->site, leader.site)) {
      fail_divergent(leader, name_of(leader.kind), *thread);
    }
    if (thread->width != leader.width) {
      fail(*thread, thread->site, "%s: width %d here and %d in lane %u", name_of(leader.kind), thread->width,
           leader.width, leader.lane);
    }
    live |= 1u << thread->lane;
    ballot |= static_cast<unsigned>(thread->value != 0) << thread->lane;
  }
  for (Thread* thread : warp.lanes) {
    if (thread == nullptr || thread->state == State::kDone) continue;
    switch (leader.kind) {
      case Collective::kBallot:
        thread->result = ballot;
        break;
      case Collective::kAny:
        thread->result = ballot != 0;
        break;
      case Collective::kAll:
        thread->result = ballot == live;
        break;
      case Collective::kSyncWarp:
        break;
      default:
        thread->result = shuffled(warp, *thread);
    }
  }
  for (Thread* thread : warp.lanes) {
    if (thread != nullptr && thread->state == State::kAtCollective) thread->state = State::kReady;
  }
}

Thread* first_ready(unsigned from, unsigned to) {
  for (unsigned p = from; p < to; ++p) {
    if (threads[p].state == State::kReady) return &threads[p];
  }
  return nullptr;
}

// All threads wait at __syncthreads or are done: lets them go on, or says who is missing.
void release_block() {
  const Thread* waiting = nullptr;
  for (const Thread& thread : threads) {
    if (thread.state == State::kAtBarrier && waiting == nullptr) waiting = &thread;
  }
  if (waiting == nullptr) return;
  for (const Thread& thread : threads) {
    if (thread.state == State::kDone || !same(thread.site, waiting->site)) {
      fail_divergent(*waiting, "__syncthreads", thread);
    }
  }
  for (Thread& thread : threads) thread.state = State::kReady;
}

// Whose turn it is after `thread` stopped; null when the block is finished.
Thread* next_after(const Thread& thread) {
  Warp* warp = &warps[thread.warp];
  if (Thread* next = first_ready(thread.position + 1, warp->last)) return next;
  for (const Thread* lane : warp->lanes) {
    if (lane != nullptr && lane->state == State::kAtCollective) {
      resolve(*warp, *lane);
      return first_ready(warp->first, warp->last);
    }
  }
  if (Thread* next = first_ready(warp->last, static_cast<unsigned>(threads.size()))) return next;
  release_block();
  return first_ready(0, static_cast<unsigned>(threads.size()));
}

void stop_here(State state) {
  Thread& self = *current;
  self.state = state;
  tsan::thread_stops();
  Thread* next = next_after(self);
  if (next == &self) return;
  ++switches;
  if (next == nullptr) {
    host.resume(self.context, true);
  } else {
    current = next;
    threadIdx = next->index;
    next->context.resume(self.context, state == State::kDone);
  }
}

void thread_main() {
  current->context.arrived();
  launch.call(launch.arguments);
  stop_here(State::kDone);
  std::abort();
}

#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address", "undefined")))
#endif
void poison(unsigned char* begin, const unsigned char* end) {
  // volatile: neither a call of memset, which ASan watches, nor a vector loop is wanted here
  for (volatile unsigned char* byte = begin; byte != end; ++byte) *byte = kPoison;
}

void prepare_block() {
  const unsigned count = blockDim.x * blockDim.y * blockDim.z;
  const unsigned n_warps = (count + kLanes - 1) / kLanes;
  while (stacks.size() < count) stacks.emplace_back();
  threads.resize(count);
  warps.assign(n_warps, Warp{});
  unsigned position = 0;
  for (unsigned turn = 0; turn < n_warps; ++turn) {
    const unsigned warp = launch.reversed ? n_warps - 1 - turn : turn;
    const unsigned begin = warp * kLanes;
    const unsigned size = count - begin < kLanes ? count - begin : kLanes;
    warps[turn].first = position;
    for (unsigned i = 0; i < size; ++i) {
      const unsigned lane = launch.reversed ? size - 1 - i : i;
      const unsigned linear = begin + lane;
      Thread& thread = threads[position];
      thread = Thread{};
      thread.index = {linear % blockDim.x, linear / blockDim.x % blockDim.y,
                      linear / blockDim.x / blockDim.y};
      thread.position = position;
      thread.lane = lane;
      thread.warp = turn;
      thread.context.start(stacks[position], &thread_main);
      warps[turn].lanes[lane] = &thread;
      ++position;
    }
    warps[turn].last = position;
  }
}

void run_block() {
  tsan::block_begins(__start_cuda_shared, __stop_cuda_shared);
  prepare_block();
  poison(__start_cuda_shared, __stop_cuda_shared);
  current = &threads[0];
  threadIdx = current->index;
  current->context.entered_from(host);
  ++switches;
  current->context.resume(host);
#if CUDA_ON_CPU_TSAN
  for (Thread& thread : threads) thread.context.forget();
  stacks.clear();  // the next block's fibers would race with this one's for them
#endif
}

}  // namespace

std::uint64_t warp_collective(Collective kind, unsigned mask, std::uint64_t value, unsigned operand,
                              int width, Site site) {
  Thread& self = *current;
  if (mask != kFullMask) {
    fail(self, site, "%s: mask 0x%08x, and only 0xffffffff is allowed here", name_of(kind), mask);
  }
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fail(self, site, "%s: width %d is not a power of two from 1 to 32", name_of(kind), width);
  }
  self.kind = kind;
  self.value = value;
  self.operand = operand;
  self.width = width;
  self.site = site;
  if (kind == Collective::kSyncWarp) {
    const tsan::Meeting meeting(self.warp, self.n_warp_syncs++);
    stop_here(State::kAtCollective);
  } else {
    stop_here(State::kAtCollective);
  }
  return self.result;
}

void block_barrier(Site site) {
  current->site = site;
  const tsan::Meeting meeting(tsan::kBlock, current->n_block_syncs++);
  stop_here(State::kAtBarrier);
}

void trap(Site site) {
  fail(*current, site, "__trap()");
}

void* dynamic_shared() {
  return dynamic_memory;
}

}  // namespace cuda_on_cpu

using namespace cuda_on_cpu;

// 0, or 1 with the reason in `message`. Not re-entrant: the caller holds a lock.
extern "C" __attribute__((visibility("default"))) int cuda_on_cpu_launch(
    void (*call)(void**), const char* name, void** arguments, const unsigned* grid, const unsigned* block,
    std::uint64_t shared_bytes, int reversed, char* message, std::uint64_t message_bytes) {
  launch = {call, name, arguments, reversed != 0, message, static_cast<std::size_t>(message_bytes)};
  [[maybe_unused]] const auto static_bytes =
      static_cast<std::uint64_t>(__stop_cuda_shared - __start_cuda_shared);
#if !defined(__SANITIZE_ADDRESS__)  // red zones count there
  if (static_bytes + shared_bytes > kMaxSharedBytes) {
    std::snprintf(
        message, launch.message_bytes, "kernel %s: %llu + %llu bytes of shared memory, at most %llu", name,
        static_cast<unsigned long long>(static_bytes), static_cast<unsigned long long>(shared_bytes),
        static_cast<unsigned long long>(kMaxSharedBytes));
    return 1;
  }
#endif
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  failed = false;
  const std::uint64_t blocks = static_cast<std::uint64_t>(grid[0]) * grid[1] * grid[2];
  for (std::uint64_t turn = 0; turn < blocks && !failed; ++turn) {
    const std::uint64_t linear = reversed ? blocks - 1 - turn : turn;
    blockIdx = {static_cast<unsigned>(linear % grid[0]), static_cast<unsigned>(linear / grid[0] % grid[1]),
                static_cast<unsigned>(linear / grid[0] / grid[1])};
    // Exactly the size asked for, so that ASan sees the first byte beyond it.
    auto* memory = tsan::allocate_shared(shared_bytes);
    poison(memory, memory + shared_bytes);
    dynamic_memory = memory;
    run_block();
    tsan::free_shared(memory, shared_bytes);
  }
  tsan::launch_ends();
  return failed ? 1 : 0;
}

extern "C" __attribute__((visibility("default"))) std::uint64_t cuda_on_cpu_switches() {
  return switches;
}
