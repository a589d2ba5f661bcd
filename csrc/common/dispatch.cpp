// SPDX-License-Identifier: Apache-2.0
#include "common/dispatch.h"

#include <algorithm>
#include <cstdlib>

#include "common/slugs.h"
#include "common/text.h"

namespace crypsis {
namespace {

[[noreturn]] void refuse(std::string_view text, std::string_view item, std::string_view what) {
  std::string message = "CRYPSIS_BACKEND is " + quoted(text) + ": item " + quoted(item) + " " +
                        std::string(what) +
                        "; write one backend name, or slug:backend pairs separated by commas, of the slugs ";
  for (std::size_t i = 0; i < kSlugs.size(); ++i) message.append(i ? ", " : "").append(kSlugs[i]);
  throw BackendUnavailable(message);
}

}  // namespace

std::string requested_backend(std::string_view slug, std::string_view argument) {
  if (!argument.empty()) return std::string(argument);
  const char* variable = std::getenv("CRYPSIS_BACKEND");
  const std::string_view text = variable != nullptr ? variable : "";
  if (text.find_first_of(":,") == std::string_view::npos) return std::string(text);

  std::string_view found;
  std::array<bool, kSlugs.size()> seen{};
  for (std::size_t at = 0; at <= text.size();) {  // a comma at the end leaves an empty item, also refused
    const std::string_view item = text.substr(at, text.find(',', at) - at);
    at += item.size() + 1;
    const std::size_t colon = item.find(':');
    if (colon == std::string_view::npos) refuse(text, item, "has no colon");
    const auto known = std::find(kSlugs.begin(), kSlugs.end(), item.substr(0, colon));
    if (known == kSlugs.end()) refuse(text, item, "names an unknown slug");
    if (colon + 1 == item.size()) refuse(text, item, "names no backend");
    bool& again = seen[static_cast<std::size_t>(known - kSlugs.begin())];
    if (again) refuse(text, item, "names its slug a second time");
    again = true;
    if (*known == slug) found = item.substr(colon + 1);
  }
  return std::string(found);
}

}  // namespace crypsis
