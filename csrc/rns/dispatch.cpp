// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "rns/engine.h"

namespace crypsis::rns {
namespace {

constexpr std::array kCompiled{
#if defined(__x86_64__)
    &avx512ifma,
    &avx512,
    &avx2,
#endif
    &portable,
};

}  // namespace

std::span<const Impl* const> compiled() {
  return kCompiled;
}

const Impl& select(const Options& options) {
  return select_backend<Impl>("rns", "", compiled(), options.backend, [](const Impl&) { return true; });
}

void compose(const Chain& chain, std::size_t level, const std::uint64_t* x, std::size_t n, double* out,
             const Options& options) {
  const Impl& impl = rns::select(options);
  Radix radix{chain, level + 1, {}};
  for (std::size_t i = 0; i <= level; ++i) radix.numbers[i] = static_cast<std::uint8_t>(i);
  // A thread is worth starting for some tens of microseconds of work; a run is a multiple of 8 coefficients or all.
  constexpr std::size_t kRun = 2048;
  const std::size_t size = chain.n(), run = std::min(size, kRun), n_runs = size / run;
  parallel_for(n * n_runs, std::max<std::size_t>(1, kRun / run), options.threads,
               [&](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) {
                   const std::size_t item = i / n_runs, at = i % n_runs * run;
                   const std::uint64_t* rows[kMaxModuli];
                   for (std::size_t limb = 0; limb <= level; ++limb)
                     rows[limb] = x + (item * (level + 1) + limb) * size + at;
                   impl.compose(radix, rows, run, out + item * size + at);
                 }
               });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 4> known{"avx512ifma", "avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>("rns", "", known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::rns
