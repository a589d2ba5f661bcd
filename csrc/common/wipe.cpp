// SPDX-License-Identifier: Apache-2.0
#include "common/wipe.h"

#include <cstring>

namespace crypsis {

void secure_wipe(void* memory, std::size_t n_bytes) noexcept {
  if (n_bytes == 0) return;
  std::memset(memory, 0, n_bytes);
  __asm__ volatile(""
                   :
                   : "r"(memory)
                   : "memory");  // the stores are observed: dead-store elimination must keep them
}

[[gnu::noinline]] void secure_wipe_stack() noexcept {
  unsigned char area[std::size_t{48} << 10];  // the deepest kernel frame has 20 KiB
  secure_wipe(area, sizeof(area));
}

}  // namespace crypsis
