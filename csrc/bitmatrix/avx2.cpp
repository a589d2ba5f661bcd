// SPDX-License-Identifier: Apache-2.0
// AVX2 and PCLMULQDQ.
#include "bitmatrix/backend.h"
#include "bitmatrix/gf128_pclmul.h"
#include "bitmatrix/transpose_avx2.h"

namespace crypsis::bitmatrix {

const Impl avx2 = make_impl<TransposeAvx2, Gf128Pclmul>("avx2", kAvx2 | kSse41 | kPclmul);

}  // namespace crypsis::bitmatrix
