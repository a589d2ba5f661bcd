// SPDX-License-Identifier: Apache-2.0
// 64-bit products for every prime: CPUs without IFMA.
#include "ntt/field64.h"
#include "ntt/impl.h"
#include "ntt/pointwise_avx512.h"
#include "ntt/transform_avx512.h"
#include "ntt/transform_portable.h"

namespace crypsis::ntt {
namespace {

void forward_avx512(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kRunLogN) return forward_portable(t, in, out);
  if (Field64<false, false>::serves(t)) return Transform<Field64<false, false>>(t).forward(in, out);
  Transform<Field64<true, false>>(t).forward(in, out);
}

void inverse_avx512(const PrimeTables& t, const std::uint64_t* in, std::uint64_t* out) {
  if (t.log_n < kRunLogN) return inverse_portable(t, in, out);
  if (Field64<false, false>::serves(t)) return Transform<Field64<false, false>>(t).inverse(in, out);
  Transform<Field64<true, false>>(t).inverse(in, out);
}

void multiply_avx512(const PrimeTables& t, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                     std::uint64_t* out) {
  multiply_add_lanes<Product64>(t, a, b, nullptr, n, out);
}

void scale_avx512(const PrimeTables& t, const std::uint64_t* a, std::uint64_t constant,
                  std::uint64_t quotient, std::size_t n, std::uint64_t* out) {
  const Factor64 factor = make_factor64(all(constant), all(quotient));
  const Lanes p = all(t.p), two_p = all(2 * t.p);
  const std::size_t end = whole(n);
  for (std::size_t i = 0; i < end; i += kLanes) store(out + i, multiply64(load(a + i), factor, p, two_p));
  scale_portable(t, a + end, constant, quotient, n - end, out + end);
}

}  // namespace

const Impl avx512{{"avx512", kAvx512f | kAvx512dq},
                  forward_avx512,
                  inverse_avx512,
                  add_avx512,
                  subtract_avx512,
                  negate_avx512,
                  multiply_avx512,
                  multiply_add_lanes<Product64>,
                  scale_avx512,
                  permute_avx512,
                  {from_signed_avx512<std::int8_t>, from_signed_avx512<std::int16_t>,
                   from_signed_avx512<std::int32_t>, from_signed_avx512<std::int64_t>}};

}  // namespace crypsis::ntt
