// SPDX-License-Identifier: Apache-2.0
// Both transforms of one limb on 64-bit words, for any N: the portable backend, and the vector ones below their least N.
// Internal linkage.
//
// Both directions use one butterfly, (x, y) -> (x + y w, x - y w), with products in [0, 2p) [Har14]: forward is
// Cooley and Tukey's with psi merged into the roots; inverse is decimation in time on the bit-reversed input, and psi^-i
// and 1 / N come last as one product. So no butterfly multiplies a difference, whose range would have to be restored.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ntt/modular_portable.h"

namespace crypsis::ntt {
namespace {

// kReduce: x is brought from [0, 4p) to [0, 2p), results are in [0, 4p) < 2^62. Else x grows by 2p: from [0, B) to
// [0, B + 2p).
template <bool kReduce>
inline void butterfly(std::uint64_t& x, std::uint64_t& y, std::uint64_t w, std::uint64_t quotient,
                      std::uint64_t p) {
  const std::uint64_t u = kReduce ? reduce_once(x, 2 * p) : x;
  const std::uint64_t r = shoup_lazy(y, w, quotient, p);
  x = u + r;
  y = u - r + 2 * p;
}

template <bool kReduce>
void forward_stages(const PrimeTables& tables, std::uint64_t* data) {
  const std::uint64_t *const roots = tables.roots().forward, *const quotients = tables.quotients64().forward;
  const std::size_t n = tables.n;
  for (std::size_t m = 1, t = n / 2; m < n; m *= 2, t /= 2) {
    for (std::size_t i = 0; i < m; ++i) {
      std::uint64_t *const x = data + 2 * i * t, *const y = x + t;
      const std::uint64_t w = roots[m + i], quotient = quotients[m + i];
      for (std::size_t j = 0; j < t; ++j) butterfly<kReduce>(x[j], y[j], w, quotient, tables.p);
    }
  }
}

template <bool kReduce>
void inverse_stages(const PrimeTables& tables, std::uint64_t* data) {
  const std::uint64_t *const roots = tables.roots().inverse, *const quotients = tables.quotients64().inverse;
  const std::size_t n = tables.n;
  for (std::size_t i = 0; i < n; i += 2) {
    const std::uint64_t x = data[i], y = data[i + 1];
    data[i] = x + y;
    data[i + 1] = x - y + tables.p;
  }
  for (std::size_t t = 2; t < n; t *= 2) {
    for (std::size_t i = 0; i < n; i += 2 * t) {
      for (std::size_t j = 0; j < t; ++j) {
        butterfly<kReduce>(data[i + j], data[i + t + j], roots[t + j], quotients[t + j], tables.p);
      }
    }
  }
}

// From [0, p), log_n stages that add 2p each stay below 2^64: no stage reduces.
inline bool never_reduces(const PrimeTables& tables) {
  return tables.p < (~std::uint64_t{0}) / static_cast<std::uint64_t>(2 * tables.log_n + 1);
}

inline void forward_portable(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out) {
  if (out != in) {
    for (std::size_t i = 0; i < tables.n; ++i) out[i] = in[i];
  }
  never_reduces(tables) ? forward_stages<false>(tables, out) : forward_stages<true>(tables, out);
  for (std::size_t i = 0; i < tables.n; ++i) out[i] = reduce_word(out[i], tables);
}

inline void inverse_portable(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out) {
  if (out != in) {
    for (std::size_t i = 0; i < tables.n; ++i) out[i] = in[i];
  }
  never_reduces(tables) ? inverse_stages<false>(tables, out) : inverse_stages<true>(tables, out);
  const std::uint64_t *const roots = tables.roots().untwist, *const quotients = tables.quotients64().untwist;
  for (std::size_t i = 0; i < tables.n; ++i) out[i] = shoup(out[i], roots[i], quotients[i], tables.p);
}

}  // namespace
}  // namespace crypsis::ntt
