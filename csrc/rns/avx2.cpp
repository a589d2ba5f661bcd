// SPDX-License-Identifier: Apache-2.0
#include "rns/compose_avx2.h"
#include "rns/inner_product_avx2.h"
#include "rns/kernels_avx2.h"

namespace crypsis::rns {

const Impl avx2{{"avx2", kAvx2 | kFma}, mixed_radix, convert, inner_product, combine, compose};

}  // namespace crypsis::rns
