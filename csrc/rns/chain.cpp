// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <stdexcept>
#include <string>

#include "ntt/modular_portable.h"
#include "rns/rns.h"

namespace crypsis::rns {
namespace {

ntt::Basis join(const ntt::Basis& moduli, const ntt::Basis& special) {
  if (moduli.log_n() != special.log_n()) {
    throw std::invalid_argument("moduli are of degree 2^" + std::to_string(moduli.log_n()) +
                                ", special of 2^" + std::to_string(special.log_n()) + ": give one degree");
  }
  std::vector<std::shared_ptr<const ntt::PrimeTables>> limbs;
  for (const ntt::Basis* basis : {&moduli, &special}) {
    if (basis->limbs() == 0)
      throw std::invalid_argument("a chain needs a modulus and a special modulus: one is none");
    for (std::size_t i = 0; i < basis->limbs(); ++i) limbs.push_back(basis->shared(i));
  }
  if (limbs.size() > kMaxModuli) {
    throw std::invalid_argument("the chain has " + std::to_string(limbs.size()) +
                                " moduli, special ones included: give " + std::to_string(kMaxModuli) +
                                " at most");
  }
  for (std::size_t i = 0; i < limbs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (limbs[i]->p == limbs[j]->p) {
        throw std::invalid_argument("modulus " + std::to_string(limbs[i]->p) +
                                    " is there twice: give distinct ones");
      }
    }
  }
  return {moduli.log_n(), std::move(limbs)};
}

// Little-endian words of the product of some primes: a few multiplications, once a chain.
std::vector<std::uint64_t> product(const ntt::Basis& all, std::size_t begin, std::size_t end) {
  std::vector<std::uint64_t> words((end - begin) + 1, 0);
  words[0] = 1;
  for (std::size_t i = begin; i < end; ++i) {
    std::uint64_t carry = 0;
    for (std::uint64_t& word : words) {
      const ntt::Wide wide = ntt::Wide{word} * all[i].p + carry;
      word = static_cast<std::uint64_t>(wide);
      carry = static_cast<std::uint64_t>(wide >> 64);
    }
  }
  return words;
}

bool exceeds(std::vector<std::uint64_t> a, std::vector<std::uint64_t> b) {
  a.resize(kMaxModuli + 1, 0);
  b.resize(kMaxModuli + 1, 0);
  for (std::size_t i = kMaxModuli + 1; i-- > 0;) {
    if (a[i] != b[i]) return a[i] > b[i];
  }
  return false;
}

}  // namespace

Chain::Chain(const ntt::Basis& moduli, const ntt::Basis& special, std::size_t alpha)
    : all_(join(moduli, special)), n_moduli_(moduli.limbs()), alpha_(alpha) {
  if (alpha < 1 || alpha > n_moduli_) {
    throw std::invalid_argument("alpha is " + std::to_string(alpha) + ": give 1 to " +
                                std::to_string(n_moduli_));
  }
  const std::size_t n_all = all_.limbs();
  const std::vector<std::uint64_t> room = product(all_, n_moduli_, n_all);
  for (std::size_t begin = 0; begin < n_moduli_; begin += alpha) {
    const std::size_t end = std::min(begin + alpha, n_moduli_);
    if (exceeds(product(all_, begin, end), room)) {
      throw std::invalid_argument(
          "the product of moduli " + std::to_string(begin) + " to " + std::to_string(end - 1) +
          ", a digit of the key switch, exceeds that of the special moduli: give larger or more "
          "special moduli, or a larger dnum");
    }
  }
  inverses_.resize(n_all * n_all);
  for (std::size_t mod = 0; mod < n_all; ++mod) {
    const ntt::PrimeTables& t = all_[mod];
    for (std::size_t of = 0; of < n_all; ++of) {
      if (of == mod) continue;
      const std::uint64_t base = ntt::reduce_word(all_[of].p, t);
      std::uint64_t value = 1;  // base^(p - 2), the exponent's bits from the highest
      for (int bit = t.bits - 1; bit >= 0; --bit) {
        value = ntt::multiply_mod(value, value, t);
        if ((t.p - 2) >> bit & 1) value = ntt::multiply_mod(value, base, t);
      }
      inverses_[mod * n_all + of] = {value, ntt::shoup_quotient(value, t.p)};
    }
  }
}

}  // namespace crypsis::rns
