// SPDX-License-Identifier: Apache-2.0
// Negacyclic number-theoretic transforms over batches of residues: Z_p[x] / (x^N + 1), one prime p = 1 mod 2N a limb.
//
// Arrays are uint64[n_polys, limbs, N], C-contiguous, every residue fully reduced (in [0, p)) on the way in and out:
// backends are bit-identical. Residues at or above p give a wrong answer, never a fault. Everything here is
// constant-time in the residues. Transform domain: out[j] = a(psi^(2 brev(j) + 1)), brev over log_n bits, psi the
// smallest primitive 2N-th root of unity mod p.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/dispatch.h"
#include "ntt/tables.h"

namespace crypsis::ntt {

struct Options {
  std::string backend;  // "" = CRYPSIS_BACKEND or the best
  int threads = 0;      // 0 = CRYPSIS_NUM_THREADS or all
};

// A ring degree and distinct primes, one a limb; immutable, copies share the tables.
class Basis {
 public:
  // std::invalid_argument, naming the value: log_n not in [kMinLogN, kMaxLogN]; a prime that is none, not 1 mod 2N, not
  // in [kMinPrime, kMaxPrime), or there twice.
  Basis(int log_n, const std::vector<std::uint64_t>& primes);
  // Of tables made before, such as those of another basis; all of one degree.
  Basis(int log_n, std::vector<std::shared_ptr<const PrimeTables>> limbs);

  int log_n() const noexcept { return log_n_; }
  std::size_t n() const noexcept { return std::size_t{1} << log_n_; }
  std::size_t limbs() const noexcept { return limbs_.size(); }
  const PrimeTables& operator[](std::size_t limb) const noexcept { return *limbs_[limb]; }
  const std::shared_ptr<const PrimeTables>& shared(std::size_t limb) const noexcept { return limbs_[limb]; }

 private:
  int log_n_;
  std::vector<std::shared_ptr<const PrimeTables>> limbs_;
};

// For each entry of `bits` the largest prime below 2^bits that is 1 mod 2N and not found before. std::invalid_argument
// where bits is not in [5, 60] or no prime is left with that many bits.
std::vector<std::uint64_t> find_primes(int log_n, const std::vector<int>& bits);

// out may be in (in place) or apart from it.
void forward(const Basis& basis, const std::uint64_t* in, std::size_t n_polys, std::uint64_t* out,
             const Options& options);
void inverse(const Basis& basis, const std::uint64_t* in, std::size_t n_polys, std::uint64_t* out,
             const Options& options);

// Polynomials of all limbs that a batch reads by turns: its polynomial i takes number (i / repeat) mod n_polys.
struct Operand {
  const std::uint64_t* data = nullptr;
  std::size_t n_polys = 1, repeat = 1;
};

// Element by element; out may be any of the inputs that is read once. b: not of kNegate; c: of kMultiplyAdd, a b + c.
enum class Pointwise : std::uint8_t { kAdd, kSubtract, kNegate, kMultiply, kMultiplyAdd };
void pointwise(Pointwise operation, const Basis& basis, const std::uint64_t* a, const Operand& b,
               const Operand& c, std::size_t n_polys, std::uint64_t* out, const Options& options);

// Products of polynomials in Y: x_0 + x_1 Y and y_0 + y_1 Y, [n_products, 2, limbs, N], give (x_0 y_0, x_0 y_1 + x_1 y_0,
// x_1 y_1), [n_products, 3, limbs, N], in one pass over memory. out is apart from x and y, which may be the same.
void tensor(const Basis& basis, const std::uint64_t* x, const std::uint64_t* y, std::size_t n_products,
            std::uint64_t* out, const Options& options);

// a times constants[limb], each below its prime. The constants are public: their quotients take a division.
void scale(const Basis& basis, const std::uint64_t* a, const std::uint64_t* constants, std::size_t n_polys,
           std::uint64_t* out, const Options& options);

// a(x) -> a(x^galois), galois odd and in [1, 2N) (public): in the transform's domain a permutation, on coefficients one
// with signs. out is apart from a.
void automorphism(const Basis& basis, const std::uint64_t* a, std::uint64_t galois, bool ntt_domain,
                  std::size_t n_polys, std::uint64_t* out, const Options& options);
// The permutation of the transform's domain: out[j] = a[table[j]], N entries.
void automorphism_table(int log_n, std::uint64_t galois, std::uint32_t* table);

// Signed coefficients [n_polys, N] -> residues [n_polys, limbs, N]. Signed: std::int8_t, 16, 32 or 64, any value.
template <class Signed>
void from_signed(const Basis& basis, const Signed* in, std::size_t n_polys, std::uint64_t* out,
                 const Options& options);

std::vector<BackendStatus> backends();

}  // namespace crypsis::ntt
