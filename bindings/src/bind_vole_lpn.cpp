// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "vole/lpn.h"

namespace crypsis::bindings {
namespace {

using Word32Array = py::array_t<std::uint32_t, py::array::c_style>;
using PositionArray = py::array_t<std::uint64_t, py::array::c_style>;

// _lpn.py has checked shapes, types and ranges.
void expand_noise(const ByteArray& seeds, unsigned depth, ByteArray& leaves, ByteArray& sums,
                  ByteArray& totals, const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(seeds.shape(0));
  const std::uint8_t* const from = seeds.data();
  std::uint8_t* const to = leaves.mutable_data();
  std::uint8_t* const to_sums = sums.mutable_data();
  std::uint8_t* const to_totals = totals.mutable_data();
  const py::gil_scoped_release release;
  vole::expand_noise({backend, threads}, from, n_trees, depth, to, to_sums, to_totals);
}

void reconstruct_noise(const ByteArray& known, const PositionArray& positions, const ByteArray& corrections,
                       unsigned depth, ByteArray& leaves, const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(positions.shape(0));
  const std::uint8_t* const from = known.data();
  const std::uint64_t* const at = positions.data();
  const std::uint8_t* const corrected = corrections.data();
  std::uint8_t* const to = leaves.mutable_data();
  const py::gil_scoped_release release;
  vole::reconstruct_noise({backend, threads}, from, at, corrected, n_trees, depth, to);
}

void expand_correlated(const ByteArray& seeds, const ByteArray& delta, unsigned depth, ByteArray& leaves,
                       ByteArray& sums, const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(seeds.shape(0));
  const std::uint8_t* const from = seeds.data();
  const std::uint8_t* const difference = delta.data();
  std::uint8_t* const to = leaves.mutable_data();
  std::uint8_t* const to_sums = sums.mutable_data();
  const py::gil_scoped_release release;
  vole::expand_correlated({backend, threads}, from, difference, n_trees, depth, to, to_sums);
}

void reconstruct_correlated(const ByteArray& known, const PositionArray& positions, unsigned depth,
                            ByteArray& leaves, const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(positions.shape(0));
  const std::uint8_t* const from = known.data();
  const std::uint64_t* const at = positions.data();
  std::uint8_t* const to = leaves.mutable_data();
  const py::gil_scoped_release release;
  vole::reconstruct_correlated({backend, threads}, from, at, n_trees, depth, to);
}

void place_noise(const PositionArray& positions, const ByteArray& values, unsigned depth, ByteArray& out,
                 const std::string& backend, int threads) {
  const auto n_trees = static_cast<std::size_t>(positions.shape(0));
  const std::uint64_t* const at = positions.data();
  const std::uint8_t* const from = values.data();
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  const auto width = static_cast<std::size_t>(out.shape(1));
  vole::place_noise({backend, threads}, at, from, width, n_trees, depth, to);
}

void primal_encode(const ByteArray& seed, std::uint64_t first_row, const ByteArray& table, unsigned log_table,
                   ByteArray& out, std::optional<ByteArray> bits, const std::string& backend, int threads) {
  const auto n_rows = static_cast<std::size_t>(out.shape(0));
  const std::uint8_t* const key = seed.data();
  const std::uint8_t* const from = table.data();
  std::uint8_t* const to = out.mutable_data();
  std::uint8_t* const to_bits = bits ? bits->mutable_data() : nullptr;
  const py::gil_scoped_release release;
  vole::primal_encode({backend, threads}, key, first_row, n_rows, from, log_table, to, to_bits);
}

void primal_positions(const ByteArray& seed, std::uint64_t first_row, unsigned log_table,
                      Word32Array& positions, const std::string& backend) {
  const auto n_rows = static_cast<std::size_t>(positions.shape(0));
  const std::uint8_t* const key = seed.data();
  std::uint32_t* const to = positions.mutable_data();
  const py::gil_scoped_release release;
  vole::primal_positions({backend, 1}, key, first_row, n_rows, log_table, to);
}

void expand_convolute(const ByteArray& seed, ByteArray& vector, unsigned log_code, std::size_t weight,
                      ByteArray& out, std::optional<ByteArray> vector2, std::optional<ByteArray> out2,
                      int field, const std::string& backend, int threads) {
  const auto n_out = static_cast<std::size_t>(out.shape(0));
  const std::uint8_t* const key = seed.data();
  const vole::CodeVector first{vector.mutable_data(), out.mutable_data(),
                               static_cast<std::size_t>(out.shape(1))};
  vole::CodeVector second;
  if (vector2 && out2) {
    second = {vector2->mutable_data(), out2->mutable_data(), static_cast<std::size_t>(out2->shape(1))};
  }
  const auto chosen = field == 128 ? vole::CodeField::k128 : vole::CodeField::k64;
  const py::gil_scoped_release release;
  vole::expand_convolute({backend, threads}, chosen, key, log_code, weight, n_out, first, second);
}

std::size_t measure_gather(const ByteArray& table, unsigned log_table, std::size_t n_rows,
                           std::size_t repeats, const std::string& backend) {
  const std::uint8_t* const from = table.data();
  const py::gil_scoped_release release;
  return vole::measure_gather({backend, 1}, from, log_table, n_rows, repeats);
}

}  // namespace

void bind_vole_lpn(py::module_& module) {
  module.attr("PRIMAL_WEIGHT") = vole::kPrimalWeight;
  module.attr("MAX_LOG_TABLE") = vole::kMaxLogTable;
  module.attr("MIN_LOG_CODE") = vole::kMinLogCode;
  module.attr("MAX_EXPANDER_WEIGHT") = vole::kMaxExpanderWeight;
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("expand_noise", &expand_noise, array("seeds"), py::arg("depth"), array("leaves"), array("sums"),
             array("totals"), py::arg("backend"), py::arg("threads"));
  module.def("reconstruct_noise", &reconstruct_noise, array("known"), array("positions"),
             array("corrections"), py::arg("depth"), array("leaves"), py::arg("backend"), py::arg("threads"));
  module.def("expand_correlated", &expand_correlated, array("seeds"), array("delta"), py::arg("depth"),
             array("leaves"), array("sums"), py::arg("backend"), py::arg("threads"));
  module.def("reconstruct_correlated", &reconstruct_correlated, array("known"), array("positions"),
             py::arg("depth"), array("leaves"), py::arg("backend"), py::arg("threads"));
  module.def("place_noise", &place_noise, array("positions"), array("values"), py::arg("depth"), array("out"),
             py::arg("backend"), py::arg("threads"));
  module.def("primal_encode", &primal_encode, array("seed"), py::arg("first_row"), array("table"),
             py::arg("log_table"), array("out"), array("bits"), py::arg("backend"), py::arg("threads"));
  module.def("primal_positions", &primal_positions, array("seed"), py::arg("first_row"), py::arg("log_table"),
             array("positions"), py::arg("backend"));
  module.def("expand_convolute", &expand_convolute, array("seed"), array("vector"), py::arg("log_code"),
             py::arg("weight"), array("out"), array("vector2"), array("out2"), py::arg("field"),
             py::arg("backend"), py::arg("threads"));
  module.def("measure_gather", &measure_gather, array("table"), py::arg("log_table"), py::arg("n_rows"),
             py::arg("repeats"), py::arg("backend"));
}

}  // namespace crypsis::bindings
