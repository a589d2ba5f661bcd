// SPDX-License-Identifier: Apache-2.0
// Products over tables of powers that all rows share: fixed bases. See lanes.h for the
// Engine. A table has one of two forms: packed entries, one lane of a working element each, for direct look-ups; or
// what the engine's choose() reads whole.
#pragma once
#include "bigint/lanes.h"

namespace crypsis::bigint {
namespace {

template <class Engine>
std::size_t table_words(const Modulus& modulus, std::size_t window, bool vartime) {
  return Engine(modulus).table_words(std::size_t{1} << window, vartime);
}

template <class Engine>
double scan_cost(const Modulus& modulus) {
  return Engine(modulus).scan_cost();
}

// kLanes tables are built side by side, each power from the one before.
template <class Engine>
void build_tables(const Modulus& modulus, const Word* bases, std::size_t window, bool vartime, Word* table,
                  std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t n_entries = std::size_t{1} << window;
  const std::size_t table_words = engine.table_words(n_entries, vartime);
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
      if (vartime) {
        engine.pack(power, at, rows.n_live);
        for (std::size_t lane = 0; lane < rows.n_live; ++lane) at[lane] += engine.entry_words();
      } else {
        engine.put_choice(power, at, rows.n_live, d, n_entries);
      }
    }
  }
}

template <class Engine>
void table_powm_vartime(const Modulus& modulus, const TableJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t n_entries = std::size_t{1} << job.window;
  const std::size_t words = engine.entry_words();
  Scratch scratch(2 * engine.size());
  Word* const acc = scratch.get();
  Word* const factor = acc + engine.size();
  const Word* at[kLanes];  // tell digits of exponents
  for (std::size_t i = begin; i < end; i += kLanes) {
    const Rows<Engine> exponents(job.exponents, job.exponent_stride, i, end);
    const auto row = [&](std::size_t lane, std::size_t t) {
      return job.table + words * (t * n_entries + exponent_bits_at(exponents.at[lane], job.exponent_limbs,
                                                                   t * job.window, job.window));
    };
    for (std::size_t t = 0; t < job.n_tables; ++t) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) at[lane] = row(lane, t);
      engine.unpack(t == 0 ? acc : factor, at);
      if (t + 1 < job.n_tables) {  // the next window's rows are far apart: ask for them a product ahead
        for (std::size_t lane = 0; lane < kLanes; ++lane) prefetch_rows(row(lane, t + 1), words);
      }
      if (t > 0) engine.mul(acc, acc, factor);
    }
    engine.leave(acc, job.montgomery);
    store_rows(engine, acc, job.out, i, end);
  }
  secure_wipe(at, sizeof at);
  secure_wipe_stack();
}

// Rows that look up in one table before the next table is read: tables are bigger than the cache, so each is read once
// for all of them.
constexpr std::size_t kRowsPerTable = 128;

// Elements for up to kRowsPerTable rows: products so far, what is chosen from the table at hand, and its digits.
template <class Engine>
class Group {
 public:
  static constexpr std::size_t kLanes = Engine::kLanes, kElements = kRowsPerTable / kLanes;

  Group(Engine& engine, std::size_t n_rows)
      : engine_(engine),
        most_(std::min(kElements, (n_rows + kLanes - 1) / kLanes)),
        scratch_(2 * most_ * engine.size()),
        factors_(scratch_.get() + most_ * engine.size()) {}
  ~Group() { secure_wipe(digits_, sizeof digits_); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Rows i .. end, kRowsPerTable of them at most.
  void begin(std::size_t i, std::size_t end) {
    first_ = i;
    end_ = std::min(end, i + most_ * kLanes);
    n_ = (end_ - i + kLanes - 1) / kLanes;
    for (std::size_t e = 0; e < n_; ++e) engine_.one(product(e));
  }
  // Products *= entries of the table, chosen by digit_of(row).
  template <class DigitOf>
  void multiply(const Word* table, std::size_t n_entries, const DigitOf& digit_of) {
    for (std::size_t i = 0; i < n_ * kLanes; ++i) digits_[i] = digit_of(std::min(first_ + i, end_ - 1));
    engine_.choose(factors_, n_, table, n_entries, digits_);
    for (std::size_t e = 0; e < n_; ++e) {
      engine_.mul(product(e), product(e), factors_ + e * engine_.size());
    }
  }
  void store(Word* out, bool montgomery) {
    for (std::size_t e = 0; e < n_; ++e) {
      engine_.leave(product(e), montgomery);
      store_rows(engine_, product(e), out, first_ + e * kLanes, end_);
    }
  }

 private:
  Word* product(std::size_t e) const { return scratch_.get() + e * engine_.size(); }

  Engine& engine_;
  std::size_t most_;
  Scratch scratch_;
  Word* factors_;
  std::size_t first_ = 0, end_ = 0, n_ = 0;
  Word digits_[kRowsPerTable];
};

template <class Engine>
void table_powm_batch(const Modulus& modulus, const TableJob& job, std::size_t begin, std::size_t end) {
  if (job.vartime) return table_powm_vartime<Engine>(modulus, job, begin, end);
  Engine engine(modulus);
  const std::size_t n_entries = std::size_t{1} << job.window;
  const std::size_t table_words = engine.table_words(n_entries, false);
  Group<Engine> group(engine, end - begin);
  for (std::size_t i = begin; i < end; i += kRowsPerTable) {
    group.begin(i, end);
    for (std::size_t t = 0; t < job.n_tables; ++t) {
      group.multiply(job.table + t * table_words, n_entries, [&](std::size_t row) {
        return exponent_bits_at(job.exponents + row * job.exponent_stride, job.exponent_limbs, t * job.window,
                                job.window);
      });
    }
    group.store(job.out, job.montgomery);
  }
  secure_wipe_stack();
}

}  // namespace
}  // namespace crypsis::bigint
