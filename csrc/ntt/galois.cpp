// SPDX-License-Identifier: Apache-2.0
#include "ntt/galois.h"

#include <algorithm>
#include <cstddef>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>

#include "ntt/ntt.h"

namespace crypsis::ntt {
namespace {

using Table = std::shared_ptr<const std::vector<std::uint32_t>>;

// At N = 8192, making a table takes as long as some ten limbs' permutations.
class Cache {
 public:
  Table find(int log_n, std::uint64_t galois) {
    const std::scoped_lock lock(mutex_);
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->log_n != log_n || entry->galois != galois) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      return entries_.front().table;
    }
    return nullptr;
  }

  // Another thread may have put the same: then it is there twice until the older one goes.
  void put(int log_n, std::uint64_t galois, const Table& table) {
    const std::scoped_lock lock(mutex_);
    entries_.push_front({log_n, galois, table});
    for (n_words_ += table->size(); n_words_ > kMaxWords; entries_.pop_back()) {
      n_words_ -= entries_.back().table->size();
    }
  }

 private:
  struct Entry {
    int log_n;
    std::uint64_t galois;
    Table table;
  };
  static constexpr std::size_t kMaxWords = std::size_t{1} << 21;

  std::mutex mutex_;
  std::list<Entry> entries_;  // the one used last first
  std::size_t n_words_ = 0;
};

Table make_table(int log_n, std::uint64_t galois) {
  const std::size_t n = std::size_t{1} << log_n;
  std::vector<std::uint32_t> reversed(n, 0), table(n);
  for (std::size_t i = 1; i < n; ++i) {
    reversed[i] = static_cast<std::uint32_t>(reversed[i / 2] / 2 | (i & 1) << (log_n - 1));
  }
  // out[j] = a(y^galois), y = psi^(2 brev(j) + 1): where a has the exponent galois (2 brev(j) + 1) mod 2N.
  for (std::size_t j = 0; j < n; ++j) {
    const std::uint64_t exponent = galois * (2 * reversed[j] + 1) & (2 * n - 1);
    table[j] = reversed[exponent / 2];
  }
  return std::make_shared<const std::vector<std::uint32_t>>(std::move(table));
}

}  // namespace

void check_galois(int log_n, std::uint64_t galois) {
  if (galois % 2 == 0 || galois >> (log_n + 1) != 0) {
    throw std::invalid_argument("galois is " + std::to_string(galois) + ": give an odd number from 1 to " +
                                std::to_string((std::uint64_t{2} << log_n) - 1));
  }
}

Table shared_automorphism_table(int log_n, std::uint64_t galois) {
  static Cache cache;
  check_galois(log_n, galois);
  Table table = cache.find(log_n, galois);
  if (table == nullptr) {
    table = make_table(log_n, galois);
    cache.put(log_n, galois, table);
  }
  return table;
}

void automorphism_table(int log_n, std::uint64_t galois, std::uint32_t* table) {
  const Table made = shared_automorphism_table(log_n, galois);
  std::copy(made->begin(), made->end(), table);
}

}  // namespace crypsis::ntt
