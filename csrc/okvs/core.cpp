// SPDX-License-Identifier: Apache-2.0
// Elimination of the rows that peeling leaves: over GF(2) in the sparse columns, and of the sums of rows that vanish
// there over the field in the dense ones.
#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "okvs/element.h"
#include "okvs/solve.h"

namespace crypsis::okvs {
namespace {

using bitmatrix::load_le64;
using bitmatrix::store_le64;
using Field128 = bitmatrix::Gf128Portable;

// Arithmetic of the shape's field.
struct Field {
  int bits;
  std::size_t bytes() const { return static_cast<std::size_t>(bits) / 8; }

  Element load(const std::uint8_t* from) const {
    return {load_le64(from), bits == 128 ? load_le64(from + 8) : 0};
  }
  void store(std::uint8_t* to, Element a) const {
    store_le64(to, a.low);
    if (bits == 128) store_le64(to + 8, a.high);
  }
  Element multiply(Element a, Element b) const {
    return bits == 128 ? Field128::mul(a, b) : Element{multiply64(a.low, b.low), 0};
  }
  // a^(2^bits - 2).
  Element inverse(Element a) const {
    Element result{1, 0};
    for (int i = 1; i < bits; ++i) {
      a = multiply(a, a);
      result = multiply(result, a);
    }
    return result;
  }
};

bool is_zero(Element a) {
  return (a.low | a.high) == 0;
}

[[noreturn]] void fail(const Bin& bin, const std::string& why) {
  throw EncodeFailure("bin " + std::to_string(bin.number) + " of " + std::to_string(bin.n) +
                      " keys has no table: " + why + "; give distinct keys, or another seed");
}

class Core {
 public:
  Core(const Impl& impl, const HashKeys& keys, const Shape& shape, const Bin& bin,
       const std::vector<std::uint16_t>& rows)
      : shape_(shape), bin_(bin), field_{shape.field}, dense_(shape.dense), pivots_(shape.dense) {
    const std::size_t n = rows.size();
    std::vector<std::uint8_t> some(kKeyBytes * n), elements(16 * n);
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(some.data() + kKeyBytes * i, bin.keys + kKeyBytes * rows[i], kKeyBytes);
    }
    std::vector<Columns> columns(n);
    impl.columns(keys.columns, shape.sparse, some.data(), n, columns.data());
    impl.hash(keys.element, some.data(), n, elements.data());

    for (const Columns c : columns) {
      for (unsigned shift = 0; shift < 48; shift += 16)
        places_.push_back(static_cast<std::uint16_t>(c >> shift));
    }
    std::sort(places_.begin(), places_.end());
    places_.erase(std::unique(places_.begin(), places_.end()), places_.end());
    n_words_ = (places_.size() + 63) / 64;
    pivot_of_.assign(places_.size(), nullptr);

    rows_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      Row& row = rows_[i];
      row.bits.resize(n_words_);
      for (unsigned shift = 0; shift < 48; shift += 16) {
        const auto place =
            static_cast<std::size_t>(std::lower_bound(places_.begin(), places_.end(),
                                                      static_cast<std::uint16_t>(columns[i] >> shift)) -
                                     places_.begin());
        row.bits[place / 64] |= std::uint64_t{1} << (place % 64);
      }
      row.value = field_.load(bin.values + field_.bytes() * rows[i]);
      const Element r = field_.load(elements.data() + 16 * i);
      Element power = r;
      for (std::size_t j = 0; j < shape.dense; ++j) {
        row.dense.push_back(power);
        power = field_.multiply(power, r);
      }
    }
  }

  void solve() {
    for (Row& row : rows_) {
      if (!reduce(row)) add_gap(row);
    }
    solve_dense();
    solve_sparse();
  }

 private:
  struct Row {
    std::vector<std::uint64_t> bits;  // of places_
    std::vector<Element> dense;       // coefficients of the dense columns
    Element value;
  };

  // Adds earlier rows until the lowest place left is the pivot of none; false where no place is left.
  bool reduce(Row& row) {
    for (std::size_t w = 0; w < n_words_; ++w) {
      while (row.bits[w] != 0) {
        const std::size_t place = 64 * w + static_cast<std::size_t>(std::countr_zero(row.bits[w]));
        const Row* const pivot = pivot_of_[place];
        if (pivot == nullptr) {
          pivot_of_[place] = &row;
          return true;
        }
        for (std::size_t i = w; i < n_words_; ++i) row.bits[i] ^= pivot->bits[i];
        for (std::size_t j = 0; j < row.dense.size(); ++j)
          row.dense[j] = Field128::add(row.dense[j], pivot->dense[j]);
        row.value = Field128::add(row.value, pivot->value);
      }
    }
    return false;
  }

  // A row without sparse columns: the same over the field. One that vanishes altogether (a key and its value twice) asks
  // for nothing.
  void add_gap(Row& row) {
    for (std::size_t j = 0; j < row.dense.size(); ++j) {
      const Element leading = row.dense[j];
      if (is_zero(leading)) continue;
      if (pivots_[j] == nullptr) {
        const Element inverse = field_.inverse(leading);
        for (Element& coefficient : row.dense) coefficient = field_.multiply(coefficient, inverse);
        row.value = field_.multiply(row.value, inverse);
        pivots_[j] = &row;
        return;
      }
      for (std::size_t i = j; i < row.dense.size(); ++i) {
        row.dense[i] = Field128::add(row.dense[i], field_.multiply(leading, pivots_[j]->dense[i]));
      }
      row.value = Field128::add(row.value, field_.multiply(leading, pivots_[j]->value));
    }
    if (!is_zero(row.value)) {
      fail(bin_, "its equations contradict each other in " + std::to_string(shape_.dense) + " dense columns");
    }
  }

  // Free columns keep what stands in the table.
  void solve_dense() {
    std::uint8_t* const table = bin_.table + field_.bytes() * shape_.sparse;
    for (std::size_t j = shape_.dense; j-- > 0;) {
      dense_[j] = field_.load(table + field_.bytes() * j);
      if (pivots_[j] == nullptr) continue;
      dense_[j] = pivots_[j]->value;
      for (std::size_t i = j + 1; i < shape_.dense; ++i) {
        dense_[j] = Field128::add(dense_[j], field_.multiply(pivots_[j]->dense[i], dense_[i]));
      }
      field_.store(table + field_.bytes() * j, dense_[j]);
    }
  }

  void solve_sparse() {
    for (std::size_t place = places_.size(); place-- > 0;) {
      const Row* const row = pivot_of_[place];
      if (row == nullptr) continue;
      Element sum = row->value;
      for (std::size_t j = 0; j < shape_.dense; ++j) {
        sum = Field128::add(sum, field_.multiply(row->dense[j], dense_[j]));
      }
      for (std::size_t w = place / 64; w < n_words_; ++w) {
        std::uint64_t bits = row->bits[w];
        if (w == place / 64) bits &= bits - 1;  // the place itself is its lowest
        for (; bits != 0; bits &= bits - 1) {
          const std::size_t other = 64 * w + static_cast<std::size_t>(std::countr_zero(bits));
          sum = Field128::add(sum, field_.load(bin_.table + field_.bytes() * places_[other]));
        }
      }
      field_.store(bin_.table + field_.bytes() * places_[place], sum);
    }
  }

  const Shape& shape_;
  const Bin& bin_;
  Field field_;
  std::vector<std::uint16_t> places_;  // the columns in these rows, ascending
  std::size_t n_words_ = 0;
  std::vector<Row> rows_;
  std::vector<const Row*> pivot_of_;  // by place
  std::vector<Element> dense_;
  std::vector<const Row*> pivots_;  // by dense column; scaled so that the coefficient there is one
};

}  // namespace

void solve_core(const Impl& impl, const HashKeys& keys, const Shape& shape, const Bin& bin,
                const std::vector<std::uint16_t>& rows) {
  if (rows.size() > kMaxCoreRows) {
    fail(bin,
         std::to_string(rows.size()) + " rows are left after peeling, above " + std::to_string(kMaxCoreRows));
  }
  Core(impl, keys, shape, bin, rows).solve();
}

}  // namespace crypsis::okvs
