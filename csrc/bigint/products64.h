// SPDX-License-Identifier: Apache-2.0
// Products of numbers of 64-bit limbs. The inner kernel adds len x 8 limbs column by column: eight products a column
// with one three-word sum in registers, one load and one store of the result.
#pragma once
#include <algorithm>
#include <cstddef>

#include "bigint/modulus.h"
#include "bigint/unroll.h"

namespace crypsis::bigint {
namespace {

using Wide = unsigned __int128;

constexpr std::size_t kRows = 8;  // limbs of the second factor that a pass takes at most

// The sum of a column: 192 bits.
struct ColumnSum {
  Wide low = 0;
  Word high = 0;

  CRYPSIS_INLINE void add(Word x) {
    low += x;
    high += low < x;
  }
  CRYPSIS_INLINE void add(Word x, Word y) {
    const Wide product = static_cast<Wide>(x) * y;
    low += product;
    high += low < product;
  }
  // x[0] * y[0] + x[1] * y[-1] + .. + x[N - 1] * y[1 - N]. A fold and not a `repeat`: half of the compile time.
  template <int N>
  CRYPSIS_INLINE void add_products(const Word* x, const Word* y) {
    add_products(x, y, std::make_integer_sequence<int, N>{});
  }
  template <int... I>
  CRYPSIS_INLINE void add_products([[maybe_unused]] const Word* x, [[maybe_unused]] const Word* y,
                                   std::integer_sequence<int, I...>) {
    (add(x[I], y[-I]), ...);
  }
  CRYPSIS_INLINE void add(const ColumnSum& other) {
    low += other.low;
    high += other.high + (low < other.low);
  }
  CRYPSIS_INLINE void twice() {
    high = (high << 1) | static_cast<Word>(low >> 127);
    low <<= 1;
  }
  CRYPSIS_INLINE Word next() {  // the word of this column; what is left is the sum for the next
    const Word word = static_cast<Word>(low);
    low = (low >> 64) | (static_cast<Wide>(high) << 64);
    high = 0;
    return word;
  }
};

// t[0 .. len + U) += a[0 .. len) * b[0 .. U) + carry * 2^(64 len), len >= U; returns the word for t[len + U].
template <int U>
Word add_product(Word* t, const Word* a, std::size_t len, const Word* b, Word carry) {
  ColumnSum sum;
  repeat<U - 1>([&](auto c) CRYPSIS_INLINE {
    sum.add(t[c]);
    sum.add_products<c + 1>(b, a + c);
    t[c] = sum.next();
  });
  for (std::size_t c = U - 1; c < len; ++c) {
    sum.add(t[c]);
    sum.template add_products<U>(b, a + c);
    t[c] = sum.next();
  }
  sum.add(carry);
  repeat<U - 1>([&](auto i) CRYPSIS_INLINE {
    sum.add(t[len + i]);
    sum.add_products<U - 1 - i>(b + i + 1, a + len - 1);
    t[len + i] = sum.next();
  });
  sum.add(t[len + U - 1]);
  t[len + U - 1] = sum.next();
  return sum.next();
}

// The same with b = q, chosen so that t[0 .. U) become 0 (they are left as they were): a is the modulus.
template <int U>
Word add_multiple(Word* t, const Word* n, std::size_t len, Word minus_inverse, Word carry) {
  ColumnSum sum;
  Word q[U];
  repeat<U>([&](auto c) CRYPSIS_INLINE {
    sum.add(t[c]);
    sum.add_products<c>(q, n + c);
    q[c] = static_cast<Word>(sum.low) * minus_inverse;
    sum.add(n[0], q[c]);
    sum.next();
  });
  for (std::size_t c = U; c < len; ++c) {
    sum.add(t[c]);
    sum.template add_products<U>(q, n + c);
    t[c] = sum.next();
  }
  sum.add(carry);
  repeat<U - 1>([&](auto i) CRYPSIS_INLINE {
    sum.add(t[len + i]);
    sum.add_products<U - 1 - i>(q + i + 1, n + len - 1);
    t[len + i] = sum.next();
  });
  sum.add(t[len + U - 1]);
  t[len + U - 1] = sum.next();
  return sum.next();
}

// t[0 .. 2 U) = products a[i] * a[j] with i < j < U.
template <int U>
void cross_products(Word* t, const Word* a) {
  ColumnSum sum;
  t[0] = 0;
  repeat<2 * U - 1>([&](auto i) CRYPSIS_INLINE {
    constexpr int c = i + 1;
    constexpr int first = c < U ? 0 : c - U + 1, count = (c + 1) / 2 - first;
    sum.add_products<(count > 0 ? count : 0)>(a + first, a + c - first);
    t[c] = sum.next();
  });
}

// f with min(rest, 8) as a constant.
template <class F>
auto with_rows(std::size_t rest, const F& f) {
  switch (rest) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    case 5:
      return f.template operator()<5>();
    case 6:
      return f.template operator()<6>();
    case 7:
      return f.template operator()<7>();
    default:
      return f.template operator()<8>();
  }
}

inline Word add_rows(Word* t, const Word* a, std::size_t len, const Word* b, std::size_t rows, Word carry) {
  return with_rows(rows, [&]<int U>() { return add_product<U>(t, a, len, b, carry); });
}

// t[0 .. 2 len) = a * b.
inline void multiply(Word* t, const Word* a, const Word* b, std::size_t len) {
  std::fill_n(t, 2 * len, Word{0});
  Word carry = 0;
  for (std::size_t j = 0; j < len; j += kRows) carry = add_rows(t + j, a, len, b + j, len - j, carry);
}

// t[0 .. 2 len) = a * a: products of different limbs once, doubled, then the squares.
inline void square(Word* t, const Word* a, std::size_t len) {
  for (std::size_t i = 0; i < len; i += kRows) {
    with_rows(len - i, [&]<int U>() {
      cross_products<U>(t + 2 * i, a + i);
      return 0;
    });
  }
  Word carry = 0;  // out of a block's rectangle, due at t[corner]
  std::size_t corner = 0;
  const auto settle = [&](std::size_t end) {
    for (std::size_t c = corner; c < end; ++c) {
      t[c] += carry;
      carry = t[c] < carry;
    }
  };
  for (std::size_t i = 0; i + kRows < len; i += kRows) {
    const std::size_t rest = len - i - kRows;
    Word* const at = t + 2 * i + kRows;
    if (rest >= kRows) {
      carry = add_product<kRows>(at, a + i + kRows, rest, a + i, carry);
    } else {
      settle(2 * len);
      carry = add_rows(at, a + i, kRows, a + i + kRows, rest, 0);
    }
    corner = len + i + kRows;
  }
  settle(2 * len);
  ColumnSum sum;
  Word above = 0;
  for (std::size_t i = 0; i < len; ++i) {
    const Word low = t[2 * i], high = t[2 * i + 1];
    sum.add(a[i], a[i]);
    sum.add((low << 1) | (above >> 63));
    t[2 * i] = sum.next();
    sum.add((high << 1) | (low >> 63));
    t[2 * i + 1] = sum.next();
    above = high;
  }
}

}  // namespace
}  // namespace crypsis::bigint
