// SPDX-License-Identifier: Apache-2.0
#include "common/threads.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/text.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace crypsis {
namespace {

int usable_cpus() noexcept {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int resolve_threads(int threads) {
  if (threads > 0) return threads;
  if (const char* text = std::getenv("CRYPSIS_NUM_THREADS"); text != nullptr && *text != '\0') {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > 4096) {
      throw std::invalid_argument("CRYPSIS_NUM_THREADS is " + quoted(text) +
                                  ": set it to a whole number from 1 to 4096, or unset it");
    }
    return static_cast<int>(value);
  }
  return usable_cpus();
}

void parallel_for(std::size_t n, std::size_t grain, int threads,
                  const std::function<void(std::size_t begin, std::size_t end)>& body) {
  const int resolved = resolve_threads(threads);
  if (n == 0) return;
  grain = std::max<std::size_t>(grain, 1);
  const std::size_t n_grains = (n + grain - 1) / grain;
  const std::size_t team = std::min<std::size_t>(n_grains, static_cast<std::size_t>(resolved));
  if (team == 1) {
    body(0, n);
    return;
  }
  // Several pieces a thread, taken as threads become free: a core that is shared with another job does not
  // hold all.
  const std::size_t piece = std::max<std::size_t>(1, n_grains / (team * 4)) * grain;
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_lock;
  auto work = [&] {
    for (;;) {
      const std::size_t begin = next.fetch_add(piece, std::memory_order_relaxed);
      if (begin >= n) return;
      try {
        body(begin, std::min(n, begin + piece));
      } catch (...) {
        const std::lock_guard<std::mutex> hold(failure_lock);
        if (!failure) failure = std::current_exception();
        next.store(n, std::memory_order_relaxed);
      }
    }
  };
  std::vector<std::thread> others;
  others.reserve(team - 1);
  try {
    for (std::size_t i = 1; i < team; ++i) others.emplace_back(work);
  } catch (const std::system_error&) {
    // The system gives no more threads: those there are, this one at least, take all pieces.
  }
  work();
  for (auto& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace crypsis
