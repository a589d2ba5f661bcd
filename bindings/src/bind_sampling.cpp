// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "arrays.h"
#include "sampling/sampling.h"

namespace crypsis::bindings {
namespace {

using Residues = py::array_t<std::uint64_t, py::array::c_style>;
using Small = py::array_t<std::int8_t, py::array::c_style>;

// sampling.py has checked types and shapes: out is [n_items, primes, n], or has any number of small values.
void uniform(const ByteArray& stream, const std::vector<std::uint64_t>& primes, Residues& out,
             const std::string& backend, int threads) {
  const auto n_items = static_cast<std::size_t>(out.shape(0)), n = static_cast<std::size_t>(out.shape(2));
  const std::uint8_t* const from = stream.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  sampling::uniform(from, n_items, n, {primes.data(), primes.size()}, to, {backend, threads});
}

void flood(const ByteArray& stream, int bits, const std::vector<std::uint64_t>& primes, Residues& out,
           const std::string& backend, int threads) {
  const auto n_items = static_cast<std::size_t>(out.shape(0)), n = static_cast<std::size_t>(out.shape(2));
  const std::uint8_t* const from = stream.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  sampling::flood(from, n_items, n, bits, {primes.data(), primes.size()}, to, {backend, threads});
}

template <void (*sample)(const std::uint8_t*, std::size_t, std::int8_t*, const sampling::Options&)>
void small(const ByteArray& stream, Small& out, const std::string& backend, int threads) {
  const std::uint8_t* const from = stream.data();
  const auto n = static_cast<std::size_t>(out.size());
  std::int8_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  sample(from, n, to, {backend, threads});
}

}  // namespace

void bind_sampling(py::module_& module) {
  module.attr("WIDE_BYTES") = sampling::kWideBytes;
  module.attr("TERNARY_BYTES") = sampling::kTernaryBytes;
  module.attr("BINOMIAL_BYTES") = sampling::kBinomialBytes;
  module.attr("COINS") = sampling::kCoins;
  module.attr("MAX_FLOOD_BITS") = sampling::kMaxFloodBits;
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("backends", &sampling::backends);
  module.def("uniform", &uniform, array("stream"), py::arg("primes"), array("out"), py::arg("backend"),
             py::arg("threads"));
  module.def("flood", &flood, array("stream"), py::arg("bits"), py::arg("primes"), array("out"),
             py::arg("backend"), py::arg("threads"));
  module.def("ternary", &small<sampling::ternary>, array("stream"), array("out"), py::arg("backend"),
             py::arg("threads"));
  module.def("binomial", &small<sampling::binomial>, array("stream"), array("out"), py::arg("backend"),
             py::arg("threads"));
}

}  // namespace crypsis::bindings
