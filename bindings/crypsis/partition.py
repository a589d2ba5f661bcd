# SPDX-License-Identifier: Apache-2.0
"""What a set intersection does besides cryptography: radix partition to bins, sort, match, and duplicates merged.

    records, starts = crypsis.partition.records(digests, 500, first_row=0)      # outer bins, to spill
    keys, starts, row_starts, rows = crypsis.partition.group(records, 48)       # one outer bin: its inner bins
    tags, order = crypsis.partition.sort_tags(tags, starts)
    own_index, peer_index = crypsis.partition.match(own, own_starts, peer, peer_starts)

Keys and digests are 16 bytes that a keyed hash made. The inner bin of a key is floor(le64(key[0:8]) n_bins / 2^64), the
outer bin of a digest floor(le32(digest[12:16]) n_bins / 2^32). A record is digest[0:12] || le32(row). Bin b of an array
is array[starts[b]:starts[b + 1]], starts uint64[n_bins + 1] from 0 to the length. At most 2^32 - 1 rows a call; inner
bins are meant to hold about 50,000 items, which a CPU's second cache does, and larger ones are slower, not wrong.

Honest digests and tags are even over their range and take linear time; any others take n log n at most. Time and memory
addresses depend on the bytes: these functions are for data of the party that calls them, and for tags that both know.
Results are the same bytes for every backend and number of threads.

Arrays are C-contiguous NumPy arrays, or all CuPy arrays of one GPU, where the results are then too; but for the memory
that `group_buffers` gives, which `crypsis.cuda.partition.group_buffers` gives on a GPU. Options of the functions:

    out       arrays for the results; they must not overlap an input or each other. Fresh memory costs as much as the
              work does: give the same arrays again. Untouched when an error is raised.
    backend   a name from `crypsis.backends.runnable("partition")`; default: `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value,
`crypsis.errors.BackendUnavailable` for a backend this CPU cannot run, `crypsis.errors.CorruptData` as `match` says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _bin_bound, _core
from crypsis.cuda._dispatch import follow_data
from crypsis.errors import CorruptData

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.uint64]

MAX_ROWS = 2**32 - 1
"""The most rows of a call and of a party: row ids are 32 bits."""

MAX_BINS = 2**24
"""The most bins of a call."""

_ROW_BYTES = 16


class Binned(NamedTuple):
    """What `by_bin` returns."""

    keys: Bytes
    """uint8[n, 16], by bin."""
    order: Indices
    """uint32[n]: keys[i] was the order[i]-th."""
    starts: Starts
    """uint64[n_bins + 1]."""


class Records(NamedTuple):
    """What `records` returns."""

    records: Bytes
    """uint8[n, 16], by outer bin."""
    starts: Starts
    """uint64[n_bins + 1]."""


class Groups(NamedTuple):
    """What `group` returns: the distinct keys of an outer bin and the rows that have each."""

    keys: Bytes
    """uint8[u, 16], distinct, digest[0:12] || 0000, by inner bin."""
    starts: Starts
    """uint64[n_bins + 1], of `keys`."""
    row_starts: Indices
    """uint32[u + 1], of `rows`: np.diff(row_starts) counts how often each key occurs."""
    rows: Indices
    """uint32[n]; the rows of key k are rows[row_starts[k]:row_starts[k + 1]], ascending."""


class SortedTags(NamedTuple):
    """What `sort_tags` returns."""

    tags: Bytes
    """uint8[n, width], ascending by bytes inside each bin."""
    order: Indices
    """uint32[n]: tags[i] was the order[i]-th."""


class Matches(NamedTuple):
    """What `match` returns: own[own_index[i]] == peer[peer_index[i]]."""

    own_index: Indices
    """uint32[k]."""
    peer_index: Indices
    """uint32[k], ascending."""


def bin_bound(n_items: int, n_bins: int, *, statistical: int = 40) -> int:
    """The smallest m with n_bins P[Binomial(n_items, 1 / n_bins) > m] <= 2^-statistical.

    So many items does the fullest of n_bins bins hold, but for a probability of 2^-statistical, when n_items keys of a
    keyed hash are put in them: the public size to which bins are padded. Exact, remembered, about 30 ms.
    n_items: 0 to 2^33. n_bins: 1 to 2^24; 1 gives n_items. statistical: 1 to 256.
    """
    n_items = _arguments.integer("n_items", n_items, 0, 2**33)
    n_bins = _arguments.integer("n_bins", n_bins, 1, MAX_BINS)
    statistical = _arguments.integer("statistical", statistical, 1, 256)
    return _cached_bound(n_items, n_bins, statistical)


_cached_bound = lru_cache(maxsize=4096)(_bin_bound.bin_bound)


@follow_data("partition")
def by_bin(
    keys: Bytes,
    n_bins: int,
    *,
    out: tuple[Bytes, Indices] | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Binned:
    """Keys grouped by inner bin, in their order within each: uint8[n, 16] -> `Binned`.

    out: (uint8[n, 16], uint32[n]) for keys and order. Fast up to 8,192 bins.
    """
    keys = _rows("keys", keys)
    starts = _new_starts(n_bins)
    result, order = _outputs(
        out,
        {"keys": ((len(keys), _ROW_BYTES), np.uint8), "order": ((len(keys),), np.uint32)},
        {"keys": keys},
    )
    _core.partition.by_bin(keys, result, order, starts, *_options(backend, threads))
    return Binned(result, order, starts)


@follow_data("partition")
def records(
    digests: Bytes,
    n_bins: int,
    *,
    rows: Indices | None = None,
    first_row: int = 0,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Records:
    """Digests to records by outer bin, in their order within each: uint8[n, 16] -> `Records`.

    rows: uint32[n], the row id of each digest; default: first_row, first_row + 1, ... (at most 2^32 - 1 rows in all).
    out: uint8[n, 16]. Fast up to 8,192 bins.
    """
    digests = _rows("digests", digests)
    n = len(digests)
    first_row = _arguments.integer("first_row", first_row, 0, MAX_ROWS)
    inputs: dict[str, npt.NDArray[Any]] = {"digests": digests}
    if rows is not None:
        rows = _array("rows", rows, np.uint32)
        if rows.shape != (n,):
            raise ValueError(f"rows has shape {rows.shape}: give uint32[{n}], one for each digest")
        if first_row:
            raise ValueError(f"first_row is {first_row} and rows are given: give one of them")
        inputs["rows"] = rows
    elif first_row + n > MAX_ROWS:
        raise ValueError(
            f"first_row is {first_row} for {n} digests: a party has at most {MAX_ROWS} rows, split the input"
        )
    starts = _new_starts(n_bins)
    given = None if out is None else (out,)
    (result,) = _outputs(given, {"out": ((n, _ROW_BYTES), np.uint8)}, inputs)
    _core.partition.records(digests, rows, first_row, result, starts, *_options(backend, threads))
    return Records(result, starts)


@follow_data("partition")
def group(
    records: Bytes,
    n_bins: int,
    *,
    out: Groups | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Groups:
    """Records of one outer bin to its distinct keys by inner bin, with the rows of each: uint8[n, 16] -> `Groups`.

    Keys ascend by (le64(key[0:8]), le32(key[8:12])), the rows of a key ascend; the order of the records changes
    nothing. A row that occurs twice with one digest is kept twice.
    out: a `Groups` (an earlier result does not do: its arrays are cut to their length) whose keys are uint8[c, 16],
    row_starts uint32[c + 1] and rows uint32[c] with c >= n; `starts` is not used. The result is views of them; what
    lies behind them is overwritten.
    """
    records = _rows("records", records)
    n = len(records)
    starts = _new_starts(n_bins)
    capacity = n if out is None else _capacity(out, n)
    given = None if out is None else (out.keys, out.row_starts, out.rows)
    keys, row_starts, rows = _outputs(
        given,
        {
            "keys": ((capacity, _ROW_BYTES), np.uint8),
            "row_starts": ((capacity + 1,), np.uint32),
            "rows": ((capacity,), np.uint32),
        },
        {"records": records},
    )
    u = _core.partition.group(records, keys, starts, row_starts, rows, *_options(backend, threads))
    return Groups(keys[:u], starts, row_starts[: u + 1], rows[:n])


def group_buffers(capacity: int) -> Groups:
    """Memory for `group(..., out=)` of up to `capacity` records, about 24 bytes each."""
    capacity = _arguments.integer("capacity", capacity, 0, MAX_ROWS)
    return Groups(
        np.empty((capacity, _ROW_BYTES), np.uint8),
        np.zeros(0, np.uint64),
        np.empty(capacity + 1, np.uint32),
        np.empty(capacity, np.uint32),
    )


@follow_data("partition")
def sort_tags(
    tags: Bytes,
    starts: Starts,
    *,
    out: tuple[Bytes, Indices] | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> SortedTags:
    """Tags ascending by their bytes inside each bin: uint8[n, width], width 8 to 16 -> `SortedTags`.

    starts: uint64[n_bins + 1]. Equal tags stay in their order. out: (uint8[n, width], uint32[n]) for tags and order.
    """
    tags = _tags("tags", tags)
    starts = _starts("starts", starts, len(tags))
    result, order = _outputs(
        out,
        {"tags": (tags.shape, np.uint8), "order": ((len(tags),), np.uint32)},
        {"tags": tags, "starts": starts},
    )
    _core.partition.sort_tags(tags, starts, result, order, *_options(backend, threads))
    return SortedTags(result, order)


@follow_data("partition")
def match(
    own: Bytes,
    own_starts: Starts,
    peer: Bytes,
    peer_starts: Starts,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> Matches:
    """The pairs of equal tags in the same bin, by index in peer: uint8[n, width], uint8[m, width] -> `Matches`.

    width: 8 to 16; own_starts, peer_starts: uint64[n_bins + 1] each. Own tags are in any order and distinct in each
    bin; peer tags are what came over the wire, strictly ascending by their bytes in each bin. Raises CorruptData that
    names the bin and the two tags where they are not. There is no `out`: how many pairs there are is not known before.
    """
    own, peer = _tags("own", own), _tags("peer", peer)
    if own.shape[1] != peer.shape[1]:
        raise ValueError(f"own has tags of {own.shape[1]} bytes and peer of {peer.shape[1]}: give one width")
    own_starts = _starts("own_starts", own_starts, len(own))
    peer_starts = _starts("peer_starts", peer_starts, len(peer))
    if own_starts.shape != peer_starts.shape:
        raise ValueError(
            f"own_starts has shape {own_starts.shape} and peer_starts {peer_starts.shape}: give the same bins"
        )
    space = min(len(own), len(peer))
    own_index, peer_index = np.empty(space, np.uint32), np.empty(space, np.uint32)
    k, fault, b, first, second = _core.partition.match(
        own, own_starts, peer, peer_starts, own_index, peer_index, *_options(backend, threads)
    )
    if fault == 1:
        raise peer_fault(b, first - int(peer_starts[b]))
    if fault == 2:
        start = int(own_starts[b])
        raise own_fault(b, first - start, second - start)
    return Matches(own_index[:k], peer_index[:k])


def peer_fault(b: int, at: int) -> CorruptData:
    """Of peer tag `at` of bin b and the next. For `crypsis.cuda.partition` too."""
    return CorruptData(
        f"peer tags {at} and {at + 1} of bin {b} are not strictly ascending: the peer did not sort its tags or "
        "sent one twice; end the job"
    )


def own_fault(b: int, first: int, second: int) -> CorruptData:
    """Of two own tags of bin b. For `crypsis.cuda.partition` too."""
    return CorruptData(
        f"own tags {first} and {second} of bin {b} are equal: merge equal keys with group() first"
    )


def equal_pair(tags: Bytes) -> tuple[int, int]:
    """The two equal tags that `match` names of a bin that has some. For `crypsis.cuda.partition` too."""
    limits, none = np.array([[0, len(tags)], [0, 0]], np.uint64), np.empty((0, tags.shape[1]), np.uint8)
    unused = np.empty(0, np.uint32)
    _, fault, _, first, second = _core.partition.match(
        tags, limits[0], none, limits[1], unused, unused.copy(), *_options(None, 1)
    )
    if fault != 2:
        raise RuntimeError("no two own tags are equal: the device's memory is damaged")
    return first, second


def check_starts(name: str, starts: Starts, n: int) -> Starts:
    """Bin limits of n tags, as `match` checks them. For `crypsis.cuda.partition` too."""
    return _starts(name, starts, n)


def _array(name: str, value: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    array = _arguments.array(name, value, dtype)
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _rows(name: str, value: Any) -> Bytes:
    array = _array(name, value, np.uint8)
    if array.ndim != 2 or array.shape[1] != _ROW_BYTES:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, {_ROW_BYTES}]")
    return _few(name, array)


def _tags(name: str, value: Any) -> Bytes:
    array = _array(name, value, np.uint8)
    if array.ndim != 2 or not 8 <= array.shape[1] <= 16:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, width], width 8 to 16")
    return _few(name, array)


def _few(name: str, array: Bytes) -> Bytes:
    if len(array) > MAX_ROWS:
        raise ValueError(f"{name} has {len(array)} rows: give at most {MAX_ROWS}, split the batch")
    return array


def _starts(name: str, value: Any, n: int) -> Starts:
    """Bin limits of n tags; the kernels check them once more."""
    starts: Starts = _array(name, value, np.uint64)
    if starts.ndim != 1 or not 2 <= len(starts) <= MAX_BINS + 1:
        raise ValueError(f"{name} has shape {starts.shape}: give uint64[n_bins + 1], n_bins 1 to {MAX_BINS}")
    if starts[0] != 0 or starts[-1] != n:
        raise ValueError(f"{name} goes from {starts[0]} to {starts[-1]}: it goes from 0 to the {n} tags")
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if falls.size:
        i = int(falls[0]) + 1
        raise ValueError(f"{name}[{i}] is {starts[i]} after {starts[i - 1]}: starts never decrease")
    return starts


def _new_starts(n_bins: int) -> Starts:
    return np.empty(_arguments.integer("n_bins", n_bins, 1, MAX_BINS) + 1, np.uint64)


def _capacity(out: Groups, n: int) -> int:
    if not isinstance(out, Groups):
        raise TypeError(f"out is {_arguments.kind(out)}: give a Groups, as group_buffers() makes it")
    rows = _array("out.rows", out.rows, np.uint32)
    if rows.ndim != 1 or len(rows) < n:
        raise ValueError(f"out.rows has shape {rows.shape}: {n} records need group_buffers({n})")
    return len(rows)


def _outputs(
    out: tuple[npt.NDArray[Any], ...] | None,
    wanted: dict[str, tuple[tuple[int, ...], type[np.generic]]],
    inputs: dict[str, npt.NDArray[Any]],
) -> list[npt.NDArray[Any]]:
    """Arrays of the shapes and types wanted: those of `out`, checked, or new ones."""
    if out is None:
        return [np.empty(shape, dtype) for shape, dtype in wanted.values()]
    if not isinstance(out, tuple) or len(out) != len(wanted):
        raise TypeError(f"out is {_arguments.kind(out)}: give a tuple of arrays ({', '.join(wanted)})")
    results: list[npt.NDArray[Any]] = []
    for (name, (shape, dtype)), array in zip(wanted.items(), out, strict=True):
        try:
            results.append(_arguments.output(array, shape, dtype))
        except (TypeError, ValueError) as error:
            prefix = "" if name == "out" else f"{name} of "
            raise type(error)(f"{prefix}{error}") from None
        for other, memory in [*inputs.items(), *zip(wanted, results[:-1], strict=False)]:
            if np.may_share_memory(results[-1], memory):
                raise ValueError(f"{name} of out overlaps {other}: give memory of its own")
    return results


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)
