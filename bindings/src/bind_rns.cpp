// SPDX-License-Identifier: Apache-2.0
#include "rns/rns.h"

#include <pybind11/stl.h>

#include <optional>

#include "arrays.h"

namespace crypsis::bindings {
namespace {

using WordArray = py::array_t<std::uint64_t, py::array::c_style>;
using DoubleArray = py::array_t<double, py::array::c_style>;
using rns::Chain;

// rns.py has checked shapes, types, levels and what overlaps; `n` counts items of the leading axes.
const std::uint64_t* data_or_null(const std::optional<WordArray>& array) {
  return array ? array->data() : nullptr;
}

void decompose(const Chain& chain, std::size_t level, const WordArray& c, std::size_t n, WordArray& out,
               const std::string& backend, int threads) {
  const std::uint64_t* const from = c.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::decompose(chain, level, from, n, to, {backend, threads});
}

void inner_product(const Chain& chain, std::size_t level, const WordArray& digits, std::size_t n,
                   const WordArray& key, std::uint64_t galois, WordArray& out, const std::string& backend,
                   int threads) {
  const std::uint64_t *const from = digits.data(), *const factors = key.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::inner_product(chain, level, from, n, factors, galois, to, {backend, threads});
}

void divide_special(const Chain& chain, std::size_t level, const WordArray& x,
                    const std::optional<WordArray>& add, std::size_t n, bool rescale, WordArray& out,
                    const std::string& backend, int threads) {
  const std::uint64_t *const from = x.data(), *const added = data_or_null(add);
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::divide_special(chain, level, from, added, n, rescale, to, {backend, threads});
}

void rescale(const Chain& chain, std::size_t level, const WordArray& x, std::size_t n, WordArray& out,
             const std::string& backend, int threads) {
  const std::uint64_t* const from = x.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::rescale(chain, level, from, n, to, {backend, threads});
}

void switch_key(const Chain& chain, std::size_t level, const WordArray& c, const WordArray& key,
                const std::optional<WordArray>& add, std::size_t n_added, std::uint64_t galois, bool rescale,
                std::size_t n, WordArray& out, const std::string& backend, int threads) {
  const rns::Switch task{c.data(), key.data(), data_or_null(add), n_added, galois, rescale};
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::switch_key(chain, level, task, n, to, {backend, threads});
}

void rotated_sums(const Chain& chain, std::size_t level, const WordArray& c, const WordArray& digits,
                  const std::vector<std::optional<WordArray>>& keys, const std::vector<std::uint64_t>& galois,
                  const WordArray& factors, const std::vector<std::size_t>& sums,
                  const std::vector<std::size_t>& rotations, std::size_t n_sums, std::size_t n,
                  WordArray& out, const std::string& backend, int threads) {
  rns::RotatedSums task{c.data(), digits.data(), factors.data(), {}, {}, n_sums};
  for (std::size_t i = 0; i < keys.size(); ++i) task.rotations.push_back({data_or_null(keys[i]), galois[i]});
  for (std::size_t i = 0; i < sums.size(); ++i) task.products.push_back({sums[i], rotations[i]});
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::rotated_sums(chain, level, task, n, to, {backend, threads});
}

void compose(const Chain& chain, std::size_t level, const WordArray& x, std::size_t n, DoubleArray& out,
             const std::string& backend, int threads) {
  const std::uint64_t* const from = x.data();
  double* const to = out.mutable_data();
  const py::gil_scoped_release release;
  rns::compose(chain, level, from, n, to, {backend, threads});
}

}  // namespace

void bind_rns(py::module_& module) {
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  const auto chain = py::arg("chain"), level = py::arg("level"), n = py::arg("n");
  const auto backend = py::arg("backend"), threads = py::arg("threads");
  module.attr("MAX_MODULI") = rns::kMaxModuli;
  module.attr("MAX_ROTATIONS") = rns::kMaxRotations;
  py::class_<Chain>(module, "Chain")
      .def(py::init<const ntt::Basis&, const ntt::Basis&, std::size_t>(), py::arg("moduli"),
           py::arg("special"), py::arg("alpha"), py::call_guard<py::gil_scoped_release>());
  module.def("backends", &rns::backends);
  module.def("decompose", &decompose, chain, level, array("c"), n, array("out"), backend, threads);
  module.def("inner_product", &inner_product, chain, level, array("digits"), n, array("key"),
             py::arg("galois"), array("out"), backend, threads);
  module.def("divide_special", &divide_special, chain, level, array("x"), array("add"), n, py::arg("rescale"),
             array("out"), backend, threads);
  module.def("rescale", &rescale, chain, level, array("x"), n, array("out"), backend, threads);
  module.def("switch_key", &switch_key, chain, level, array("c"), array("key"), array("add"),
             py::arg("n_added"), py::arg("galois"), py::arg("rescale"), n, array("out"), backend, threads);
  module.def("rotated_sums", &rotated_sums, chain, level, array("c"), array("digits"), py::arg("keys"),
             py::arg("galois"), array("factors"), py::arg("sums"), py::arg("rotations"), py::arg("n_sums"), n,
             array("out"), backend, threads);
  module.def("compose", &compose, chain, level, array("x"), n, array("out"), backend, threads);
}

}  // namespace crypsis::bindings
