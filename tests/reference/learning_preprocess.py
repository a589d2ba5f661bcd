# SPDX-License-Identifier: Apache-2.0
"""Preprocessing as its definitions say, on Python's own numbers: slow, plain, and independent of the library."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise


def bin_of(value, edges):
    """Number of the bin edges[i - 1] < value <= edges[i]; the last one for NaN."""
    if math.isnan(value):
        return len(edges) + 1
    return sum(1 for edge in edges if edge < value)


def chi_square(a, b):
    """Sum of (observed - expected)^2 / expected over the four cells that expect anything."""
    n = sum(a) + sum(b)
    total = Fraction(0)
    for row in (a, b):
        for label in (0, 1):
            expected = Fraction(sum(row) * (a[label] + b[label]), n) if n else Fraction(0)
            if expected:
                total += (row[label] - expected) ** 2 / expected
    return total


def chi_merge(counts, threshold, max_bins=None, min_share=0.0, min_events=0):
    """Lists of bins that go together, in order [Kerber 1992], with the library's rules for empty and small bins."""
    groups = [[i] for i in range(len(counts))]
    n_rows = sum(map(sum, counts))

    def cell(group):
        return (sum(counts[i][0] for i in group), sum(counts[i][1] for i in group))

    def join(i):
        groups[i : i + 2] = [groups[i] + groups[i + 1]]

    while len(groups) > 1:
        empty = next((i for i, group in enumerate(groups) if not sum(cell(group))), None)
        if empty is None:
            break
        join(max(0, empty - 1))
    while len(groups) > 1:
        chi = [chi_square(cell(a), cell(b)) for a, b in pairwise(groups)]
        least = chi.index(min(chi))
        if chi[least] < Fraction(threshold) or (max_bins is not None and len(groups) > max_bins):
            join(least)
            continue
        rows = [sum(cell(group)) for group in groups]
        small = [
            i
            for i, group in enumerate(groups)
            if rows[i] < Fraction(min_share) * n_rows or min(cell(group)) < min_events
        ]
        if not small:
            break
        i = min(small, key=lambda i: (rows[i], i))
        if i == len(groups) - 1 or (i > 0 and chi[i - 1] <= chi[i]):
            i -= 1
        join(i)
    return groups


def weights(counts, smoothing, min_events=0):
    """(WOE of each bin, IV)."""
    bad, good = sum(c[0] for c in counts), sum(c[1] for c in counts)
    woe, iv = [], 0.0
    for b, g in counts:
        if b + g == 0 or min(b, g) < min_events:
            woe.append(0.0)
            continue
        p, q = (b or smoothing) / bad, (g or smoothing) / good
        woe.append(math.log(p / q))
        iv += (p - q) * math.log(p / q)
    return woe, iv


def pearson(x, y):
    """Correlation of two lists, in exact fractions up to the last square root."""
    x, y = [Fraction(v) for v in x], [Fraction(v) for v in y]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    xy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    xx, yy = sum((a - mean_x) ** 2 for a in x), sum((b - mean_y) ** 2 for b in y)
    return math.copysign(math.sqrt(xy * xy / (xx * yy)), xy)


def vif(columns, j):
    """1 / (1 - R^2) of column j regressed on the others with an intercept: exact least squares."""
    n = len(columns[0])
    exact = [[Fraction(v) for v in column] for column in columns]
    means = [sum(column) / n for column in exact]
    centred = [[v - m for v in column] for column, m in zip(exact, means, strict=True)]
    others = [column for i, column in enumerate(centred) if i != j]

    def dot(a, b):
        return sum(p * q for p, q in zip(a, b, strict=True))

    size = len(others)
    system = [[dot(a, b) for b in others] + [dot(a, centred[j])] for a in others]
    for k in range(size):
        pivot = next(i for i in range(k, size) if system[i][k])
        system[k], system[pivot] = system[pivot], system[k]
        for i in range(size):
            if i != k and system[i][k]:
                factor = system[i][k] / system[k][k]
                system[i] = [a - factor * b for a, b in zip(system[i], system[k], strict=True)]
    fitted = sum((system[i][size] / system[i][i]) * dot(others[i], centred[j]) for i in range(size))
    whole = dot(centred[j], centred[j])
    return float(whole / (whole - fitted))
