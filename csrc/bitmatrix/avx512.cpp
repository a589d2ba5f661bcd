// SPDX-License-Identifier: Apache-2.0
// AVX-512 with GFNI and VPCLMULQDQ.
#include "bitmatrix/backend.h"
#include "bitmatrix/gf128_vpclmul.h"
#include "bitmatrix/transpose_avx512.h"

namespace crypsis::bitmatrix {

const Impl avx512 = make_impl<TransposeAvx512, Gf128Vpclmul>(
    "avx512", kAvx512f | kAvx512bw | kAvx512vl | kGfni | kVpclmul | kPclmul | kSse41);

}  // namespace crypsis::bitmatrix
