# SPDX-License-Identifier: Apache-2.0
"""How well a score ranks two classes: ROC, AUC, Kolmogorov-Smirnov, gain, lift.

A higher score stands for a more likely label 1. Rows of the same score are one step of every curve, so the order in
which tied rows lie never matters; a weight counts as that many rows (weight 0: as no row). Everything is computed
in plaintext by the party that has labels and scores; nothing is sent.

Sources: [Fawcett 2006] (curves), [Hanley 1982] (AUC as a rank statistic), [Siddiqi 2006] (KS, lift in credit).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crypsis.mpc.learning.evaluation.checks import (
    Floats,
    Numbers,
    at_least,
    binary_labels,
    finite,
    row_weights,
    sums_of,
    tied_groups,
)


@dataclass(frozen=True)
class RankCurve:
    """Shares of rows with score >= threshold, float64[m + 1] for m distinct scores, from (0, 0) to (1, 1).

    thresholds: descending; the first is infinity (nothing is above it).
    population_share, true_positive_rate, false_positive_rate: of all rows, of label 1, of label 0.
    """

    thresholds: Floats
    population_share: Floats
    true_positive_rate: Floats
    false_positive_rate: Floats

    @property
    def auc(self) -> float:
        """The area under the ROC curve, by trapezoids: tied rows count one half, as in the rank statistic."""
        step = np.diff(self.false_positive_rate)
        height = self.true_positive_rate[1:] + self.true_positive_rate[:-1]
        return float(np.dot(step, height) / 2)

    @property
    def ks_index(self) -> int:
        """The first point, up to rounding (1e-12), at which |TPR - FPR| is largest."""
        distance = np.abs(self.true_positive_rate - self.false_positive_rate)
        return int(np.argmax(distance >= distance.max() - 1e-12))


@dataclass(frozen=True)
class Ks:
    """The largest distance between the two classes' score distributions, in [0, 1], and where it is reached.

    threshold: of the several that reach it, the highest; infinity only where the distance is 0.
    population_share: the share of rows with score >= threshold.
    """

    statistic: float
    threshold: float
    population_share: float


@dataclass(frozen=True)
class Gain:
    """The share of label 1 found (`captured`) within the highest-scored share of rows (`population_share`)."""

    population_share: Floats
    captured: Floats


@dataclass(frozen=True)
class LiftBucket:
    """One bucket of rows, highest scores first; the cumulative figures include all buckets before it.

    rows, positives: sums of weights. rate: positives / rows. lift: rate over the rate of all rows.
    capture: share of all label 1. ks: distance of the distributions at the bucket's lower end (signed).
    """

    number: int
    score_low: float
    score_high: float
    rows: float
    positives: float
    rate: float
    lift: float
    cumulative_population: float
    cumulative_capture: float
    cumulative_lift: float
    ks: float


@dataclass(frozen=True)
class _Groups:
    """Sums of weights of each distinct score, descending."""

    scores: Floats
    positives: Floats
    negatives: Floats


def _grouped(labels: Numbers, scores: Numbers, weights: Numbers | None) -> _Groups:
    positive = binary_labels(labels, both=True)
    score = finite(scores, "scores", n_rows=positive.size)
    weight = row_weights(weights, positive.size)
    kept = weight > 0
    for name, rows in (("1", positive & kept), ("0", ~positive & kept)):
        if not rows.any():
            raise ValueError(
                f"every row of label {name} has weight 0: a ranking is measured between two classes"
            )
    positive, score, weight = positive[kept], score[kept], weight[kept]
    order, starts = tied_groups(score)
    weight, positive = weight[order], positive[order]
    return _Groups(
        score[order][starts],
        sums_of(np.where(positive, weight, 0.0), starts),
        sums_of(np.where(positive, 0.0, weight), starts),
    )


def _climb(steps: Floats) -> Floats:
    """Cumulative shares from 0 to exactly 1."""
    total = np.cumsum(steps)
    shares: Floats = np.concatenate(([0.0], total / total[-1]))
    return shares


def rank_curve(labels: Numbers, scores: Numbers, *, weights: Numbers | None = None) -> RankCurve:
    """All points of the ROC curve [Fawcett 2006], with the share of rows at each.

    labels, scores, weights: [n], of {0, 1}, finite, and finite and >= 0.
    Raises ValueError for anything else, for one class only (rows of weight 0 apart), for lengths that differ.
    """
    groups = _grouped(labels, scores, weights)
    return RankCurve(
        np.r_[np.inf, groups.scores],
        _climb(groups.positives + groups.negatives),
        _climb(groups.positives),
        _climb(groups.negatives),
    )


def auc(labels: Numbers, scores: Numbers, *, weights: Numbers | None = None) -> float:
    """The probability that a row of label 1 scores above one of label 0, ties one half [Hanley 1982].

    Without weights exact up to the last division (counts and their products are whole numbers below 2^53).
    Arguments and errors: `rank_curve`.
    """
    groups = _grouped(labels, scores, weights)
    total_negatives = float(groups.negatives.sum())
    below = total_negatives - np.cumsum(groups.negatives)
    # Twice the statistic: a whole number for counts.
    twice = float(np.dot(groups.positives, 2 * below + groups.negatives))
    return min(1.0, max(0.0, twice / (2 * float(groups.positives.sum()) * total_negatives)))


def gini(labels: Numbers, scores: Numbers, *, weights: Numbers | None = None) -> float:
    """The accuracy ratio 2 AUC - 1, in [-1, 1]. Arguments and errors: `rank_curve`."""
    return 2 * auc(labels, scores, weights=weights) - 1


def ks_of(curve: RankCurve) -> Ks:
    """The Kolmogorov-Smirnov statistic of a curve: the largest |TPR - FPR|."""
    distance = np.abs(curve.true_positive_rate - curve.false_positive_rate)
    at = curve.ks_index
    return Ks(float(distance.max()), float(curve.thresholds[at]), float(curve.population_share[at]))


def ks(labels: Numbers, scores: Numbers, *, weights: Numbers | None = None) -> Ks:
    """The two-sample Kolmogorov-Smirnov statistic of the scores of the two classes. Arguments, errors: `rank_curve`."""
    return ks_of(rank_curve(labels, scores, weights=weights))


def gain(labels: Numbers, scores: Numbers, *, weights: Numbers | None = None) -> Gain:
    """The cumulative gain curve. Arguments and errors: `rank_curve`."""
    curve = rank_curve(labels, scores, weights=weights)
    return Gain(curve.population_share, curve.true_positive_rate)


def capture_rate(labels: Numbers, scores: Numbers, *, share: float, weights: Numbers | None = None) -> float:
    """The share of label 1 among the highest-scored `share` (in (0, 1]) of rows.

    Where the cut goes through tied rows, the expectation over their orders: the gain curve is interpolated linearly.
    Raises ValueError as `rank_curve`, and for another share.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: it lies above 0 and is at most 1")
    curve = gain(labels, scores, weights=weights)
    return float(np.interp(share, curve.population_share, curve.captured))


def lift_table(
    labels: Numbers, scores: Numbers, *, n_buckets: int = 10, weights: Numbers | None = None
) -> tuple[LiftBucket, ...]:
    """Quantile buckets of the scores, highest first.

    Rows of one score always share a bucket: bucket number floor(n_buckets x share of rows strictly above), so with
    heavy ties there are fewer buckets than asked for, numbered in order.
    Raises ValueError, TypeError as `rank_curve`, and for n_buckets < 2.
    """
    at_least(n_buckets, 2, "n_buckets")
    groups = _grouped(labels, scores, weights)
    rows = groups.positives + groups.negatives
    above = np.cumsum(rows) - rows
    # The last group can round to n_buckets only through the division: clip.
    bucket = np.minimum(np.floor(n_buckets * above / rows.sum()), n_buckets - 1)
    starts = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    ends = np.r_[starts[1:], bucket.size] - 1
    n_rows, n_positives = sums_of(rows, starts), sums_of(groups.positives, starts)
    population, captured = _climb(n_rows), _climb(n_positives)
    missed = _climb(n_rows - n_positives)
    rate = float(n_positives.sum() / n_rows.sum())
    return tuple(
        LiftBucket(
            number=i + 1,
            score_low=float(groups.scores[ends[i]]),
            score_high=float(groups.scores[starts[i]]),
            rows=float(n_rows[i]),
            positives=float(n_positives[i]),
            rate=float(n_positives[i] / n_rows[i]),
            lift=float(n_positives[i] / n_rows[i] / rate),
            cumulative_population=float(population[i + 1]),
            cumulative_capture=float(captured[i + 1]),
            cumulative_lift=float(captured[i + 1] / population[i + 1]),
            ks=float(captured[i + 1] - missed[i + 1]),
        )
        for i in range(starts.size)
    )
