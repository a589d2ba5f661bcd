// SPDX-License-Identifier: Apache-2.0
// What this CPU can run *and* the operating system saves: a feature bit without OS support for its registers
// is no.
#pragma once
#include <cstdint>
#include <string>

namespace crypsis {

// Bit set of instruction-set features. A backend names the ones it needs; everything else follows from that
// mask.
enum Feature : std::uint64_t {
  kSse41 = 1u << 0,
  kSsse3 = 1u << 1,
  kShaNi = 1u << 2,
  kAvx2 = 1u << 3,
  kBmi2 = 1u << 4,
  kAdx = 1u << 5,
  kAesNi = 1u << 6,
  kPclmul = 1u << 7,
  kAvx512f = 1u << 8,
  kAvx512bw = 1u << 9,
  kAvx512dq = 1u << 10,
  kAvx512vl = 1u << 11,
  kAvx512ifma = 1u << 12,
  kAvx512vbmi = 1u << 13,
  kVaes = 1u << 14,
  kVpclmul = 1u << 15,
  kGfni = 1u << 16,
  kFma = 1u << 17,
};
using FeatureSet = std::uint64_t;

// Features of the machine the process runs on; detected once, thread-safe.
FeatureSet cpu_features() noexcept;

// "avx2 sha_ni" for the bits set in `features`, in declaration order.
std::string feature_names(FeatureSet features);

}  // namespace crypsis
