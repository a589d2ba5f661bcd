// SPDX-License-Identifier: Apache-2.0
// Products over tables of powers that all rows share: fixed bases and products of powers. See lanes.h for the
// Engine; a packed entry is one lane of a working element, entry_words() words, 64-byte aligned.
#pragma once
#include "bigint/lanes.h"

namespace crypsis::bigint {
namespace {

template <class Engine>
std::size_t table_entry_words(const Modulus& modulus) {
  return Engine(modulus).entry_words();
}

// kLanes tables are built side by side, each power from the one before.
template <class Engine>
void build_tables(const Modulus& modulus, const Word* bases, std::size_t window, Word* table,
                  std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t n_entries = std::size_t{1} << window;
  const std::size_t table_words = n_entries * engine.entry_words();
  Scratch scratch(2 * engine.size());
  Word* const base = scratch.get();
  Word* const power = base + engine.size();
  for (std::size_t t = begin; t < end; t += kLanes) {
    const Rows<Engine> rows(bases, engine.limbs(), t, end);
    engine.load(base, rows.at);
    engine.enter(base, true);
    engine.one(power);
    Word* at[kLanes];
    for (std::size_t lane = 0; lane < rows.n_live; ++lane) at[lane] = table + (t + lane) * table_words;
    for (std::size_t d = 0; d < n_entries; ++d) {
      if (d == 1) {
        std::memcpy(power, base, engine.size() * sizeof(Word));
      } else if (d > 1) {
        engine.mul(power, power, base);
      }
      engine.pack(power, at, rows.n_live);
      for (std::size_t lane = 0; lane < rows.n_live; ++lane) at[lane] += engine.entry_words();
    }
  }
}

template <class Engine>
void table_powm_batch(const Modulus& modulus, const TableJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t n_entries = std::size_t{1} << job.window;
  const std::size_t words = engine.entry_words();
  Scratch scratch(2 * engine.size());
  Word* const acc = scratch.get();
  Word* const factor = acc + engine.size();
  Word digits[kLanes];
  for (std::size_t i = begin; i < end; i += kLanes) {
    const Rows<Engine> exponents(job.exponents, job.exponent_stride, i, end);
    engine.one(acc);
    for (std::size_t t = 0; t < job.n_tables; ++t) {
      const Word* const table = job.table + t * n_entries * words;
      Word* const target = t == 0 ? acc : factor;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        digits[lane] = exponent_bits_at(exponents.at[lane], job.exponent_limbs, t * job.window, job.window);
      }
      if (job.vartime) {
        const Word* at[kLanes];
        for (std::size_t lane = 0; lane < kLanes; ++lane) at[lane] = table + digits[lane] * words;
        engine.unpack(target, at);
        if (t + 1 < job.n_tables) {  // the next window's rows are far apart: ask for them a product ahead
          for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const Word next =
                exponent_bits_at(exponents.at[lane], job.exponent_limbs, (t + 1) * job.window, job.window);
            const Word* const row = table + (n_entries + next) * words;
            for (std::size_t word = 0; word < words; word += 8) __builtin_prefetch(row + word);
          }
        }
      } else {
        engine.lookup_shared(target, table, n_entries, digits);
      }
      if (t > 0) engine.mul(acc, acc, factor);
    }
    engine.leave(acc, job.montgomery);
    store_rows(engine, acc, job.out, i, end);
  }
  secure_wipe(digits, sizeof(digits));
  secure_wipe_stack();
}

template <class Engine>
void multi_powm_batch(const Modulus& modulus, const MultiJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t w = job.window;
  const std::size_t n_entries = std::size_t{1} << w;
  const std::size_t n_windows = (job.exponent_bits + w - 1) / w;
  Scratch scratch(2 * engine.size());
  Word* const acc = scratch.get();
  Word* const factor = acc + engine.size();
  Word digits[kLanes];
  for (std::size_t i = begin; i < end; i += kLanes) {
    const Rows<Engine> exponents(job.exponents, job.n_tables, i, end);
    engine.one(acc);
    for (std::size_t window = n_windows; window-- > 0;) {
      if (window + 1 < n_windows) {
        for (std::size_t s = 0; s < w; ++s) engine.sqr(acc, acc);
      }
      for (std::size_t t = 0; t < job.n_tables; ++t) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          digits[lane] = exponent_bits_at(exponents.at[lane] + t, 1, window * w, w);
        }
        engine.lookup_shared(factor, job.table + t * n_entries * engine.entry_words(), n_entries, digits);
        engine.mul(acc, acc, factor);
      }
    }
    engine.leave(acc, true);
    store_rows(engine, acc, job.out, i, end);
  }
  secure_wipe(digits, sizeof(digits));
  secure_wipe_stack();
}

}  // namespace
}  // namespace crypsis::bigint
