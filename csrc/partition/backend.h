// SPDX-License-Identifier: Apache-2.0
// A backend's table from its way to store lines, T; each ISA file includes this once.
#pragma once
#include "partition/group.h"
#include "partition/match.h"
#include "partition/scatter.h"

namespace crypsis::partition {
namespace {

template <class T>
constexpr Impl make_impl(std::string_view name, FeatureSet needs) {
  return {{name, needs},      count_keys, count_digests, scatter_keys<T>,
          scatter_records<T>, group_bin,  sort_bin,      match_bin};
}

}  // namespace
}  // namespace crypsis::partition
