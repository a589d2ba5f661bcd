// SPDX-License-Identifier: Apache-2.0
// The LPN part of what a backend of the vole slug provides (impl.h), filled in from the templates by each ISA file.
#pragma once
#include <cstddef>
#include <cstdint>

#include "aes/key_schedule.h"
#include "vole/lpn.h"

namespace crypsis::vole {

// Arguments as in lpn.h, checked.
struct LpnKernels {
  void (*expand_half)(const aes::KeySchedule& key, const std::uint8_t* seed, const std::uint8_t* delta,
                      unsigned depth, std::uint8_t* leaves, std::uint8_t* sums);
  void (*reconstruct_half)(const aes::KeySchedule& key, const std::uint8_t* known, std::uint64_t position,
                           unsigned depth, std::uint8_t* leaves);
  void (*clear_low_bits)(std::uint8_t* leaves, std::size_t n);
  void (*place)(std::uint8_t* leaves, std::size_t n, std::uint64_t position);
  void (*indicate)(std::uint8_t* out, std::size_t n, std::uint64_t position, const std::uint8_t* value);
  void (*primal)(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                 const std::uint8_t* table, unsigned log_table, std::uint8_t* out, std::uint8_t* bits);
  void (*positions)(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                    unsigned log_table, std::uint32_t* out);
  std::size_t (*measure)(const aes::KeySchedule& key, const std::uint8_t* table, unsigned log_table,
                         std::size_t n_rows, std::size_t repeats);
  // Both convolutions of vector[0, n) in place; n is a power of two of at least 2^kMinLogCode. Elements of GF(2^128), pairs
  // of GF(2^64), elements of GF(2^64).
  using Convolute = void (*)(const aes::KeySchedule (&keys)[2], std::uint8_t* vector, std::size_t n);
  Convolute convolute, convolute_pairs, convolute_singles;
  // The same of two vectors over GF(2^128), or nullptr where that is slower than one after the other.
  using ConvoluteTwo = void (*)(const aes::KeySchedule (&keys)[2], std::uint8_t* first, std::uint8_t* second,
                                std::size_t n);
  ConvoluteTwo convolute_two;
  // Rows [first_row, first_row + n_rows), first_row a multiple of four; out[0] is the first of them. Elements of 16
  // bytes, and of 8.
  using Expand = void (*)(const aes::KeySchedule& key, std::size_t weight, std::size_t first_row,
                          std::size_t n_rows, const std::uint8_t* table, unsigned log_code,
                          std::uint8_t* out);
  Expand expand, expand_singles;
};

}  // namespace crypsis::vole
