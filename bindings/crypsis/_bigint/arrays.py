# SPDX-License-Identifier: Apache-2.0
"""Checks of the arrays and options that `crypsis.bigint` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments

if TYPE_CHECKING:
    from crypsis.cuda import Device

Limbs = npt.NDArray[np.uint64]


def array(
    name: str,
    value: Any,
    dtypes: tuple[type[np.generic], ...],
    ndims: tuple[int, ...],
    device: Device | None = None,
) -> npt.NDArray[Any]:
    """`value` if it is an aligned, C-contiguous array of one of `dtypes` with one of `ndims` dimensions.

    It is NumPy's, or one of `device`; these have the attributes of NumPy's that are used.
    """
    # In this order because a call on a few rows is microseconds: the plain case asks least.
    if (
        device is None
        and type(value) is np.ndarray
        and value.dtype.type in dtypes
        and value.dtype.isnative
        and value.ndim in ndims
        and value.flags.c_contiguous
        and value.flags.aligned
    ):
        return value
    if device is None:
        _arguments.refuse_gpu(name, value)
    # By ==, not by type: C has two names for a 64-bit integer, and NumPy a scalar type for each.
    known = isinstance(value, np.ndarray) if device is None else device.owns(value)
    if not known or value.dtype.newbyteorder("=") not in dtypes:
        names = " or ".join(t.__name__ for t in dtypes)
        if device is not None:
            what = f"an array of {value.dtype}" if known else _arguments.kind(value)
            raise TypeError(f"{name} is {what}: give an array of {names} on {device.name}")
        raise TypeError(f"{name} is {_arguments.kind(value)}: give a NumPy array of {names}")
    if not value.dtype.isnative:
        raise TypeError(f"{name} has the other byte order: pass {name}.astype(numpy.{value.dtype.name})")
    if value.ndim not in ndims:
        raise ValueError(f"{name} has shape {value.shape}: give {' or '.join(map(str, ndims))} dimension(s)")
    if not value.flags.c_contiguous:
        module = "numpy" if device is None else "cupy"
        raise ValueError(f"{name} is not C-contiguous: pass {module}.ascontiguousarray({name})")
    if device is not None:
        aligned = device.address(value) % value.dtype.itemsize == 0
    else:
        aligned = value.flags.aligned
    if not aligned:
        raise ValueError(
            f"{name} does not begin at a multiple of {value.dtype.itemsize} bytes: pass {name}.copy()"
        )
    checked: npt.NDArray[Any] = value
    return checked


def rows(name: str, value: Any, limbs: int, device: Device | None = None) -> Limbs:
    """`uint64[n, limbs]` of `value`; a single `uint64[limbs]` becomes one row."""
    checked: Limbs = array(name, value, (np.uint64,), (1, 2), device)
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
    device: Device | None = None,
) -> Limbs:
    """The array that results go to: `out`, or a fresh one.

    same: inputs it may coincide with. apart: inputs it must not touch. device: where all of them are.
    """
    if out is None:
        return np.empty(shape, dtype=np.uint64) if device is None else device.empty(shape, np.uint64)
    checked: Limbs = array("out", out, (np.uint64,), (getattr(out, "ndim", 2),), device)
    if checked.shape != shape:
        raise ValueError(f"out has shape {checked.shape}: the result has {shape}")
    if device is None and not checked.flags.writeable:
        raise ValueError("out is read-only: pass a writable array")
    overlap = np.may_share_memory if device is None else device.xp.may_share_memory
    address = _address if device is None else device.address
    for other in same:
        if overlap(checked, other) and not (
            checked.size == other.size and address(checked) == address(other)
        ):
            raise ValueError("out overlaps an input in part: pass the same array or a separate one")
    if any(overlap(checked, other) for other in apart):
        raise ValueError("out overlaps an input: pass a separate array")
    return checked


def _address(value: npt.NDArray[Any]) -> int:
    address: int = value.__array_interface__["data"][0]
    return address
