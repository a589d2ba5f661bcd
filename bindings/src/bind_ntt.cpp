// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"
#include "ntt/ntt.h"

namespace crypsis::bindings {
namespace {

using WordArray = py::array_t<std::uint64_t, py::array::c_style>;
template <class Signed>
using SignedArray = py::array_t<Signed, py::array::c_style>;
using ntt::Basis;

// ntt.py has checked shapes and types: arrays end in [limbs, N], operands repeat as it says.
std::size_t polys_of(const Basis& basis, const WordArray& array) {
  return static_cast<std::size_t>(array.size()) / (basis.limbs() * basis.n());
}

std::vector<std::uint64_t> primes_of(const Basis& basis) {
  std::vector<std::uint64_t> primes;
  for (std::size_t i = 0; i < basis.limbs(); ++i) primes.push_back(basis[i].p);
  return primes;
}

Basis take(const Basis& basis, const std::vector<std::size_t>& limbs) {
  std::vector<std::shared_ptr<const ntt::PrimeTables>> taken;
  for (const std::size_t limb : limbs) {
    if (limb >= basis.limbs()) throw py::index_error("limb out of range");
    taken.push_back(basis.shared(limb));
  }
  return {basis.log_n(), std::move(taken)};
}

Basis join(const Basis& a, const Basis& b) {
  std::vector<std::shared_ptr<const ntt::PrimeTables>> limbs;
  for (const Basis* basis : {&a, &b}) {
    for (std::size_t i = 0; i < basis->limbs(); ++i) limbs.push_back(basis->shared(i));
  }
  return {a.log_n(), std::move(limbs)};
}

// ValueError where `out` overlaps `in`; it may be the very memory of it if `equal`. Both are contiguous: NumPy's own check
// of one pair takes as long as all others of a call.
void check_overlap(const WordArray& out, const WordArray& in, bool equal) {
  const auto address = [](const WordArray& array) { return reinterpret_cast<std::uintptr_t>(array.data()); };
  const auto bytes = [](const WordArray& array) { return static_cast<std::uintptr_t>(array.nbytes()); };
  const std::uintptr_t a = address(out), b = address(in);
  if ((equal && a == b) || a + bytes(out) <= b || b + bytes(in) <= a) return;
  throw py::value_error("out overlaps an input that is not replaced as a whole: give memory of its own");
}

using Transform = void (*)(const Basis&, const std::uint64_t*, std::size_t, std::uint64_t*,
                           const ntt::Options&);

template <Transform kTransform>
void transform(const Basis& basis, const WordArray& values, WordArray& out, const std::string& backend,
               int threads) {
  check_overlap(out, values, true);
  const std::size_t n_polys = polys_of(basis, values);
  const std::uint64_t* const from = values.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  kTransform(basis, from, n_polys, to, {backend, threads});
}

void pointwise(int operation, const Basis& basis, const WordArray& a, const std::optional<WordArray>& b,
               std::size_t b_repeat, const std::optional<WordArray>& c, std::size_t c_repeat, WordArray& out,
               const std::string& backend, int threads) {
  const auto operand = [&](const std::optional<WordArray>& x, std::size_t repeat) {
    if (!x) return ntt::Operand{};
    check_overlap(out, *x, x->size() == out.size());
    return ntt::Operand{x->data(), polys_of(basis, *x), repeat};
  };
  check_overlap(out, a, true);
  const ntt::Operand second = operand(b, b_repeat), third = operand(c, c_repeat);
  const std::size_t n_polys = polys_of(basis, a);
  const std::uint64_t* const from = a.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  ntt::pointwise(static_cast<ntt::Pointwise>(operation), basis, from, second, third, n_polys, to,
                 {backend, threads});
}

void tensor(const Basis& basis, const WordArray& x, const WordArray& y, WordArray& out,
            const std::string& backend, int threads) {
  check_overlap(out, x, false);
  check_overlap(out, y, false);
  const std::size_t n_products = polys_of(basis, x) / 2;
  const std::uint64_t *const left = x.data(), *const right = y.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  ntt::tensor(basis, left, right, n_products, to, {backend, threads});
}

// uint64 of that shape from NumPy's allocator, its first word at the start of a cache line.
py::array empty(const std::vector<py::ssize_t>& shape) {
  constexpr std::uintptr_t kLine = 64;
  py::ssize_t size = 1;
  for (const py::ssize_t length : shape) {
    if (length < 0) throw py::value_error("a length of the shape is negative");
    if (__builtin_mul_overflow(size, length, &size) || size > (py::ssize_t{1} << 56)) {
      throw py::value_error("the shape is too large for any memory");
    }
  }
  const WordArray memory(size + static_cast<py::ssize_t>(kLine / sizeof(std::uint64_t)) - 1);
  const auto start = reinterpret_cast<std::uintptr_t>(memory.data());
  const auto* const first = reinterpret_cast<const std::uint64_t*>((start + kLine - 1) / kLine * kLine);
  return WordArray(shape, first, memory);
}

void scale(const Basis& basis, const WordArray& a, const std::vector<std::uint64_t>& constants,
           WordArray& out, const std::string& backend, int threads) {
  check_overlap(out, a, true);
  const std::size_t n_polys = polys_of(basis, a);
  const std::uint64_t* const from = a.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  ntt::scale(basis, from, constants.data(), n_polys, to, {backend, threads});
}

void automorphism(const Basis& basis, const WordArray& a, std::uint64_t galois, bool ntt_domain,
                  WordArray& out, const std::string& backend, int threads) {
  check_overlap(out, a, false);
  const std::size_t n_polys = polys_of(basis, a);
  const std::uint64_t* const from = a.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  ntt::automorphism(basis, from, galois, ntt_domain, n_polys, to, {backend, threads});
}

template <class Signed>
void from_signed(const Basis& basis, const SignedArray<Signed>& values, WordArray& out,
                 const std::string& backend, int threads) {
  const std::size_t n_polys = static_cast<std::size_t>(values.size()) / basis.n();
  const Signed* const from = values.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  ntt::from_signed(basis, from, n_polys, to, {backend, threads});
}

}  // namespace

void bind_ntt(py::module_& module) {
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  const auto backend = py::arg("backend");
  const auto threads = py::arg("threads");
  module.attr("MIN_LOG_N") = ntt::kMinLogN;
  module.attr("MAX_LOG_N") = ntt::kMaxLogN;
  py::class_<Basis>(module, "Basis")
      .def(py::init<int, const std::vector<std::uint64_t>&>(), py::arg("log_n"), py::arg("primes"),
           py::call_guard<py::gil_scoped_release>())
      .def("primes", &primes_of)
      .def("roots",
           [](const Basis& basis) {
             std::vector<std::uint64_t> roots;
             for (std::size_t i = 0; i < basis.limbs(); ++i) roots.push_back(basis[i].psi);
             return roots;
           })
      .def("take", &take, py::arg("limbs"))
      .def("join", &join, py::arg("other"));
  module.def("backends", &ntt::backends);
  module.def("find_primes", &ntt::find_primes, py::arg("log_n"), py::arg("bits"));
  module.def("forward", &transform<ntt::forward>, py::arg("basis"), array("values"), array("out"), backend,
             threads);
  module.def("inverse", &transform<ntt::inverse>, py::arg("basis"), array("values"), array("out"), backend,
             threads);
  module.def("pointwise", &pointwise, py::arg("operation"), py::arg("basis"), array("a"), array("b"),
             py::arg("b_repeat"), array("c"), py::arg("c_repeat"), array("out"), backend, threads);
  module.def("empty", &empty, py::arg("shape"));
  module.def("tensor", &tensor, py::arg("basis"), array("x"), array("y"), array("out"), backend, threads);
  module.def("scale", &scale, py::arg("basis"), array("a"), py::arg("constants"), array("out"), backend,
             threads);
  module.def("automorphism", &automorphism, py::arg("basis"), array("a"), py::arg("galois"),
             py::arg("ntt_domain"), array("out"), backend, threads);
  const auto define_from_signed = [&](auto function) {
    module.def("from_signed", function, py::arg("basis"), array("values"), array("out"), backend, threads);
  };
  define_from_signed(&from_signed<std::int8_t>);
  define_from_signed(&from_signed<std::int16_t>);
  define_from_signed(&from_signed<std::int32_t>);
  define_from_signed(&from_signed<std::int64_t>);
}

}  // namespace crypsis::bindings
