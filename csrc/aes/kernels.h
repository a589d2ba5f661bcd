// SPDX-License-Identifier: Apache-2.0
// The kernels of impl.h, once for all backends: templates over the Blocks of a header blocks_<isa>.h. Internal linkage.
//
// A group is the kTogether registers that go through the rounds together. Whole groups run in a loop; what is left is
// one more group, whose loads and stores stop at the last block.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "aes/impl.h"
#include "aes/key_schedule.h"
#include "common/wipe.h"

namespace crypsis::aes {
namespace {

template <class B>
using Group = B[B::kTogether];
template <class B>
constexpr std::size_t kGroupBlocks = B::kTogether * B::kBlocks;

// Blocks of register r when the group has m.
template <class B>
constexpr std::size_t share(std::size_t m, int r) {
  const std::size_t before = std::min(m, static_cast<std::size_t>(r) * B::kBlocks);
  return std::min(m - before, B::kBlocks);
}

template <class B, bool kWhole>
[[gnu::always_inline]] inline void load(Group<B>& x, const std::uint8_t* from, std::size_t m) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) {
    const std::size_t at = static_cast<std::size_t>(r) * B::kBlocks;
    if constexpr (kWhole) {
      x[r] = B::load(from + at * kBlockBytes);
    } else {
      x[r] = B::load_first(from + std::min(at, m) * kBlockBytes, share<B>(m, r));
    }
  }
}

template <class B, bool kWhole>
[[gnu::always_inline]] inline void store(const Group<B>& x, std::uint8_t* to, std::size_t m) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) {
    const std::size_t at = static_cast<std::size_t>(r) * B::kBlocks;
    if constexpr (kWhole) {
      x[r].store(to + at * kBlockBytes);
    } else {
      x[r].store_first(to + std::min(at, m) * kBlockBytes, share<B>(m, r));
    }
  }
}

template <class B>
[[gnu::always_inline]] inline void copy(Group<B>& x, const Group<B>& from) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) x[r] = from[r];
}

template <class B>
[[gnu::always_inline]] inline void add(Group<B>& x, const Group<B>& y) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) x[r] ^= y[r];
}

// body(whole, at, m): the group of m blocks from block `at` on; whole is std::true_type where it is a full one.
template <class B, class Body>
[[gnu::always_inline]] inline void for_groups(std::size_t n, const Body& body) {
  std::size_t at = 0;
  for (; n - at >= kGroupBlocks<B>; at += kGroupBlocks<B>) body(std::true_type{}, at, kGroupBlocks<B>);
  if (at < n) body(std::false_type{}, at, n - at);
}

// The group's counters: `first` holds those of its first register as little-endian integers and moves to the next group.
template <class B>
[[gnu::always_inline]] inline void count(Group<B>& x, B& first) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) x[r] = first.plus(static_cast<std::uint64_t>(r) * B::kBlocks);
  first = first.plus(kGroupBlocks<B>);
}

// body(counter, at, m) for runs of blocks within which the low half of the counter does not wrap, so that the loops
// need no carry: one run but for one call in 2^64 / n.
template <class Body>
inline void for_runs(Counter first, std::size_t n, const Body& body) {
  for (std::size_t at = 0; at < n;) {
    const std::uint64_t until_wrap = 0 - first.low;  // 0 stands for 2^64
    const std::size_t m = until_wrap == 0 ? n - at : std::min<std::uint64_t>(n - at, until_wrap);
    body(first, at, m);
    first = first.plus(m);
    at += m;
  }
}

template <class B>
void permute(const KeySchedule& key, const std::uint8_t* in, std::uint8_t* out, std::size_t n) {
  typename B::Keys keys(key);
  const WipeGuard wipe(keys);
  for_groups<B>(n, [&]<class Whole>(Whole, std::size_t at, std::size_t m) {
    Group<B> x;
    load<B, Whole::value>(x, in + at * kBlockBytes, m);
    encrypt(keys, x);
    store<B, Whole::value>(x, out + at * kBlockBytes, m);
  });
}

template <class B>
void mmo(const KeySchedule& key, const std::uint8_t* in, std::uint8_t* out, std::size_t n) {
  typename B::Keys keys(key);
  const WipeGuard wipe(keys);
  for_groups<B>(n, [&]<class Whole>(Whole, std::size_t at, std::size_t m) {
    Group<B> x, y;
    load<B, Whole::value>(x, in + at * kBlockBytes, m);
    copy<B>(y, x);
    encrypt(keys, y);
    add<B>(y, x);
    store<B, Whole::value>(y, out + at * kBlockBytes, m);
  });
}

template <class B>
void tmmo(const KeySchedule& key, Counter first, const std::uint8_t* in, std::uint8_t* out, std::size_t n) {
  typename B::Keys keys(key);
  const WipeGuard wipe(keys);
  for_runs(first, n, [&](Counter start, std::size_t begin, std::size_t n_run) {
    const std::uint8_t* const from = in + begin * kBlockBytes;
    std::uint8_t* const to = out + begin * kBlockBytes;
    B counter = B::sequence(start.low, start.high);
    for_groups<B>(n_run, [&]<class Whole>(Whole, std::size_t at, std::size_t m) {
      Group<B> inner, outer, tweaks;
      load<B, Whole::value>(inner, from + at * kBlockBytes, m);
      encrypt(keys, inner);
      count<B>(tweaks, counter);
      copy<B>(outer, inner);
      add<B>(outer, tweaks);
      encrypt(keys, outer);
      add<B>(outer, inner);
      store<B, Whole::value>(outer, to + at * kBlockBytes, m);
    });
  });
}

template <class B, bool kAdd>
void ctr_run(const typename B::Keys& keys, Counter start, const std::uint8_t* in, std::uint8_t* out,
             std::size_t n) {
  B counter = B::sequence(start.low, start.high);
  for_groups<B>(n, [&]<class Whole>(Whole, std::size_t at, std::size_t m) {
    Group<B> x;
    count<B>(x, counter);
    for (int r = 0; r < B::kTogether; ++r) x[r] = x[r].reversed();
    encrypt(keys, x);
    if constexpr (kAdd) {
      Group<B> data;
      load<B, Whole::value>(data, in + at * kBlockBytes, m);
      add<B>(x, data);
    }
    store<B, Whole::value>(x, out + at * kBlockBytes, m);
  });
}

template <class B>
void ctr(const KeySchedule& key, Counter first, const std::uint8_t* in, std::uint8_t* out, std::size_t n) {
  typename B::Keys keys(key);
  const WipeGuard wipe(keys);
  for_runs(first, n, [&](Counter start, std::size_t begin, std::size_t n_run) {
    std::uint8_t* const to = out + begin * kBlockBytes;
    if (in != nullptr) {
      ctr_run<B, true>(keys, start, in + begin * kBlockBytes, to, n_run);
    } else {
      ctr_run<B, false>(keys, start, nullptr, to, n_run);
    }
  });
}

// The children of the group x with m blocks: two groups, of which each register of x fills two registers.
template <class B, bool kWhole>
[[gnu::always_inline]] inline void store_children(const Group<B>& left, const Group<B>& right,
                                                  std::uint8_t* to, std::size_t m) {
#pragma GCC unroll 8
  for (int r = 0; r < B::kTogether; ++r) {
    const B low = B::interleave_low(left[r], right[r]);
    const B high = B::interleave_high(left[r], right[r]);
    const std::size_t at = 2 * static_cast<std::size_t>(r) * B::kBlocks;
    if constexpr (kWhole) {
      low.store(to + at * kBlockBytes);
      high.store(to + (at + B::kBlocks) * kBlockBytes);
    } else {
      low.store_first(to + std::min(at, 2 * m) * kBlockBytes, share<B>(2 * m, 2 * r));
      high.store_first(to + std::min(at + B::kBlocks, 2 * m) * kBlockBytes, share<B>(2 * m, 2 * r + 1));
    }
  }
}

template <class B>
void ggm_level(const KeySchedule& left, const KeySchedule& right, const std::uint8_t* parents,
               std::uint8_t* children, std::size_t n) {
  typename B::Keys left_keys(left), right_keys(right);
  const WipeGuard wipe_left(left_keys), wipe_right(right_keys);
  for_groups<B>(n, [&]<class Whole>(Whole, std::size_t at, std::size_t m) {
    Group<B> x, l, r;
    load<B, Whole::value>(x, parents + at * kBlockBytes, m);
    copy<B>(l, x);
    copy<B>(r, x);
    encrypt(left_keys, l);
    encrypt(right_keys, r);
    add<B>(l, x);
    add<B>(r, x);
    store_children<B, Whole::value>(l, r, children + 2 * at * kBlockBytes, m);
  });
}

// Twelve registers where there are many: more than any unit's latency needs.
template <class B>
std::size_t rounds(const KeySchedule& key, std::size_t repeats) {
  constexpr int kRegisters = B::kTogether == 8 ? 12 : B::kTogether;
  const typename B::Keys keys(key);
  B x[kRegisters];
  for (int r = 0; r < kRegisters; ++r) x[r] = B::sequence(static_cast<std::uint64_t>(r), 0);
  for (std::size_t i = 0; i < repeats; ++i) encrypt(keys, x);
  B sum = x[0];
  for (int r = 1; r < kRegisters; ++r) sum ^= x[r];
  __asm__ volatile("" : : "m"(sum));  // used, so computed
  return repeats * kRegisters * B::kBlocks;
}

using ExpandKeys = void (*)(const std::uint8_t*, KeySchedule*, std::size_t);

template <class B>
constexpr Impl make_impl(std::string_view name, FeatureSet needs, ExpandKeys expand_keys) {
  return {{name, needs}, expand_keys, permute<B>, mmo<B>, tmmo<B>, ctr<B>, ggm_level<B>, rounds<B>};
}

}  // namespace
}  // namespace crypsis::aes
