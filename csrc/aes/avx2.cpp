// SPDX-License-Identifier: Apache-2.0
// VAES on 256-bit registers: two blocks a register.
#include "aes/blocks_vaes256.h"
#include "aes/expand_aesni.h"
#include "aes/kernels.h"

namespace crypsis::aes {

constinit const Impl avx2 =
    make_impl<blocks_vaes256::Blocks>("avx2", kAvx2 | kAesNi | kVaes, expand_keys_aesni);

}  // namespace crypsis::aes
