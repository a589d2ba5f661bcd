// SPDX-License-Identifier: Apache-2.0
// One bin's table: peeling in plain C++ for every backend, so that all give the same table; what a backend does faster
// comes through its Impl. NOTES.md defines the result.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "okvs/impl.h"

namespace crypsis::okvs {

// Memory of one thread; it holds what follows from the keys and values, and wipes it.
class Scratch {
 public:
  explicit Scratch(const Shape& shape);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::vector<std::uint64_t> state;    // a word a sparse column: see solve.cpp
  std::vector<std::uint16_t> queue;    // columns that had one row left
  std::vector<std::uint64_t> records;  // a word a peeled row
  std::vector<std::uint8_t> values;    // of the rows, less the dense columns' part
};

struct Bin {
  std::size_t number;
  const std::uint8_t* keys;
  std::size_t n;
  const std::uint8_t* values;
  const std::uint8_t* fill;  // or nullptr
  std::uint8_t* table;
};

// Throws EncodeFailure.
void encode_bin(const Impl& impl, const HashKeys& keys, const Shape& shape, const Bin& bin, Scratch& scratch);

// The rows that peeling leaves, by elimination: writes the columns among them that get a value and all dense columns of
// the bin's table, in which the other columns stand already. `rows`: their ids, ascending. Throws EncodeFailure.
void solve_core(const Impl& impl, const HashKeys& keys, const Shape& shape, const Bin& bin,
                const std::vector<std::uint16_t>& rows);

}  // namespace crypsis::okvs
