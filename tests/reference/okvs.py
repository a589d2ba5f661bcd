# SPDX-License-Identifier: Apache-2.0
"""Three-hash Paxos as csrc/okvs/NOTES.md defines it, with sets of rows and integers as field elements."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from reference import aes
from reference.bitmatrix import multiply

MAX_CORE_ROWS = 1024


class NoTable(Exception):
    """The equations contradict each other, or too many rows are left after peeling."""


@dataclass(frozen=True)
class Shape:
    sparse: int
    dense: int
    field: int

    @property
    def columns(self) -> int:
        return self.sparse + self.dense


@cache
def _hash(seed: bytes, part: int, key: bytes) -> bytes:
    """AES(key) ^ key under the seed ^ part in its first byte: part 1 for columns, 2 for the element."""
    block = aes.encrypt(bytes([seed[0] ^ part]) + seed[1:], key)
    return aes.xor(block, key)


def columns(seed: bytes, key: bytes, sparse: int) -> tuple[int, int, int]:
    """Three distinct columns: the i-th of the first `sparse`, the j-th of the others, the k-th of what is left then."""
    digest = _hash(seed, 1, key)
    words = [int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8)]
    chosen: list[int] = []
    for i, word in enumerate(words):
        column = word * (sparse - i) >> 32
        for taken in sorted(chosen):
            column += column >= taken
        chosen.append(column)
    return chosen[0], chosen[1], chosen[2]


def element(seed: bytes, key: bytes, field: int) -> int:
    return int.from_bytes(_hash(seed, 2, key)[: field // 8], "little")


def powers(r: int, n: int, field: int) -> list[int]:
    """r, r^2, ..., r^n."""
    result = [r]
    while len(result) < n:
        result.append(multiply(result[-1], r, field))
    return result[:n]


def inverse(a: int, field: int) -> int:
    result, power = 1, a
    for _ in range(field - 1):
        power = multiply(power, power, field)
        result = multiply(result, power, field)
    return result


def decode_one(table: Sequence[int], shape: Shape, seed: bytes, key: bytes) -> int:
    value = 0
    for column in columns(seed, key, shape.sparse):
        value ^= table[column]
    r = element(seed, key, shape.field)
    for power, entry in zip(powers(r, shape.dense, shape.field), table[shape.sparse :], strict=True):
        value ^= multiply(power, entry, shape.field)
    return value


def peel(rows: Sequence[tuple[int, int, int]], sparse: int) -> tuple[list[tuple[int, int]], list[int]]:
    """([(column, row)] in the order of peeling, the rows that are left)."""
    by_column: list[set[int]] = [set() for _ in range(sparse)]
    for i, row in enumerate(rows):
        for column in row:
            by_column[column].add(i)
    queue = deque(column for column in range(sparse) if len(by_column[column]) == 1)
    order: list[tuple[int, int]] = []
    while queue:
        column = queue.popleft()
        if not by_column[column]:
            continue
        (i,) = by_column[column]
        order.append((column, i))
        place = rows[i].index(column)
        for other in (rows[i][(place + 1) % 3], rows[i][(place + 2) % 3]):
            by_column[other].discard(i)
            if len(by_column[other]) == 1:
                queue.append(other)
        by_column[column].clear()
    peeled = {i for _, i in order}
    return order, [i for i in range(len(rows)) if i not in peeled]


def echelon(rows: list[list[int]], n: int, field: int) -> dict[int, list[int]]:
    """Row echelon form, pivots scaled to 1, of rows of n coefficients and a right side: {pivot column: row}."""
    pivots: dict[int, list[int]] = {}
    for given in rows:
        row = list(given)
        for column in range(n):
            if row[column] == 0:
                continue
            if column not in pivots:
                scale = inverse(row[column], field)
                pivots[column] = [multiply(entry, scale, field) for entry in row]
                break
            factor = row[column]
            row = [a ^ multiply(factor, b, field) for a, b in zip(row, pivots[column], strict=True)]
        else:
            if row[n] != 0:
                raise NoTable
    return pivots


def solve_core(
    table: list[int], core: Sequence[tuple[tuple[int, int, int], list[int], int]], shape: Shape
) -> None:
    """Rows of (columns, dense coefficients, value): writes the pivots among their columns and the dense columns.

    Columns that are the pivot of no row in the echelon form (sparse ones over GF(2), in ascending order) are free.
    """
    if len(core) > MAX_CORE_ROWS:
        raise NoTable
    pivots: dict[int, tuple[set[int], list[int]]] = {}
    gaps: list[list[int]] = []
    for places, dense, value in core:
        left, right = set(places), [*dense, value]
        while left and min(left) in pivots:
            other, other_right = pivots[min(left)]
            left = left ^ other
            right = [a ^ b for a, b in zip(right, other_right, strict=True)]
        if left:
            pivots[min(left)] = (left, right)
        else:
            gaps.append(right)
    dense_pivots = echelon(gaps, shape.dense, shape.field)
    for column in sorted(dense_pivots, reverse=True):
        row = dense_pivots[column]
        value = row[shape.dense]
        for later in range(column + 1, shape.dense):
            value ^= multiply(row[later], table[shape.sparse + later], shape.field)
        table[shape.sparse + column] = value
    for column in sorted(pivots, reverse=True):
        left, right = pivots[column]
        value = right[shape.dense]
        for coefficient, entry in zip(right[: shape.dense], table[shape.sparse :], strict=True):
            value ^= multiply(coefficient, entry, shape.field)
        for other_column in left - {column}:
            value ^= table[other_column]
        table[column] = value


def encode(
    keys: Sequence[bytes],
    values: Sequence[int],
    shape: Shape,
    seed: bytes,
    fill: Sequence[int] | None = None,
) -> list[int]:
    """The table of one bin; raises NoTable."""
    rows = [columns(seed, key, shape.sparse) for key in keys]
    order, core = peel(rows, shape.sparse)
    table = [0] * shape.columns if fill is None else list(fill)
    dense = {i: powers(element(seed, keys[i], shape.field), shape.dense, shape.field) for i in core}
    solve_core(table, [(rows[i], dense[i], values[i]) for i in core], shape)
    for column, i in reversed(order):
        table[column] = 0
        table[column] = decode_one(table, shape, seed, keys[i]) ^ values[i]
    return table
