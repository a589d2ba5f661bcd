// SPDX-License-Identifier: Apache-2.0
// The algorithms of the slug, written once over an Engine that multiplies kLanes numbers at a time. Everything is
// in an unnamed namespace: each backend's file gets code of its own with its own ISA flags.
//
// An Engine holds elements: size() words for kLanes numbers, 64-byte aligned, in one of two forms.
//   exact    Montgomery form with R, fully reduced: load, store, mul_exact, sqr_exact; mul_plain and sqr_plain for
//            numbers that are not in that form
//   working  the form the backend is fastest in, only loosely reduced: enter, mul, sqr, one, leave
// `r` may be `a` or `b` in every function.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "bigint/impl.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

// Aligned, uninitialised words; wiped at the end.
class Scratch {
 public:
  explicit Scratch(std::size_t n_words)
      : n_bytes_((n_words * sizeof(Word) + 63) & ~std::size_t{63}),
        data_(static_cast<Word*>(::operator new(n_bytes_, std::align_val_t{64}))) {}
  ~Scratch() {
    secure_wipe(data_, n_bytes_);
    ::operator delete(data_, std::align_val_t{64});
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Word* get() const noexcept { return data_; }

 private:
  std::size_t n_bytes_;
  Word* data_;
};

// Rows i .. i + kLanes of a batch; lanes past `end` repeat the first row, and nothing of them is stored.
template <class Engine>
struct Rows {
  const Word* at[Engine::kLanes];
  std::size_t n_live;

  Rows(const Word* base, std::size_t stride, std::size_t i, std::size_t end)
      : n_live(std::min(Engine::kLanes, end - i)) {
    for (std::size_t lane = 0; lane < Engine::kLanes; ++lane) {
      at[lane] = base + (i + (lane < n_live ? lane : 0)) * stride;
    }
  }
};

template <class Engine>
void store_rows(const Engine& engine, const Word* element, Word* out, std::size_t i, std::size_t end) {
  Word* at[Engine::kLanes];
  const std::size_t n_live = std::min(Engine::kLanes, end - i);
  for (std::size_t lane = 0; lane < n_live; ++lane) at[lane] = out + (i + lane) * engine.limbs();
  engine.store(element, at, n_live);
}

template <class Engine>
void load_broadcast(const Engine& engine, Word* element, const Word* row) {
  const Word* at[Engine::kLanes];
  std::fill_n(at, Engine::kLanes, row);
  engine.load(element, at);
}

// Rows that follow 4 KiB further on are out of the hardware's prefetch: asked for one product ahead.
inline void prefetch_rows(const Word* rows, std::size_t n_words) {
  for (std::size_t i = 0; i < n_words; i += 8) __builtin_prefetch(rows + i);
}
inline void prefetch_rows_to_write(const Word* rows, std::size_t n_words) {
  for (std::size_t i = 0; i < n_words; i += 8) __builtin_prefetch(rows + i, 1);
}

template <class Engine>
void mul_batch(const Modulus& modulus, const MulJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  Scratch scratch(2 * engine.size());
  Word* const a = scratch.get();
  Word* const b = a + engine.size();
  const bool shared = job.b != nullptr && job.b_stride == 0;
  if (shared) {
    load_broadcast(engine, b, job.b);
    if (!job.montgomery) {  // x * (b R) / R
      load_broadcast(engine, a, modulus.r2());
      engine.mul_exact(b, b, a);
    }
  }
  for (std::size_t i = begin; i < end; i += Engine::kLanes) {
    engine.load(a, Rows<Engine>(job.a, job.a_stride, i, end).at);
    if (job.b != nullptr && !shared) engine.load(b, Rows<Engine>(job.b, job.b_stride, i, end).at);
    const std::size_t next = i + Engine::kLanes;
    if (next < end) {
      const std::size_t n_words = std::min(Engine::kLanes, end - next) * engine.limbs();
      prefetch_rows(job.a + next * job.a_stride, n_words);
      if (job.b != nullptr && !shared) prefetch_rows(job.b + next * job.b_stride, n_words);
      prefetch_rows_to_write(job.out + next * engine.limbs(), n_words);
    }
    if (job.montgomery || shared) {
      if (job.b == nullptr) {
        engine.sqr_exact(a, a);
      } else {
        engine.mul_exact(a, a, b);
      }
    } else if (job.b == nullptr) {
      engine.sqr_plain(a, a);
    } else {
      engine.mul_plain(a, a, b);
    }
    store_rows(engine, a, job.out, i, end);
  }
  secure_wipe_stack();
}

// `count` bits of an exponent from bit `from` on; bits past its end are 0. Addresses depend on `from` only.
inline Word exponent_bits_at(const Word* exponent, std::size_t limbs, std::size_t from, std::size_t count) {
  const std::size_t limb = from / 64, shift = from % 64;
  if (limb >= limbs) return 0;
  Word bits = exponent[limb] >> shift;
  if (shift + count > 64 && limb + 1 < limbs) bits |= exponent[limb + 1] << (64 - shift);
  return bits & ((Word{1} << count) - 1);
}

// Bits a window takes: least products for a table of 2^w powers and one product a window, where a masked scan
// costs 1/128 product an entry.
inline std::size_t powm_window(std::size_t exponent_bits, bool vartime) {
  std::size_t best = 1;
  double best_cost = 1e300;
  for (std::size_t w = 1; w <= 8; ++w) {
    const double entries = static_cast<double>(std::size_t{1} << w);
    const double windows = static_cast<double>((exponent_bits + w - 1) / w);
    const double cost = entries + windows * (1 + (vartime ? 0 : entries / 128));
    if (cost < best_cost) {
      best = w;
      best_cost = cost;
    }
  }
  return best;
}

// Fixed windows from the top [HAC 14.82], the same operations for every exponent of exponent_bits.
template <class Engine>
void powm_batch(const Modulus& modulus, const PowmJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  const std::size_t w = powm_window(job.exponent_bits, job.vartime);
  const std::size_t n_entries = std::size_t{1} << w;
  const std::size_t n_windows = (job.exponent_bits + w - 1) / w;
  Scratch scratch((n_entries + 2) * engine.size());
  Word* const table = scratch.get();
  Word* const acc = table + n_entries * engine.size();
  Word* const factor = acc + engine.size();
  const auto entry = [&](std::size_t d) { return table + d * engine.size(); };
  Word digits[Engine::kLanes];

  engine.one(entry(0));
  for (std::size_t i = begin; i < end; i += Engine::kLanes) {
    const bool fresh_table = i == begin || job.base_stride != 0;
    if (fresh_table) {
      engine.load(entry(1), Rows<Engine>(job.bases, job.base_stride, i, end).at);
      engine.enter(entry(1), job.montgomery);
      for (std::size_t d = 2; d < n_entries; ++d) {
        if (d % 2 == 0) {
          engine.sqr(entry(d), entry(d / 2));
        } else {
          engine.mul(entry(d), entry(d - 1), entry(1));
        }
      }
    }
    const Rows<Engine> exponents(job.exponents, job.exponent_stride, i, end);
    engine.one(acc);
    for (std::size_t t = n_windows; t-- > 0;) {
      Word any = 0;
      for (std::size_t lane = 0; lane < Engine::kLanes; ++lane) {
        digits[lane] = exponent_bits_at(exponents.at[lane], job.exponent_limbs, t * w, w);
        any |= digits[lane];
      }
      const bool first = t + 1 == n_windows;
      if (!first) {
        for (std::size_t s = 0; s < w; ++s) engine.sqr(acc, acc);
      }
      if (job.vartime) {
        if (any == 0) continue;
        engine.lookup_vartime(factor, table, digits);
      } else {
        engine.lookup(factor, table, n_entries, digits);
      }
      if (first) {
        std::memcpy(acc, factor, engine.size() * sizeof(Word));
      } else {
        engine.mul(acc, acc, factor);
      }
    }
    engine.leave(acc, job.montgomery);
    store_rows(engine, acc, job.out, i, end);
  }
  secure_wipe(digits, sizeof(digits));
  secure_wipe_stack();
}

}  // namespace
}  // namespace crypsis::bigint
