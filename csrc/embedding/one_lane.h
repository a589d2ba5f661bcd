// SPDX-License-Identifier: Apache-2.0
// One double at a time: the portable backend, and the smallest degrees of the others. Internal linkage.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace crypsis::embedding {
namespace {

struct OneLane {
  static constexpr std::size_t kLanes = 1;
  using Vector = double;
  using Words = std::uint64_t;

  [[gnu::always_inline]] static double load(const double* from) { return *from; }
  [[gnu::always_inline]] static void store(double* to, double a) { *to = a; }
  [[gnu::always_inline]] static double broadcast(double a) { return a; }
  [[gnu::always_inline]] static double add(double a, double b) { return a + b; }
  [[gnu::always_inline]] static double sub(double a, double b) { return a - b; }
  [[gnu::always_inline]] static double mul(double a, double b) { return a * b; }

  [[gnu::always_inline]] static void split(const double* from, double* re, double* im) {
    *re = from[0];
    *im = from[1];
  }
  [[gnu::always_inline]] static void join(double re, double im, double* to) {
    to[0] = re;
    to[1] = im;
  }
  [[gnu::always_inline]] static void store_rows(const double (&rows)[8], double* to,
                                                const std::uint32_t* block) {
    for (std::size_t b = 0; b < 8; ++b) to[8 * std::size_t{*block} + b] = rows[b];
  }
  [[gnu::always_inline]] static void load_rows(const double* from, const std::uint32_t* block,
                                               double (&rows)[8]) {
    for (std::size_t b = 0; b < 8; ++b) rows[b] = from[8 * std::size_t{*block} + b];
  }

  // llrint is one instruction of the conversion's default rounding: to nearest, ties to even.
  [[gnu::always_inline]] static Words nearest(double a) { return static_cast<Words>(std::llrint(a)); }
  [[gnu::always_inline]] static Words nearest_small(double a) { return nearest(a); }
  [[gnu::always_inline]] static Words broadcast_words(Words a) { return a; }
  [[gnu::always_inline]] static void store_words(Words* to, Words a) { *to = a; }
  [[gnu::always_inline]] static Words sub_words(Words a, Words b) { return a - b; }
  [[gnu::always_inline]] static Words mul_words(Words a, Words b) { return a * b; }
  [[gnu::always_inline]] static Words add_if_negative(Words a, Words b) { return a + (b & (0 - (a >> 63))); }
};

}  // namespace
}  // namespace crypsis::embedding
