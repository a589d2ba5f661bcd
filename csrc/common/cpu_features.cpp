// SPDX-License-Identifier: Apache-2.0
#include "common/cpu_features.h"

#include <array>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace crypsis {
namespace {

constexpr std::array<std::pair<Feature, const char*>, 18> kNames{{
    {kSse41, "sse4_1"},
    {kSsse3, "ssse3"},
    {kShaNi, "sha_ni"},
    {kAvx2, "avx2"},
    {kBmi2, "bmi2"},
    {kAdx, "adx"},
    {kAesNi, "aes"},
    {kPclmul, "pclmulqdq"},
    {kAvx512f, "avx512f"},
    {kAvx512bw, "avx512bw"},
    {kAvx512dq, "avx512dq"},
    {kAvx512vl, "avx512vl"},
    {kAvx512ifma, "avx512ifma"},
    {kAvx512vbmi, "avx512vbmi"},
    {kVaes, "vaes"},
    {kVpclmul, "vpclmulqdq"},
    {kGfni, "gfni"},
    {kFma, "fma"},
}};

#if defined(__x86_64__)
std::uint64_t xgetbv0() noexcept {
  std::uint32_t lo = 0;
  std::uint32_t hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (std::uint64_t{hi} << 32) | lo;
}

FeatureSet detect() noexcept {
  FeatureSet found = 0;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  auto add = [&found](unsigned reg, unsigned bit, Feature feature) {
    if ((reg >> bit) & 1u) found |= feature;
  };
  add(c, 9, kSsse3);
  add(c, 19, kSse41);
  add(c, 25, kAesNi);
  add(c, 1, kPclmul);
  const bool osxsave = (c >> 27) & 1u;
  // XCR0 bits 1-2: XMM and YMM state saved; bits 5-7: opmask and ZMM state saved [Intel SDM vol. 1, 13.3].
  const std::uint64_t saved = osxsave ? xgetbv0() : 0;
  const bool ymm = (saved & 0x6) == 0x6;
  const bool zmm = (saved & 0xe6) == 0xe6;
  if (ymm) add(c, 12, kFma);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  add(b, 8, kBmi2);
  add(b, 19, kAdx);
  add(b, 29, kShaNi);
  if (ymm) {
    add(b, 5, kAvx2);
    add(c, 8, kGfni);
    add(c, 9, kVaes);
    add(c, 10, kVpclmul);
  }
  if (zmm) {
    add(b, 16, kAvx512f);
    add(b, 17, kAvx512dq);
    add(b, 21, kAvx512ifma);
    add(b, 30, kAvx512bw);
    add(b, 31, kAvx512vl);
    add(c, 1, kAvx512vbmi);
  }
  return found;
}
#else
FeatureSet detect() noexcept {
  return 0;
}
#endif

}  // namespace

FeatureSet cpu_features() noexcept {
  static const FeatureSet features = detect();
  return features;
}

std::string feature_names(FeatureSet features) {
  std::string names;
  for (const auto& [bit, name] : kNames) {
    if ((features & bit) == 0) continue;
    if (!names.empty()) names += ' ';
    names += name;
  }
  return names;
}

}  // namespace crypsis
