// SPDX-License-Identifier: Apache-2.0
// Batches over GF(2^128) and GF(2^64), written once over Gf128Vpclmul, Gf128Pclmul or Gf128Portable. Internal
// linkage.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/wipe.h"

namespace crypsis::bitmatrix {
namespace {

// The first n_bytes of a vector's worth of elements, zeros after them.
template <class G>
struct Padded {
  alignas(64) std::uint8_t bytes[16 * G::kLanes] = {};
  Padded(const std::uint8_t* from, std::size_t n_bytes) { std::memcpy(bytes, from, n_bytes); }
};

// out[at, at + 16 kLanes) = product, plus what is there in `summand` unless that is nullptr. `summand` may be `out`.
template <class G>
[[gnu::always_inline]] inline void put_sum(typename G::Vector product, const std::uint8_t* summand,
                                           std::size_t at, std::uint8_t* out) {
  G::store(out + at, summand == nullptr ? product : G::add(product, G::load(summand + at)));
}
template <class G>
[[gnu::always_inline]] inline void put_last_sum(typename G::Vector product, const std::uint8_t* summand,
                                                std::size_t at, std::size_t n_bytes, std::uint8_t* out) {
  Padded<G> sum(summand == nullptr ? out : summand + at, summand == nullptr ? 0 : n_bytes);
  const WipeGuard wipe(sum);
  put_sum<G>(product, sum.bytes, 0, sum.bytes);
  std::memcpy(out + at, sum.bytes, n_bytes);
}

template <class G>
void gf128_multiply(const std::uint8_t* a, const std::uint8_t* b, std::size_t b_step,
                    const std::uint8_t* summand, std::size_t n, std::uint8_t* out) {
  constexpr std::size_t kBytes = 16 * G::kLanes;
  const std::size_t n_bytes = 16 * n, whole = n_bytes - n_bytes % kBytes, rest = n_bytes - whole;
  if (b_step == 0) {
    const typename G::Vector factor = G::broadcast(b);
    for (std::size_t at = 0; at < whole; at += kBytes) {
      put_sum<G>(G::mul(G::load(a + at), factor), summand, at, out);
    }
  } else {
    for (std::size_t at = 0; at < whole; at += kBytes) {
      put_sum<G>(G::mul(G::load(a + at), G::load(b + at)), summand, at, out);
    }
  }
  if (rest == 0) return;
  Padded<G> last(a + whole, rest);
  const WipeGuard wipe(last);
  Padded<G> factors(b_step == 0 ? b : b + whole, b_step == 0 ? 16 : rest);
  const WipeGuard wipe_factors(factors);
  const typename G::Vector factor = b_step == 0 ? G::broadcast(b) : G::load(factors.bytes);
  put_last_sum<G>(G::mul(G::load(last.bytes), factor), summand, whole, rest, out);
}

// Each element of GF(2^64) times the two of `pair`.
template <class G>
void gf64_multiply(const std::uint8_t* a, const std::uint8_t* pair, const std::uint8_t* summand,
                   std::size_t n, std::uint8_t* out) {
  constexpr std::size_t kBytes = 16 * G::kLanes;
  const std::size_t n_bytes = 16 * n, whole = n_bytes - n_bytes % kBytes, rest = n_bytes - whole;
  const typename G::Vector factors = G::broadcast(pair);
  for (std::size_t at = 0; at < whole; at += kBytes) {
    put_sum<G>(G::mul64(G::load_low(a + at / 2), factors), summand, at, out);
  }
  if (rest == 0) return;
  Padded<G> last(a + whole / 2, rest / 2);
  const WipeGuard wipe(last);
  put_last_sum<G>(G::mul64(G::load_low(last.bytes), factors), summand, whole, rest, out);
}

// Calls add(a vector, b vector) over both arrays of n_bytes, zeros after the end.
template <class G, class Add>
[[gnu::always_inline]] inline void for_vectors(const std::uint8_t* a, const std::uint8_t* b,
                                               std::size_t n_bytes, const Add& add) {
  constexpr std::size_t kBytes = 16 * G::kLanes;
  std::size_t at = 0;
  for (; at + kBytes <= n_bytes; at += kBytes) add(G::load(a + at), G::load(b + at));
  if (at == n_bytes) return;
  Padded<G> last_a(a + at, n_bytes - at), last_b(b + at, n_bytes - at);
  const WipeGuard wipe_a(last_a), wipe_b(last_b);
  add(G::load(last_a.bytes), G::load(last_b.bytes));
}

// One reduction a row: the products are summed as polynomials.
template <class G>
void gf128_inner_product(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, std::uint8_t* out) {
  typename G::Sum sum;
  for_vectors<G>(a, b, 16 * n,
                 [&](auto x, auto y) __attribute__((always_inline)) { G::accumulate(sum, x, y); });
  G::reduce_lanes(sum, out);
}

template <class G>
void gf64_inner_product(const std::uint8_t* a, const std::uint8_t* b, std::size_t n, std::uint8_t* out) {
  typename G::Sum64 sum;
  for_vectors<G>(a, b, 8 * n,
                 [&](auto x, auto y) __attribute__((always_inline)) { G::accumulate64(sum, x, y); });
  const std::uint64_t value = G::reduce64(sum);
  for (int i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

// x^exponent, an exponent that everybody knows.
template <class G>
typename G::Vector power_vartime(typename G::Vector x, std::size_t exponent) {
  alignas(64) std::uint8_t one[16] = {1};
  typename G::Vector result = G::broadcast(one);
  for (int bit = 63; bit >= 0; --bit) {
    result = G::square(result);
    if ((std::uint64_t{exponent} >> bit) & 1) result = G::mul(result, x);
  }
  return result;
}

// kChains vectors advance side by side, or each product would wait for the one before it.
template <class G>
void gf128_powers(const std::uint8_t* x, std::size_t begin, std::size_t end, std::uint8_t* out) {
  constexpr std::size_t kChains = 4, kBlock = kChains * G::kLanes, kBytes = 16 * kBlock;
  const std::size_t n_bytes = 16 * (end - begin);
  struct {
    alignas(64) std::uint8_t bytes[kBytes];
  } block;
  const WipeGuard wipe(block);
  const typename G::Vector base = G::broadcast(x);
  typename G::Vector power = power_vartime<G>(base, begin);
  for (std::size_t i = 0; i < kBlock; ++i) {
    std::uint8_t element[16 * G::kLanes];
    const WipeGuard wipe_element(element);
    G::store(element, power);
    std::memcpy(block.bytes + 16 * i, element, 16);
    power = G::mul(power, base);
  }
  const typename G::Vector step = power_vartime<G>(base, kBlock);
  typename G::Vector chain[kChains];
  for (std::size_t c = 0; c < kChains; ++c) chain[c] = G::load(block.bytes + 16 * G::kLanes * c);
  for (std::size_t at = 0; at < n_bytes; at += kBytes) {
    const bool whole = n_bytes - at >= kBytes;
    std::uint8_t* const to = whole ? out + at : block.bytes;
    for (std::size_t c = 0; c < kChains; ++c) {
      G::store(to + 16 * G::kLanes * c, chain[c]);
      chain[c] = G::mul(chain[c], step);
    }
    if (!whole) std::memcpy(out + at, block.bytes, n_bytes - at);
  }
}

}  // namespace
}  // namespace crypsis::bitmatrix
