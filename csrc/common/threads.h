// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <functional>

namespace crypsis {

// Threads for `threads <= 0`: CRYPSIS_NUM_THREADS if it is a positive number, else the CPUs this process may
// use.
int resolve_threads(int threads);

// Calls body(begin, end) over [0, n) in contiguous pieces, each a multiple of `grain` items but the last, on
// at most `threads` threads (resolved as above); the caller's thread takes one. The first exception is
// rethrown after all ended.
void parallel_for(std::size_t n, std::size_t grain, int threads,
                  const std::function<void(std::size_t begin, std::size_t end)>& body);

}  // namespace crypsis
