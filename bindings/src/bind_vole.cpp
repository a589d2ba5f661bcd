// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "arrays.h"
#include "vole/vole.h"

namespace crypsis::bindings {

void bind_vole_lpn(py::module_& module);

namespace {

using PositionArray = py::array_t<std::uint64_t, py::array::c_style>;

// vole.py has checked shapes, types and ranges.
void expand_trees(const ByteArray& seeds, unsigned depth, ByteArray& leaves, ByteArray& sums,
                  const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(seeds.shape(0));
  const std::uint8_t* const from = seeds.data();
  std::uint8_t* const to = leaves.mutable_data();
  std::uint8_t* const to_sums = sums.mutable_data();
  const py::gil_scoped_release release;
  vole::expand_trees(backend, from, n_trees, depth, to, to_sums, threads);
}

void reconstruct_trees(const ByteArray& known, const PositionArray& positions, unsigned depth,
                       ByteArray& leaves, const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(positions.shape(0));
  const std::uint8_t* const from = known.data();
  const std::uint64_t* const at = positions.data();
  std::uint8_t* const to = leaves.mutable_data();
  const py::gil_scoped_release release;
  vole::reconstruct_trees(backend, from, at, n_trees, depth, to, threads);
}

}  // namespace

void bind_vole(py::module_& module) {
  module.attr("MAX_TREE_DEPTH") = vole::kMaxTreeDepth;
  bind_vole_lpn(module);
  module.def("backends", &vole::backends);
  module.def("expand_trees", &expand_trees, py::arg("seeds").noconvert(), py::arg("depth"),
             py::arg("leaves").noconvert(), py::arg("sums").noconvert(), py::arg("backend"),
             py::arg("threads"));
  module.def("reconstruct_trees", &reconstruct_trees, py::arg("known").noconvert(),
             py::arg("positions").noconvert(), py::arg("depth"), py::arg("leaves").noconvert(),
             py::arg("backend"), py::arg("threads"));
}

}  // namespace crypsis::bindings
