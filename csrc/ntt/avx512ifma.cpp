// SPDX-License-Identifier: Apache-2.0
// 52-bit products for primes below 2^50, 64-bit ones (with some help of 52-bit ones) for the others.
#include "ntt/field52.h"
#include "ntt/field64.h"
#include "ntt/impl.h"
#include "ntt/pointwise_avx512.h"
#include "ntt/transform_avx512.h"
#include "ntt/transform_portable.h"

namespace crypsis::ntt {
namespace {

// work(Transform) of the first field that serves this prime, quickest first.
template <class Work>
void with_field(const PrimeTables& t, const Work& work) {
  using Never = Field52<Reduce52::kNever>;
  using Block = Field52<Reduce52::kBlock>;
  using Stage = Field52<Reduce52::kStage>;
  if (Never::serves(t)) return work(Transform<Never>(t));
  if (Block::serves(t)) return work(Transform<Block>(t));
  if (Stage::serves(t)) return work(Transform<Stage>(t));
  if (Field64<false, true>::serves(t)) return work(Transform<Field64<false, true>>(t));
  if (Field64<true, true>::serves(t)) return work(Transform<Field64<true, true>>(t));
  work(Transform<Field64<true, false>>(t));
}

void forward_ifma(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kRunLogN) return forward_portable(t, in, out);
  with_field(t, [&](const auto& transform) { transform.forward(in, out); });
}

void inverse_ifma(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kRunLogN) return inverse_portable(t, in, out);
  with_field(t, [&](const auto& transform) { transform.inverse(in, out); });
}

void multiply_add_ifma(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                       const std::uint64_t* c, std::size_t n, std::uint64_t* out) {
  if (t.p < kMaxPrime52) return multiply_add_lanes<Product52>(t, a, b, c, n, out);
  multiply_add_lanes<Product64>(t, a, b, c, n, out);
}

void multiply_ifma(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                   std::uint64_t* out) {
  multiply_add_ifma(t, a, b, nullptr, n, out);
}

// `a` may be any words, so 52 bits do not do.
void scale_ifma(const PrimeTables& t, const std::uint64_t* a, std::uint64_t constant, std::uint64_t quotient,
                std::size_t n, std::uint64_t* out) {
  const Factor64 factor = make_factor64(all(constant), all(quotient));
  const Lanes p = all(t.p), two_p = all(2 * t.p);
  const std::size_t end = whole(n);
  for (std::size_t i = 0; i < end; i += kLanes) store(out + i, multiply64(load(a + i), factor, p, two_p));
  scale_portable(t, a + end, constant, quotient, n - end, out + end);
}

}  // namespace

const Impl avx512ifma{{"avx512ifma", kAvx512f | kAvx512dq | kAvx512ifma},
                      forward_ifma,
                      inverse_ifma,
                      add_avx512,
                      subtract_avx512,
                      negate_avx512,
                      multiply_ifma,
                      multiply_add_ifma,
                      scale_ifma,
                      permute_avx512,
                      {from_signed_avx512<std::int8_t>, from_signed_avx512<std::int16_t>,
                       from_signed_avx512<std::int32_t>, from_signed_avx512<std::int64_t>}};

}  // namespace crypsis::ntt
