# SPDX-License-Identifier: Apache-2.0
"""One party's columns, standardised and as fixed-point integers: what a linear model is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.linear.products import Matrix
from crypsis.mpc.learning.linear.regression import FEATURE_BITS
from crypsis.mpc.learning.linear.ring128 import MAX_COLUMNS
from crypsis.mpc.learning.linear.state import MAX_CLIP

_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / scale, clipped at +-clip; scale is the standard deviation over the rows of training."""

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    clip: float

    @classmethod
    def fit(cls, frame: Frame, clip: float) -> tuple[Scaling, Matrix, int]:
        """(the scaling, the columns as `int16` with `FEATURE_BITS` of fraction, how many values were clipped).

        DataError naming a column that is constant, has missing values, or is text; ConfigError for another `clip`.
        """
        if not isinstance(clip, int | float) or not 1 <= clip <= MAX_CLIP:
            raise ConfigError(f"clip is {clip!r}; give standard deviations from 1 to {MAX_CLIP:g}")
        if not len(frame) or len(frame.names) >= MAX_COLUMNS:
            raise DataError(
                f"the table has {len(frame)} rows and {len(frame.names)} columns; a linear model takes rows, and fewer"
                f" than {MAX_COLUMNS} columns"
            )
        _check_numbers(frame)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # refused below
            mean = frame.values.mean(axis=0)
            scale = frame.values.std(axis=0)
        constant = frame.values.max(axis=0) == frame.values.min(axis=0)
        if constant.any():
            name = frame.names[int(np.argmax(constant))]
            raise DataError(f"column {name!r} is constant; leave it out, it tells a model nothing")
        wide = ~np.isfinite(mean) | ~np.isfinite(scale) | ~(scale > 0)
        if wide.any():
            name = frame.names[int(np.argmax(wide))]
            raise DataError(
                f"the values of column {name!r} are too large or too close together; take another unit"
            )
        scaling = cls(frame.names, mean, scale, float(clip))
        matrix = np.empty(frame.values.shape, dtype=np.int16)
        clipped = 0
        for begin in range(0, len(frame), _BLOCK_ROWS):
            part = slice(begin, begin + _BLOCK_ROWS)
            with np.errstate(over="ignore"):  # clipped
                scaled = (frame.values[part] - mean) / scale
            clipped += int((np.abs(scaled) > clip).sum())
            matrix[part] = np.rint(np.ldexp(np.clip(scaled, -clip, clip), FEATURE_BITS))
        return scaling, matrix, clipped

    def apply(self, frame: Frame) -> Floats:
        """The columns of training, in their order, standardised. DataError naming one that is missing or has NaN."""
        picked = frame.select(self.names)
        _check_numbers(picked)
        with np.errstate(over="ignore"):
            scaled: Floats = np.clip((picked.values - self.mean) / self.scale, -self.clip, self.clip)
        return scaled

    def to_body(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "clip": self.clip,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Scaling:
        """Of what `to_body` made. KeyError, TypeError or ValueError where it was not."""
        names = tuple(body["names"])
        mean, scale = (np.array(body[name], dtype=np.float64) for name in ("mean", "scale"))
        numbers: npt.NDArray[np.bool_] = np.isfinite(mean) & np.isfinite(scale) & (scale > 0)
        if not all(isinstance(name, str) for name in names) or mean.shape != scale.shape:
            raise ValueError("names, means and scales do not fit")
        if mean.shape != (len(names),) or not numbers.all():
            raise ValueError("means and scales are not one for each column")
        return cls(names, mean, scale, float(body["clip"]))


def _check_numbers(frame: Frame) -> None:
    for name in frame.categories:
        raise DataError(
            f"column {name!r} is text; encode it first, by weight of evidence or as 0 and 1 columns"
        )
    missing = np.isnan(frame.values).any(axis=0)
    if missing.any():
        name = frame.names[int(np.argmax(missing))]
        raise DataError(f"column {name!r} has missing values; impute them first")
