// SPDX-License-Identifier: Apache-2.0
#include "okvs/solve.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/wipe.h"

namespace crypsis::okvs {
namespace {

// A column's word is the sum of its rows, by parts:
//   bits 0 to 15 and 16 to 31: xor of the two columns that follow in the row's cycle of three,
//   bits 32 to 47: xor of the rows' ids, bits 48 to 63: their number.
// With one row left the word is that row: no list of rows is kept and none is looked up.
constexpr unsigned kIdShift = 32, kCountShift = 48;
constexpr std::uint64_t kOneRow = std::uint64_t{1} << kCountShift, kRowBits = kOneRow - 1;

constexpr std::size_t kBlockRows = 256;  // whose columns are in work at once

void add_rows(const Impl& impl, const aes::KeySchedule& key, std::size_t sparse, const Bin& bin,
              std::uint64_t* state) {
  Columns columns[kBlockRows];
  for (std::size_t at = 0; at < bin.n; at += kBlockRows) {
    const std::size_t some = std::min(kBlockRows, bin.n - at);
    impl.columns(key, sparse, bin.keys + kKeyBytes * at, some, columns);
    for (std::size_t i = 0; i < some; ++i) {
      const Columns row = columns[i];
      const std::uint64_t a = row & 0xffff, b = (row >> 16) & 0xffff, c = row >> 32;
      const std::uint64_t id = std::uint64_t{at + i} << kIdShift;
      state[a] = (state[a] ^ (row >> 16) ^ id) + kOneRow;
      state[b] = (state[b] ^ (c | a << 16) ^ id) + kOneRow;
      state[c] = (state[c] ^ (row & 0xffffffff) ^ id) + kOneRow;
    }
  }
  secure_wipe(columns, sizeof columns);
}

constexpr std::size_t kPeelAhead = 4;

// Takes rows that are alone in a column, first come first served, until none is; returns their number. A record is the
// column's word with the column in place of the count.
std::size_t peel(std::uint64_t* state, std::size_t sparse, std::uint16_t* queue, std::uint64_t* records) {
  std::size_t head = 0, tail = 0, n_records = 0;
  for (std::size_t column = 0; column < sparse; ++column) {
    queue[tail] = static_cast<std::uint16_t>(column);
    tail += (state[column] >> kCountShift) == 1;
  }
  for (; head < tail; ++head) {
    // The words that a later column will change; after the queue's end stand columns of another bin, which does no harm.
    const std::uint64_t later = state[queue[head + kPeelAhead]];
    __builtin_prefetch(state + (later & 0xffff));
    __builtin_prefetch(state + ((later >> 16) & 0xffff));
    const std::uint64_t column = queue[head], word = state[column];
    if (word >> kCountShift != 1) continue;  // its last row went by another column
    const std::uint64_t next = word & 0xffff, last = (word >> 16) & 0xffff;
    const std::uint64_t id = word & (std::uint64_t{0xffff} << kIdShift);
    records[n_records++] = (word & kRowBits) | column << kCountShift;
    const std::uint64_t next_word = (state[next] ^ (last | column << 16 | id)) - kOneRow;
    state[next] = next_word;
    queue[tail] = static_cast<std::uint16_t>(next);
    tail += (next_word >> kCountShift) == 1;
    const std::uint64_t last_word = (state[last] ^ (column | next << 16 | id)) - kOneRow;
    state[last] = last_word;
    queue[tail] = static_cast<std::uint16_t>(last);
    tail += (last_word >> kCountShift) == 1;
  }
  return n_records;
}

// The ids that no record has, ascending.
std::vector<std::uint16_t> missing(const std::uint64_t* records, std::size_t n_records, std::size_t n) {
  std::vector<bool> seen(n);
  for (std::size_t i = 0; i < n_records; ++i) seen[(records[i] >> kIdShift) & 0xffff] = true;
  std::vector<std::uint16_t> ids;
  for (std::size_t id = 0; id < n; ++id) {
    if (!seen[id]) ids.push_back(static_cast<std::uint16_t>(id));
  }
  return ids;
}

// Records whose value is fetched ahead: values come from outside in no order that the CPU could foresee.
constexpr std::size_t kAhead = 24;

// Last peeled first: the other two columns of a row have their values by then.
template <std::size_t kBytes>
void substitute(const std::uint64_t* records, std::size_t n_records, const std::uint8_t* values,
                std::uint8_t* table) {
  typedef std::uint64_t Row __attribute__((vector_size(kBytes)));
  const auto load = [](const std::uint8_t* from, std::uint64_t index) {
    Row row;
    std::memcpy(&row, from + kBytes * (index & 0xffff), kBytes);
    return row;
  };
  for (std::size_t i = n_records; i-- > 0;) {
    const std::uint64_t record = records[i];
    if (i >= kAhead) __builtin_prefetch(values + kBytes * ((records[i - kAhead] >> kIdShift) & 0xffff));
    const Row sum = load(values, record >> kIdShift) ^ load(table, record) ^ load(table, record >> 16);
    std::memcpy(table + kBytes * (record >> kCountShift), &sum, kBytes);
  }
}

struct Memory {
  std::vector<std::uint64_t> state, records;
  std::vector<std::uint16_t> queue;
  std::vector<std::uint8_t> values;
};
thread_local Memory memory;

// At least n elements, the new ones zero.
template <class T>
void grow(std::vector<T>& vector, std::size_t n) {
  if (vector.size() < n) vector.resize(n);
}

}  // namespace

// The queue: one place after all columns is written to, and kPeelAhead more are read. The state: columns summed by xor
// stay below the power of two, where there is memory to fetch ahead.
Scratch::Scratch(const Shape& shape)
    : state_(memory.state),
      queue_(memory.queue),
      records_(memory.records),
      values_(memory.values),
      n_state_(std::bit_ceil(shape.sparse)),
      n_queue_(shape.sparse + 1 + kPeelAhead),
      n_records_(shape.n_items) {
  grow(state_, n_state_);
  grow(queue_, n_queue_);
  grow(records_, n_records_);
}

Scratch::~Scratch() {
  secure_wipe(state_.data(), n_state_ * sizeof state_[0]);
  secure_wipe(queue_.data(), n_queue_ * sizeof queue_[0]);
  secure_wipe(records_.data(), n_records_ * sizeof records_[0]);
  secure_wipe(values_.data(), n_values_);
}

std::uint8_t* Scratch::values(std::size_t n_bytes) {
  n_values_ = n_bytes;
  grow(values_, n_bytes);
  return values_.data();
}

void encode_bin(const Impl& impl, const HashKeys& keys, const Shape& shape, const Bin& bin,
                Scratch& scratch) {
  const Width width = shape.field == 128 ? Width::k128 : Width::k64;
  const std::size_t n_bytes = bytes_of(width), table_bytes = shape.columns() * n_bytes;
  std::uint64_t* const records = scratch.records();
  std::fill_n(scratch.state(), shape.sparse, 0);
  add_rows(impl, keys.columns, shape.sparse, bin, scratch.state());
  const std::size_t n_records = peel(scratch.state(), shape.sparse, scratch.queue(), records);

  if (bin.fill == nullptr) {
    std::memset(bin.table, 0, table_bytes);
  } else {
    std::memcpy(bin.table, bin.fill, table_bytes);
  }
  if (n_records < bin.n) solve_core(impl, keys, shape, bin, missing(records, n_records, bin.n));

  const std::uint8_t* values = bin.values;
  const std::uint8_t* const dense = bin.table + shape.sparse * n_bytes;
  const std::uint8_t* const end = bin.table + table_bytes;
  if (std::any_of(dense, end, [](std::uint8_t byte) { return byte != 0; })) {
    Dense given{shape.dense, {}};
    for (std::size_t j = 0; j < shape.dense; ++j) {
      std::memcpy(given.elements[j], dense + j * n_bytes, n_bytes);
      std::memcpy(given.elements[j] + 16 - n_bytes, dense + j * n_bytes, n_bytes);
    }
    std::uint8_t* const rest = scratch.values(shape.n_items * n_bytes);
    impl.add_dense(keys.element, width, given, bin.keys, bin.n, bin.values, rest);
    values = rest;
  }
  if (width == Width::k128) {
    substitute<16>(records, n_records, values, bin.table);
  } else {
    substitute<8>(records, n_records, values, bin.table);
  }
}

}  // namespace crypsis::okvs
