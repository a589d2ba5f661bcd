// SPDX-License-Identifier: Apache-2.0
#include "common/messages.h"

#include <stdexcept>

namespace crypsis {
namespace {

template <class Offset>
bool increasing(const void* memory, std::size_t n, std::size_t limit) {
  const Offset* const offsets = static_cast<const Offset*>(memory);
  bool bad = offsets[0] < 0;
  for (std::size_t i = 0; i < n; ++i) bad |= offsets[i + 1] < offsets[i];
  return !bad && static_cast<std::uint64_t>(offsets[n]) <= limit;
}

}  // namespace

void check_offsets(const Messages& messages, std::size_t n_data_bytes) {
  if (messages.layout == Messages::Layout::kRows || messages.n == 0) return;
  const bool good = messages.layout == Messages::Layout::kOffsets32
                        ? increasing<std::int32_t>(messages.offsets, messages.n, n_data_bytes)
                        : increasing<std::int64_t>(messages.offsets, messages.n, n_data_bytes);
  if (!good) {
    throw std::invalid_argument(
        "the Arrow array's offsets decrease or point outside its data: the array is damaged, see "
        "validate(full=True)");
  }
}

}  // namespace crypsis
