# SPDX-License-Identifier: Apache-2.0
"""`crypsis.partition` on a device: kernels/partition. Called by way of `crypsis.partition`, but for `group_buffers`.

All arrays are the device's, the bins' limits too: `starts` is copied to the host to be checked, so `sort_tags` and
`match` wait for the device, and so does `group`, which must know how many keys there are. `by_bin` and `records` queue
their work and return. Memory meanwhile: some 48 bytes a row in `group`, as many for the bins at a time in `sort_tags`
and `match`, which take fewer bins at a time where it is short; in `by_bin` and `records` counters, up to 3 bytes a row,
and above 2,048 bins 20 more. Where memory runs out `out` is as it was, but that of `sort_tags` has the bins before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import _arguments
from crypsis.cuda import _partition_kernels as kernels
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._errors import NO_ERROR
from crypsis.cuda._partition_kernels import Rows, Segments, Sorted, Target, launch
from crypsis.partition import (
    MAX_BINS,
    MAX_ROWS,
    Binned,
    Groups,
    Matches,
    Records,
    SortedTags,
    check_starts,
    equal_pair,
    own_fault,
    peer_fault,
)

Wanted = dict[str, tuple[tuple[int, ...], type[np.generic]]]
"""Shapes and types of a function's results, by name."""

ROW_BYTES = 16
SORT_BYTES = 48
"""What sorting takes of memory for a row, counters included."""


def by_bin(device: Device, keys: Any, n_bins: int, *, out: tuple[Any, Any] | None = None) -> Binned:
    """`crypsis.partition.by_bin` on `device`. Raises as it does; DeviceMemoryError where counters do not fit."""
    keys = _rows(device, "keys", keys)
    n_bins = _n_bins(n_bins)
    n = len(keys)
    wanted: Wanted = {"keys": ((n, ROW_BYTES), np.uint8), "order": ((n,), np.uint32)}
    result, order = _outputs(device, out, wanted, {"keys": keys})
    starts = _distribute(device, keys, n_bins, result, digests=False, index=order)
    return Binned(result, order, starts)


def records(
    device: Device,
    digests: Any,
    n_bins: int,
    *,
    rows: Any = None,
    first_row: int = 0,
    out: Any = None,
) -> Records:
    """`crypsis.partition.records` on `device`. Raises as it does; DeviceMemoryError where counters do not fit."""
    digests = _rows(device, "digests", digests)
    n = len(digests)
    first_row = _arguments.integer("first_row", first_row, 0, MAX_ROWS)
    inputs = {"digests": digests}
    if rows is not None:
        rows = _array(device, "rows", rows, np.uint32)
        if rows.shape != (n,):
            raise ValueError(f"rows has shape {rows.shape}: give uint32[{n}], one for each digest")
        if first_row:
            raise ValueError(f"first_row is {first_row} and rows are given: give one of them")
        inputs["rows"] = rows
    elif first_row + n > MAX_ROWS:
        raise ValueError(
            f"first_row is {first_row} for {n} digests: a party has at most {MAX_ROWS} rows, split the input"
        )
    n_bins = _n_bins(n_bins)
    given = None if out is None else (out,)
    (result,) = _outputs(device, given, {"out": ((n, ROW_BYTES), np.uint8)}, inputs)
    starts = _distribute(
        device, digests, n_bins, result, digests=True, as_records=True, row_ids=rows, first_row=first_row
    )
    return Records(result, starts)


def _distribute(device: Device, rows: Any, n_bins: int, result: Any, *, digests: bool, **target: Any) -> Any:
    """Rows by bin to `result`; the bins' starts."""
    starts = device.empty(n_bins + 1, np.uint64)
    if len(rows) == 0:
        starts.fill(0)
        return starts
    steps = kernels.levels(n_bins) or [kernels.Level(1, 0, 1, first=True)]
    written = _as_words(device, result, fresh=True)
    source = Rows(_as_words(device, rows), None, Segments.one(device, len(rows)))
    order = "index" in target
    goal = Target(rows=written, starts=starts, **target)
    kernels.distribute(device, source, steps, digests=digests, order=order, target=goal)
    _write_back(device, result, written)
    return starts


def group(device: Device, records: Any, n_bins: int, *, out: Groups | None = None) -> Groups:
    """`crypsis.partition.group` on `device`. Raises as it does; DeviceMemoryError where its memory does not fit."""
    records = _rows(device, "records", records)
    n = len(records)
    n_bins = _n_bins(n_bins)
    capacity = n if out is None else _capacity(device, out, n)
    given = None if out is None else (out.keys, out.row_starts, out.rows)
    keys, row_starts, rows = _outputs(
        device,
        given,
        {
            "keys": ((capacity, ROW_BYTES), np.uint8),
            "row_starts": ((capacity + 1,), np.uint32),
            "rows": ((capacity,), np.uint32),
        },
        {"records": records},
    )
    starts = device.empty(n_bins + 1, np.uint64)
    if n == 0:
        starts.fill(0)
        row_starts[:1].fill(0)
        return Groups(keys[:0], starts, row_starts[:1], rows[:0])
    source = Rows(_as_words(device, records), None, Segments.one(device, n))
    source = kernels.shorten(device, source, n, order=False)
    entries, _ = kernels.sort(device, source, records=True)
    n_warps, grid = kernels.warps(n)
    heads = device.empty(n_warps + 1, np.uint32)
    written = _as_words(device, keys, fresh=True)
    launch(device, "count_heads", grid, [heads, entries, np.uint64(n), np.uint64(n_warps)])
    kernels.scan(device, heads)
    launch(
        device,
        "write_groups",
        grid,
        [written, row_starts, rows, entries, heads, np.uint64(n), np.uint64(n_warps)],
    )
    total = heads[n_warps:]
    launch(device, "find_bins", kernels.blocks(n_bins + 1), [starts, written, total, np.uint64(n_bins)])
    _write_back(device, keys, written)
    u = int(device.to_host(total)[0])
    return Groups(keys[:u], starts, row_starts[: u + 1], rows[:n])


def group_buffers(device: Device, capacity: int) -> Groups:
    """Memory on `device` for `group(..., out=)` of up to `capacity` records, about 24 bytes each."""
    capacity = _arguments.integer("capacity", capacity, 0, MAX_ROWS)
    return Groups(
        device.empty((capacity, ROW_BYTES), np.uint8),
        device.empty(0, np.uint64),
        device.empty(capacity + 1, np.uint32),
        device.empty(capacity, np.uint32),
    )


def sort_tags(device: Device, tags: Any, starts: Any, *, out: tuple[Any, Any] | None = None) -> SortedTags:
    """`crypsis.partition.sort_tags` on `device`. Raises as it does; DeviceMemoryError where a bin does not fit."""
    tags = _tags(device, "tags", tags)
    limits = _starts(device, "starts", starts, len(tags))
    wanted: Wanted = {"tags": (tags.shape, np.uint8), "order": ((len(tags),), np.uint32)}
    result, order = _outputs(device, out, wanted, {"tags": tags, "starts": starts})
    width = tags.shape[1]

    def work(part: slice) -> None:
        begin, end, segments, longest = _bins(device, limits, part)
        if end == begin:
            return
        source = _entries(device, tags[begin:end], segments, longest)
        to = Sorted(result[begin:end], order[begin:end], width)
        kernels.sort(device, source, to=to, first_index=begin)

    in_blocks(device, len(limits) - 1, _bin_bytes(limits), work, what="the tags of a bin")
    return SortedTags(result, order)


def match(device: Device, own: Any, own_starts: Any, peer: Any, peer_starts: Any) -> Matches:
    """`crypsis.partition.match` on `device`. Raises as it does; DeviceMemoryError where a bin does not fit."""
    own, peer = _tags(device, "own", own), _tags(device, "peer", peer)
    if own.shape[1] != peer.shape[1]:
        raise ValueError(f"own has tags of {own.shape[1]} bytes and peer of {peer.shape[1]}: give one width")
    own_limits = _starts(device, "own_starts", own_starts, len(own))
    peer_limits = _starts(device, "peer_starts", peer_starts, len(peer))
    if own_limits.shape != peer_limits.shape:
        raise ValueError(
            f"own_starts has shape {own_limits.shape} and peer_starts {peer_limits.shape}: give the same bins"
        )
    space = min(len(own), len(peer))
    own_index, peer_index = device.empty(space, np.uint32), device.empty(space, np.uint32)
    n_pairs = 0

    def work(part: slice) -> None:
        nonlocal n_pairs
        mine = _bins(device, own_limits, part)
        theirs = _bins(device, peer_limits, part)
        words = device.from_host(np.array([NO_ERROR, NO_ERROR], np.uint64))
        sorted_own = _sorted_own(device, own, mine, words)
        found, counts = _find(device, sorted_own, mine[2], peer, theirs, words)
        if found is not None:
            n, n_warps = len(found), len(counts) - 1
            sizes = [
                np.uint64(n),
                np.uint64(n_warps),
                np.uint32(theirs[0]),
                np.uint64(n_pairs),
                np.uint64(space),
            ]
            args = [own_index, peer_index, found, counts, *sizes]
            launch(device, "write_matches", kernels.warps(n)[1], args)
        equal, unordered = device.to_host(words).tolist()
        if equal != NO_ERROR or unordered != NO_ERROR:
            raise _fault(device, own, own_limits, mine[0] + equal, peer_limits, theirs[0] + unordered)
        if found is not None:
            n_pairs += int(device.to_host(counts[-1:])[0])

    item_bytes = _bin_bytes(own_limits) + _bin_bytes(peer_limits) // 8
    in_blocks(device, len(own_limits) - 1, item_bytes, work, what="the tags of a bin")
    return Matches(own_index[:n_pairs], peer_index[:n_pairs])


Part = tuple[int, int, Segments, int]
"""The rows of some bins: their first and end, the bins as segments of them, rows of the fullest."""


def _bins(device: Device, limits: Any, part: slice) -> Part:
    some = limits[part.start : part.stop + 1]
    begin, end = int(some[0]), int(some[-1])
    segments = Segments(device, device.from_host(some - some[0]), end - begin)
    return begin, end, segments, int(np.diff(some).max())


def _bin_bytes(limits: Any) -> int:
    """What sorting the fullest bin takes."""
    return max(1, int(np.diff(limits).max()) * SORT_BYTES)


def _entries(device: Device, tags: Any, segments: Segments, longest: int) -> Rows:
    """Tags as entries, in segments that fit a sorting tile where the tags are even."""
    n = len(tags)
    entries = device.empty((n, 2), np.uint64)
    launch(device, "widen_tags", kernels.blocks(n), [entries, tags, np.uint32(tags.shape[1]), np.uint64(n)])
    return kernels.shorten(device, Rows(entries, None, segments), longest, order=True)


def _sorted_own(device: Device, own: Any, mine: Part, words: Any) -> tuple[Any, Any]:
    """Entries ascending in each bin with their index in `own`; the first that is alike goes to words[0]."""
    begin, end, segments, longest = mine
    if begin == end:
        return device.empty((1, 2), np.uint64), device.empty(1, np.uint32)
    source = _entries(device, own[begin:end], segments, longest)
    entries, index = kernels.sort(device, source, first_index=begin)
    before, of_tiles, most = segments.tiles(kernels.shape().sort_tile)
    launch(device, "check_distinct", most, [words, entries, segments.starts, before, of_tiles])
    return entries, index


def _find(
    device: Device, own: tuple[Any, Any], own_bins: Segments, peer: Any, theirs: Part, words: Any
) -> tuple[Any, Any]:
    """(the index in `own` of each peer tag, prefix sums of how many have one), or None for both without peer tags."""
    begin, end, segments, _ = theirs
    n = end - begin
    if n == 0:
        return None, None
    before, of_tiles, most = segments.tiles(kernels.shape().sort_tile)
    found = device.empty(n, np.uint32)
    n_warps, grid = kernels.warps(n)
    counts = device.empty(n_warps + 1, np.uint32)
    launch(
        device,
        "find_matches",
        most,
        [
            *(found, words[1:], *own, own_bins.starts, peer[begin:end], segments.starts, before, of_tiles),
            np.uint32(peer.shape[1]),
        ],
    )
    launch(device, "count_matches", grid, [counts, found, np.uint64(n), np.uint64(n_warps)])
    kernels.scan(device, counts)
    return found, counts


def _fault(
    device: Device, own: Any, own_limits: Any, equal: int, peer_limits: Any, unordered: int
) -> Exception:
    """Of the first bin that has one, as on the CPU. equal, unordered: places of the first fault of either kind, behind
    the end where there is none. Of equal own tags the CPU says which it names: that bin's are copied to the host."""
    n_bins = len(own_limits) - 1
    own_bin = min(int(np.searchsorted(own_limits, np.uint64(min(equal, 2**63)), "right")) - 1, n_bins)
    peer_bin = min(int(np.searchsorted(peer_limits, np.uint64(min(unordered, 2**63)), "right")) - 1, n_bins)
    if own_bin > peer_bin:
        return peer_fault(peer_bin, unordered - 1 - int(peer_limits[peer_bin]))
    tags = device.to_host(own[int(own_limits[own_bin]) : int(own_limits[own_bin + 1])])
    return own_fault(own_bin, *equal_pair(tags))


# Arguments: the checks of the CPU, for this device's arrays


def _array(device: Device, name: str, value: Any, dtype: type[np.generic], *, out: bool = False) -> Any:
    wanted = np.dtype(dtype)
    if not device.owns(value) or value.dtype != wanted:
        kind = f"an array of {value.dtype}" if device.owns(value) else _arguments.kind(value)
        raise TypeError(f"{name} is {kind}: give an array of {wanted} on {device.name}")
    if not value.flags.c_contiguous:  # a copy of an output would be lost
        advice = "allocate it with cupy.empty" if out else f"pass cupy.ascontiguousarray({name})"
        raise ValueError(f"{name} is not C-contiguous: {advice}")
    if device.address(value) % wanted.itemsize and value.size:
        advice = "allocate it with cupy.empty" if out else "pass a copy"
        raise ValueError(f"{name} begins at no multiple of {wanted.itemsize} bytes: {advice}")
    return value


def _rows(device: Device, name: str, value: Any) -> Any:
    array = _array(device, name, value, np.uint8)
    if array.ndim != 2 or array.shape[1] != ROW_BYTES:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, {ROW_BYTES}]")
    return _few(name, array)


def _tags(device: Device, name: str, value: Any) -> Any:
    array = _array(device, name, value, np.uint8)
    if array.ndim != 2 or not 8 <= array.shape[1] <= 16:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, width], width 8 to 16")
    return _few(name, array)


def _few(name: str, array: Any) -> Any:
    if len(array) > MAX_ROWS:
        raise ValueError(f"{name} has {len(array)} rows: give at most {MAX_ROWS}, split the batch")
    return array


def _starts(device: Device, name: str, value: Any, n: int) -> Any:
    """Bin limits, checked, on the host."""
    array = _array(device, name, value, np.uint64)
    few = array if array.ndim != 1 or len(array) > MAX_BINS + 1 else device.to_host(array)
    return check_starts(name, few, n) if few is not array else _bad_shape(name, array)


def _bad_shape(name: str, array: Any) -> Any:
    raise ValueError(f"{name} has shape {array.shape}: give uint64[n_bins + 1], n_bins 1 to {MAX_BINS}")


def _n_bins(n_bins: int) -> int:
    return _arguments.integer("n_bins", n_bins, 1, MAX_BINS)


def _capacity(device: Device, out: Groups, n: int) -> int:
    if not isinstance(out, Groups):
        raise TypeError(f"out is {_arguments.kind(out)}: give a Groups, as group_buffers() makes it")
    rows = _array(device, "out.rows", out.rows, np.uint32)
    if rows.ndim != 1 or len(rows) < n:
        raise ValueError(f"out.rows has shape {rows.shape}: {n} records need group_buffers({n})")
    return len(rows)


def _outputs(
    device: Device,
    out: Any,
    wanted: Wanted,
    inputs: dict[str, Any],
) -> list[Any]:
    """Arrays of the shapes and types wanted: those of `out`, checked, or new ones."""
    if out is None:
        return [device.empty(shape, dtype) for shape, dtype in wanted.values()]
    if not isinstance(out, tuple) or len(out) != len(wanted):
        kind = f"an array of {out.dtype}" if device.owns(out) else _arguments.kind(out)
        raise TypeError(f"out is {kind}: give a tuple of arrays ({', '.join(wanted)})")
    results: list[Any] = []
    for (name, (shape, dtype)), given in zip(wanted.items(), out, strict=True):
        label = "out" if name == "out" else f"{name} of out"
        array = _array(device, label, given, dtype, out=True)
        if array.shape != shape:
            raise ValueError(f"{label} has shape {array.shape}: the result has {shape}")
        for other, memory in [*inputs.items(), *zip(wanted, results, strict=False)]:
            if device.overlap(array, memory):
                raise ValueError(f"{name} of out overlaps {other}: give memory of its own")
        results.append(array)
    return results


def _as_words(device: Device, rows: Any, *, fresh: bool = False) -> Any:
    """uint8[n, 16] as uint64[n, 2] at a multiple of 16 bytes: `rows` itself where it can be, else other memory, with
    its bytes, or with `fresh` for `_write_back`."""
    if device.address(rows) % ROW_BYTES == 0:
        return rows.view(np.uint64)
    words = device.empty((len(rows), 2), np.uint64)
    if not fresh:
        words.view(np.uint8)[...] = rows
    return words


def _write_back(device: Device, rows: Any, words: Any) -> None:
    """What was written in the place of `rows`."""
    if device.address(rows) != device.address(words):
        rows[...] = words.view(np.uint8)
