# SPDX-License-Identifier: Apache-2.0
"""The LPN encoders of `crypsis.vole`: checks of arguments around the compiled functions."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis.cuda._dispatch import follow_data

ByteArray: TypeAlias = npt.NDArray[np.uint8]

_BLOCK = 16
PRIMAL_WEIGHT: int = _core.vole.PRIMAL_WEIGHT
MIN_LOG_CODE: int = _core.vole.MIN_LOG_CODE
MAX_LOG_TABLE: int = _core.vole.MAX_LOG_TABLE
MAX_EXPANDER_WEIGHT: int = _core.vole.MAX_EXPANDER_WEIGHT


@follow_data("vole")
def expand_noise(
    seeds: ByteArray,
    depth: int,
    leaves: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> tuple[ByteArray, ByteArray]:
    """Trees as `expand_trees` grows them, to `leaves`, uint8[n * 2^depth, 16]; returns (sums, totals).

    totals, uint8[n, 16]: the xor of all leaves of each tree. Raises TypeError, ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    seeds = _blocks("seeds", seeds)
    n = len(seeds)
    leaves = _written("leaves", leaves, (n << depth, _BLOCK))
    _apart(seeds=seeds, leaves=leaves)
    sums, totals = np.empty((n, depth, 2, _BLOCK), np.uint8), np.empty((n, _BLOCK), np.uint8)
    _core.vole.expand_noise(
        seeds, depth, leaves, sums, totals, _arguments.backend(backend), _arguments.threads(threads)
    )
    return sums, totals


@follow_data("vole")
def reconstruct_noise(
    known: ByteArray,
    positions: npt.NDArray[np.uint64],
    corrections: ByteArray,
    depth: int,
    leaves: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """As `reconstruct_trees`, to `leaves`, uint8[n * 2^depth, 16], but without a gap.

    The leaf at positions[i] becomes corrections[i] (uint8[n, 16]) xor all others of tree i. Neither branch nor address
    depends on a position. Raises TypeError, ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    positions = _positions(positions, depth)
    known = _known(known, len(positions), depth)
    corrections = _blocks("corrections", corrections, len(positions))
    leaves = _written("leaves", leaves, (len(positions) << depth, _BLOCK))
    _apart(known=known, positions=positions, corrections=corrections, leaves=leaves)
    _core.vole.reconstruct_noise(
        known,
        positions,
        corrections,
        depth,
        leaves,
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return leaves


@follow_data("vole")
def expand_correlated(
    seeds: ByteArray,
    delta: ByteArray,
    depth: int,
    leaves: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """Correlated GGM trees [GYWZXLZ23] to `leaves`, uint8[n * 2^depth, 16]; returns sums, uint8[n, depth, 16].

    The first two nodes of tree i are seeds[i] (uint8[n, 16]) and seeds[i] ^ delta; the children of x are H(x) and
    H(x) ^ x, so that every level adds up to delta (uint8[16]). sums[i, level] is of the left nodes one below `level`.
    At the end the lowest bit of each leaf is cleared: the other party keeps there whether a leaf is noise.
    Constant-time. Raises TypeError, ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    seeds = _blocks("seeds", seeds)
    delta = _arguments.array("delta", delta)
    if delta.shape != (_BLOCK,):
        raise ValueError(f"delta has shape {delta.shape}: give uint8[{_BLOCK}]")
    n = len(seeds)
    leaves = _written("leaves", leaves, (n << depth, _BLOCK))
    _apart(seeds=seeds, delta=delta, leaves=leaves)
    sums = np.empty((n, depth, _BLOCK), np.uint8)
    _core.vole.expand_correlated(
        seeds,
        np.ascontiguousarray(delta),
        depth,
        leaves,
        sums,
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return sums


@follow_data("vole")
def reconstruct_correlated(
    known: ByteArray,
    positions: npt.NDArray[np.uint64],
    depth: int,
    leaves: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """The leaves of `expand_correlated`, but at positions[i] of tree i the leaf ^ delta: uint8[n * 2^depth, 16].

    known: uint8[n, depth, 16], as for `reconstruct_trees`. At the end the lowest bit of each leaf is cleared, and set
    at the positions. Neither branch nor address depends on a position. Raises TypeError, ValueError,
    BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    positions = _positions(positions, depth)
    known = _known(known, len(positions), depth)
    leaves = _written("leaves", leaves, (len(positions) << depth, _BLOCK))
    _apart(known=known, positions=positions, leaves=leaves)
    _core.vole.reconstruct_correlated(
        known, positions, depth, leaves, _arguments.backend(backend), _arguments.threads(threads)
    )
    return leaves


@follow_data("vole")
def place_noise(
    positions: npt.NDArray[np.uint64],
    values: ByteArray,
    depth: int,
    out: ByteArray,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """out, uint8[n * 2^depth, 16]: zero but for values[i] (uint8[n, 16]) at positions[i] of piece i of 2^depth blocks.

    Values and blocks may have 8 bytes instead. Neither branch nor address depends on a position. Raises TypeError,
    ValueError, BackendUnavailable.
    """
    depth = _arguments.integer("depth", depth, 1, _core.vole.MAX_TREE_DEPTH)
    positions = _positions(positions, depth)
    width = _width("values", values)
    values = _blocks("values", values, len(positions), width)
    out = _written("out", out, (len(positions) << depth, width))
    _apart(positions=positions, values=values, out=out)
    _core.vole.place_noise(
        positions, values, depth, out, _arguments.backend(backend), _arguments.threads(threads)
    )
    return out


@follow_data("vole")
def primal_encode(
    seed: bytes | ByteArray,
    table: ByteArray,
    out: ByteArray,
    *,
    first_row: int = 0,
    bits: ByteArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """out[i] ^= the xor of ten blocks of `table`: rows first_row + i of the public sparse matrix of `seed` [YWL+20].

    seed: 16 bytes or uint8[16], public. table: uint8[k, 16], k a power of two up to 2^MAX_LOG_TABLE. out: uint8[n, 16],
    in and out. first_row: a multiple of four. bits: uint8[ceil(n / 8)], or None: gets the lowest bit of each out,
    packed. A position is the low bits of a word of AES-128 in counter mode under the seed, without bias; the ten of a
    row are independent. Constant-time in the blocks. Raises TypeError, ValueError, BackendUnavailable.
    """
    seed = _seed(seed)
    table = _blocks("table", table)
    log_table = _log_of("table", len(table), 0)
    out = _written("out", out, (_length(out), _BLOCK))
    first_row = _first_row(first_row)
    _apart(seed=seed, table=table, out=out)
    if bits is not None:
        bits = _written("bits", bits, ((len(out) + 7) // 8,))
        _apart(seed=seed, table=table, out=out, bits=bits)
    _core.vole.primal_encode(
        seed, first_row, table, log_table, out, bits, _arguments.backend(backend), _arguments.threads(threads)
    )
    return out


def primal_positions(
    seed: bytes | ByteArray, n_rows: int, log_table: int, *, first_row: int = 0, backend: str | None = None
) -> npt.NDArray[np.uint32]:
    """The matrix of `primal_encode`: uint32[n_rows, PRIMAL_WEIGHT], row by row the positions of its ones."""
    n_rows = _arguments.integer("n_rows", n_rows, 0, 1 << 32)
    log_table = _arguments.integer("log_table", log_table, 0, MAX_LOG_TABLE)
    positions = np.empty((n_rows, PRIMAL_WEIGHT), np.uint32)
    _core.vole.primal_positions(
        _seed(seed), _first_row(first_row), log_table, positions, _arguments.backend(backend)
    )
    return positions


@follow_data("vole")
def expand_convolute(
    seed: bytes | ByteArray,
    vector: ByteArray,
    out: ByteArray,
    *,
    weight: int,
    field: int = 128,
    second: tuple[ByteArray, ByteArray] | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ByteArray:
    """out = B A2 A1 vector, the public expand-convolute code of `seed` [RRT23]; csrc/vole/LPN_NOTES.md defines it.

    seed: 16 bytes or uint8[16], public. vector: uint8[N, 16], N a power of two from 2^MIN_LOG_CODE, overwritten by the
    convoluted one. out: uint8[n, 16]. weight: elements of the convoluted vector in an output, 1 to MAX_EXPANDER_WEIGHT.
    field: 128, or 64: then a vector and its out are pairs of elements of GF(2^64), or have 8 bytes a row and are single
    ones. second: (vector, out) of as many rows, for the same code, in less time where a backend gains by it.
    Constant-time in the elements. The convolution runs on one thread. Raises TypeError, ValueError, BackendUnavailable.
    """
    seed = _seed(seed)
    if field not in (64, 128):
        raise ValueError(f"field is {field!r}: use 128 or 64")
    width = _width("vector", vector) if field == 64 else _BLOCK
    vector = _written("vector", vector, (_length(vector), width))
    log_code = _log_of("vector", len(vector), MIN_LOG_CODE)
    weight = _arguments.integer("weight", weight, 1, MAX_EXPANDER_WEIGHT)
    out = _written("out", out, (_length(out), width))
    vector2, out2 = (None, None) if second is None else second
    if second is None:
        _apart(seed=seed, vector=vector, out=out)
    else:
        width = _width("second[0]", vector2) if field == 64 else _BLOCK
        vector2 = _written("second[0]", vector2, (len(vector), width))
        out2 = _written("second[1]", out2, (len(out), width))
        _apart(seed=seed, vector=vector, out=out, vector2=vector2, out2=out2)
    _core.vole.expand_convolute(
        seed,
        vector,
        log_code,
        weight,
        out,
        vector2,
        out2,
        field,
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return out


def measure_gather(table: ByteArray, n_rows: int, *, repeats: int = 1, backend: str | None = None) -> int:
    """For benchmarks: ten random reads of a block of `table` a row, and nothing else; returns the number of reads."""
    table = _blocks("table", table)
    log_table = _log_of("table", len(table), 0)
    n_rows = _arguments.integer("n_rows", n_rows, 1, 1 << 32)
    repeats = _arguments.integer("repeats", repeats, 1, 1 << 20)
    return _core.vole.measure_gather(table, log_table, n_rows, repeats, _arguments.backend(backend))


def _positions(value: Any, depth: int) -> npt.NDArray[np.uint64]:
    positions: npt.NDArray[np.uint64] = np.ascontiguousarray(_arguments.array("positions", value, np.uint64))
    if positions.ndim != 1:
        raise ValueError(f"positions has shape {positions.shape}: give uint64[n]")
    if len(positions) and int(positions.max()) >> depth:
        raise ValueError(
            f"positions has a value of 2^{depth} or above: a tree of that depth has no such leaf"
        )
    return positions


def _known(known: Any, n: int, depth: int) -> ByteArray:
    known = _arguments.array("known", known)
    if known.shape != (n, depth, _BLOCK):
        raise ValueError(f"known has shape {known.shape}: give uint8[{n}, {depth}, {_BLOCK}]")
    return np.ascontiguousarray(known)


def _seed(seed: Any) -> ByteArray:
    if isinstance(seed, bytes):
        seed = np.frombuffer(seed, np.uint8)
    seed = _arguments.array("seed", seed)
    if seed.shape != (_BLOCK,):
        raise ValueError(f"seed has shape {seed.shape}: give uint8[{_BLOCK}]")
    return np.ascontiguousarray(seed)


def _width(name: str, value: Any) -> int:
    """Bytes of an element: 8 in rows of 8, else 16."""
    return 8 if _arguments.array(name, value).shape[1:] == (8,) else _BLOCK


def _blocks(name: str, value: Any, n: int | None = None, width: int = _BLOCK) -> ByteArray:
    value = _arguments.array(name, value)
    if value.ndim != 2 or value.shape[1] != width or (n is not None and len(value) != n):
        raise ValueError(f"{name} has shape {value.shape}: give uint8[{'n' if n is None else n}, {width}]")
    return np.ascontiguousarray(value)


def _written(name: str, value: Any, shape: tuple[int, ...]) -> ByteArray:
    array: ByteArray = _arguments.array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: give uint8{list(shape)}")
    if not array.flags.writeable or not array.flags.c_contiguous:
        raise ValueError(f"{name} is read-only or not C-contiguous: allocate it with numpy.empty")
    return array


def _length(value: Any) -> int:
    return len(value) if isinstance(value, np.ndarray) and value.ndim else 0


def _log_of(name: str, n: int, low: int) -> int:
    log = n.bit_length() - 1
    if n < 1 or n != 1 << log or not low <= log <= MAX_LOG_TABLE:
        raise ValueError(f"{name} has {n} blocks: give a power of two from 2^{low} to 2^{MAX_LOG_TABLE}")
    return log


def _first_row(value: Any) -> int:
    first_row = _arguments.integer("first_row", value, 0, 1 << 60)
    if first_row % 4:
        raise ValueError(f"first_row is {first_row}: give a multiple of four")
    return first_row


def _apart(**arrays: npt.NDArray[Any]) -> None:
    known: list[tuple[str, npt.NDArray[Any]]] = []
    for name, array in arrays.items():
        for other, second in known:
            if np.may_share_memory(array, second):
                raise ValueError(f"{name} overlaps {other}: give memory of its own")
        known.append((name, array))
