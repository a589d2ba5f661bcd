# SPDX-License-Identifier: Apache-2.0
"""Which rows a round of trees learns from: all, a random part, or GOSS (gradient-based one-side sampling, LightGBM).

GOSS takes the top_rate of the rows with the largest |g h| (summed over outputs) and a random other_rate of all from the
rest, whose g and h are multiplied by (1 - top_rate) / other_rate. Fewer rows are encrypted and summed.

Leaks: the hosts learn which rows were taken. With GOSS that tells that a row not taken had no large gradient, that is,
that the model so far is not far off its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """subsample: part of the rows, 0 < s <= 1; top_rate, other_rate: of GOSS, both or neither, with a sum up to 1."""

    subsample: float = 1.0
    top_rate: float = 0.0
    other_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("subsample", "top_rate", "other_rate"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value!r}: give a part from 0 to 1")
        if self.subsample == 0:
            raise ConfigError("subsample is 0: give a part of the rows above 0")
        if (self.top_rate > 0) != (self.other_rate > 0) or self.top_rate + self.other_rate > 1:
            raise ConfigError(
                f"top_rate {self.top_rate} and other_rate {self.other_rate}: give both above 0, together 1 at most"
            )
        if self.top_rate and self.subsample < 1:
            raise ConfigError(
                "subsample and GOSS exclude each other: leave subsample at 1, or both rates at 0"
            )

    @property
    def takes_all(self) -> bool:
        return self.subsample == 1 and not self.top_rate

    def count(self, n: int) -> int:
        """How many of n rows are taken, which all parties know."""
        if self.takes_all:
            return n
        if not self.top_rate:
            return max(1, round(self.subsample * n))
        n_top = max(1, round(self.top_rate * n))
        return n_top + min(round(self.other_rate * n), n - n_top)

    def rows(self, g: Floats, h: Floats, rng: np.random.Generator) -> tuple[Bools, Floats]:
        """(which rows, the factor of each row) for float64[n, outputs]."""
        n = len(g)
        if not self.top_rate:
            taken = np.zeros(n, dtype=bool)
            taken[rng.permutation(n)[: self.count(n)]] = True
            return taken, taken.astype(np.float64)
        order = np.argsort(-np.abs(g * h).sum(axis=1), kind="stable")
        n_top, n_other = max(1, round(self.top_rate * n)), round(self.other_rate * n)
        factors = np.zeros(n)
        factors[order[:n_top]] = 1.0
        factors[rng.permutation(order[n_top:])[:n_other]] = (1.0 - self.top_rate) / self.other_rate
        return factors > 0, factors
