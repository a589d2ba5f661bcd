// SPDX-License-Identifier: Apache-2.0
// The primal encoder [YWL+20]: ten random blocks of a table to an output, for any instruction set. `Isa` gives Blocks,
// RoundKeys and encrypt for the public matrix, and Lane: one block in the registers that loads of 16 bytes go to.
//
// The reads of one output do not depend on each other nor on those of the next, so the processor has as many under way
// as it has line buffers; the positions of a batch lie ready in the first-level cache, so that nothing else waits.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "aes/key_schedule.h"
#include "vole/lpn.h"
#include "vole/vole.h"

namespace crypsis::vole {
namespace {

// Blocks [first, first + n) of the key stream of AES in counter mode: block c is AES(c as a little-endian integer).
// n is a multiple of a batch that the caller rounds up to: kStreamUnit blocks.
template <class Isa>
struct PublicStream {
  using Blocks = typename Isa::Blocks;
  static constexpr int kWide = Isa::kWide;
  static constexpr std::size_t kUnit = kWide * Blocks::kBlocks;

  static void fill(const typename Isa::RoundKeys& keys, std::uint64_t first, std::size_t n,
                   std::uint8_t* out) {
    for (std::size_t at = 0; at < n; at += kUnit) {
      Blocks x[kWide];
      for (int r = 0; r < kWide; ++r) x[r] = Blocks::sequence(first + at + r * Blocks::kBlocks, 0);
      Isa::encrypt(keys, x);
      for (int r = 0; r < kWide; ++r) x[r].store(out + (at + r * Blocks::kBlocks) * kBlockBytes);
    }
  }
};

template <class Isa>
struct PrimalLpn {
  using Lane = typename Isa::Lane;
  // A multiple of four rows whose 320 (or 640) blocks of stream are whole units in every backend; 5 KiB of positions.
  static constexpr std::size_t kBatchRows = 256;

  // Ten words a row, four rows to whole blocks; Word is 16 bits where a position fits, else 32.
  template <class Word>
  static constexpr std::size_t stream_blocks(std::size_t rows) {
    return rows * kPrimalWeight * sizeof(Word) / kBlockBytes;
  }

  template <class Word>
  struct Batch {
    alignas(64) Word words[kBatchRows * kPrimalWeight];

    // n_rows is a multiple of four or the end of a call: a last group is drawn in full.
    void draw(const typename Isa::RoundKeys& keys, std::uint64_t first_row, Word mask) {
      static_assert(stream_blocks<Word>(kBatchRows) % PublicStream<Isa>::kUnit == 0);
      PublicStream<Isa>::fill(keys, stream_blocks<Word>(first_row), stream_blocks<Word>(kBatchRows),
                              reinterpret_cast<std::uint8_t*>(words));
      for (Word& word : words) word = static_cast<Word>(Isa::little_endian(word) & mask);
    }
  };

  template <class Word>
  static void encode_words(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                           const std::uint8_t* table, unsigned log_table, std::uint8_t* out,
                           std::uint8_t* bits) {
    const typename Isa::RoundKeys keys(key);
    const Word mask = static_cast<Word>((std::uint64_t{1} << log_table) - 1);
    Batch<Word> batch;
    for (std::size_t done = 0; done < n_rows; done += kBatchRows) {
      batch.draw(keys, first_row + done, mask);
      const std::size_t stop = std::min(kBatchRows, n_rows - done);
      gather(batch.words, stop, table, out + done * kBlockBytes);
      if (bits != nullptr) low_bits(out + done * kBlockBytes, stop, bits + done / 8);
    }
  }

  // The lowest bits of n blocks that are still in the first-level cache, packed; the unused ones of the last byte are 0.
  static void low_bits(const std::uint8_t* blocks, std::size_t n, std::uint8_t* bits) {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8, blocks += 8 * kBlockBytes) {
      unsigned byte = 0;
#pragma GCC unroll 8
      for (unsigned b = 0; b < 8; ++b) byte |= (blocks[b * kBlockBytes] & 1u) << b;
      *bits++ = static_cast<std::uint8_t>(byte);
    }
    if (i == n) return;
    unsigned byte = 0;
    for (unsigned b = 0; i + b < n; ++b) byte |= (blocks[b * kBlockBytes] & 1u) << b;
    *bits = static_cast<std::uint8_t>(byte);
  }

  template <class Word>
  static void gather(const Word* words, std::size_t n_rows, const std::uint8_t* table, std::uint8_t* out) {
    for (std::size_t i = 0; i < n_rows; ++i) {
      const Word* const at = words + i * kPrimalWeight;
      Lane even = Lane::load(out + i * kBlockBytes);
      Lane odd = Lane::load(table + std::size_t{at[0]} * kBlockBytes);
      even ^= Lane::load(table + std::size_t{at[1]} * kBlockBytes);
#pragma GCC unroll 4
      for (std::size_t j = 2; j < kPrimalWeight; j += 2) {
        odd ^= Lane::load(table + std::size_t{at[j]} * kBlockBytes);
        even ^= Lane::load(table + std::size_t{at[j + 1]} * kBlockBytes);
      }
      even ^= odd;
      even.store(out + i * kBlockBytes);
    }
  }

  static void encode(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                     const std::uint8_t* table, unsigned log_table, std::uint8_t* out, std::uint8_t* bits) {
    if (log_table <= 16) {
      encode_words<std::uint16_t>(key, first_row, n_rows, table, log_table, out, bits);
    } else {
      encode_words<std::uint32_t>(key, first_row, n_rows, table, log_table, out, bits);
    }
  }

  template <class Word>
  static void copy_positions(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                             unsigned log_table, std::uint32_t* positions) {
    const typename Isa::RoundKeys keys(key);
    Batch<Word> batch;
    for (std::size_t done = 0; done < n_rows; done += kBatchRows) {
      batch.draw(keys, first_row + done, static_cast<Word>((std::uint64_t{1} << log_table) - 1));
      const std::size_t n_words = std::min(kBatchRows, n_rows - done) * kPrimalWeight;
      std::copy_n(batch.words, n_words, positions + done * kPrimalWeight);
    }
  }

  static void positions(const aes::KeySchedule& key, std::uint64_t first_row, std::size_t n_rows,
                        unsigned log_table, std::uint32_t* out) {
    if (log_table <= 16) {
      copy_positions<std::uint16_t>(key, first_row, n_rows, log_table, out);
    } else {
      copy_positions<std::uint32_t>(key, first_row, n_rows, log_table, out);
    }
  }

  // The limit that the encoder is compared with: its reads alone, with the same positions again and again.
  static std::size_t measure(const aes::KeySchedule& key, const std::uint8_t* table, unsigned log_table,
                             std::size_t n_rows, std::size_t repeats) {
    const typename Isa::RoundKeys keys(key);
    Batch<std::uint32_t> batch;
    alignas(64) std::uint8_t out[kBatchRows * kBlockBytes] = {};
    std::size_t reads = 0;
    const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << log_table) - 1);
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
      for (std::size_t row = 0; row < n_rows; row += kBatchRows) {
        if (repeat == 0 && row == 0) batch.draw(keys, 0, mask);
        // Other lines each time, at the price of one operation: the table is read at positions ^ row.
        for (std::uint32_t& word : batch.words) word = (word + 0x9e3779b1u) & mask;
        gather(batch.words, kBatchRows, table, out);
        reads += kBatchRows * kPrimalWeight;
      }
    }
    // The sum keeps the compiler from leaving the reads out.
    return reads + (Lane::load(out).is_zero() ? 1 : 0);
  }
};

}  // namespace
}  // namespace crypsis::vole
