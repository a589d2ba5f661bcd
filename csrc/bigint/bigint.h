// SPDX-License-Identifier: Apache-2.0
// The bigint slug for the bindings: threaded, dispatched batches on arrays whose lengths and ranges the caller has
// checked. `backend` empty: the best one. threads <= 0: the default number. Jobs are described in impl.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "bigint/impl.h"
#include "bigint/modulus.h"
#include "common/dispatch.h"

namespace crypsis::bigint {

struct Call {
  std::string_view backend;
  int threads;
};

// first_not_below of modulus.h on several threads.
std::size_t first_not_below(int threads, const Modulus& modulus, const Word* rows, std::size_t n_rows);

void mul(const Call& call, const Modulus& modulus, const MulJob& job, std::size_t n);
void powm(const Call& call, const Modulus& modulus, const PowmJob& job, std::size_t n);

// out[i] = product of rows[index[j]] for starts[i] <= j < starts[i + 1], everything in Montgomery form; one for
// no rows. `index` null: rows[j]. out must not overlap rows. All lanes and threads work even for one long segment.
void segmented_prod(const Call& call, const Modulus& modulus, const Word* rows, const std::int64_t* index,
                    const std::int64_t* starts, std::size_t n_segments, Word* out);

// Bins of n rows in each of `groupings`, n [groupings] numbers of `bytes` bytes each; what is not below n_bins leaves the
// row out. `index` null: rows 0 to n - 1, else rows index[i] < n_rows of both `rows` and `bins`.
struct Bins {
  const void* numbers;
  std::size_t bytes;  // 1, 2, 4 or 8, signed
  std::size_t groupings, n_bins;
  const std::int64_t* index;
  std::size_t n;
};

// out[g * n_bins + b] = product of the rows whose bin in grouping g is b, in Montgomery form. out must not overlap rows.
void scatter_mul(const Call& call, const Modulus& modulus, const Word* rows, const Bins& bins, Word* out);

// out[j] = product of rows[starts[i]] .. rows[j] in the segment i of j, in Montgomery form. out may be rows.
void cumulative_prod(const Call& call, const Modulus& modulus, const Word* rows, const std::int64_t* starts,
                     std::size_t n_segments, Word* out);

// out[i] = 1 / rows[i] in Montgomery form; false, and out untouched, where a row shares a factor with n. Variable
// time. out may be rows.
bool batch_inverse_vartime(const Call& call, const Modulus& modulus, const Word* rows, std::size_t n,
                           Word* out);

// Powers base_t^d, d < 2^window, of n bases in Montgomery form, in a backend's own form; see TableJob. Wiped at the end.
class Tables {
 public:
  Tables(const Call& call, const Modulus& modulus, const Word* bases, std::size_t n, std::size_t window,
         bool vartime);

  const Impl& impl() const noexcept { return impl_; }
  std::size_t n() const noexcept { return n_; }
  std::size_t window() const noexcept { return window_; }
  bool vartime() const noexcept { return vartime_; }
  std::size_t n_bytes() const noexcept { return n_bytes_; }
  const Word* words() const noexcept { return words_.get(); }

 private:
  const Impl& impl_;
  std::size_t n_, window_;
  bool vartime_;
  std::size_t n_bytes_;
  struct Release {
    std::size_t n_bytes;
    void operator()(Word* words) const noexcept;
  };
  std::unique_ptr<Word, Release> words_;
};

// Tables of base^(d * 2^(window * t)) for all digits d of all windows t of an exponent. Read-only once made, so
// threads may share it. The modulus must outlive it.
class FixedBase {
 public:
  // `base` in Montgomery form. With `vartime` the window is most_bits and powm looks up directly; else what is quickest up
  // to that.
  FixedBase(const Call& call, const Modulus& modulus, const Word* base, std::size_t exponent_bits,
            std::size_t most_bits, bool vartime);
  std::size_t n_bytes() const noexcept { return tables_.n_bytes(); }
  std::size_t limbs() const noexcept { return modulus_.limbs(); }
  // out[i] = base^exponents[i]; exponents are below 2^exponent_bits.
  void powm(int threads, const Word* exponents, std::size_t exponent_limbs, Word* out, std::size_t n,
            bool montgomery) const;

 private:
  static Tables make_tables(const Call& call, const Modulus& modulus, const Word* base,
                            std::size_t exponent_bits, std::size_t window, bool vartime);

  const Modulus& modulus_;
  Tables tables_;
};

// out[i] = factor * product over t < k of bases[t]^exponents[i * k + t], exponents below 2^exponent_bits <= 2^64,
// Montgomery form in and out; factor null: one. Constant-time in the exponents.
void multi_powm(const Call& call, const Modulus& modulus, const Word* bases, std::size_t k,
                const Word* exponents, std::size_t exponent_bits, const Word* factor, Word* out,
                std::size_t n);

// What it takes, in products.
double multi_powm_products(const Call& call, const Modulus& modulus, std::size_t k, std::size_t exponent_bits,
                           std::size_t n);

// For benchmarks: the rate of the multipliers, from registers to registers. Returns the number of products, of 52-bit
// lanes where the backend multiplies such and of 64-bit words where not.
std::size_t measure_products(const Call& call, std::size_t repeats);

// Rows of `crypsis backends`, best first.
std::vector<BackendStatus> backends();

// The backend a call with this name gets.
const Impl& select(std::string_view backend);

}  // namespace crypsis::bigint
