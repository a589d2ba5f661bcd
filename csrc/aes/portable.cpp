// SPDX-License-Identifier: Apache-2.0
// Bitsliced, sixteen blocks at once: for every CPU without AES instructions.
#include "aes/blocks_portable.h"
#include "aes/kernels.h"

namespace crypsis::aes {
namespace {

void expand_keys_portable(const std::uint8_t* keys, KeySchedule* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) expand_key(keys + i * kBlockBytes, out[i]);
}

}  // namespace

constinit const Impl portable = make_impl<blocks_portable::Blocks>("portable", 0, expand_keys_portable);

}  // namespace crypsis::aes
