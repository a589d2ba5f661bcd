// SPDX-License-Identifier: Apache-2.0
// Plain C++ for every CPU.
#include <cmath>

#include "embedding/passes.h"
#include "embedding/residues.h"

namespace crypsis::embedding {
namespace {

struct Lanes : OneLane {
  using Words = std::uint64_t;

  static void split(const double* from, double* re, double* im) {
    *re = from[0];
    *im = from[1];
  }
  static void join(double re, double im, double* to) {
    to[0] = re;
    to[1] = im;
  }
  static void store_rows(const double (&rows)[8], double* to, const std::uint32_t* block) {
    for (std::size_t b = 0; b < 8; ++b) to[8 * std::size_t{*block} + b] = rows[b];
  }
  static void load_rows(const double* from, const std::uint32_t* block, double (&rows)[8]) {
    for (std::size_t b = 0; b < 8; ++b) rows[b] = from[8 * std::size_t{*block} + b];
  }

  // llrint is one instruction of the conversion's default rounding: to nearest, ties to even.
  static Words nearest(double a) { return static_cast<Words>(std::llrint(a)); }
  static Words nearest_small(double a) { return nearest(a); }
  static Words broadcast_words(Words a) { return a; }
  static void store_words(Words* to, Words a) { *to = a; }
  static Words sub_words(Words a, Words b) { return a - b; }
  static Words mul_words(Words a, Words b) { return a * b; }
  static Words add_if_negative(Words a, Words b) { return a + (b & (0 - (a >> 63))); }
};

}  // namespace

const Impl portable = make_impl<Lanes>("portable", 0);

}  // namespace crypsis::embedding
