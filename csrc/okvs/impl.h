// SPDX-License-Identifier: Apache-2.0
// What a backend of the okvs slug provides. Callers (dispatch.cpp, solve.cpp) have checked every size; n may be 0, no
// alignment is assumed. Variable-time in the keys.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "aes/key_schedule.h"
#include "common/dispatch.h"
#include "okvs/okvs.h"

namespace crypsis::okvs {

// What an element of a table is.
enum class Width {
  k128,    // 16 bytes of GF(2^128)
  k64,     // 8 bytes of GF(2^64)
  kTwo64,  // 16 bytes: two elements of GF(2^64)
};
constexpr std::size_t bytes_of(Width width) {
  return width == Width::k64 ? 8 : 16;
}

// Expanded keys of the two hashes of a key x, both AES(x) ^ x.
struct HashKeys {
  aes::KeySchedule columns;  // first 12 bytes: three sparse columns
  aes::KeySchedule element;  // r: all 16 bytes, or the first 8 for GF(2^64)
};

// The dense columns of a table, 16 bytes each; an element of 8 bytes stands there twice.
struct Dense {
  std::size_t n;
  alignas(64) std::uint8_t elements[kMaxDense][16];
};

// The three sparse columns of a key: 16 bits each, from the lowest on; the upper 16 bits are zero.
using Columns = std::uint64_t;

struct Impl : Backend {
  // columns[i] of keys[i] among `sparse` columns.
  void (*columns)(const aes::KeySchedule& key, std::size_t sparse, const std::uint8_t* keys, std::size_t n,
                  Columns* columns);
  // out[i], 16 bytes: AES(keys[i]) ^ keys[i].
  void (*hash)(const aes::KeySchedule& key, const std::uint8_t* keys, std::size_t n, std::uint8_t* out);
  // out[i] = in[i] + sum of dense[j] r_i^(j + 1); `out` may be `in`.
  void (*add_dense)(const aes::KeySchedule& key, Width width, const Dense& dense, const std::uint8_t* keys,
                    std::size_t n, const std::uint8_t* in, std::uint8_t* out);
  // One bin's keys; the dense columns follow the sparse ones in `table` and are given once more in `dense`.
  void (*decode)(const HashKeys& keys, Width width, std::size_t sparse, const Dense& dense,
                 const std::uint8_t* key_rows, std::size_t n, const std::uint8_t* table, std::uint8_t* out);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
#endif

// Best first.
std::span<const Impl* const> compiled();

}  // namespace crypsis::okvs
