// SPDX-License-Identifier: Apache-2.0
// Montgomery products of single numbers on 64-bit limbs, fully reduced.
#pragma once
#include <cstring>

#include "bigint/modulus.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

using Wide = unsigned __int128;

class Montgomery64 {
 public:
  ~Montgomery64() { secure_wipe(this, sizeof(*this)); }

  void mul(const Modulus& m, Word* r, const Word* a, const Word* b) {
    const std::size_t k = m.limbs();
    const Word* const n = m.n();
    Wide lo = 0, hi = 0;
    for (std::size_t c = 0; c < k; ++c) {
      column(lo, hi, a, b + c, c + 1);
      column(lo, hi, q_, n + c, c);
      q_[c] = static_cast<Word>(lo) * m.minus_inverse();
      add(lo, hi, q_[c], n[0]);
      lo = hi + (lo >> 64);
      hi = 0;
    }
    for (std::size_t c = k; c < 2 * k - 1; ++c) {
      column(lo, hi, a + (c - k + 1), b + (k - 1), 2 * k - 1 - c);
      column(lo, hi, q_ + (c - k + 1), n + (k - 1), 2 * k - 1 - c);
      t_[c - k] = static_cast<Word>(lo);
      lo = hi + (lo >> 64);
      hi = 0;
    }
    t_[k - 1] = static_cast<Word>(lo);
    finish(m, r, static_cast<Word>(lo >> 64));
  }
  void sqr(const Modulus& m, Word* r, const Word* a) { mul(m, r, a, a); }
  void redc(const Modulus& m, Word* r, const Word* a) {
    Word one[kMaxLimbs] = {1};
    mul(m, r, a, one);
  }

 private:
  static void add(Wide& lo, Wide& hi, Word x, Word y) {
    const Wide p = static_cast<Wide>(x) * y;
    lo += static_cast<Word>(p);
    hi += static_cast<Word>(p >> 64);
  }
  static void column(Wide& lo, Wide& hi, const Word* x, const Word* y_top, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add(lo, hi, x[i], *(y_top - i));
  }
  // r = t or t - n, whichever is below n; the top bit of t is `carry`.
  void finish(const Modulus& m, Word* r, Word carry) {
    const std::size_t k = m.limbs();
    Word borrow = 0;
    for (std::size_t i = 0; i < k; ++i) {
      const Wide d = static_cast<Wide>(t_[i]) - m.n()[i] - borrow;
      q_[i] = static_cast<Word>(d);
      borrow = static_cast<Word>(d >> 64) & 1;
    }
    const Word keep = Word{0} - (borrow & (carry ^ 1));
    for (std::size_t i = 0; i < k; ++i) r[i] = (t_[i] & keep) | (q_[i] & ~keep);
  }

  Word q_[kMaxLimbs];
  Word t_[kMaxLimbs];
};

}  // namespace
}  // namespace crypsis::bigint
