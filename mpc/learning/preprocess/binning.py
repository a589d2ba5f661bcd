# SPDX-License-Identifier: Apache-2.0
"""`FeatureBins`, how one column is cut, and `Binner`, which cuts a party's own columns; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from crypsis.errors import DataError
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.preprocess.compiled import Int16s, bin_numbers
from crypsis.mpc.learning.preprocess.fitted import (
    Fitted,
    name_tuple,
    read_categories,
    refuse_all_missing,
    stored_categories,
)

Method = Literal["quantile", "width"]
MAX_BINS = 4096


@dataclass(frozen=True)
class FeatureBins:
    """The bins of one column: those with values, then one for missing values, which is always there.

    edges   ascending: bin i holds edges[i - 1] < x <= edges[i], the last one all above
    groups  of a text column instead: the categories of each bin, every category once
    """

    name: str
    edges: tuple[float, ...] = ()
    groups: tuple[tuple[str, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not all(np.isfinite(e) for e in self.edges) or any(
            a >= b for a, b in zip(self.edges, self.edges[1:], strict=False)
        ):
            raise ValueError(f"the edges of {self.name!r} are not finite and ascending")
        texts = [text for group in self.groups or () for text in group]
        if len(set(texts)) != len(texts):
            raise ValueError(f"a category of {self.name!r} is in two bins")
        if self.n_bins > MAX_BINS:
            raise DataError(
                f"column {self.name!r} would have {self.n_bins} bins, {MAX_BINS} at most: put rare categories together"
            )

    @property
    def n_bins(self) -> int:
        """Bins, with that of missing values."""
        return (len(self.edges) + 1 if self.groups is None else len(self.groups)) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """The bins in words, for scorecards: "(30, 45]", "car, bike", and "missing" at the end."""
        if self.groups is not None:
            return (*(", ".join(group) for group in self.groups), "missing")
        ends = [f"{e:.10g}" for e in self.edges]
        lows, highs = ["-inf", *ends], [*ends, "inf"]
        words = [f"({a}, {b}{')' if b == 'inf' else ']'}" for a, b in zip(lows, highs, strict=True)]
        return (*words, "missing")

    def merged(self, numbers: npt.NDArray[np.integer[Any]]) -> FeatureBins:
        """Bins put together: numbers[i] is the new number of bin i, that of missing values not counted.

        ValueError where numbers are not 0 to some largest one, or, for edges, not in ascending order.
        """
        numbers = np.asarray(numbers)
        if len(numbers) != self.n_bins - 1 or set(numbers.tolist()) != set(range(int(numbers.max()) + 1)):
            raise ValueError(f"bins of {self.name!r} cannot be put together as {numbers.tolist()[:20]}")
        if self.groups is not None:
            groups = [
                tuple(text for i in np.flatnonzero(numbers == g) for text in self.groups[int(i)])
                for g in range(int(numbers.max()) + 1)
            ]
            return FeatureBins(self.name, groups=tuple(groups))
        if (np.diff(numbers) < 0).any():
            raise ValueError(f"only neighbouring bins of {self.name!r} can be put together")
        return FeatureBins(
            self.name, tuple(e for e, step in zip(self.edges, np.diff(numbers), strict=True) if step)
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        groups = None if self.groups is None else [list(group) for group in self.groups]
        return {"name": self.name, "edges": list(self.edges), "groups": groups}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> FeatureBins:
        """What `to_dict` gave. ValueError, KeyError, TypeError for anything else."""
        groups = stored["groups"]
        if not isinstance(stored["name"], str) or not all(type(e) in (int, float) for e in stored["edges"]):
            raise ValueError("no bins")
        return cls(
            stored["name"],
            tuple(float(e) for e in stored["edges"]),
            None if groups is None else tuple(name_tuple(group) for group in groups),
        )


def quantile_edges(column: Floats, n_bins: int) -> tuple[float, ...]:
    """Edges of at most n_bins bins of about as many rows each; every distinct value a bin where there are no more."""
    present = np.sort(column[~np.isnan(column)])
    last_of_each = np.append(present[1:] != present[:-1], True)
    if np.count_nonzero(last_of_each) <= n_bins:
        return tuple(present[last_of_each][:-1].tolist())
    # The least value that i / n_bins of the rows do not exceed.
    ranks = -(-np.arange(1, n_bins) * len(present) // n_bins) - 1
    cuts = np.unique(present[ranks])
    return tuple(cuts[cuts < present[-1]].tolist())


def width_edges(column: Floats, n_bins: int) -> tuple[float, ...]:
    """Edges of n_bins bins of the same width from the least to the largest value; one bin for a constant."""
    low, high = float(np.nanmin(column)), float(np.nanmax(column))
    cuts = np.unique(low + (high - low) * (np.arange(1, n_bins) / n_bins))
    return tuple(cuts[(cuts >= low) & (cuts < high)].tolist())


class Binner(Fitted):
    """Cuts number columns by `method`; in text columns each category is a bin. Missing values have a bin of their own.

    method   "quantile" (about as many rows in each) or "width" (each as wide)
    n_bins   2 to 4,095 bins of values of a number column, at most
    edges    column -> ascending edges of one's own choice

    A category that `fit` did not see counts as missing. Leaks: nothing, no message is sent.
    """

    kind = "binner"

    def __init__(
        self,
        *,
        method: Method = "quantile",
        n_bins: int = 32,
        edges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise ValueError(f"method is {method!r}; give one of {', '.join(get_args(Method))}")
        if type(n_bins) is not int or not 2 <= n_bins < MAX_BINS:
            raise ValueError(f"n_bins is {n_bins!r}; give a whole number from 2 to {MAX_BINS - 1}")
        self.method = method
        self.n_bins = n_bins
        self.edges = None if edges is None else {k: [float(e) for e in v] for k, v in edges.items()}
        for name, given in (self.edges or {}).items():
            FeatureBins(name, tuple(given))

    def fit(self, frame: Frame) -> Self:
        """DataError naming columns without any value, edges of no number column, or a column of too many categories."""
        refuse_all_missing(frame)
        for name in self.edges or {}:
            if name not in frame.names or name in frame.categories:
                raise DataError(f"edges are given for {name!r}, which is no number column of the table")
        cut = quantile_edges if self.method == "quantile" else width_edges
        bins: dict[str, FeatureBins] = {}
        for i, name in enumerate(frame.names):
            if name in frame.categories:
                bins[name] = FeatureBins(name, groups=tuple((t,) for t in frame.categories[name]))
            elif name in (self.edges or {}):
                bins[name] = FeatureBins(name, tuple((self.edges or {})[name]))
            else:
                bins[name] = FeatureBins(name, cut(frame.values[:, i], self.n_bins))
        self.bins_ = bins
        self.categories_ = dict(frame.categories)
        return self

    def numbers(self, frame: Frame) -> Int16s:
        """int16[rows, columns] of the columns of `fit`: the bin of each value. DataError for a missing column."""
        self._check_fitted()
        return numbers_in(self.bins_, self.categories_, frame)

    def transform(self, frame: Frame) -> Frame:
        """The same, as a frame of whole numbers, 0 to bins - 1."""
        return Frame(tuple(self.bins_), self.numbers(frame).astype(np.float64), frame.labels, frame.ids)

    def fit_transform(self, frame: Frame) -> Frame:
        """`fit`, then `transform`."""
        return self.fit(frame).transform(frame)

    def _state(self) -> dict[str, Any]:
        return {
            "bins": [bins.to_dict() for bins in self.bins_.values()],
            "categories": stored_categories(self.categories_),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        bins = [FeatureBins.from_dict(one) for one in state["bins"]]
        self.bins_ = {one.name: one for one in bins}
        self.categories_ = read_categories(state["categories"])


def numbers_in(
    bins: Mapping[str, FeatureBins], categories: Mapping[str, tuple[str, ...]], frame: Frame
) -> Int16s:
    """int16[rows, columns]: the number of the bin of each value. DataError for a column that is missing."""
    own, _ = frame.as_trained(tuple(bins), {n: t for n, t in categories.items() if n in bins})
    result = bin_numbers(own.values, [np.array(one.edges) for one in bins.values()])
    for i, (name, one) in enumerate(bins.items()):
        if one.groups is not None:
            place = {text: number for number, group in enumerate(one.groups) for text in group}
            lookup = np.array([place[text] for text in categories[name]] + [one.n_bins - 1], dtype=np.int16)
            codes = own.values[:, i]
            result[:, i] = lookup[np.where(np.isnan(codes), len(lookup) - 1, codes).astype(np.int64)]
    return result
