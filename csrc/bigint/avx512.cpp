// SPDX-License-Identifier: Apache-2.0
// Eight numbers at a time on AVX-512 IFMA. Counts, the limit and what was tried: NOTES.md.
#include <immintrin.h>

#include <bit>

#include "bigint/columns52.h"
#include "bigint/convert52.h"
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
  std::size_t entry_words() const { return (k_ + 7) / 8 * 8; }

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
  void leave(Word* e, bool montgomery) {
    mul(e, e, element(montgomery ? kToStored : kToPlain));
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
  void lookup(Word* e, const Word* table, std::size_t n_entries, const Word* digits) const {
    scan(e, n_entries, digits,
         [&](std::size_t d, std::size_t j) { return _mm512_load_si512(table + d * size() + 8 * j); });
  }
  void lookup_shared(Word* e, const Word* table, std::size_t n_entries, const Word* digits) const {
    const std::size_t words = entry_words();
    scan(e, n_entries, digits, [&](std::size_t d, std::size_t j) { return splat(table[d * words + j]); });
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

  // All ones in the lanes whose digit is d, else 0.
  static Vector lanes_with(Vector digit, std::size_t d) {
    return _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(digit, splat(d)));
  }
  static Vector or_and(Vector sum, Vector x, Vector y) { return _mm512_ternarylogic_epi64(sum, x, y, 0xf8); }

  // e digit j = entry(d, j) where lane's digit is d: every entry is read, sixteen digits at a time. Loads are not
  // masked: one whose mask is 0 may skip the page, and need not touch the cache.
  template <class Entry>
  void scan(Word* e, std::size_t n_entries, const Word* digits, const Entry& entry) const {
    constexpr std::size_t kBlock = 16;
    const Vector digit = _mm512_loadu_si512(digits);
    std::size_t j = 0;
    for (; j + kBlock <= k_; j += kBlock) {
      Vector sum[kBlock];
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kBlock; ++i) sum[i] = _mm512_setzero_si512();
      for (std::size_t d = 0; d < n_entries; ++d) {
        const Vector chosen = lanes_with(digit, d);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kBlock; ++i) sum[i] = or_and(sum[i], entry(d, j + i), chosen);
      }
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kBlock; ++i) vectors(e)[j + i] = sum[i];
    }
    for (; j < k_; ++j) {
      Vector sum = _mm512_setzero_si512();
      for (std::size_t d = 0; d < n_entries; ++d) {
        sum = or_and(sum, entry(d, j), lanes_with(digit, d));
      }
      vectors(e)[j] = sum;
    }
  }

  std::size_t limbs_, k_, n_groups_;
  unsigned d_;
  Blocks blocks_;
  Scratch memory_;
  Vector last_mask_;
  Vector* limb_buffer_;
  Reduction by_;
};

}  // namespace

constinit const Impl avx512{{"avx512", kAvx512f | kAvx512dq | kAvx512ifma},
                            Engine52::kLanes,
                            mul_batch<Engine52>,
                            powm_batch<Engine52>,
                            run_products<Engine52>,
                            inverse_runs<Engine52>,
                            table_entry_words<Engine52>,
                            build_tables<Engine52>,
                            table_powm_batch<Engine52>,
                            multi_powm_batch<Engine52>};

}  // namespace crypsis::bigint
