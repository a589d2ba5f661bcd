// SPDX-License-Identifier: Apache-2.0
// Eight numbers at a time on AVX-512 IFMA. Counts, the limit and what was tried: NOTES.md.
#include <immintrin.h>

#include <bit>

#include "bigint/columns52.h"
#include "bigint/convert52.h"
#include "bigint/joint.h"
#include "bigint/lanes.h"
#include "bigint/runs.h"
#include "bigint/tables.h"

namespace crypsis::bigint {
namespace {

Vector* vectors(Word* words) {
  return reinterpret_cast<Vector*>(words);
}
const Vector* vectors(const Word* words) {
  return reinterpret_cast<const Vector*>(words);
}

// An element is k digit vectors, padded to whole groups of convert52.h.
//   exact    Montgomery form with R = 2^(64 limbs), below n: the last digit of the reduction has d bits only
//   working  Montgomery form with S = 2^(52 k) > 16 n, below 2 n: products need no final subtraction, since
//            (2n)^2 / S + n < 2n
class Engine52 {
 public:
  static constexpr std::size_t kLanes = 8;

  explicit Engine52(const Modulus& modulus)
      : limbs_(modulus.limbs()),
        k_(modulus.digits52()),
        n_groups_((k_ + kGroupDigits - 1) / kGroupDigits),
        d_(static_cast<unsigned>(64 * limbs_ - 52 * (k_ - 1))),
        blocks_(k_),
        memory_(kElements * size() + 8 * (n_groups_ * kGroupLimbs + 8 + kGroupDigits)),
        last_mask_(splat((std::uint64_t{1} << d_) - 1)) {
    limb_buffer_ = vectors(memory_.get() + kElements * size());
    std::fill_n(memory_.get(), kElements * size() + 8 * (n_groups_ * kGroupLimbs + 8 + kGroupDigits),
                Word{0});
    broadcast(element(kN), modulus.n());
    broadcast(element(kOne), modulus.s());
    broadcast(element(kFromPlain), modulus.s2());
    broadcast(element(kFromStored), modulus.s2_over_r());
    broadcast(element(kToStored), modulus.r());
    broadcast(element(kR2), modulus.r2());
    vectors(element(kToPlain))[0] = splat(1);
    by_ = {vectors(element(kN)), vectors(element(kQ)), splat(modulus.minus_inverse() & kMask52), k_};
  }

  std::size_t limbs() const { return limbs_; }
  std::size_t size() const { return 8 * n_groups_ * kGroupDigits; }
  std::size_t entry_words() const { return (k_ + 7) / 8 * 8; }  // of a packed entry, 64-byte aligned

  void load(Word* e, const Word* const* rows) const {
    gather_words(limb_buffer_, rows, limbs_);
    for (std::size_t i = limbs_; i < n_groups_ * kGroupLimbs; ++i) limb_buffer_[i] = _mm512_setzero_si512();
    limbs_to_digits(vectors(e), limb_buffer_, n_groups_);
  }
  void store(const Word* e, Word* const* rows, std::size_t n_live) const {
    Word* at[kLanes] = {};
    std::copy_n(rows, n_live, at);
    store_some(e, at);
  }
  void store_some(const Word* e, Word* const* rows) const {
    Vector* const q = vectors(element(kQ));  // whole groups of digits, zeros after the last
    std::copy_n(vectors(e), k_, q);
    std::fill(q + k_, q + n_groups_ * kGroupDigits, _mm512_setzero_si512());
    digits_to_limbs(limb_buffer_, q, n_groups_);
    scatter_words(limb_buffer_, rows, limbs_);
  }

  void mul_exact(Word* r, const Word* a, const Word* b) {
    finish_exact(vectors(r), montgomery_mul(vectors(r), vectors(a), vectors(b), by_, blocks_, last_mask_));
  }
  void sqr_exact(Word* r, const Word* a) {
    finish_exact(vectors(r), montgomery_sqr(vectors(r), vectors(a), by_, blocks_, last_mask_));
  }
  void mul_plain(Word* r, const Word* a, const Word* b) {
    mul_exact(r, a, b);
    mul_exact(r, r, element(kR2));
  }
  void sqr_plain(Word* r, const Word* a) {
    sqr_exact(r, a);
    mul_exact(r, r, element(kR2));
  }
  void mul(Word* r, const Word* a, const Word* b) {
    montgomery_mul(vectors(r), vectors(a), vectors(b), by_, blocks_, splat(kMask52));
  }
  void sqr(Word* r, const Word* a) { montgomery_sqr(vectors(r), vectors(a), by_, blocks_, splat(kMask52)); }

  void one(Word* e) const { copy(e, element(kOne)); }
  void enter(Word* e, bool montgomery) { mul(e, e, element(montgomery ? kFromStored : kFromPlain)); }
  void leave(Word* e, bool montgomery) { leave_times(e, element(montgomery ? kToStored : kToPlain)); }
  // To Montgomery form with R, times what a loaded `factor` is in that form.
  void leave_times(Word* e, const Word* factor) {
    mul(e, e, factor);
    for (std::size_t j = 0; j < k_; ++j) vectors(e)[j] = _mm512_and_si512(vectors(e)[j], splat(kMask52));
    subtract_if_not_below(vectors(e));
  }

  void lookup_vartime(Word* e, const Word* table, const Word* digits) const {
    const Vector digit = _mm512_loadu_si512(digits);
    if (_mm512_cmpneq_epi64_mask(digit, splat(digits[0])) == 0) return copy(e, table + digits[0] * size());
    const Vector lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    alignas(64) Word at[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) at[i] = digits[i] * size();
    const Vector index = _mm512_add_epi64(_mm512_load_si512(at), lane);
    for (std::size_t j = 0; j < k_; ++j) {
      vectors(e)[j] = _mm512_i64gather_epi64(index, table + 8 * j, 8);
    }
  }
  // Every entry is read. Loads are not masked: one whose mask is 0 may skip the page, and need not touch the cache.
  void lookup(Word* e, const Word* table, std::size_t n_entries, const Word* digits) const {
    const Vector digit = _mm512_loadu_si512(digits);
    std::size_t j = 0;
    for (std::size_t i = 0; i < blocks_.count(); ++i) {
      with_width(blocks_.width(i), [&]<int W>() { scan<W>(e, table, n_entries, digit, j); });
      j += blocks_.width(i);
    }
  }

  // A table that is read whole: digit j of entry d is word j * stride + d, so that a vector holds one digit of
  // eight entries, and a permutation chooses among them for eight lanes at once.
  std::size_t table_words(std::size_t n_entries, bool vartime) const {
    return vartime ? n_entries * entry_words() : k_ * stride(n_entries);
  }
  double scan_cost() const { return 1.0 / (32.0 * static_cast<double>(k_)); }  // k / 16 of 2 k^2 cycles
  void put_choice(const Word* e, Word* const* tables, std::size_t n_live, std::size_t d,
                  std::size_t n_entries) const {
    for (std::size_t lane = 0; lane < n_live; ++lane) {
      Word* const digits = tables[lane] + d;
      for (std::size_t j = 0; j < k_; ++j) digits[j * stride(n_entries)] = e[8 * j + lane];
    }
  }
  // Lane l of all entries, which stand one behind the other, to table l; what follows a table's last entry is never
  // chosen.
  void put_choices(const Word* entries, Word* const* tables, std::size_t n_live,
                   std::size_t n_entries) const {
    for (std::size_t d = 0; d < n_entries; d += 8) {
      const std::size_t count = std::min<std::size_t>(8, n_entries - d);
      for (std::size_t j = 0; j < k_; ++j) {
        Vector v[8];
        for (std::size_t i = 0; i < 8; ++i) {
          v[i] = _mm512_load_si512(entries + (d + (i < count ? i : 0)) * size() + 8 * j);
        }
        transpose8(v);
        for (std::size_t lane = 0; lane < n_live; ++lane) {
          _mm512_store_si512(tables[lane] + j * stride(n_entries) + d, v[lane]);
        }
      }
    }
  }
  // elements[i] lane l = entry digits[8 i + l]. A few digits of all entries at a time, which then stay in the
  // first-level cache for all elements.
  void choose(Word* elements, std::size_t count, const Word* table, std::size_t n_entries,
              const Word* digits) const {
    switch (stride(n_entries) / 8) {
      case 1:
        return choose_among<1>(elements, count, table, digits);
      case 2:
        return choose_among<2>(elements, count, table, digits);
      case 4:
        return choose_among<4>(elements, count, table, digits);
      case 8:
        return choose_among<8>(elements, count, table, digits);
      case 16:
        return choose_among<16>(elements, count, table, digits);
      default:
        return choose_among<32>(elements, count, table, digits);
    }
  }

  void pack(const Word* e, Word* const* rows, std::size_t n_live) const {
    Word* at[kLanes] = {};
    std::copy_n(rows, n_live, at);
    scatter_words(vectors(e), at, entry_words());
  }
  void unpack(Word* e, const Word* const* rows) const { gather_words(vectors(e), rows, entry_words()); }

 private:
  enum Constant : std::size_t { kN, kOne, kFromPlain, kFromStored, kToStored, kToPlain, kR2, kQ, kElements };

  Word* element(std::size_t i) const { return memory_.get() + i * size(); }
  void copy(Word* to, const Word* from) const { std::memcpy(to, from, size() * sizeof(Word)); }
  void broadcast(Word* e, const Word* row) const {
    const Word* rows[kLanes];
    std::fill_n(rows, kLanes, row);
    load(e, rows);
  }

  // r: digits k .. 2k - 1 of a sum whose digit k - 1 is `rest` with its low d bits 0. r = sum / 2^(52 (k - 1) + d),
  // below 2 n, then below n. A shift right by d is the high half of a product by 2^(52 - d).
  void finish_exact(Vector* r, Vector rest) {
    if (d_ > 0) {
      const Vector shift = splat(std::uint64_t{1} << (52 - d_));
      for (std::size_t j = 0; j < k_; ++j) {
        const Vector digit = r[j];
        r[j] =
            _mm512_madd52lo_epu64(_mm512_madd52hi_epu64(_mm512_setzero_si512(), rest, shift), digit, shift);
        rest = digit;
      }
    } else {
      for (std::size_t j = 0; j < k_; ++j) {
        std::swap(r[j], rest);
        r[j] = _mm512_and_si512(r[j], splat(kMask52));
      }
    }
    subtract_if_not_below(r);
  }

  // r = r or r - n, whichever is in [0, n), lane by lane.
  void subtract_if_not_below(Vector* r) {
    const Vector mask = splat(kMask52);
    const Vector* const n = by_.n;
    Vector* const difference = by_.q;
    Vector borrow = _mm512_setzero_si512();  // 0 or -1
    for (std::size_t j = 0; j < k_; ++j) {
      const Vector x = _mm512_add_epi64(_mm512_sub_epi64(r[j], n[j]), borrow);
      difference[j] = _mm512_and_si512(x, mask);
      borrow = _mm512_srai_epi64(x, 63);
    }
    const __mmask8 not_below = _mm512_cmpeq_epi64_mask(borrow, _mm512_setzero_si512());
    for (std::size_t j = 0; j < k_; ++j) r[j] = _mm512_mask_mov_epi64(r[j], not_below, difference[j]);
  }

  static std::size_t stride(std::size_t n_entries) { return std::max<std::size_t>(8, n_entries); }

  // Of V vectors, eight entries each: the low bits of the digit choose within two of them, the others halve the rest.
  // bits[i] is all ones where bit 4 + i of the digit is set.
  template <int V>
  CRYPSIS_INLINE static Vector choose_vector(const Word* at, Vector digit, const Vector* bits) {
    if constexpr (V == 1) {
      return _mm512_permutexvar_epi64(digit, _mm512_load_si512(at));
    } else if constexpr (V == 2) {
      return _mm512_permutex2var_epi64(_mm512_load_si512(at), digit, _mm512_load_si512(at + 8));
    } else {
      const Vector low = choose_vector<V / 2>(at, digit, bits);
      const Vector high = choose_vector<V / 2>(at + 4 * V, digit, bits);
      constexpr int kBit = std::countr_zero(static_cast<unsigned>(V)) - 2;
      return _mm512_ternarylogic_epi64(bits[kBit], high, low, 0xca);  // bit ? high : low
    }
  }

  template <int V>
  void choose_among(Word* elements, std::size_t count, const Word* table, const Word* digits) const {
    constexpr std::size_t kDigits = 8, kBits = 4;
    for (std::size_t j = 0; j < k_; j += kDigits) {
      const std::size_t stop = std::min(j + kDigits, k_);
      for (std::size_t i = 0; i < count; ++i) {
        const Vector digit = _mm512_loadu_si512(digits + 8 * i);
        Vector bits[kBits];
        repeat<kBits>([&](auto b) CRYPSIS_INLINE {
          bits[b] = _mm512_movm_epi64(_mm512_test_epi64_mask(digit, splat(std::uint64_t{16} << b)));
        });
        Vector* const element = vectors(elements + i * size());
        for (std::size_t at = j; at < stop; ++at) {
          element[at] = choose_vector<V>(table + at * 8 * V, digit, bits);
        }
      }
    }
  }

  // All ones in the lanes whose digit is d, else 0.
  static Vector lanes_with(Vector digit, std::size_t d) {
    return _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(digit, splat(d)));
  }
  static Vector or_and(Vector sum, Vector x, Vector y) { return _mm512_ternarylogic_epi64(sum, x, y, 0xf8); }

  // e digit j .. j + W = entry(d) digit j .. of the lane's d.
  template <int W>
  [[gnu::noinline]] void scan(Word* e, const Word* table, std::size_t n_entries, Vector digit,
                              std::size_t j) const {
    Vector sum[W];
    repeat<W>([&](auto i) CRYPSIS_INLINE { sum[i] = _mm512_setzero_si512(); });
    for (std::size_t d = 0; d < n_entries; ++d) {
      const Word* const entry = table + d * size() + 8 * j;
      const Vector chosen = lanes_with(digit, d);
      repeat<W>([&](auto i)
                    CRYPSIS_INLINE { sum[i] = or_and(sum[i], _mm512_load_si512(entry + 8 * i), chosen); });
    }
    repeat<W>([&](auto i) CRYPSIS_INLINE { vectors(e)[j + i] = sum[i]; });
  }

  std::size_t limbs_, k_, n_groups_;
  unsigned d_;
  Blocks blocks_;
  Scratch memory_;
  Vector last_mask_;
  Vector* limb_buffer_;
  Reduction by_;
};

// Sixteen sums: two products a cycle, of four cycles each, need eight. The statement of no instructions hides each sum
// from the compiler, which could else take several steps at once.
std::size_t products(std::size_t repeats) {
  constexpr int kTogether = 16;
  const Vector x = splat(0x9e3779b97f4a7);
  Vector sums[kTogether];
  repeat<kTogether>([&](auto i) CRYPSIS_INLINE { sums[i] = splat(i); });
  for (std::size_t n = 0; n < repeats; ++n) {
    repeat<kTogether>([&](auto i) CRYPSIS_INLINE {
      sums[i] = _mm512_madd52lo_epu64(sums[i], x, x);
      __asm__ volatile("" : "+v"(sums[i]));
    });
  }
  return repeats * kTogether * Engine52::kLanes;
}

}  // namespace

constinit const Impl avx512{{"avx512", kAvx512f | kAvx512dq | kAvx512ifma},
                            Engine52::kLanes,
                            mul_batch<Engine52>,
                            powm_batch<Engine52>,
                            run_products<Engine52>,
                            inverse_runs<Engine52>,
                            table_words<Engine52>,
                            scan_cost<Engine52>,
                            build_tables<Engine52>,
                            table_powm_batch<Engine52>,
                            element_words<Engine52>,
                            build_joint_tables<Engine52>,
                            joint_products<Engine52>,
                            joint_finish<Engine52>,
                            products};

}  // namespace crypsis::bigint
