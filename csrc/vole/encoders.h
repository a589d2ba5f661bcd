// SPDX-License-Identifier: Apache-2.0
// The LPN kernels of one instruction set, for its ISA file.
#pragma once
#include "vole/expand_convolute.h"
#include "vole/half_trees.h"
#include "vole/lanes_portable.h"
#include "vole/lpn_kernels.h"
#include "vole/noise_leaves.h"
#include "vole/primal_lpn.h"

namespace crypsis::vole {
namespace {

template <class Isa>
using Field128 = ExpandConvolute<Isa, typename Isa::Wide, typename Isa::Lane>;
template <class Isa>
using Pairs64 = ExpandConvolute<Isa, typename Isa::Pairs, typename Isa::Lane>;
template <class Isa>
using Singles64 = ExpandConvolute<Isa, typename Isa::Singles, Lane64>;

// The convolutions of expand_convolute.h; convolution_gfni.h has the same names.
template <class Isa>
struct Convolutions {
  static constexpr auto blocks = Field128<Isa>::convolute;
  static constexpr auto pairs = Pairs64<Isa>::convolute;
  static constexpr auto singles = Singles64<Isa>::convolute;
  static constexpr auto two_blocks = Field128<Isa>::convolute_two;
};

template <class Isa, class Convolute = Convolutions<Isa>>
inline constexpr LpnKernels kLpnKernels{
    HalfTrees<Isa>::expand,    HalfTrees<Isa>::reconstruct, NoiseLeaves<Isa>::clear_low_bits,
    NoiseLeaves<Isa>::place,   NoiseLeaves<Isa>::indicate,  PrimalLpn<Isa>::encode,
    PrimalLpn<Isa>::positions, PrimalLpn<Isa>::measure,     Convolute::blocks,
    Convolute::pairs,          Convolute::singles,          Convolute::two_blocks,
    Field128<Isa>::expand,     Singles64<Isa>::expand};

}  // namespace
}  // namespace crypsis::vole
