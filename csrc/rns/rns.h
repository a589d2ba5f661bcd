// SPDX-License-Identifier: Apache-2.0
// Residue number systems of CKKS [CHKKS18, HK20]: digits, key switching, divisions that round, composition to doubles.
//
// Arrays are uint64[.., limbs, N], C-contiguous, every residue fully reduced on the way in and out. What is computed is
// exact, so that backends are bit-identical: a digit is the centred residue modulo the product of its moduli, a division
// gives the nearest integer. csrc/rns/NOTES.md has the formulas. Constant-time in the residues throughout.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/dispatch.h"
#include "ntt/ntt.h"

namespace crypsis::rns {

using ntt::Options;

inline constexpr std::size_t kMaxModuli = 64;  // q and p together

// A public constant below a modulus and its Shoup quotient floor(value 2^64 / modulus).
struct Constant {
  std::uint64_t value, quotient;
};

// q_0 .. q_(L-1), special p_0 .. p_(k-1), digits of `alpha` moduli each; immutable, copies share the tables.
// A modulus has one number: i for q_i, L + j for p_j.
class Chain {
 public:
  // std::invalid_argument: other degrees, a modulus twice, more than kMaxModuli, alpha not in [1, L], or a digit whose
  // product exceeds that of the special moduli (which would let a key switch's noise grow past the message).
  Chain(const ntt::Basis& moduli, const ntt::Basis& special, std::size_t alpha);

  std::size_t n() const noexcept { return all_.n(); }
  int log_n() const noexcept { return all_.log_n(); }
  std::size_t n_moduli() const noexcept { return n_moduli_; }
  std::size_t n_special() const noexcept { return all_.limbs() - n_moduli_; }
  std::size_t alpha() const noexcept { return alpha_; }
  // Level l has l + 1 moduli left.
  std::size_t n_digits(std::size_t level) const noexcept { return level / alpha_ + 1; }
  std::size_t n_full(std::size_t level) const noexcept { return level + 1 + n_special(); }

  const ntt::PrimeTables& tables(std::size_t modulus) const noexcept { return all_[modulus]; }
  std::uint64_t prime(std::size_t modulus) const noexcept { return all_[modulus].p; }
  // 1 / modulus `of` modulo modulus `mod`.
  const Constant& inverse(std::size_t of, std::size_t mod) const noexcept {
    return inverses_[mod * all_.limbs() + of];
  }
  // The number of the modulus at place `limb` of q_0 .. q_level, p_0 .. p_(k-1).
  std::size_t number(std::size_t level, std::size_t limb) const noexcept {
    return limb <= level ? limb : n_moduli_ + limb - level - 1;
  }

 private:
  ntt::Basis all_;
  std::size_t n_moduli_, alpha_;
  std::vector<Constant> inverses_;
};

// In all of these `level` < n_moduli() has been checked, `n` counts items of the leading axes, out overlaps no input.

// c[n][level + 1][N] (transformed) -> out[n][n_digits(level)][n_full(level)][N], transformed.
void decompose(const Chain& chain, std::size_t level, const std::uint64_t* c, std::size_t n,
               std::uint64_t* out, const Options& options);

// digits as `decompose` gives them, key[n_digits(L - 1)][2][L + k][N] -> out[n][2][n_full(level)][N]: the sum of
// digit(X^galois) key; galois is odd and in [1, 2N).
void inner_product(const Chain& chain, std::size_t level, const std::uint64_t* digits, std::size_t n,
                   const std::uint64_t* key, std::uint64_t galois, std::uint64_t* out,
                   const Options& options);

// x[n][n_full(level)][N] -> out[n][level + 1][N]: round(x / P) + add. With `rescale`, out[n][level][N]:
// round((round(x / P) + add) / q_level), level > 0. add[n][level + 1][N] or nullptr.
void divide_special(const Chain& chain, std::size_t level, const std::uint64_t* x, const std::uint64_t* add,
                    std::size_t n, bool rescale, std::uint64_t* out, const Options& options);

// x[n][level + 1][N] -> out[n][level][N]: round(x / q_level), level > 0.
void rescale(const Chain& chain, std::size_t level, const std::uint64_t* x, std::size_t n, std::uint64_t* out,
             const Options& options);

// The three steps in one: c[n][level + 1][N], out[n][2][level + 1][N] or with `rescale` [n][2][level][N];
// add[n][n_added][level + 1][N], n_added 0 (nullptr), 1 or 2 halves. c and add are read through X -> X^galois.
struct Switch {
  const std::uint64_t* c;
  const std::uint64_t* key;
  const std::uint64_t* add;
  std::size_t n_added;
  std::uint64_t galois;
  bool rescale;
};
void switch_key(const Chain& chain, std::size_t level, const Switch& task, std::size_t n, std::uint64_t* out,
                const Options& options);

// What a matrix does to vectors: rotations of ciphertexts, times plaintexts, in several sums. All over the full moduli and
// times P, so that there is one division for a sum in place of one for a rotation.
struct Rotation {
  const std::uint64_t* key;  // nullptr: none, galois is 1
  std::uint64_t galois;
};
struct RotatedProduct {
  std::size_t sum, rotation;  // factor i belongs to product i
};
inline constexpr std::size_t kMaxRotations = kMaxModuli;
struct RotatedSums {
  const std::uint64_t* c;                // [n][2][level + 1][N]
  const std::uint64_t* digits;           // [n][n_digits(level)][n_full(level)][N], of the second halves
  const std::uint64_t* factors;          // [products.size()][n_full(level)][N]
  std::vector<Rotation> rotations;       // kMaxRotations at most
  std::vector<RotatedProduct> products;  // no pair twice
  std::size_t n_sums;
};
// out[n_sums][n][2][n_full(level)][N]: sum over its products of factor (inner product(digits(X^g)) + (P c_0(X^g), 0)), or
// with factor P c where the rotation is none.
void rotated_sums(const Chain& chain, std::size_t level, const RotatedSums& task, std::size_t n,
                  std::uint64_t* out, const Options& options);

// Coefficients x[n][level + 1][N] (not transformed) -> out[n][N]: the double nearest to the centred value, ties to even.
void compose(const Chain& chain, std::size_t level, const std::uint64_t* x, std::size_t n, double* out,
             const Options& options);

// A matrix of factors times a vector of pairs, all of one basis and transformed: factor (i, j) is limbs x N words from
// factors + i row_stride + j term_stride on (strides in words), first and second are [n_terms][limbs][N].
struct PairProducts {
  const std::uint64_t* factors;
  std::size_t row_stride, term_stride;
  const std::uint64_t *first, *second;
  std::size_t n_rows, n_terms;  // n_terms > 0
};
// out0, out1[n_rows][limbs][N]: the sums over j of factor (i, j) first[j] and factor (i, j) second[j].
void pair_products(const ntt::Basis& basis, const PairProducts& task, std::uint64_t* out0,
                   std::uint64_t* out1, const Options& options);

// Residues as they travel: numbers of `bits` bits, 1 to 63, one after the other from the lowest bit on, in little-endian
// words; zeros fill up the last 64 numbers. Rows of `length` numbers begin `stride` words apart.
template <class Word>
struct Rows {
  Word* data;
  std::size_t n_rows, length, stride;
};
std::size_t packed_words(std::size_t count, unsigned bits);
// Numbers are below 2^bits; out has packed_words(n_rows * length, bits) words.
void pack(const Rows<const std::uint64_t>& in, unsigned bits, std::uint8_t* out);
struct Unpacked {
  bool below, filled;  // all numbers are below the prime, all that follows them is 0
};
// Constant-time in the numbers but for what is returned.
Unpacked unpack(const std::uint8_t* in, std::uint64_t prime, unsigned bits, const Rows<std::uint64_t>& out);

std::vector<BackendStatus> backends();

}  // namespace crypsis::rns
