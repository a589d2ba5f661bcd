// SPDX-License-Identifier: Apache-2.0
// Products of a matrix of polynomials with a vector of pairs: sums that are reduced once for many terms.
#include <algorithm>
#include <array>
#include <vector>

#include "common/threads.h"
#include "ntt/impl.h"
#include "rns/impl.h"

namespace crypsis::rns {
namespace {

// Coefficients of a block: the pairs' blocks stay in a second cache for all rows, a factor is read once.
constexpr std::size_t kBlock = 512;

}  // namespace

void pair_products(const ntt::Basis& basis, const PairProducts& task, std::uint64_t* out0,
                   std::uint64_t* out1, const Options& options) {
  const Impl& impl = rns::select(options);
  const ntt::Impl& ntt = ntt::select(options);
  const std::size_t n = basis.n(), block = std::min(kBlock, n), n_blocks = n / block,
                    poly = basis.limbs() * n;
  parallel_for(
      basis.limbs() * n_blocks, 1, resolve_threads(options.threads), [&](std::size_t begin, std::size_t end) {
        std::array<Term, kMaxTerms> terms;
        std::array<std::uint64_t, kBlock> more0, more1;
        for (std::size_t piece = begin; piece < end; ++piece) {
          const ntt::PrimeTables& tables = basis[piece / n_blocks];
          const std::size_t at = piece / n_blocks * n + piece % n_blocks * block;
          for (std::size_t row = 0; row < task.n_rows; ++row) {
            std::uint64_t *const to0 = out0 + row * poly + at, *const to1 = out1 + row * poly + at;
            for (std::size_t first = 0; first < task.n_terms; first += kMaxTerms) {
              const std::size_t count = std::min(kMaxTerms, task.n_terms - first);
              for (std::size_t i = 0; i < count; ++i) {
                const std::size_t term = first + i;
                terms[i] = {task.factors + row * task.row_stride + term * task.term_stride + at,
                            task.first + term * poly + at, task.second + term * poly + at};
              }
              if (first == 0) {
                impl.inner_product(tables, terms.data(), count, nullptr, block, to0, to1);
                continue;
              }
              impl.inner_product(tables, terms.data(), count, nullptr, block, more0.data(), more1.data());
              ntt.add(tables, to0, more0.data(), block, to0);
              ntt.add(tables, to1, more1.data(), block, to1);
            }
          }
        }
      });
}

}  // namespace crypsis::rns
