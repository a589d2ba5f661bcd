// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "common/wipe.h"
#include "okvs/impl.h"
#include "okvs/okvs.h"
#include "okvs/solve.h"

namespace crypsis::okvs {
namespace {

constexpr std::string_view kSlug = "okvs";

const Impl& select(std::string_view backend) {
  return select_backend<Impl>(kSlug, {}, compiled(), backend, [](const Impl&) { return true; });
}

void check_range(const char* name, std::size_t value, std::size_t low, std::size_t high) {
  if (value < low || value > high) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ": give " +
                                std::to_string(low) + " to " + std::to_string(high));
  }
}

void check(const Shape& shape, const Bins& bins, std::uint64_t most) {
  check_range("n_items", shape.n_items, 0, kMaxItems);
  check_range("dense", shape.dense, 1, kMaxDense);
  check_range("sparse", shape.sparse, kMinSparse, kMaxColumns - shape.dense);
  if (shape.field != 64 && shape.field != 128) {
    throw std::invalid_argument("field is " + std::to_string(shape.field) + ": give 64 or 128");
  }
  const auto start = [&](std::size_t i) { return std::to_string(bins.starts[i]); };
  if (bins.starts[0] != 0) throw std::invalid_argument("starts begins with " + start(0) + ": give 0");
  for (std::size_t i = 0; i < bins.n_bins; ++i) {
    if (bins.starts[i + 1] < bins.starts[i]) {
      throw std::invalid_argument("starts falls from " + start(i) + " to " + start(i + 1) + " at bin " +
                                  std::to_string(i) + ": give bins one after the other");
    }
    const std::uint64_t n = bins.starts[i + 1] - bins.starts[i];
    if (n > most) {
      throw std::invalid_argument("bin " + std::to_string(i) + " has " + std::to_string(n) +
                                  " keys: the parameters are for " + std::to_string(most));
    }
  }
  if (bins.starts[bins.n_bins] != bins.n_keys) {
    throw std::invalid_argument("starts ends with " + start(bins.n_bins) + ": there are " +
                                std::to_string(bins.n_keys) + " keys");
  }
}

// Keys of the two hashes: the seed ^ 1 and ^ 2 in its first byte.
HashKeys hash_keys(const std::uint8_t* seed) {
  HashKeys keys;
  std::uint8_t key[kKeyBytes];
  std::memcpy(key, seed, sizeof key);
  key[0] = static_cast<std::uint8_t>(key[0] ^ 1);
  aes::expand_key(key, keys.columns);
  key[0] = static_cast<std::uint8_t>(key[0] ^ 3);
  aes::expand_key(key, keys.element);
  return keys;
}

// A thread is worth starting for some tens of microseconds of work.
constexpr std::size_t kGrainKeys = 2048;
std::size_t grain_bins(const Bins& bins) {
  const std::size_t mean = bins.n_keys / std::max<std::size_t>(1, bins.n_bins);
  return std::max<std::size_t>(1, kGrainKeys / std::max<std::size_t>(1, mean));
}

}  // namespace

std::span<const Impl* const> compiled() {
  static constexpr std::array table{
#if defined(__x86_64__)
      &avx512,
      &avx2,
#endif
      &portable,
  };
  return table;
}

void encode(const Call& call, const Shape& shape, const std::uint8_t* seed, const Bins& bins,
            const std::uint8_t* values, const std::uint8_t* fill, std::uint8_t* out) {
  check(shape, bins, shape.n_items);
  const Impl& impl = select(call.backend);
  const HashKeys keys = hash_keys(seed);
  const std::size_t n_bytes = static_cast<std::size_t>(shape.field) / 8,
                    table_bytes = n_bytes * shape.columns();
  parallel_for(bins.n_bins, grain_bins(bins), call.threads, [&](std::size_t begin, std::size_t end) {
    Scratch scratch(shape);
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = bins.starts[i], n = bins.starts[i + 1] - first;
      const Bin bin{i,
                    bins.keys + kKeyBytes * first,
                    n,
                    values + n_bytes * first,
                    fill == nullptr ? nullptr : fill + table_bytes * i,
                    out + table_bytes * i};
      encode_bin(impl, keys, shape, bin, scratch);
    }
  });
}

void decode(const Call& call, const Shape& shape, std::size_t width, const std::uint8_t* seed,
            const Bins& bins, const std::uint8_t* table, std::uint8_t* out) {
  check(shape, bins, bins.n_keys);
  if (width != 16 && (width != 8 || shape.field != 64)) {
    throw std::invalid_argument("rows have " + std::to_string(width) + " bytes: give field / 8, or 16");
  }
  const Impl& impl = select(call.backend);
  const HashKeys keys = hash_keys(seed);
  const Width kind = shape.field == 128 ? Width::k128 : width == 8 ? Width::k64 : Width::kTwo64;
  parallel_for(bins.n_bins, grain_bins(bins), call.threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t first = bins.starts[i], n = bins.starts[i + 1] - first;
      const std::uint8_t* const own = table + width * shape.columns() * i;
      Dense dense{shape.dense, {}};
      for (std::size_t j = 0; j < shape.dense; ++j) {
        const std::uint8_t* const element = own + width * (shape.sparse + j);
        std::memcpy(dense.elements[j], element, width);
        std::memcpy(dense.elements[j] + 16 - width, element, width);
      }
      impl.decode(keys, kind, shape.sparse, dense, bins.keys + kKeyBytes * first, n, own,
                  out + width * first);
    }
  });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>(kSlug, {}, known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::okvs
