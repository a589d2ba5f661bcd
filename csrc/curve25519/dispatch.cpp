// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "common/threads.h"
#include "curve25519/curve25519.h"
#include "curve25519/field51.h"
#include "curve25519/impl.h"

namespace crypsis::curve25519 {
namespace {

constexpr std::string_view kSlug = "curve25519";

// Rows a thread takes at least: a multiple of every backend's lanes and inversion block, and milliseconds of
// work.
constexpr std::size_t kGrain = 64;

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

}  // namespace

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
#endif
      &portable,
  };
  return table;
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 2> known{"avx512", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

void scalar_mult(std::string_view backend, const std::uint8_t* scalars, std::size_t scalar_stride,
                 const std::uint8_t* points, std::uint8_t* out, std::size_t n, int threads) {
  const Impl& impl = select(backend);
  parallel_for(n, kGrain, threads, [=, &impl](std::size_t begin, std::size_t end) {
    impl.scalar_mult(scalars + begin * scalar_stride, scalar_stride, points + 32 * begin, out + 32 * begin,
                     end - begin);
  });
}

void map_to_curve(std::string_view backend, const std::uint8_t* elements, std::uint8_t* out, std::size_t n,
                  int threads) {
  const Impl& impl = select(backend);
  parallel_for(n, kGrain, threads, [=, &impl](std::size_t begin, std::size_t end) {
    impl.map_to_curve(elements + 32 * begin, out + 32 * begin, end - begin);
  });
}

PointCheck check_points_vartime(const std::uint8_t* points, std::size_t n) {
  struct Words {
    std::uint64_t w[4];
    bool operator==(const Words&) const = default;
  };
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  constexpr Words p{{kAll - 18, kAll, kAll, kAll >> 1}};
  // u = 0 has order 2; 1 order 4 (p - 1 order 4 on the twist); the other two order 8. Every other
  // representative of these is not canonical. tests/test_curve25519.py derives the list.
  constexpr std::array<Words, 5> low_order{{
      {{0, 0, 0, 0}},
      {{1, 0, 0, 0}},
      {{kAll - 19, kAll, kAll, kAll >> 1}},
      {{0xaeb8413b7c7aebe0, 0x6ac49ff1fae35616, 0xfdb1329ceb8d09da, 0x00b8495f16056286}},
      {{0x248c50a3bc959c5f, 0x5bef839c55b1d0b1, 0x868e1c58c45c4404, 0x57119fd0dd4e22d8}},
  }};
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t* row = points + 32 * i;
    const Words x{{field51::load64(row), field51::load64(row + 8), field51::load64(row + 16),
                   field51::load64(row + 24)}};
    const bool above =
        x.w[3] > p.w[3] || (x.w[3] == p.w[3] && x.w[2] == p.w[2] && x.w[1] == p.w[1] && x.w[0] >= p.w[0]);
    if (above) return {i, PointDefect::not_canonical};
    for (const Words& bad : low_order) {
      if (x == bad) return {i, PointDefect::low_order};
    }
  }
  return {n, PointDefect::none};
}

}  // namespace crypsis::curve25519
