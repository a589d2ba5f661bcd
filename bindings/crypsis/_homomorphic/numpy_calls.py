# SPDX-License-Identifier: Apache-2.0
"""NumPy's own operators and functions on cipher arrays: `array + c`, `numpy.add(a, c)`, `numpy.sum(c)`.

A program written for NumPy runs on ciphertexts as far as the scheme computes it (NEP 13, NEP 18). What it does not is
a TypeError that names what there is instead, never an array of objects.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""By NumPy's function, what is called instead: it takes fewer options."""
OPERATORS: dict[Any, tuple[str, str]] = {
    np.add: ("__add__", "__radd__"),
    np.subtract: ("__sub__", "__rsub__"),
    np.multiply: ("__mul__", "__rmul__"),
    np.matmul: ("__matmul__", "__rmatmul__"),
}
"""The methods for a cipher array on the left, and on the right."""
INSTEAD = {
    **dict.fromkeys(("mean", "average"), "sum(axis) * (1 / n)"),
    "divide": "c * (1 / x) for a divisor x in the clear",
    **dict.fromkeys(
        ("vstack", "hstack", "dstack", "column_stack", "append"), "numpy.concatenate or numpy.stack"
    ),
    "add.reduce": "sum",
    "add.accumulate": "cumsum",
    "multiply.outer": "c[:, None] * x",
    **dict.fromkeys(("inner", "vdot", "einsum", "tensordot"), "@"),
    **dict.fromkeys(("where", "select", "choose"), "an index array or a mask, or a product with 0 and 1"),
}


def implements(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: what NumPy's `function` does of cipher arrays."""

    def register(own: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[function] = own
        return own

    return register


def axis_of(axis: Any, ndim: int) -> int:
    """`axis`, from -ndim to ndim - 1, as 0 to ndim - 1. AxisError where it is outside, TypeError for no integer."""
    if isinstance(axis, bool | np.bool_) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis is {axis!r}: give an integer, or None")
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        raise np.exceptions.AxisError(number, ndim)
    return number % ndim


def cipher_arrays(arrays: Iterable[Any]) -> list[Any]:
    """The arrays that are to be joined. TypeError naming the first that is not encrypted."""
    parts = list(arrays)
    for i, part in enumerate(parts):
        if not isinstance(part, NumpyCalls):
            raise TypeError(
                f"element {i} is {type(part).__name__}: give cipher arrays, encrypt what is in the clear"
            )
    return parts


class NumpyCalls:
    """The two methods by which NumPy asks."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            raise self._refused(f"{ufunc.__name__}.{method}")
        if options:
            raise TypeError(
                f"numpy.{ufunc.__name__} of encrypted values takes no {', '.join(options)}: the result is a new array"
            )
        if ufunc is np.negative:
            return inputs[0].__neg__()
        if ufunc not in OPERATORS:
            raise self._refused(ufunc.__name__)
        left, right = inputs
        forward, reflected = OPERATORS[ufunc]
        # By name: `left + right` of an array on the left would ask NumPy, which asks here.
        return (
            getattr(left, forward)(right) if isinstance(left, NumpyCalls) else getattr(right, reflected)(left)
        )

    def __array_function__(
        self, function: Any, types: Any, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        own = FUNCTIONS.get(function)
        if own is None:
            raise self._refused(function.__name__)
        signature = inspect.signature(own)
        known = signature.parameters
        # An option that is None, as in out=None, asks nothing.
        given = {name: x for name, x in options.items() if name in known or x is not None}
        try:
            bound = signature.bind(*arguments, **given)
        except TypeError as error:
            names = ", ".join(known)
            raise TypeError(
                f"numpy.{function.__name__} of encrypted values takes {names} alone: {error}"
            ) from None
        return own(*bound.args, **bound.kwargs)

    def _refused(self, name: str) -> TypeError:
        instead = f"its method {name}" if hasattr(self, name) else INSTEAD.get(name)
        there = (
            f"use {instead}" if instead else "there are + - * @, sum, cumsum, concatenate, stack, histogram"
        )
        return TypeError(f"numpy.{name} does not take encrypted values: {there}, or decrypt first")


@implements(np.sum)
def _sum(a: Any, axis: Any = None) -> Any:
    return a.sum(axis)


@implements(np.cumsum)
def _cumsum(a: Any, axis: Any = None) -> Any:
    return a.cumsum(axis)


@implements(np.dot)
def _dot(a: Any, b: Any) -> Any:
    return np.multiply(a, b) if 0 in (np.ndim(a), np.ndim(b)) else np.matmul(a, b)


@implements(np.stack)
def _stack(arrays: Any, axis: Any = 0) -> Any:
    parts = cipher_arrays(arrays)
    shapes = {part.shape for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"arrays of shapes {sorted(shapes)} cannot be stacked: give arrays of one shape")
    shape = shapes.pop()
    at = axis_of(axis, len(shape) + 1)
    wide = [part.reshape((*shape[:at], 1, *shape[at:])) for part in parts]
    return FUNCTIONS[np.concatenate](wide, axis=at)


@implements(np.transpose)
def _transpose(a: Any, axes: Any = None) -> Any:
    return a.T if axes is None else a.transpose(axes)


@implements(np.shape)
def _shape(a: Any) -> Any:
    return a.shape


@implements(np.ndim)
def _ndim(a: Any) -> Any:
    return a.ndim


@implements(np.size)
def _size(a: Any) -> Any:
    return a.size
