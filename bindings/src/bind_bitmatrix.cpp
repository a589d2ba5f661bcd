// SPDX-License-Identifier: Apache-2.0
// crypsis/bitmatrix.py has checked shapes, overlap and meaning and passes flat arrays; sizes are checked
// again here.
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "bitmatrix/bitmatrix.h"

namespace crypsis::bindings {
namespace {

constexpr std::size_t kElement = bitmatrix::kElementBytes;

void check_size(const ByteArray& array, const char* name, std::size_t n_bytes) {
  if (static_cast<std::size_t>(array.size()) != n_bytes) {
    throw py::value_error(std::string(name) + " has " + std::to_string(array.size()) + " bytes, not " +
                          std::to_string(n_bytes));
  }
}

// Bytes of `b` where it may be one element for all.
bool check_factor(const ByteArray& b, std::size_t n_bytes, std::size_t one) {
  const bool broadcast = static_cast<std::size_t>(b.size()) == one && n_bytes != one;
  if (!broadcast) check_size(b, "b", n_bytes);
  return broadcast;
}

void transpose(const ByteArray& bits, std::size_t n_rows, std::size_t n_columns, ByteArray& out,
               const std::string& backend, int threads) {
  if (n_rows != 0 && n_columns / 8 > SIZE_MAX / n_rows) throw py::value_error("rows x columns overflows");
  check_size(bits, "bits", n_columns / 8 * n_rows);
  check_size(out, "out", n_columns / 8 * n_rows);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::transpose(bits.data(), n_rows, n_columns, to, {backend, threads});
}

const std::uint8_t* check_summand(const std::optional<ByteArray>& add, std::size_t n_bytes) {
  if (!add) return nullptr;
  check_size(*add, "add", n_bytes);
  return add->data();
}

void gf128_multiply(const ByteArray& a, const ByteArray& b, const std::optional<ByteArray>& add,
                    ByteArray& out, const std::string& backend, int threads) {
  const auto n = static_cast<std::size_t>(a.size()) / kElement;
  check_size(a, "a", n * kElement);
  check_size(out, "out", n * kElement);
  const bool broadcast = check_factor(b, n * kElement, kElement);
  const std::uint8_t* const summand = check_summand(add, n * kElement);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::gf128_multiply(a.data(), b.data(), broadcast, summand, n, to, {backend, threads});
}

void gf64_multiply(const ByteArray& elements, const ByteArray& pair, const std::optional<ByteArray>& add,
                   ByteArray& out, const std::string& backend, int threads) {
  const auto n = static_cast<std::size_t>(elements.size()) / 8;
  check_size(elements, "elements", n * 8);
  check_size(pair, "pair", kElement);
  check_size(out, "out", n * kElement);
  const std::uint8_t* const summand = check_summand(add, n * kElement);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::gf64_multiply(elements.data(), pair.data(), summand, n, to, {backend, threads});
}

template <std::size_t kBytes, auto kFunction>
void inner_product(const ByteArray& a, const ByteArray& b, ByteArray& out, const std::string& backend,
                   int threads) {
  const std::size_t n = static_cast<std::size_t>(b.size()) / kBytes;
  const std::size_t n_rows = static_cast<std::size_t>(out.size()) / kBytes;
  check_size(b, "b", n * kBytes);
  check_size(out, "out", n_rows * kBytes);
  check_size(a, "a", n_rows * n * kBytes);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  kFunction(a.data(), n_rows, n, b.data(), to, {backend, threads});
}

void gf128_powers(const ByteArray& x, ByteArray& out, const std::string& backend, int threads) {
  const std::size_t n = static_cast<std::size_t>(out.size()) / kElement;
  check_size(x, "x", kElement);
  check_size(out, "out", n * kElement);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::gf128_powers(x.data(), n, to, {backend, threads});
}

void gf2k_multiply(int k, const ByteArray& a, const ByteArray& b, ByteArray& out, const std::string& backend,
                   int threads) {
  const auto n = static_cast<std::size_t>(a.size());
  check_size(out, "out", n);
  const bool broadcast = check_factor(b, n, 1);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::gf2k_multiply(k, a.data(), b.data(), broadcast, n, to, {backend, threads});
}

void gf2k_multiply_sliced(int k, const ByteArray& a, const ByteArray& b, bool broadcast, ByteArray& out,
                          const std::string& backend, int threads) {
  if (k < 1 || k > 8) throw py::value_error("k is " + std::to_string(k) + ": give 1 to 8");
  const std::size_t planes = static_cast<std::size_t>(k);
  const std::size_t n_bytes = static_cast<std::size_t>(a.size()) / planes;
  check_size(a, "a", n_bytes * planes);
  check_size(out, "out", n_bytes * planes);
  check_size(b, "b", broadcast ? 1 : n_bytes * planes);
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::gf2k_multiply_sliced(k, a.data(), b.data(), broadcast, n_bytes, to, {backend, threads});
}

std::size_t packed_bytes(int k, std::size_t n) {
  if (k < 1 || k > 8) throw py::value_error("k is " + std::to_string(k) + ": give 1 to 8");
  const auto bits = static_cast<std::size_t>(k);
  return n / 8 * bits + (n % 8 * bits + 7) / 8;
}

void pack_elements(int k, const ByteArray& elements, ByteArray& out, const std::string& backend,
                   int threads) {
  const auto n = static_cast<std::size_t>(elements.size());
  check_size(out, "out", packed_bytes(k, n));
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::pack_elements(k, elements.data(), n, to, {backend, threads});
}

void unpack_elements(int k, const ByteArray& packed, ByteArray& out, const std::string& backend,
                     int threads) {
  const auto n = static_cast<std::size_t>(out.size());
  check_size(packed, "packed", packed_bytes(k, n));
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  bitmatrix::unpack_elements(k, packed.data(), n, to, {backend, threads});
}

}  // namespace

void bind_bitmatrix(py::module_& module) {
  const auto plain = [](const char* name) { return py::arg(name).noconvert(); };
  const auto backend = py::arg("backend");
  const auto threads = py::arg("threads");
  module.def("backends", &bitmatrix::backends);
  module.def("transpose", &transpose, plain("bits"), py::arg("n_rows"), py::arg("n_columns"), plain("out"),
             backend, threads);
  module.def("gf128_multiply", &gf128_multiply, plain("a"), plain("b"), plain("add"), plain("out"), backend,
             threads);
  module.def("gf64_multiply", &gf64_multiply, plain("elements"), plain("pair"), plain("add"), plain("out"),
             backend, threads);
  module.def("gf128_inner_product", &inner_product<kElement, bitmatrix::gf128_inner_product>, plain("a"),
             plain("b"), plain("out"), backend, threads);
  module.def("gf64_inner_product", &inner_product<8, bitmatrix::gf64_inner_product>, plain("a"), plain("b"),
             plain("out"), backend, threads);
  module.def("gf128_powers", &gf128_powers, plain("x"), plain("out"), backend, threads);
  module.def("gf2k_multiply", &gf2k_multiply, py::arg("k"), plain("a"), plain("b"), plain("out"), backend,
             threads);
  module.def("gf2k_multiply_sliced", &gf2k_multiply_sliced, py::arg("k"), plain("a"), plain("b"),
             py::arg("broadcast"), plain("out"), backend, threads);
  module.def("pack_elements", &pack_elements, py::arg("k"), plain("elements"), plain("out"), backend,
             threads);
  module.def("unpack_elements", &unpack_elements, py::arg("k"), plain("packed"), plain("out"), backend,
             threads);
}

}  // namespace crypsis::bindings
