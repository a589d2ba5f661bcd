// SPDX-License-Identifier: Apache-2.0
// Residues of numbers beyond one word: plain C++ in every backend, since messages of such size are rare.
#include <cmath>

#include "embedding/impl.h"

namespace crypsis::embedding {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t subtract_if_not_less(std::uint64_t a, std::uint64_t p) {
  const std::uint64_t rest = a - p;
  return rest + (p & (0 - (rest >> 63)));
}

}  // namespace

// From the top: the integer nearest to x 2^-62k is a word, and x less that word times 2^62k is exact, being a multiple
// of the last place of x and at most half of 2^62k. No branch on x.
void residues_of_words(const double* x, std::size_t n, int n_words, const Modulus& modulus,
                       std::uint64_t* out) {
  double up[kMaxBits / kWordBits + 1], down[kMaxBits / kWordBits + 1];
  for (int k = 0; k < n_words; ++k) {
    up[k] = std::ldexp(1.0, kWordBits * k);
    down[k] = std::ldexp(1.0, -kWordBits * k);
  }
  const std::uint64_t p = modulus.p;
  for (std::size_t i = 0; i < n; ++i) {
    double rest = x[i];
    std::uint64_t residue = 0;
    for (int k = n_words - 1; k >= 0; --k) {
      const long long word = std::llrint(rest * down[k]);
      const auto value = static_cast<double>(word);
      rest -= value * up[k];
      // As in residues.h.
      const auto quotient = static_cast<std::uint64_t>(std::llrint(value * modulus.inverse));
      const std::uint64_t signed_rest = static_cast<std::uint64_t>(word) - quotient * p;
      const std::uint64_t reduced = signed_rest + (p & (0 - (signed_rest >> 63)));
      // residue * base mod p by the quotient's upper word [Har14].
      const auto estimate = static_cast<std::uint64_t>((Wide{residue} * modulus.base_quotient) >> 64);
      const std::uint64_t shifted = subtract_if_not_less(residue * modulus.base - estimate * p, p);
      residue = subtract_if_not_less(shifted + reduced, p);
    }
    out[i] = residue;
  }
}

}  // namespace crypsis::embedding
