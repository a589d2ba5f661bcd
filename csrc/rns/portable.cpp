// SPDX-License-Identifier: Apache-2.0
#include "rns/kernels_portable.h"

namespace crypsis::rns {
namespace {

void mixed_radix(const Radix& radix, std::uint64_t* const* rows, std::size_t n) {
  mixed_radix_run(radix, rows, 0, n);
}

void convert(const ntt::PrimeTables& target, const Conversion& conversion, const std::uint64_t* const* digits,
             std::size_t n, std::uint64_t* out) {
  convert_run(target, conversion, digits, 0, n, out);
}

void inner_product(const ntt::PrimeTables& tables, const Term* terms, std::size_t count,
                   const std::uint32_t* table, std::size_t n, std::uint64_t* out0, std::uint64_t* out1) {
  inner_product_run(tables, terms, count, table, 0, n, out0, out1);
}

void combine(const ntt::PrimeTables& tables, const std::uint64_t* x, Constant a, const std::uint64_t* y,
             const std::uint64_t* add, Constant b, std::size_t n, std::uint64_t* out) {
  combine_run(tables, x, a, y, add, b, 0, n, out);
}

void compose(const Radix& radix, const std::uint64_t* const* rows, std::size_t n, double* out) {
  compose_run(radix, rows, 0, n, out);
}

}  // namespace

const Impl portable{{"portable", 0}, mixed_radix, convert, inner_product, combine, compose};

}  // namespace crypsis::rns
