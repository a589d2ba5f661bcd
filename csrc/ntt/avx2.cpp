// SPDX-License-Identifier: Apache-2.0
// Doubles for primes that let them (transform_avx2.h: 46 bits for every N); the portable code for the others: by count
// (NOTES.md) four lanes of 64-bit products would gain a quarter, which was not measured.
#include "ntt/impl.h"
#include "ntt/pointwise_portable.h"
#include "ntt/transform_avx2.h"
#include "ntt/transform_portable.h"

namespace crypsis::ntt {
namespace {

void forward_avx2(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (!doubles_serve(t)) return forward_portable(t, in, out);
  TransformDoubles(t).forward(in, out);
}

void inverse_avx2(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (!doubles_serve(t)) return inverse_portable(t, in, out);
  TransformDoubles(t).inverse(in, out);
}

}  // namespace

const Impl avx2{{"avx2", kAvx2 | kFma},
                forward_avx2,
                inverse_avx2,
                add_portable,
                subtract_portable,
                negate_portable,
                multiply_portable,
                multiply_add_portable,
                scale_portable,
                permute_portable,
                {from_signed_portable<std::int8_t>, from_signed_portable<std::int16_t>,
                 from_signed_portable<std::int32_t>, from_signed_portable<std::int64_t>}};

}  // namespace crypsis::ntt
