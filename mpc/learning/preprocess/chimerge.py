# SPDX-License-Identifier: Apache-2.0
"""Which bins to put together, from their counts: ChiMerge [Kerber 1992], and the smallest that may be told.

All comparisons are of exact fractions, so that equal counts give the same bins everywhere; of equal candidates the
first is taken.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Cell = tuple[int, int]  # rows of label 1 ("bad"), of label 0 ("good")
CHI_SQUARE_95 = 3.841
"""What chi-square of one degree of freedom exceeds with probability 0.05."""


def chi_square(a: Cell, b: Cell) -> Fraction:
    """Of the 2 x 2 table of two bins; 0 where a row or a column of it is empty."""
    rows, columns = (sum(a), sum(b)), (a[0] + b[0], a[1] + b[1])
    below = rows[0] * rows[1] * columns[0] * columns[1]
    cross = a[0] * b[1] - a[1] * b[0]
    return Fraction(sum(rows) * cross * cross, below) if below else Fraction(0)


def merge_bins(
    counts: npt.ArrayLike,
    *,
    ordered: bool = True,
    threshold: float = CHI_SQUARE_95,
    max_bins: int | None = None,
    min_share: float = 0.0,
    min_events: int = 0,
    monotone: bool = False,
) -> npt.NDArray[np.int64]:
    """int64[bins]: the new number of each bin, from 0 without gaps.

    counts      int64[bins, 2]: rows of label 1 and of label 0; the bin of missing values is not among them
    ordered     only neighbours may be merged; otherwise (categories) bins are put in the order of their rates first,
                and the new numbers are in that order
    threshold   neighbours with a lower chi-square are merged, the lowest first
    max_bins    and so on until there are no more than these
    min_share   then bins with a smaller share of the rows, the smallest first, into the neighbour of lower chi-square
    min_events  the same for bins with fewer rows of either label
    monotone    rates rise, or fall, from bin to bin: violators are pooled first [ABERS55], in the direction that
                leaves the larger chi-square of the whole table

    ValueError for counts of another shape or below 0.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[1] != 2 or not len(table) or table.dtype.kind not in "iu":
        raise ValueError(f"counts are {table.dtype}{list(table.shape)}: give whole numbers [bins, 2]")
    if table.min() < 0:
        raise ValueError("counts below 0")
    cells: list[Cell] = [(int(bad), int(good)) for bad, good in table]
    order = list(range(len(cells)))
    if not ordered:
        overall = _rate((sum(c[0] for c in cells), sum(c[1] for c in cells)))
        order.sort(key=lambda i: _rate(cells[i]) if sum(cells[i]) else overall)
    runs = _Runs([cells[i] for i in order])
    runs.merge_empty()
    if monotone:
        runs.pool()
    runs.merge(threshold, max_bins, min_share, min_events)
    result = np.empty(len(cells), dtype=np.int64)
    result[order] = runs.numbers()
    return result


def _rate(cell: Cell) -> Fraction:
    return Fraction(cell[0], sum(cell)) if sum(cell) else Fraction(0)


class _Runs:
    """Runs of neighbouring bins: the cell of each, how many bins it has, and chi-square with the next one."""

    def __init__(self, cells: list[Cell]) -> None:
        self.cells = cells
        self.sizes = [1] * len(cells)
        self.chi = [chi_square(a, b) for a, b in pairwise(cells)]

    def numbers(self) -> npt.NDArray[np.int64]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def join(self, i: int) -> None:
        """Run i takes in the next one."""
        (bad, good), (more_bad, more_good) = self.cells[i : i + 2]
        self.cells[i : i + 2] = [(bad + more_bad, good + more_good)]
        self.sizes[i : i + 2] = [self.sizes[i] + self.sizes[i + 1]]
        del self.chi[i]
        for j in (i - 1, i):
            if 0 <= j < len(self.chi):
                self.chi[j] = chi_square(self.cells[j], self.cells[j + 1])

    def merge_empty(self) -> None:
        """Bins without rows go to the bin before, those at the beginning to the one behind."""
        i = 0
        while i < len(self.cells) and len(self.cells) > 1:
            if sum(self.cells[i]):
                i += 1
            else:
                self.join(max(0, i - 1))

    def merge(self, threshold: float, max_bins: int | None, min_share: float, min_events: int) -> None:
        limit, n_rows = Fraction(threshold), sum(sum(cell) for cell in self.cells)
        least = Fraction(min_share) * n_rows
        while len(self.cells) > 1:
            i = min(range(len(self.chi)), key=self.chi.__getitem__)
            if self.chi[i] < limit or (max_bins is not None and len(self.cells) > max_bins):
                self.join(i)
                continue
            small = [j for j, cell in enumerate(self.cells) if sum(cell) < least or min(cell) < min_events]
            if not small:
                break
            j = min(small, key=lambda j: sum(self.cells[j]))
            left = j == len(self.cells) - 1 or (j > 0 and self.chi[j - 1] <= self.chi[j])
            self.join(j - 1 if left else j)

    def pool(self) -> None:
        """Pools adjacent violators, up or down."""
        up, down = self._pooled(1), self._pooled(-1)
        best = up if _table_chi_square(up.cells) >= _table_chi_square(down.cells) else down
        self.cells, self.sizes, self.chi = best.cells, best.sizes, best.chi

    def _pooled(self, sign: int) -> _Runs:
        cells: list[Cell] = []
        sizes: list[int] = []
        for cell, size in zip(self.cells, self.sizes, strict=True):
            cells.append(cell)
            sizes.append(size)
            while len(cells) > 1 and sign * (_rate(cells[-1]) - _rate(cells[-2])) <= 0:
                (bad, good), more = cells.pop(), sizes.pop()
                cells[-1] = (cells[-1][0] + bad, cells[-1][1] + good)
                sizes[-1] += more
        runs = _Runs(cells)
        runs.sizes = sizes
        return runs


def _table_chi_square(cells: list[Cell]) -> Fraction:
    """Sum over bins of rows (rate - overall rate)^2, which is chi-square but for a factor that all share."""
    overall = _rate((sum(c[0] for c in cells), sum(c[1] for c in cells)))
    return sum((sum(c) * (_rate(c) - overall) ** 2 for c in cells), Fraction(0))


def checked_rules(rules: dict[str, Any]) -> None:
    """ValueError naming a parameter of `merge_bins` that makes no sense."""
    threshold, max_bins = rules["threshold"], rules["max_bins"]
    if not (isinstance(threshold, int | float) and np.isfinite(threshold) and threshold >= 0):
        raise ValueError(
            f"threshold is {threshold!r}: give chi-square, 0 or more (3.841 is significant at 5 %)"
        )
    if max_bins is not None and (type(max_bins) is not int or max_bins < 1):
        raise ValueError(f"max_bins is {max_bins!r}: give a whole number from 1, or None")
    if not (isinstance(rules["min_share"], int | float) and 0 <= rules["min_share"] <= 0.5):
        raise ValueError(f"min_share is {rules['min_share']!r}: give a share of the rows from 0 to 0.5")
    if type(rules["min_events"]) is not int or rules["min_events"] < 0:
        raise ValueError(f"min_events is {rules['min_events']!r}: give a whole number of rows, 0 or more")
