// SPDX-License-Identifier: Apache-2.0
// One bin's table: peeling in plain C++ for every backend, so that all give the same table; what a backend does faster
// comes through its Impl. NOTES.md defines the result.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "okvs/impl.h"

namespace crypsis::okvs {

// Memory that a thread keeps for its next call: fresh pages would cost a bin's encoding half its time. It holds what
// follows from keys and values only while a Scratch lives, one at a time in a thread: the destructor wipes it.
class Scratch {
 public:
  explicit Scratch(const Shape& shape);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::uint64_t* state() { return state_.data(); }      // a word a sparse column: see solve.cpp
  std::uint16_t* queue() { return queue_.data(); }      // columns that had one row left
  std::uint64_t* records() { return records_.data(); }  // a word a peeled row
  // Of the rows, less the dense columns' part; n_bytes is the same in every call.
  std::uint8_t* values(std::size_t n_bytes);

 private:
  std::vector<std::uint64_t>& state_;
  std::vector<std::uint16_t>& queue_;
  std::vector<std::uint64_t>& records_;
  std::vector<std::uint8_t>& values_;
  std::size_t n_state_, n_queue_, n_records_, n_values_ = 0;  // in use, all else is zero
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
