// SPDX-License-Identifier: Apache-2.0
// The transpose of 128 x 128 bits in every 16-byte lane of a register, written once over a register type.
// Everything has internal linkage: each ISA file gets code of its own.
//
// An Isa provides: Register; kReversed; unpack8/16/32/64<high>(a, b): per lane, the low (high) halves of a
// and b interleaved by units of so many bits; transpose_bytes(x): per 8 bytes, bit i of byte j becomes bit j
// of byte i, where byte j counts from the other end on input if kReversed.
#pragma once
#include <cstddef>

namespace crypsis::bitmatrix {
namespace {

// The matrix between the two halves of a transpose: entry [m][k] holds, per lane, byte columns 2m and 2m + 1
// of rows 8k to 8k + 7. As secret as the bits: wipe it.
template <class Isa>
struct LaneScratch {
  alignas(64) typename Isa::Register half[8][16];
};

template <class Isa, bool kHigh, int kBits>
[[gnu::always_inline]] inline typename Isa::Register unpack(typename Isa::Register a,
                                                            typename Isa::Register b) {
  if constexpr (kBits == 8) return Isa::template unpack8<kHigh>(a, b);
  if constexpr (kBits == 16) return Isa::template unpack16<kHigh>(a, b);
  if constexpr (kBits == 32) return Isa::template unpack32<kHigh>(a, b);
  return Isa::template unpack64<kHigh>(a, b);
}

// One stage over kCount registers: neighbours 2i and 2i + 1 become i (low halves) and i + kCount / 2 (high
// halves). After stages of 8, 16, ... bits over 2^s registers, register j holds the units of place
// reversed_bits(j, s).
template <class Isa, int kBits, int kCount>
[[gnu::always_inline]] inline void interleave(typename Isa::Register (&x)[kCount]) {
  typename Isa::Register y[kCount];
#pragma GCC unroll 16
  for (int i = 0; i < kCount / 2; ++i) {
    y[i] = unpack<Isa, false, kBits>(x[2 * i], x[2 * i + 1]);
    y[i + kCount / 2] = unpack<Isa, true, kBits>(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) x[i] = y[i];
}

// j with its lowest n bits in reverse order.
constexpr int reversed_bits(int j, int n) {
  int r = 0;
  for (int i = 0; i < n; ++i) r |= ((j >> i) & 1) << (n - 1 - i);
  return r;
}

// load(r): register of rows r (0 to 127) of the lanes' matrices. store(j, x0, x1, x2, x3): rows j to j + 3 of
// the transposes, j a multiple of 4. 7 interleaving stages (one instruction a register) and one of bits; no
// instruction depends on the data.
template <class Isa, class Load, class Store>
[[gnu::always_inline]] inline void transpose_lanes(LaneScratch<Isa>& scratch, const Load& load,
                                                   const Store& store) {
  using Register = typename Isa::Register;
  for (int k = 0; k < 16; ++k) {
    Register x[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) x[i] = load(8 * k + (Isa::kReversed ? 7 - i : i));
    interleave<Isa, 8>(x);
    interleave<Isa, 16>(x);
    interleave<Isa, 32>(x);
#pragma GCC unroll 8
    for (int m = 0; m < 8; ++m) scratch.half[m][k] = Isa::transpose_bytes(x[reversed_bits(m, 3)]);
  }
  for (int m = 0; m < 8; ++m) {
    Register z[16];
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) z[k] = scratch.half[m][k];
    interleave<Isa, 8>(z);
    interleave<Isa, 16>(z);
    interleave<Isa, 32>(z);
    interleave<Isa, 64>(z);
#pragma GCC unroll 16
    for (int p = 0; p < 16; p += 4) {
      store(16 * m + p, z[reversed_bits(p, 4)], z[reversed_bits(p + 1, 4)], z[reversed_bits(p + 2, 4)],
            z[reversed_bits(p + 3, 4)]);
    }
  }
}

}  // namespace
}  // namespace crypsis::bitmatrix
