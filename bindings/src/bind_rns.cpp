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

// factors: limbs and coefficients are contiguous, the first two axes may be any.
void pair_products(const ntt::Basis& basis, const py::array_t<std::uint64_t>& factors, const WordArray& first,
                   const WordArray& second, WordArray& out0, WordArray& out1, const std::string& backend,
                   int threads) {
  const auto words = [&](py::ssize_t axis) {
    return static_cast<std::size_t>(factors.strides(axis)) / sizeof(std::uint64_t);
  };
  const rns::PairProducts task{factors.data(),
                               words(0),
                               words(1),
                               first.data(),
                               second.data(),
                               static_cast<std::size_t>(factors.shape(0)),
                               static_cast<std::size_t>(factors.shape(1))};
  std::uint64_t *const to0 = out0.mutable_data(), *const to1 = out1.mutable_data();
  const py::gil_scoped_release release;
  rns::pair_products(basis, task, to0, to1, {backend, threads});
}

// values[polynomials][primes][n] -> bytes, all polynomials of a prime together.
void pack(const WordArray& values, const std::vector<unsigned>& bits,
          py::array_t<std::uint8_t, py::array::c_style>& out) {
  const auto count = static_cast<std::size_t>(values.shape(0)), n = static_cast<std::size_t>(values.shape(2));
  const std::uint64_t* const from = values.data();
  std::uint8_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    rns::pack({from + i * n, count, n, bits.size() * n}, bits[i], to);
    to += 8 * rns::packed_words(count * n, bits[i]);
  }
}

// The reverse: (all are residues, what fills up is 0).
std::pair<bool, bool> unpack(const py::array_t<std::uint8_t, py::array::c_style>& data,
                             const std::vector<std::uint64_t>& primes, const std::vector<unsigned>& bits,
                             WordArray& out) {
  const auto count = static_cast<std::size_t>(out.shape(0)), n = static_cast<std::size_t>(out.shape(2));
  const std::uint8_t* from = data.data();
  std::uint64_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  std::pair<bool, bool> all{true, true};
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const rns::Unpacked found =
        rns::unpack(from, primes[i], bits[i], {to + i * n, count, n, bits.size() * n});
    all = {all.first && found.below, all.second && found.filled};
    from += 8 * rns::packed_words(count * n, bits[i]);
  }
  return all;
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
  module.def("pair_products", &pair_products, py::arg("basis"), array("factors"), array("first"),
             array("second"), array("out0"), array("out1"), backend, threads);
  module.def("pack", &pack, array("values"), py::arg("bits"), array("out"));
  module.def("unpack", &unpack, array("data"), py::arg("primes"), py::arg("bits"), array("out"));
  module.def("compose", &compose, chain, level, array("x"), n, array("out"), backend, threads);
}

}  // namespace crypsis::bindings
