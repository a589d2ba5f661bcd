// SPDX-License-Identifier: Apache-2.0
// Products of runs of rows, one run a lane; see lanes.h for the Engine.
#pragma once
#include "bigint/lanes.h"

namespace crypsis::bigint {
namespace {

template <class Engine>
void run_products(const Modulus& modulus, const RunJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t limbs = engine.limbs();
  Scratch scratch(2 * engine.size());
  Word* const acc = scratch.get();
  Word* const factor = acc + engine.size();
  const auto row = [&](std::size_t j) {
    return job.rows + (job.index == nullptr ? j : static_cast<std::size_t>(job.index[j])) * limbs;
  };
  for (std::size_t r = begin; r < end; r += kLanes) {
    const std::size_t n_live = std::min(kLanes, end - r);
    std::size_t at[kLanes], stop[kLanes];
    const Word* from[kLanes];
    Word* to[kLanes];
    bool started = true;  // acc holds something on every lane before the loop
    std::size_t steps = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Run& run = job.runs[r + (lane < n_live ? lane : 0)];
      at[lane] = run.begin;
      stop[lane] = lane < n_live ? run.end : run.begin;
      steps = std::max(steps, stop[lane] - at[lane]);
      from[lane] = job.initial == nullptr ? modulus.r() : job.initial + run.target * limbs;
      to[lane] = job.running ? nullptr : job.out + run.target * limbs;
    }
    if (job.initial == nullptr && steps > 0) started = false;
    if (started) engine.load(acc, from);
    for (std::size_t step = 0; step < steps; ++step) {
      Word* running[kLanes];
      bool all = true;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const bool live = at[lane] < stop[lane];
        from[lane] = live ? row(at[lane]) : modulus.r();
        running[lane] = live && job.running ? job.out + at[lane] * limbs : nullptr;
        all = all && (live || lane >= n_live);
        at[lane] += live;
        if (at[lane] < stop[lane]) {
          prefetch_rows(row(at[lane]), limbs);
          if (job.running) prefetch_rows_to_write(job.out + at[lane] * limbs, limbs);
        }
      }
      if (started) {
        engine.load(factor, from);
        engine.mul_exact(acc, acc, factor);
      } else {
        engine.load(acc, from);
        started = true;
      }
      if (!job.running) continue;
      if (all) {
        engine.store(acc, running, n_live);
      } else {
        engine.store_some(acc, running);
      }
    }
    if (!job.running) engine.store(acc, to, n_live);
  }
  secure_wipe_stack();
}

template <class Engine>
void inverse_runs(const Modulus& modulus, const InverseJob& job, std::size_t begin, std::size_t end) {
  Engine engine(modulus);
  constexpr std::size_t kLanes = Engine::kLanes;
  const std::size_t limbs = engine.limbs();
  Scratch scratch(4 * engine.size());
  Word* const u = scratch.get();
  Word* const item = u + engine.size();
  Word* const before = item + engine.size();
  Word* const result = before + engine.size();
  for (std::size_t r = begin; r < end; r += kLanes) {
    const std::size_t n_live = std::min(kLanes, end - r);
    std::size_t at[kLanes], start[kLanes];  // at: one past the item
    const Word* from[kLanes];
    std::size_t steps = 0;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const Run& run = job.runs[r + (lane < n_live ? lane : 0)];
      start[lane] = run.begin;
      at[lane] = lane < n_live ? run.end : run.begin;
      steps = std::max(steps, at[lane] - start[lane]);
      from[lane] = job.inverses + run.target * limbs;
    }
    engine.load(u, from);
    for (std::size_t step = 0; step < steps; ++step) {
      const Word* previous[kLanes];
      Word* to[kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const bool live = at[lane] > start[lane];
        if (live) --at[lane];
        from[lane] = live ? job.rows + at[lane] * limbs : modulus.r();
        previous[lane] = live && at[lane] > start[lane] ? job.before + (at[lane] - 1) * limbs : modulus.r();
        to[lane] = live ? job.out + at[lane] * limbs : nullptr;
        if (at[lane] > start[lane]) {
          prefetch_rows(job.rows + (at[lane] - 1) * limbs, limbs);
          if (at[lane] > start[lane] + 1) prefetch_rows(job.before + (at[lane] - 2) * limbs, limbs);
        }
      }
      engine.load(item, from);
      engine.load(before, previous);
      engine.mul_exact(result, u, before);
      engine.mul_exact(u, u, item);
      engine.store_some(result, to);
    }
  }
}

}  // namespace
}  // namespace crypsis::bigint
