// SPDX-License-Identifier: Apache-2.0
// A batch of byte strings as the kernels that hash take it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace crypsis {

// n byte strings that the caller owns. Either rows: message i is `width` bytes at data + i * stride; or
// Arrow's layout: message i is data[offsets[i], offsets[i + 1]). No byte outside the messages is read.
struct Messages {
  enum class Layout : std::uint8_t { kRows, kOffsets32, kOffsets64 };
  const std::uint8_t* data = nullptr;
  std::size_t n = 0;
  Layout layout = Layout::kRows;
  std::size_t stride = 0;
  std::size_t width = 0;
  const void* offsets = nullptr;  // int32_t or int64_t, n + 1 of them
};

// Throws std::invalid_argument unless offsets start at 0 or above, never decrease and end at or below
// n_data_bytes.
void check_offsets(const Messages& messages, std::size_t n_data_bytes);

}  // namespace crypsis
