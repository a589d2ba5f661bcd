// SPDX-License-Identifier: Apache-2.0
// Usage: SLUG_constant_time trace BACKEND OPERATION [STEPS]
//        SLUG_constant_time undefined BACKEND OPERATION, under valgrind only
// `trace` compares the instruction traces of the operation for two secrets (trace.h); STEPS ends each run after so many.
// `undefined` declares a secret uninitialised to memcheck and runs the operation (undefined.h). valgrind 3.19 has no
// AVX-512. Exit statuses: trace.h.
//
// OPERATIONS is the slug's header SLUG_operations.h, which has, in crypsis::native_tests:
//   Impl, compiled()                    of the slug
//   Secret                              any trivially copyable type of kLeaked bytes at least
//   choose(Secret (&)[2])               two secrets far apart: make_secrets()
//   prepare(impl)                       makes every public table that the operations read, before anything is watched
//   run(operation, impl, secret)        false if there is no such operation; not inlined, so that the compiler cannot
//                                       specialise it for known inputs
#include <cstdio>
#include <cstdlib>

#include OPERATIONS
#include "secrets.h"
#include "trace.h"
#include "undefined.h"

namespace crypsis::native_tests {
namespace {

Secret secrets[2];

const Impl* find_backend(std::string_view name) {
  for (const Impl* impl : compiled()) {
    if (impl->name == name) return impl;
  }
  return nullptr;
}

bool operate(std::string_view operation, const Impl& impl, const Secret& secret) {
  return leak(operation, secret) || run(operation, impl, secret);
}

int trace(std::string_view operation, const Impl& impl, std::size_t n_steps) {
  choose(secrets);
  const auto on = [&](const Secret& secret) {
    return [&secret, &impl, operation] { return operate(operation, impl, secret); };
  };
  const decltype(on(secrets[0])) operations[2] = {on(secrets[0]), on(secrets[1])};
  return compare_traces(operations, n_steps);
}

int undefined(std::string_view operation, const Impl& impl) {
  if (!running_on_valgrind()) {
    std::fprintf(stderr, "`undefined` is for valgrind\n");
    return kUsage;
  }
  make_undefined(&secrets[0], sizeof secrets[0]);
  return operate(operation, impl, secrets[0]) ? 0 : kUsage;
}

}  // namespace
}  // namespace crypsis::native_tests

int main(int argc, char** argv) {
  using namespace crypsis::native_tests;
  const std::string_view kind = argc == 4 || argc == 5 ? argv[1] : "";
  const Impl* impl = kind.empty() ? nullptr : find_backend(argv[2]);
  if (impl == nullptr || !(kind == "trace" || (kind == "undefined" && argc == 4))) {
    std::fprintf(stderr, "usage: %s trace|undefined BACKEND OPERATION [STEPS]\n", argv[0]);
    return kUsage;
  }
  prepare(*impl);
  if (kind == "undefined") return undefined(argv[3], *impl);
  return trace(argv[3], *impl, argc == 5 ? std::strtoull(argv[4], nullptr, 10) : ~std::size_t{0});
}
