# SPDX-License-Identifier: Apache-2.0
"""Checks of the arrays and options that `crypsis.bigint` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments

Limbs = npt.NDArray[np.uint64]


def array(
    name: str, value: Any, dtypes: tuple[type[np.generic], ...], ndims: tuple[int, ...]
) -> npt.NDArray[Any]:
    """`value` if it is an aligned, C-contiguous NumPy array of one of `dtypes` with one of `ndims` dimensions."""
    # In this order because a call on a few rows is microseconds: the plain case asks least.
    if (
        type(value) is np.ndarray
        and value.dtype.type in dtypes
        and value.dtype.isnative
        and value.ndim in ndims
        and value.flags.c_contiguous
        and value.flags.aligned
    ):
        return value
    _arguments.refuse_gpu(name, value)
    # By ==, not by type: C has two names for a 64-bit integer, and NumPy a scalar type for each.
    if not isinstance(value, np.ndarray) or value.dtype.newbyteorder("=") not in dtypes:
        names = " or ".join(t.__name__ for t in dtypes)
        raise TypeError(f"{name} is {_arguments.kind(value)}: give a NumPy array of {names}")
    if not value.dtype.isnative:
        raise TypeError(f"{name} has the other byte order: pass {name}.astype(numpy.{value.dtype.name})")
    if value.ndim not in ndims:
        raise ValueError(f"{name} has shape {value.shape}: give {' or '.join(map(str, ndims))} dimension(s)")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    if not value.flags.aligned:
        raise ValueError(
            f"{name} does not begin at a multiple of {value.dtype.itemsize} bytes: pass {name}.copy()"
        )
    return value


def rows(name: str, value: Any, limbs: int) -> Limbs:
    """`uint64[n, limbs]` of `value`; a single `uint64[limbs]` becomes one row."""
    checked: Limbs = array(name, value, (np.uint64,), (1, 2))
    if checked.shape[-1] != limbs:
        raise ValueError(
            f"{name} has shape {checked.shape}: give uint64[n, {limbs}], the limbs of the modulus"
        )
    return checked.reshape(-1, limbs)


def result(
    out: Any,
    shape: tuple[int, ...],
    *,
    same: tuple[npt.NDArray[Any], ...] = (),
    apart: tuple[npt.NDArray[Any], ...] = (),
) -> Limbs:
    """The array that results go to: `out`, or a fresh one.

    same: inputs it may coincide with. apart: inputs it must not touch.
    """
    if out is None:
        return np.empty(shape, dtype=np.uint64)
    checked: Limbs = array("out", out, (np.uint64,), (out.ndim if isinstance(out, np.ndarray) else 2,))
    if checked.shape != shape:
        raise ValueError(f"out has shape {checked.shape}: the result has {shape}")
    if not checked.flags.writeable:
        raise ValueError("out is read-only: pass a writable array")
    for other in same:
        if np.may_share_memory(checked, other) and not (
            checked.size == other.size and _address(checked) == _address(other)
        ):
            raise ValueError("out overlaps an input in part: pass the same array or a separate one")
    if any(np.may_share_memory(checked, other) for other in apart):
        raise ValueError("out overlaps an input: pass a separate array")
    return checked


def _address(value: npt.NDArray[Any]) -> int:
    address: int = value.__array_interface__["data"][0]
    return address
