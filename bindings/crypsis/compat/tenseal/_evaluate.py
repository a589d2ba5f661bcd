# SPDX-License-Identifier: Apache-2.0
"""Operations on `crypsis.ckks` arrays by the keys and switches of a `Context`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ckks
from crypsis._ckks.levels import describe, describe_all, naming
from crypsis.compat.tenseal.enc_context import Context

Array = ckks.CkksArray
Values = npt.NDArray[np.float64]

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "sub": operator.sub}
MAX_EXACT = 1 << 20
"""Integers below multiply without a level."""


def combine(context: Context, name: str, a: Array, b: Any) -> Array:
    """a + b, a - b or a * b with an array of ciphertexts, a number, or numbers `[..., n_slots or 1]`."""
    if isinstance(b, ckks.CkksArray):
        check_levels(context, a, b)
        return multiply(context, a, b) if name == "mul" else OPERATORS[name](a, b)
    if not context.auto_mod_switch and a.level != a.parameters.top:
        raise ValueError(
            f"the ciphertext has {describe(a)}, numbers are encoded at level {a.parameters.top}, and auto_mod_switch is"
            " off: switch it on"
        )
    return multiply_plain(context, a, b) if name == "mul" else OPERATORS[name](a, b)


def check_levels(context: Context, a: Array, b: Array) -> None:
    """ValueError for operands of different levels where nothing may bring them together."""
    if a.level != b.level and not context.auto_mod_switch:
        raise ValueError(f"{describe_all(a, b)}, two levels, and auto_mod_switch is off: switch it on")


def multiply(context: Context, a: Array, b: Array) -> Array:
    """The product of ciphertexts."""
    if context.auto_relin:
        with naming(a, b):
            a = context.relinearising().bind(a)
    return a.multiply(b, relinearise=context.auto_relin, rescale=context.auto_rescale)


def multiply_plain(context: Context, a: Array, b: Any) -> Array:
    """The product with a number or numbers `[..., n_slots or 1]`; nothing shows which of them were 0."""
    if isinstance(b, np.ndarray):
        product = a.multiply(b, rescale=context.auto_rescale)
        zero = ~b.any(axis=-1)
        if not zero.any():
            return product
    else:
        exact = isinstance(b, int) or float(b).is_integer()
        factor = int(b) if exact and abs(b) < MAX_EXACT else float(b)
        product = a.multiply(factor, rescale=context.auto_rescale)
        if factor:
            return product
    if not product.canonical:
        return product + context.zeros(product.shape, a.level).multiply(1.0, rescale=False)
    return product + context.zeros(product.shape, product.level)


def relinearise(context: Context, a: Array) -> Array:
    """`auto_relin` of a sum of products."""
    if a.size_of == 2 or not context.auto_relin:
        return a
    with naming(a):
        keys = context.relinearising()
    return keys.bind(a).relinearise()


def rescale(context: Context, a: Array) -> Array:
    """`auto_rescale` of a sum of products."""
    return a.rescale() if context.auto_rescale else a


def rotate(context: Context, a: Array, shift: int) -> Array:
    """Rotation to the left by a power of two."""
    with naming(a):
        keys = context.rotating(shift)
    return keys.bind(a).rotate(shift)


def rotate_any(context: Context, a: Array, shift: int) -> Array:
    """Rotation to the left by any number of slots from 0, by powers of two."""
    for bit in range(shift.bit_length()):
        if shift >> bit & 1:
            a = rotate(context, a, 1 << bit)
    return a


def window_sum(context: Context, a: Array, width: int) -> Array:
    """Slot i becomes the sum of slots i to i + width - 1, around all slots: doubled windows, put together."""
    result, doubled, size = None, a, 1
    while True:
        if width & size:
            result = doubled if result is None else doubled + rotate(context, result, size)
        if 2 * size > width:
            return a if result is None else result
        doubled = doubled + rotate(context, doubled, size)
        size *= 2


def power(context: Context, a: Array, exponent: int) -> Array:
    """a ** exponent, exponent from 1: depth ceil(log2(exponent))."""
    result: Array | None = None
    while True:
        if exponent & 1:
            result = a if result is None else combine(context, "mul", result, a)
        exponent >>= 1
        if not exponent:
            return a if result is None else result
        a = combine(context, "mul", a, a)


def polynomial(context: Context, x: Array, coefficients: Sequence[float]) -> Array | float:
    """c_0 + c_1 x + ..., or c_0 where that is all: depth floor(log2(degree)) + 1, TenSEAL's, with fewer products.

    p = h x^m + l with m the largest power of two up to the degree, and so on with h and l.
    """
    terms = list(coefficients)
    while len(terms) > 1 and not terms[-1]:
        terms.pop()
    powers = [x]
    while 2 << (len(powers) - 1) < len(terms):
        powers.append(combine(context, "mul", powers[-1], powers[-1]))
    return _polynomial(context, powers, terms)


def _polynomial(context: Context, powers: Sequence[Array], terms: list[float]) -> Array | float:
    while len(terms) > 1 and not terms[-1]:
        terms = terms[:-1]
    if len(terms) == 1:
        return terms[0]
    log = (len(terms) - 1).bit_length() - 1
    high = _polynomial(context, powers, terms[1 << log :])
    low = _polynomial(context, powers, terms[: 1 << log])
    if isinstance(high, float):
        product = powers[log] if high == 1 else combine(context, "mul", powers[log], high)
    else:
        product = combine(context, "mul", high, powers[log])
    if isinstance(low, float):
        return product + low if low else product
    return combine(context, "add", product, low)


def vector_matrix(context: Context, a: Array, matrix: Values) -> Array:
    """x M of a vector x that repeats in all slots of the single ciphertext of a, `[1]`: then so does the result.

    Diagonals in baby and giant steps [HS18]: slot j of the sum over d of rot_d(x) D_d, with
    D_d[j] = M[(j + d) mod rows, j mod columns] and d = g B + b. Rotations by powers of two only, whose keys there are.
    """
    rows, columns = matrix.shape
    babies = 1 << (((rows - 1).bit_length() + 1) // 2)
    turned = _rotations(context, a, min(babies, rows))
    slots = np.arange(context.n_slots)
    total: Array | None = None
    for first in reversed(range(0, rows, babies)):
        if total is not None:
            total = rotate(context, total, babies)
        shifts = range(first, min(first + babies, rows))
        diagonals = np.stack([matrix[(slots + d) % rows, slots % columns] for d in shifts])
        used = diagonals.any(axis=1)
        if not used.any():
            continue
        factors = np.roll(diagonals[used], first, axis=1)
        inner = _inner_product([turned[i] for i in np.flatnonzero(used)], factors)
        total = inner if total is None else total + inner
    if total is None:
        return context.zeros((1,))
    return rescale(context, total)


def _rotations(context: Context, a: Array, count: int) -> list[Array]:
    """a rotated by 0 to count - 1: each by its highest bit from the one without it, and those from one ciphertext
    together, for which its digits are made once (half as often as there are rotations) [HS18]."""
    turned = {0: a}
    for base in range(count):
        bits = range(base.bit_length(), count.bit_length())
        shifts = [1 << bit for bit in bits if base + (1 << bit) < count]
        if not shifts:
            break
        if len(shifts) == 1:  # faster: one call makes the digits and uses them
            turned[base + shifts[0]] = rotate(context, turned[base], shifts[0])
            continue
        with naming(a):
            keys = [context.rotating(shift) for shift in shifts][-1]
        rotated = keys.bind(turned[base]).rotate_many(shifts)
        turned |= {base + shift: row for shift, row in zip(shifts, rotated, strict=True)}
    return [turned[shift] for shift in range(count)]


def _inner_product(arrays: Sequence[Array], factors: Values) -> Array:
    stacked = ckks.stack(arrays)
    return stacked.multiply(factors[:, None, :], rescale=False).sum(0)


def gather(a: Array, positions: npt.NDArray[np.intp]) -> Array:
    """The ciphertexts at positions of the flattened array, in the positions' shape."""
    flat = a.reshape(a.size)[positions.reshape(-1)]
    return flat.reshape(positions.shape)
