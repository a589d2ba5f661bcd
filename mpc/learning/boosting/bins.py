# SPDX-License-Identifier: Apache-2.0
"""`Bins`: one party's features as small numbers, cut at quantiles of its own column, as histogram boosting takes them.

A numeric feature with edges e_0 < e_1 < ... has bin b where b edges are at or below the value; "value < e_b" splits
after bin b. A categorical feature has a bin a category. Missing values have the bin `n_bins` of the table, the last.
Bins never leave the party that made them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.learning.boosting import compiled
from crypsis.mpc.learning.frame import Frame

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]
MAX_BINS = 1024


@dataclass(frozen=True, eq=False)
class Feature:
    """name; edges: float64[bins - 1], rising, of a numeric feature; categories: the texts of a categorical one."""

    name: str
    edges: Floats
    categories: tuple[str, ...] | None = None

    @property
    def n_bins(self) -> int:
        """Bins without the missing one."""
        return len(self.edges) + 1 if self.categories is None else len(self.categories)


@dataclass(frozen=True, eq=False)
class Bins:
    """The features that can be split, in the frame's order, and the names of those left out: constant, or all missing.

    Made by `quantile_bins`, or by hand from edges of another kind of binning (`from_edges`).
    """

    features: tuple[Feature, ...]
    skipped: tuple[str, ...] = ()

    @property
    def n_bins(self) -> int:
        """The most bins of a feature; the number of the missing bin in `table`."""
        return max((feature.n_bins for feature in self.features), default=1)

    @classmethod
    def from_edges(cls, edges: Mapping[str, Sequence[float]]) -> Bins:
        """Of cuts that were made elsewhere: name -> rising numbers. DataError for others."""
        features = []
        for name, given in edges.items():
            cuts = np.asarray(given, dtype=np.float64)
            if cuts.ndim != 1 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
                raise DataError(f"the edges of {name!r} do not rise: give finite numbers in order, each once")
            if len(cuts) >= MAX_BINS:
                raise DataError(f"{name!r} has {len(cuts)} edges: {MAX_BINS - 1} at most")
            features.append(Feature(name, cuts))
        return cls(tuple(features))

    def table(self, frame: Frame) -> npt.NDArray[np.int16]:
        """The frame's rows by bin, int16[rows, features], C order. DataError for a column that is missing or of
        another type; categories not known are missing."""
        names = [feature.name for feature in self.features]
        texts = {f.name: f.categories for f in self.features if f.categories is not None}
        picked, _ = frame.as_trained(names, texts)
        return self._table(picked.values)

    def _table(self, values: Floats) -> npt.NDArray[np.int16]:
        columns = np.empty((len(self.features), len(values)), dtype=np.int16)
        for f, feature in enumerate(self.features):
            column = np.ascontiguousarray(values[:, f])
            if feature.categories is None:
                compiled.bin_column(column, feature.edges, self.n_bins, columns[f])
            else:
                compiled.code_column(column, feature.n_bins, self.n_bins, columns[f])
        return np.ascontiguousarray(columns.T)


def quantile_bins(frame: Frame, max_bins: int) -> Bins:
    """Bins of the frame's columns. A column of at most `max_bins` values has a bin a value; others are cut at quantiles
    of their values, ties kept together: `quantile_edges`.

    Columns with one value or none and those whose categories are over `MAX_BINS` are left out with a
    warning that names them. ConfigError for max_bins outside 2 to MAX_BINS.
    """
    if type(max_bins) is not int or not 2 <= max_bins <= MAX_BINS:
        raise ConfigError(f"max_bins is {max_bins!r}: give 2 to {MAX_BINS}")
    features, skipped = [], []
    for i, name in enumerate(frame.names):
        texts = frame.categories.get(name)
        values = frame.values[:, i]
        present = np.sort(values[~np.isnan(values)])
        if not len(present) or present[0] == present[-1] or (texts is not None and len(texts) > MAX_BINS):
            skipped.append(name)
            continue
        features.append(
            Feature(name, quantile_edges(present, max_bins) if texts is None else np.zeros(0), texts)
        )
    if skipped:
        warnings.warn(
            f"columns {', '.join(map(repr, skipped))} are constant, all missing, or have over {MAX_BINS} categories: no"
            " tree can split on them, they are left out",
            stacklevel=2,
        )
    return Bins(tuple(features), tuple(skipped))


def quantile_edges(ordered: Floats, max_bins: int) -> Floats:
    """The edges of sorted values without NaN, values of the column themselves: those that xgboost's hist makes.

    All values but the least, where there are `max_bins` at most. Of others a quantile summary keeps max_bins + 1 [Chen
    and Guestrin 2016, appendix: query and prune], of which the outermost are no edges. xgboost keeps 8 max_bins before,
    and of few values 8 or 16 max_bins + 1 before that; this shows in ranks of single rows and is done here too. Longer
    columns, of over 32 max_bins values, go through its summary in parts: its edges are some ranks from the ones here,
    which come from all values at once (a fifth of a bin was the most in tests).
    """
    values, first = np.unique(ordered, return_index=True)
    after = np.append(first[1:], len(ordered))
    kept = np.arange(len(values))
    sizes = [max_bins + 1]
    if len(ordered) <= 32 * max_bins + 2:
        halves = 1 if len(ordered) <= 2 * (8 * max_bins + 1) else 2
        sizes = [8 * max_bins * halves + 1, 8 * max_bins, max_bins + 1]
    for size in sizes:
        kept = _pruned(first, after, kept, size)
    result: Floats = values[kept[1:max_bins]]
    return result


def _pruned(first: Ranks, after: Ranks, kept: Ranks, size: int) -> Ranks:
    """At most `size` of the values `kept`: the outermost ones, and those nearest to ranks at equal distances between.

    first, after: how many rows are below each value, and how many are not above it.
    """
    if len(kept) <= size:
        return kept
    steps, first, after = size - 1, first[kept], after[kept]
    rank = 2 * (
        np.arange(1, steps) * (first[-1] - after[0]) + after[0] * steps
    )  # times 2 steps: whole numbers
    low = np.searchsorted((first + after) * steps, rank, side="right") - 1
    low = np.clip(low, 0, len(kept) - 2)
    near = low + (rank >= (after[low] + first[low + 1]) * steps)
    result: Ranks = kept[np.unique(np.concatenate([[0], near, [len(kept) - 1]]))]
    return result
