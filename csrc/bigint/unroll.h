// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <utility>

#define CRYPSIS_INLINE __attribute__((always_inline))

namespace crypsis::bigint {
namespace {

// f(0), f(1), .. f(N - 1) with constants. Loops that the compiler unrolls itself come too late for it to keep the
// arrays they index in registers.
template <int N, class F>
CRYPSIS_INLINE inline void repeat(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>)
      CRYPSIS_INLINE { (f(std::integral_constant<int, I>{}), ...); }(std::make_integer_sequence<int, N>{});
}

}  // namespace
}  // namespace crypsis::bigint
