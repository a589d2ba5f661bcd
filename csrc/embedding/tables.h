// SPDX-License-Identifier: Apache-2.0
// Twiddle factors of one ring degree, and the order of the passes that use them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace crypsis::embedding {

// Doubles on a cache line's boundary.
struct AlignedDelete {
  void operator()(double* memory) const noexcept { ::operator delete[](memory, std::align_val_t{64}); }
};
using AlignedDoubles = std::unique_ptr<double[], AlignedDelete>;
inline AlignedDoubles aligned_doubles(std::size_t n) {
  return AlignedDoubles(static_cast<double*>(::operator new[](n * sizeof(double), std::align_val_t{64})));
}

// A stage of length L = 2 h joins pairs of blocks of h values: for j < h, with w = exp(2 pi i 5^j / 8 h),
// (x, y) -> (x + w y, x - w y). A pass of radix 4 does the stages of length 2 h and 4 h at once; with
// u = exp(2 pi i 5^j / 16 h) its twiddles are u, u^2 = w and u^3.
struct Pass {
  int radix;               // 2 or 4
  std::size_t h;           // half the length of its first stage
  const double* twiddles;  // rows of h: re and im of w; or of u, u^2 and u^3
  std::size_t length() const { return h * static_cast<std::size_t>(radix); }  // of the blocks it leaves whole
};

// n = N / 2 is the number of slots. From kFirstSlots slots on the first three stages, lengths 2, 4 and 8, are a pass
// of radix 8 that also does the bit reversal, with the twiddles in `first`. Below, all are of radix 2.
inline constexpr std::size_t kFirstSlots = 64;

struct Tables {
  int log_slots;
  std::size_t n;
  double first[7][2];  // re, im: stage 2; stage 4, j = 0, 1; stage 8, j = 0 to 3
  std::vector<std::uint32_t>
      reversed;              // n / 8 entries: bits of the index reversed (n entries below kFirstSlots)
  std::vector<Pass> passes;  // from the shortest on
  AlignedDoubles twiddles;
};

// Built at the first call for each degree and kept; thread-safe. Every entry is exp(2 pi i k / 2^m) rounded to nearest.
const Tables& tables(int log_n);

}  // namespace crypsis::embedding
