# SPDX-License-Identifier: Apache-2.0
"""Linear models and their sigmoid polynomials, slowly and in the clear: what the protocols are compared with."""

from __future__ import annotations

import math
from fractions import Fraction

RING = 1 << 128


def signed(value: int) -> int:
    """The representative of value mod 2^128 from -2^127 to 2^127 - 1."""
    value %= RING
    return value - RING if value >= RING >> 1 else value


def matrix_vector(matrix: list[list[int]], vector: list[int]) -> list[int]:
    """matrix @ vector mod 2^128."""
    return [sum(a * b for a, b in zip(row, vector, strict=True)) % RING for row in matrix]


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z)."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def polynomial(coefficients: list[float], z: float) -> float:
    """1/2 + sum of coefficients[i] z^(2 i + 1)."""
    exact = Fraction(z)
    total = Fraction(1, 2)
    for i, c in enumerate(coefficients):
        total += Fraction(c) * exact ** (2 * i + 1)
    return float(total)


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """x of matrix x = right by elimination with pivots."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            for j in range(i, n + 1):
                rows[k][j] -= factor * rows[i][j]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - sum(rows[i][j] * x[j] for j in range(i + 1, n))) / rows[i][i]
    return x


def minimax_odd(
    degree: int, radius: float, *, points: int = 1000, steps: int = 40
) -> tuple[list[float], float]:
    """(coefficients of z, z^3, ... of the odd polynomial nearest to sigmoid(z) - 1/2 on [0, radius], its error there),
    by Remez's exchange: n coefficients, n + 1 points of equal error and changing sign [Remez 1934].
    """
    n = (degree + 1) // 2
    grid = [radius * (1 - math.cos(math.pi * i / points)) / 2 for i in range(1, points + 1)]
    chosen = [radius * math.sin(math.pi * (i + 1) / (2 * (n + 1))) for i in range(n + 1)]
    for _ in range(steps):
        system = [
            [(z / radius) ** (2 * k + 1) for k in range(n)] + [(-1.0) ** i] for i, z in enumerate(chosen)
        ]
        solution = solve(system, [sigmoid(z) - 0.5 for z in chosen])

        def error(z: float, c: list[float] = solution[:n]) -> float:
            return sum(a * (z / radius) ** (2 * k + 1) for k, a in enumerate(c)) - (sigmoid(z) - 0.5)

        extremes: list[float] = []
        for z in grid:
            value = error(z)
            if extremes and (error(extremes[-1]) > 0) == (value > 0):
                if abs(value) > abs(error(extremes[-1])):
                    extremes[-1] = z
            else:
                extremes.append(z)
        extremes = sorted(sorted(extremes, key=lambda z: -abs(error(z)))[: n + 1])
        if extremes == chosen or len(extremes) < n + 1:
            break
        chosen = extremes
    largest = max(abs(error(z)) for z in grid)
    return [c / radius ** (2 * k + 1) for k, c in enumerate(solution[:n])], largest
