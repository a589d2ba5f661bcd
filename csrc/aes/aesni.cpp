// SPDX-License-Identifier: Apache-2.0
// AES-NI: one block a register.
#include "aes/blocks_aesni.h"
#include "aes/expand_aesni.h"
#include "aes/kernels.h"

namespace crypsis::aes {

constinit const Impl aesni =
    make_impl<blocks_aesni::Blocks>("aesni", kAesNi | kSse41 | kSsse3, expand_keys_aesni);

}  // namespace crypsis::aes
