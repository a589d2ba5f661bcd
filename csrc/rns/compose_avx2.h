// SPDX-License-Identifier: Apache-2.0
// Composition to doubles on four lanes. Internal linkage.
#pragma once
#include <cstring>

#include "common/wipe.h"
#include "rns/compose_lanes.h"
#include "rns/kernels_avx2.h"

namespace crypsis::rns {
namespace {

struct FourLanes {
  using Words = Quads;
  using Reals = Doubles;
  using Mask = Quads;
  static Words all(std::uint64_t x) { return rns::all(x); }
  static Words add(Words a, Words b) { return _mm256_add_epi64(a, b); }
  static Words subtract(Words a, Words b) { return _mm256_sub_epi64(a, b); }
  static Words bit_and(Words a, Words b) { return _mm256_and_si256(a, b); }
  static Words bit_or(Words a, Words b) { return _mm256_or_si256(a, b); }
  static Words bit_xor(Words a, Words b) { return _mm256_xor_si256(a, b); }
  template <int kBits>
  static Words shift_up(Words a) {
    return _mm256_slli_epi64(a, kBits);
  }
  template <int kBits>
  static Words shift_down(Words a) {
    return _mm256_srli_epi64(a, kBits);
  }
  static Words shift_down_signed(Words a) {
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    return subtract(shift_down<kWordBits>(bit_xor(a, all(kSign))), all(kSign >> kWordBits));
  }
  static Words shift_up_each(Words a, Words by) { return _mm256_sllv_epi64(a, by); }
  static Words shift_down_each(Words a, Words by) { return _mm256_srlv_epi64(a, by); }
  static Words multiply32(Words a, Words b) { return _mm256_mul_epu32(a, b); }
  static Mask is_zero(Words a) { return _mm256_cmpeq_epi64(a, _mm256_setzero_si256()); }
  static Words select(Mask mask, Words yes, Words no) { return _mm256_blendv_epi8(no, yes, mask); }
  static Words exponent(Words a) { return shift_down<52>(_mm256_castpd_si256(to_doubles(a))); }
  static Reals scale(Words x, Words power) {
    // In two exact steps, as 2^power may pass a double's range; 2^59 2^1000 is infinite already.
    const Words first = limit(power);
    const Words second = limit(subtract(power, first));
    const Reals half = _mm256_mul_pd(to_nearest(x), power_of_two(first));
    return _mm256_mul_pd(half, power_of_two(second));
  }
  static Reals with_sign(Reals x, Words sign) { return _mm256_or_pd(x, _mm256_castsi256_pd(sign)); }

 private:
  // To [-1000, 1000].
  static Words limit(Words e) {
    const Words most = all(1000), least = subtract(all(0), most);
    const Words below = select(_mm256_cmpgt_epi64(e, most), most, e);
    return select(_mm256_cmpgt_epi64(least, below), least, below);
  }
  // Words below 2^60: an exact sum of two halves, rounded once.
  static Reals to_nearest(Words x) {
    const Reals low = to_doubles(bit_and(x, all(kWordMask))), high = to_doubles(shift_down<kWordBits>(x));
    return _mm256_fmadd_pd(high, rns::all(static_cast<double>(kWordMask + 1)), low);
  }
  static Reals power_of_two(Words e) { return _mm256_castsi256_pd(shift_up<52>(add(e, all(1023)))); }
};

// Coefficients whose digits are found together.
inline constexpr std::size_t kComposed = 128;

void compose(const Radix& radix, const std::uint64_t* const* rows, std::size_t n, double* out) {
  if (radix.count == 1) return compose_run(radix, rows, 0, n, out);  // a conversion of one lane is as fast
  const std::size_t end = whole_quads(n);
  const Weights weights(radix);
  struct {
    Compose<FourLanes> lanes;
    alignas(32) std::uint64_t digits[kMaxModuli][kComposed];
  } secret;
  std::uint64_t* digits[kMaxModuli];
  for (std::size_t i = 0; i < radix.count; ++i) digits[i] = secret.digits[i];
  for (std::size_t first = 0; first < end; first += kComposed) {
    const std::size_t size = std::min(kComposed, end - first);
    for (std::size_t i = 0; i < radix.count; ++i)
      std::memcpy(digits[i], rows[i] + first, size * sizeof(std::uint64_t));
    mixed_radix(radix, digits, size);
    for (std::size_t at = 0; at < size; at += kQuad) {
      for (std::size_t i = 0; i < radix.count; ++i) {
        const std::uint64_t half = radix.chain.prime(radix.numbers[i]) >> 1;
        secret.lanes.digits[i] = _mm256_add_epi64(load(digits[i] + at), all(half));
      }
      _mm256_storeu_pd(out + first + at, secret.lanes.value(weights, radix.count));
    }
  }
  secure_wipe(&secret.lanes, sizeof secret.lanes);
  secure_wipe(secret.digits, radix.count * sizeof secret.digits[0]);
  compose_run(radix, rows, end, n, out);
}

}  // namespace
}  // namespace crypsis::rns
