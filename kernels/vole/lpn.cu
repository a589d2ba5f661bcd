// SPDX-License-Identifier: Apache-2.0
// The LPN encoders. The contract is that of csrc/vole/lpn.h, the codes are those of csrc/vole/LPN_NOTES.md: same bytes.
//
//   draw_columns            the public matrices of two convolutions, from their AES streams
//   to_planes, from_planes  a vector of elements of 8 or 16 bytes as words of 25 places of a bit, and back
//   convolute               a convolution, a block a vector and chunk of it
//   pass_carries            what goes from chunk to chunk
//   gather_rows             sums of blocks of a table at places of an AES stream: the expander, and the primal code
//   place_noise             zero but for one element a piece
//
// Codes are public and address memory; nothing depends on vectors, tables or positions of noise.
#include "aes/block.cuh"
#include "common/arith.cuh"
#include "common/types.cuh"
#include "vole/convolution.cuh"

struct RoundKeys {
  u32 words[kAesKeyWords];
};
struct CodeKeys {
  RoundKeys pass[2];
};

__device__ __forceinline__ AesBlock stream_block(const u32* table, const RoundKeys& keys, u64 counter) {
  return aes_encrypt(table, keys.words, {{static_cast<u32>(counter), static_cast<u32>(counter >> 32), 0, 0}});
}

constexpr u32 kColumnThreads = 128;
constexpr u32 kColumnGroups = 64;                          // of a block
constexpr u32 kColumnTaps = kColumnGroups * kGroupPlaces;  // whole AES blocks

// columns[pass][group][kMatrixWords]; blockIdx.y is the pass. Places from n_places on have no taps.
extern "C" __global__ void __launch_bounds__(128)
    draw_columns(u32* __restrict__ columns, CodeKeys keys, u32 n_groups, u32 n_places) {
  __shared__ u32 table[kAesTableWords];
  __shared__ u32 taps[kColumnTaps];
  static_assert(kColumnTaps % 4 == 0, "a block's taps are whole AES blocks");
  aes_load_table(table);
  __syncthreads();
  const u32 first_group = blockIdx.x * kColumnGroups, first = first_group * kGroupPlaces;
  for (u32 i = threadIdx.x; i < kColumnTaps / 4; i += kColumnThreads) {
    const AesBlock drawn = stream_block(table, keys.pass[blockIdx.y], first / 4 + i);
#pragma unroll
    for (u32 w = 0; w < 4; ++w) taps[4 * i + w] = first + 4 * i + w < n_places ? drawn.w[w] : 0;
  }
  __syncthreads();
  const u32 group = first_group + threadIdx.x;
  if (threadIdx.x < kColumnGroups && group < n_groups) {
    make_columns(taps + threadIdx.x * kGroupPlaces,
                 columns + (static_cast<u64>(blockIdx.y) * n_groups + group) * kMatrixWords);
  }
}

constexpr u32 kPlaneThreads = 128;

// planes[group][8 width]; a warp a group. Places from n_places on are zero. `ends`, a word a plane, is for group 0 too.
extern "C" __global__ void __launch_bounds__(128)
    to_planes(u32* __restrict__ planes, const u8* __restrict__ vector, u32 width, u32 n_groups,
              u32 n_places) {
  const u32 lane = threadIdx.x % 32;
  const u32 group = (blockIdx.x * kPlaneThreads + threadIdx.x) / 32;
  if (group >= n_groups) return;
  const u32 place = group * kGroupPlaces + lane;
  AesBlock x = {};
  if (lane < kGroupPlaces && place < n_places) {
    x = load_element(vector + static_cast<u64>(place) * width, width);
  }
#pragma unroll
  for (u32 w = 0; w < 4; ++w) {
    if (4 * w >= width) break;
    planes[static_cast<u64>(group) * 8 * width + 32 * w + lane] = transpose(x.w[w]);
  }
}

extern "C" __global__ void __launch_bounds__(128)
    from_planes(u8* __restrict__ vector, const u32* __restrict__ planes, const u32* __restrict__ ends,
                u32 width, u32 n_groups, u32 n_places) {
  const u32 lane = threadIdx.x % 32;
  const u32 group = (blockIdx.x * kPlaneThreads + threadIdx.x) / 32;
  if (group >= n_groups) return;
  const u32 place = group * kGroupPlaces + lane;
  AesBlock x = {};
#pragma unroll
  for (u32 w = 0; w < 4; ++w) {
    if (4 * w >= width) break;
    const u32 beyond = group == 0 ? ends[32 * w + lane] : 0;
    x.w[w] = transpose(planes[static_cast<u64>(group) * 8 * width + 32 * w + lane] ^ beyond);
  }
  if (lane < kGroupPlaces && place < n_places) {
    store_element(vector + static_cast<u64>(place) * width, width, x);
  }
}

constexpr u32 kConvoluteThreads = 128;  // a plane each

// Where X of an element takes its planes from: those of one element of the field in `field` planes.
struct TimesX {
  u32 below, top;
  u32 reduced;  // all ones for the planes of the field's polynomial that get the top one too

  __device__ __forceinline__ TimesX(u32 plane, u32 field) {
    const u32 bit = plane % field;
    top = plane - bit + field - 1;
    below = bit == 0 ? top : plane - 1;
    const u32 polynomial = field == 128 ? 0x86 : 0x1a;  // but for the lowest bit
    reduced = bit < 8 ? 0u - (polynomial >> bit & 1) : 0;
  }
};

// A vector in planes, and what goes from chunk to chunk of it.
struct Chunks {
  u32 chunk_groups;
  u32 n_groups;
  u32 n_places;
  u32 field;      // bits of an element: of 128 planes, 64 make two of them
  u32 n_vectors;  // blockIdx.y below it: of the vectors; from it on: of unit vectors
  u32 measure;    // 1: what comes out of each chunk alone; 0: the convolution
};

// One convolution of chunks of groups, a block a chunk and vector, of which the second may be null. What the groups of a
// chunk give to those of the next one is a carry, a word a plane: carries[chunk][plane] goes into the chunk.
//
// measure: each chunk but the last from a carry of zero, to the carry behind it; vectors stay. The blocks behind the
// vectors' run chunks 1 and on without a vector, from one place of the carry set to 1, as many as have room in 128 planes:
// transitions[chunk][plane of the field][place], the public matrix over the field by which a chunk passes a carry on.
//
// else: the vectors are convoluted. What goes beyond the last place belongs to the first 25; it is written behind the
// carries, and who reads the vector adds it: `ends` are those of the convolution before, or null.
extern "C" __global__ void __launch_bounds__(128)
    convolute(u32* first, u32* second, u32 first_planes, u32 second_planes, u32* first_carries,
              u32* second_carries, const u32* first_ends, const u32* second_ends, u32* transitions,
              const uint4* __restrict__ columns, Chunks chunks) {
  __shared__ uint4 tiles[2][kTileQuads];
  __shared__ u32 exchange[2][kConvoluteThreads];
  static_assert(kTileQuads <= kConvoluteThreads, "a thread brings at most one quad of a tile");
  const u32 plane = threadIdx.x, chunk = blockIdx.x, role = blockIdx.y;
  const bool unit = role >= chunks.n_vectors;
  if (unit && chunk == 0) return;  // its carry is zero
  const u32 n_planes = unit ? kConvoluteThreads : role == 0 ? first_planes : second_planes;
  const bool active = plane < n_planes;  // alike in all of a warp
  const bool reads = active && !unit, writes = reads && chunks.measure == 0;
  u32* const own = (role == 0 ? first : second) + (reads ? plane : 0);
  u32* const carries = (role == 0 ? first_carries : second_carries) + (reads ? plane : 0);
  const u32* const ends = role == 0 ? first_ends : second_ends;
  const TimesX times_x(plane, chunks.field);
  const u32 begin = chunk * chunks.chunk_groups, stop = min(begin + chunks.chunk_groups, chunks.n_groups);
  const u32 n_tiles = (stop - begin + kTileGroups - 1) / kTileGroups;
  // Places of the last group: below 25, as n_places is a power of two.
  const u32 last_places = chunks.n_places - (chunks.n_groups - 1) * kGroupPlaces;
  const u32 place = (role - chunks.n_vectors) * (kConvoluteThreads / chunks.field) + plane / chunks.field;
  const auto word = [&](u32 group) {
    return reads && group < stop ? own[static_cast<u64>(group) * n_planes] : 0u;
  };
  const auto quad = [&](u32 tile) {
    const u32 at = begin * (kMatrixWords / 4) + tile * kTileQuads + threadIdx.x;
    const bool there = threadIdx.x < kTileQuads && at < stop * (kMatrixWords / 4);
    return there ? columns[at] : make_uint4(0, 0, 0, 0);
  };
  u32 pending = word(begin), next = word(begin + 1), later = word(begin + 2), latest = word(begin + 3);
  if (reads && begin == 0 && ends != nullptr) pending ^= ends[plane];
  if (writes) pending ^= carries[chunk * n_planes];
  if (unit && plane % chunks.field == 0 && place < kGroupPlaces) pending = 1u << place;
  u32 beyond = 0;
  uint4 ahead = quad(0);
#pragma unroll 1
  for (u32 tile = 0; tile < n_tiles; ++tile) {
    if (threadIdx.x < kTileQuads) tiles[tile & 1][threadIdx.x] = ahead;
    __syncthreads();
    ahead = quad(tile + 1);
    const u32 in_tile = min(kTileGroups, stop - begin - tile * kTileGroups);
#pragma unroll 1
    for (u32 k = 0; k < in_tile; ++k) {
      const u32 group = begin + tile * kTileGroups + k;
      const bool last = group + 1 == chunks.n_groups;
      const uint4* const matrix = tiles[tile & 1] + k * (kMatrixWords / 4);
      u32 y[2] = {}, sum[2] = {next, 0};  // two chains each
#pragma unroll
      for (u32 q = 0; q < kSideWords / 4; ++q) {
        const uint4 a = matrix[q];
        const u32 of_a[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
        for (u32 j = 0; j < 4 && 4 * q + j < kGroupPlaces; ++j) {
          y[j & 1] ^= spread(pending, 4 * q + j) & of_a[j];
        }
      }
      y[0] ^= y[1];
      const u32 inside = last ? y[0] & ((1u << last_places) - 1) : y[0];
      exchange[group & 1][plane] = inside;
      if (writes) own[static_cast<u64>(group) * n_planes] = inside;
#pragma unroll
      for (u32 q = 0; q < kSideWords / 4; ++q) {
        const uint4 c = matrix[kSideWords / 4 + q];
        const u32 of_c[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
        for (u32 j = 0; j < 4 && 4 * q + j < kGroupPlaces; ++j) {
          sum[j & 1] ^= spread(pending, 4 * q + j) & of_c[j];
        }
      }
      next = later;
      later = latest;
      latest = word(group + 4);
      __syncthreads();
      const u32* const others = exchange[group & 1];
      pending = sum[0] ^ sum[1] ^ others[times_x.below] ^ (others[times_x.top] & times_x.reduced);
      beyond = (y[0] >> last_places | pending << (kGroupPlaces - last_places)) & kGroupMask;
    }
  }
  if (unit) {
    if (place < kGroupPlaces) {
      transitions[(chunk * chunks.field + plane % chunks.field) * kSideWords + place] = pending;
    }
  } else if (active) {
    carries[(chunk + 1) * n_planes] = stop == chunks.n_groups ? beyond : pending;
  }
}

constexpr u32 kPlanes = 128;

// The plane of a product below X^field, from those of one that is not reduced yet: sums[0, 2 field - 1). X^field is
// X^7 + X^2 + X + 1, or X^4 + X^3 + X + 1 for 64.
__device__ __forceinline__ u32 reduced_plane(const u32* sums, u32 bit, u32 field) {
  const u32 taps[3] = {1, field == 128 ? 2u : 3u, field == 128 ? 7u : 4u};
  // High plane u of the product, and what the highest ones put there once more.
  const auto high = [&](u32 u) {
    u32 plane = sums[field + u];
#pragma unroll
    for (u32 t = 1; t < 3; ++t) {
      const u32 from = 2 * field + u - taps[t];
      if (u < taps[t] && from < 2 * field - 1) plane ^= sums[from];
    }
    return plane;
  };
  u32 plane = sums[bit] ^ high(bit);
#pragma unroll
  for (u32 t = 0; t < 3; ++t) {
    if (bit >= taps[t]) plane ^= high(bit - taps[t]);
  }
  return plane;
}

// The carries into chunks 2 to n_chunks - 1, which were those out of a chunk alone: each gets what its chunk makes of the
// carry before, the sum of X^b M_b carry over the planes b of the field. A block of 4 field threads a vector: a warp
// multiplies 32 planes of the carry by the matrices of 32 planes, by Horner: its sums move up a lane a step, over 64.
extern "C" __global__ void __launch_bounds__(512)
    pass_carries(u32* first_carries, u32* second_carries, u32 first_planes, u32 second_planes,
                 const uint4* __restrict__ transitions, u32 n_chunks, u32 field) {
  __shared__ uint4 matrices[kPlanes * kSideWords / 4];
  __shared__ u32
      sums[2 * kPlanes];  // of each half where there are two: 2 field planes, the highest always zero
  __shared__ u32 carry[kPlanes];
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const u32 n_planes = blockIdx.x == 0 ? first_planes : second_planes;
  u32* const carries = blockIdx.x == 0 ? first_carries : second_carries;
  const u32 plane = warp % 4 * 32 + lane,
            bits = warp / 4 * 32;  // of the carry, and the matrices' planes from `bits` on
  u32* const own_sums = sums + plane / field * 2 * field + plane % field / 32 * 32 + bits;
  const bool keeps = threadIdx.x < n_planes;  // the carry's plane of that number
  const u32 n_quads = field * kSideWords / 4;
  if (threadIdx.x < kPlanes) carry[threadIdx.x] = keeps ? carries[n_planes + threadIdx.x] : 0;
#pragma unroll 1
  for (u32 chunk = 1; chunk + 1 < n_chunks; ++chunk) {
    for (u32 i = threadIdx.x; i < n_quads; i += blockDim.x) {
      matrices[i] = transitions[static_cast<u64>(chunk) * n_quads + i];
    }
    if (threadIdx.x < 2 * kPlanes) sums[threadIdx.x] = 0;
    __syncthreads();
    u32 masks[kGroupPlaces], low = 0, high = 0;
#pragma unroll
    for (u32 s = 0; s < kGroupPlaces; ++s) masks[s] = spread(carry[plane], s);
#pragma unroll 1
    for (u32 k = 32; k-- > 0;) {
      u32 product[2] = {};
#pragma unroll
      for (u32 q = 0; q < kSideWords / 4; ++q) {
        const uint4 m = matrices[(bits + k) * (kSideWords / 4) + q];
        const u32 of_m[4] = {m.x, m.y, m.z, m.w};
#pragma unroll
        for (u32 j = 0; j < 4 && 4 * q + j < kGroupPlaces; ++j) product[j & 1] ^= masks[4 * q + j] & of_m[j];
      }
      low = __shfl_sync(kFullWarp, low, (lane + 31) % 32);
      high = __shfl_sync(kFullWarp, high, (lane + 31) % 32);
      if (lane == 0) {  // the highest of 64 is zero still
        high = low;
        low = 0;
      }
      low ^= product[0] ^ product[1];
    }
    atomicXor(own_sums + lane, low);
    atomicXor(own_sums + 32 + lane, high);
    __syncthreads();
    if (keeps) {
      const u32 half = threadIdx.x / field;
      const u32 next = reduced_plane(sums + half * 2 * field, threadIdx.x % field, field) ^
                       carries[(chunk + 1) * n_planes + threadIdx.x];
      carries[(chunk + 1) * n_planes + threadIdx.x] = next;
      carry[threadIdx.x] = next;
    }
    __syncthreads();
  }
}

constexpr u32 kGatherThreads = 256;  // rows of a tile too

struct GatherJob {
  RoundKeys keys;
  u64 first_block;  // of the stream
  u64 n_rows;
  u32 weight;
  u32 log_table;
  u32 word_bytes;  // 2 or 4
  u32 add;         // out ^= instead of out =
  u32 width[2];    // bytes of an element
};

// The sum of a row's elements; `words` are the tile's. kWidth 0 takes any width and any address.
template <u32 kWidth>
__device__ __forceinline__ AesBlock gather_as(const u8* table, u32 width, const u32* words, u32 row,
                                              const GatherJob& job) {
  const u32 mask = (1u << job.log_table) - 1, begin = row * job.weight;
  const u16* const halves = reinterpret_cast<const u16*>(words);
  AesBlock sum = {};
#pragma unroll(kWidth == 0 ? 1 : 4)
  for (u32 j = 0; j < job.weight; ++j) {
    const u32 at = (job.word_bytes == 2 ? halves[begin + j] : words[begin + j]) & mask;
    if (kWidth == 16) {
      const uint4 four = reinterpret_cast<const uint4*>(table)[at];
      sum = sum ^ AesBlock{{four.x, four.y, four.z, four.w}};
    } else if (kWidth == 8) {
      const uint2 two = reinterpret_cast<const uint2*>(table)[at];
      sum = sum ^ AesBlock{{two.x, two.y, 0, 0}};
    } else {
      sum = sum ^ load_element(table + static_cast<u64>(at) * width, width);
    }
  }
  return sum;
}

__device__ __forceinline__ AesBlock gather(const u8* table, u32 width, const u32* words, u32 row,
                                           const GatherJob& job) {
  if (reinterpret_cast<u64>(table) % width != 0) return gather_as<0>(table, width, words, row, job);
  return width == 16 ? gather_as<16>(table, width, words, row, job)
                     : gather_as<8>(table, width, words, row, job);
}

// out[i] = or ^= the sum of `weight` elements of the table, at the low bits of words i weight and so on of the stream; the
// same places in a second table where that is not null. bits, or null: the lowest bit of each of the first out's elements.
// Any grid: a block takes tiles of 256 rows a grid apart. Shared memory, all of it dynamic: AES's table, and positions of 256
// rows.
extern "C" __global__ void __launch_bounds__(256)
    gather_rows(u8* out, u8* second_out, const u8* table, const u8* second_table, u8* bits, GatherJob job) {
  CRYPSIS_DYNAMIC_SHARED(u32, aes_table);
  u32* const words = aes_table + kAesTableWords;
  aes_load_table(aes_table);
  const u32 row_bytes = job.weight * job.word_bytes;
  const u64 n_tiles = (job.n_rows + kGatherThreads - 1) / kGatherThreads;
#pragma unroll 1
  for (u64 tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
    const u64 first = tile * kGatherThreads, left = job.n_rows - first;
    const u32 rows = left < kGatherThreads ? static_cast<u32>(left) : kGatherThreads;
    const u32 n_blocks = (rows * row_bytes + 15) / 16;
    __syncthreads();  // the rows before have been read, and the table is there
#pragma unroll 1
    for (u32 i = threadIdx.x; i < n_blocks; i += kGatherThreads) {
      const AesBlock drawn = stream_block(aes_table, job.keys, job.first_block + first / 16 * row_bytes + i);
      reinterpret_cast<uint4*>(words)[i] = make_uint4(drawn.w[0], drawn.w[1], drawn.w[2], drawn.w[3]);
    }
    __syncthreads();
    const u64 row = first + threadIdx.x;
    u32 low_bit = 0;
    if (threadIdx.x < rows) {
      AesBlock sum = gather(table, job.width[0], words, threadIdx.x, job);
      u8* const to = out + row * job.width[0];
      if (job.add != 0) sum = sum ^ load_element(to, job.width[0]);
      store_element(to, job.width[0], sum);
      low_bit = sum.w[0] & 1;
      if (second_table != nullptr) {
        store_element(second_out + row * job.width[1], job.width[1],
                      gather(second_table, job.width[1], words, threadIdx.x, job));
      }
    }
    if (bits != nullptr) {
      const u32 packed = __ballot_sync(kFullWarp, low_bit != 0);
      const u32 lane = threadIdx.x % 32;
      const u64 byte = (row - lane) / 8 + lane;
      if (lane < 4 && 8 * byte < job.n_rows) bits[byte] = static_cast<u8>(packed >> (8 * lane));
    }
  }
}

// An element a thread: values[piece] at the piece's position, else zero. Every place is written alike.
extern "C" __global__ void __launch_bounds__(256)
    place_noise(u8* __restrict__ out, const u64* __restrict__ positions, const u8* __restrict__ values, u64 n,
                u32 depth, u32 width) {
  const u64 t = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (t >= n) return;
  const u64 piece = t >> depth;
  const u32 difference = (static_cast<u32>(t) & ((1u << depth) - 1)) ^ static_cast<u32>(positions[piece]);
  const u32 mask = ((difference | (0u - difference)) >> 31) - 1;
  AesBlock x = load_element(values + piece * width, width);
#pragma unroll
  for (u32 w = 0; w < 4; ++w) x.w[w] &= mask;
  store_element(out + t * width, width, x);
}
