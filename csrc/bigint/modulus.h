// SPDX-License-Identifier: Apache-2.0
// An odd modulus and the constants that its arithmetic needs. Immutable once made, so threads may share it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace crypsis::bigint {

using Word = std::uint64_t;
using Words = std::vector<Word>;

inline constexpr std::size_t kMinBits = 256;
inline constexpr std::size_t kMaxBits = 8192;
inline constexpr std::size_t kMaxLimbs = kMaxBits / 64;

// Limbs are 64 bits, least significant first. The Montgomery form of x is x * R mod n with R = 2^(64 * limbs)
// on every backend [Montgomery 1985].
class Modulus {
 public:
  // std::invalid_argument unless `n` is odd and has kMinBits to kMaxBits bits, top limb not 0.
  explicit Modulus(const Word* n, std::size_t limbs);
  ~Modulus();  // wipes: the modulus of a private key is the square of a secret prime
  Modulus(const Modulus&) = delete;
  Modulus& operator=(const Modulus&) = delete;

  std::size_t limbs() const noexcept { return n_.size(); }
  std::size_t n_bits() const noexcept { return n_bits_; }
  const Word* n() const noexcept { return n_.data(); }
  Word minus_inverse() const noexcept { return minus_inverse_; }  // -1 / n mod 2^64
  const Word* r() const noexcept { return r_.data(); }            // R mod n: one in Montgomery form
  const Word* r2() const noexcept { return r2_.data(); }  // R^2 mod n: into Montgomery form by one product
  const Word* barrett() const noexcept {
    return barrett_.data();
  }  // floor(2^(128 * limbs) / n), limbs + 1 words

  // The radix 2^52 of the IFMA code: enough digits that S = 2^(52 * digits52) > 16 n, and the last of them
  // holds bit 64 * limbs.
  std::size_t digits52() const noexcept { return 64 * limbs() / 52 + 1; }
  const Word* s() const noexcept { return s_.data(); }                  // S mod n
  const Word* s2() const noexcept { return s2_.data(); }                // S^2 mod n
  const Word* s2_over_r() const noexcept { return s2_over_r_.data(); }  // S^2 / R mod n

 private:
  Words n_;
  std::size_t n_bits_;
  Word minus_inverse_;
  Words r_, r2_, s_, s2_, s2_over_r_, barrett_;
};

// The first row of `rows[n_rows][limbs]` that is not below the modulus; n_rows if there is none. Constant-time in
// the values of the rows before the one it returns.
std::size_t first_not_below(const Modulus& modulus, const Word* rows, std::size_t n_rows) noexcept;

// out = 1 / a mod n for any a < n, limbs() words each; false where they share a factor (out is then unspecified).
// Variable time.
bool invert_vartime(const Modulus& modulus, const Word* a, Word* out);

}  // namespace crypsis::bigint
