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

// Any values of four widths.
struct FromSigned {
  template <class Signed>
  using Function = void (*)(const PrimeTables& tables, const Signed* in, std::size_t n, std::uint64_t* out);
  Function<std::int8_t> of_int8;
  Function<std::int16_t> of_int16;
  Function<std::int32_t> of_int32;
  Function<std::int64_t> of_int64;

  void operator()(const PrimeTables& t, const std::int8_t* in, std::size_t n, std::uint64_t* out) const {
    of_int8(t, in, n, out);
  }
  void operator()(const PrimeTables& t, const std::int16_t* in, std::size_t n, std::uint64_t* out) const {
    of_int16(t, in, n, out);
  }
  void operator()(const PrimeTables& t, const std::int32_t* in, std::size_t n, std::uint64_t* out) const {
    of_int32(t, in, n, out);
  }
  void operator()(const PrimeTables& t, const std::int64_t* in, std::size_t n, std::uint64_t* out) const {
    of_int64(t, in, n, out);
  }
};

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
  FromSigned from_signed;
};

extern const Impl portable;
#if defined(__x86_64__)
extern const Impl avx2;
extern const Impl avx512;
extern const Impl avx512ifma;
#endif

// Best first.
std::span<const Impl* const> compiled();
// The backend that `options` asks for; BackendUnavailable.
const Impl& select(const Options& options);

}  // namespace crypsis::ntt
