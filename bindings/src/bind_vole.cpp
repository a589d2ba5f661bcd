// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <optional>

#include "arrays.h"
#include "vole/impl.h"
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

// An optional array: nullptr for None.
template <class Array>
auto* pointer(std::optional<Array>& array) {
  return array ? array->mutable_data() : nullptr;
}

std::unique_ptr<vole::SmallField> make_small_field(unsigned k, const ByteArray& leaves,
                                                   std::optional<ByteArray> delta) {
  const std::uint8_t* const from = leaves.data();
  const std::uint8_t* const at = delta ? delta->data() : nullptr;
  const py::gil_scoped_release release;
  return std::make_unique<vole::SmallField>(k, from, at);
}

void extend_full(const vole::SmallField& field, std::uint64_t first_block, std::size_t n_blocks,
                 std::optional<ByteArray> choices, ByteArray& corrections, std::optional<ByteArray> bits,
                 std::optional<ByteArray> rows, std::optional<ByteArray> columns, const std::string& backend,
                 int threads) {
  const vole::SmallFieldJob job{first_block,
                                n_blocks,
                                choices ? choices->data() : nullptr,
                                corrections.mutable_data(),
                                pointer(bits),
                                nullptr,
                                false,
                                pointer(rows),
                                pointer(columns)};
  const py::gil_scoped_release release;
  field.extend(backend, job, threads);
}

void extend_punctured(const vole::SmallField& field, std::uint64_t first_block, std::size_t n_blocks,
                      bool chosen, const ByteArray& corrections, std::optional<ByteArray> rows,
                      std::optional<ByteArray> columns, const std::string& backend, int threads) {
  const vole::SmallFieldJob job{first_block,        n_blocks, nullptr,       nullptr,         nullptr,
                                corrections.data(), chosen,   pointer(rows), pointer(columns)};
  const py::gil_scoped_release release;
  field.extend(backend, job, threads);
}

void columns_to_rows(const ByteArray& columns, std::size_t n_blocks, ByteArray& rows,
                     const std::string& backend, int threads) {
  const std::uint8_t* const from = columns.data();
  std::uint8_t* const to = rows.mutable_data();
  const py::gil_scoped_release release;
  vole::columns_to_rows(backend, from, n_blocks, to, threads);
}

void hash_columns(const ByteArray& challenge, const ByteArray& columns, std::optional<ByteArray> bits,
                  std::size_t n_blocks, ByteArray& out, const std::string& backend) {
  const std::uint8_t* const key = challenge.data();
  const std::uint8_t* const from = columns.data();
  const std::uint8_t* const from_bits = bits ? bits->data() : nullptr;
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  vole::hash_columns(backend, key, from, from_bits, n_blocks, to);
}

void random_keys(const ByteArray& rows, std::optional<ByteArray> delta,
                 std::optional<std::uint64_t> tweak_low, std::uint64_t tweak_high, ByteArray& out,
                 const std::string& backend, int threads) {
  const auto n = static_cast<std::size_t>(rows.shape(0));
  const std::uint8_t* const from = rows.data();
  const std::uint8_t* const at = delta ? delta->data() : nullptr;
  const vole::Tweak first{tweak_low.value_or(0), tweak_high};
  std::uint8_t* const to = out.mutable_data();
  const bool tweaked = tweak_low.has_value();
  const py::gil_scoped_release release;
  vole::random_keys(backend, from, n, at, tweaked ? &first : nullptr, to, threads);
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

  module.def("tree_depths", [](unsigned k) {
    const auto depths = vole::tree_depths(k);
    return std::vector<int>(depths.begin(), depths.end());
  });
  module.def("columns_bytes", &vole::columns_bytes, py::arg("n_blocks"));
  py::class_<vole::SmallField>(module, "SmallField")
      .def(py::init(&make_small_field), py::arg("k"), py::arg("leaves").noconvert(),
           py::arg("delta").noconvert())
      .def("extend_full", &extend_full, py::arg("first_block"), py::arg("n_blocks"),
           py::arg("choices").noconvert(), py::arg("corrections").noconvert(), py::arg("bits").noconvert(),
           py::arg("rows").noconvert(), py::arg("columns").noconvert(), py::arg("backend"),
           py::arg("threads"))
      .def("extend_punctured", &extend_punctured, py::arg("first_block"), py::arg("n_blocks"),
           py::arg("chosen"), py::arg("corrections").noconvert(), py::arg("rows").noconvert(),
           py::arg("columns").noconvert(), py::arg("backend"), py::arg("threads"));
  module.def("columns_to_rows", &columns_to_rows, py::arg("columns").noconvert(), py::arg("n_blocks"),
             py::arg("rows").noconvert(), py::arg("backend"), py::arg("threads"));
  module.def("hash_columns", &hash_columns, py::arg("challenge").noconvert(), py::arg("columns").noconvert(),
             py::arg("bits").noconvert(), py::arg("n_blocks"), py::arg("out").noconvert(),
             py::arg("backend"));
  module.def("random_keys", &random_keys, py::arg("rows").noconvert(), py::arg("delta").noconvert(),
             py::arg("tweak_low"), py::arg("tweak_high"), py::arg("out").noconvert(), py::arg("backend"),
             py::arg("threads"));
}

}  // namespace crypsis::bindings
