// SPDX-License-Identifier: Apache-2.0
// Key switching [HK20]: digits of a polynomial, their products with a key, and the division by the special moduli.
#include <array>
#include <cstring>

#include "ntt/modular_portable.h"
#include "rns/engine.h"

namespace crypsis::rns {
namespace {

constexpr std::size_t kBlock = 512;  // coefficients that stay in the first cache between two kernels

// Words from one row of scratch to the next: N is a power of two, and rows N apart would all fall into the same few sets
// of a cache.
std::size_t stride(const Engine& engine) {
  return engine.n() + 72;
}

// The coefficients of c's limbs as digits, one row a limb.
void digits_of(const Engine& engine, std::size_t level, const std::uint64_t* c, std::uint64_t* rows,
               int threads) {
  const Chain& chain = engine.chain;
  const std::size_t n = engine.n();
  engine.for_each_limb(level + 1, 1, threads, [&](std::size_t i) {
    engine.ntt.inverse(chain.tables(i), c + i * n, rows + i * stride(engine));
  });
  engine.for_each_limb(chain.n_digits(level), 1, threads, [&](std::size_t j) {
    const Radix radix = digit_radix(chain, level, j);
    std::uint64_t* own[kMaxModuli];
    for (std::size_t i = 0; i < radix.count; ++i) own[i] = rows + (j * chain.alpha() + i) * stride(engine);
    engine.impl.mixed_radix(radix, own, n);
  });
}

// Digit j, given by digits_of, modulo the modulus `number` and transformed. Not for a modulus of the digit itself.
void transform_digit(const Engine& engine, std::size_t level, const std::uint64_t* rows, std::size_t j,
                     std::size_t number, std::uint64_t* out) {
  const Chain& chain = engine.chain;
  const Radix radix = digit_radix(chain, level, j);
  const std::uint64_t* own[kMaxModuli];
  for (std::size_t i = 0; i < radix.count; ++i) own[i] = rows + (j * chain.alpha() + i) * stride(engine);
  engine.impl.convert(chain.tables(number), conversion_to(radix, number, 1), own, engine.n(), out);
  engine.ntt.forward(chain.tables(number), out, out);
}

bool is_own(const Chain& chain, std::size_t j, std::size_t number) {
  return number < chain.n_moduli() && number / chain.alpha() == j;
}

// The permutation of X -> X^galois, empty for the identity.
std::vector<std::uint32_t> permutation(const Chain& chain, std::uint64_t galois) {
  std::vector<std::uint32_t> table(galois == 1 ? 0 : chain.n());
  if (galois != 1) ntt::automorphism_table(chain.log_n(), galois, table.data());
  return table;
}

// One ciphertext's key switch.
class Switching {
 public:
  Switching(const Engine& engine, std::size_t level, const Switch& task, const std::uint32_t* table)
      : engine_(engine),
        chain_(engine.chain),
        level_(level),
        task_(task),
        table_(table),
        division_(special_division(chain_, level, task.rescale)) {}

  void run(const std::uint64_t* c, const std::uint64_t* add, std::uint64_t* out, int threads) const {
    const std::size_t n = engine_.n(), n_gone = division_.radix.count,
                      n_left = task_.rescale ? level_ : level_ + 1;
    const std::size_t row = stride(engine_);
    const Scratch scratch(engine_.pool, (level_ + 1 + 2 * n_gone) * row);
    std::uint64_t* const rows = scratch.data();
    std::uint64_t* gone[2][kMaxModuli];
    for (std::size_t i = 0; i < 2 * n_gone; ++i) gone[i / n_gone][i % n_gone] = rows + (level_ + 1 + i) * row;
    digits_of(engine_, level_, c, rows, threads);

    const std::size_t n_terms = chain_.n_digits(level_);
    engine_.for_each_limb(n_gone, n_terms + 2, threads, [&](std::size_t i) {
      const Scratch digits(engine_.pool, n_terms * row);
      const std::size_t number = division_.radix.numbers[i];
      const ntt::PrimeTables& tables = chain_.tables(number);
      const auto terms = terms_of(number, c, rows, digits.data());
      std::uint64_t *const out0 = gone[0][i], *const out1 = gone[1][i];
      engine_.impl.inner_product(tables, terms.data(), n_terms, table_, n, out0, out1);
      for (std::size_t half = 0; half < 2; ++half) {
        if (number < chain_.n_moduli() && half < task_.n_added)
          add_to(number, added(add, half, number), gone[half][i]);
        engine_.ntt.inverse(tables, gone[half][i], gone[half][i]);
      }
    });
    for (auto& half : gone) engine_.impl.mixed_radix(division_.radix, half, n);

    engine_.for_each_limb(n_left, n_terms + 2, threads, [&](std::size_t i) {
      const Scratch digits(engine_.pool, n_terms * row);
      const ntt::PrimeTables& tables = chain_.tables(i);
      const auto terms = terms_of(i, c, rows, digits.data());
      const Division::Limb limb = division_.limb(i);
      std::uint64_t* const result[2] = {out + i * n, out + (n_left + i) * n};
      for (std::size_t half = 0; half < 2; ++half) {
        engine_.impl.convert(tables, limb.conversion, gone[half], n, result[half]);
        engine_.ntt.forward(tables, result[half], result[half]);
      }
      finish(i, limb, terms.data(), n_terms, add, result);
    });
  }

 private:
  using Terms = std::array<Term, kMaxTerms>;

  // The digits modulo one modulus and the key's limbs beside them; `digits` has room for all of them.
  Terms terms_of(std::size_t number, const std::uint64_t* c, const std::uint64_t* rows,
                 std::uint64_t* digits) const {
    const std::size_t n = engine_.n(), n_all = chain_.n_moduli() + chain_.n_special();
    Terms terms;
    for (std::size_t j = 0; j < chain_.n_digits(level_); ++j) {
      const bool own = is_own(chain_, j, number);
      if (!own) transform_digit(engine_, level_, rows, j, number, digits + j * stride(engine_));
      const std::uint64_t* const key = task_.key + (2 * j * n_all + number) * n;
      terms[j] = {own ? c + number * n : digits + j * stride(engine_), key, key + n_all * n};
    }
    return terms;
  }

  const std::uint64_t* added(const std::uint64_t* add, std::size_t half, std::size_t limb) const {
    return half < task_.n_added ? add + (half * (level_ + 1) + limb) * engine_.n() : nullptr;
  }
  // The block of `add` at `at`, through the automorphism; `buffer` has room for it.
  const std::uint64_t* moved(const std::uint64_t* add, std::size_t at, std::size_t n,
                             std::uint64_t* buffer) const {
    if (add == nullptr || table_ == nullptr) return add == nullptr ? nullptr : add + at;
    engine_.ntt.permute(table_ + at, add, n, buffer);
    return buffer;
  }

  // out += P add.
  void add_to(std::size_t number, const std::uint64_t* add, std::uint64_t* out) const {
    alignas(64) std::uint64_t buffer[kBlock];
    const ntt::PrimeTables& tables = chain_.tables(number);
    const Constant factor = special_product(chain_, number);
    for (std::size_t at = 0; at < engine_.n(); at += kBlock) {
      const std::size_t n = std::min(kBlock, engine_.n() - at);
      engine_.impl.combine(tables, out + at, {1, tables.one_quotient}, nullptr, moved(add, at, n, buffer),
                           factor, n, out + at);
    }
  }

  // result, which holds the division's part, += inner product / T + add / A.
  void finish(std::size_t number, const Division::Limb& limb, const Term* terms, std::size_t n_terms,
              const std::uint64_t* add, std::uint64_t* const* result) const {
    alignas(64) std::uint64_t products[2][kBlock], buffer[kBlock];
    const ntt::PrimeTables& tables = chain_.tables(number);
    Terms block;
    for (std::size_t at = 0; at < engine_.n(); at += kBlock) {
      const std::size_t n = std::min(kBlock, engine_.n() - at);
      for (std::size_t j = 0; j < n_terms; ++j) {
        const std::size_t digit_at = table_ == nullptr ? at : 0;
        block[j] = {terms[j].digit + digit_at, terms[j].key0 + at, terms[j].key1 + at};
      }
      engine_.impl.inner_product(tables, block.data(), n_terms, table_ == nullptr ? nullptr : table_ + at, n,
                                 products[0], products[1]);
      for (std::size_t half = 0; half < 2; ++half) {
        const std::uint64_t* const summand = moved(added(add, half, number), at, n, buffer);
        engine_.impl.combine(tables, products[half], limb.x, result[half] + at, summand, limb.add, n,
                             result[half] + at);
      }
    }
  }

  const Engine& engine_;
  const Chain& chain_;
  std::size_t level_;
  const Switch& task_;
  const std::uint32_t* table_;
  Division division_;
};

}  // namespace

void decompose(const Chain& chain, std::size_t level, const std::uint64_t* c, std::size_t n,
               std::uint64_t* out, const Options& options) {
  const Engine engine(chain, options);
  const std::size_t size = engine.n(), n_digits = chain.n_digits(level), n_full = chain.n_full(level);
  engine.for_each_item(n, [&](std::size_t item, int threads) {
    const std::uint64_t* const from = c + item * (level + 1) * size;
    std::uint64_t* const to = out + item * n_digits * n_full * size;
    const Scratch scratch(engine.pool, (level + 1) * stride(engine));
    std::uint64_t* const rows = scratch.data();
    digits_of(engine, level, from, rows, threads);
    engine.for_each_limb(n_digits * n_full, 1, threads, [&](std::size_t at) {
      const std::size_t j = at / n_full, number = chain.number(level, at % n_full);
      if (is_own(chain, j, number)) {
        std::memcpy(to + at * size, from + number * size, size * sizeof(std::uint64_t));
      } else {
        transform_digit(engine, level, rows, j, number, to + at * size);
      }
    });
  });
}

void inner_product(const Chain& chain, std::size_t level, const std::uint64_t* digits, std::size_t n,
                   const std::uint64_t* key, std::uint64_t galois, std::uint64_t* out,
                   const Options& options) {
  const Engine engine(chain, options);
  const std::vector<std::uint32_t> table = permutation(chain, galois);
  const std::size_t size = engine.n(), n_digits = chain.n_digits(level), n_full = chain.n_full(level);
  const std::size_t n_all = chain.n_moduli() + chain.n_special();
  engine.for_each_limb(n * n_full, 1, engine.threads, [&](std::size_t at) {
    const std::size_t item = at % n, limb = at / n, number = chain.number(level, limb);
    std::array<Term, kMaxTerms> terms;
    for (std::size_t j = 0; j < n_digits; ++j) {
      const std::uint64_t* const half = key + (2 * j * n_all + number) * size;
      terms[j] = {digits + ((item * n_digits + j) * n_full + limb) * size, half, half + n_all * size};
    }
    std::uint64_t* const to = out + (2 * item * n_full + limb) * size;
    engine.impl.inner_product(chain.tables(number), terms.data(), n_digits,
                              table.empty() ? nullptr : table.data(), size, to, to + n_full * size);
  });
}

void switch_key(const Chain& chain, std::size_t level, const Switch& task, std::size_t n, std::uint64_t* out,
                const Options& options) {
  const Engine engine(chain, options);
  const std::vector<std::uint32_t> table = permutation(chain, task.galois);
  const Switching switching(engine, level, task, table.empty() ? nullptr : table.data());
  const std::size_t size = engine.n(), n_left = task.rescale ? level : level + 1;
  engine.for_each_item(n, [&](std::size_t i, int threads) {
    const std::uint64_t* const add =
        task.add == nullptr ? nullptr : task.add + i * task.n_added * (level + 1) * size;
    switching.run(task.c + i * (level + 1) * size, add, out + 2 * i * n_left * size, threads);
  });
}

}  // namespace crypsis::rns
