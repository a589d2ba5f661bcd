// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "common/threads.h"
#include "ntt/galois.h"
#include "ntt/impl.h"
#include "ntt/modular_portable.h"
#include "ntt/ntt.h"

namespace crypsis::ntt {
namespace {

#if defined(__x86_64__)
constexpr std::array<const Impl*, 4> kCompiled{&avx512ifma, &avx512, &avx2, &portable};
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

void tensor(const Basis& basis, const std::uint64_t* x, const std::uint64_t* y, std::size_t n_products,
            std::uint64_t* out, const Options& options) {
  const Impl& impl = select(options);
  // Of seven arrays this much each fits the first cache.
  const std::size_t block = std::min<std::size_t>(basis.n(), 512), poly = basis.limbs() << basis.log_n();
  for_each_limb(basis, n_products, kGrainPointwise / 4, options.threads,
                [&](std::size_t limb, std::size_t i) {
                  const PrimeTables& tables = basis[limb];
                  for (std::size_t j = limb << basis.log_n(), end = j + basis.n(); j < end; j += block) {
                    const std::uint64_t *const a = x + 2 * i * poly + j, *const b = y + 2 * i * poly + j;
                    std::uint64_t* const to = out + 3 * i * poly + j;
                    impl.multiply(tables, a, b, block, to);
                    impl.multiply(tables, a, b + poly, block, to + poly);
                    impl.multiply_add(tables, a + poly, b, to + poly, block, to + poly);
                    impl.multiply(tables, a + poly, b + poly, block, to + 2 * poly);
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

void automorphism(const Basis& basis, const std::uint64_t* a, std::uint64_t galois, bool ntt_domain,
                  std::size_t n_polys, std::uint64_t* out, const Options& options) {
  const Impl& impl = select(options);
  const std::size_t n = basis.n();
  check_galois(basis.log_n(), galois);
  const auto table = ntt_domain ? shared_automorphism_table(basis.log_n(), galois) : nullptr;
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    const std::size_t at = (poly * basis.limbs() + limb) << basis.log_n();
    if (ntt_domain) return impl.permute(table->data(), a + at, n, out + at);
    // x^i -> x^(i galois) with x^N = -1; the exponent grows by galois mod 2N.
    std::uint64_t exponent = 0;
    for (std::size_t i = 0; i < n; ++i, exponent = (exponent + galois) & (2 * n - 1)) {
      const std::uint64_t p = basis[limb].p, value = a[at + i], sign = 0 - (exponent >> basis.log_n());
      out[at + (exponent & (n - 1))] = reduce_once(value ^ (sign & (value ^ (p - value))), p);
    }
  });
}

template <class Signed>
void from_signed(const Basis& basis, const Signed* in, std::size_t n_polys, std::uint64_t* out,
                 const Options& options) {
  const Impl& impl = select(options);
  for_each_limb(basis, n_polys, kGrainPointwise, options.threads, [&](std::size_t limb, std::size_t poly) {
    const Signed* const from = in + (poly << basis.log_n());
    std::uint64_t* const to = out + ((poly * basis.limbs() + limb) << basis.log_n());
    impl.from_signed(basis[limb], from, basis.n(), to);
  });
}

template void from_signed(const Basis&, const std::int8_t*, std::size_t, std::uint64_t*, const Options&);
template void from_signed(const Basis&, const std::int16_t*, std::size_t, std::uint64_t*, const Options&);
template void from_signed(const Basis&, const std::int32_t*, std::size_t, std::uint64_t*, const Options&);
template void from_signed(const Basis&, const std::int64_t*, std::size_t, std::uint64_t*, const Options&);

std::vector<BackendStatus> backends() {
  static constexpr std::array<std::string_view, 4> known{"avx512ifma", "avx512", "avx2", "portable"};
  std::vector<BackendStatus> rows;
  report_backends<Impl>("ntt", "", known, compiled(), [](const Impl&) { return true; }, rows);
  return rows;
}

}  // namespace crypsis::ntt
