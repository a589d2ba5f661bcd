// SPDX-License-Identifier: Apache-2.0
// The batches of messages that crypsis/_messages.py reads, as csrc takes them; hashing and curve25519 share it.
#pragma once
#include <vector>

#include "arrays.h"
#include "common/messages.h"

namespace crypsis::bindings {

// Each part is (data, offsets): uint8[m] and int32[n + 1] or int64[n + 1]; or (rows, None) with uint8[n, width],
// whose rows may have gaps. Lengths and offsets are checked; value_error otherwise. `parts` keeps the memory alive.
std::vector<Messages> make_messages(const std::vector<py::tuple>& parts);

inline std::size_t count(const std::vector<Messages>& messages) {
  std::size_t n = 0;
  for (const Messages& part : messages) n += part.n;
  return n;
}

}  // namespace crypsis::bindings
