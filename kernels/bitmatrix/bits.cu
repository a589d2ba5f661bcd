// SPDX-License-Identifier: Apache-2.0
// Bits of a matrix on a device: csrc/bitmatrix/bitmatrix.h's transpose, and bits in bytes. The least significant bit
// of a byte comes first.
//
// transpose, transpose_wide, transpose_tall    a tile of 256 x 256, 128 x 256 or 256 x 128 bits (rows x columns) a warp
// transpose_any                                a tile of 32 x 32 bits a warp, for rows of no whole pieces of 16 bytes
// pack_bits, unpack_bits                       a packed byte a thread and turn
// check_padding                                that the bits after the last of each row are zero
//
// Arrays begin at any byte but for the first three. Blocks of 256 threads, one-dimensional grids of any size. Time
// depends on sizes alone.
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

// Word of lane i, bit j, to word of lane j, bit i. Five rounds, one for each bit of i and j: the half of a word that
// does not belong here is the other lane's, and one comes back for it.
struct Transposer {
  u32 pick16, pick8;  // of our bytes 0 to 3 and the other lane's, 4 to 7
  u32 kept[3];        // for distances 4, 2, 1: our bits that stay
  u32 turn[3];        // how far the other's word is turned; what wraps around lands on bits that stay

  __device__ __forceinline__ explicit Transposer(u32 lane) {
    pick16 = (lane & 16) != 0 ? 0x3276 : 0x5410;
    pick8 = (lane & 8) != 0 ? 0x3715 : 0x6240;
    const u32 low[3] = {0x0f0f0f0f, 0x33333333, 0x55555555};
#pragma unroll
    for (u32 i = 0; i < 3; ++i) {
      const u32 distance = 4u >> i;
      const bool upper = (lane & distance) != 0;
      kept[i] =
          fresh(upper ? ~low[i] : low[i]);  // one operation below, which the compiler would make three of
      turn[i] = upper ? 32 - distance : distance;
    }
  }

  __device__ __forceinline__ u32 operator()(u32 x) const {
    x = __byte_perm(x, __shfl_xor_sync(kFullWarp, x, 16), pick16);
    x = __byte_perm(x, __shfl_xor_sync(kFullWarp, x, 8), pick8);
#pragma unroll
    for (u32 i = 0; i < 3; ++i) {
      const u32 other = __shfl_xor_sync(kFullWarp, x, static_cast<int>(4u >> i));
      x = (x & kept[i]) | (rotate_left(other, turn[i]) & ~kept[i]);
    }
    return x;
  }
};

// n_rows rows of row_bytes bytes.
struct Matrix {
  u64 n_rows, row_bytes;
};

// The words of `row` from byte `column` on, 4 kPieces of them, zeros outside; rows begin at multiples of 16 and have
// as many bytes.
template <u32 kPieces>
__device__ __forceinline__ void load_pieces(u32* w, const u8* from, const Matrix& matrix, u64 row,
                                            u64 column) {
#pragma unroll
  for (u32 piece = 0; piece < kPieces; ++piece) {
    const u64 at = column + 16 * piece;
    uint4 four = make_uint4(0, 0, 0, 0);
    if (row < matrix.n_rows && at < matrix.row_bytes) {
      four = *reinterpret_cast<const uint4*>(from + row * matrix.row_bytes + at);
    }
    w[4 * piece] = four.x;
    w[4 * piece + 1] = four.y;
    w[4 * piece + 2] = four.z;
    w[4 * piece + 3] = four.w;
  }
}

template <u32 kPieces>
__device__ __forceinline__ void store_pieces(u8* to, const u32* w, const Matrix& matrix, u64 row,
                                             u64 column) {
#pragma unroll
  for (u32 piece = 0; piece < kPieces; ++piece) {
    const u64 at = column + 16 * piece;
    if (row < matrix.n_rows && at < matrix.row_bytes) {
      *reinterpret_cast<uint4*>(to + row * matrix.row_bytes + at) =
          make_uint4(w[4 * piece], w[4 * piece + 1], w[4 * piece + 2], w[4 * piece + 3]);
    }
  }
}

// Tiles of 128 kRows x 128 kColumns bits. Lane i takes rows 32 g + i of a tile, 16 kColumns bytes of each, and gives
// columns 32 b + i, 16 kRows bytes of each: with 2 those are whole sectors of memory. Whole blocks take turns, so that
// every warp is at the shuffles; one behind the last tile loads and stores nothing.
template <u32 kRows, u32 kColumns>
__device__ __forceinline__ void transpose_tiles(u8* out, const u8* in, const Matrix& from, const Matrix& to) {
  constexpr u32 kGroups = 4 * kRows, kWords = 4 * kColumns;
  const u32 lane = threadIdx.x % kWarpLanes, warps = blockDim.x / kWarpLanes;
  const Transposer transposed(lane);
  const u64 across = (from.row_bytes + 16 * kColumns - 1) / (16 * kColumns);
  const u64 down = (from.n_rows + 128 * kRows - 1) / (128 * kRows);
  for (u64 first = static_cast<u64>(blockIdx.x) * warps; first < across * down;
       first += static_cast<u64>(gridDim.x) * warps) {
    const u64 tile = first + threadIdx.x / kWarpLanes;
    const u64 first_row = tile / across * (128 * kRows), first_byte = tile % across * (16 * kColumns);
    u32 w[kGroups][kWords];
#pragma unroll
    for (u32 g = 0; g < kGroups; ++g)
      load_pieces<kColumns>(w[g], in, from, first_row + 32 * g + lane, first_byte);
#pragma unroll
    for (u32 b = 0; b < kWords; ++b) {
      u32 column[kGroups];
#pragma unroll
      for (u32 g = 0; g < kGroups; ++g) column[g] = transposed(w[g][b]);
      store_pieces<kRows>(out, column, to, 8 * first_byte + 32 * b + lane, first_row / 8);
    }
  }
}

extern "C" __global__ void __launch_bounds__(256, 2)
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

// Rows of any number of bytes, which begin anywhere: tiles of 32 x 32 bits, byte by byte.
extern "C" __global__ void __launch_bounds__(256)
    transpose_any(u8* __restrict__ out, const u8* __restrict__ in, Matrix from, Matrix to) {
  const u32 lane = threadIdx.x % kWarpLanes, warps = blockDim.x / kWarpLanes;
  const Transposer transposed(lane);
  const u64 across = (from.row_bytes + 3) / 4, down = (from.n_rows + 31) / 32;
  for (u64 first = static_cast<u64>(blockIdx.x) * warps; first < across * down;
       first += static_cast<u64>(gridDim.x) * warps) {
    const u64 tile = first + threadIdx.x / kWarpLanes;
    const u64 first_row = tile / across * 32, first_byte = tile % across * 4;
    const u64 row = first_row + lane, column = 8 * first_byte + lane;
    u32 word = 0;
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
      if (row < from.n_rows && first_byte + i < from.row_bytes) {
        word |= static_cast<u32>(in[row * from.row_bytes + first_byte + i]) << (8 * i);
      }
    }
    word = transposed(word);
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
      if (column < to.n_rows && first_row / 8 + i < to.row_bytes) {
        out[column * to.row_bytes + first_row / 8 + i] = static_cast<u8>(word >> (8 * i));
      }
    }
  }
}

// Eight bits in bytes, four in each word, to a byte: the product puts bit 8 i at 28 + i, others below or out of the
// word.
__device__ __forceinline__ u32 packed(u32 low, u32 high) {
  return ((low & 0x01010101u) * 0x10204080u) >> 28 | ((high & 0x01010101u) * 0x10204080u) >> 28 << 4;
}

// Four bits to a word of bytes.
__device__ __forceinline__ u32 unpacked(u32 bits) {
  return (bits * 0x00204081u) & 0x01010101u;
}

// Which byte of rows of `width` packed bytes a thread is at; it goes on in steps of the whole grid, and divides once.
struct Walk {
  u64 width, row, column;
  u64 row_step, column_step;

  __device__ __forceinline__ explicit Walk(u64 row_bytes)
      : width(row_bytes),
        row(thread_index() / row_bytes),
        column(thread_index() % row_bytes),
        row_step(n_threads() / row_bytes),
        column_step(n_threads() % row_bytes) {}

  __device__ __forceinline__ void next() {
    row += row_step;
    column += column_step;
    if (column >= width) {
      column -= width;
      ++row;
    }
  }
};

// Rows of n bits in bytes to rows of ceil(n / 8) bytes; `out` null: looks at them only. A value above 1 is reported with
// row 0, for which one it is may be secret.
extern "C" __global__ void __launch_bounds__(256)
    pack_bits(u8* __restrict__ out, const u8* __restrict__ values, u64 rows, u64 n, u64* __restrict__ error) {
  u32 above = 0;
  for (Walk at((n + 7) / 8); at.row < rows; at.next()) {
    const u64 first = 8 * at.column;
    const u8* const from = values + at.row * n + first;
    u32 w[2] = {0, 0};
    if (n - first >= 8) {
      load_words<2>(w, from);
    } else {
#pragma unroll
      for (u32 b = 0; b < 7; ++b) {
        if (b < n - first) w[b / 4] |= static_cast<u32>(from[b]) << (8 * (b % 4));
      }
    }
    above |= (w[0] | w[1]) & 0xfefefefeu;
    if (out != nullptr) out[at.row * at.width + at.column] = static_cast<u8>(packed(w[0], w[1]));
  }
  if (above != 0) raise_error(error, kErrorOutOfRange, 0);
}

// Rows of ceil(n / 8) bytes to rows of n bits in bytes.
extern "C" __global__ void __launch_bounds__(256)
    unpack_bits(u8* __restrict__ out, const u8* __restrict__ in, u64 rows, u64 n) {
  for (Walk at((n + 7) / 8); at.row < rows; at.next()) {
    const u64 first = 8 * at.column;
    u8* const to = out + at.row * n + first;
    const u32 byte = in[at.row * at.width + at.column];
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
