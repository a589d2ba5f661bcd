// SPDX-License-Identifier: Apache-2.0
// Modular products of single numbers on 64-bit limbs, fully reduced: in Montgomery form by REDC [Montgomery 1985] in
// blocks of eight limbs, plain ones by Barrett's method [HAC 14.42]. Constant-time.
#pragma once
#include <cstring>

#include "bigint/products64.h"
#include "bigint/small64.h"
#include "common/wipe.h"

namespace crypsis::bigint {
namespace {

class Montgomery64 {
 public:
  Montgomery64() = default;
  ~Montgomery64() { secure_wipe(this, sizeof(*this)); }
  Montgomery64(const Montgomery64&) = delete;
  Montgomery64& operator=(const Montgomery64&) = delete;

  // r = a * b / R mod n; r may be a or b, here and below.
  void mul(const Modulus& m, Word* r, const Word* a, const Word* b) {
    if (m.limbs() <= kSmallLimbs) return small_product<false>(m, r, a, b);
    multiply(t_, a, b, m.limbs());
    reduce(m, r);
  }
  void sqr(const Modulus& m, Word* r, const Word* a) {
    if (m.limbs() <= kSmallLimbs) return small_product<true>(m, r, a, a);
    square(t_, a, m.limbs());
    reduce(m, r);
  }
  // r = a / R mod n.
  void redc(const Modulus& m, Word* r, const Word* a) {
    std::memcpy(t_, a, m.limbs() * sizeof(Word));
    std::fill_n(t_ + m.limbs(), m.limbs(), Word{0});
    reduce(m, r);
  }
  // r = a * b mod n; r = a * a mod n.
  void mul_plain(const Modulus& m, Word* r, const Word* a, const Word* b) {
    multiply(t_, a, b, m.limbs());
    divide(m, r);
  }
  void sqr_plain(const Modulus& m, Word* r, const Word* a) {
    square(t_, a, m.limbs());
    divide(m, r);
  }

 private:
  // r = t / R mod n, t < n R.
  void reduce(const Modulus& m, Word* r) {
    const std::size_t k = m.limbs();
    Word carry = 0;
    for (std::size_t j = 0; j < k; j += kRows) {
      carry = with_rows(k - j,
                        [&]<int U>() { return add_multiple<U>(t_ + j, m.n(), k, m.minus_inverse(), carry); });
    }
    Word borrow = 0;
    for (std::size_t i = 0; i < k; ++i) t_[i] = subtract(t_[k + i], m.n()[i], borrow);
    const Word keep = Word{0} - (borrow & (carry ^ 1));
    for (std::size_t i = 0; i < k; ++i) r[i] = (t_[k + i] & keep) | (t_[i] & ~keep);
  }

  // r = t mod n, t < n^2. With B = 2^64 and mu = floor(B^(2k) / n), the quotient of t is floor(t / B^(k - 1)) * mu
  // / B^(k + 1), at most 2 too small; leaving out the columns below k - 1 of that product costs one more.
  void divide(const Modulus& m, Word* r) {
    const std::size_t k = m.limbs();
    std::fill_n(product_, 2 * k + 2 + kRows, Word{0});
    Word carry = 0;
    for (std::size_t j = 0; j < k + 1; j += kRows) {
      const std::size_t skip = k > j + kRows ? k - j - kRows : 0;
      carry =
          add_rows(product_ + j + skip, t_ + k - 1 + skip, k + 1 - skip, m.barrett() + j, k + 1 - j, carry);
    }
    std::memcpy(quotient_, product_ + k + 1, (k + 1) * sizeof(Word));
    std::fill_n(product_, k + 1 + kRows, Word{0});
    for (std::size_t j = 0; j < k + 1; j += kRows) {  // quotient * n mod B^(k + 1)
      add_rows(product_ + j, m.n(), std::min(k, k + 1 - j), quotient_ + j, k + 1 - j, 0);
    }
    Word borrow = 0;
    for (std::size_t i = 0; i <= k; ++i) t_[i] = subtract(t_[i], product_[i], borrow);
    for (int times = 0; times < 3; ++times) {  // t < 4 n
      borrow = 0;
      for (std::size_t i = 0; i < k; ++i) product_[i] = subtract(t_[i], m.n()[i], borrow);
      const Word top = subtract(t_[k], 0, borrow);
      const Word keep = Word{0} - borrow;
      for (std::size_t i = 0; i < k; ++i) t_[i] = (t_[i] & keep) | (product_[i] & ~keep);
      t_[k] = (t_[k] & keep) | (top & ~keep);
    }
    std::memcpy(r, t_, k * sizeof(Word));
  }

  static CRYPSIS_INLINE Word subtract(Word x, Word y, Word& borrow) {
    const Wide difference = static_cast<Wide>(x) - y - borrow;
    borrow = static_cast<Word>(difference >> 64) & 1;
    return static_cast<Word>(difference);
  }

  Word t_[2 * kMaxLimbs];
  Word product_[2 * kMaxLimbs + 2 + kRows];
  Word quotient_[kMaxLimbs + 1];
};

}  // namespace
}  // namespace crypsis::bigint
