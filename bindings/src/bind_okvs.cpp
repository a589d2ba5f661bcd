// SPDX-License-Identifier: Apache-2.0
#include "okvs/okvs.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>

#include "arrays.h"

namespace crypsis::bindings {
namespace {

using StartArray = py::array_t<std::uint64_t, py::array::c_style>;
using ShapeNumbers = std::array<std::size_t, 4>;  // n_items, sparse, dense, field

// okvs.py has checked shapes and types; the numbers in `shape` and `starts` are checked by the calls.
okvs::Shape make_shape(const ShapeNumbers& numbers) {
  return {numbers[0], numbers[1], numbers[2], static_cast<int>(numbers[3])};
}

okvs::Bins make_bins(const ByteArray& keys, const StartArray& starts) {
  return {keys.data(), static_cast<std::size_t>(keys.shape(0)), starts.data(),
          static_cast<std::size_t>(starts.shape(0)) - 1};
}

void encode(const ByteArray& keys, const StartArray& starts, const ByteArray& values,
            const ShapeNumbers& shape, const std::string& seed, std::optional<ByteArray> fill, ByteArray& out,
            const std::string& backend, int threads) {
  const okvs::Bins bins = make_bins(keys, starts);
  const std::uint8_t* const from = values.data();
  const std::uint8_t* const filled = fill ? fill->data() : nullptr;
  std::uint8_t* const to = out.mutable_data();
  const auto* const seed_bytes = reinterpret_cast<const std::uint8_t*>(seed.data());
  const py::gil_scoped_release release;
  okvs::encode({backend, threads}, make_shape(shape), seed_bytes, bins, from, filled, to);
}

void decode(const ByteArray& keys, const StartArray& starts, const ByteArray& table,
            const ShapeNumbers& shape, const std::string& seed, ByteArray& out, const std::string& backend,
            int threads) {
  const okvs::Bins bins = make_bins(keys, starts);
  const auto width = static_cast<std::size_t>(table.shape(2));
  const std::uint8_t* const from = table.data();
  std::uint8_t* const to = out.mutable_data();
  const auto* const seed_bytes = reinterpret_cast<const std::uint8_t*>(seed.data());
  const py::gil_scoped_release release;
  okvs::decode({backend, threads}, make_shape(shape), width, seed_bytes, bins, from, to);
}

}  // namespace

void bind_okvs(py::module_& module) {
  module.attr("MAX_ITEMS") = okvs::kMaxItems;
  module.attr("MAX_COLUMNS") = okvs::kMaxColumns;
  module.attr("MIN_SPARSE") = okvs::kMinSparse;
  module.attr("MAX_DENSE") = okvs::kMaxDense;
  module.attr("MAX_CORE_ROWS") = okvs::kMaxCoreRows;
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("backends", &okvs::backends);
  module.def("encode", &encode, array("keys"), array("starts"), array("values"), py::arg("shape"),
             py::arg("seed"), array("fill"), array("out"), py::arg("backend"), py::arg("threads"));
  module.def("decode", &decode, array("keys"), array("starts"), array("table"), py::arg("shape"),
             py::arg("seed"), array("out"), py::arg("backend"), py::arg("threads"));
}

}  // namespace crypsis::bindings
