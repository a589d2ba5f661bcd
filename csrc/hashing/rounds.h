// SPDX-License-Identifier: Apache-2.0
// SHA-256, SM3 and BLAKE3 over a register type V whose lane i belongs to message i. avx2.cpp and avx512.cpp
// supply V and include this; so the rounds are written once. Internal linkage throughout, see schedule.h.
//
// V provides: kLanes; set1(word); load(words) and store(words), kLanes of them, 64-byte aligned; + ^ | on
// words; ror<n>, shr<n>; xor3(a,b,c), choose(a,b,c) = a ? b : c bitwise, majority(a,b,c), andnot(a,b) = ~a &
// b; byte_swap(x); load_blocks<extent>(step, w): w[j] lane i = little-endian word j of lane i's block,
// padding byte included; store_digests(s, out): lane i's words 0 to 7, little-endian, to out + 32 i.
#pragma once
#include <cstddef>
#include <cstdint>

#include "hashing/constants.h"
#include "hashing/schedule.h"

#define CRYPSIS_INLINE [[gnu::always_inline]] inline

namespace crypsis::hashing {
namespace {

// A number that a lambda or a rotation takes at compile time.
template <int n>
struct Bits {
  static constexpr int value = n;
};

// The same table, but the compiler no longer knows its contents: else it moves constants through general
// registers, which costs an instruction on the vector ports each; a broadcast from memory is free.
CRYPSIS_INLINE const std::uint32_t* hidden(const std::uint32_t* table) {
  __asm__("" : "+r"(table));
  return table;
}

template <class V>
CRYPSIS_INLINE V rol(V x, auto n) {
  return x.template ror<32 - decltype(n)::value>();
}

template <class V>
struct LaneState {
  V s[8];
};

// The eight chaining words and the lanes that keep theirs: s = live ? s_new : s_old.
template <class V>
CRYPSIS_INLINE void keep_idle(const Step<V::kLanes>& step, const V old_state[8], V state[8]) {
  if (step.all_live) return;
  const V live = V::load(step.live);
  for (int i = 0; i < 8; ++i) state[i] = V::choose(live, state[i], old_state[i]);
}

template <class V>
CRYPSIS_INLINE void start_lanes(LaneState<V>& state, const std::uint32_t initial[8]) {
  for (int i = 0; i < 8; ++i) state.s[i] = V::set1(initial[i]);
}

// Is word j of the block known to be zero? Word 15 holds SHA-256's and SM3's
// length; in BLAKE3 it goes with word 14. From 16 on: words of the schedule.
constexpr bool is_zero(Extent extent, int j) {
  return extent == Extent::kShort ? j >= 5 && j < 15 : extent == Extent::kHalf && j >= 8 && j < 15;
}

// Message words of SHA-256 and SM3: big-endian, the bit length in the last two.
template <class V, Extent kExtent>
CRYPSIS_INLINE void load_big_endian(const Step<V::kLanes>& step, V w[16]) {
  V::template load_blocks<kExtent>(step, w);
  for (int i = 0; i < 14; ++i) {
    if (!is_zero(kExtent, i)) w[i] = V::byte_swap(w[i]);
  }
  if constexpr (kExtent == Extent::kFull) {
    w[14] = V::byte_swap(w[14]) | V::load(step.word_a);
    w[15] = V::byte_swap(w[15]) | V::load(step.word_b);
  } else {
    w[15] = V::load(step.word_b);
  }
}

// Calls Rounds::run<extent>(state, step) for the extent of this step.
template <class Rounds, class State, std::size_t L>
CRYPSIS_INLINE void run_rounds(State& state, const Step<L>& step) {
  switch (step.extent) {
    case Extent::kShort:
      return Rounds::template run<Extent::kShort>(state, step);
    case Extent::kHalf:
      return Rounds::template run<Extent::kHalf>(state, step);
    case Extent::kFull:
      return Rounds::template run<Extent::kFull>(state, step);
  }
}

template <class V>
CRYPSIS_INLINE void finish_big_endian(const LaneState<V>& state, std::uint8_t* out) {
  V s[8];
  for (int i = 0; i < 8; ++i) s[i] = V::byte_swap(state.s[i]);
  V::store_digests(s, out);
}

// ---- SHA-256 [FIPS 180-4, 6.2.2] ----

// wk = message word + round constant.
template <class V>
CRYPSIS_INLINE void sha256_round(V a, V b, V c, V& d, V e, V f, V g, V& h, V wk) {
  const V sum1 = V::xor3(e.template ror<6>(), e.template ror<11>(), e.template ror<25>());
  const V t1 = (h + wk) + (sum1 + V::choose(e, f, g));
  const V sum0 = V::xor3(a.template ror<2>(), a.template ror<13>(), a.template ror<22>());
  d = d + t1;
  h = t1 + (sum0 + V::majority(a, b, c));
}

template <class V>
CRYPSIS_INLINE V sha256_sigma0(V x) {
  return V::xor3(x.template ror<7>(), x.template ror<18>(), x.template shr<3>());
}

template <class V>
CRYPSIS_INLINE V sha256_sigma1(V x) {
  return V::xor3(x.template ror<17>(), x.template ror<19>(), x.template shr<10>());
}

// Word 16 + i over word i, where words 0 to 15 are the block's: terms that are zero are left out.
template <Extent kExtent, int i, class V>
CRYPSIS_INLINE void sha256_expand_block(V w[16]) {
  V sum = w[i];
  if constexpr (!is_zero(kExtent, i + 14)) {
    const V sigma1 = sha256_sigma1(w[(i + 14) & 15]);
    sum = is_zero(kExtent, i) ? sigma1 : sum + sigma1;
  }
  if constexpr (!is_zero(kExtent, i + 1)) sum = sum + sha256_sigma0(w[(i + 1) & 15]);
  if constexpr (!is_zero(kExtent, i + 9)) sum = sum + w[(i + 9) & 15];
  w[i] = sum;
}

enum class Words { kBlock, kExpandBlock, kExpand };  // rounds 0 to 15, 16 to 31, 32 to 63

template <Extent kExtent, Words kWords, int kFrom, class V>
CRYPSIS_INLINE void sha256_eight(V s[8], V w[16], const std::uint32_t* k) {
  auto wk = [&]<int i>(Bits<i>) __attribute__((always_inline)) {
    constexpr int j = kFrom + i;
    if constexpr (kWords == Words::kBlock && is_zero(kExtent, j)) return V::set1(k[j]);
    if constexpr (kWords == Words::kExpandBlock) sha256_expand_block<kExtent, j>(w);
    if constexpr (kWords == Words::kExpand) sha256_expand_block<Extent::kFull, j>(w);
    return w[j] + V::set1(k[j]);
  };
  sha256_round(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], wk(Bits<0>{}));
  sha256_round(s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6], wk(Bits<1>{}));
  sha256_round(s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5], wk(Bits<2>{}));
  sha256_round(s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4], wk(Bits<3>{}));
  sha256_round(s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3], wk(Bits<4>{}));
  sha256_round(s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2], wk(Bits<5>{}));
  sha256_round(s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1], wk(Bits<6>{}));
  sha256_round(s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0], wk(Bits<7>{}));
}

template <class V>
struct Sha256Lanes {
  static constexpr std::size_t kLanes = V::kLanes;
  using State = LaneState<V>;
  static void start(State& state, const std::uint32_t initial[8]) { start_lanes(state, initial); }
  static void finish(const State& state, std::uint8_t* out) { finish_big_endian(state, out); }
  static void compress(State& state, const Step<kLanes>& step) { run_rounds<Sha256Lanes>(state, step); }

  template <Extent kExtent>
  CRYPSIS_INLINE static void run(State& state, const Step<kLanes>& step) {
    const std::uint32_t* const k = hidden(kSha256Round);
    V w[16];
    load_big_endian<V, kExtent>(step, w);
    V s[8];
    for (int i = 0; i < 8; ++i) s[i] = state.s[i];
    sha256_eight<kExtent, Words::kBlock, 0>(s, w, k);
    sha256_eight<kExtent, Words::kBlock, 8>(s, w, k);
    sha256_eight<kExtent, Words::kExpandBlock, 0>(s, w, k + 16);
    sha256_eight<kExtent, Words::kExpandBlock, 8>(s, w, k + 16);
    for (int t = 32; t < 64; t += 16) {
      sha256_eight<kExtent, Words::kExpand, 0>(s, w, k + t);
      sha256_eight<kExtent, Words::kExpand, 8>(s, w, k + t);
    }
    for (int i = 0; i < 8; ++i) s[i] = s[i] + state.s[i];
    keep_idle<V>(step, state.s, s);
    for (int i = 0; i < 8; ++i) state.s[i] = s[i];
  }
};

// ---- SM3 [GB/T 32905-2016, 5.3] ----

// kEarly: rounds 0 to 15, where both boolean functions are the exclusive or.
template <class V, bool kEarly>
CRYPSIS_INLINE void sm3_round(V a, V& b, V c, V& d, V e, V& f, V g, V& h, V w, V w4, std::uint32_t t) {
  const V a12 = rol(a, Bits<12>{});
  const V ss1 = rol(a12 + (e + V::set1(t)), Bits<7>{});
  const V ff = kEarly ? V::xor3(a, b, c) : V::majority(a, b, c);
  const V gg = kEarly ? V::xor3(e, f, g) : V::choose(e, f, g);
  const V tt1 = (ff + d) + ((ss1 ^ a12) + (w ^ w4));
  const V tt2 = (gg + h) + (ss1 + w);
  b = rol(b, Bits<9>{});
  d = tt1;
  f = rol(f, Bits<19>{});
  h = V::xor3(tt2, rol(tt2, Bits<9>{}), rol(tt2, Bits<17>{}));
}

// Word i + 16 over word i.
template <class V>
CRYPSIS_INLINE void sm3_expand(V w[16], int i) {
  const V x = V::xor3(w[i], w[(i + 7) & 15], rol(w[(i + 13) & 15], Bits<15>{}));
  const V p1 = V::xor3(x, rol(x, Bits<15>{}), rol(x, Bits<23>{}));
  w[i] = V::xor3(p1, rol(w[(i + 3) & 15], Bits<7>{}), w[(i + 10) & 15]);
}

// Four rounds; the words used are j..j+3 and j+4..j+7 of the 16-word window that starts at round `from`.
template <class V, bool kEarly, bool kExpand>
CRYPSIS_INLINE void sm3_four(V s[8], V w[16], const std::uint32_t* t, int from) {
  auto ahead = [&](int i) __attribute__((always_inline)) {
    const int j = (from + i + 4) & 15;
    if constexpr (kExpand) sm3_expand(w, j);
    return w[j];
  };
  sm3_round<V, kEarly>(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], w[from], ahead(0), t[0]);
  sm3_round<V, kEarly>(s[3], s[0], s[1], s[2], s[7], s[4], s[5], s[6], w[from + 1], ahead(1), t[1]);
  sm3_round<V, kEarly>(s[2], s[3], s[0], s[1], s[6], s[7], s[4], s[5], w[from + 2], ahead(2), t[2]);
  sm3_round<V, kEarly>(s[1], s[2], s[3], s[0], s[5], s[6], s[7], s[4], w[from + 3], ahead(3), t[3]);
}

template <class V>
struct Sm3Lanes {
  static constexpr std::size_t kLanes = V::kLanes;
  using State = LaneState<V>;
  static void start(State& state, const std::uint32_t initial[8]) { start_lanes(state, initial); }
  static void finish(const State& state, std::uint8_t* out) { finish_big_endian(state, out); }
  static void compress(State& state, const Step<kLanes>& step) { run_rounds<Sm3Lanes>(state, step); }

  template <Extent kExtent>
  CRYPSIS_INLINE static void run(State& state, const Step<kLanes>& step) {
    const std::uint32_t* const t = hidden(kSm3Round.t);
    V w[16];
    load_big_endian<V, kExtent>(step, w);
    V s[8];
    for (int i = 0; i < 8; ++i) s[i] = state.s[i];
    sm3_four<V, true, false>(s, w, t, 0);
    sm3_four<V, true, false>(s, w, t + 4, 4);
    sm3_four<V, true, false>(s, w, t + 8, 8);
    sm3_four<V, true, true>(s, w, t + 12, 12);  // needs words 16 to 19
    for (int j = 16; j < 64; j += 16) {
      sm3_four<V, false, true>(s, w, t + j, 0);
      sm3_four<V, false, true>(s, w, t + j + 4, 4);
      sm3_four<V, false, true>(s, w, t + j + 8, 8);
      sm3_four<V, false, true>(s, w, t + j + 12, 12);
    }
    for (int i = 0; i < 8; ++i) s[i] = s[i] ^ state.s[i];
    keep_idle<V>(step, state.s, s);
    for (int i = 0; i < 8; ++i) state.s[i] = s[i];
  }
};

// ---- BLAKE3 [BLAKE3, 2.2], messages of one chunk: the counter is 0 ----

// x and y are message words; kX, kY: they may be other than zero.
template <bool kX, bool kY, class V>
CRYPSIS_INLINE void blake3_mix(V& a, V& b, V& c, V& d, V x, V y) {
  if constexpr (kX) a = a + x;
  a = a + b;
  d = (d ^ a).template ror<16>();
  c = c + d;
  b = (b ^ c).template ror<12>();
  if constexpr (kY) a = a + y;
  a = a + b;
  d = (d ^ a).template ror<8>();
  c = c + d;
  b = (b ^ c).template ror<7>();
}

template <Extent kExtent, int kRound, class V>
CRYPSIS_INLINE void blake3_round(V v[16], const V m[16]) {
  auto mix = [&]<int i>(Bits<i>, V& a, V& b, V& c, V& d) __attribute__((always_inline)) {
    constexpr int x = kBlake3Schedule.word[kRound][2 * i];
    constexpr int y = kBlake3Schedule.word[kRound][2 * i + 1];
    constexpr bool x_used = x < 15 ? !is_zero(kExtent, x) : kExtent == Extent::kFull;
    constexpr bool y_used = y < 15 ? !is_zero(kExtent, y) : kExtent == Extent::kFull;
    blake3_mix<x_used, y_used>(a, b, c, d, m[x], m[y]);
  };
  mix(Bits<0>{}, v[0], v[4], v[8], v[12]);
  mix(Bits<1>{}, v[1], v[5], v[9], v[13]);
  mix(Bits<2>{}, v[2], v[6], v[10], v[14]);
  mix(Bits<3>{}, v[3], v[7], v[11], v[15]);
  mix(Bits<4>{}, v[0], v[5], v[10], v[15]);
  mix(Bits<5>{}, v[1], v[6], v[11], v[12]);
  mix(Bits<6>{}, v[2], v[7], v[8], v[13]);
  mix(Bits<7>{}, v[3], v[4], v[9], v[14]);
}

template <class V>
struct Blake3Lanes {
  static constexpr std::size_t kLanes = V::kLanes;
  using State = LaneState<V>;
  static void start(State& state, const std::uint32_t initial[8]) { start_lanes(state, initial); }
  static void finish(const State& state, std::uint8_t* out) { V::store_digests(state.s, out); }
  static void compress(State& state, const Step<kLanes>& step) { run_rounds<Blake3Lanes>(state, step); }

  template <Extent kExtent>
  CRYPSIS_INLINE static void run(State& state, const Step<kLanes>& step) {
    const std::uint32_t* const constants = hidden(kSha256Initial);
    V m[16];
    V::template load_blocks<kExtent>(step, m);
    V v[16];
    for (int i = 0; i < 8; ++i) v[i] = state.s[i];
    for (int i = 0; i < 4; ++i) v[8 + i] = V::set1(constants[i]);
    v[12] = V::set1(0);
    v[13] = V::set1(0);
    v[14] = V::load(step.word_a);
    v[15] = V::load(step.word_b);
    blake3_round<kExtent, 0>(v, m);
    blake3_round<kExtent, 1>(v, m);
    blake3_round<kExtent, 2>(v, m);
    blake3_round<kExtent, 3>(v, m);
    blake3_round<kExtent, 4>(v, m);
    blake3_round<kExtent, 5>(v, m);
    blake3_round<kExtent, 6>(v, m);
    V s[8];
    for (int i = 0; i < 8; ++i) s[i] = v[i] ^ v[i + 8];
    keep_idle<V>(step, state.s, s);
    for (int i = 0; i < 8; ++i) state.s[i] = s[i];
  }
};

template <class V>
void digest_lanes(const Job& job, std::size_t begin, std::size_t end, std::uint8_t* out) {
  switch (job.algorithm) {
    case Algorithm::kSha256:
      return run<Sha256Lanes<V>>(job, begin, end, out);
    case Algorithm::kSm3:
      return run<Sm3Lanes<V>>(job, begin, end, out);
    case Algorithm::kBlake3:
      return run<Blake3Lanes<V>>(job, begin, end, out);
  }
}

// Twelve sums, each hidden from the compiler, which could else take several steps at once: no CPU adds more in the cycle
// that an addition takes.
template <class V>
std::size_t additions(std::size_t repeats) {
  constexpr int kTogether = 12;
  const V x = V::set1(3);
  V sums[kTogether];
#pragma GCC unroll 12
  for (int i = 0; i < kTogether; ++i) sums[i] = V::set1(static_cast<std::uint32_t>(i));
  for (std::size_t n = 0; n < repeats; ++n) {
#pragma GCC unroll 12
    for (V& sum : sums) {
      sum = sum + x;
      __asm__ volatile("" : "+v"(sum.v));
    }
  }
  return repeats * kTogether;
}

}  // namespace
}  // namespace crypsis::hashing
