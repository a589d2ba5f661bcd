// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <span>

#include "hashing/hashing.h"
#include "messages.h"

namespace crypsis::bindings {
namespace {

std::span<const std::uint8_t> as_bytes(const py::bytes& bytes) {
  const std::string_view view = bytes;
  return {reinterpret_cast<const std::uint8_t*>(view.data()), view.size()};
}

void digest(std::string_view algorithm, const std::vector<py::tuple>& parts, ByteArray& out,
            const py::bytes& domain, const py::bytes& key, const std::string& backend, int threads) {
  const std::vector<Messages> messages = make_messages(parts);
  const std::size_t n_items = count(messages);
  if (check_rows(out, "out", 0) != n_items) {
    throw py::value_error("out has shape " + shape_text(out) + ": it needs one row for each of the " +
                          std::to_string(n_items) + " messages");
  }
  hashing::Request request;
  request.algorithm = hashing::parse_algorithm(algorithm);
  request.keying = {as_bytes(domain), as_bytes(key)};
  request.digest_size = static_cast<std::size_t>(out.shape(1));
  request.backend = backend;
  request.threads = threads;
  std::uint8_t* const to = out.mutable_data();
  const py::gil_scoped_release release;
  hashing::digest(request, messages, to);
}

}  // namespace

void bind_hashing(py::module_& module) {
  module.def("backends", &hashing::backends);
  module.def("digest", &digest, py::arg("algorithm"), py::arg("parts"), py::arg("out").noconvert(),
             py::kw_only(), py::arg("domain"), py::arg("key"), py::arg("backend"), py::arg("threads"));
  module.def(
      "measure_operations",
      [](const std::string& algorithm, const std::string& backend, std::size_t repeats) {
        const auto parsed = hashing::parse_algorithm(algorithm);
        const py::gil_scoped_release unlocked;
        return hashing::measure_operations(parsed, backend, repeats);
      },
      py::arg("algorithm"), py::arg("backend"), py::arg("repeats"));
}

}  // namespace crypsis::bindings
