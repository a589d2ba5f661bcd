// SPDX-License-Identifier: Apache-2.0
// Plain C++ with products of 128 bits, for every 64-bit CPU.
#include "sampling/words.h"

namespace crypsis::sampling {

const Impl portable = {{"portable", 0}, wide_words, ternary_words, binomial_words};

}  // namespace crypsis::sampling
