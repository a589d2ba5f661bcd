// SPDX-License-Identifier: Apache-2.0
#include "common/text.h"

namespace crypsis {

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) result += c >= ' ' && c <= '~' ? c : '?';
  return result + "'";
}

}  // namespace crypsis
