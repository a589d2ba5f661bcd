# SPDX-License-Identifier: Apache-2.0
"""Many products of powers at a time, on `crypsis.bigint`: what `_arithmetic` settles its notes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis import bigint
from crypsis.compat.phe.util import invert
from crypsis.errors import NotInvertible

if TYPE_CHECKING:
    from crypsis.compat.phe._arithmetic import Arithmetic, Node, Term

Limbs = npt.NDArray[np.uint64]

LANES = 8
MIN_MATRIX_TERMS = 8
"""Powers in a product from which their squarings are worth sharing."""
MAX_MATRIX_WEIGHT = 1 << 63
MIN_INVERSES = 6
"""Fewer inverses are taken one by one."""


def to_rows(values: list[bytes], limbs: int) -> Limbs:
    """`uint64[n, limbs]` of little-endian values of 8 * limbs bytes each."""
    rows: Limbs = np.frombuffer(b"".join(values), dtype="<u8").astype(np.uint64, copy=False)
    return rows.reshape(-1, limbs)


def to_values(rows: Limbs) -> list[bytes]:
    """The other way round."""
    data = rows.astype("<u8", copy=False).tobytes()
    width = 8 * rows.shape[1]
    return [data[i : i + width] for i in range(0, len(data), width)]


def products_of_powers(jobs: list[tuple[list[Term], int]], field: Arithmetic) -> list[bytes]:
    """For each job (terms, t) the product of base^weight over its terms and of 1 + n t, mod n^2.

    ZeroDivisionError where a negative weight has a base without an inverse.
    """
    modulus = field.modulus
    factors: list[list[bytes]] = []
    powers: list[tuple[int, Node, int]] = []  # (job, base, weight)
    matrices: dict[tuple[int, ...], list[tuple[int, list[Term]]]] = {}
    for index, (terms, plain) in enumerate(jobs):
        own: list[bytes] = []
        raised = []
        for base, weight in terms:
            if weight == 1:
                own.append(field.as_bytes(base))
            elif weight != 0:
                raised.append((base, weight))
        if plain:
            own.append(((1 + field.n * plain) % field.n_square).to_bytes(8 * modulus.limbs, "little"))
        if len(raised) >= MIN_MATRIX_TERMS and all(abs(weight) < MAX_MATRIX_WEIGHT for _, weight in raised):
            matrices.setdefault(tuple(id(base) for base, _ in raised), []).append((index, raised))
        else:
            powers.extend((index, base, weight) for base, weight in raised)
        factors.append(own)
    for rows in matrices.values():
        for (index, _), value in zip(rows, _matrix_product([terms for _, terms in rows], field), strict=True):
            factors[index].append(value)
    for (index, _, _), value in zip(powers, _powers([(b, w) for _, b, w in powers], field), strict=True):
        factors[index].append(value)
    return _products(factors, modulus)


def _products(factors: list[list[bytes]], modulus: bigint.Modulus) -> list[bytes]:
    """The product of each list; 1 of an empty one."""
    if all(len(own) == 1 for own in factors):
        return [own[0] for own in factors]
    if all(len(own) == 2 for own in factors):
        left = to_rows([own[0] for own in factors], modulus.limbs)
        right = to_rows([own[1] for own in factors], modulus.limbs)
        return to_values(bigint.mod_mul(left, right, modulus))
    starts = np.zeros(len(factors) + 1, dtype=np.int64)
    np.cumsum([len(own) for own in factors], out=starts[1:])
    rows = to_rows([value for own in factors for value in own], modulus.limbs)
    return to_values(bigint.segmented_prod(rows, starts, modulus))


def _powers(terms: list[Term], field: Arithmetic) -> list[bytes]:
    """base^weight for each term, weights of like length together."""
    if not terms:
        return []
    modulus = field.modulus
    inverses = _inverses([base for base, weight in terms if weight < 0], field)
    bases = [inverses[id(base)] if weight < 0 else field.as_bytes(base) for base, weight in terms]
    weights = [abs(weight) for _, weight in terms]
    result = list(bases)  # right for weights -1
    order = sorted((i for i in range(len(terms)) if weights[i] != 1), key=lambda i: -weights[i].bit_length())
    start = 0
    while start < len(order):
        n_bits = weights[order[start]].bit_length()
        end = min(start + LANES, len(order))
        while end < len(order) and 4 * weights[order[end]].bit_length() >= 3 * n_bits:
            end += 1
        group = order[start:end]
        width = -(-n_bits // 64)
        exponents = to_rows([weights[i].to_bytes(8 * width, "little") for i in group], width)
        rows = to_rows([bases[i] for i in group], modulus.limbs)
        raised = bigint.powm_vartime(rows, exponents, modulus, exponent_bits=n_bits)
        for i, value in zip(group, to_values(raised), strict=True):
            result[i] = value
        start = end
    return result


def _inverses(nodes: list[Node], field: Arithmetic) -> dict[int, bytes]:
    """The inverses by identity of the node. ZeroDivisionError where one does not exist."""
    distinct = {id(node): field.as_bytes(node) for node in nodes}
    modulus = field.modulus
    width = 8 * modulus.limbs
    if len(distinct) < MIN_INVERSES:
        return {
            key: invert(int.from_bytes(value, "little"), field.n_square).to_bytes(width, "little")
            for key, value in distinct.items()
        }
    try:
        rows = bigint.batch_inverse(to_rows(list(distinct.values()), modulus.limbs), modulus)
    except NotInvertible:
        raise ZeroDivisionError("a ciphertext has no inverse: it is damaged, or of another key") from None
    return dict(zip(distinct, to_values(rows), strict=True))


def _matrix_product(rows: list[list[Term]], field: Arithmetic) -> list[bytes]:
    """Products of powers of the same bases, weights below 2^63: they share tables and squarings."""
    modulus = field.modulus
    bases = to_rows([field.as_bytes(base) for base, _ in rows[0]], modulus.limbs)
    weights = np.array([[weight for _, weight in terms] for terms in rows], dtype=np.int64)
    try:
        return to_values(bigint.multi_powm_vartime(bases, weights, modulus))
    except NotInvertible:
        raise ZeroDivisionError("a ciphertext has no inverse: it is damaged, or of another key") from None
