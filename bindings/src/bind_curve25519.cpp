// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "arrays.h"

namespace crypsis::bindings {

void bind_curve25519(py::module_& module) {
  module.def("backends", [] { return std::vector<BackendStatus>{}; });
}

}  // namespace crypsis::bindings
