// SPDX-License-Identifier: Apache-2.0
// What a set intersection does besides cryptography: rows apart by their bins, entries sorted within segments, equal keys
// merged, tags matched. The contract is that of csrc/partition/partition.h: same rules, same bytes. Rows, entries,
// segments and tiles are as in rows.cuh. Blocks of BLOCK threads. Time and addresses depend on the rows, as on the CPU.
//
// segments   count_tiles, find_tiles; scan_sums and scan_apply for all prefix sums
// levels     count_digits, scatter_digits, segment_starts: each segment taken apart by a digit, stable
// sorting    widen_tags, sort_tiles, merge_tiles: entries ascending within each segment, stable
// group      count_heads, write_groups, find_bins
// match      check_distinct, find_matches, count_matches, write_matches
#include "common/types.cuh"
#include "partition/merge.cuh"
#include "partition/rows.cuh"
#include "partition/split.cuh"

constexpr u32 kScanItems = SCAN_ITEMS;
constexpr u32 kScanTile = kThreads * kScanItems;
constexpr u32 kWarpItems = 256;  // rows of a warp where what it finds is put together
constexpr u32 kNoMatch = 0xffffffffu;

__device__ __forceinline__ u64 thread_index() {
  return static_cast<u64>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ u32 lane() {
  return threadIdx.x % 32;
}
__device__ __forceinline__ u32 warp() {
  return threadIdx.x / 32;
}
__device__ __forceinline__ u32 lanes_below() {
  return (1u << lane()) - 1;
}

// The sum of `value` over the block's threads before this one; `total` over all.
__device__ __forceinline__ u32 sum_before(u32 value, u32& total) {
  __shared__ u32 of_warps[kWarps];
  u32 sum = value;
#pragma unroll
  for (u32 delta = 1; delta < 32; delta *= 2) {
    const u32 other = __shfl_up_sync(kFullWarp, sum, delta);
    if (lane() >= delta) sum += other;
  }
  if (lane() == 31) of_warps[warp()] = sum;
  __syncthreads();
  u32 before = 0;
  total = 0;
#pragma unroll
  for (u32 w = 0; w < kWarps; ++w) {
    if (w == warp()) before = total;
    total += of_warps[w];
  }
  __syncthreads();
  return before + sum - value;
}

// sums[block] = the sum of its kScanTile values.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    scan_sums(u32* __restrict__ sums, const u32* __restrict__ values, u64 n) {
  const u64 begin = static_cast<u64>(blockIdx.x) * kScanTile;
  u32 sum = 0, total;
  for (u32 k = 0; k < kScanItems; ++k) {
    const u64 i = begin + k * kThreads + threadIdx.x;
    if (i < n) sum += values[i];
  }
  sum_before(sum, total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// values[i] = the sum of those before it; `sums` has that of the blocks before each, null for one block.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    scan_apply(u32* __restrict__ values, const u32* __restrict__ sums, u64 n) {
  const u64 begin = static_cast<u64>(blockIdx.x) * kScanTile + threadIdx.x * kScanItems;
  u32 kept[kScanItems], sum = 0, total;
#pragma unroll
  for (u32 k = 0; k < kScanItems; ++k) {
    kept[k] = begin + k < n ? values[begin + k] : 0;
    sum += kept[k];
  }
  u32 before = sum_before(sum, total) + (sums == nullptr ? 0 : sums[blockIdx.x]);
#pragma unroll
  for (u32 k = 0; k < kScanItems; ++k) {
    if (begin + k < n) values[begin + k] = before;
    before += kept[k];
  }
}

// ---- segments -----------------------------------------------------------------------------------------------

// tiles[s] = how many tiles of `tile_size` segment s has, and 0 behind the last; longest[0], from 0: rows of the longest.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    count_tiles(u32* __restrict__ tiles, u64* __restrict__ longest, const u64* __restrict__ starts,
                u32 n_segments, u32 tile_size) {
  const u64 s = thread_index();
  if (s > n_segments) return;
  const u64 n = s < n_segments ? starts[s + 1] - starts[s] : 0;
  tiles[s] = static_cast<u32>((n + tile_size - 1) / tile_size);
  // Others raise it meanwhile, so it is read as volatile; an old value costs an atomic, no more.
  if (n > *static_cast<const volatile u64*>(longest)) atomicMax(longest, n);
}

// tile_segment for `n_tiles` tiles, of which the last may not be.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    find_tiles(u32* __restrict__ tile_segment, const u32* __restrict__ tiles_before, u32 n_segments,
               u32 n_tiles) {
  const u64 t = thread_index();
  if (t >= n_tiles) return;
  if (t >= tiles_before[n_segments]) {
    tile_segment[t] = kNoSegment;
    return;
  }
  u32 low = 0, high = n_segments;  // the last segment before which there are t tiles at most
  while (high - low > 1) {
    const u32 middle = low + (high - low) / 2;
    if (tiles_before[middle] <= t) {
      low = middle;
    } else {
      high = middle;
    }
  }
  tile_segment[t] = low;
}

// ---- levels -------------------------------------------------------------------------------------------------

// counts: as split.cuh has them. Dynamic shared memory: 4 bytes a digit.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    count_digits(u32* __restrict__ counts, const ulonglong2* __restrict__ rows,
                 const u64* __restrict__ starts, const u32* __restrict__ tiles_before,
                 const u32* __restrict__ tile_segment, Split split) {
  CRYPSIS_DYNAMIC_SHARED(u32, of_digits);
  Span span;
  if (!find_span(span, starts, tiles_before, tile_segment, kSplitTile)) return;
  for (u32 d = threadIdx.x; d < split.n_digits; d += kThreads) of_digits[d] = 0;
  __syncthreads();
  for (u64 i = span.begin + threadIdx.x; i < span.end; i += kThreads) {
    atomicAdd(of_digits + digit_of(rows[i], split), 1u);
  }
  __syncthreads();
  u32* const column = counts + static_cast<u64>(span.before) * split.n_digits + span.tile;
  for (u32 d = threadIdx.x; d < split.n_digits; d += kThreads) {
    column[static_cast<u64>(d) * span.n_tiles] = of_digits[d];
  }
}

// Rows to their places, in their order within a digit. `places`: prefix sums of the counts. index: which row each was at
// first, null where it is its number. out_index: null where not wanted. With `as_records`, bytes[12:16] of what is
// written are its row id: row_ids[index], or first_row + index where that is null. Each warp has kSplitItems rows a lane,
// and counters of 16 bits. Dynamic shared memory: 4 + 2 kWarps bytes a digit.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
    scatter_digits(ulonglong2* __restrict__ out, u32* __restrict__ out_index,
                   const ulonglong2* __restrict__ rows, const u32* __restrict__ index,
                   const u32* __restrict__ row_ids, const u32* __restrict__ places,
                   const u64* __restrict__ starts, const u32* __restrict__ tiles_before,
                   const u32* __restrict__ tile_segment, Split split, u32 first_row, u32 as_records) {
  CRYPSIS_DYNAMIC_SHARED(u32, begins);  // of each digit in the tile, then the warps' counters
  u16* const counters = reinterpret_cast<u16*>(begins + split.n_digits);
  Span span;
  if (!find_span(span, starts, tiles_before, tile_segment, kSplitTile)) return;
  for (u32 d = threadIdx.x; d < kWarps * split.n_digits; d += kThreads) counters[d] = 0;
  __syncthreads();
  u16* const own = counters + warp() * split.n_digits;
  const u64 begin = span.begin + warp() * kSplitItems * 32 + lane();
  ulonglong2 kept[kSplitItems];
  u32 digit_rank[kSplitItems];
#pragma unroll
  for (u32 k = 0; k < kSplitItems; ++k) {
    if (begin + 32 * k < span.end) kept[k] = rows[begin + 32 * k];
  }
#pragma unroll
  for (u32 k = 0; k < kSplitItems; ++k) {
    const bool valid = begin + 32 * k < span.end;
    const u32 digit = valid ? digit_of(kept[k], split) : 0;
    const u32 same = same_digit(digit, split.n_bits, valid);
    const u32 below = static_cast<u32>(__popc(same & lanes_below()));
    const u32 before = own[digit];
    __syncwarp();
    if (valid && below == 0) own[digit] = static_cast<u16>(before + static_cast<u32>(__popc(same)));
    __syncwarp();
    digit_rank[k] = digit << 16 | (before + below);
  }
  __syncthreads();
  const u32* const column = places + static_cast<u64>(span.before) * split.n_digits + span.tile;
  for (u32 d = threadIdx.x; d < split.n_digits; d += kThreads) {
    begins[d] = column[static_cast<u64>(d) * span.n_tiles];
    u32 sum = 0;
    for (u32 w = 0; w < kWarps; ++w) {
      u16& counter = counters[w * split.n_digits + d];
      const u32 count = counter;
      counter = static_cast<u16>(sum);
      sum += count;
    }
  }
  __syncthreads();
#pragma unroll
  for (u32 k = 0; k < kSplitItems; ++k) {
    const u64 i = begin + 32 * k;
    if (i >= span.end) continue;
    const u32 digit = digit_rank[k] >> 16;
    const u32 place = begins[digit] + own[digit] + (digit_rank[k] & 0xffffu);
    const u32 from = index == nullptr ? static_cast<u32>(i) : index[i];
    ulonglong2 row = kept[k];
    if (as_records != 0) {
      const u32 id = row_ids == nullptr ? first_row + from : row_ids[from];
      row.y = static_cast<u64>(id) << 32 | static_cast<u32>(row.y);
    }
    out[place] = row;
    if (out_index != nullptr) out_index[place] = from;
  }
}

// out[j], j < n_out: where digit j % n_digits of segment j / n_digits begins; the end of the rows behind the last.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    segment_starts(u64* __restrict__ out, const u32* __restrict__ places, const u64* __restrict__ starts,
                   const u32* __restrict__ tiles_before, u32 n_segments, u32 n_digits, u64 n_out) {
  const u64 j = thread_index();
  if (j >= n_out) return;
  const u64 s = j / n_digits, d = j % n_digits;
  if (s >= n_segments) {
    out[j] = starts[n_segments];
    return;
  }
  const u64 before = tiles_before[s], n_tiles = tiles_before[s + 1] - before;
  out[j] = n_tiles == 0 ? starts[s] : places[before * n_digits + d * n_tiles];
}

// ---- sorting ------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    widen_tags(ulonglong2* __restrict__ rows, const u8* __restrict__ tags, u32 width, u64 n) {
  const u64 i = thread_index();
  if (i < n) rows[i] = load_tag(tags + i * width, width);
}

// The rows of each tile, sorted: to tags and their order, or to entries where `tags` is null. With `records`, rows are
// records as they are, else entries. index: as scatter_digits has it. Dynamic shared memory: 20 kSlots bytes.
extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    sort_tiles(u8* __restrict__ tags, ulonglong2* __restrict__ out, u32* __restrict__ out_index,
               const ulonglong2* __restrict__ rows, const u32* __restrict__ index,
               const u64* __restrict__ starts, const u32* __restrict__ tiles_before,
               const u32* __restrict__ tile_segment, u32 width, u32 first_index, u32 records) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  Span span;
  if (!find_span(span, starts, tiles_before, tile_segment, kSortTile)) return;
  const Tile tile = tile_at(shared);
  const u32 count = static_cast<u32>(span.end - span.begin);
#pragma unroll
  for (u32 k = 0; k < kSortItems; ++k) {
    const u32 place = k * kThreads + threadIdx.x;
    Entry e = kBehind;
    if (place < count) {
      const u64 i = span.begin + place;
      const ulonglong2 row = rows[i];
      e.x = row.x;
      e.y = records != 0 ? swap_halves(row.y) : row.y;
      e.index = index == nullptr ? static_cast<u32>(i) : index[i];
    }
    put(tile, place, e);
  }
  __syncthreads();
  const u32 mine = threadIdx.x * kSortItems;
  Entry items[kSortItems];
#pragma unroll
  for (u32 k = 0; k < kSortItems; ++k) items[k] = entry_at(tile, mine + k);
  if (mine < count) sort_items(items);
#pragma unroll 1
  for (u32 run = kSortItems; run < count; run *= 2) {
    __syncthreads();
#pragma unroll
    for (u32 k = 0; k < kSortItems; ++k) put(tile, mine + k, items[k]);
    __syncthreads();
    if (mine < count) {  // what lies behind stays behind
      const u32 pair = mine / (2 * run) * (2 * run);
      merge_items(items, tile, pair, run, run, mine - pair);
    }
  }
  __syncthreads();
#pragma unroll
  for (u32 k = 0; k < kSortItems; ++k) put(tile, mine + k, items[k]);
  __syncthreads();
  store_tile(tile, count, span.begin, Sorted{tags, out, out_index, width, first_index});
}

// Runs of `run` entries of a segment, a multiple of kSortTile, to runs of twice as many; out as sort_tiles has it.
extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    merge_tiles(u8* __restrict__ tags, ulonglong2* __restrict__ out, u32* __restrict__ out_index,
                const ulonglong2* __restrict__ rows, const u32* __restrict__ index,
                const u64* __restrict__ starts, const u32* __restrict__ tiles_before,
                const u32* __restrict__ tile_segment, u64 run, u32 width, u32 first_index) {
  CRYPSIS_DYNAMIC_SHARED(u64, shared);
  __shared__ u64 of_first[2];  // entries of the first run before the tile, and before its end
  Span span;
  if (!find_span(span, starts, tiles_before, tile_segment, kSortTile)) return;
  const u64 pair = span.first + (span.begin - span.first) / (2 * run) * (2 * run);
  const u64 n_a = min(run, span.last - pair), n_b = min(run, span.last - pair - n_a);
  if (threadIdx.x < 2) {
    const u64 diagonal = (threadIdx.x == 0 ? span.begin : span.end) - pair;
    of_first[threadIdx.x] = merge_path(
        n_a, n_b, diagonal, [&](u64 i) { return rows[pair + i]; },
        [&](u64 i) { return rows[pair + n_a + i]; });
  }
  __syncthreads();
  const Tile tile = tile_at(shared);
  const u32 count = static_cast<u32>(span.end - span.begin);
  const u64 begin_a = pair + of_first[0], begin_b = span.begin + n_a - of_first[0];
  const u32 some_a = static_cast<u32>(of_first[1] - of_first[0]);
  for (u32 place = threadIdx.x; place < count; place += kThreads) {
    const u64 i = place < some_a ? begin_a + place : begin_b + (place - some_a);
    const ulonglong2 row = rows[i];
    put(tile, place, Entry{row.x, row.y, index == nullptr ? 0 : index[i]});
  }
  __syncthreads();
  const u32 mine = threadIdx.x * kSortItems;
  Entry items[kSortItems];
  if (mine < count) merge_items(items, tile, 0, some_a, count - some_a, mine);
  __syncthreads();
  if (mine < count) {
#pragma unroll
    for (u32 k = 0; k < kSortItems; ++k) put(tile, mine + k, items[k]);
  }
  __syncthreads();
  store_tile(tile, count, span.begin, Sorted{tags, out, out_index, width, first_index});
}

// ---- group --------------------------------------------------------------------------------------------------

__device__ __forceinline__ bool is_head(const ulonglong2* entries, u64 i) {
  if (i == 0) return true;
  const ulonglong2 e = entries[i], before = entries[i - 1];
  return e.x != before.x || (e.y >> 32) != (before.y >> 32);
}

__device__ __forceinline__ u64 warp_index() {
  return static_cast<u64>(blockIdx.x) * kWarps + warp();
}

// counts[w], w < n_warps: how many keys begin in the w-th kWarpItems sorted records.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    count_heads(u32* __restrict__ counts, const ulonglong2* __restrict__ entries, u64 n, u64 n_warps) {
  const u64 w = warp_index();
  if (w >= n_warps) return;
  u32 count = 0;
  for (u32 k = 0; k < kWarpItems; k += 32) {
    const u64 i = w * kWarpItems + k + lane();
    count += static_cast<u32>(__popc(__ballot_sync(kFullWarp, i < n && is_head(entries, i))));
  }
  if (lane() == 0) counts[w] = count;
}

// Keys, where their rows begin, and the rows. heads: prefix sums of count_heads, n_warps + 1.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    write_groups(ulonglong2* __restrict__ keys, u32* __restrict__ row_starts, u32* __restrict__ rows,
                 const ulonglong2* __restrict__ entries, const u32* __restrict__ heads, u64 n, u64 n_warps) {
  const u64 w = warp_index();
  if (w >= n_warps) return;
  u32 before = heads[w];
  for (u32 k = 0; k < kWarpItems; k += 32) {
    const u64 i = w * kWarpItems + k + lane();
    const bool head = i < n && is_head(entries, i);
    const u32 lanes = __ballot_sync(kFullWarp, head);
    if (i < n) {
      const ulonglong2 e = entries[i];
      rows[i] = static_cast<u32>(e.y);
      if (head) {
        const u32 key = before + static_cast<u32>(__popc(lanes & lanes_below()));
        keys[key] = make_ulonglong2(e.x, e.y >> 32);
        row_starts[key] = static_cast<u32>(i);
      }
      if (i + 1 == n) row_starts[heads[n_warps]] = static_cast<u32>(n);
    }
    before += static_cast<u32>(__popc(lanes));
  }
}

// starts[b], b <= n_bins: keys in the bins before b. n_keys[0] keys, ascending by x.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    find_bins(u64* __restrict__ starts, const ulonglong2* __restrict__ keys, const u32* __restrict__ n_keys,
              u64 n_bins) {
  const u64 b = thread_index();
  if (b > n_bins) return;
  u64 low = 0, high = n_keys[0];
  while (low < high) {
    const u64 middle = (low + high) / 2;
    if (__umul64hi(keys[middle].x, n_bins) < b) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  starts[b] = low;
}

// ---- match --------------------------------------------------------------------------------------------------

// fault[0] = min(fault[0], the first place where an entry is that before it in the segment).
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    check_distinct(u64* __restrict__ fault, const ulonglong2* __restrict__ entries,
                   const u64* __restrict__ starts, const u32* __restrict__ tiles_before,
                   const u32* __restrict__ tile_segment) {
  Span span;
  if (!find_span(span, starts, tiles_before, tile_segment, kSortTile)) return;
  for (u64 i = span.begin + threadIdx.x; i < span.end; i += kThreads) {
    if (i == span.first) continue;
    const ulonglong2 e = entries[i], before = entries[i - 1];
    if (e.x == before.x && e.y == before.y) atomicMin(fault, i);
  }
}

// The first of entries [low, high) that is not below e, or with `above` the first that is above it.
__device__ __forceinline__ u64 find_place(const ulonglong2* entries, u64 low, u64 high, const ulonglong2& e,
                                          bool above) {
  while (low < high) {
    const u64 middle = (low + high) / 2;
    const ulonglong2 other = entries[middle];
    const bool before = above ? !is_less(e.x, e.y, other.x, other.y) : is_less(other.x, other.y, e.x, e.y);
    if (before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// found[i]: the index of peer tag i among the own tags of its bin, kNoMatch where it is not; `own` is sorted, own_index
// says what its entries were. fault[0] = min(fault[0], the first peer tag that is not above that before it in its bin).
// Peer tags of a tile lie between its first and its last, so only own tags from there are searched; where they do not
// ascend that is a fault, and found is scratch.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    find_matches(u32* __restrict__ found, u64* __restrict__ fault, const ulonglong2* __restrict__ own,
                 const u32* __restrict__ own_index, const u64* __restrict__ own_starts,
                 const u8* __restrict__ peer, const u64* __restrict__ peer_starts,
                 const u32* __restrict__ tiles_before, const u32* __restrict__ tile_segment, u32 width) {
  __shared__ u64 limits[2];
  Span span;
  if (!find_span(span, peer_starts, tiles_before, tile_segment, kSortTile)) return;
  if (threadIdx.x < 2) {
    const u64 begin = own_starts[tile_segment[blockIdx.x]], end = own_starts[tile_segment[blockIdx.x] + 1];
    const ulonglong2 tag = load_tag(peer + (threadIdx.x == 0 ? span.begin : span.end - 1) * width, width);
    limits[threadIdx.x] = find_place(own, begin, end, tag, threadIdx.x == 1);
  }
  __syncthreads();
  const u64 low = limits[0], high = limits[1];
  for (u64 i = span.begin + threadIdx.x; i < span.end; i += kThreads) {
    const ulonglong2 tag = load_tag(peer + i * width, width);
    if (i > span.first) {
      const ulonglong2 before = load_tag(peer + (i - 1) * width, width);
      if (!is_less(before.x, before.y, tag.x, tag.y)) atomicMin(fault, i);
    }
    const u64 at = find_place(own, low, high, tag, false);
    u32 match = kNoMatch;
    if (at < high) {
      const ulonglong2 e = own[at];
      if (e.x == tag.x && e.y == tag.y) match = own_index[at];
    }
    found[i] = match;
  }
}

// counts[w], w < n_warps: how many of the w-th kWarpItems peer tags have a match.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    count_matches(u32* __restrict__ counts, const u32* __restrict__ found, u64 n, u64 n_warps) {
  const u64 w = warp_index();
  if (w >= n_warps) return;
  u32 count = 0;
  for (u32 k = 0; k < kWarpItems; k += 32) {
    const u64 i = w * kWarpItems + k + lane();
    count += static_cast<u32>(__popc(__ballot_sync(kFullWarp, i < n && found[i] != kNoMatch)));
  }
  if (lane() == 0) counts[w] = count;
}

// The pairs from place `begin` on. counts: prefix sums, n_warps + 1. first_peer: the number of found[0]. A pair that
// would come behind `space` is not written: faulty tags may have more than a result has room for.
extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    write_matches(u32* __restrict__ own_index, u32* __restrict__ peer_index, const u32* __restrict__ found,
                  const u32* __restrict__ counts, u64 n, u64 n_warps, u32 first_peer, u64 begin, u64 space) {
  const u64 w = warp_index();
  if (w >= n_warps) return;
  u64 before = begin + counts[w];
  for (u32 k = 0; k < kWarpItems; k += 32) {
    const u64 i = w * kWarpItems + k + lane();
    const u32 match = i < n ? found[i] : kNoMatch;
    const u32 lanes = __ballot_sync(kFullWarp, match != kNoMatch);
    const u64 place = before + static_cast<u32>(__popc(lanes & lanes_below()));
    if (match != kNoMatch && place < space) {
      own_index[place] = match;
      peer_index[place] = first_peer + static_cast<u32>(i);
    }
    before += static_cast<u32>(__popc(lanes));
  }
}
