// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "ntt/impl.h"
#include "ntt/modular_portable.h"
#include "ntt/ntt.h"

namespace crypsis::ntt {
namespace {

#if defined(__x86_64__)
constexpr std::array<const Impl*, 3> kCompiled{&avx512ifma, &avx512, &portable};
#else
constexpr std::array<const Impl*, 1> kCompiled{&portable};
#endif

// A thread is worth starting for some tens of microseconds of work: elements of a limb of one polynomial.
constexpr std::size_t kGrainTransform = 1 << 14, kGrainPointwise = 1 << 16;

// body(limb, polynomial) for every limb of every polynomial; a thread stays with one limb, whose tables it then has in
// its cache, as long as there are polynomials.
template <class Body>
void for_each_limb(const Basis& basis, std::size_t n_polys, std::size_t grain, int threads,
                   const Body& body) {
  const int resolved = resolve_threads(threads);
  if (n_polys == 0) return;
  parallel_for(basis.limbs() * n_polys, std::max<std::size_t>(1, grain >> basis.log_n()), resolved,
               [&](std::size_t begin, std::size_t end) {
                 for (std::size_t i = begin; i < end; ++i) body(i / n_polys, i % n_polys);
               });
}

void check_galois(int log_n, std::uint64_t galois) {
  if (galois % 2 == 0 || galois >> (log_n + 1) != 0) {
    throw std::invalid_argument("galois is " + std::to_string(galois) + ": give an odd number from 1 to " +
                                std::to_string((std::uint64_t{2} << log_n) - 1));
  }
}

}  // namespace

std::span<const Impl* const> compiled() {
  return kCompiled;
}

const Impl& select(const Options& options) {
  return select_backend<Impl>("ntt", "", compiled(), options.backend, [](const Impl&) { return true; });
}

void forward(const Basis& basis, const std::uint64_t* in, std::size_t n_polys, std::uint64_t* out,
             const Options& options) {
  const Impl& impl = select(options);
  for_each_limb(basis, n_polys, kGrainTransform, options.threads, [&](std::size_t limb, std::size_t poly) {
    const std::size_t at = (poly * basis.limbs() + limb) << basis.log_n();
    impl.forward(basis[limb], in + at, out + at);
  });
}

void inverse(const Basis& basis, const std::uint64_t* in, std::size_t n_polys, std::uint64_t* out,
             const Options& options) {
  const Impl& impl = select(options);
  for_each_limb(basis, n_polys, kGrainTransform, options.threads, [&](std::size_t limb, std::size_t poly) {
    const std::size_t at = (poly * basis.limbs() + limb) << basis.log_n();
    impl.inverse(basis[limb], in + at, out + at);
  });
}

void pointwise(Pointwise operation, const Basis& basis, const std::uint64_t* a, const Operand& b,
               const Operand& c, std::size_t n_polys, std::uint64_t* out, const Options& options) {
  const Impl& impl = select(options);
  const std::size_t n = basis.n();
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    const auto at = [&](std::size_t i) { return (i * basis.limbs() + limb) << basis.log_n(); };
    const auto operand = [&](const Operand& x) { return x.data + at(poly / x.repeat % x.n_polys); };
    const PrimeTables& tables = basis[limb];
    const std::uint64_t* const from = a + at(poly);
    std::uint64_t* const to = out + at(poly);
    switch (operation) {
      case Pointwise::kAdd:
        return impl.add(tables, from, operand(b), n, to);
      case Pointwise::kSubtract:
        return impl.subtract(tables, from, operand(b), n, to);
      case Pointwise::kNegate:
        return impl.negate(tables, from, n, to);
      case Pointwise::kMultiply:
        return impl.multiply(tables, from, operand(b), n, to);
      case Pointwise::kMultiplyAdd:
        return impl.multiply_add(tables, from, operand(b), operand(c), n, to);
    }
  });
}

void scale(const Basis& basis, const std::uint64_t* a, const std::uint64_t* constants, std::size_t n_polys,
           std::uint64_t* out, const Options& options) {
  const Impl& impl = select(options);
  std::vector<std::uint64_t> quotients;
  for (std::size_t limb = 0; limb < basis.limbs(); ++limb) {
    const std::uint64_t p = basis[limb].p;
    if (constants[limb] >= p) {
      throw std::invalid_argument("a constant is not below its prime " + std::to_string(p) + ": reduce it");
    }
    quotients.push_back(shoup_quotient(constants[limb], p));
  }
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    const std::size_t at = (poly * basis.limbs() + limb) << basis.log_n();
    impl.scale(basis[limb], a + at, constants[limb], quotients[limb], basis.n(), out + at);
  });
}

void automorphism_table(int log_n, std::uint64_t galois, std::uint32_t* table) {
  check_galois(log_n, galois);
  const std::size_t n = std::size_t{1} << log_n;
  std::vector<std::uint32_t> reversed(n, 0);
  for (std::size_t i = 1; i < n; ++i) {
    reversed[i] = static_cast<std::uint32_t>(reversed[i / 2] / 2 | (i & 1) << (log_n - 1));
  }
  // out[j] = a(y^galois), y = psi^(2 brev(j) + 1): where a has the exponent galois (2 brev(j) + 1) mod 2N.
  for (std::size_t j = 0; j < n; ++j) {
    const std::uint64_t exponent = galois * (2 * reversed[j] + 1) & (2 * n - 1);
    table[j] = reversed[exponent / 2];
  }
}

void automorphism(const Basis& basis, const std::uint64_t* a, std::uint64_t galois, bool ntt_domain,
                  std::size_t n_polys, std::uint64_t* out, const Options& options) {
  const Impl& impl = select(options);
  const std::size_t n = basis.n();
  check_galois(basis.log_n(), galois);
  std::vector<std::uint32_t> table(ntt_domain ? n : 0);
  if (ntt_domain) automorphism_table(basis.log_n(), galois, table.data());
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    const std::size_t at = (poly * basis.limbs() + limb) << basis.log_n();
    if (ntt_domain) return impl.permute(table.data(), a + at, n, out + at);
    // x^i -> x^(i galois) with x^N = -1; the exponent grows by galois mod 2N.
    std::uint64_t exponent = 0;
    for (std::size_t i = 0; i < n; ++i, exponent = (exponent + galois) & (2 * n - 1)) {
      const std::uint64_t p = basis[limb].p, value = a[at + i], sign = 0 - (exponent >> basis.log_n());
      out[at + (exponent & (n - 1))] = reduce_once(value ^ (sign & (value ^ (p - value))), p);
    }
  });
}

void from_signed(const Basis& basis, const std::int64_t* in, std::size_t n_polys, std::uint64_t* out,
                 const Options& options) {
  const Impl& impl = select(options);
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    impl.from_signed(basis[limb], in + (poly << basis.log_n()), basis.n(),
                     out + ((poly * basis.limbs() + limb) << basis.log_n()));
  });
}

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 3> known{"avx512ifma", "avx512", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>("ntt", "", known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::ntt
