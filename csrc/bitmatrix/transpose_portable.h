// SPDX-License-Identifier: Apache-2.0
// Transposes of 128 x 512 bits in plain C++, for use inside the kernels of any slug. Constant-time. The same
// bits on machines of either byte order.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace crypsis::bitmatrix {
namespace {

inline std::uint64_t load_le64(const std::uint8_t* from) {
  std::uint64_t x = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&x, from, sizeof x);
  } else {
    for (int i = 0; i < 8; ++i) x |= std::uint64_t{from[i]} << (8 * i);
  }
  return x;
}

inline void store_le64(std::uint8_t* to, std::uint64_t x) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(to, &x, sizeof x);
  } else {
    for (int i = 0; i < 8; ++i) to[i] = static_cast<std::uint8_t>(x >> (8 * i));
  }
}

// One step: the off-diagonal quarters of every square of 2 kSide rows and columns change places [Warren,
// 7-3].
template <int kSide>
inline void exchange_quarters(std::uint64_t (&x)[64], std::uint64_t low_half) {
  for (int base = 0; base < 64; base += 2 * kSide) {
    for (int i = base; i < base + kSide; ++i) {
      const std::uint64_t differ = ((x[i] >> kSide) ^ x[i + kSide]) & low_half;
      x[i + kSide] ^= differ;
      x[i] ^= differ << kSide;
    }
  }
}

// Bit j of word i becomes bit i of word j.
inline void transpose_64(std::uint64_t (&x)[64]) {
  exchange_quarters<32>(x, 0x00000000ffffffffULL);
  exchange_quarters<16>(x, 0x0000ffff0000ffffULL);
  exchange_quarters<8>(x, 0x00ff00ff00ff00ffULL);
  exchange_quarters<4>(x, 0x0f0f0f0f0f0f0f0fULL);
  exchange_quarters<2>(x, 0x3333333333333333ULL);
  exchange_quarters<1>(x, 0x5555555555555555ULL);
}

struct TransposePortable {
  static constexpr std::size_t kColumns = 512;
  // `line` as in transpose_avx2.h.
  struct Scratch {
    std::uint64_t square[64];
    alignas(64) std::uint8_t line[128][64];
  };

  // As in transpose_avx512.h.
  static void rows_to_blocks(const std::uint8_t* rows, std::size_t row_stride, std::uint8_t* blocks,
                             std::size_t block_stride, Scratch& scratch) {
    for (std::size_t r = 0; r < 128; ++r) std::memcpy(scratch.line[r], rows + r * row_stride, 64);
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t c = 0; c < 8; ++c) {
        for (std::size_t i = 0; i < 64; ++i) {
          scratch.square[i] = load_le64(scratch.line[64 * half + i] + 8 * c);
        }
        transpose_64(scratch.square);
        for (std::size_t i = 0; i < 64; ++i) {
          store_le64(blocks + (64 * c + i) * block_stride + 8 * half, scratch.square[i]);
        }
      }
    }
  }

  static void blocks_to_rows(const std::uint8_t* blocks, std::size_t block_stride, std::uint8_t* rows,
                             std::size_t row_stride, Scratch& scratch) {
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t c = 0; c < 8; ++c) {
        for (std::size_t i = 0; i < 64; ++i) {
          scratch.square[i] = load_le64(blocks + (64 * c + i) * block_stride + 8 * half);
        }
        transpose_64(scratch.square);
        for (std::size_t i = 0; i < 64; ++i) {
          store_le64(scratch.line[64 * half + i] + 8 * c, scratch.square[i]);
        }
      }
    }
    for (std::size_t r = 0; r < 128; ++r) std::memcpy(rows + r * row_stride, scratch.line[r], 64);
  }
};

}  // namespace
}  // namespace crypsis::bitmatrix
