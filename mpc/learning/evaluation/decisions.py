# SPDX-License-Identifier: Apache-2.0
"""How good decisions at a threshold and probabilities are: confusion, calibration, log loss.

Weights count as numbers of rows. Sources: [Fawcett 2006] (rates), [Brier 1950], [Guo 2017] (expected calibration
error), [Hosmer 1980] (goodness of fit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crypsis.mpc.learning.evaluation.checks import (
    Floats,
    Numbers,
    at_least,
    binary_labels,
    finite,
    one_of,
    probabilities_of,
    row_weights,
    sums_of,
    tied_groups,
)

LOG_LOSS_CLIP = 2.0**-52  # probabilities nearer to 0 or 1 than this count as this far away


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


@dataclass(frozen=True)
class Confusion:
    """Sums of weights: rows with score >= threshold are called 1. A rate with nothing below the line is NaN."""

    threshold: float
    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float

    @property
    def rows(self) -> float:
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def accuracy(self) -> float:
        return _share(self.true_positives + self.true_negatives, self.rows)

    @property
    def precision(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> float:
        return _share(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def f1(self) -> float:
        twice = 2 * self.true_positives
        return _share(twice, twice + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose probability lies in [low, high]: their sum of weights, and what was predicted and observed of them."""

    low: float
    high: float
    rows: float
    predicted: float
    observed: float


@dataclass(frozen=True)
class HosmerLemeshow:
    """Chi-square statistic over the bins, its degrees of freedom (bins - 2) and the p-value (small: bad fit).

    NaN p-value with fewer than three bins. Meant for rows of weight 1, since the statistic grows with the sum.
    """

    statistic: float
    degrees_of_freedom: int
    p_value: float


@dataclass(frozen=True)
class Calibration:
    """Reliability bins (empty ones left out), Brier score, expected calibration error, and Hosmer-Lemeshow."""

    bins: tuple[CalibrationBin, ...]
    brier_score: float
    expected_calibration_error: float
    hosmer_lemeshow: HosmerLemeshow


def confusion(
    labels: Numbers, scores: Numbers, *, threshold: float = 0.5, weights: Numbers | None = None
) -> Confusion:
    """The four counts at a threshold; one class alone is allowed.

    labels, scores, weights: [n], of {0, 1}, finite, and finite and >= 0. The threshold may be infinite.
    Raises ValueError for anything else, for a NaN threshold and for lengths that differ.
    """
    positive = binary_labels(labels, both=False)
    score = finite(scores, "scores", n_rows=positive.size)
    weight = row_weights(weights, positive.size)
    if math.isnan(threshold):
        raise ValueError("threshold is NaN: give the score from which on a row is called 1")
    called = score >= threshold
    return Confusion(
        threshold=float(threshold),
        true_positives=float(weight[positive & called].sum()),
        false_positives=float(weight[~positive & called].sum()),
        true_negatives=float(weight[~positive & ~called].sum()),
        false_negatives=float(weight[positive & ~called].sum()),
    )


def brier_score(labels: Numbers, probabilities: Numbers, *, weights: Numbers | None = None) -> float:
    """The mean squared distance of probability and label [Brier 1950], in [0, 1]. Errors: `calibration`."""
    positive = binary_labels(labels, both=False)
    probability = probabilities_of(probabilities, n_rows=positive.size)
    return float(np.average((probability - positive) ** 2, weights=row_weights(weights, positive.size)))


def log_loss(labels: Numbers, probabilities: Numbers, *, weights: Numbers | None = None) -> float:
    """The mean of -ln(probability of the true label), in nats.

    Probabilities are clipped to [2^-52, 1 - 2^-52], so that one sure mistake costs 36 and not infinity.
    Errors: `calibration`.
    """
    positive = binary_labels(labels, both=False)
    probability = probabilities_of(probabilities, n_rows=positive.size)
    clipped = np.clip(probability, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    losses = -np.where(positive, np.log(clipped), np.log1p(-clipped))
    return float(np.average(losses, weights=row_weights(weights, positive.size)))


def chi_square_survival(statistic: float, degrees_of_freedom: int) -> float:
    """P(chi-square > statistic): Q(k/2, x/2) by Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1) [DLMF 8.8.6]."""
    at_least(degrees_of_freedom, 1, "degrees_of_freedom")
    if statistic <= 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0
    x = statistic / 2
    a, tail = (0.5, math.erfc(math.sqrt(x))) if degrees_of_freedom % 2 else (1.0, math.exp(-x))
    while 2 * a < degrees_of_freedom:
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return min(1.0, tail)


def _bin_numbers(ranked: Floats, rows: Floats, n_bins: int, strategy: str) -> Floats:
    """The bin of each distinct probability, which are descending; rows of one probability share a bin."""
    above = np.cumsum(rows) - rows
    position = ranked if strategy == "uniform" else above / rows.sum()
    number: Floats = np.minimum(np.floor(n_bins * position), n_bins - 1)
    return number


def calibration(
    labels: Numbers,
    probabilities: Numbers,
    *,
    n_bins: int = 10,
    strategy: Literal["quantile", "uniform"] = "quantile",
    weights: Numbers | None = None,
) -> Calibration:
    """Compares predicted probabilities with what happened.

    labels, probabilities, weights: [n], of {0, 1}, in [0, 1], finite and >= 0. Bins hold equal numbers of rows
    ("quantile", ties together) or equal widths of [0, 1] ("uniform": [i/n, (i+1)/n), the last with 1).
    Raises ValueError, TypeError for anything else and for lengths that differ.
    """
    at_least(n_bins, 2, "n_bins")
    one_of(strategy, ("quantile", "uniform"), "strategy")
    positive = binary_labels(labels, both=False)
    probability = probabilities_of(probabilities, n_rows=positive.size)
    weight = row_weights(weights, positive.size)
    kept = weight > 0
    order, starts = tied_groups(probability[kept])
    ranked = probability[kept][order][starts]
    rows = sums_of(weight[kept][order], starts)
    hits = sums_of(np.where(positive[kept], weight[kept], 0.0)[order], starts)
    number = _bin_numbers(ranked, rows, n_bins, strategy)
    first = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    last = np.r_[first[1:], number.size] - 1
    n_rows, n_hits, expected = sums_of(rows, first), sums_of(hits, first), sums_of(rows * ranked, first)
    found = [
        CalibrationBin(
            float(ranked[last[i]]),
            float(ranked[first[i]]),
            float(n_rows[i]),
            float(expected[i] / n_rows[i]),
            float(n_hits[i] / n_rows[i]),
        )
        for i in range(first.size)
    ]
    error = np.abs(n_hits - expected).sum() / n_rows.sum()
    return Calibration(
        bins=tuple(reversed(found)),
        brier_score=brier_score(labels, probabilities, weights=weights),
        expected_calibration_error=float(error),
        hosmer_lemeshow=_hosmer_lemeshow(n_rows, n_hits, expected),
    )


def _hosmer_lemeshow(rows: Floats, hits: Floats, expected: Floats) -> HosmerLemeshow:
    """Sum of (O - E)^2 / (E (1 - E / n)) over the bins; a bin sure of itself adds 0 where right, infinity where not."""
    variance = expected * (1 - expected / rows)
    squared = (hits - expected) ** 2
    sure = variance <= 0
    terms = np.where(sure, np.where(squared > 0, np.inf, 0.0), squared / np.where(sure, 1.0, variance))
    statistic, freedom = float(terms.sum()), rows.size - 2
    p_value = chi_square_survival(statistic, freedom) if freedom > 0 else math.nan
    return HosmerLemeshow(statistic, max(freedom, 0), p_value)
