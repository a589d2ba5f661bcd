// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include "arrays.h"
#include "embedding/embedding.h"

namespace crypsis::bindings {
namespace {

using Reals = py::array_t<double, py::array::c_style>;
using Residues = py::array_t<std::uint64_t, py::array::c_style>;

// embedding.py has checked types and shapes: [n_items, width], parts of complex slots side by side.
embedding::Slots make_slots(const Reals& slots, bool complex) {
  return {slots.data(), complex, static_cast<std::size_t>(slots.shape(0)),
          static_cast<std::size_t>(slots.shape(1)) / (complex ? 2 : 1)};
}

embedding::Moduli make_moduli(const std::vector<std::uint64_t>& primes) {
  return {primes.data(), primes.size()};
}

void to_coefficients(const Reals& slots, bool complex, int log_n, double scale, Reals& out,
                     const std::string& backend, int threads) {
  const embedding::Slots from = make_slots(slots, complex);
  double* const to = out.mutable_data();
  const py::gil_scoped_release release;
  embedding::to_coefficients(from, log_n, scale, to, {backend, threads});
}

void to_slots(const Reals& coefficients, int log_n, double scale, Reals& out, const std::string& backend,
              int threads) {
  const auto n_items = static_cast<std::size_t>(coefficients.shape(0));
  const double* const from = coefficients.data();
  double* const to = out.mutable_data();
  const py::gil_scoped_release release;
  embedding::to_slots(from, n_items, log_n, scale, to, {backend, threads});
}

void to_residues(const Reals& coefficients, int log_n, const std::vector<std::uint64_t>& primes,
                 Residues& out, const std::string& backend, int threads) {
  const auto n_items = static_cast<std::size_t>(coefficients.shape(0));
  const double* const from = coefficients.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  embedding::to_residues(from, n_items, log_n, make_moduli(primes), to, {backend, threads});
}

void encode(const Reals& slots, bool complex, int log_n, double scale,
            const std::vector<std::uint64_t>& primes, Residues& out, const std::string& backend,
            int threads) {
  const embedding::Slots from = make_slots(slots, complex);
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  embedding::encode(from, log_n, scale, make_moduli(primes), to, {backend, threads});
}

}  // namespace

void bind_embedding(py::module_& module) {
  module.attr("MIN_LOG_N") = embedding::kMinLogN;
  module.attr("MAX_LOG_N") = embedding::kMaxLogN;
  module.attr("MAX_BITS") = embedding::kMaxBits;
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("backends", &embedding::backends);
  module.def("to_coefficients", &to_coefficients, array("slots"), py::arg("complex"), py::arg("log_n"),
             py::arg("scale"), array("out"), py::arg("backend"), py::arg("threads"));
  module.def("to_slots", &to_slots, array("coefficients"), py::arg("log_n"), py::arg("scale"), array("out"),
             py::arg("backend"), py::arg("threads"));
  module.def("to_residues", &to_residues, array("coefficients"), py::arg("log_n"), py::arg("primes"),
             array("out"), py::arg("backend"), py::arg("threads"));
  module.def("encode", &encode, array("slots"), py::arg("complex"), py::arg("log_n"), py::arg("scale"),
             py::arg("primes"), array("out"), py::arg("backend"), py::arg("threads"));
}

}  // namespace crypsis::bindings
