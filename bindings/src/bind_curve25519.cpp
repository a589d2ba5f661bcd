// SPDX-License-Identifier: Apache-2.0
// crypsis/curve25519.py has checked dtypes, overlap and meaning; the lengths are checked again here.
#include <pybind11/stl.h>

#include "curve25519/curve25519.h"
#include "curve25519/ristretto255.h"
#include "messages.h"

namespace crypsis::bindings {
namespace {

constexpr py::ssize_t kRow = 32;

void check_same_rows(std::size_t got, std::size_t want, const char* name) {
  if (got != want) {
    throw py::value_error(std::string(name) + " has " + std::to_string(got) + " rows, not " +
                          std::to_string(want));
  }
}

void scalar_mult(const ByteArray& scalars, const ByteArray& points, ByteArray& out,
                 const std::string& backend, int threads) {
  const std::size_t n = check_rows(points, "points", kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  const std::size_t n_scalars = check_rows(scalars, "scalars", kRow);
  if (n_scalars != 1) check_same_rows(n_scalars, n, "scalars");
  std::uint8_t* result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::scalar_mult(backend, scalars.data(), n_scalars == 1 ? 0 : kRow, points.data(), result, n,
                          threads);
}

void map_to_curve(const ByteArray& elements, ByteArray& out, const std::string& backend, int threads) {
  const std::size_t n = check_rows(elements, "elements", kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  std::uint8_t* result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::map_to_curve(backend, elements.data(), result, n, threads);
}

void hash_to_curve(const std::vector<py::tuple>& parts, const py::bytes& dst, bool random_oracle,
                   ByteArray& out_u, ByteArray& out_v, int threads) {
  const std::vector<Messages> messages = make_messages(parts);
  const std::size_t n = count(messages);
  check_same_rows(check_rows(out_u, "out_u", kRow), n, "out_u");
  check_same_rows(check_rows(out_v, "out_v", kRow), n, "out_v");
  const std::string_view tag = dst;
  if (tag.empty() || tag.size() > 255) {
    throw py::value_error("dst has " + std::to_string(tag.size()) + " bytes: give 1 to 255");
  }
  std::uint8_t* u = out_u.mutable_data();
  std::uint8_t* v = out_v.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::hash_to_curve(messages, {reinterpret_cast<const std::uint8_t*>(tag.data()), tag.size()},
                            random_oracle, u, v, threads);
}

// (row, reason) of the first bad point, or None.
py::object check_points(const ByteArray& points) {
  const std::size_t n = check_rows(points, "points", kRow);
  const std::uint8_t* data = points.data();
  curve25519::PointCheck found{};
  {
    const py::gil_scoped_release unlocked;
    found = curve25519::check_points_vartime(data, n);
  }
  switch (found.defect) {
    case curve25519::PointDefect::none:
      return py::none();
    case curve25519::PointDefect::not_canonical:
      return py::make_tuple(found.row, "not canonical (not below 2^255 - 19)");
    case curve25519::PointDefect::low_order:
      return py::make_tuple(found.row, "of low order");
  }
  throw std::logic_error("unknown PointDefect");
}

// The Ristretto functions return the first row that is no encoding, None where all are.
py::object bad_row(std::size_t row, std::size_t n) {
  return row == n ? py::object(py::none()) : py::object(py::int_(row));
}

py::object ristretto255_check(const ByteArray& elements, int threads) {
  const std::size_t n = check_rows(elements, "elements", kRow);
  const std::uint8_t* data = elements.data();
  std::size_t row = n;
  {
    const py::gil_scoped_release unlocked;
    row = curve25519::ristretto255::check(data, n, threads);
  }
  return bad_row(row, n);
}

py::object ristretto255_scalar_mult(const ByteArray& scalars, const ByteArray& elements, ByteArray& out,
                                    int threads) {
  const std::size_t n = check_rows(elements, "elements", kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  const std::size_t n_scalars = check_rows(scalars, "scalars", kRow);
  if (n_scalars != 1) check_same_rows(n_scalars, n, "scalars");
  std::uint8_t* result = out.mutable_data();
  std::size_t row = n;
  {
    const py::gil_scoped_release unlocked;
    row = curve25519::ristretto255::scalar_mult(scalars.data(), n_scalars == 1 ? 0 : kRow, elements.data(),
                                                result, n, threads);
  }
  return bad_row(row, n);
}

void ristretto255_scalar_mult_base(const ByteArray& scalars, ByteArray& out, int threads) {
  const std::size_t n = check_rows(scalars, "scalars", kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  std::uint8_t* result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::ristretto255::scalar_mult_base(scalars.data(), result, n, threads);
}

py::object ristretto255_add(const ByteArray& a, const ByteArray& b, bool subtract, ByteArray& out,
                            int threads) {
  const std::size_t n = check_rows(a, "a", kRow);
  check_same_rows(check_rows(b, "b", kRow), n, "b");
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  std::uint8_t* result = out.mutable_data();
  std::size_t row = n;
  {
    const py::gil_scoped_release unlocked;
    row = curve25519::ristretto255::add(a.data(), b.data(), subtract, result, n, threads);
  }
  return bad_row(row, n);
}

void ristretto255_derive(const ByteArray& uniform, ByteArray& out, int threads) {
  const std::size_t n = check_rows(uniform, "uniform", 2 * kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  std::uint8_t* result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::ristretto255::derive(uniform.data(), result, n, threads);
}

void ristretto255_reduce_scalars(const ByteArray& wide, ByteArray& out) {
  const std::size_t n = check_rows(wide, "wide", 2 * kRow);
  check_same_rows(check_rows(out, "out", kRow), n, "out");
  std::uint8_t* result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  curve25519::ristretto255::reduce_scalars(wide.data(), result, n);
}

}  // namespace

void bind_curve25519(py::module_& module) {
  const auto plain = [](const char* name) { return py::arg(name).noconvert(); };
  module.def("backends", &curve25519::backends);
  module.def("scalar_mult", &scalar_mult, plain("scalars"), plain("points"), plain("out"), py::arg("backend"),
             py::arg("threads"));
  module.def("map_to_curve", &map_to_curve, plain("elements"), plain("out"), py::arg("backend"),
             py::arg("threads"));
  module.def("hash_to_curve", &hash_to_curve, py::arg("parts"), py::arg("dst"), py::arg("random_oracle"),
             plain("out_u"), plain("out_v"), py::arg("threads"));
  module.def("check_points", &check_points, plain("points"));
  module.def("ristretto255_check", &ristretto255_check, plain("elements"), py::arg("threads"));
  module.def("ristretto255_scalar_mult", &ristretto255_scalar_mult, plain("scalars"), plain("elements"),
             plain("out"), py::arg("threads"));
  module.def("ristretto255_scalar_mult_base", &ristretto255_scalar_mult_base, plain("scalars"), plain("out"),
             py::arg("threads"));
  module.def("ristretto255_add", &ristretto255_add, plain("a"), plain("b"), py::arg("subtract"), plain("out"),
             py::arg("threads"));
  module.def("ristretto255_derive", &ristretto255_derive, plain("uniform"), plain("out"), py::arg("threads"));
  module.def("ristretto255_reduce_scalars", &ristretto255_reduce_scalars, plain("wide"), plain("out"));
}

}  // namespace crypsis::bindings
