// SPDX-License-Identifier: Apache-2.0
// Sums of products of many rotations of one ciphertext: the inner loop of matrices and windows. Rotations are made block
// by block where they are used, and never written to memory.
#include <algorithm>
#include <array>
#include <cstring>

#include "rns/engine.h"

namespace crypsis::rns {
namespace {

// Coefficients of a block: 8 KiB a rotation, so that 16 or even 64 of them stay in a second cache; blocks of half the
// size read keys in shorter runs and take 6 % longer.
constexpr std::size_t kBlock = 512;

struct Factor {
  std::size_t rotation, index;
};

}  // namespace

void rotated_sums(const Chain& chain, std::size_t level, const RotatedSums& task, std::size_t n,
                  std::uint64_t* out, const Options& options) {
  const Engine engine(chain, options);
  const std::size_t size = engine.n(), n_digits = chain.n_digits(level), n_full = chain.n_full(level);
  const std::size_t n_all = chain.n_moduli() + chain.n_special(), n_rotations = task.rotations.size();
  const std::size_t block = std::min(kBlock, size), n_blocks = size / block;

  std::vector<std::vector<std::uint32_t>> tables(n_rotations);
  for (std::size_t r = 0; r < n_rotations; ++r) {
    if (task.rotations[r].key == nullptr) continue;
    tables[r].resize(size);
    ntt::automorphism_table(chain.log_n(), task.rotations[r].galois, tables[r].data());
  }
  std::vector<std::vector<Factor>> sums(task.n_sums);
  for (std::size_t i = 0; i < task.products.size(); ++i) {
    sums[task.products[i].sum].push_back({task.products[i].rotation, i});
  }

  // Both halves of the rotations of one ciphertext modulo one modulus, coefficients [at, at + block).
  const auto rotate = [&](std::size_t item, std::size_t limb, std::size_t at, std::uint64_t* rotated) {
    const std::size_t number = chain.number(level, limb);
    const ntt::PrimeTables& prime = chain.tables(number);
    const bool is_special = limb > level;  // P c is 0 modulo these
    const Constant p = special_product(chain, number), one{1, prime.one_quotient};
    const std::uint64_t* const c = task.c + 2 * item * (level + 1) * size;
    std::uint64_t moved[kBlock];
    for (std::size_t r = 0; r < n_rotations; ++r, rotated += 2 * block) {
      const std::uint64_t* const key = task.rotations[r].key;
      if (key == nullptr) {
        for (std::size_t half = 0; half < 2; ++half) {
          std::uint64_t* const to = rotated + half * block;
          if (is_special) {
            std::memset(to, 0, block * sizeof *to);
          } else {
            const std::uint64_t* const from = c + (half * (level + 1) + limb) * size + at;
            engine.impl.combine(prime, from, p, nullptr, nullptr, one, block, to);
          }
        }
        continue;
      }
      std::array<Term, kMaxTerms> terms;
      for (std::size_t j = 0; j < n_digits; ++j) {
        const std::uint64_t* const row = key + (2 * j * n_all + number) * size + at;
        terms[j] = {task.digits + ((item * n_digits + j) * n_full + limb) * size, row, row + n_all * size};
      }
      const std::uint32_t* const table = tables[r].data() + at;
      engine.impl.inner_product(prime, terms.data(), n_digits, table, block, rotated, rotated + block);
      if (!is_special) {
        engine.ntt.permute(table, c + limb * size, block, moved);
        engine.impl.combine(prime, moved, p, rotated, nullptr, one, block, rotated);
      }
    }
  };

  // A key's block serves all ciphertexts while it is near.
  parallel_for(n_full * n_blocks, 1, engine.threads, [&](std::size_t begin, std::size_t end) {
    const Scratch scratch(engine.pool, 2 * n_rotations * block);
    std::uint64_t* const rotated = scratch.data();
    for (std::size_t piece = begin; piece < end; ++piece) {
      const std::size_t limb = piece / n_blocks, at = piece % n_blocks * block;
      const ntt::PrimeTables& prime = chain.tables(chain.number(level, limb));
      for (std::size_t item = 0; item < n; ++item) {
        rotate(item, limb, at, rotated);
        for (std::size_t s = 0; s < task.n_sums; ++s) {
          std::array<Term, kMaxRotations> terms;
          for (std::size_t i = 0; i < sums[s].size(); ++i) {
            const auto [r, index] = sums[s][i];
            terms[i] = {task.factors + (index * n_full + limb) * size + at, rotated + 2 * r * block,
                        rotated + (2 * r + 1) * block};
          }
          std::uint64_t* const to = out + ((s * n + item) * 2 * n_full + limb) * size + at;
          engine.impl.inner_product(prime, terms.data(), sums[s].size(), nullptr, block, to,
                                    to + n_full * size);
        }
      }
    }
  });
}

}  // namespace crypsis::rns
