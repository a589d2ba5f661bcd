# SPDX-License-Identifier: Apache-2.0
"""`crypsis.vole` on a device: kernels/vole. Called by way of `crypsis.vole`.

Functions take the device first and then what those of `crypsis.vole` take, and return and raise what those do;
DeviceMemoryError where arrays do not fit. Arrays are the device's, the same bytes as on the CPU. Small-field VOLE, its
columns and their hash have no kernels: they are set-up, some 128 positions at a time.

Trees down to 2^10 leaves (kernels/vole/tuning.json) grow in one launch, a block of threads each; a level more is a
launch more, and then half as much memory as the leaves have, overwritten behind it. Constant-time as on the CPU. Where
positions are given the call waits for the device, to check them before anything is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import _arguments, _core
from crypsis import aes as aes_host
from crypsis.cuda import _vole_checks as check
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes
from crypsis.cuda._vole_lpn import expand_convolute as expand_convolute
from crypsis.cuda._vole_lpn import place_noise as place_noise
from crypsis.cuda._vole_lpn import primal_encode as primal_encode

SLUG = "vole"
BLOCK = check.BLOCK
GGM, HALF = "ggm", "half"
GAP_ZERO, GAP_CORRECTION, GAP_CORRELATED = range(3)
"""As in kernels/vole/trees.cuh."""

FIXED_SHARED_BYTES = 4 * (256 * 32 + 9 * 8)
"""Of a block in the kernels of trees: AES's table, and sums of eight warps and of all."""

_TREE_KEYS = np.dtype([("left", "<u4", (44,)), ("right", "<u4", (44,))])
_SHAPE = np.dtype([("levels", "<u4"), ("depth", "<u4")])
_HASH_JOB = np.dtype(
    [
        ("keys", "<u4", (44,)),
        ("delta", "<u4", (4,)),
        ("tweak_low", "<u8"),
        ("tweak_high", "<u8"),
        ("n", "<u8"),
        ("pairs", "<u4"),
        ("tweaked", "<u4"),
    ]
)


@check.copies_wiped("seeds")
def expand_trees(
    device: Device, seeds: Any, depth: int, *, leaves: Any = None, sums: Any = None
) -> tuple[Any, Any]:
    """Full GGM trees: (leaves uint8[n, 2^depth, 16], sums uint8[n, depth, 2, 16])."""
    depth = _depth(depth)
    seeds = check.rows(device, "seeds", seeds, (BLOCK,))
    n = len(seeds)
    leaves = check.output(device, "leaves", leaves, (n, 1 << depth, BLOCK))
    if sums is not None:
        sums = check.written(device, "sums", sums, (n, depth, 2, BLOCK))
    given = {"leaves": leaves} | ({} if sums is None else {"sums": sums})
    check.apart(device, seeds=seeds, **given)
    made = _grow(device, GGM, seeds, None, depth, leaves.reshape(-1, BLOCK)).reshape(n, depth, 2, BLOCK)
    if sums is None:
        return leaves, made
    sums[...] = made
    made.fill(0)
    return leaves, sums


@check.copies_wiped("known", "positions")
def reconstruct_trees(device: Device, known: Any, positions: Any, depth: int, *, leaves: Any = None) -> Any:
    """Leaves uint8[n, 2^depth, 16] of punctured trees; the leaf at positions[i] of tree i is zero."""
    depth = _depth(depth)
    known = check.rows(device, "known", known, (depth, BLOCK))
    n = len(known)
    positions = check.positions(device, positions, depth, n)
    leaves = check.output(device, "leaves", leaves, (n, 1 << depth, BLOCK))
    check.apart(device, known=known, positions=positions, leaves=leaves)
    _puncture(device, GGM, known, positions, None, depth, leaves.reshape(-1, BLOCK), GAP_ZERO)
    return leaves


@check.copies_wiped("seeds")
def expand_noise(device: Device, seeds: Any, depth: int, leaves: Any) -> tuple[Any, Any]:
    """Trees as `expand_trees` grows them, to `leaves`, uint8[n * 2^depth, 16]; returns (sums, totals)."""
    depth = _depth(depth)
    seeds = check.rows(device, "seeds", seeds, (BLOCK,))
    n = len(seeds)
    leaves = check.written(device, "leaves", leaves, (n << depth, BLOCK))
    check.apart(device, seeds=seeds, leaves=leaves)
    totals = device.empty((n, BLOCK), np.uint8)
    sums = _grow(device, GGM, seeds, None, depth, leaves).reshape(n, depth, 2, BLOCK)
    totals[...] = sums[:, depth - 1, 0] ^ sums[:, depth - 1, 1]
    return sums, totals


@check.copies_wiped("known", "positions", "corrections")
def reconstruct_noise(
    device: Device, known: Any, positions: Any, corrections: Any, depth: int, leaves: Any
) -> Any:
    """As `reconstruct_trees`, but the leaf at positions[i] becomes corrections[i] xor all others of tree i."""
    depth = _depth(depth)
    positions = check.positions(device, positions, depth)
    n = len(positions)
    known = check.rows(device, "known", known, (depth, BLOCK), n)
    corrections = check.rows(device, "corrections", corrections, (BLOCK,), n)
    leaves = check.written(device, "leaves", leaves, (n << depth, BLOCK))
    check.apart(device, known=known, positions=positions, corrections=corrections, leaves=leaves)
    _puncture(device, GGM, known, positions, corrections, depth, leaves, GAP_CORRECTION)
    return leaves


@check.copies_wiped("seeds", "delta")
def expand_correlated(device: Device, seeds: Any, delta: Any, depth: int, leaves: Any) -> Any:
    """Correlated GGM trees to `leaves`, uint8[n * 2^depth, 16]; returns sums, uint8[n, depth, 16]."""
    depth = _depth(depth)
    seeds = check.rows(device, "seeds", seeds, (BLOCK,))
    delta = check.array(device, "delta", delta)
    if delta.shape != (BLOCK,):
        raise ValueError(f"delta has shape {delta.shape}: give uint8[{BLOCK}]")
    n = len(seeds)
    leaves = check.written(device, "leaves", leaves, (n << depth, BLOCK))
    check.apart(device, seeds=seeds, delta=delta, leaves=leaves)
    return _grow(device, HALF, seeds, delta, depth, leaves).reshape(n, depth, BLOCK)


@check.copies_wiped("known", "positions")
def reconstruct_correlated(device: Device, known: Any, positions: Any, depth: int, leaves: Any) -> Any:
    """The leaves of `expand_correlated`, but at positions[i] of tree i the leaf ^ delta."""
    depth = _depth(depth)
    positions = check.positions(device, positions, depth)
    n = len(positions)
    known = check.rows(device, "known", known, (depth, BLOCK), n)
    leaves = check.written(device, "leaves", leaves, (n << depth, BLOCK))
    check.apart(device, known=known, positions=positions, leaves=leaves)
    _puncture(device, HALF, known, positions, None, depth, leaves, GAP_CORRELATED)
    return leaves


@check.copies_wiped("rows")
def random_keys(
    device: Device, rows: Any, *, delta: bytes | None = None, tweak: int | None = None, out: Any = None
) -> Any:
    """Independent keys from correlated rows. Delta goes to the device as a kernel's parameter."""
    rows = check.rows(device, "rows", rows, (BLOCK,))
    n = len(rows)
    job = np.zeros((), _HASH_JOB)
    shape: tuple[int, ...] = (n, BLOCK)
    if delta is not None:
        mask = bytes(delta)
        if len(mask) != BLOCK:
            raise ValueError(f"delta has {len(mask)} bytes: give {BLOCK}")
        shape = (n, 2, BLOCK)
        job["delta"], job["pairs"] = np.frombuffer(mask, "<u4"), 1
    if tweak is not None:
        high, low = divmod(_arguments.integer("tweak", tweak, 0, (1 << 128) - 1), 1 << 64)
        if low + n > 1 << 64:
            raise ValueError("tweak overflows its lower 64 bits: use another higher half")
        job["tweak_low"], job["tweak_high"], job["tweaked"] = low, high, 1
    in_place = out is not None and delta is None and _same(device, out, rows)
    out = check.output(device, "out", out, shape)
    if not in_place:
        check.apart(device, rows=rows, out=out)
    if n:
        tuned = launch_shapes(SLUG)["random_keys"]
        job["keys"], job["n"] = check.round_keys(aes_host.HASH_KEY), n
        grid = min(-(-n // tuned["block"]), tuned["blocks"] * device.n_multiprocessors)
        device.launch(SLUG, "random_keys", grid=grid, block=tuned["block"], args=[out, rows, job[()]])
        job["delta"] = 0
    return out


def _same(device: Device, out: Any, rows: Any) -> bool:
    """Whether `out` is `rows`, byte for byte."""
    return (
        device.owns(out)
        and out.shape == rows.shape
        and out.dtype == rows.dtype
        and bool(out.flags.c_contiguous)
        and device.address(out) == device.address(rows)
    )


def _depth(depth: Any) -> int:
    return _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)


def _tree_keys() -> Any:
    left, right = check.round_keys(aes_host.LEFT_KEY), check.round_keys(aes_host.RIGHT_KEY)
    return np.array((left, right), _TREE_KEYS)[()]


class _Levels:
    """The levels of some trees, of which those below the first launch's lie in the leaves and in scratch in turn."""

    def __init__(self, device: Device, kind: str, verb: str, depth: int, n_trees: int) -> None:
        self.device, self.kind, self.verb, self.depth, self.n_trees = device, kind, verb, depth, n_trees
        self.tuned = launch_shapes(SLUG)["trees"]
        self.first = min(depth, self.tuned["levels"])
        self.keys = _tree_keys()
        self.scratch = None if self.first == depth else device.empty(n_trees << (depth - 1) + 4, np.uint8)

    def run(self, leaves: Any, args: list[Any], rest: list[Any], inputs: list[Any]) -> None:
        """All launches. args: of the first one between `out` and the keys, the sums first; rest: behind the shape;
        inputs: what a level takes between the sums and the keys."""
        self._launch(
            f"{self.verb}_{self.kind}",
            self.n_trees,
            [self._memory(leaves, self.first), *args, self.keys, self._shape(self.first), *rest],
            nodes_bytes=BLOCK << self.first,
        )
        per_block = self.tuned["nodes"]
        for level in range(self.first, self.depth):
            self._launch(
                f"{self.verb}_{self.kind}_level",
                self.n_trees * -(-(1 << level) // per_block),
                [
                    self._memory(leaves, level + 1),
                    self._memory(leaves, level),
                    args[0],
                    *inputs,
                    self.keys,
                    self._shape(level + 1),
                    np.uint32(per_block),
                ],
            )

    def _memory(self, leaves: Any, level: int) -> Any:
        return leaves if (self.depth - level) % 2 == 0 else self.scratch

    def _shape(self, levels: int) -> Any:
        return np.array((levels, self.depth), _SHAPE)[()]

    def _launch(self, kernel: str, grid: int, args: list[Any], nodes_bytes: int = 0) -> None:
        block, shared = self.tuned["block"], FIXED_SHARED_BYTES + nodes_bytes
        self.device.launch(SLUG, kernel, grid=grid, block=block, args=args, shared_bytes=shared)

    def wipe(self) -> None:
        """Overwrites the nodes in scratch."""
        if self.scratch is not None:
            self.scratch.fill(0)


def _in_trees(device: Device, n: int, depth: int, sums_bytes: int, work: Any) -> None:
    deep = depth > launch_shapes(SLUG)["trees"]["levels"]
    item = (BLOCK << (depth - 1) if deep else 0) + sums_bytes
    in_blocks(device, n, item, work, what=f"trees of depth {depth}", most=max((1 << 30) >> depth, 1))


def _grow(device: Device, kind: str, seeds: Any, delta: Any, depth: int, leaves: Any) -> Any:
    """Trees to `leaves`; returns their sums, uint8[n, depth * sides * 16]."""
    n, words = len(seeds), 8 if kind == GGM else 4
    if n == 0:
        return device.empty((0, depth * words * 4), np.uint8)
    sums = device.xp.zeros((n, depth * words), np.uint32)

    def work(part: slice) -> None:
        levels = _Levels(device, kind, "grow", depth, part.stop - part.start)
        own = leaves[part.start << depth : part.stop << depth]
        own_sums = sums[part]
        own_sums.fill(0)  # what an earlier try left
        try:
            inputs = [seeds[part]] if delta is None else [seeds[part], delta]
            levels.run(own, [own_sums, *inputs], [], [])
        finally:
            levels.wipe()

    try:
        _in_trees(device, n, depth, 0, work)
    except BaseException:
        sums.fill(0)
        raise
    return sums.view(np.uint8)


def _puncture(
    device: Device,
    kind: str,
    known: Any,
    positions: Any,
    corrections: Any,
    depth: int,
    leaves: Any,
    gap: int,
) -> None:
    sums_bytes = depth * 8 * 4

    def work(part: slice) -> None:
        n = part.stop - part.start
        levels = _Levels(device, kind, "puncture", depth, n)
        own, own_known = leaves[part.start << depth : part.stop << depth], known[part]
        own_positions = positions[part]
        own_corrections = own_known if corrections is None else corrections[part]  # not read
        sums = device.empty((n, depth * 8), np.uint32)
        try:
            sums.fill(0)
            inputs = [own_known, own_positions]
            if kind == GGM:
                levels.run(own, [sums, *inputs, own_corrections], [np.uint32(gap)], inputs)
            else:
                levels.run(own, [sums, *inputs], [], inputs)
            if levels.first < depth:
                n_leaves = n << depth
                sizes = [np.uint64(n_leaves), np.uint32(depth), np.uint32(gap)]
                device.launch(
                    SLUG,
                    "fill_gaps",
                    grid=-(-n_leaves // levels.tuned["block"]),
                    block=levels.tuned["block"],
                    args=[own, sums, *inputs, own_corrections, *sizes],
                )
        finally:
            levels.wipe()
            sums.fill(0)

    _in_trees(device, len(known), depth, sums_bytes, work)
