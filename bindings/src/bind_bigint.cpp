// SPDX-License-Identifier: Apache-2.0
// crypsis/bigint.py has checked dtypes, overlap and meaning; lengths and ranges are checked here.
#include <pybind11/stl.h>

#include <bit>
#include <optional>
#include <stdexcept>
#include <vector>

#include "arrays.h"
#include "bigint/bigint.h"

namespace crypsis::bindings {
namespace {

using bigint::Call;
using bigint::Modulus;
using bigint::Word;
using WordArray = py::array_t<std::uint64_t, py::array::c_style>;
using IndexArray = py::array_t<std::int64_t, py::array::c_style>;

// A uint64[n, limbs] array seen without Python, so that its values can be checked with the GIL released.
struct Rows {
  const char* name;
  const Word* data;
  std::size_t n;
  std::size_t width;

  std::size_t stride() const { return n == 1 ? 0 : width; }
};

Rows rows_of(const WordArray& array, const char* name, std::size_t width) {
  if (array.ndim() != 2 || (width != 0 && static_cast<std::size_t>(array.shape(1)) != width)) {
    throw std::invalid_argument(std::string(name) + " has shape " + shape_text(array) + ": give uint64[n, " +
                                (width ? std::to_string(width) : std::string("limbs")) + "]");
  }
  return {name, array.data(), static_cast<std::size_t>(array.shape(0)),
          static_cast<std::size_t>(array.shape(1))};
}

void check_below(const Modulus& modulus, const Rows& rows, int threads) {
  const std::size_t bad = bigint::first_not_below(threads, modulus, rows.data, rows.n);
  if (bad != rows.n) {
    throw std::invalid_argument(std::string(rows.name) + ": the value in row " + std::to_string(bad) +
                                " is not below the modulus; reduce it");
  }
}

void check_count(const Rows& rows, std::size_t n, bool one_for_all) {
  if (rows.n == n || (one_for_all && rows.n == 1)) return;
  throw std::invalid_argument(std::string(rows.name) + " has " + std::to_string(rows.n) + " rows, not " +
                              std::to_string(n));
}

// Every exponent below 2^n_bits; no branch on a good one's bits.
void check_exponents(const Rows& exponents, std::size_t n_bits) {
  for (std::size_t i = 0; i < exponents.n; ++i) {
    Word above = 0;
    for (std::size_t j = n_bits / 64; j < exponents.width; ++j) {
      const Word limb = exponents.data[i * exponents.width + j];
      above |= j == n_bits / 64 ? limb >> (n_bits % 64) : limb;
    }
    if (above != 0) {
      throw std::invalid_argument(std::string(exponents.name) + ": the value in row " + std::to_string(i) +
                                  " has more than exponent_bits = " + std::to_string(n_bits) + " bits");
    }
  }
}

// A checked copy: the caller's array may change while the GIL is released, and these are addresses.
std::vector<std::int64_t> checked_starts(const IndexArray& array, std::size_t n) {
  if (array.ndim() != 1 || array.shape(0) < 1) {
    throw std::invalid_argument("starts has shape " + shape_text(array) + ": give int64[segments + 1]");
  }
  const std::vector<std::int64_t> starts(array.data(), array.data() + array.shape(0));
  std::int64_t previous = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    if (starts[i] < previous || static_cast<std::size_t>(starts[i]) > n) {
      throw std::invalid_argument("starts[" + std::to_string(i) + "] is " + std::to_string(starts[i]) +
                                  ": starts must not decrease nor pass the " + std::to_string(n) + " items");
    }
    previous = starts[i];
  }
  return starts;
}

std::unique_ptr<Modulus> make_modulus(const WordArray& n) {
  return std::make_unique<Modulus>(n.data(), static_cast<std::size_t>(n.size()));
}

// For values that the Python layer keeps or joins with others, so that the error names the caller's array and row.
void check_values(const Modulus& modulus, const WordArray& rows, const std::string& name, int threads) {
  const Rows values = rows_of(rows, name.c_str(), modulus.limbs());
  const py::gil_scoped_release unlocked;
  check_below(modulus, values, threads);
}

// b None: squares. One row of either serves for all of the other.
void mul(const Modulus& modulus, const WordArray& a, const std::optional<WordArray>& b, WordArray& out,
         bool montgomery, const std::string& backend, int threads) {
  Rows left = rows_of(a, "a", modulus.limbs());
  Rows right = b ? rows_of(*b, "b", modulus.limbs()) : left;
  const std::size_t n = rows_of(out, "out", modulus.limbs()).n;
  check_count(left, n, true);
  check_count(right, n, true);
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, left, threads);
  if (b) check_below(modulus, right, threads);
  if (left.n != n) std::swap(left, right);
  bigint::mul({backend, threads}, modulus,
              {left.data, left.stride(), b ? right.data : nullptr, right.stride(), result, montgomery}, n);
}

void powm(const Modulus& modulus, const WordArray& bases, const WordArray& exponents,
          std::size_t exponent_bits, WordArray& out, bool montgomery, bool vartime,
          const std::string& backend, int threads) {
  const Rows results = rows_of(out, "out", modulus.limbs());
  const Rows from = rows_of(bases, "bases", modulus.limbs());
  const Rows to = rows_of(exponents, "exponents", 0);
  check_count(from, results.n, true);
  check_count(to, results.n, true);
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  check_exponents(to, exponent_bits);
  bigint::powm(
      {backend, threads}, modulus,
      {from.data, from.stride(), to.data, to.width, to.stride(), exponent_bits, result, montgomery, vartime},
      results.n);
}

// `index` is the Python layer's own: nobody else can change it meanwhile.
void segmented_prod(const Modulus& modulus, const WordArray& rows, const std::optional<IndexArray>& index,
                    const IndexArray& starts, WordArray& out, const std::string& backend, int threads) {
  const Rows from = rows_of(rows, "a", modulus.limbs());
  const std::vector<std::int64_t> begins =
      checked_starts(starts, index ? static_cast<std::size_t>(index->size()) : from.n);
  const std::size_t n_segments = begins.size() - 1;
  check_count(rows_of(out, "out", modulus.limbs()), n_segments, false);
  const std::int64_t* const chosen = index ? index->data() : nullptr;
  for (py::ssize_t j = 0; index && j < index->size(); ++j) {
    if (chosen[j] < 0 || static_cast<std::size_t>(chosen[j]) >= from.n) {
      throw std::invalid_argument("index[" + std::to_string(j) + "] is " + std::to_string(chosen[j]) +
                                  ": there are " + std::to_string(from.n) + " rows");
    }
  }
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  bigint::segmented_prod({backend, threads}, modulus, from.data, chosen, begins.data(), n_segments, result);
}

// bins[n, groupings] of signed integers; `index` is the Python layer's own.
void scatter_mul(const Modulus& modulus, const WordArray& rows, const py::array& bins, std::size_t n_bins,
                 const std::optional<IndexArray>& index, WordArray& out, const std::string& backend,
                 int threads) {
  const Rows from = rows_of(rows, "a", modulus.limbs());
  if (bins.ndim() != 2 || bins.dtype().kind() != 'i' || !(bins.flags() & py::array::c_style) ||
      static_cast<std::size_t>(bins.shape(0)) != from.n) {
    throw std::invalid_argument("bins has shape " + shape_text(bins) + ": give signed integers, [" +
                                std::to_string(from.n) + ", groupings]");
  }
  const std::size_t groupings = static_cast<std::size_t>(bins.shape(1));
  check_count(rows_of(out, "out", modulus.limbs()), groupings * n_bins, false);
  const std::int64_t* const chosen = index ? index->data() : nullptr;
  const std::size_t n = index ? static_cast<std::size_t>(index->size()) : from.n;
  for (std::size_t j = 0; index && j < n; ++j) {
    if (chosen[j] < 0 || static_cast<std::size_t>(chosen[j]) >= from.n) {
      throw std::invalid_argument("index[" + std::to_string(j) + "] is " + std::to_string(chosen[j]) +
                                  ": there are " + std::to_string(from.n) + " rows");
    }
  }
  const bigint::Bins numbers{
      bins.data(), static_cast<std::size_t>(bins.itemsize()), groupings, n_bins, chosen, n};
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  bigint::scatter_mul({backend, threads}, modulus, from.data, numbers, result);
}

void cumulative_prod(const Modulus& modulus, const WordArray& rows, const IndexArray& starts, WordArray& out,
                     const std::string& backend, int threads) {
  const Rows from = rows_of(rows, "a", modulus.limbs());
  const std::vector<std::int64_t> begins = checked_starts(starts, from.n);
  const std::size_t n_segments = begins.size() - 1;
  if (begins.front() != 0 || static_cast<std::size_t>(begins.back()) != from.n) {
    throw std::invalid_argument("starts must begin with 0 and end with the number of rows, " +
                                std::to_string(from.n));
  }
  check_count(rows_of(out, "out", modulus.limbs()), from.n, false);
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  bigint::cumulative_prod({backend, threads}, modulus, from.data, begins.data(), n_segments, result);
}

bool batch_inverse(const Modulus& modulus, const WordArray& rows, WordArray& out, const std::string& backend,
                   int threads) {
  const Rows from = rows_of(rows, "a", modulus.limbs());
  check_count(rows_of(out, "out", modulus.limbs()), from.n, false);
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  return bigint::batch_inverse_vartime({backend, threads}, modulus, from.data, from.n, result);
}

void multi_powm(const Modulus& modulus, const WordArray& bases, const WordArray& exponents,
                std::size_t exponent_bits, const std::optional<WordArray>& factor, WordArray& out,
                const std::string& backend, int threads) {
  const Rows from = rows_of(bases, "bases", modulus.limbs());
  const Rows to = rows_of(exponents, "exponents", from.n);
  const std::optional<Rows> times =
      factor ? std::optional(rows_of(*factor, "factor", modulus.limbs())) : std::nullopt;
  if (times) check_count(*times, 1, false);
  check_count(rows_of(out, "out", modulus.limbs()), to.n, false);
  if (exponent_bits > 64) throw std::invalid_argument("exponent_bits is above 64");
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  if (exponent_bits < 64) {
    for (std::size_t i = 0; i < to.n; ++i) {
      Word above = 0;
      for (std::size_t j = 0; j < to.width; ++j) above |= to.data[i * to.width + j] >> exponent_bits;
      if (above != 0) {
        throw std::invalid_argument("exponents: a value in row " + std::to_string(i) +
                                    " has more than exponent_bits = " + std::to_string(exponent_bits) +
                                    " bits");
      }
    }
  }
  if (times) check_below(modulus, *times, threads);
  bigint::multi_powm({backend, threads}, modulus, from.data, from.n, to.data, exponent_bits,
                     times ? times->data : nullptr, result, to.n);
}

std::unique_ptr<bigint::FixedBase> make_fixed_base(const Modulus& modulus, const WordArray& base,
                                                   std::size_t exponent_bits, std::size_t window,
                                                   bool vartime, const std::string& backend, int threads) {
  const Rows from = rows_of(base, "base", modulus.limbs());
  check_count(from, 1, false);
  if (window < 1 || window > 16) throw std::invalid_argument("window must be 1 to 16 bits");
  const py::gil_scoped_release unlocked;
  check_below(modulus, from, threads);
  return std::make_unique<bigint::FixedBase>(Call{backend, threads}, modulus, from.data, exponent_bits,
                                             window, vartime);
}

void fixed_base_powm(const bigint::FixedBase& fixed, const WordArray& exponents, std::size_t exponent_bits,
                     WordArray& out, bool montgomery, int threads) {
  const Rows to = rows_of(exponents, "exponents", 0);
  const Rows results = rows_of(out, "out", fixed.limbs());
  check_count(to, results.n, false);
  Word* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  check_exponents(to, exponent_bits);
  fixed.powm(threads, to.data, to.width, result, results.n, montgomery);
}

}  // namespace

void bind_bigint(py::module_& module) {
  const auto plain = [](const char* name) { return py::arg(name).noconvert(); };
  const py::arg modulus("modulus"), backend("backend"), threads("threads"), montgomery("montgomery");
  const py::arg exponent_bits("exponent_bits"), vartime("vartime");

  py::class_<Modulus>(module, "Modulus")
      .def(py::init(&make_modulus), plain("n"))
      .def_property_readonly("limbs", &Modulus::limbs)
      .def_property_readonly("n_bits", &Modulus::n_bits)
      .def("r",
           [](const Modulus& self) { return WordArray(static_cast<py::ssize_t>(self.limbs()), self.r()); })
      .def("r2",
           [](const Modulus& self) { return WordArray(static_cast<py::ssize_t>(self.limbs()), self.r2()); });
  py::class_<bigint::FixedBase>(module, "FixedBase")
      .def(py::init(&make_fixed_base), modulus, plain("base"), exponent_bits, py::arg("window"), vartime,
           backend, threads, py::keep_alive<1, 2>())
      .def_property_readonly("n_bytes", &bigint::FixedBase::n_bytes)
      .def("powm", &fixed_base_powm, plain("exponents"), exponent_bits, plain("out"), montgomery, threads);

  module.def("backends", &bigint::backends);
  module.def(
      "select", [](const std::string& name) { return std::string(bigint::select(name).name); }, backend);
  module.def("check_values", &check_values, modulus, plain("rows"), py::arg("name"), threads);
  module.def("mul", &mul, modulus, plain("a"), plain("b"), plain("out"), montgomery, backend, threads);
  module.def("powm", &powm, modulus, plain("bases"), plain("exponents"), exponent_bits, plain("out"),
             montgomery, vartime, backend, threads);
  module.def("segmented_prod", &segmented_prod, modulus, plain("rows"), plain("index"), plain("starts"),
             plain("out"), backend, threads);
  module.def("scatter_mul", &scatter_mul, modulus, plain("rows"), plain("bins"), py::arg("n_bins"),
             plain("index"), plain("out"), backend, threads);
  module.def("cumulative_prod", &cumulative_prod, modulus, plain("rows"), plain("starts"), plain("out"),
             backend, threads);
  module.def("batch_inverse", &batch_inverse, modulus, plain("rows"), plain("out"), backend, threads);
  module.def("multi_powm", &multi_powm, modulus, plain("bases"), plain("exponents"), exponent_bits,
             plain("factor"), plain("out"), backend, threads);
  module.def(
      "multi_powm_products",
      [](const Modulus& self, std::size_t m, std::size_t k, std::size_t n_bits, const std::string& name) {
        return bigint::multi_powm_products({name, 1}, self, k, n_bits, m);
      },
      modulus, py::arg("m"), py::arg("k"), exponent_bits, backend);
  module.def(
      "measure_products",
      [](const std::string& name, std::size_t repeats) {
        const py::gil_scoped_release unlocked;
        return bigint::measure_products({name, 1}, repeats);
      },
      backend, py::arg("repeats"));
}

}  // namespace crypsis::bindings
