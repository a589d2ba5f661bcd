// SPDX-License-Identifier: Apache-2.0
// Kernels: products of runs of rows, a group a run, and inverses from running products. Everything is in Montgomery
// form; runs and indices are public. Runs come sorted by length, so that the groups of a warp end together.
#pragma once

#include "bigint/products.cuh"

// The rows begin .. end of a run, and where its product goes.
struct Run {
  i64 begin, end, target;
};

// Run r multiplies rows[index[j]] (rows[j] where index is null) for begin <= j < end, after initial[target] where
// initial is not null; the product of nothing is one. out[j] = the product so far after item j where `running`, else
// out[target] = the whole. out may be rows where `running` and index is null. Constant-time in the rows.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    run_products(u32* out, const u32* rows, const i64* index, const Run* runs, const u32* initial,
                 const u32* constants, u64 n, u32 running) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared);
  const Row row(n);
  const Run run = runs[row.index];
  const i64 end = row.live ? run.end : run.begin;
  u32 x[kPart];
  load_row(group, x, initial == nullptr ? Constants{constants}.r() : initial + run.target * kLimbs);
#pragma unroll 1
  for (i64 at = run.begin; __any_sync(kFullWarp, at < end); ++at) {  // collectives need the whole warp
    const bool live = at < end;
    // Past the end, by one. No branch stands before a collective: `rows` has a row 0 where a run is not empty.
    i64 from = live ? at : 0;
    if (index != nullptr) from = index[from];
    const u32* const factor = rows + from * kLimbs;
    set_factor_row(group, live ? factor : Constants{constants}.r());
    multiply(group, x, x);
    if (live && running) store_row(group, out + at * kLimbs, x);
  }
  if (row.live && !running) store_row(group, out + run.target * kLimbs, x);
}

// Second half of Montgomery's trick [Montgomery 1987, 10.3.1]: run r walks back from end - 1 to begin with
// u = inverses[target]: out[j] = u * before[j - 1] (u itself at begin), u = u * rows[j]. out may be rows.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    inverse_runs(u32* out, const u32* rows, const u32* before, const Run* runs, const u32* inverses,
                 const u32* constants, u64 n) {
  CRYPSIS_DYNAMIC_SHARED(u32, shared);
  const Group group = make_group({constants}, shared);
  const Row row(n);
  const Run run = runs[row.index];
  const i64 end = row.live ? run.end : run.begin;
  u32 u[kPart], y[kPart];
  load_row(group, u, inverses + run.target * kLimbs);
#pragma unroll 1
  for (i64 at = end - 1; __any_sync(kFullWarp, at >= run.begin); --at) {
    const bool live = at >= run.begin;
    const u32* const one = Constants{constants}.r();
    set_factor(group, u);
    load_row(group, y, live && at > run.begin ? before + (at - 1) * kLimbs : one);
    multiply(group, y, y);
    load_row(group, u, live ? rows + at * kLimbs : one);
    multiply(group, u, u);  // the factor still is the u of before
    if (live) store_row(group, out + at * kLimbs, y);
  }
}
