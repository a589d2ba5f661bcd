// SPDX-License-Identifier: Apache-2.0
// What a backend of the ntt slug provides: work on one limb of one polynomial. Callers have checked everything; no
// alignment is assumed, residues are in [0, p) on both sides, out is the input or apart from it (automorphism: apart).
// Constant-time in residues throughout. rns calls these too, limb by limb, from its own loops.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/dispatch.h"
#include "ntt/ntt.h"

namespace crypsis::ntt {

struct Impl : Backend {
  void (*forward)(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out);
  void (*inverse)(const PrimeTables& tables, const std::uint64_t* in, std::uint64_t* out);

  // n elements, any number. c: of multiply_add only. negate: a only.
  void (*add)(const PrimeTables& tables, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              std::uint64_t* out);
  void (*subtract)(const PrimeTables& tables, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                   std::uint64_t* out);
  void (*negate)(const PrimeTables& tables, const std::uint64_t* a, std::size_t n, std::uint64_t* out);
  void (*multiply)(const PrimeTables& tables, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                   std::uint64_t* out);
  void (*multiply_add)(const PrimeTables& tables, const std::uint64_t* a, const std::uint64_t* b,
                       const std::uint64_t* c, std::size_t n, std::uint64_t* out);
  // quotient = shoup_quotient(constant, p); `a` may be any words.
  void (*scale)(const PrimeTables& tables, const std::uint64_t* a, std::uint64_t constant,
                std::uint64_t quotient, std::size_t n, std::uint64_t* out);

  // out[j] = a[table[j]], N elements.
  void (*permute)(const std::uint32_t* table, const std::uint64_t* a, std::size_t n, std::uint64_t* out);
  void (*from_signed)(const PrimeTables& tables, const std::int64_t* in, std::size_t n, std::uint64_t* out);
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx512;
extern const Impl avx512ifma;
#endif

// Best first.
std::span<const Impl* const> compiled();
// The backend that `options` asks for; BackendUnavailable.
const Impl& select(const Options& options);

}  // namespace crypsis::ntt
