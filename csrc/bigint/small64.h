// SPDX-License-Identifier: Apache-2.0
// Montgomery products of 4 to 16 limbs, wholly unrolled: product and reduction share one pass over the columns
// [Koc, Acar, Kaliski 1996, FIPS], which for so few limbs saves a third of the time of two passes.
#pragma once
#include <array>

#include "bigint/products64.h"

namespace crypsis::bigint {
namespace {

// The products of column C of a * b, or of a * a where kSquare (b is not read).
template <int L, int C, bool kSquare>
CRYPSIS_INLINE inline void add_column(ColumnSum& sum, const Word* a, const Word* b) {
  constexpr int first = C < L ? 0 : C - L + 1;
  if constexpr (kSquare) {
    constexpr int count = (C + 1) / 2 - first;
    ColumnSum cross;
    cross.add_products<(count > 0 ? count : 0)>(a + first, a + C - first);
    cross.twice();
    if constexpr (C % 2 == 0) cross.add(a[C / 2], a[C / 2]);
    sum.add(cross);
  } else {
    sum.add_products<(C < L ? C + 1 : 2 * L - 1 - C)>(a + first, b + C - first);
  }
}

// r = a * b / R mod n, or a * a / R; below n. r may be a or b.
template <int L, bool kSquare>
[[gnu::noinline]] void small_product(Word* r, const Word* a, const Word* b, const Word* n,
                                     Word minus_inverse) {
  Word q[L], t[L];
  ColumnSum sum;
  repeat<L>([&](auto c) CRYPSIS_INLINE {
    add_column<L, c, kSquare>(sum, a, b);
    sum.add_products<c>(q, n + c);
    q[c] = static_cast<Word>(sum.low) * minus_inverse;
    sum.add(q[c], n[0]);
    sum.next();
  });
  repeat<L - 1>([&](auto i) CRYPSIS_INLINE {
    add_column<L, L + i, kSquare>(sum, a, b);
    sum.add_products<L - 1 - i>(q + i + 1, n + L - 1);
    t[i] = sum.next();
  });
  t[L - 1] = sum.next();
  const Word carry = sum.next();
  Word borrow = 0;
  repeat<L>([&](auto i) CRYPSIS_INLINE {
    const Wide difference = static_cast<Wide>(t[i]) - n[i] - borrow;
    q[i] = static_cast<Word>(difference);
    borrow = static_cast<Word>(difference >> 64) & 1;
  });
  const Word keep = Word{0} - (borrow & (carry ^ 1));
  repeat<L>([&](auto i) CRYPSIS_INLINE { r[i] = (t[i] & keep) | (q[i] & ~keep); });
}

constexpr std::size_t kLeastLimbs = kMinBits / 64;
constexpr std::size_t kSmallLimbs = 16;

using SmallProduct = void (*)(Word* r, const Word* a, const Word* b, const Word* n, Word minus_inverse);

// The functions for kLeastLimbs, .. kSmallLimbs.
template <bool kSquare>
constexpr auto small_products() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<SmallProduct, sizeof...(I)>{small_product<kLeastLimbs + I, kSquare>...};
  }(std::make_index_sequence<kSmallLimbs - kLeastLimbs + 1>{});
}

template <bool kSquare>
void small_product(const Modulus& m, Word* r, const Word* a, const Word* b) {
  static constexpr auto table = small_products<kSquare>();
  table[m.limbs() - kLeastLimbs](r, a, b, m.n(), m.minus_inverse());
}

}  // namespace
}  // namespace crypsis::bigint
