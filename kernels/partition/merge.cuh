// SPDX-License-Identifier: Apache-2.0
// Merging sorted runs of entries, stable, by merge paths [GMB12]: thread t makes the 8 entries from 8 t on, and finds by
// binary search how many of them and of those before come of the first run. What is equal comes from the first run first.
#pragma once

#include "common/types.cuh"
#include "partition/rows.cuh"

constexpr u32 kSortItems = SORT_ITEMS;
constexpr u32 kSortTile = kThreads * kSortItems;
// A word between the items of neighbouring threads: a power of two apart, they would stand in few banks.
constexpr u32 kSlots = kSortTile + kThreads;
static_assert((kSortItems & (kSortItems - 1)) == 0 && (kSortTile & (kSortTile - 1)) == 0, "runs double");

struct Entry {
  u64 x, y;
  u32 index;
};

// Behind all that is in a tile: it is put at the end, and equal entries keep their order.
constexpr Entry kBehind = {~0ull, ~0ull, 0};

__device__ __forceinline__ bool is_less(const Entry& a, const Entry& b) {
  return is_less(a.x, a.y, b.x, b.y);
}

// A tile's entries in shared memory: 20 kSlots bytes.
struct Tile {
  u64 *x, *y;
  u32* index;
};

__device__ __forceinline__ Tile tile_at(u64* shared) {
  return Tile{shared, shared + kSlots, reinterpret_cast<u32*>(shared + 2 * kSlots)};
}

__device__ __forceinline__ u32 slot_of(u32 place) {
  return place + place / kSortItems;
}

__device__ __forceinline__ Entry entry_at(const Tile& tile, u32 place) {
  const u32 slot = slot_of(place);
  return Entry{tile.x[slot], tile.y[slot], tile.index[slot]};
}

__device__ __forceinline__ void put(const Tile& tile, u32 place, const Entry& e) {
  const u32 slot = slot_of(place);
  tile.x[slot] = e.x;
  tile.y[slot] = e.y;
  tile.index[slot] = e.index;
}

// How many of the first `diagonal` entries of the merged run come of the first run. a_at(i), b_at(i): x and y.
template <class A, class B>
__device__ __forceinline__ u64 merge_path(u64 n_a, u64 n_b, u64 diagonal, const A& a_at, const B& b_at) {
  u64 low = diagonal > n_b ? diagonal - n_b : 0, high = min(diagonal, n_a);
  while (low < high) {
    const u64 middle = (low + high) / 2;
    const ulonglong2 a = a_at(middle), b = b_at(diagonal - 1 - middle);
    if (is_less(b.x, b.y, a.x, a.y)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// This thread's entries of the merge of [a, a + n_a) and [a + n_a, a + n_a + n_b) of the tile, from `diagonal` on.
__device__ __forceinline__ void merge_items(Entry* items, const Tile& tile, u32 a, u32 n_a, u32 n_b,
                                            u32 diagonal) {
  const auto at = [&](u32 place) {
    const u32 slot = slot_of(place);
    return make_ulonglong2(tile.x[slot], tile.y[slot]);
  };
  const u32 b = a + n_a;
  const u32 of_a = static_cast<u32>(merge_path(
      n_a, n_b, diagonal, [&](u64 i) { return at(a + static_cast<u32>(i)); },
      [&](u64 i) { return at(b + static_cast<u32>(i)); }));
  u32 i = a + of_a, j = b + diagonal - of_a;
  const u32 end_a = b, end_b = b + n_b;
  Entry from_a = i < end_a ? entry_at(tile, i) : kBehind, from_b = j < end_b ? entry_at(tile, j) : kBehind;
#pragma unroll
  for (u32 k = 0; k < kSortItems; ++k) {
    const bool take_b = i >= end_a || (j < end_b && is_less(from_b, from_a));
    items[k] = take_b ? from_b : from_a;
    if (take_b) {
      ++j;
      from_b = j < end_b ? entry_at(tile, j) : kBehind;
    } else {
      ++i;
      from_a = i < end_a ? entry_at(tile, i) : kBehind;
    }
  }
}

// A thread's own entries, stable: neighbours are exchanged where the second is less.
__device__ __forceinline__ void sort_items(Entry* items) {
#pragma unroll
  for (u32 round = 0; round < kSortItems; ++round) {
#pragma unroll
    for (u32 k = round % 2; k + 1 < kSortItems; k += 2) {
      const Entry first = items[k], second = items[k + 1];
      const bool exchange = is_less(second, first);
      items[k] = exchange ? second : first;
      items[k + 1] = exchange ? first : second;
    }
  }
}

// Where sorted entries go: as tags with their order, or as entries for the next kernel.
struct Sorted {
  u8* tags;  // null: to `rows`
  ulonglong2* rows;
  u32* index;  // null: not wanted
  u32 width;
  u32 first_index;  // added to what goes out beside tags
};

// Entries [0, count) of the tile to places from `begin` on, neighbours by neighbouring threads.
__device__ __forceinline__ void store_tile(const Tile& tile, u32 count, u64 begin, const Sorted& to) {
  for (u32 place = threadIdx.x; place < count; place += kThreads) {
    const Entry e = entry_at(tile, place);
    const u64 i = begin + place;
    if (to.tags != nullptr) {
      store_tag(to.tags + i * to.width, to.width, e.x, e.y);
    } else {
      to.rows[i] = make_ulonglong2(e.x, e.y);
    }
    if (to.index != nullptr) to.index[i] = e.index + to.first_index;
  }
}
