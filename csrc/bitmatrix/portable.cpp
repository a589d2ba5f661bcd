// SPDX-License-Identifier: Apache-2.0
// Plain C++ for every CPU.
#include "bitmatrix/backend.h"
#include "bitmatrix/gf128_portable.h"
#include "bitmatrix/transpose_portable.h"

namespace crypsis::bitmatrix {

const Impl portable = make_impl<TransposePortable, Gf128Portable>("portable", 0);

}  // namespace crypsis::bitmatrix
