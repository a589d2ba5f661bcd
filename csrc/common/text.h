// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace crypsis {

// `text` between quotes, '?' for each byte that is not printable ASCII: what an environment variable holds can
// neither break the line of a message nor its encoding.
std::string quoted(std::string_view text);

}  // namespace crypsis
