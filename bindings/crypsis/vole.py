# SPDX-License-Identifier: Apache-2.0
"""Kernels below oblivious transfer and VOLE: punctured GGM trees, small-field VOLE.

    leaves, sums = vole.expand_trees(seeds, depth)            # one party
    leaves = vole.reconstruct_trees(known, positions, depth)  # the other one: all leaves but one a tree

These are building blocks of protocols (`crypsis.mpc.ot`), not protocols: nothing here talks to a peer. A block is 16
bytes, an array of blocks uint8[n, 16]. Every backend gives the same bytes, and everything is constant-time in what it
is given. Arrays on a CUDA device are worked on there (`crypsis.cuda.vole`) by all but `SmallField`, its columns, and
what benchmarks and tests have (`measure_gather`, `primal_positions`). There a code's seed is best given as bytes: an
array is copied to the host first.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis._lpn import PRIMAL_WEIGHT as PRIMAL_WEIGHT
from crypsis._lpn import expand_convolute as expand_convolute
from crypsis._lpn import expand_correlated as expand_correlated
from crypsis._lpn import expand_noise as expand_noise
from crypsis._lpn import measure_gather as measure_gather
from crypsis._lpn import place_noise as place_noise
from crypsis._lpn import primal_encode as primal_encode
from crypsis._lpn import primal_positions as primal_positions
from crypsis._lpn import reconstruct_correlated as reconstruct_correlated
from crypsis._lpn import reconstruct_noise as reconstruct_noise
from crypsis.cuda._dispatch import follow_data

ByteArray: TypeAlias = npt.NDArray[np.uint8]

BLOCK_BYTES = 16
MAX_TREE_DEPTH: int = _core.vole.MAX_TREE_DEPTH
MAX_FIELD_BITS = 8


@follow_data("vole")
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


@follow_data("vole")
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


def tree_depths(k: int) -> tuple[int, ...]:
    """Depths of the trees whose leaves make Delta's 128 bits with `k` (1 to 8) bits each; the last takes the rest."""
    return tuple(_core.vole.tree_depths(_arguments.integer("k", k, 1, MAX_FIELD_BITS)))


class SmallField:
    """Small-field VOLE over GF(2^k), p = 2 [Roy22, Fig. 7], for all trees of `tree_depths(k)` at once.

    Each leaf is an AES-128 key; its stream is AES(leaf, b) for b = first_block, first_block + 1, ... as little-endian
    128-bit integers, 128 positions a block, least significant bit first. With all leaves (`delta` None) the object is
    full: per position it makes a choice bit c and a row t of 128 bits, and the corrections that the punctured object,
    which lacks the leaf at Delta's bits of each tree, needs for rows q = t ^ c Delta. Bit first_column + j of a row
    belongs to bit j of that tree's part of Delta (bits counted from the least significant one of byte 0).

    k: 1 to 8. leaves: uint8[sum of 2^depth, 16], tree after tree. delta: 16 bytes, or None. The object keeps the
    expanded keys (176 bytes a leaf) and wipes them when it goes. It is stateless: a block must not be used twice, which
    is for the protocol to see to. Constant-time in leaves, Delta, choices and corrections.
    """

    def __init__(self, k: int, leaves: ByteArray, delta: bytes | None = None) -> None:
        depths = tree_depths(k)
        leaves = _rows("leaves", leaves, (BLOCK_BYTES,))
        wanted = sum(1 << depth for depth in depths)
        if len(leaves) != wanted:
            raise ValueError(f"leaves has {len(leaves)} blocks: the trees for k = {k} have {wanted}")
        mask = None
        if delta is not None:
            mask = np.frombuffer(bytes(delta), np.uint8)
            if len(mask) != BLOCK_BYTES:
                raise ValueError(f"delta has {len(mask)} bytes: give {BLOCK_BYTES}")
        self._kernel = _core.vole.SmallField(int(k), leaves, mask)
        self._full = delta is None
        self._n_trees = len(depths)

    def n_rows(self, chosen: bool) -> int:
        """Rows of corrections: one a tree; the first tree needs none where the choices are random."""
        return self._n_trees - (not chosen)

    def extend_full(
        self,
        first_block: int,
        n_blocks: int,
        *,
        choices: ByteArray | None,
        corrections: ByteArray,
        bits: ByteArray | None = None,
        rows: ByteArray | None = None,
        columns: ByteArray | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        """The side with all leaves, for positions [128 first_block, 128 (first_block + n_blocks)).

        choices: uint8[16 n_blocks], packed bits, or None for random ones. Written: corrections uint8[n_rows *
        16 n_blocks], tile by tile of 4096 positions and in a tile row by row; bits uint8[16 n_blocks], the choices;
        and at least one of rows uint8[128 n_blocks, 16], t, and columns uint8[columns_bytes(n_blocks)], the same before
        the transpose in a layout of the kernel's own, for `hash_columns` and `columns_to_rows`.
        """
        first_block, n_blocks = self._range(first_block, n_blocks, full=True)
        if choices is not None:
            choices = _flat("choices", choices, BLOCK_BYTES * n_blocks)
        size = self.n_rows(choices is not None) * BLOCK_BYTES * n_blocks
        corrections = _flat_out("corrections", corrections, size)
        if bits is not None:
            bits = _flat_out("bits", bits, BLOCK_BYTES * n_blocks)
        rows, columns = _rows_or_columns(rows, columns, n_blocks)
        self._kernel.extend_full(
            first_block,
            n_blocks,
            choices,
            corrections,
            bits,
            rows,
            columns,
            _arguments.backend(backend),
            _arguments.threads(threads),
        )

    def extend_punctured(
        self,
        first_block: int,
        n_blocks: int,
        *,
        chosen: bool,
        corrections: ByteArray,
        rows: ByteArray | None = None,
        columns: ByteArray | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        """The side that lacks a leaf a tree: rows (or columns) q = t ^ c Delta. `chosen`: the other side chose."""
        first_block, n_blocks = self._range(first_block, n_blocks, full=False)
        chosen = _arguments.flag("chosen", chosen)
        corrections = _flat("corrections", corrections, self.n_rows(chosen) * BLOCK_BYTES * n_blocks)
        rows, columns = _rows_or_columns(rows, columns, n_blocks)
        self._kernel.extend_punctured(
            first_block,
            n_blocks,
            chosen,
            corrections,
            rows,
            columns,
            _arguments.backend(backend),
            _arguments.threads(threads),
        )

    def _range(self, first_block: int, n_blocks: int, *, full: bool) -> tuple[int, int]:
        if full != self._full:
            raise ValueError(
                "delta was given: use extend_punctured" if full else "delta is None: use extend_full"
            )
        n_blocks = _arguments.integer("n_blocks", n_blocks, 1, 1 << 32)
        return _arguments.integer("first_block", first_block, 0, (1 << 64) - 1 - n_blocks), n_blocks


def columns_bytes(n_blocks: int) -> int:
    """Size of the columns of 128 n_blocks positions, in bytes."""
    return _core.vole.columns_bytes(_arguments.integer("n_blocks", n_blocks, 1, 1 << 32))


def columns_to_rows(
    columns: ByteArray,
    n_blocks: int,
    rows: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> None:
    """Transpose columns of `SmallField` to rows uint8[128 n_blocks, 16]."""
    columns = _flat("columns", columns, columns_bytes(n_blocks))
    rows = _out("rows", rows, (128 * n_blocks, BLOCK_BYTES))
    _core.vole.columns_to_rows(
        columns, int(n_blocks), rows, _arguments.backend(backend), _arguments.threads(threads)
    )


def hash_columns(
    challenge: bytes,
    columns: ByteArray,
    n_blocks: int,
    *,
    bits: ByteArray | None = None,
    backend: str | None = None,
) -> ByteArray:
    """Linear hash of each of the 128 columns, and of `bits` where given: uint8[128 or 129, 16].

    A column of n_blocks 128-bit words x_b goes to the sum over b < n_blocks - 1 of AES(challenge, b) x_b, plus the last
    word as it is, in GF(2^128) (bit i of the little-endian word is the coefficient of x^i): a universal family over the
    challenge, whose value the last word masks [Roy22, Section 4]. bits: uint8[16 n_blocks].
    """
    n_blocks = _arguments.integer("n_blocks", n_blocks, 1, 1 << 32)
    key = np.frombuffer(bytes(challenge), np.uint8)
    if len(key) != BLOCK_BYTES:
        raise ValueError(f"challenge has {len(key)} bytes: give {BLOCK_BYTES}")
    columns = _flat("columns", columns, columns_bytes(n_blocks))
    if bits is not None:
        bits = _flat("bits", bits, BLOCK_BYTES * n_blocks)
    out = np.empty((128 + (bits is not None), BLOCK_BYTES), np.uint8)
    _core.vole.hash_columns(key, columns, bits, n_blocks, out, _arguments.backend(backend))
    return out


@follow_data("vole")
def random_keys(
    rows: ByteArray,
    *,
    delta: bytes | None = None,
    tweak: int | None = None,
    out: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """Independent keys from correlated rows by fixed-key AES [GKWY20].

    rows: uint8[n, 16]. With `delta` (16 bytes), the sender's: uint8[n, 2, 16] with H(q) and H(q ^ delta); without, the
    receiver's: uint8[n, 16] with H(t), and then `out` may be `rows`. H is TMMO with the tweak `tweak` + i for row i
    (0 <= tweak < 2^128, of which the lower 64 bits do not overflow), or MMO where `tweak` is None: MMO is correlation
    robust, TMMO also against a party that chooses its rows, as long as no tweak comes twice. Constant-time.
    """
    rows = _rows("rows", rows, (BLOCK_BYTES,))
    mask = None
    shape: tuple[int, ...] = rows.shape
    if delta is not None:
        mask = np.frombuffer(bytes(delta), np.uint8)
        if len(mask) != BLOCK_BYTES:
            raise ValueError(f"delta has {len(mask)} bytes: give {BLOCK_BYTES}")
        shape = (len(rows), 2, BLOCK_BYTES)
    in_place = out is rows and delta is None
    out = _out("out", out, shape)
    if not in_place:
        _apart(("rows", rows), ("out", out))
    low, high = None, 0
    if tweak is not None:
        high, low = divmod(_arguments.integer("tweak", tweak, 0, (1 << 128) - 1), 1 << 64)
        if low + len(rows) > 1 << 64:
            raise ValueError("tweak overflows its lower 64 bits: use another higher half")
    _core.vole.random_keys(
        rows, mask, low, high, out, _arguments.backend(backend), _arguments.threads(threads)
    )
    return out


def _flat(name: str, value: Any, size: int) -> ByteArray:
    value = _arguments.array(name, value)
    if value.shape != (size,):
        raise ValueError(f"{name} has shape {value.shape}: give uint8[{size}]")
    return np.ascontiguousarray(value)


def _flat_out(name: str, value: Any, size: int) -> ByteArray:
    return _out(name, _arguments.array(name, value), (size,))


def _rows_or_columns(
    rows: ByteArray | None, columns: ByteArray | None, n_blocks: int
) -> tuple[ByteArray | None, ByteArray | None]:
    if rows is None and columns is None:
        raise ValueError("rows and columns are None: give at least one of them")
    return (
        None if rows is None else _out("rows", rows, (128 * n_blocks, BLOCK_BYTES)),
        None if columns is None else _out("columns", columns, (columns_bytes(n_blocks),)),
    )


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
