# SPDX-License-Identifier: Apache-2.0
"""Products of many rows on a device, everything in Montgomery form. Private.

As in csrc/bigint/products.cpp: a long segment is cut into pieces so that every group of threads has some, and the
pieces' products are a smaller problem of the same kind. Segments are public and planned on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crypsis._bigint.modulus import Modulus
from crypsis._bigint.products import batch_inverse
from crypsis.cuda._bigint_kernels import Kernels
from crypsis.cuda._blocks import in_blocks
from crypsis.errors import DeviceMemoryError

PIECES_PER_GROUP = 2
"""Pieces that a resident group gets on average: enough that the uneven last ones cost little."""
LEAST_PRODUCTS = 4
"""Rows that a piece has at least: each level of pieces is a launch."""
LEAST_RUNNING = 16
INVERTED_ON_HOST = 64
"""Rows that are inverted on the host: one inversion there is what a device would do with one thread."""

MIN_BLOCK_ROWS = 256
"""Rows that go together however little memory there is."""
RUN_BYTES = 24

Index = npt.NDArray[np.int64]


class Pieces(NamedTuple):
    """Segments cut into pieces."""

    runs: Index
    """`[pieces, 3]`: begin, end, number."""
    starts: Index
    """`[segments + 1]`: where the pieces of each segment start."""

    @property
    def cut(self) -> bool:
        """Whether a segment has more than one."""
        return len(self.runs) != len(self.starts) - 1


def cut_segments(starts: Index, workers: int, least: int) -> Pieces:
    """Pieces of at most max(least, items / workers) rows, at least one for a segment, of like size in each."""
    lengths = np.diff(starts)
    most = max(least, -(-int(starts[-1] - starts[0]) // workers))
    counts = np.maximum(1, -(-lengths // most))
    piece_starts = np.zeros(len(starts), dtype=np.int64)
    np.cumsum(counts, out=piece_starts[1:])
    segment = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(segment), dtype=np.int64)
    place = number - piece_starts[segment]
    begin = starts[segment] + place * lengths[segment] // counts[segment]
    end = starts[segment] + (place + 1) * lengths[segment] // counts[segment]
    return Pieces(np.stack([begin, end, number], axis=1), piece_starts)


def by_length(runs: Index) -> Index:
    """The runs sorted, longest first: groups of a warp run as long as its longest run."""
    return np.ascontiguousarray(runs[np.argsort(runs[:, 0] - runs[:, 1], kind="stable")])


def _pieces(kernels: Kernels, starts: Index, least: int) -> Pieces:
    return cut_segments(starts, kernels.resident_rows * PIECES_PER_GROUP, least)


def _upload(kernels: Kernels, runs: Index) -> Any:
    return kernels.device.from_host(by_length(runs))


def segment_products(kernels: Kernels, rows: Any, index: Any, starts: Index, out: Any) -> Any:
    """out[i] = product of rows[index[j]] for starts[i] <= j < starts[i + 1]; rows[j] where index is None."""
    while True:
        pieces = _pieces(kernels, starts, LEAST_PRODUCTS)
        to = kernels.rows(len(pieces.runs)) if pieces.cut else out
        kernels.run_products(to, rows, index, _upload(kernels, pieces.runs))
        if not pieces.cut:
            return out
        rows, index, starts = to, None, pieces.starts


def products_in_blocks(
    kernels: Kernels,
    n: int,
    item_bytes: int,
    out: Any,
    work: Callable[[slice, Any], None],
    *,
    what: str,
    least: int,
) -> None:
    """out = the row by row product of what `work(slice, to)` makes, in `to`, of blocks of n items; ones of none."""
    if n == 0:
        out[...] = kernels.one

    def accumulate(part: slice) -> None:
        to = kernels.rows(len(out)) if part.start else out
        work(part, to)
        if part.start:
            kernels.mul(out, out, to)

    in_blocks(kernels.device, n, item_bytes, accumulate, what=what, least=least)


def segments_in_blocks(kernels: Kernels, rows: Any, starts: Index, out: Any, *, montgomery: bool) -> None:
    """`segment_products` of rows that are plain unless `montgomery`, converted a block of them at a time."""
    first, n = int(starts[0]), int(starts[-1] - starts[0])
    if n == 0:
        out[...] = kernels.one

    def work(part: slice) -> None:
        begin, end = first + part.start, first + part.stop
        whole = end - begin == n
        some = rows[begin:end]
        if not montgomery:
            some = kernels.to_montgomery(some)
        if whole:
            segment_products(kernels, some, None, starts - first, out)
            return
        low, high = np.searchsorted(starts, begin, "right") - 1, np.searchsorted(starts, end, "left")
        inside = np.clip(starts[low : high + 1], begin, end) - begin
        to = segment_products(kernels, some, None, inside, kernels.rows(len(inside) - 1))
        if part.start == 0:
            out[...] = kernels.one
        kernels.mul(out[low:high], out[low:high], to)

    n_bytes = rows.shape[1] * 8
    item_bytes = RUN_BYTES + (0 if montgomery else n_bytes) + 2 * n_bytes * len(out) // max(1, n)
    in_blocks(kernels.device, n, item_bytes, work, what="products of segments", least=MIN_BLOCK_ROWS)


def running_products(kernels: Kernels, rows: Any, starts: Index, out: Any) -> Any:
    """out[j] = the product of its segment's rows up to row j; out may be rows. starts: from 0 to the last row."""
    pieces = _pieces(kernels, starts, LEAST_RUNNING)
    runs = _upload(kernels, pieces.runs)
    initial = None
    if pieces.cut:
        # Products of whole pieces, running over those, then every piece starts from what stands before it.
        whole = kernels.rows(len(pieces.runs))
        kernels.run_products(whole, rows, None, runs)
        running_products(kernels, whole, pieces.starts, whole)
        before = np.arange(len(pieces.runs), dtype=np.int64)  # of 1, whole[0], whole[1], ..
        before[pieces.starts[:-1]] = 0
        xp = kernels.device.xp
        initial = xp.concatenate([kernels.one.reshape(1, -1), whole])[kernels.device.from_host(before)]
    return kernels.run_products(out, rows, None, runs, initial, running=True)


def inverses(kernels: Kernels, modulus: Modulus, rows: Any, out: Any) -> Any:
    """out[i] = 1 / rows[i], by Montgomery's trick over pieces, recursive over their products; out may be rows.

    Raises NotInvertible, which names no row of the caller's.
    """
    n = len(rows)
    if n <= INVERTED_ON_HOST:
        few = batch_inverse(kernels.device.to_host(rows), modulus, montgomery=True, threads=1)
        out[...] = kernels.device.from_host(few)
        return out
    pieces = _pieces(kernels, np.array([0, n], dtype=np.int64), LEAST_RUNNING)
    try:
        before = kernels.rows(n)
    except DeviceMemoryError:
        _inverses_in_blocks(kernels, modulus, rows, pieces.runs, out)
        return out
    runs = _upload(kernels, pieces.runs)
    kernels.run_products(before, rows, None, runs, running=True)
    totals = before[kernels.device.from_host(pieces.runs[:, 1] - 1)]
    inverses(kernels, modulus, totals, totals)
    return kernels.inverse_runs(out, rows, before, runs, totals)


def _inverses_in_blocks(kernels: Kernels, modulus: Modulus, rows: Any, runs: Index, out: Any) -> None:
    """The same with a product more a row, running products being kept for a block of pieces only.

    One inversion for all, of the product of all, here too: a blinding row among them has to blind that.
    """
    totals = kernels.run_products(kernels.rows(len(runs)), rows, None, _upload(kernels, runs))
    inverses(kernels, modulus, totals, totals)

    def work(part: slice) -> None:
        begin, end = int(runs[part][0, 0]), int(runs[part][-1, 1])
        some = rows[begin:end]
        local = _upload(kernels, runs[part] - np.array([begin, begin, part.start]))
        before = kernels.run_products(kernels.rows(end - begin), some, None, local, running=True)
        kernels.inverse_runs(out[begin:end], some, before, local, totals[part])

    item_bytes = 8 * rows.shape[1] * -(-len(rows) // len(runs)) + RUN_BYTES
    in_blocks(kernels.device, len(runs), item_bytes, work, what="inverses")
