// SPDX-License-Identifier: Apache-2.0
#include "rns/engine.h"

#include "ntt/modular_portable.h"

namespace crypsis::rns {
namespace {

Constant constant(std::uint64_t value, std::uint64_t p) {
  return {value, ntt::shoup_quotient(value, p)};
}

// The product of 1 / t over the moduli of `radix`, modulo `target`.
std::uint64_t inverse_of_all(const Radix& radix, std::size_t target) {
  std::uint64_t value = 1;
  for (std::size_t i = 0; i < radix.count; ++i) {
    const Constant& inverse = radix.chain.inverse(radix.numbers[i], target);
    value = ntt::multiply_mod(value, inverse.value, radix.chain.tables(target));
  }
  return value;
}

}  // namespace

Radix digit_radix(const Chain& chain, std::size_t level, std::size_t j) {
  const std::size_t begin = j * chain.alpha(), end = std::min(begin + chain.alpha(), level + 1);
  Radix radix{chain, end - begin, {}};
  for (std::size_t i = begin; i < end; ++i) radix.numbers[i - begin] = static_cast<std::uint8_t>(i);
  return radix;
}

Conversion conversion_to(const Radix& radix, std::size_t target, std::uint64_t scale) {
  const ntt::PrimeTables& tables = radix.chain.tables(target);
  Conversion conversion;
  conversion.count = radix.count;
  std::uint64_t factor = scale;
  for (std::size_t i = 0; i < radix.count; ++i) {
    conversion.factors[i] = constant(factor, tables.p);
    conversion.is_narrow[i] = radix.chain.prime(radix.numbers[i]) < kNarrowModulus;
    const std::uint64_t t = ntt::reduce_word(radix.chain.prime(radix.numbers[i]), tables);
    factor = ntt::multiply_mod(factor, t, tables);
  }
  conversion.is_small = radix.count == 1 && scale == 1 && radix.chain.prime(radix.numbers[0]) / 2 < tables.p;
  return conversion;
}

Division::Limb Division::limb(std::size_t target) const {
  const std::uint64_t p = radix.chain.prime(target);
  const std::uint64_t inverse = inverse_of_all(radix, target);
  const Constant add = rescale ? radix.chain.inverse(radix.numbers[radix.count - 1], target) : constant(1, p);
  return {constant(inverse, p), add, conversion_to(radix, target, p - inverse)};
}

Division special_division(const Chain& chain, std::size_t level, bool rescale) {
  Division division{{chain, chain.n_special(), {}}, rescale};
  for (std::size_t i = 0; i < chain.n_special(); ++i) {
    division.radix.numbers[i] = static_cast<std::uint8_t>(chain.n_moduli() + i);
  }
  if (rescale) division.radix.numbers[division.radix.count++] = static_cast<std::uint8_t>(level);
  return division;
}

Division level_division(const Chain& chain, std::size_t level) {
  return {{chain, 1, {static_cast<std::uint8_t>(level)}}, false};
}

void to_digits(const Engine& engine, const Radix& radix, std::uint64_t* const* rows, int threads) {
  engine.for_each_limb(radix.count, 1, threads, [&](std::size_t i) {
    engine.ntt.inverse(radix.chain.tables(radix.numbers[i]), rows[i], rows[i]);
  });
  engine.impl.mixed_radix(radix, rows, engine.n());
}

Constant special_product(const Chain& chain, std::size_t target) {
  const ntt::PrimeTables& tables = chain.tables(target);
  std::uint64_t value = 1;
  for (std::size_t i = 0; i < chain.n_special(); ++i) {
    value = ntt::multiply_mod(value, ntt::reduce_word(chain.prime(chain.n_moduli() + i), tables), tables);
  }
  return constant(value, tables.p);
}

}  // namespace crypsis::rns
