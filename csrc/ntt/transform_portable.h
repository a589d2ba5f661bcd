// SPDX-License-Identifier: Apache-2.0
// Both transforms of one limb on 64-bit words, for any N: the portable backend, and the vector ones below their least N.
// Internal linkage.
//
// Both directions use one butterfly, (x, y) -> (x + y w, x - y w), with products in [0, 2p) [Har14]: forward is
// Cooley and Tukey's with psi merged into the roots; inverse is decimation in time on the bit-reversed input, and psi^-i
// and 1 / N come last as one product. So no butterfly multiplies a difference, whose range would have to be restored.
// Passes of two stages: products and memory take turns less often (NOTES.md).
#pragma once
#include <cstddef>
#include <cstdint>

#include "ntt/modular_portable.h"

namespace crypsis::ntt {
namespace {

// kReduce: x is brought from [0, 4p) to [0, 2p), results are in [0, 4p) < 2^62. Else x grows by 2p: from [0, B) to
// [0, B + 2p).
template <bool kReduce>
class TransformPortable {
 public:
  explicit TransformPortable(const PrimeTables& tables)
      : tables_(tables), p_(tables.p), roots_(tables.roots()), quotients_(tables.quotients64()) {}

  void forward(const std::uint64_t* in, std::uint64_t* out) const {
    forward_pass(1, in, out, tables_.log_n);
    std::size_t n_parts = 4;  // the nodes of the tree of halvings that are left, each of 2^log_n elements
    int log_n = tables_.log_n - 2;
    for (; log_n >= 2; log_n -= 2, n_parts *= 4) {
      for (std::size_t i = 0; i < n_parts; ++i) {
        forward_pass(n_parts + i, out + (i << log_n), out + (i << log_n), log_n);
      }
    }
    if (log_n == 1) {
      for (std::size_t i = 0; i < n_parts; ++i)
        butterfly(out[2 * i], out[2 * i + 1], forward_at(n_parts + i));
    }
    for (std::size_t i = 0; i < tables_.n; ++i) out[i] = reduce_word(out[i], tables_);
  }

  void inverse(const std::uint64_t* in, std::uint64_t* out) const {
    const std::size_t n = tables_.n;
    for (std::size_t i = 0; i < n; i += 4) {  // the first stage has no roots
      std::uint64_t x[4] = {in[i] + in[i + 1], in[i] - in[i + 1] + p_, in[i + 2] + in[i + 3],
                            in[i + 2] - in[i + 3] + p_};
      butterfly(x[0], x[2], inverse_at(2));
      butterfly(x[1], x[3], inverse_at(3));
      for (std::size_t k = 0; k < 4; ++k) out[i + k] = x[k];
    }
    std::size_t t = 4;
    if (tables_.log_n % 2 != 0) {
      for (std::size_t i = 0; i < n; i += 8) {
        for (std::size_t j = 0; j < 4; ++j) butterfly(out[i + j], out[i + j + 4], inverse_at(4 + j));
      }
      t = 8;
    }
    for (; t < n; t *= 4) {
      for (std::size_t i = 0; i < n; i += 4 * t) inverse_pass(t, out + i);
    }
    for (std::size_t i = 0; i < n; ++i) {
      out[i] = shoup(out[i], roots_.untwist[i], quotients_.untwist[i], p_);
    }
  }

 private:
  struct Factor {
    std::uint64_t w, quotient;
  };
  Factor forward_at(std::size_t i) const { return {roots_.forward[i], quotients_.forward[i]}; }
  Factor inverse_at(std::size_t i) const { return {roots_.inverse[i], quotients_.inverse[i]}; }

  void butterfly(std::uint64_t& x, std::uint64_t& y, Factor f) const {
    const std::uint64_t u = kReduce ? reduce_once(x, 2 * p_) : x;
    const std::uint64_t r = shoup_lazy(y, f.w, f.quotient, p_);
    x = u + r;
    y = u - r + 2 * p_;
  }

  // The first two stages of node `node`, which has 2^log_n elements.
  void forward_pass(std::size_t node, const std::uint64_t* in, std::uint64_t* out, int log_n) const {
    const std::size_t t = std::size_t{1} << (log_n - 2);
    const Factor f0 = forward_at(node), f1 = forward_at(2 * node), f2 = forward_at(2 * node + 1);
    for (std::size_t j = 0; j < t; ++j) {
      std::uint64_t x[4] = {in[j], in[t + j], in[2 * t + j], in[3 * t + j]};
      butterfly(x[0], x[2], f0);
      butterfly(x[1], x[3], f0);
      butterfly(x[0], x[1], f1);
      butterfly(x[2], x[3], f2);
      for (std::size_t k = 0; k < 4; ++k) out[k * t + j] = x[k];
    }
  }

  // The stages t and 2t of data[0, 4t).
  void inverse_pass(std::size_t t, std::uint64_t* data) const {
    for (std::size_t j = 0; j < t; ++j) {
      std::uint64_t x[4] = {data[j], data[t + j], data[2 * t + j], data[3 * t + j]};
      const Factor f = inverse_at(t + j);
      butterfly(x[0], x[1], f);
      butterfly(x[2], x[3], f);
      butterfly(x[0], x[2], inverse_at(2 * t + j));
      butterfly(x[1], x[3], inverse_at(3 * t + j));
      for (std::size_t k = 0; k < 4; ++k) data[k * t + j] = x[k];
    }
  }

  const PrimeTables& tables_;
  std::uint64_t p_;
  Twiddles roots_, quotients_;
};

// From [0, p), log_n stages that add 2p each stay below 2^64: no stage reduces.
inline bool never_reduces(const PrimeTables& tables) {
  return tables.p < (~std::uint64_t{0}) / static_cast<std::uint64_t>(2 * tables.log_n + 1);
}

inline void forward_portable(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out) {
  if (never_reduces(tables)) return TransformPortable<false>(tables).forward(in, out);
  TransformPortable<true>(tables).forward(in, out);
}

inline void inverse_portable(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out) {
  if (never_reduces(tables)) return TransformPortable<false>(tables).inverse(in, out);
  TransformPortable<true>(tables).inverse(in, out);
}

}  // namespace
}  // namespace crypsis::ntt
