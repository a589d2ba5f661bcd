// SPDX-License-Identifier: Apache-2.0
// Rows of the matrix from keys, and products with them, written once over an Isa; each ISA file includes this once.
// Internal linkage. An Isa has
//   Blocks, RoundKeys, encrypt: aes/blocks_*.h;
//   columns(hashes, sparse, out): kStep hashes to Columns;
//   Field: a field of bitmatrix/gf128_*.h with kLanes a divisor of kStep / 2; and over its Vector
//   mul64(a, b): the products in GF(2^64) of the 64-bit halves, place by place;
//   twice(h): the low half of each 16 bytes, twice; lows(h, next): the low halves of both in order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "okvs/impl.h"

namespace crypsis::okvs {
namespace {

// Keys hashed together: eight registers of four blocks, or two bitsliced states.
constexpr std::size_t kStep = 32;
// Keys of a decode in work: columns, hashes and values stay in the first-level cache between the passes.
constexpr std::size_t kBlock = 8 * kStep;

template <class Isa>
struct Rows {
  using Blocks = typename Isa::Blocks;
  using RoundKeys = typename Isa::RoundKeys;
  using G = typename Isa::Field;
  using Vector = typename G::Vector;

  struct Hashes {
    alignas(64) std::uint8_t bytes[kStep * 16];
  };

  [[gnu::always_inline]] static void hash_step(const RoundKeys& keys, const std::uint8_t* from,
                                               std::uint8_t* to) {
    constexpr int kTogether = Blocks::kTogether;
    constexpr std::size_t kBytes = Blocks::kBlocks * 16;
    static_assert(kStep * 16 % (kBytes * kTogether) == 0);
    for (std::size_t at = 0; at < kStep * 16; at += kBytes * kTogether) {
      Blocks x[kTogether];
      for (int i = 0; i < kTogether; ++i)
        x[i] = Blocks::load(from + at + static_cast<std::size_t>(i) * kBytes);
      Isa::encrypt(keys, x);
      for (int i = 0; i < kTogether; ++i) {
        const std::size_t place = at + static_cast<std::size_t>(i) * kBytes;
        (x[i] ^ Blocks::load(from + place)).store(to + place);
      }
    }
  }

  // Calls step(first, keys of kStep rows, rows that count) for all rows; the last step reads a padded copy.
  template <class Step>
  [[gnu::always_inline]] static void for_steps(const std::uint8_t* keys, std::size_t n, const Step& step) {
    std::size_t at = 0;
    for (; at + kStep <= n; at += kStep) step(at, keys + 16 * at, kStep);
    if (at == n) return;
    std::uint8_t padded[kStep * 16] = {};
    std::memcpy(padded, keys + 16 * at, 16 * (n - at));
    step(at, padded, n - at);
  }

  static void hash(const aes::KeySchedule& key, const std::uint8_t* keys, std::size_t n, std::uint8_t* out) {
    const RoundKeys round_keys(key);
    for_steps(keys, n, [&](std::size_t at, const std::uint8_t* from, std::size_t some) {
      Hashes hashes;
      hash_step(round_keys, from, hashes.bytes);
      std::memcpy(out + 16 * at, hashes.bytes, 16 * some);
    });
  }

  static void columns(const aes::KeySchedule& key, std::size_t sparse, const std::uint8_t* keys,
                      std::size_t n, Columns* out) {
    columns(RoundKeys(key), sparse, keys, n, out);
  }
  static void columns(const RoundKeys& key, std::size_t sparse, const std::uint8_t* keys, std::size_t n,
                      Columns* out) {
    const auto m = static_cast<std::uint32_t>(sparse);
    for_steps(keys, n, [&](std::size_t at, const std::uint8_t* from, std::size_t some) {
      Hashes hashes;
      hash_step(key, from, hashes.bytes);
      if (some == kStep) return Isa::columns(hashes.bytes, m, out + at);
      Columns last[kStep];
      Isa::columns(hashes.bytes, m, last);
      std::memcpy(out + at, last, some * sizeof(Columns));
    });
  }

  template <Width W>
  [[gnu::always_inline]] static Vector product(Vector a, Vector b) {
    if constexpr (W == Width::k128) {
      return G::mul(a, b);
    } else {
      return Isa::mul64(a, b);
    }
  }

  // Horner's rule on kChains vectors side by side, as the products of one wait for each other.
  template <Width W>
  [[gnu::always_inline]] static void add_step(const Dense& dense, const std::uint8_t* hashes,
                                              const std::uint8_t* in, std::uint8_t* out) {
    constexpr std::size_t kVector = 16 * G::kLanes, kVectors = kStep * bytes_of(W) / kVector;
    constexpr std::size_t kChains = kVectors < 4 ? kVectors : 4;
    for (std::size_t v = 0; v < kVectors; v += kChains) {
      Vector r[kChains], sum[kChains];
#pragma GCC unroll 4
      for (std::size_t c = 0; c < kChains; ++c) {
        if constexpr (W == Width::k128) {
          r[c] = G::load(hashes + (v + c) * kVector);
        } else if constexpr (W == Width::kTwo64) {
          r[c] = Isa::twice(G::load(hashes + (v + c) * kVector));
        } else {
          r[c] = Isa::lows(G::load(hashes + 2 * (v + c) * kVector),
                           G::load(hashes + (2 * (v + c) + 1) * kVector));
        }
        sum[c] = G::broadcast(dense.elements[dense.n - 1]);
      }
      for (std::size_t j = dense.n - 1; j-- > 0;) {
        const Vector next = G::broadcast(dense.elements[j]);
#pragma GCC unroll 4
        for (std::size_t c = 0; c < kChains; ++c) sum[c] = G::add(product<W>(sum[c], r[c]), next);
      }
#pragma GCC unroll 4
      for (std::size_t c = 0; c < kChains; ++c) {
        const std::size_t at = (v + c) * kVector;
        G::store(out + at, G::add(product<W>(sum[c], r[c]), G::load(in + at)));
      }
    }
  }

  template <Width W>
  static void add_dense(const RoundKeys& key, const Dense& dense, const std::uint8_t* keys, std::size_t n,
                        const std::uint8_t* in, std::uint8_t* out) {
    constexpr std::size_t kBytes = bytes_of(W);
    for_steps(keys, n, [&](std::size_t at, const std::uint8_t* from, std::size_t some) {
      Hashes hashes;
      hash_step(key, from, hashes.bytes);
      if (some == kStep) return add_step<W>(dense, hashes.bytes, in + kBytes * at, out + kBytes * at);
      alignas(64) std::uint8_t last[kStep * kBytes] = {};
      std::memcpy(last, in + kBytes * at, kBytes * some);
      add_step<W>(dense, hashes.bytes, last, last);
      std::memcpy(out + kBytes * at, last, kBytes * some);
    });
  }

  // Calls f with the width as a template argument.
  template <class F>
  static void with_width(Width width, const F& f) {
    switch (width) {
      case Width::k128:
        return f.template operator()<Width::k128>();
      case Width::k64:
        return f.template operator()<Width::k64>();
      case Width::kTwo64:
        return f.template operator()<Width::kTwo64>();
    }
  }

  static void add_dense(const aes::KeySchedule& key, Width width, const Dense& dense,
                        const std::uint8_t* keys, std::size_t n, const std::uint8_t* in, std::uint8_t* out) {
    const RoundKeys round_keys(key);
    with_width(width, [&]<Width W>() { add_dense<W>(round_keys, dense, keys, n, in, out); });
  }

  template <std::size_t kBytes>
  [[gnu::always_inline]] static void gather(const Columns* columns, std::size_t n, const std::uint8_t* table,
                                            std::uint8_t* out) {
    typedef std::uint64_t Row __attribute__((vector_size(kBytes)));
    const auto load = [&](std::uint64_t column) {
      Row row;
      std::memcpy(&row, table + kBytes * (column & 0xffff), kBytes);
      return row;
    };
    for (std::size_t i = 0; i < n; ++i) {
      const Columns c = columns[i];
      const Row sum = load(c) ^ load(c >> 16) ^ load(c >> 32);
      std::memcpy(out + kBytes * i, &sum, kBytes);
    }
  }

  static void decode(const HashKeys& keys, Width width, std::size_t sparse, const Dense& dense,
                     const std::uint8_t* key_rows, std::size_t n, const std::uint8_t* table,
                     std::uint8_t* out) {
    const RoundKeys columns_key(keys.columns), element_key(keys.element);
    with_width(width, [&]<Width W>() {
      constexpr std::size_t kBytes = bytes_of(W);
      // In order once: read at random from further away each line would be waited for.
      for (std::size_t at = 0; at < kBytes * sparse; at += 64) __builtin_prefetch(table + at, 0, 2);
      Columns places[kBlock];
      for (std::size_t at = 0; at < n; at += kBlock) {
        const std::size_t some = n - at < kBlock ? n - at : kBlock;
        const std::uint8_t* const from = key_rows + 16 * at;
        std::uint8_t* const to = out + kBytes * at;
        columns(columns_key, sparse, from, some, places);
        gather<kBytes>(places, some, table, to);
        add_dense<W>(element_key, dense, from, some, to, to);
      }
    });
  }
};

template <class Isa>
constexpr Impl make_impl(std::string_view name, FeatureSet needs) {
  return {{name, needs}, Rows<Isa>::columns, Rows<Isa>::hash, Rows<Isa>::add_dense, Rows<Isa>::decode};
}

}  // namespace
}  // namespace crypsis::okvs
