// SPDX-License-Identifier: Apache-2.0
// What a backend of the bigint slug provides. Callers have checked every length and that every value is below
// the modulus. Rows are `limbs` words; a stride of 0 repeats one row. "Montgomery form" is x * R mod n with R of
// modulus.h, fully reduced: the same words from every backend.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "bigint/modulus.h"
#include "common/dispatch.h"

namespace crypsis::bigint {

// out[i] = a[i] * b[i] mod n; a[i]^2 where b is null. `montgomery`: operands and result in that form (so b = R^2
// with the flag set converts to it, b = 1 from it). out may be a or b itself.
struct MulJob {
  const Word* a;
  std::size_t a_stride;
  const Word* b;
  std::size_t b_stride;
  Word* out;
  bool montgomery;
};

// out[i] = bases[i]^exponents[i] mod n. Exponents have `exponent_limbs` words and are below 2^exponent_bits, which
// may be 0.
struct PowmJob {
  const Word* bases;
  std::size_t base_stride;
  const Word* exponents;
  std::size_t exponent_limbs, exponent_stride, exponent_bits;
  Word* out;
  bool montgomery;
  bool vartime;  // else no branch and no address depends on bases and exponents
};

// Products of runs of rows, everything in Montgomery form. Run r multiplies rows[index[j]] (rows[j] where index is
// null) for begin <= j < end, after initial[r] where initial is not null; the product of nothing is one.
struct Run {
  std::size_t begin, end, target;
};
struct RunJob {
  const Word* rows;
  const std::int64_t* index;
  const Run* runs;  // the backend takes them in order, `lanes` at a time: put runs of like length together
  const Word* initial;  // row `target` of it, or null
  Word* out;
  bool running;  // out[j] = product so far after item j; else out[target] = the whole product
};

// Second half of Montgomery's trick [Montgomery 1987, 10.3.1]: run r walks back from end - 1 to begin with
// u = inverses[target]: out[j] = u * before[j - 1] (u itself at begin), u = u * rows[j]. out may be rows.
struct InverseJob {
  const Word* rows;
  const Word* before;  // running products of the run
  const Run* runs;
  const Word* inverses;
  Word* out;
};

// Tables of powers shared by all rows, table_words() words each, in the backend's own form, which is another one for
// direct look-ups (`vartime`). out[i] = product over t of entry (t, digit t of exponent i), where digit t is the
// `window` bits from t * window on.
struct TableJob {
  const Word* table;
  std::size_t n_tables, window;
  const Word* exponents;
  std::size_t exponent_limbs, exponent_stride;
  Word* out;
  bool montgomery;
  bool vartime;
};

// How much of the exponents one look-up takes: `bits` bits of each of `bases` bases.
struct JointWidth {
  std::size_t bases, bits;
  std::size_t n_entries() const { return std::size_t{1} << (bases * bits); }
};
// bases * bits at most: a bigger table costs more to read whole than it saves.
inline constexpr std::size_t kMostJointBits = 8;

// Tables of products of powers, table_words(bases * bits) each, `width.bases` of n_bases rows in Montgomery form to a
// table; the last one may have fewer.
struct JointTables {
  const Word* bases;
  std::size_t n_bases;
  JointWidth width;
};

// out[i] = factor * product over j < n_bases of base_j^exponents[i * stride + j], exponents one word each and below
// 2^(width.bits * n_windows). Constant-time in the exponents. `state` has state_elements working elements for each
// window; with `fresh` what is in them does not count. factor: a row in Montgomery form, null for one.
struct JointJob {
  const Word* table;
  std::size_t n_tables;
  JointWidth width;
  const Word* exponents;
  std::size_t stride, n_bases, n_windows;
  Word* state;
  std::size_t state_elements;
  bool fresh;
  const Word* factor;
  Word* out;
};

struct Impl : Backend {
  std::size_t lanes;  // rows that are computed together; job ranges start at multiples of it

  void (*mul)(const Modulus&, const MulJob&, std::size_t begin, std::size_t end);
  void (*powm)(const Modulus&, const PowmJob&, std::size_t begin, std::size_t end);
  void (*runs)(const Modulus&, const RunJob&, std::size_t begin, std::size_t end);
  void (*inverses)(const Modulus&, const InverseJob&, std::size_t begin, std::size_t end);

  std::size_t (*table_words)(const Modulus&, std::size_t window, bool vartime);
  // What a look-up that reads a whole table costs an entry, in products.
  double (*scan_cost)(const Modulus&);
  // Tables [begin, end) of TableJob from base_t in Montgomery form: entries base_t^0 .. base_t^(2^window - 1).
  void (*tables)(const Modulus&, const Word* bases, std::size_t window, bool vartime, Word* table,
                 std::size_t begin, std::size_t end);
  void (*table_powm)(const Modulus&, const TableJob&, std::size_t begin, std::size_t end);
  std::size_t (*element_words)(const Modulus&);
  void (*joint_tables)(const Modulus&, const JointTables&, Word* table, std::size_t begin, std::size_t end);
  // One product a look-up for rows [begin, end), then the windows put together; row `begin` starts an element.
  void (*joint_products)(const Modulus&, const JointJob&, std::size_t begin, std::size_t end);
  void (*joint_finish)(const Modulus&, const JointJob&, std::size_t begin, std::size_t end);

  // Products of words in registers, as the backend multiplies them, and nothing else; returns how many.
  std::size_t (*products)(std::size_t repeats);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::bigint
