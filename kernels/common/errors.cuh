// SPDX-License-Identifier: Apache-2.0
// How a kernel reports bad data: one 64-bit word in device memory, set to kNoError before the launch. It ends as
// the lowest failing row with its code, whatever the order of the threads, so the host raises what the CPU raises.
#pragma once

#include "common/types.cuh"

constexpr u64 kNoError = ~0ull;

// The host's exceptions stand in bindings/crypsis/cuda: keep the numbers.
enum ErrorCode : u32 {
  kErrorOutOfRange = 1,         // a value is not below its modulus or bound
  kErrorNotInvertible = 2,      // no inverse modulo the modulus
  kErrorInvalidPoint = 3,       // not on the curve, or of small order
  kErrorInvalidCiphertext = 4,  // not a unit, or of the wrong form
  kErrorCorruptData = 5,        // offsets that decrease or leave the buffer, tags that differ
};

// word = min(word, row * 256 + code): the first bad row wins, and in it the lowest code. row < 2^56.
__device__ __forceinline__ void raise_error(u64* word, ErrorCode code, u64 row) {
  atomicMin(word, (row << 8) | code);
}
