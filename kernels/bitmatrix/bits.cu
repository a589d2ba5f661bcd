// SPDX-License-Identifier: Apache-2.0
// Bits of a matrix on a device: csrc/bitmatrix/bitmatrix.h's transpose, and bits in bytes. Least significant bit of a byte
// first.
//
// transpose, transpose_wide, transpose_tall    a tile of 256 x 256, 128 x 256 or 256 x 128 bits (rows x columns) a warp
// pack_bits, unpack_bits                       a packed byte a thread and turn
// check_padding                                that the bits after the last of each row are zero
//
// Arrays begin at any byte. Blocks of 256 threads, one-dimensional grids of any size. Time depends on sizes alone.
#include "common/arith.cuh"
#include "common/bytes.cuh"
#include "common/errors.cuh"
#include "common/types.cuh"

constexpr u32 kWarpLanes = 32;

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ u64 n_threads() {
  return static_cast<u64>(gridDim.x) * blockDim.x;
}

// Word of lane i, bit j, to word of lane j, bit i. Five rounds, each for one bit of i and j: the halves of the word that
// do not belong here are another lane's.
__device__ __forceinline__ u32 transpose_word(u32 x, u32 lane) {
  // Whole bytes: one permutation. Bytes 0 to 3 are ours, 4 to 7 the other lane's.
  u32 other = __shfl_xor_sync(kFullWarp, x, 16);
  x = __byte_perm(x, other, (lane & 16) != 0 ? 0x3276 : 0x5410);
  other = __shfl_xor_sync(kFullWarp, x, 8);
  x = __byte_perm(x, other, (lane & 8) != 0 ? 0x3715 : 0x6240);
  const u32 kept[3] = {0x0f0f0f0f, 0x33333333, 0x55555555};
#pragma unroll
  for (u32 i = 0; i < 3; ++i) {
    const u32 distance = 4u >> i;
    const bool upper = (lane & distance) != 0;
    const u32 mask = upper ? ~kept[i] : kept[i];
    other = __shfl_xor_sync(kFullWarp, x, static_cast<int>(distance));
    // What wraps around lands where the mask is.
    x = (x & mask) | (rotate_left(other, upper ? 32 - distance : distance) & ~mask);
  }
  return x;
}

// n_rows rows of row_bytes bytes.
struct Matrix {
  u64 n_rows, row_bytes;
  u32 aligned;  // 1: rows begin at multiples of 16

  // w = the 16 kPieces bytes of `row` from `column`, zeros outside.
  template <u32 kPieces>
  __device__ __forceinline__ void load(u32* w, const u8* from, u64 row, u64 column) const {
#pragma unroll
    for (u32 piece = 0; piece < kPieces; ++piece) {
#pragma unroll
      for (u32 j = 0; j < 4; ++j) w[4 * piece + j] = 0;
      const u64 at = column + 16 * piece;
      if (row >= n_rows || at >= row_bytes) continue;
      const u8* const bytes = from + row * row_bytes + at;
      const u64 rest = row_bytes - at;
      if (aligned != 0) {
        load_words<4>(w + 4 * piece, bytes);
      } else {
#pragma unroll
        for (u32 i = 0; i < 16; ++i) {
          if (i < rest) w[4 * piece + i / 4] |= static_cast<u32>(bytes[i]) << (8 * (i % 4));
        }
      }
    }
  }

  template <u32 kPieces>
  __device__ __forceinline__ void store(u8* to, const u32* w, u64 row, u64 column) const {
#pragma unroll
    for (u32 piece = 0; piece < kPieces; ++piece) {
      const u64 at = column + 16 * piece;
      if (row >= n_rows || at >= row_bytes) continue;
      u8* const bytes = to + row * row_bytes + at;
      const u64 rest = row_bytes - at;
      if (aligned != 0) {
        store_words<4>(bytes, w + 4 * piece);
      } else {
#pragma unroll
        for (u32 i = 0; i < 16; ++i) {
          if (i < rest) bytes[i] = static_cast<u8>(w[4 * piece + i / 4] >> (8 * (i % 4)));
        }
      }
    }
  }
};

// Tiles of 128 kRows x 128 kColumns bits. Lane i takes rows 32 g + i of a tile, 16 kColumns bytes of each, and gives
// columns 32 b + i, 16 kRows bytes of each: with 2 those are whole sectors of memory.
template <u32 kRows, u32 kColumns>
__device__ __forceinline__ void transpose_tiles(u8* out, const u8* in, const Matrix& from, const Matrix& to) {
  constexpr u32 kGroups = 4 * kRows, kWords = 4 * kColumns;
  const u32 lane = threadIdx.x % kWarpLanes;
  const u64 across = (from.row_bytes + 16 * kColumns - 1) / (16 * kColumns);
  const u64 down = (from.n_rows + 128 * kRows - 1) / (128 * kRows);
  const u64 step = n_threads() / kWarpLanes;
  for (u64 tile = thread_index() / kWarpLanes; tile < across * down; tile += step) {
    const u64 first_row = tile / across * (128 * kRows), first_byte = tile % across * (16 * kColumns);
    u32 w[kGroups][kWords];
#pragma unroll
    for (u32 g = 0; g < kGroups; ++g) from.load<kColumns>(w[g], in, first_row + 32 * g + lane, first_byte);
#pragma unroll
    for (u32 b = 0; b < kWords; ++b) {
      u32 column[kGroups];
#pragma unroll
      for (u32 g = 0; g < kGroups; ++g) column[g] = transpose_word(w[g][b], lane);
      to.store<kRows>(out, column, 8 * first_byte + 32 * b + lane, first_row / 8);
    }
  }
}

extern "C" __global__ void __launch_bounds__(256)
    transpose(u8* __restrict__ out, const u8* __restrict__ in, Matrix from, Matrix to) {
  transpose_tiles<2, 2>(out, in, from, to);
}

extern "C" __global__ void __launch_bounds__(256)
    transpose_wide(u8* __restrict__ out, const u8* __restrict__ in, Matrix from, Matrix to) {
  transpose_tiles<1, 2>(out, in, from, to);
}

extern "C" __global__ void __launch_bounds__(256)
    transpose_tall(u8* __restrict__ out, const u8* __restrict__ in, Matrix from, Matrix to) {
  transpose_tiles<2, 1>(out, in, from, to);
}

// Eight bits in bytes, four in each word, to a byte: the product puts bit 8 i at 28 + i, other bits below or out of the word.
__device__ __forceinline__ u32 packed(u32 low, u32 high) {
  return ((low & 0x01010101u) * 0x10204080u) >> 28 | ((high & 0x01010101u) * 0x10204080u) >> 28 << 4;
}

// Four bits to a word of bytes.
__device__ __forceinline__ u32 unpacked(u32 bits) {
  return (bits * 0x00204081u) & 0x01010101u;
}

// Rows of n bits in bytes to rows of ceil(n / 8) bytes; `out` null: looks at them only. A value above 1 is reported with
// row 0, for which one it is may be secret.
extern "C" __global__ void __launch_bounds__(256)
    pack_bits(u8* __restrict__ out, const u8* __restrict__ values, u64 rows, u64 n, u64* __restrict__ error) {
  const u64 width = (n + 7) / 8;
  u32 above = 0;
  for (u64 i = thread_index(); i < rows * width; i += n_threads()) {
    const u64 row = i / width, first = 8 * (i % width);
    const u8* const at = values + row * n + first;
    u32 w[2] = {0, 0};
    if (n - first >= 8) {
      load_words<2>(w, at);
    } else {
#pragma unroll
      for (u32 b = 0; b < 7; ++b) {
        if (b < n - first) w[b / 4] |= static_cast<u32>(at[b]) << (8 * (b % 4));
      }
    }
    above |= (w[0] | w[1]) & 0xfefefefeu;
    if (out != nullptr) out[i] = static_cast<u8>(packed(w[0], w[1]));
  }
  if (above != 0) raise_error(error, kErrorOutOfRange, 0);
}

// Rows of ceil(n / 8) bytes to rows of n bits in bytes.
extern "C" __global__ void __launch_bounds__(256)
    unpack_bits(u8* __restrict__ out, const u8* __restrict__ in, u64 rows, u64 n) {
  const u64 width = (n + 7) / 8;
  for (u64 i = thread_index(); i < rows * width; i += n_threads()) {
    const u64 row = i / width, first = 8 * (i % width);
    u8* const to = out + row * n + first;
    const u32 byte = in[i];
    const u32 w[2] = {unpacked(byte & 15), unpacked(byte >> 4)};
    if (n - first >= 8) {
      store_words<2>(to, w);
      continue;
    }
#pragma unroll
    for (u32 b = 0; b < 7; ++b) {
      if (b < n - first) to[b] = static_cast<u8>(w[b / 4] >> (8 * (b % 4)));
    }
  }
}

// The last byte of each row of ceil(n / 8) has no bits after the n-th; n is no multiple of 8.
extern "C" __global__ void __launch_bounds__(256)
    check_padding(const u8* __restrict__ in, u64 rows, u64 n, u64* __restrict__ error) {
  const u64 width = (n + 7) / 8;
  for (u64 row = thread_index(); row < rows; row += n_threads()) {
    if (in[row * width + width - 1] >> (n % 8) != 0) raise_error(error, kErrorOutOfRange, 0);
  }
}
