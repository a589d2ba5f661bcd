// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>

#include "bitmatrix/bitmatrix.h"
#include "bitmatrix/impl.h"
#include "common/threads.h"
#include "common/wipe.h"

namespace crypsis::bitmatrix {
namespace {

#if defined(__x86_64__)
constexpr std::array<const Impl*, 3> kCompiled{&avx512, &avx2, &portable};
#else
constexpr std::array<const Impl*, 1> kCompiled{&portable};
#endif

// A thread is worth starting for some tens of microseconds of work.
constexpr std::size_t kGrainTiles = 8, kGrainElements = 1 << 14, kGrainBytes = 1 << 16;
// Elements of `b` that stay in the first cache while every row of an inner product passes them.
constexpr std::size_t kSegmentElements = 1 << 10;

const Impl& select(const Options& options) {
  return select_backend<Impl>("bitmatrix", "", compiled(), options.backend, [](const Impl&) { return true; });
}

void check_multiple_of_8(const char* name, std::size_t n) {
  if (n % 8 != 0) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(n) + ": give a multiple of 8");
  }
}

void check_degree(int k) {
  if (k < 1 || k > 8) throw std::invalid_argument("k is " + std::to_string(k) + ": give 1 to 8");
}

using InnerProduct = void (*)(const std::uint8_t*, const std::uint8_t*, std::size_t, std::uint8_t*);

// Sums over segments of b: every thread adds up whole rows of its own, then all are added.
template <std::size_t kBytes>
void inner_products(InnerProduct inner_product, const std::uint8_t* a, std::size_t n_rows, std::size_t n,
                    const std::uint8_t* b, std::uint8_t* out, int threads) {
  std::memset(out, 0, kBytes * n_rows);
  if (n_rows == 0) return;
  const std::size_t n_segments = (n + kSegmentElements - 1) / kSegmentElements;
  const std::size_t grain = std::max<std::size_t>(1, 16 / n_rows);
  std::mutex mutex;
  parallel_for(n_segments, grain, threads, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> sums(kBytes * n_rows, 0);
    std::uint8_t sum[kBytes];
    const WipeGuard wipe(sum);
    for (std::size_t segment = begin; segment < end; ++segment) {
      const std::size_t first = segment * kSegmentElements, some = std::min(kSegmentElements, n - first);
      for (std::size_t r = 0; r < n_rows; ++r) {
        inner_product(a + kBytes * (r * n + first), b + kBytes * first, some, sum);
        for (std::size_t i = 0; i < kBytes; ++i) sums[kBytes * r + i] ^= sum[i];
      }
    }
    {
      const std::lock_guard lock(mutex);
      for (std::size_t i = 0; i < sums.size(); ++i) out[i] ^= sums[i];
    }
    secure_wipe(sums.data(), sums.size());
  });
}

}  // namespace

std::span<const Impl* const> compiled() {
  return kCompiled;
}

void transpose(const std::uint8_t* bits, std::size_t n_rows, std::size_t n_columns, std::uint8_t* out,
               const Options& options) {
  check_multiple_of_8("rows", n_rows);
  check_multiple_of_8("columns", n_columns);
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  if (n_rows == 0 || n_columns == 0) return;
  const Matrix matrix{bits, n_rows, n_columns, out};
  parallel_for(tile_count(matrix), kGrainTiles, threads,
               [&](std::size_t begin, std::size_t end) { impl.transpose_tiles(matrix, begin, end); });
}

void gf128_multiply(const std::uint8_t* a, const std::uint8_t* b, bool broadcast, const std::uint8_t* summand,
                    std::size_t n, std::uint8_t* out, const Options& options) {
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainElements, threads, [&](std::size_t begin, std::size_t end) {
    impl.gf128_multiply(a + 16 * begin, broadcast ? b : b + 16 * begin, broadcast ? 0 : 1,
                        summand == nullptr ? nullptr : summand + 16 * begin, end - begin, out + 16 * begin);
  });
}

void gf64_multiply(const std::uint8_t* a, const std::uint8_t* pair, const std::uint8_t* summand,
                   std::size_t n, std::uint8_t* out, const Options& options) {
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainElements, threads, [&](std::size_t begin, std::size_t end) {
    impl.gf64_multiply(a + 8 * begin, pair, summand == nullptr ? nullptr : summand + 16 * begin, end - begin,
                       out + 16 * begin);
  });
}

void gf128_inner_product(const std::uint8_t* a, std::size_t n_rows, std::size_t n, const std::uint8_t* b,
                         std::uint8_t* out, const Options& options) {
  const Impl& impl = select(options);
  inner_products<16>(impl.gf128_inner_product, a, n_rows, n, b, out, resolve_threads(options.threads));
}

void gf64_inner_product(const std::uint8_t* a, std::size_t n_rows, std::size_t n, const std::uint8_t* b,
                        std::uint8_t* out, const Options& options) {
  const Impl& impl = select(options);
  inner_products<8>(impl.gf64_inner_product, a, n_rows, n, b, out, resolve_threads(options.threads));
}

void gf128_powers(const std::uint8_t* x, std::size_t n, std::uint8_t* out, const Options& options) {
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainElements, threads, [&](std::size_t begin, std::size_t end) {
    impl.gf128_powers(x, begin, end, out + 16 * begin);
  });
}

void gf2k_multiply(int k, const std::uint8_t* a, const std::uint8_t* b, bool broadcast, std::size_t n,
                   std::uint8_t* out, const Options& options) {
  check_degree(k);
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainBytes, threads, [&](std::size_t begin, std::size_t end) {
    impl.gf2k_multiply(k, a + begin, broadcast ? b : b + begin, broadcast ? 0 : 1, end - begin, out + begin);
  });
}

void gf2k_multiply_sliced(int k, const std::uint8_t* a, const std::uint8_t* b, bool broadcast,
                          std::size_t n_bytes, std::uint8_t* out, const Options& options) {
  check_degree(k);
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  std::uint8_t planes[8 * kPlaneBytes] = {};
  const WipeGuard wipe(planes);
  for (int j = 0; broadcast && j < k; ++j) {
    const auto bits = static_cast<std::uint8_t>(0 - ((b[0] >> j) & 1));
    std::memset(planes + static_cast<std::size_t>(j) * kPlaneBytes, bits, kPlaneBytes);
  }
  parallel_for(n_bytes, kGrainBytes, threads, [&](std::size_t begin, std::size_t end) {
    impl.gf2k_multiply_sliced(k, a + begin, broadcast ? planes : b + begin, broadcast ? 0 : n_bytes, n_bytes,
                              end - begin, out + begin);
  });
}

void pack_elements(int k, const std::uint8_t* elements, std::size_t n, std::uint8_t* out,
                   const Options& options) {
  check_degree(k);
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainBytes, threads, [&](std::size_t begin, std::size_t end) {
    impl.pack_elements(k, elements + begin, end - begin, out + begin / 8 * static_cast<std::size_t>(k));
  });
}

void unpack_elements(int k, const std::uint8_t* packed, std::size_t n, std::uint8_t* out,
                     const Options& options) {
  check_degree(k);
  const Impl& impl = select(options);
  const int threads = resolve_threads(options.threads);
  parallel_for(n, kGrainBytes, threads, [&](std::size_t begin, std::size_t end) {
    impl.unpack_elements(k, packed + begin / 8 * static_cast<std::size_t>(k), end - begin, out + begin);
  });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>("bitmatrix", "", known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::bitmatrix
