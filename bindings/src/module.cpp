// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "arrays.h"
#include "common/cpu_features.h"
#include "common/slugs.h"
#include "common/threads.h"
#include "okvs/okvs.h"

namespace py = pybind11;
using crypsis::BackendStatus;

PYBIND11_MODULE(_core, module) {
  module.doc() = "Compiled kernels of crypsis. Private: use the functions of the package.";

  py::register_exception_translator([](std::exception_ptr pending) {
    try {
      if (pending) std::rethrow_exception(pending);
    } catch (const crypsis::BackendUnavailable& error) {
      py::set_error(py::module_::import("crypsis.errors").attr("BackendUnavailable"), error.what());
    } catch (const crypsis::okvs::EncodeFailure& error) {
      py::set_error(py::module_::import("crypsis.errors").attr("EncodeFailure"), error.what());
    }
  });

  py::class_<BackendStatus>(module, "BackendStatus")
      .def_readonly("slug", &BackendStatus::slug)
      .def_readonly("variant", &BackendStatus::variant)
      .def_readonly("backend", &BackendStatus::backend)
      .def_readonly("compiled", &BackendStatus::compiled)
      .def_readonly("supported", &BackendStatus::supported)
      .def_readonly("chosen", &BackendStatus::chosen)
      .def_readonly("reason", &BackendStatus::reason);

  module.def("cpu_features", [] { return crypsis::feature_names(crypsis::cpu_features()); });
  module.attr("SLUGS") = py::tuple(py::cast(crypsis::kSlugs));
  module.def("requested_backend", &crypsis::requested_backend, py::arg("slug"), py::arg("argument") = "");
  module.def("resolve_threads", &crypsis::resolve_threads, py::arg("threads") = 0);

  // Each slug is a submodule with its functions and a `backends()` that returns list[BackendStatus].
  auto hashing = module.def_submodule("hashing");
  crypsis::bindings::bind_hashing(hashing);
  auto curve25519 = module.def_submodule("curve25519");
  crypsis::bindings::bind_curve25519(curve25519);
  auto bigint = module.def_submodule("bigint");
  crypsis::bindings::bind_bigint(bigint);
  auto aes = module.def_submodule("aes");
  crypsis::bindings::bind_aes(aes);
  auto bitmatrix = module.def_submodule("bitmatrix");
  crypsis::bindings::bind_bitmatrix(bitmatrix);
  auto vole = module.def_submodule("vole");
  crypsis::bindings::bind_vole(vole);
  auto partition = module.def_submodule("partition");
  crypsis::bindings::bind_partition(partition);
  auto okvs = module.def_submodule("okvs");
  crypsis::bindings::bind_okvs(okvs);
  auto ntt = module.def_submodule("ntt");
  crypsis::bindings::bind_ntt(ntt);
  auto rns = module.def_submodule("rns");
  crypsis::bindings::bind_rns(rns);
  auto embedding = module.def_submodule("embedding");
  crypsis::bindings::bind_embedding(embedding);
  auto sampling = module.def_submodule("sampling");
  crypsis::bindings::bind_sampling(sampling);
}
