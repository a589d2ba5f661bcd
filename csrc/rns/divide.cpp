// SPDX-License-Identifier: Apache-2.0
// Divisions that round, in the transform's domain: only the limbs that go are transformed back.
#include <cstring>

#include "ntt/modular_portable.h"
#include "rns/engine.h"

namespace crypsis::rns {
namespace {

// One polynomial. x_limbs: the limb of x of each modulus of the radix.
struct Polynomial {
  const std::uint64_t* x;
  const std::uint64_t* add;
  std::uint64_t* out;
};

void divide_one(const Engine& engine, const Division& division, std::size_t level, std::size_t n_left,
                const Polynomial& polynomial, int threads) {
  const Chain& chain = engine.chain;
  const std::size_t n = engine.n();
  const Radix& radix = division.radix;
  const Scratch scratch(engine.pool, radix.count * n);
  std::uint64_t* rows[kMaxModuli];
  for (std::size_t i = 0; i < radix.count; ++i) {
    rows[i] = scratch.data() + i * n;
    const std::size_t number = radix.numbers[i];
    const bool is_special = number >= chain.n_moduli();
    const std::size_t limb = is_special ? level + 1 + number - chain.n_moduli() : number;
    if (division.rescale && !is_special && polynomial.add != nullptr) {
      // What P divides is x + P add; P is 0 modulo the special moduli.
      const ntt::PrimeTables& tables = chain.tables(number);
      engine.impl.combine(tables, polynomial.x + limb * n, {1, tables.one_quotient}, nullptr,
                          polynomial.add + limb * n, special_product(chain, number), n, rows[i]);
    } else {
      std::memcpy(rows[i], polynomial.x + limb * n, n * sizeof(std::uint64_t));
    }
  }
  to_digits(engine, radix, rows, threads);
  engine.for_each_limb(n_left, 1, threads, [&](std::size_t i) {
    const ntt::PrimeTables& tables = chain.tables(i);
    const Division::Limb limb = division.limb(i);
    std::uint64_t* const out = polynomial.out + i * n;
    engine.impl.convert(tables, limb.conversion, rows, n, out);
    engine.ntt.forward(tables, out, out);
    engine.impl.combine(tables, polynomial.x + i * n, limb.x, out,
                        polynomial.add == nullptr ? nullptr : polynomial.add + i * n, limb.add, n, out);
  });
}

}  // namespace

void divide_special(const Chain& chain, std::size_t level, const std::uint64_t* x, const std::uint64_t* add,
                    std::size_t n, bool rescale, std::uint64_t* out, const Options& options) {
  const Engine engine(chain, options);
  const Division division = special_division(chain, level, rescale);
  const std::size_t n_left = rescale ? level : level + 1, size = engine.n();
  engine.for_each_item(n, [&](std::size_t i, int threads) {
    const Polynomial polynomial{x + i * chain.n_full(level) * size,
                                add == nullptr ? nullptr : add + i * (level + 1) * size,
                                out + i * n_left * size};
    divide_one(engine, division, level, n_left, polynomial, threads);
  });
}

void rescale(const Chain& chain, std::size_t level, const std::uint64_t* x, std::size_t n, std::uint64_t* out,
             const Options& options) {
  const Engine engine(chain, options);
  const Division division = level_division(chain, level);
  const std::size_t size = engine.n();
  engine.for_each_item(n, [&](std::size_t i, int threads) {
    const Polynomial polynomial{x + i * (level + 1) * size, nullptr, out + i * level * size};
    divide_one(engine, division, level, level, polynomial, threads);
  });
}

}  // namespace crypsis::rns
