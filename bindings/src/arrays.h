// SPDX-License-Identifier: Apache-2.0
// Array checks that every bind_<slug>.cpp shares. Python code above has already chosen the device: these are
// CPU arrays.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/dispatch.h"

namespace crypsis::bindings {

namespace py = pybind11;

// uint8, C-contiguous, no copy: anything else is a TypeError from the signature (py::arg().noconvert()).
using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;

inline std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + (array.ndim() == 1 ? ",)" : ")");
}

// Rows of a uint8[n, width] array; width 0 accepts any.
inline std::size_t check_rows(const ByteArray& array, const char* name, py::ssize_t width) {
  if (array.ndim() != 2 || (width != 0 && array.shape(1) != width)) {
    throw py::value_error(std::string(name) + " has shape " + shape_text(array) + ": give uint8[n, " +
                          (width ? std::to_string(width) : std::string("width")) + "]");
  }
  return static_cast<std::size_t>(array.shape(0));
}

// Registration functions, one a slug; module.cpp calls them all. The status functions feed
// crypsis.backends.report().
void bind_hashing(py::module_& module);
void bind_curve25519(py::module_& module);
void bind_bigint(py::module_& module);
void bind_aes(py::module_& module);
void bind_bitmatrix(py::module_& module);
void bind_vole(py::module_& module);
void bind_partition(py::module_& module);
void bind_okvs(py::module_& module);
void bind_ntt(py::module_& module);
void bind_rns(py::module_& module);
void bind_embedding(py::module_& module);
void bind_sampling(py::module_& module);

}  // namespace crypsis::bindings
