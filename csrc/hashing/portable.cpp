// SPDX-License-Identifier: Apache-2.0
// One message at a time in plain C++.
#include <algorithm>
#include <cstring>

#include "hashing/schedule.h"

namespace crypsis::hashing {
namespace {

struct OneState {
  std::uint32_t s[8];
};

template <class Derived>
struct OneLane {
  static constexpr std::size_t kLanes = 1;
  using State = OneState;
  static void start(State& state, const std::uint32_t initial[8]) { std::copy_n(initial, 8, state.s); }
  static void compress(State& state, const Step<1>& step) {
    std::uint8_t scratch[kBlockBytes];
    const std::uint8_t* const block = stage_block(step.data[0], step.take[0], step.pad[0], scratch);
    Derived::one_block(state.s, block, scratch, step);
  }
};

template <void (*kCompress)(std::uint32_t[8], const std::uint8_t[64]) noexcept>
struct BigEndianLane : OneLane<BigEndianLane<kCompress>> {
  // The last block is never a whole block of message, so its length words land in `scratch`.
  static void one_block(std::uint32_t s[8], const std::uint8_t* block, std::uint8_t* scratch,
                        const Step<1>& step) {
    if (block == scratch) {
      const std::uint64_t n_bits = (std::uint64_t{step.word_a[0]} << 32) | step.word_b[0];
      for (int i = 0; i < 8; ++i) scratch[56 + i] |= static_cast<std::uint8_t>(n_bits >> (56 - 8 * i));
    }
    kCompress(s, block);
  }
  static void finish(const OneState& state, std::uint8_t* out) {
    for (int i = 0; i < 32; ++i) out[i] = static_cast<std::uint8_t>(state.s[i / 4] >> (24 - 8 * (i % 4)));
  }
};

struct Blake3Lane : OneLane<Blake3Lane> {
  static void one_block(std::uint32_t s[8], const std::uint8_t* block, std::uint8_t*, const Step<1>& step) {
    scalar::blake3_compress(s, block, step.word_a[0], 0, step.word_b[0]);
  }
  static void finish(const OneState& state, std::uint8_t* out) {
    for (int i = 0; i < 32; ++i) out[i] = static_cast<std::uint8_t>(state.s[i / 4] >> (8 * (i % 4)));
  }
};

bool accepts(Algorithm) noexcept {
  return true;
}

void digest_one_by_one(const Job& job, std::size_t begin, std::size_t end, std::uint8_t* out) {
  switch (job.algorithm) {
    case Algorithm::kSha256:
      return run<BigEndianLane<scalar::sha256_compress>>(job, begin, end, out);
    case Algorithm::kSm3:
      return run<BigEndianLane<scalar::sm3_compress>>(job, begin, end, out);
    case Algorithm::kBlake3:
      return run<Blake3Lane>(job, begin, end, out);
  }
}

// Eight sums, each hidden from the compiler, which could else take several steps at once; four additions to each, so that
// counting the loop costs little.
std::size_t additions(std::size_t repeats) {
  std::uint32_t sums[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::uint32_t x = 9;
  __asm__("" : "+r"(x));
  for (std::size_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 4
    for (int turn = 0; turn < 4; ++turn) {
#pragma GCC unroll 8
      for (std::uint32_t& sum : sums) {
        sum += x;
        __asm__ volatile("" : "+r"(sum));
      }
    }
  }
  return repeats * 32;
}

}  // namespace

const Impl portable{{"portable", 0}, accepts, digest_one_by_one, additions};

}  // namespace crypsis::hashing
