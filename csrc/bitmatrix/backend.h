// SPDX-License-Identifier: Apache-2.0
// A backend's table from its transposes T and its field G; each ISA file includes this once.
#pragma once
#include "bitmatrix/field_batches.h"
#include "bitmatrix/impl.h"
#include "bitmatrix/small_field.h"
#include "bitmatrix/transpose_tiles.h"

namespace crypsis::bitmatrix {
namespace {

template <class T, class G>
constexpr Impl make_impl(std::string_view name, FeatureSet needs) {
  return {{name, needs},          transpose_tiles<T>,    gf128_multiply<G>, gf64_multiply<G>,
          gf128_inner_product<G>, gf64_inner_product<G>, gf128_powers<G>,   gf2k_multiply,
          gf2k_multiply_sliced,   pack_elements,         unpack_elements};
}

}  // namespace
}  // namespace crypsis::bitmatrix
