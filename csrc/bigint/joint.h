// SPDX-License-Identifier: Apache-2.0
// Products of powers of several bases, by tables of products of powers of a few bases each [Straus 1964]. See lanes.h for
// the Engine.
#pragma once
#include "bigint/lanes.h"

namespace crypsis::bigint {
namespace {

template <class Engine>
std::size_t element_words(const Modulus& modulus) {
  return Engine(modulus).size();
}

// Entry e of table t is the product over j of base_(t width.bases + j)^(digit j of e). kLanes tables are built side by
// side: each entry is the one with one less in its highest digit, times that base.
template <class Engine>
void build_joint_tables(const Modulus& modulus, const JointTables& job, Word* table, std::size_t begin,
                        std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const JointWidth width = job.width;
  const std::size_t n_entries = width.n_entries(), size = engine.size();
  const std::size_t table_words = engine.table_words(n_entries, false);
  Scratch scratch((n_entries + width.bases) * size);
  Word* const bases = scratch.get() + n_entries * size;
  const auto entry = [&](std::size_t e) { return scratch.get() + e * size; };
  engine.one(entry(0));
  for (std::size_t t = begin; t < end; t += kLanes) {
    const std::size_t n_live = std::min(kLanes, end - t);
    Word* at[kLanes];
    for (std::size_t lane = 0; lane < n_live; ++lane) at[lane] = table + (t + lane) * table_words;
    for (std::size_t j = 0; j < width.bases; ++j) {
      const Word* rows[kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t row = (t + (lane < n_live ? lane : 0)) * width.bases + j;
        rows[lane] = row < job.n_bases ? job.bases + row * engine.limbs() : modulus.r();
      }
      engine.load(bases + j * size, rows);
      engine.enter(bases + j * size, true);
    }
    for (std::size_t e = 1; e < n_entries; ++e) {
      const std::size_t digit = (static_cast<std::size_t>(std::bit_width(e)) - 1) / width.bits;
      const std::size_t unit = std::size_t{1} << (digit * width.bits);
      const Word* const base = bases + digit * size;
      if (e == unit) {
        std::memcpy(entry(e), base, size * sizeof(Word));
      } else if (e % (2 * unit) == 0) {
        engine.sqr(entry(e), entry(e / 2));
      } else {
        engine.mul(entry(e), entry(e - unit), base);
      }
    }
    engine.put_choices(entry(0), at, n_live, n_entries);
  }
  secure_wipe_stack();
}

// Rows that look up in one table before the next one is read.
constexpr std::size_t kRowsPerJointTable = 128;

// Digits of up to kRowsPerJointTable rows: `bits` bits of each of the bases of one table. Wiped at the end.
class JointDigits {
 public:
  JointDigits(const JointJob& job, std::size_t first, std::size_t end, std::size_t n_rows)
      : job_(job), first_(first), end_(end), n_rows_(n_rows) {}
  ~JointDigits() {
    secure_wipe(exponents_, sizeof exponents_);
    secure_wipe(digits_, sizeof digits_);
  }
  JointDigits(const JointDigits&) = delete;
  JointDigits& operator=(const JointDigits&) = delete;

  void read(std::size_t t) {
    const std::size_t from = t * job_.width.bases;
    n_bases_ = std::min(job_.width.bases, job_.n_bases - from);
    for (std::size_t i = 0; i < n_rows_; ++i) {
      const Word* const row = job_.exponents + std::min(first_ + i, end_ - 1) * job_.stride + from;
      for (std::size_t j = 0; j < n_bases_; ++j) exponents_[j][i] = row[j];
    }
  }
  const Word* of_window(std::size_t window) {
    const std::size_t bits = job_.width.bits, shift = bits * window;
    const Word mask = (Word{1} << bits) - 1;
    std::fill_n(digits_, n_rows_, Word{0});
    for (std::size_t j = 0; j < n_bases_; ++j) {
      const Word* const exponents = exponents_[j];
      const std::size_t to = bits * j;
      for (std::size_t i = 0; i < n_rows_; ++i) digits_[i] |= ((exponents[i] >> shift) & mask) << to;
    }
    return digits_;
  }

 private:
  const JointJob& job_;
  std::size_t first_, end_, n_rows_, n_bases_ = 0;
  Word exponents_[kMostJointBits][kRowsPerJointTable];
  Word digits_[kRowsPerJointTable];
};

// Multiplies the states of rows begin .. end, one for each window, by what their digits choose from the tables.
template <class Engine>
void joint_products(const Modulus& modulus, const JointJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes, kMost = kRowsPerJointTable / kLanes;
  const std::size_t n_entries = job.width.n_entries(), size = engine.size();
  const std::size_t table_words = engine.table_words(n_entries, false);
  Scratch factors(std::min(kMost, (end - begin + kLanes - 1) / kLanes) * size);
  for (std::size_t i = begin; i < end; i += kRowsPerJointTable) {
    const std::size_t n = std::min(kMost, (end - i + kLanes - 1) / kLanes);
    JointDigits digits(job, i, end, n * kLanes);
    for (std::size_t t = 0; t < job.n_tables; ++t) {
      digits.read(t);
      for (std::size_t window = 0; window < job.n_windows; ++window) {
        Word* const state = job.state + (window * job.state_elements + i / kLanes) * size;
        const Word* const chosen = digits.of_window(window);
        const bool first = job.fresh && t == 0;
        engine.choose(first ? state : factors.get(), n, job.table + t * table_words, n_entries, chosen);
        if (first) continue;
        for (std::size_t e = 0; e < n; ++e) {
          engine.mul(state + e * size, state + e * size, factors.get() + e * size);
        }
      }
    }
  }
  secure_wipe_stack();
}

// out[i] = factor * product over windows of state^(2^(bits window)).
template <class Engine>
void joint_finish(const Modulus& modulus, const JointJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t size = engine.size();
  Scratch scratch(2 * size);
  Word* const sum = scratch.get();
  Word* const factor = sum + size;
  if (job.factor != nullptr) load_broadcast(engine, factor, job.factor);
  for (std::size_t i = begin; i < end; i += kLanes) {
    const auto state = [&](std::size_t window) {
      return job.state + (window * job.state_elements + i / kLanes) * size;
    };
    std::memcpy(sum, state(job.n_windows - 1), size * sizeof(Word));
    for (std::size_t window = job.n_windows - 1; window-- > 0;) {
      for (std::size_t s = 0; s < job.width.bits; ++s) engine.sqr(sum, sum);
      engine.mul(sum, sum, state(window));
    }
    if (job.factor != nullptr) {
      engine.leave_times(sum, factor);
    } else {
      engine.leave(sum, true);
    }
    store_rows(engine, sum, job.out, i, end);
  }
  secure_wipe_stack();
}

}  // namespace
}  // namespace crypsis::bigint
