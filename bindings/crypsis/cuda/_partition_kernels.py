# SPDX-License-Identifier: Apache-2.0
"""The steps of `crypsis.cuda.partition`, one or a few launches of kernels/partition each.

Rows are uint64[n, 2] at a multiple of 16 bytes. What rows, entries, segments and tiles are stands in
kernels/partition/rows.cuh.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes

SLUG = "partition"
MAX_DIGITS = 2048
"""As in kernels/partition/split.cuh."""

WARP_ITEMS = 256
"""Rows of a warp where heads or matches are put together, as in kernels/partition/partition.cu."""

SHORT_SEGMENT = 0.68
"""Of a sorting tile: what segments hold on average before they are sorted. Of 2,048 that is 1,392, and even data
overfill the tile with a probability below 1e-50 (17 standard deviations)."""

COUNTERS_PER_ROW = 8
"""At most so many counters does a level have for each row, however many and short the segments are."""

_SPLIT = np.dtype(
    {
        "names": ["n_buckets", "shift", "mask", "n_digits", "n_bits", "digests", "unused"],
        "formats": ["<u8", "<u4", "<u4", "<u4", "<u4", "<u4", "<u4"],
    }
)


@dataclass(frozen=True)
class Shape:
    """Launch shapes, of tuning.json, and the macros that make the kernels fit them."""

    threads: int
    split_items: int
    sort_items: int
    scan_items: int

    @cached_property
    def defines(self) -> dict[str, int]:
        return {
            "BLOCK": self.threads,
            "SPLIT_ITEMS": self.split_items,
            "SORT_ITEMS": self.sort_items,
            "SCAN_ITEMS": self.scan_items,
        }

    @property
    def split_tile(self) -> int:
        return self.threads * self.split_items

    @property
    def sort_tile(self) -> int:
        return self.threads * self.sort_items

    @property
    def scan_tile(self) -> int:
        return self.threads * self.scan_items

    @property
    def sort_shared(self) -> int:
        """Bytes of a tile's entries, a word of padding for each thread's."""
        return 20 * (self.sort_tile + self.threads)


def shape() -> Shape:
    found = launch_shapes(SLUG)
    return Shape(
        found["block"]["threads"],
        found["split"]["items"],
        found["sort"]["items"],
        found["scan"]["items"],
    )


def launch(device: Device, kernel: str, grid: int, args: list[Any], shared_bytes: int = 0) -> None:
    """Nothing where the grid is empty."""
    if grid:
        device.launch(
            SLUG,
            kernel,
            grid=grid,
            block=shape().threads,
            args=args,
            shared_bytes=shared_bytes,
            defines=shape().defines,
        )


def blocks(n: int) -> int:
    """Of threads, one for each of n items."""
    return -(-n // shape().threads)


def scan(device: Device, values: Any) -> None:
    """Each value of uint32[n] becomes the sum of those before it."""
    n = len(values)
    grid = -(-n // shape().scan_tile)
    sums = None
    if grid > 1:
        sums = device.empty(grid, np.uint32)
        launch(device, "scan_sums", grid, [sums, values, np.uint64(n)])
        scan(device, sums)
    launch(device, "scan_apply", grid, [values, sums, np.uint64(n)])


class Segments:
    """Rows [starts[s], starts[s + 1]) for each s; `starts` is on the device, and so is all that is made of it."""

    def __init__(self, device: Device, starts: Any, n_rows: int) -> None:
        self.device, self.starts, self.n_rows = device, starts, n_rows
        self.count = len(starts) - 1
        self._tiles: dict[int, tuple[Any, Any, int]] = {}
        self._longest: Any = None

    @classmethod
    def one(cls, device: Device, n_rows: int) -> Segments:
        return cls(device, device.from_host(np.array([0, n_rows], np.uint64)), n_rows)

    def tiles(self, size: int) -> tuple[Any, Any, int]:
        """(tiles_before, tile_segment, how many there can be at most)."""
        if size not in self._tiles:
            device, n = self.device, np.uint32(self.count)
            before = device.empty(self.count + 1, np.uint32)
            self._longest = device.from_host(np.zeros(1, np.uint64))
            launch(
                device,
                "count_tiles",
                blocks(self.count + 1),
                [before, self._longest, self.starts, n, np.uint32(size)],
            )
            scan(device, before)
            most = self.n_rows // size + min(self.count, self.n_rows)
            of_tiles = device.empty(most, np.uint32)
            launch(device, "find_tiles", blocks(most), [of_tiles, before, n, np.uint32(most)])
            self._tiles[size] = before, of_tiles, most
        return self._tiles[size]

    def longest(self) -> int:
        """Rows of the longest; waits for the device."""
        self.tiles(shape().sort_tile)
        return int(self.device.to_host(self._longest)[0])


@dataclass(frozen=True)
class Level:
    """One pass of a distribution to n_buckets: digit = (bucket >> shift) % n_digits; the first one takes the top."""

    n_buckets: int
    shift: int
    n_digits: int
    first: bool


def levels(n_buckets: int) -> list[Level]:
    """As few as there can be, of about as many bits each."""
    if n_buckets < 2:
        return []
    n_bits, most = (n_buckets - 1).bit_length(), (MAX_DIGITS - 1).bit_length()
    n_levels = -(-n_bits // most)
    ends = [n_bits * i // n_levels for i in range(n_levels)]
    top = Level(n_buckets, ends[-1], ((n_buckets - 1) >> ends[-1]) + 1, first=True)
    lower = [Level(n_buckets, low, 1 << (high - low), first=False) for low, high in pairwise(ends)]
    return [top, *reversed(lower)]


@dataclass
class Rows:
    """Rows and which each was at first, None where it is its number."""

    rows: Any
    index: Any
    segments: Segments


@dataclass(frozen=True)
class Target:
    """Where a distribution's last level goes; None is for new memory."""

    rows: Any = None
    index: Any = None
    starts: Any = None
    as_records: bool = False
    row_ids: Any = None
    first_row: int = 0


def distribute(
    device: Device, source: Rows, steps: list[Level], *, digests: bool, order: bool, target: Target
) -> Rows:
    """Rows of each segment by digits, level by level, in their order within a digit.

    digests: buckets come of bytes 12 to 15, else of bytes 0 to 7. order: whether the index is wanted at the end.
    """
    for number, level in enumerate(steps):
        last = number == len(steps) - 1
        source = _split(device, source, level, digests, order or not last, target if last else Target())
    return source


def _split(device: Device, source: Rows, level: Level, digests: bool, order: bool, target: Target) -> Rows:
    n, segments, n_digits = len(source.rows), source.segments, level.n_digits
    before, of_tiles, most = segments.tiles(shape().split_tile)
    n_out = segments.count * n_digits + 1
    starts = device.empty(n_out, np.uint64) if target.starts is None else target.starts
    rows = device.empty((n, 2), np.uint64) if target.rows is None else target.rows
    index = target.index
    if order and index is None:
        index = device.empty(n, np.uint32)
    counts = device.empty(most * n_digits, np.uint32)
    mask = 0xFFFFFFFF if level.first else n_digits - 1
    n_bits = (n_digits - 1).bit_length()
    split = np.array((level.n_buckets, level.shift, mask, n_digits, n_bits, digests, 0), _SPLIT)[()]
    tiles = [segments.starts, before, of_tiles]
    launch(device, "count_digits", most, [counts, source.rows, *tiles, split], 4 * n_digits)
    scan(device, counts)
    warps = shape().threads // 32
    launch(
        device,
        "scatter_digits",
        most,
        [
            *(rows, index, source.rows, source.index, target.row_ids, counts, *tiles, split),
            *(np.uint32(target.first_row), np.uint32(target.as_records)),
        ],
        (4 + 2 * warps) * n_digits + (-2 * warps * n_digits) % 4,
    )
    launch(
        device,
        "segment_starts",
        blocks(len(starts)),
        [starts, counts, *tiles[:2], np.uint32(segments.count), np.uint32(n_digits), np.uint64(len(starts))],
    )
    return Rows(rows, index, Segments(device, starts, n))


def shorten(device: Device, source: Rows, longest: int, *, order: bool) -> Rows:
    """Segments of up to `longest` rows taken apart by their leading bits, until honest data fit a sorting tile each.

    Where segments are so many that counters would outnumber the rows there are fewer digits, and merging does the rest.
    """
    n_buckets = -int(-longest // (shape().sort_tile * SHORT_SEGMENT)) if longest > shape().sort_tile else 1
    n = len(source.rows)
    most_tiles = n // shape().split_tile + min(source.segments.count, n)
    n_buckets = min(n_buckets, COUNTERS_PER_ROW * n // max(most_tiles, 1))
    return distribute(device, source, levels(n_buckets), digests=False, order=order, target=Target())


@dataclass(frozen=True)
class Sorted:
    """Tags of `width` bytes, and their order."""

    tags: Any
    order: Any
    width: int


def sort(
    device: Device, source: Rows, *, records: bool = False, to: Sorted | None = None, first_index: int = 0
) -> tuple[Any, Any]:
    """Entries ascending in each segment, stable: (entries, their index), or (None, None) where `to` has tags.

    records: rows are records as they are, and no index is kept. first_index: added to all of the index. Waits for the
    device once.
    """
    n, segments = len(source.rows), source.segments
    longest = segments.longest()
    before, of_tiles, most = segments.tiles(shape().sort_tile)
    tiles = [segments.starts, before, of_tiles]
    runs, run = [], shape().sort_tile
    while run < longest:
        runs.append(run)
        run *= 2

    def outputs(last: bool) -> tuple[Any, Any, Any, Any, Any]:
        if last and to is not None:
            return to.tags, None, to.order, np.uint32(to.width), np.uint32(first_index)
        index = None if records else device.empty(n, np.uint32)
        return (
            None,
            device.empty((n, 2), np.uint64),
            index,
            np.uint32(0),
            np.uint32(first_index if last else 0),
        )

    tags, rows, index, width, first = outputs(not runs)
    launch(
        device,
        "sort_tiles",
        most,
        [tags, rows, index, source.rows, source.index, *tiles, width, first, np.uint32(records)],
        shape().sort_shared,
    )
    for run in runs:
        from_rows, from_index = rows, index
        tags, rows, index, width, first = outputs(run == runs[-1])
        launch(
            device,
            "merge_tiles",
            most,
            [tags, rows, index, from_rows, from_index, *tiles, np.uint64(run), width, first],
            shape().sort_shared,
        )
    return rows, index


def warps(n: int) -> tuple[int, int]:
    """(warps of WARP_ITEMS rows each for n rows, blocks of them)."""
    n_warps = -(-n // WARP_ITEMS)
    return n_warps, -(-n_warps // (shape().threads // 32))
