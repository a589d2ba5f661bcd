// SPDX-License-Identifier: Apache-2.0
// One table of backends per slug, resolved once per call on a batch [ARCHITECTURE 2].
#pragma once
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/cpu_features.h"
#include "common/text.h"

namespace crypsis {

// Raised when a forced backend cannot run here; the message says what can.
class BackendUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What every slug's Impl starts with. Function pointers of the slug follow in the derived struct.
struct Backend {
  std::string_view name;  // "portable", "sha_ni", "avx2", "avx512": the same word in every slug
  FeatureSet needs;       // CPU features without which the code faults
};

// One line of `crypsis backends`.
struct BackendStatus {
  std::string slug;     // "hashing"
  std::string variant;  // "sha256"; empty where a slug has one only
  std::string backend;  // "avx512"
  bool compiled;
  bool supported;  // this CPU can run it for this variant
  bool chosen;
  std::string reason;  // why it was not chosen; empty for the chosen one
};

// The backend asked for: the argument, else CRYPSIS_BACKEND, else "" (the best). The variable holds one name
// for every slug ("portable") or a list by slug ("hashing:avx2,curve25519:portable"). BackendUnavailable for a
// list with an item that is no slug:backend pair, an unknown slug or one named twice, whichever slug asks.
std::string requested_backend(std::string_view slug, std::string_view argument);

// Why `impl` cannot serve; empty if it can. `accepts(impl)` says whether it has code for these parameters.
template <class Impl, class Accepts>
std::string refusal(const Impl& impl, FeatureSet cpu, const Accepts& accepts) {
  if (!accepts(impl)) return "has no code for this variant";
  const FeatureSet missing = impl.needs & ~cpu;
  return missing == 0 ? std::string() : "this CPU or operating system lacks " + feature_names(missing);
}

// The table's best backend that this CPU can run, or the forced one; `compiled` is ordered best first.
template <class Impl, class Accepts>
const Impl& select_backend(std::string_view slug, std::string_view variant,
                           std::span<const Impl* const> compiled, std::string_view argument,
                           const Accepts& accepts) {
  const FeatureSet cpu = cpu_features();
  const std::string forced = requested_backend(slug, argument);
  std::string names;
  for (const Impl* impl : compiled) {
    const std::string why_not = refusal(*impl, cpu, accepts);
    if (forced.empty() || impl->name == forced) {
      if (why_not.empty()) return *impl;
      if (!forced.empty()) {
        throw BackendUnavailable("backend " + quoted(forced) + " of " + std::string(slug) +
                                 (variant.empty() ? "" : "/" + std::string(variant)) + " " + why_not +
                                 "; unset CRYPSIS_BACKEND and backend= to use the best one");
      }
    }
    if (!why_not.empty()) continue;
    names += (names.empty() ? "" : ", ") + std::string(impl->name);
  }
  throw BackendUnavailable("backend " + quoted(forced) + " does not exist for " + std::string(slug) +
                           (variant.empty() ? "" : "/" + std::string(variant)) +
                           " in this build; this CPU can run: " + names +
                           " (CRYPSIS_BACKEND also takes slug:backend pairs)");
}

// Report rows for one variant; `known` lists every backend the slug has on any platform, best first.
template <class Impl, class Accepts>
void report_backends(std::string_view slug, std::string_view variant, std::span<const std::string_view> known,
                     std::span<const Impl* const> compiled, const Accepts& accepts,
                     std::vector<BackendStatus>& rows) {
  const FeatureSet cpu = cpu_features();
  std::string chosen_name;
  std::string
      others;  // why the rest that could run was not chosen; the error itself is not repeated in each row
  try {
    const std::string forced = requested_backend(slug, {});
    others = forced.empty() ? "slower than " : "CRYPSIS_BACKEND asks for " + quoted(forced);
    chosen_name = select_backend<Impl>(slug, variant, compiled, forced, accepts).name;
    if (forced.empty()) others += chosen_name;
  } catch (const BackendUnavailable&) {
    if (others.empty()) others = "CRYPSIS_BACKEND is wrong";
  }
  for (const std::string_view name : known) {
    const Impl* impl = nullptr;
    for (const Impl* candidate : compiled) {
      if (candidate->name == name) impl = candidate;
    }
    BackendStatus row{
        std::string(slug), std::string(variant), std::string(name), impl != nullptr, false, false, {}};
    if (impl == nullptr) {
      row.reason = "not compiled for this architecture";
    } else {
      row.reason = refusal(*impl, cpu, accepts);
      row.supported = row.reason.empty();
      row.chosen = row.supported && name == chosen_name;
      if (row.supported && !row.chosen) row.reason = others;
    }
    rows.push_back(std::move(row));
  }
}

}  // namespace crypsis
