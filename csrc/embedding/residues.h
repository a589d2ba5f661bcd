// SPDX-License-Identifier: Apache-2.0
// Doubles to residues, and the measure of the largest. Internal linkage.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "embedding/impl.h"
#include "embedding/one_lane.h"

namespace crypsis::embedding {
namespace {

// x - q p with q the integer nearest to x (1 / p) in doubles: |x| < 2^61 and p > 2^20, so q has less than 42 bits, its
// error from rounding is below 2^-9 and the remainder lies in (-0.6 p, 0.6 p). The products wrap around
// 2^64, their difference does not.
template <class L>
void residues(const double* x, std::size_t n, const Modulus& modulus, std::uint64_t* out) {
  if (n < L::kLanes) return residues<OneLane>(x, n, modulus, out);  // N = 4
  const typename L::Vector inverse = L::broadcast(modulus.inverse);
  const typename L::Words p = L::broadcast_words(modulus.p);
  for (std::size_t i = 0; i < n; i += L::kLanes) {
    const typename L::Vector value = L::load(x + i);
    const typename L::Words quotient = L::nearest_small(L::mul(value, inverse));
    const typename L::Words rest = L::sub_words(L::nearest(value), L::mul_words(quotient, p));
    L::store_words(out + i, L::add_if_negative(rest, p));
  }
}

// The order of doubles without their signs is that of their bits.
inline std::uint64_t largest(const double* x, std::size_t n) {
  // Chains side by side, or each comparison would wait for the one before it.
  constexpr std::size_t kChains = 32;
  std::int64_t most[kChains] = {};
  const auto take = [&](std::size_t i, std::size_t chain) {
    std::int64_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    bits &= INT64_MAX;
    most[chain] = bits > most[chain] ? bits : most[chain];
  };
  std::size_t i = 0;
  for (; i + kChains <= n; i += kChains) {
    for (std::size_t chain = 0; chain < kChains; ++chain) take(i + chain, chain);
  }
  for (; i < n; ++i) take(i, 0);
  return static_cast<std::uint64_t>(*std::max_element(most, most + kChains));
}

template <class L>
constexpr Impl make_impl(std::string_view name, FeatureSet needs) {
  return {{name, needs}, to_coefficients<L>, to_slots<L>, residues<L>, largest};
}

}  // namespace
}  // namespace crypsis::embedding
