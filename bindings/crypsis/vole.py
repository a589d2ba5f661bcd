# SPDX-License-Identifier: Apache-2.0
"""Kernels below oblivious transfer and VOLE: punctured GGM trees, small-field VOLE.

    leaves, sums = vole.expand_trees(seeds, depth)            # one party
    leaves = vole.reconstruct_trees(known, positions, depth)  # the other one: all leaves but one a tree

These are building blocks of protocols (`crypsis.mpc.ot`), not protocols: nothing here talks to a peer. A block is 16
bytes, an array of blocks uint8[n, 16]. Every backend gives the same bytes, and everything is constant-time in what it
is given.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core

ByteArray: TypeAlias = npt.NDArray[np.uint8]

BLOCK_BYTES = 16
MAX_TREE_DEPTH: int = _core.vole.MAX_TREE_DEPTH


def expand_trees(
    seeds: ByteArray,
    depth: int,
    *,
    leaves: ByteArray | None = None,
    sums: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> tuple[ByteArray, ByteArray]:
    """Full GGM trees [GGM86]: (leaves uint8[n, 2^depth, 16], sums uint8[n, depth, 2, 16]).

    seeds: uint8[n, 16], the roots. depth: 1 to MAX_TREE_DEPTH. Leaf x of a tree is reached by the bits of x from the
    highest. sums[i, level, side] is the xor of all left (side 0) or right (1) nodes one below `level`, where the
    root is level 0: what the receiver of a punctured tree obtains by oblivious transfer. The generator is
    G(x) = (pi0(x) ^ x, pi1(x) ^ x) with AES-128 under two fixed keys (csrc/vole/NOTES.md has its proof).

    leaves, sums: C-contiguous arrays of those shapes to write to; they and `seeds` must not overlap. Raises
    TypeError, ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, MAX_TREE_DEPTH)
    seeds = _rows("seeds", seeds, (BLOCK_BYTES,))
    n = len(seeds)
    leaves = _out("leaves", leaves, (n, 1 << depth, BLOCK_BYTES))
    sums = _out("sums", sums, (n, depth, 2, BLOCK_BYTES))
    _apart(("seeds", seeds), ("leaves", leaves), ("sums", sums))
    _core.vole.expand_trees(
        seeds, depth, leaves, sums, _arguments.backend(backend), _arguments.threads(threads)
    )
    return leaves, sums


def reconstruct_trees(
    known: ByteArray,
    positions: npt.NDArray[np.uint64],
    depth: int,
    *,
    leaves: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """Leaves uint8[n, 2^depth, 16] of punctured trees; the leaf at positions[i] of tree i is zero.

    known: uint8[n, depth, 16]: of each level the sum (`expand_trees`) on the side where the path to the position does
    not go: side 1 - ((position >> (depth - 1 - level)) & 1). positions: uint64[n], each below 2^depth. Neither branch
    nor address depends on a position. Raises TypeError, ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, MAX_TREE_DEPTH)
    known = _rows("known", known, (depth, BLOCK_BYTES))
    n = len(known)
    positions = _arguments.array("positions", positions, np.uint64)
    if positions.shape != (n,):
        raise ValueError(f"positions has shape {positions.shape}: give one for each of the {n} trees")
    if n and int(positions.max()) >> depth:
        raise ValueError(
            f"positions has a value of 2^{depth} or above: a tree of depth {depth} has no such leaf"
        )
    leaves = _out("leaves", leaves, (n, 1 << depth, BLOCK_BYTES))
    _apart(("known", known), ("leaves", leaves))
    _core.vole.reconstruct_trees(
        known,
        np.ascontiguousarray(positions),
        depth,
        leaves,
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return leaves


def _rows(name: str, value: Any, tail: tuple[int, ...]) -> ByteArray:
    value = _arguments.array(name, value)
    if value.ndim != 1 + len(tail) or value.shape[1:] != tail:
        wanted = ", ".join(["n", *map(str, tail)])
        raise ValueError(f"{name} has shape {value.shape}: give uint8[{wanted}]")
    return np.ascontiguousarray(value)


def _out(name: str, value: ByteArray | None, shape: tuple[int, ...]) -> ByteArray:
    if value is None:
        return np.empty(shape, np.uint8)
    value = _arguments.array(name, value)
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}: the result has {shape}")
    if not value.flags.writeable or not value.flags.c_contiguous:
        raise ValueError(f"{name} is read-only or not C-contiguous: allocate it with numpy.empty")
    return value


def _apart(*arrays: tuple[str, npt.NDArray[Any]]) -> None:
    for i, (name, array) in enumerate(arrays):
        for other, second in arrays[:i]:
            if np.may_share_memory(array, second):
                raise ValueError(f"{name} overlaps {other}: give memory of its own")
