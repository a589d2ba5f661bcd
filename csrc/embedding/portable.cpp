// SPDX-License-Identifier: Apache-2.0
// Plain C++ for every CPU.
#include "embedding/passes.h"
#include "embedding/residues.h"

namespace crypsis::embedding {

const Impl portable = make_impl<OneLane>("portable", 0);

}  // namespace crypsis::embedding
