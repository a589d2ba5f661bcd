// SPDX-License-Identifier: Apache-2.0
// One number at a time on 64-bit limbs. Counts and comparison with GMP: NOTES.md.
#include "bigint/joint.h"
#include "bigint/lanes.h"
#include "bigint/montgomery64.h"
#include "bigint/runs.h"
#include "bigint/tables.h"

namespace crypsis::bigint {
namespace {

// Both forms of lanes.h are the same here: Montgomery form with R, fully reduced.
class Engine64 {
 public:
  static constexpr std::size_t kLanes = 1;

  explicit Engine64(const Modulus& modulus) : modulus_(modulus) {}
  std::size_t limbs() const { return modulus_.limbs(); }
  std::size_t size() const { return limbs(); }
  std::size_t entry_words() const { return limbs(); }

  void load(Word* e, const Word* const* rows) const { copy(e, rows[0]); }
  void store(const Word* e, Word* const* rows, std::size_t n_live) const {
    if (n_live > 0) copy(rows[0], e);
  }
  void store_some(const Word* e, Word* const* rows) const {
    if (rows[0] != nullptr) copy(rows[0], e);
  }
  void mul_exact(Word* r, const Word* a, const Word* b) { montgomery_.mul(modulus_, r, a, b); }
  void sqr_exact(Word* r, const Word* a) { montgomery_.sqr(modulus_, r, a); }

  void mul_plain(Word* r, const Word* a, const Word* b) { montgomery_.mul_plain(modulus_, r, a, b); }
  void sqr_plain(Word* r, const Word* a) { montgomery_.sqr_plain(modulus_, r, a); }

  void mul(Word* r, const Word* a, const Word* b) { mul_exact(r, a, b); }
  void sqr(Word* r, const Word* a) { sqr_exact(r, a); }
  void one(Word* e) const { copy(e, modulus_.r()); }
  void enter(Word* e, bool montgomery) {
    if (!montgomery) mul(e, e, modulus_.r2());
  }
  void leave(Word* e, bool montgomery) {
    if (!montgomery) montgomery_.redc(modulus_, e, e);
  }
  void leave_times(Word* e, const Word* factor) { mul(e, e, factor); }

  void lookup_vartime(Word* e, const Word* table, const Word* digits) const {
    copy(e, table + digits[0] * limbs());
  }
  void lookup(Word* e, const Word* table, std::size_t n_entries, const Word* digits) const {
    std::fill_n(e, limbs(), Word{0});
    for (std::size_t d = 0; d < n_entries; ++d) {
      const Word difference = d ^ digits[0];  // both below 2^63
      const Word mask = ((difference - 1) >> 63) * ~Word{0};
      const Word* const entry = table + d * limbs();
      for (std::size_t i = 0; i < limbs(); ++i) e[i] |= entry[i] & mask;
    }
  }

  // Both forms of tables are entry after entry.
  std::size_t table_words(std::size_t n_entries, bool) const { return n_entries * limbs(); }
  double scan_cost() const { return 0.2 / static_cast<double>(limbs()); }
  void choose(Word* elements, std::size_t count, const Word* table, std::size_t n_entries,
              const Word* digits) const {
    for (std::size_t i = 0; i < count; ++i) lookup(elements + i * size(), table, n_entries, digits + i);
  }
  void put_choice(const Word* e, Word* const* tables, std::size_t, std::size_t d, std::size_t) const {
    copy(tables[0] + d * limbs(), e);
  }
  void put_choices(const Word* entries, Word* const* tables, std::size_t, std::size_t n_entries) const {
    std::copy_n(entries, n_entries * limbs(), tables[0]);
  }
  void pack(const Word* e, Word* const* rows, std::size_t n_live) const { store(e, rows, n_live); }
  void unpack(Word* e, const Word* const* rows) const { copy(e, rows[0]); }

 private:
  void copy(Word* to, const Word* from) const { std::memcpy(to, from, limbs() * sizeof(Word)); }

  const Modulus& modulus_;
  Montgomery64 montgomery_;
};

// Nothing waits for anything else: one instruction and a copy of a factor each, so that the multiplier is what binds. The
// statements of no instructions hide the factors and use both halves, so nothing is computed once or left out.
std::size_t products(std::size_t repeats) {
  constexpr int kTogether = 16;
  Word x = 0x9e3779b97f4a7c15, y = ~x;
  for (std::size_t i = 0; i < repeats; ++i) {
    repeat<kTogether>([&](auto) CRYPSIS_INLINE {
      __asm__ volatile("" : "+r"(x), "+r"(y));
      const auto product = static_cast<unsigned __int128>(x) * y;
      __asm__ volatile("" : : "r"(static_cast<Word>(product)), "r"(static_cast<Word>(product >> 64)));
    });
  }
  return repeats * kTogether;
}

}  // namespace

constinit const Impl portable{{"portable", 0},
                              Engine64::kLanes,
                              mul_batch<Engine64>,
                              powm_batch<Engine64>,
                              run_products<Engine64>,
                              inverse_runs<Engine64>,
                              table_words<Engine64>,
                              scan_cost<Engine64>,
                              build_tables<Engine64>,
                              table_powm_batch<Engine64>,
                              element_words<Engine64>,
                              build_joint_tables<Engine64>,
                              joint_products<Engine64>,
                              joint_finish<Engine64>,
                              products};

}  // namespace crypsis::bigint
