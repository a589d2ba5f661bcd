// SPDX-License-Identifier: Apache-2.0
// Oblivious key-value stores: three-hash binned Paxos [GPR+21, RR22]. Checked entry points; the backends behind them
// are in impl.h, the exact definition of a table in NOTES.md.
//
// Not constant-time: addresses and branches depend on the keys, as in every sparse encoding. So the keys should be keyed
// digests of one's own items, on one's own machine; nothing here is for keys that a process next door must not learn.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::okvs {

inline constexpr std::size_t kKeyBytes = 16;
inline constexpr std::size_t kMaxItems = 65'535;    // of a bin: ids and degrees have 16 bits
inline constexpr std::size_t kMaxColumns = 65'536;  // of a bin: column indices have 16 bits
inline constexpr std::size_t kMinSparse = 3;
inline constexpr std::size_t kMaxDense = 32;
// Rows that the peeling may leave to elimination, whose work they bound: 50 million word operations.
inline constexpr std::size_t kMaxCoreRows = 1024;

// No table holds the values of a bin's keys; the message names the bin and what to do.
class EncodeFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Call {
  std::string_view backend;  // empty: the best one
  int threads = 0;           // 0: CRYPSIS_NUM_THREADS, else the CPUs of the process
};

struct Shape {
  std::size_t n_items;  // most keys of a bin
  std::size_t sparse, dense;
  int field;  // 64 or 128

  std::size_t columns() const { return sparse + dense; }
};

// Keys of several bins: bin i is [starts[i], starts[i + 1]) of n_keys blocks of 16 bytes.
struct Bins {
  const std::uint8_t* keys;
  std::size_t n_keys;
  const std::uint64_t* starts;
  std::size_t n_bins;
};

// out[bin] is a table of shape.columns() elements of field / 8 bytes, so that `decode` gives values[i] for keys[i].
// Columns that nothing binds are taken from `fill`, which has the shape of `out`, or zero where it is nullptr.
// seed: 16 bytes. No array may overlap `out`. Throws std::invalid_argument and BackendUnavailable before anything is
// written, EncodeFailure after.
void encode(const Call& call, const Shape& shape, const std::uint8_t* seed, const Bins& bins,
            const std::uint8_t* values, const std::uint8_t* fill, std::uint8_t* out);

// out[i], `width` bytes, is the value of keys[i] in its bin's table: the sum of three sparse columns and of the dense
// ones times r, r^2, ... width: field / 8, or 16 with a field of 64 bits: two lanes with the same r.
void decode(const Call& call, const Shape& shape, std::size_t width, const std::uint8_t* seed,
            const Bins& bins, const std::uint8_t* table, std::uint8_t* out);

// Rows of `crypsis backends`.
std::vector<BackendStatus> backends();

}  // namespace crypsis::okvs
