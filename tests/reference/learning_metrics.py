# SPDX-License-Identifier: Apache-2.0
"""Evaluation metrics by their definitions: pairs of rows counted one by one, in fractions. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

Values = Sequence[float]


def exact(values: Values) -> list[Fraction]:
    return [Fraction(value) for value in values]


def auc(labels: Values, scores: Values, weights: Values) -> Fraction:
    """Weighted share of pairs (positive, negative) in which the positive scores higher, ties one half."""
    rows = list(zip(labels, scores, exact(weights), strict=True))
    won = total = Fraction(0)
    for label, score, weight in rows:
        for other_label, other_score, other_weight in rows:
            if label == 1 and other_label == 0:
                total += weight * other_weight
                won += (
                    weight
                    * other_weight
                    * (Fraction(score > other_score) + Fraction(score == other_score, 2))
                )
    return won / total


def rates(
    labels: Values, scores: Values, weights: Values, threshold: float
) -> tuple[Fraction, Fraction, Fraction]:
    """(TPR, FPR, share of rows) of score >= threshold."""
    rows = list(zip(labels, scores, exact(weights), strict=True))

    def share(kept: set[float]) -> Fraction:
        total = sum((w for label, _, w in rows if label in kept), Fraction(0))
        return sum((w for label, s, w in rows if label in kept and s >= threshold), Fraction(0)) / total

    return share({1}), share({0}), share({0, 1})


def ks(labels: Values, scores: Values, weights: Values) -> Fraction:
    """The largest |TPR - FPR| over all thresholds."""
    found = Fraction(0)
    for threshold in set(scores):
        found_tpr, found_fpr, _ = rates(labels, scores, weights, threshold)
        found = max(found, abs(found_tpr - found_fpr))
    return found


def capture(labels: Values, scores: Values, weights: Values, share: Fraction) -> Fraction:
    """Expected share of positives in the top `share` when tied rows are cut through in proportion."""
    rows = list(zip(labels, scores, exact(weights), strict=True))
    left = share * sum(w for _, _, w in rows)
    found = Fraction(0)
    for score in sorted(set(scores), reverse=True):
        here = sum((w for _, s, w in rows if s == score), Fraction(0))
        hits = sum((w for label, s, w in rows if s == score and label == 1), Fraction(0))
        if here:
            part = min(Fraction(1), left / here)
            found += hits * part
            left -= here * part
    return found / sum((w for label, _, w in rows if label == 1), Fraction(0))


def lift_buckets(
    labels: Values, scores: Values, weights: Values, n_buckets: int
) -> list[tuple[Fraction, Fraction]]:
    """(rows, positives) of each bucket: number floor(n x share strictly above), empty ones left out."""
    rows = list(zip(labels, scores, exact(weights), strict=True))
    total = sum(w for _, _, w in rows)
    buckets: dict[int, tuple[Fraction, Fraction]] = {}
    for label, score, weight in rows:
        if weight == 0:
            continue
        above = sum((w for _, s, w in rows if s > score), Fraction(0))
        number = math.floor(n_buckets * above / total)
        n_rows, hits = buckets.get(number, (Fraction(0), Fraction(0)))
        buckets[number] = (n_rows + weight, hits + weight * int(label))
    return [buckets[number] for number in sorted(buckets)]


def psi(expected: Values, actual: Values) -> float:
    """Of counts; one half more in each of them where one is zero."""
    added = Fraction(1, 2) if 0 in expected or 0 in actual else Fraction(0)
    e = [value + added for value in exact(expected)]
    a = [value + added for value in exact(actual)]
    shares = [(x / sum(e), y / sum(a)) for x, y in zip(e, a, strict=True)]
    return math.fsum(float(y - x) * math.log(y / x) for x, y in shares)


def log_loss(labels: Values, probabilities: Values, weights: Values) -> float:
    total = 0.0
    for label, probability, weight in zip(labels, probabilities, weights, strict=True):
        clipped = min(max(probability, 2.0**-52), 1 - 2.0**-52)
        total -= weight * math.log(clipped if label == 1 else 1 - clipped)
    return total / math.fsum(weights)


def score(
    intercept: float, terms: Sequence[tuple[float, float]], base: float, odds: float, pdo: float
) -> float:
    """Points of log-odds intercept + sum(coefficient x WOE), by the odds themselves."""
    against = math.exp(-(intercept + math.fsum(c * w for c, w in terms)))  # odds of label 0
    return base + pdo * math.log2(against / odds)
