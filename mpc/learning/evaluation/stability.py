# SPDX-License-Identifier: Apache-2.0
"""Population stability index: how far a score or a feature has moved from the sample a model was made on.

PSI = sum over bins of (a - e) ln(a / e), with e and a the shares of the expected (development) and the actual sample
in a bin: the symmetrised Kullback-Leibler divergence [Yurdakul 2020]. The customary reading [Siddiqi 2006]: below 0.1
no significant change, 0.1 to 0.25 a change to look into, above 0.25 a shift that asks for a new model. For a feature
the same figure is called characteristic stability index.

Where a bin is empty in either sample, one half is added to every count of both samples before shares are taken, so
that the index stays finite; without an empty bin nothing is added. Each party computes it on its own columns: nothing
is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from crypsis.mpc.learning.evaluation.checks import Floats, Numbers, at_least, finite, floats

WATCH: Final = 0.1
SHIFTED: Final = 0.25
_ADDED: Final = 0.5


@dataclass(frozen=True)
class StabilityBin:
    """A bin: its label, counts, shares (after smoothing) and its part of the index."""

    label: str
    expected_count: float
    actual_count: float
    expected_share: float
    actual_share: float
    index: float


@dataclass(frozen=True)
class Stability:
    """The index of one score or feature, its bins, and whether an empty bin made smoothing necessary."""

    index: float
    bins: tuple[StabilityBin, ...]
    smoothed: bool

    @property
    def reading(self) -> str:
        """ "stable" (below 0.1), "watch" (to 0.25) or "shifted" [Siddiqi 2006]."""
        return "stable" if self.index < WATCH else "watch" if self.index <= SHIFTED else "shifted"


def stability_of_counts(labels: Sequence[str], expected: Numbers, actual: Numbers) -> Stability:
    """The index of counts by bin: for categories, or bins that a model has already.

    labels: names of the bins; expected, actual: counts >= 0, of the same length.
    Raises ValueError, TypeError for lengths that differ, negative or all-zero counts, and what is not finite.
    """
    before, after = finite(expected, "expected"), finite(actual, "actual")
    if not len(labels) == before.size == after.size:
        raise ValueError(
            f"{len(labels)} labels, {before.size} expected and {after.size} actual counts: one of each a bin is needed"
        )
    for name, counts in (("expected", before), ("actual", after)):
        if (counts < 0).any() or not counts.any():
            raise ValueError(f"{name} counts must be not negative and not all zero: {counts.tolist()}")
    smoothed = bool((before == 0).any() or (after == 0).any())
    added = _ADDED if smoothed else 0.0
    e = (before + added) / (before.sum() + added * before.size)
    a = (after + added) / (after.sum() + added * after.size)
    parts = (a - e) * np.log(a / e)
    bins = tuple(
        StabilityBin(str(label), *(float(values[i]) for values in (before, after, e, a, parts)))
        for i, label in enumerate(labels)
    )
    return Stability(float(parts.sum()), bins, smoothed)


def quantile_edges(values: Numbers, n_bins: int) -> Floats:
    """Inner edges of `n_bins` equal parts of the finite values: ascending, distinct, at most n_bins - 1 and maybe none.

    An edge is a value of the sample (the lower one at a quantile), so whole numbers keep whole edges.
    """
    at_least(n_bins, 2, "n_bins")
    known = floats(values, "values")
    known = known[~np.isnan(known)]
    if not known.size:
        return np.empty(0)
    edges: Floats = np.quantile(known, np.arange(1, n_bins) / n_bins, method="lower")
    return np.asarray(np.unique(edges[edges < known.max()]), dtype=np.float64)


def interval_labels(edges: Floats) -> list[str]:
    """Names of the bins (-inf, e0], (e0, e1], ..., (ek, inf)."""
    names = ["-inf", *(f"{edge:.4g}" for edge in edges), "inf"]
    if len(set(names)) < len(names):  # edges nearer to each other than four digits tell
        names = ["-inf", *(repr(float(edge)) for edge in edges), "inf"]
    closings = ["]"] * len(edges) + [")"]
    return [f"({low}, {high}{end}" for low, high, end in zip(names, names[1:], closings, strict=False)]


def _checked_edges(edges: Numbers) -> Floats:
    array = np.asarray(edges, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or (np.diff(array) <= 0).any():
        raise ValueError(f"edges must be finite and ascending: {array.tolist()}")
    return array


def population_stability(
    expected: Numbers,
    actual: Numbers,
    *,
    n_bins: int = 10,
    edges: Numbers | None = None,
    allow_missing: bool = False,
) -> Stability:
    """The index of a score, or of a numeric feature.

    expected: float[n] of the sample the model was made on; its quantiles are the bins unless inner `edges` (ascending)
    are given. actual: float[m] of today's. The bins are (low, high], the outer ones open. allow_missing: NaN has a bin
    of its own, "missing", there where either sample has any.
    Raises ValueError, TypeError for empty samples, NaN without allow_missing, infinities, edges out of order.
    """
    before, after = floats(expected, "expected"), floats(actual, "actual")
    for name, values in (("expected", before), ("actual", after)):
        if np.isinf(values).any() or (not allow_missing and np.isnan(values).any()):
            hint = "" if allow_missing else ", or allow_missing=True to give NaN its own bin"
            raise ValueError(f"{name} has values that are not finite: drop or fill them{hint}")
    inner = quantile_edges(before, n_bins) if edges is None else _checked_edges(edges)
    labels = interval_labels(inner)
    counts = [_counts(values, inner) for values in (before, after)]
    if counts[0][-1] or counts[1][-1]:
        labels = [*labels, "missing"]
    else:
        counts = [count[:-1] for count in counts]
    return stability_of_counts(labels, counts[0], counts[1])


def _counts(values: Floats, edges: Floats) -> Floats:
    """Counts of the bins, and at the end of NaN."""
    missing = np.isnan(values)
    number = np.searchsorted(edges, values[~missing], side="left")
    counts = np.bincount(number, minlength=edges.size + 1).astype(np.float64)
    return np.asarray(np.append(counts, missing.sum()), dtype=np.float64)


def characteristic_stability(
    expected: Mapping[str, Numbers], actual: Mapping[str, Numbers], *, n_bins: int = 10
) -> dict[str, Stability]:
    """The index of each of a party's features, by name; missing values (NaN) are a bin of their own.

    Raises ValueError where the two samples do not have the same features, and as `population_stability`, with the
    feature's name.
    """
    lost = sorted(set(expected) ^ set(actual))
    if lost:
        raise ValueError(f"features in one sample only: {', '.join(map(repr, lost))}: give both the same")
    found = {}
    for name, values in expected.items():
        try:
            found[name] = population_stability(values, actual[name], n_bins=n_bins, allow_missing=True)
        except (ValueError, TypeError) as error:
            raise type(error)(f"feature {name!r}: {error}") from error
    return found
