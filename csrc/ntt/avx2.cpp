// SPDX-License-Identifier: Apache-2.0
// Doubles for primes below 2^50, 64-bit products of four 32-bit ones for the others.
#include "ntt/impl.h"
#include "ntt/pointwise_avx2.h"
#include "ntt/transform_avx2.h"
#include "ntt/transform_portable.h"

namespace crypsis::ntt {
namespace {

// work(transform) of the first field that serves this prime, quickest first.
template <class Work>
void with_field(const PrimeTables& t, const Work& work) {
  if (FieldDouble<false>::serves(t)) return work(TransformAvx2<FieldDouble<false>>(t));
  if (FieldDouble<true>::serves(t)) return work(TransformAvx2<FieldDouble<true>>(t));
  if (FieldWord<false>::serves(t)) return work(TransformAvx2<FieldWord<false>>(t));
  work(TransformAvx2<FieldWord<true>>(t));
}

void forward_avx2(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kLeastLogN) return forward_portable(t, in, out);
  with_field(t, [&](const auto& transform) { transform.forward(in, out); });
}

void inverse_avx2(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kLeastLogN) return inverse_portable(t, in, out);
  with_field(t, [&](const auto& transform) { transform.inverse(in, out); });
}

void multiply_avx2(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                   std::uint64_t* out) {
  t.p < kMaxPrime52 ? multiply_four<ProductDouble>(t, a, b, n, out)
                    : multiply_four<ProductWord>(t, a, b, n, out);
}

void multiply_add_avx2(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b,
                       const std::uint64_t* c, std::size_t n, std::uint64_t* out) {
  t.p < kMaxPrime52 ? multiply_add_four<ProductDouble>(t, a, b, c, n, out)
                    : multiply_add_four<ProductWord>(t, a, b, c, n, out);
}

}  // namespace

const Impl avx2{{"avx2", kAvx2 | kFma},
                forward_avx2,
                inverse_avx2,
                add_portable,
                subtract_portable,
                negate_portable,
                multiply_avx2,
                multiply_add_avx2,
                scale_four,
                permute_four,
                {from_signed_portable<std::int8_t>, from_signed_portable<std::int16_t>,
                 from_signed_portable<std::int32_t>, from_int64_four}};

}  // namespace crypsis::ntt
