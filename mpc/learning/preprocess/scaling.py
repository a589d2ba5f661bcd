# SPDX-License-Identifier: Apache-2.0
"""`StandardScaler` and `MinMaxScaler`: each party scales its own columns; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from crypsis.errors import DataError
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.preprocess.fitted import (
    Fitted,
    finite_list,
    name_tuple,
    named,
    refuse_all_missing,
    refuse_text,
)


class _Scaler(Fitted):
    """(x - shift) / scale, column by column; missing values are left out of `fit` and stay missing."""

    def _parameters(self, values: Floats) -> tuple[Floats, Floats]:
        """(shift, scale) of each column; a scale of 0 for a constant one."""
        raise NotImplementedError

    def fit(self, frame: Frame) -> Self:
        """DataError naming columns that are constant, without any value, or text."""
        refuse_text(frame, "scale")
        refuse_all_missing(frame)
        # By the extremes: the deviation of equal numbers may be rounded to something above 0.
        flat = np.nanmin(frame.values, axis=0) == np.nanmax(frame.values, axis=0)
        if flat.any():
            constant = [frame.names[i] for i in np.flatnonzero(flat)]
            raise DataError(f"{named(constant)} have the same value in every row: leave them out")
        with np.errstate(all="ignore"):  # what comes out of range is refused below
            shift, scale = self._parameters(frame.values)
        lost = [
            frame.names[i] for i in np.flatnonzero(~(np.isfinite(shift) & np.isfinite(scale) & (scale > 0)))
        ]
        if lost:
            raise DataError(f"{named(lost)} are too large or too close together to scale: take another unit")
        self.names_, self.shift_, self.scale_ = frame.names, shift, scale
        return self

    def transform(self, frame: Frame) -> Frame:
        """The columns of `fit`, scaled. DataError for a column that is missing or has become text."""
        self._check_fitted()
        own, _ = frame.as_trained(self.names_, {})
        values = (own.values - self.shift_) / self.scale_
        return Frame(self.names_, values, frame.labels, frame.ids, MappingProxyType({}))

    def fit_transform(self, frame: Frame) -> Frame:
        """`fit`, then `transform`."""
        return self.fit(frame).transform(frame)

    def _state(self) -> dict[str, Any]:
        return {
            "names": list(self.names_),
            "shift": self.shift_.tolist(),
            "scale": self.scale_.tolist(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        names = name_tuple(state["names"])
        shift, scale = finite_list(state["shift"], len(names)), finite_list(state["scale"], len(names))
        if (scale <= 0).any():
            raise ValueError("a scale of 0 or less")
        self.names_, self.shift_, self.scale_ = names, shift, scale


class StandardScaler(_Scaler):
    """Mean 0 and standard deviation 1 (of n, not n - 1) over the rows with a value. Leaks: nothing."""

    kind = "standard-scaler"

    def __init__(self) -> None:
        """No parameters."""

    def _parameters(self, values: Floats) -> tuple[Floats, Floats]:
        return np.nanmean(values, axis=0), np.nanstd(values, axis=0)


class MinMaxScaler(_Scaler):
    """The least value to 0 and the largest to 1; other rows may go beyond at `transform`. Leaks: nothing."""

    kind = "min-max-scaler"

    def __init__(self) -> None:
        """No parameters."""

    def _parameters(self, values: Floats) -> tuple[Floats, Floats]:
        low = np.nanmin(values, axis=0)
        return low, np.nanmax(values, axis=0) - low
