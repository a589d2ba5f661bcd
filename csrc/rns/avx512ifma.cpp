// SPDX-License-Identifier: Apache-2.0
#include "rns/kernels_avx512.h"

namespace crypsis::rns {

const Impl avx512ifma{{"avx512ifma", kAvx512f | kAvx512dq | kAvx512ifma},
                      mixed_radix,
                      convert,
                      inner_product,
                      combine,
                      compose};

}  // namespace crypsis::rns
