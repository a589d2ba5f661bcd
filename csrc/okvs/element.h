// SPDX-License-Identifier: Apache-2.0
// Elements of both fields one at a time, in plain C++, for the few rows that elimination sees. Internal linkage.
#pragma once
#include <cstdint>

#include "bitmatrix/gf128_portable.h"

namespace crypsis::okvs {
namespace {

// Of GF(2^128), or of GF(2^64) in `low` with `high` zero.
using Element = bitmatrix::Gf128Portable::Vector;

[[maybe_unused]] inline std::uint64_t multiply64(std::uint64_t a, std::uint64_t b) {
  bitmatrix::Gf128Portable::Sum64 sum;
  bitmatrix::Gf128Portable::accumulate64(sum, {a, 0}, {b, 0});
  return bitmatrix::Gf128Portable::reduce64(sum);
}

}  // namespace
}  // namespace crypsis::okvs
