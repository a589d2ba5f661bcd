# SPDX-License-Identifier: Apache-2.0
"""`Imputer`: each party fills its own columns; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import numpy as np

from crypsis.errors import DataError
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.preprocess.fitted import (
    Fitted,
    finite_list,
    name_tuple,
    read_categories,
    refuse_all_missing,
    stored_categories,
)

Strategy = Literal["mean", "median", "most_frequent", "constant", "own_bin"]
CategoryStrategy = Literal["most_frequent", "own_bin"]


class Imputer(Fitted):
    """Fills missing values with what `fit` found in the same column.

    strategy     of number columns: "mean", "median", "most_frequent" (the least of several), "constant" (`fill_value`),
                 or "own_bin": left missing, for steps that know missing values (binning, boosting)
    fill_value   finite, of "constant"
    categorical  of text columns: "most_frequent" or "own_bin"
    by_column    column -> strategy, where it differs
    indicator    adds a column "NAME_missing" of 0 and 1 behind the others for each column with missing values in `fit`

    A category that `fit` did not see counts as missing. Leaks: nothing, no message is sent.
    """

    kind = "imputer"

    def __init__(
        self,
        *,
        strategy: Strategy = "median",
        fill_value: float = 0.0,
        categorical: CategoryStrategy = "most_frequent",
        by_column: Mapping[str, Strategy] | None = None,
        indicator: bool = False,
    ) -> None:
        given = [("strategy", strategy), *((f"by_column[{k!r}]", v) for k, v in (by_column or {}).items())]
        for what, value in given:
            if value not in get_args(Strategy):
                raise ValueError(f"{what} is {value!r}; give one of {', '.join(get_args(Strategy))}")
        if categorical not in get_args(CategoryStrategy):
            raise ValueError(
                f"categorical is {categorical!r}; give one of {', '.join(get_args(CategoryStrategy))}"
            )
        if not np.isfinite(fill_value):
            raise ValueError(f"fill_value is {fill_value}: give a finite number")
        self.strategy = strategy
        self.fill_value = float(fill_value)
        self.categorical = categorical
        self.by_column = None if by_column is None else dict(by_column)
        self.indicator = bool(indicator)

    def fit(self, frame: Frame) -> Self:
        """DataError naming columns without any value, and a strategy of a text column that makes no sense there."""
        refuse_all_missing(frame)
        unknown = sorted(set(self.by_column or {}) - set(frame.names))
        if unknown:
            raise DataError(f"by_column names {unknown[0]!r}, which the table does not have")
        fills = np.full(len(frame.names), np.nan)
        for i, name in enumerate(frame.names):
            fills[i] = self._fill(name, frame.values[:, i], name in frame.categories)
        holes = np.atleast_1d(np.isnan(frame.values).any(axis=0))
        added = [f"{name}_missing" for name, hole in zip(frame.names, holes, strict=True) if hole]
        taken = sorted(set(added) & set(frame.names)) if self.indicator else []
        if taken:
            raise DataError(f"an indicator would be named {taken[0]!r}, as a column is; rename that column")
        self.names_ = frame.names
        self.categories_ = dict(frame.categories)
        self.fills_ = fills  # float64[columns], NaN: left missing
        self.marked_ = tuple(n for n, hole in zip(frame.names, holes, strict=True) if hole and self.indicator)
        return self

    def _fill(self, name: str, column: Floats, text: bool) -> float:
        strategy = (self.by_column or {}).get(name, self.categorical if text else self.strategy)
        if text and strategy not in get_args(CategoryStrategy):
            raise DataError(
                f"column {name!r} holds categories, which have no {strategy}; give it"
                f" {' or '.join(get_args(CategoryStrategy))}"
            )
        present = column[~np.isnan(column)]
        if strategy == "mean":
            return float(present.mean())
        if strategy == "median":
            return float(np.median(present))
        if strategy == "most_frequent":
            values, counts = np.unique(present, return_counts=True)
            return float(values[np.argmax(counts)])
        return self.fill_value if strategy == "constant" else float("nan")

    def transform(self, frame: Frame) -> Frame:
        """The columns of `fit`, filled, and the indicators. DataError for a column that is missing."""
        self._check_fitted()
        own, _ = frame.as_trained(self.names_, self.categories_)
        missing = np.isnan(own.values)
        values = np.where(missing, self.fills_, own.values)
        marks = missing[:, [self.names_.index(name) for name in self.marked_]].astype(np.float64)
        return Frame(
            (*self.names_, *(f"{name}_missing" for name in self.marked_)),
            np.hstack([values, marks]),
            frame.labels,
            frame.ids,
            MappingProxyType(self.categories_),
        )

    def fit_transform(self, frame: Frame) -> Frame:
        """`fit`, then `transform`."""
        return self.fit(frame).transform(frame)

    def _state(self) -> dict[str, Any]:
        return {
            "names": list(self.names_),
            "categories": stored_categories(self.categories_),
            "fills": [None if np.isnan(v) else float(v) for v in self.fills_],
            "marked": list(self.marked_),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        names, marked = name_tuple(state["names"]), name_tuple(state["marked"])
        left = np.array([v is None for v in state["fills"]], dtype=bool)
        fills = finite_list([0.0 if v is None else v for v in state["fills"]], len(names))
        if not set(marked) <= set(names):
            raise ValueError("marks of no column")
        self.names_, self.marked_ = names, marked
        self.categories_ = read_categories(state["categories"])
        self.fills_ = np.where(left, np.nan, fills)
