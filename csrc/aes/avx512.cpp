// SPDX-License-Identifier: Apache-2.0
// VAES on 512-bit registers: four blocks a register.
#include "aes/blocks_vaes512.h"
#include "aes/expand_aesni.h"
#include "aes/kernels.h"

namespace crypsis::aes {

constinit const Impl avx512 = make_impl<blocks_vaes512::Blocks>(
    "avx512", kAvx512f | kAvx512bw | kAvx512dq | kAvx512vl | kAesNi | kVaes, expand_keys_aesni);

}  // namespace crypsis::aes
