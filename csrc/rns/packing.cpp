// SPDX-License-Identifier: Apache-2.0
// Residues as a stream of bits, as they travel. One implementation: it is bound by memory and not by arithmetic.
#include <cstring>

#include "rns/rns.h"

namespace crypsis::rns {
namespace {

constexpr unsigned kWord = 64;

void put(std::uint8_t* out, std::size_t word, std::uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) out[8 * word + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint64_t get(const std::uint8_t* in, std::size_t word) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= std::uint64_t{in[8 * word + i]} << (8 * i);
  return value;
}

}  // namespace

std::size_t packed_words(std::size_t count, unsigned bits) {
  return (count + kWord - 1) / kWord * bits;
}

void pack(const Rows<const std::uint64_t>& in, unsigned bits, std::uint8_t* out) {
  std::uint64_t open = 0;  // of the word that is being filled
  unsigned filled = 0;     // its bits, below 64
  std::size_t word = 0;
  for (std::size_t row = 0; row < in.n_rows; ++row) {
    const std::uint64_t* const values = in.data + row * in.stride;
    for (std::size_t i = 0; i < in.length; ++i) {
      open |= values[i] << filled;
      filled += bits;
      if (filled < kWord) continue;
      put(out, word++, open);
      filled -= kWord;
      open = filled == 0 ? 0 : values[i] >> (bits - filled);
    }
  }
  const std::size_t end = packed_words(in.n_rows * in.length, bits);
  for (; word < end; ++word, open = 0) put(out, word, open);
}

Unpacked unpack(const std::uint8_t* in, std::uint64_t prime, unsigned bits, const Rows<std::uint64_t>& out) {
  const std::uint64_t mask = ~std::uint64_t{0} >> (kWord - bits);
  const std::size_t end = packed_words(out.n_rows * out.length, bits);
  std::uint64_t open = 0, above = 0;  // the word that is being read, from its next bit on
  unsigned left = 0;                  // its bits, below 64
  std::size_t word = 0;
  for (std::size_t row = 0; row < out.n_rows; ++row) {
    std::uint64_t* const values = out.data + row * out.stride;
    for (std::size_t i = 0; i < out.length; ++i) {
      std::uint64_t value = open;
      if (left < bits) {
        const std::uint64_t next = get(in, word++);
        value |= next << left;
        const unsigned taken = bits - left;  // 1 to `bits`
        open = next >> taken;
        left = kWord - taken;
      } else {
        open >>= bits;
        left -= bits;
      }
      values[i] = value & mask;
      above |= (prime - 1 - values[i]) >> (kWord - 1);
    }
  }
  std::uint64_t rest = open;
  for (; word < end; ++word) rest |= get(in, word);
  return {above == 0, rest == 0};
}

}  // namespace crypsis::rns
