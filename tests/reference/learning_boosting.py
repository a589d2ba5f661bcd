# SPDX-License-Identifier: Apache-2.0
"""Histogram boosting on joined data, one number at a time: what the protocol must give to the last bit.

Columns come in the order in which ties are decided: the guest's, then each host's; `owners` says whose each is. A value
is a float, a category's text, or None. Gradients are rounded to `precision` bits below the power of two that holds the
largest, sums are integers, gains are floats in the order of operations of the formula.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Column = Sequence[Any]
Exp = Callable[[float], float]
"""The exponential: last bits differ between libraries, and rounding makes that visible."""


@dataclass
class Options:
    max_bins: int = 32
    max_depth: int = 6
    max_leaves: int = 0
    reg_lambda: float = 1.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    learning_rate: float = 0.3
    precision: int = 22


def edges_of(column: Column, max_bins: int) -> list[float]:
    """Cuts: values below an edge are left of it. By the query and prune of quantile summaries [Chen and Guestrin 2016,
    appendix], over the same numbers of entries as xgboost's, with exact ranks."""
    ordered = sorted(value for value in column if value is not None)
    summary = [
        (value, bisect.bisect_left(ordered, value), bisect.bisect_right(ordered, value))
        for value in sorted(set(ordered))
    ]
    if len(ordered) <= 32 * max_bins + 2:
        twice = len(ordered) > 2 * (8 * max_bins + 1)
        summary = prune(summary, (16 if twice else 8) * max_bins + 1)
        summary = prune(summary, 8 * max_bins)
    summary = prune(summary, max_bins + 1)
    return [value for value, *_ in summary][1:max_bins]


def prune(summary: list[tuple[float, int, int]], size: int) -> list[tuple[float, int, int]]:
    """Entries are (value, rows below it, rows not above it)."""
    if len(summary) <= size:
        return summary
    begin, end = summary[0][2], summary[-1][1]
    kept = [summary[0]]
    for k in range(1, size - 1):
        rank = begin + Fraction(k * (end - begin), size - 1)
        found = summary[0] if 2 * rank < summary[0][1] + summary[0][2] else summary[-1]
        for one, other in itertools.pairwise(summary):
            if one[1] + one[2] <= 2 * rank < other[1] + other[2]:
                found = one if 2 * rank < one[2] + other[1] else other
        kept.append(found)
    kept.append(summary[-1])
    return sorted(set(kept))


def gradients(loss: str, label: float, scores: Sequence[float], exp: Exp) -> list[tuple[float, float]]:
    """(g, h) for each output."""
    if loss == "squared":
        return [(scores[0] - label, 1.0)]
    if loss == "logistic":
        small = exp(-abs(scores[0]))
        p = (1.0 if scores[0] >= 0 else small) / (1.0 + small)
        return [(p - label, max(p * (1.0 - p), 1e-16))]
    top = max(scores)
    powers = [exp(score - top) for score in scores]
    total = 0.0
    for power in powers:
        total += power
    found = []
    for k, power in enumerate(powers):
        p = power / total
        found.append((p - (1.0 if label == k else 0.0), max(2.0 * p * (1.0 - p), 1e-16)))
    return found


def shift_of(values: Sequence[float], precision: int) -> int:
    most = max(abs(value) for value in values)
    if most == 0:
        return 0
    shift = precision - math.frexp(most)[1]
    if round(math.ldexp(most, shift)) >= 1 << precision:
        shift -= 1
    return shift


class Grower:
    """One tree after another on the same columns."""

    def __init__(self, columns: Sequence[Column], owners: Sequence[int], options: Options) -> None:
        self.columns, self.owners, self.options = columns, owners, options
        self.ties = 0
        self.edges: list[Any] = []
        for column in columns:
            texts = [value for value in column if isinstance(value, str)]
            self.edges.append(None if texts else edges_of(column, options.max_bins))
        numeric = [f for f in range(len(columns)) if self.edges[f] is not None]
        self.texts = {f: sorted({v for v in columns[f] if v is not None}) for f in range(len(columns))}
        # A party offers its numeric splits first, then its categorical ones.
        self.order = sorted(range(len(columns)), key=lambda f: (owners[f], f not in numeric, f))
        self.bins = [
            [
                None if v is None else v if self.edges[f] is None else bisect.bisect_right(self.edges[f], v)
                for v in c
            ]
            for f, c in enumerate(columns)
        ]

    def sums(self, rows: Sequence[int]) -> tuple[int, int]:
        return sum(self.g[i] for i in rows), sum(self.h[i] for i in rows)

    def score(self, g: int, h: int) -> float:
        real_g, real_h = math.ldexp(float(g), -self.g_shift), math.ldexp(float(h), -self.h_shift)
        return real_g * real_g / (real_h + self.options.reg_lambda)

    def gain(self, left: tuple[int, int], total: tuple[int, int]) -> float | None:
        right = total[0] - left[0], total[1] - left[1]
        least = self.options.min_child_weight
        if left[1] <= 0 or right[1] <= 0:
            return None
        if min(math.ldexp(float(left[1]), -self.h_shift), math.ldexp(float(right[1]), -self.h_shift)) < least:
            return None
        gain = self.score(*left) + self.score(*right) - self.score(*total)
        return gain if gain > 1e-6 and gain >= self.options.gamma else None

    def splits(self, f: int, rows: Sequence[int]):
        """(the split, which rows go left) in order."""
        bins = self.bins[f]
        if self.edges[f] is not None:
            missing = any(b is None for b in bins)
            for b in range(len(self.edges[f]) + (1 if missing else 0)):
                directions = (False, True) if missing and b < len(self.edges[f]) else (False,)
                for missing_left in directions:
                    left = [i for i in rows if (missing_left if bins[i] is None else bins[i] <= b)]
                    threshold = self.edges[f][b] if b < len(self.edges[f]) else math.inf
                    yield (threshold, missing_left), left
            return
        ranked = []
        for text in [*self.texts[f], None]:
            g, h = self.sums([i for i in rows if bins[i] == text])
            real, value = math.ldexp(float(h), -self.h_shift), 0.0
            if h > 0 and real >= self.options.min_child_weight and real + self.options.reg_lambda > 0:
                value = -math.ldexp(float(g), -self.g_shift) / (real + self.options.reg_lambda)
            ranked.append(((value, h, g), text))
        ranked.sort(key=lambda entry: entry[0])
        for cut in range(1, len(ranked)):
            if ranked[cut - 1][0] == ranked[cut][0]:
                continue
            chosen = {text for _, text in ranked[:cut]}
            yield (frozenset(chosen - {None}), None in chosen), [i for i in rows if bins[i] in chosen]

    def best(self, rows: Sequence[int]):
        """(gain, feature, split, left rows) or None; the first of equal ones.

        Where a host's best splits have the same gain and part the rows differently, its secret order decides, which is
        not the one here: `ties` counts these.
        """
        total, best, tied = self.sums(rows), None, False
        for f in self.order:
            for split, left in self.splits(f, rows):
                gain = self.gain(self.sums(left), total)
                if gain is not None and (best is None or gain > best[0]):
                    best, tied = (gain, f, split, left), False
                elif best is not None and gain == best[0] and self.owners[f] == self.owners[best[1]] > 0:
                    tied = tied or left != best[3]
        self.ties += tied
        return best

    def grow(self, gradient: Sequence[tuple[float, float]]) -> dict[str, Any]:
        """A node: {"rows", "value"} of a leaf, with "feature", "split", "gain", "left", "right" of a split."""
        g, h = [one[0] for one in gradient], [one[1] for one in gradient]
        self.g_shift, self.h_shift = shift_of(g, self.options.precision), shift_of(h, self.options.precision)
        self.g = [round(math.ldexp(value, self.g_shift)) for value in g]
        self.h = [round(math.ldexp(value, self.h_shift)) for value in h]
        root = self.node([i for i in range(len(g)) if h[i] > 0])
        level, leaves = [root], 1
        for _ in range(self.options.max_depth):
            found = [(node, self.best(node["rows"])) for node in level]
            found = [(node, best) for node, best in found if best is not None]
            if self.options.max_leaves:
                ranked = sorted(found, key=lambda entry: -entry[1][0])[: self.options.max_leaves - leaves]
                found = [entry for entry in found if entry in ranked]
            level = []
            for node, (gain, f, split, left) in found:
                chosen = set(left)
                right = [i for i in node["rows"] if i not in chosen]
                node |= {
                    "gain": gain,
                    "feature": f,
                    "split": split,
                    "left": self.node(left),
                    "right": self.node(right),
                }
                level += [node["left"], node["right"]]
            leaves += len(found)
        return root

    def node(self, rows: list[int]) -> dict[str, Any]:
        g, h = self.sums(rows)
        below = math.ldexp(float(h), -self.h_shift) + self.options.reg_lambda
        value = -math.ldexp(float(g), -self.g_shift) / below if below > 0 else 0.0
        return {"rows": rows, "value": value * self.options.learning_rate}


def leaves(node: dict[str, Any]):
    """All leaves of a tree."""
    if "left" not in node:
        yield node
    else:
        yield from leaves(node["left"])
        yield from leaves(node["right"])


def train(
    grower: Grower, loss: str, labels: Sequence[float], base: Sequence[float], n_rounds: int, exp: Exp
) -> tuple[list[list[dict[str, Any]]], list[list[float]]]:
    """(rounds of trees, scores of the rows)."""
    scores = [list(base) for _ in labels]
    rounds = []
    for _ in range(n_rounds):
        found = [gradients(loss, label, row, exp) for label, row in zip(labels, scores, strict=True)]
        trees = [grower.grow([row[k] for row in found]) for k in range(len(base))]
        for k, tree in enumerate(trees):
            for leaf in leaves(tree):
                for i in leaf["rows"]:
                    scores[i][k] += leaf["value"]
        rounds.append(trees)
    return rounds, scores
