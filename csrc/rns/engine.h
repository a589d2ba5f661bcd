// SPDX-License-Identifier: Apache-2.0
// What the calls of rns share: their backends, loops over limbs and items, and the constants of divisions.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/threads.h"
#include "ntt/impl.h"
#include "rns/impl.h"
#include "rns/scratch.h"

namespace crypsis::rns {

// A call's backends, of rns and of the transforms inside.
struct Engine {
  const Chain& chain;
  const Impl& impl;
  const ntt::Impl& ntt;
  int threads;
  Pool& pool;

  Engine(const Chain& of, const Options& options)
      : chain(of),
        impl(rns::select(options)),
        ntt(ntt::select(options)),
        threads(resolve_threads(options.threads)),
        pool(Pool::of_this_thread()) {}

  std::size_t n() const noexcept { return chain.n(); }

  // body(i, threads it may take itself) for n_items items: a thread an item while there are enough of them, as one item
  // then stays in one core's cache; else all threads together on one after the other.
  template <class Body>
  void for_each_item(std::size_t n_items, const Body& body) const {
    if (n_items < static_cast<std::size_t>(threads)) {
      for (std::size_t i = 0; i < n_items; ++i) body(i, threads);
      return;
    }
    parallel_for(n_items, grain(1), threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) body(i, 1);
    });
  }
  // body(i) for n_limbs pieces of about `transforms` transforms each.
  template <class Body>
  void for_each_limb(std::size_t n_limbs, std::size_t transforms, int own_threads, const Body& body) const {
    parallel_for(n_limbs, grain(transforms), own_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) body(i);
    });
  }

 private:
  // A thread is worth starting for some tens of microseconds of work.
  std::size_t grain(std::size_t transforms) const noexcept {
    constexpr std::size_t kWords = 1 << 14;
    return std::max<std::size_t>(1, kWords / (chain.n() * std::max<std::size_t>(1, transforms)));
  }
};

// The digits of digit number j of a ciphertext at a level.
Radix digit_radix(const Chain& chain, std::size_t level, std::size_t j);

// How digits of `radix` reach the modulus numbered `target`, times `scale` (below that modulus).
Conversion conversion_to(const Radix& radix, std::size_t target, std::uint64_t scale);

// A division by the product T of the moduli of `radix`: limbs of x become x / T - value / T + add / A.
struct Division {
  Radix radix;
  bool rescale;  // T = P q_level and A = q_level, else A = 1

  struct Limb {
    Constant x, add;        // 1 / T, 1 / A
    Conversion conversion;  // of the digits, by -1 / T
  };
  Limb limb(std::size_t target) const;
};
// By P, or with `rescale` by P q_level.
Division special_division(const Chain& chain, std::size_t level, bool rescale);
// By q_level.
Division level_division(const Chain& chain, std::size_t level);

// The signed words of `radix` in rows[i], which hold residues in the transform's domain: inverse transforms, then digits.
void to_digits(const Engine& engine, const Radix& radix, std::uint64_t* const* rows, int threads);

// p times the product of the special moduli's residues modulo the modulus numbered `target`.
Constant special_product(const Chain& chain, std::size_t target);

}  // namespace crypsis::rns
