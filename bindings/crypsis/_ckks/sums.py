# SPDX-License-Identifier: Apache-2.0
"""Sums of ciphertexts, with each other and with numbers. Leading axes broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._ckks import array as arrays
from crypsis._ckks import encoder
from crypsis._ckks.encoder import Plaintext
from crypsis._ckks.levels import (
    any_keys,
    broadcast_shapes,
    check_alike,
    describe,
    describe_all,
    matched,
    same_scale,
)
from crypsis._ckks.places import broadcast, contiguous, empty, namespace
from crypsis._homomorphic.numpy_calls import axis_of
from crypsis.errors import LevelError, ScaleError

Residues = npt.NDArray[np.uint64]


def negate(array: arrays.CkksArray) -> arrays.CkksArray:
    """-array."""
    basis = array.parameters.basis(array.level)
    return array.replaced(ntt.negate(array.data, basis), estimate=array.estimate)


def add(a: arrays.CkksArray, b: Any) -> arrays.CkksArray:
    """a + b."""
    return _sum(a, b, ntt.add)


def subtract(a: arrays.CkksArray, b: Any) -> arrays.CkksArray:
    """a - b."""
    return _sum(a, b, ntt.subtract)


def _sum(a: arrays.CkksArray, b: Any, operation: Callable[..., Residues]) -> arrays.CkksArray:
    if isinstance(b, arrays.CkksArray):
        return _sum_arrays(a, b, operation)
    return _sum_plain(a, b, operation)


def _sum_arrays(
    a: arrays.CkksArray, b: arrays.CkksArray, operation: Callable[..., Residues]
) -> arrays.CkksArray:
    given = a, b
    a, b = matched(a, b)
    check_alike(a, b)
    if a.packing != b.packing:
        raise ValueError(
            f"{describe_all(*given)}, and are packed as {a.packing} and {b.packing}: only arrays packed alike add up;"
            " encrypt both so"
        )
    basis = a.parameters.basis(a.level)
    shape = broadcast_shapes(*given)
    x, y = _broadcast(_padded(a, b), _padded(b, a), shape)
    data = operation(x, y, basis)
    estimate = a.estimate.plus(b.estimate) if a.estimate and b.estimate else None
    return a.replaced(data, length=max(a.length, b.length), estimate=estimate, keys=any_keys(a, b))


def _padded(array: arrays.CkksArray, other: arrays.CkksArray) -> Residues:
    data: Residues = array.data
    if array.size_of >= other.size_of:
        return data
    wide: Residues = empty((*array.shape, other.size_of, *data.shape[-2:]), data)
    wide.fill(0)
    wide[..., : array.size_of, :, :] = data
    return wide


def _broadcast(x: Residues, y: Residues, shape: tuple[int, ...]) -> tuple[Residues, Residues]:
    """Both C-contiguous, of one shape in front of their polynomials; y as it is where it has no axes there."""
    if x.shape == y.shape or y.ndim == 3:
        return x, y
    return broadcast(x, shape + x.shape[-3:]), broadcast(y, shape + y.shape[-3:])


def _sum_plain(a: arrays.CkksArray, b: Any, operation: Callable[..., Residues]) -> arrays.CkksArray:
    plain = encoded(a, b, a.scale)
    if not same_scale(plain.scale, a.scale):  # a Plaintext, then: numbers are encoded at the scale
        raise ScaleError(
            f"the ciphertext has {describe(a)}, the plaintext {describe(b)}: encode it at the ciphertext's scale"
        )
    parameters, limbs = a.parameters, a.level + 1
    basis = parameters.basis(a.level)
    shape = broadcast_shapes(a, b if isinstance(b, Plaintext) else plain)
    data = empty((*shape, *a.data.shape[-3:]), a.data)
    data[...] = a.data
    summand = broadcast(plain.beside(data), (*shape, limbs, parameters.n))
    if type(data) is np.ndarray:
        flat = data.reshape(-1, a.size_of, limbs, parameters.n)
        for row, number in zip(flat, summand.reshape(-1, limbs, parameters.n), strict=True):
            operation(row[0], number, basis, out=row[0])
    else:
        data[..., 0, :, :] = operation(contiguous(data[..., 0, :, :]), summand, basis)
    estimate = a.estimate and a.estimate.plus_plain(plain.magnitude)
    return a.replaced(data, estimate=estimate)


def total(array: arrays.CkksArray, axis: int) -> arrays.CkksArray:
    """The sum over one axis."""
    array._refuse_packed("summed over an axis")
    if not array.ndim:
        raise TypeError("sum() of a single ciphertext: inner_sum() adds its slots")
    at = axis_of(axis, array.ndim)
    basis = array.parameters.basis(array.level)
    moved = namespace(array.data).moveaxis(array.data, at, 0)
    if not len(moved):
        raise ValueError(f"axis {at} of shape {array.shape} is empty: there is nothing to add up")
    result = moved[0].copy()
    for item in moved[1:]:
        ntt.add(result, contiguous(item), basis, out=result)
    return array.replaced(result, estimate=array.estimate and array.estimate.summed(len(moved)))


def encoded(a: arrays.CkksArray, values: Any, scale: float) -> Plaintext:
    """Numbers as a plaintext at the level of `a`; a `Plaintext` as it is, with as few moduli."""
    if isinstance(values, Plaintext):
        if values.parameters != a.parameters:
            raise ValueError(
                f"{describe_all(a, values)}, the ciphertext {a.parameters!r}, the plaintext {values.parameters!r}:"
                " encode it for those of the ciphertext"
            )
        if a.packing is not None:
            raise TypeError(
                f"{describe_all(a, values)}, and the array is packed: give it numbers, not a Plaintext"
            )
        if values.level < a.level:
            raise LevelError(
                f"{describe_all(a, values)}, the plaintext the lower level: encode it there, at level {a.level}"
            )
        return values.at(a.level)
    if a.packing is not None:
        return _encoded_packed(a, values, scale)
    numbers = encoder.as_numbers(values, "the operand")
    length = numbers.shape[-1] if numbers.ndim else 1
    if length not in (1, a.length):
        raise ValueError(
            f"the operand has {length} numbers a row, the ciphertext {a.length} slots in use, {describe(a)}: give as"
            " many, or one"
        )
    if length != a.length:
        numbers = np.broadcast_to(numbers, (*numbers.shape[:-1], a.length))
    return encoder.encode(
        a.parameters, np.ascontiguousarray(numbers), level=a.level, scale=scale, name="the operand"
    )


def _encoded_packed(a: arrays.CkksArray, values: Any, scale: float) -> Plaintext:
    from crypsis._ckks.encrypting import pack

    numbers = encoder.as_numbers(values, "the operand")
    shape = a.packing or ()
    if numbers.shape != shape:
        try:
            numbers = np.ascontiguousarray(np.broadcast_to(numbers, shape))
        except ValueError:
            raise ValueError(
                f"the operand has shape {numbers.shape}, the packed array {a.packing}, {describe(a)}: give numbers that"
                " broadcast to it"
            ) from None
    slots, _, _ = pack(a.parameters, numbers)
    return encoder.encode(
        a.parameters, slots.reshape(*a.shape, -1), level=a.level, scale=scale, name="the operand"
    )
