# SPDX-License-Identifier: Apache-2.0
"""How precise a decrypted array is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Precision:
    """log2 of the absolute error of each number: the least, the logarithm of the average error, and the most.

    -inf where there is no error at all. `str()` is one line.
    """

    least: float
    average: float
    most: float

    def __str__(self) -> str:
        return f"log2 error: least {self.least:.1f}, average {self.average:.1f}, most {self.most:.1f}"


def compare(found: Any, expected: Any) -> Precision:
    """`Precision` of arrays of one shape; ValueError for other shapes, none at all, and NaN."""
    left, right = np.asarray(found), np.asarray(expected)
    if left.shape != right.shape or left.size == 0:
        raise ValueError(
            f"found has shape {left.shape}, expected {right.shape}: give the same, with a number in it"
        )
    error = np.abs(left - right)
    if np.isnan(error).any():
        raise ValueError("a number is NaN: only numbers can be compared")
    return Precision(*(_log2(float(value)) for value in (error.min(), error.mean(), error.max())))


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf
