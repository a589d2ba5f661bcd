# SPDX-License-Identifier: Apache-2.0
"""Scorecards: a logistic model over weight-of-evidence bins written as points [Siddiqi 2006].

    log-odds of label 1 = intercept + sum over features of coefficient x WOE(bin)
    score               = offset - factor x log-odds
    factor = pdo / ln 2,  offset = base_score - factor ln base_odds

so that `base_score` stands for odds of `base_odds` : 1 against label 1 and every `pdo` points more double those odds.
With `higher_score="more_likely"` odds are for label 1 and the sign turns. Each bin has -factor x coefficient x WOE
points; the base points, offset - factor x intercept, are the guest's. Points are rounded to `decimals` one by one, so
a total differs from the formula by at most (features + 1) x 10^-decimals / 2.

Leaks: each party holds and exports its own features only, and nothing is sent here. A party that sends the total of
its points for a row discloses that total; reason codes of a host's features disclose their names and deficits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from crypsis.mpc.learning.evaluation.checks import Floats, Numbers, finite, one_of


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How log-odds become points. pdo > 0 (points to double the odds), base_odds > 0, decimals 0 to 6."""

    base_score: float = 600.0
    base_odds: float = 50.0
    pdo: float = 20.0
    decimals: int = 0
    higher_score: Literal["less_likely", "more_likely"] = "less_likely"

    def __post_init__(self) -> None:
        one_of(self.higher_score, ("less_likely", "more_likely"), "higher_score")
        for name in ("base_score", "base_odds", "pdo"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not math.isfinite(value) or (name != "base_score" and value <= 0):
                raise ValueError(
                    f"{name} is {value}: it must be finite{'' if name == 'base_score' else ' and above 0'}"
                )
        if (
            isinstance(self.decimals, bool)
            or not isinstance(self.decimals, int)
            or not 0 <= self.decimals <= 6
        ):
            raise ValueError(f"decimals is {self.decimals!r}: a whole number from 0 to 6")

    @property
    def slope(self) -> float:
        """Points for one more in the log-odds of label 1: negative where a higher score is less likely."""
        factor = self.pdo / math.log(2)
        return factor if self.higher_score == "more_likely" else -factor

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_score - self.pdo / math.log(2) * math.log(self.base_odds)

    def score_of(self, log_odds: Numbers) -> Floats:
        """Points, not rounded, of log-odds of label 1, [n]."""
        return self.offset + self.slope * np.asarray(log_odds, dtype=np.float64)

    def log_odds_of(self, scores: Numbers) -> Floats:
        """Log-odds of label 1 of points, [n]."""
        return (np.asarray(scores, dtype=np.float64) - self.offset) / self.slope


@dataclass(frozen=True)
class ScorecardBin:
    """One bin of a feature: what it holds, in words ("(30, 45]", "missing"), its WOE and its points."""

    label: str
    woe: float
    points: float


@dataclass(frozen=True)
class ScorecardFeature:
    """One feature: its coefficient and its bins, in the order of the bin numbers."""

    name: str
    coefficient: float
    bins: tuple[ScorecardBin, ...]


@dataclass(frozen=True)
class ScorecardPart:
    """One party's part. `base_points` (with the intercept) is the guest's, None at a host."""

    party: str
    scaling: Scaling
    features: tuple[ScorecardFeature, ...]
    base_points: float | None


@dataclass(frozen=True)
class ReasonCodes:
    """The features that cost most points, largest loss first, of each row: int64[n, k] numbers of `names`, and the
    points lost, float64[n, k], >= 0 (0: the row lost nothing there, and the feature is no reason)."""

    names: tuple[str, ...]
    features: npt.NDArray[np.int64]
    lost: Floats


def make_scorecard(
    party: str,
    bins: Mapping[str, tuple[Sequence[str], Numbers]],
    coefficients: Mapping[str, float],
    *,
    scaling: Scaling,
    intercept: float | None = None,
) -> ScorecardPart:
    """One party's part of the scorecard of a WOE model.

    bins: of each feature the labels and the WOE of its bins, in the order of the bin numbers; coefficients: of the
    same features; intercept: the model's at the guest, None at a host.
    Raises ValueError, TypeError for features in one of the two only, no bins, lengths that differ, or what is not
    finite.
    """
    lost = sorted(set(bins) ^ set(coefficients))
    if lost:
        raise ValueError(f"features with bins or a coefficient only: {', '.join(map(repr, lost))}")
    features = []
    for name, (labels, woe) in bins.items():
        values = finite(woe, f"the WOE of {name!r}")
        if len(labels) != values.size:
            raise ValueError(
                f"feature {name!r} has {len(labels)} labels and {values.size} WOE values: one of each a bin"
            )
        coefficient = float(coefficients[name])
        if not math.isfinite(coefficient):
            raise ValueError(f"the coefficient of {name!r} is {coefficient}")
        points = np.round(scaling.slope * coefficient * values, scaling.decimals) + 0.0  # no minus zero
        rows = zip(labels, values, points, strict=True)
        features.append(
            ScorecardFeature(
                name, coefficient, tuple(ScorecardBin(str(s), float(w), float(p)) for s, w, p in rows)
            )
        )
    base = None
    if intercept is not None:
        if not math.isfinite(intercept):
            raise ValueError(f"the intercept is {intercept}")
        base = float(np.round(scaling.offset + scaling.slope * intercept, scaling.decimals)) + 0.0
    return ScorecardPart(party, scaling, tuple(features), base)


def points_by_feature(part: ScorecardPart, numbers: Mapping[str, npt.ArrayLike]) -> Floats:
    """Points float64[n, features] of rows, from their bin numbers: of each feature int[n] in [0, bins).

    Raises ValueError, TypeError for a missing feature, another length, a number out of range.
    """
    columns: list[Floats] = []
    for feature in part.features:
        if feature.name not in numbers:
            raise ValueError(
                f"bin numbers of {feature.name!r} are missing: the scorecard of {part.party} needs them"
            )
        index = np.asarray(numbers[feature.name])
        if index.dtype.kind not in "iu" or index.ndim != 1:
            raise TypeError(f"bin numbers of {feature.name!r} must be whole numbers in one dimension")
        if columns and index.size != columns[0].size:
            raise ValueError(
                f"{feature.name!r} has {index.size} rows, {part.features[0].name!r} {columns[0].size}"
            )
        if index.size and (int(index.min()) < 0 or int(index.max()) >= len(feature.bins)):
            raise ValueError(f"a bin number of {feature.name!r} is outside of 0 to {len(feature.bins) - 1}")
        columns.append(np.array([b.points for b in feature.bins])[index.astype(np.int64)])
    if not columns:
        raise ValueError(f"the scorecard of {part.party} has no features")
    return np.stack(columns, axis=1)


def part_score(part: ScorecardPart, numbers: Mapping[str, npt.ArrayLike]) -> Floats:
    """Total points float64[n] of one party's features, with the base points where the part has them. Errors:
    `points_by_feature`."""
    return np.asarray(points_by_feature(part, numbers).sum(axis=1) + (part.base_points or 0.0))


def total_score(parts: Sequence[Floats]) -> Floats:
    """The score: the sum of all parties' `part_score`, [n] each. Raises ValueError for none or lengths that differ."""
    sizes = {np.asarray(part).shape for part in parts}
    if len(sizes) != 1:
        raise ValueError(f"parts of {sorted(sizes)} rows cannot be added: every party scores the same rows")
    return np.asarray(np.sum(np.stack(list(parts)), axis=0), dtype=np.float64)


def reason_codes(
    part: ScorecardPart,
    numbers: Mapping[str, npt.ArrayLike],
    *,
    n_reasons: int = 4,
    against: Literal["best", "neutral"] = "best",
) -> ReasonCodes:
    """Why rows did not score more: the features with the largest distance to the most points they can give ("best")
    or to 0 points, those of WOE 0 ("neutral"). Ties go to the earlier feature. Errors: `points_by_feature`."""
    one_of(against, ("best", "neutral"), "against")
    if n_reasons < 1:
        raise ValueError(f"n_reasons is {n_reasons}: it must be at least 1")
    points = points_by_feature(part, numbers)
    best = np.array([max(b.points for b in f.bins) for f in part.features]) if against == "best" else 0.0
    lost = np.maximum(best - points, 0.0)
    order = np.argsort(-lost, axis=1, kind="stable")[:, :n_reasons].astype(np.int64)
    names = tuple(feature.name for feature in part.features)
    return ReasonCodes(names, order, np.take_along_axis(lost, order, axis=1))
