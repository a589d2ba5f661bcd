# SPDX-License-Identifier: Apache-2.0
"""Checks of the arrays and options that `crypsis.bigint` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Limbs = npt.NDArray[np.uint64]


def array(name: str, value: Any, dtypes: tuple[str, ...], ndims: tuple[int, ...]) -> npt.NDArray[Any]:
    """`value` if it is a C-contiguous NumPy array of one of `dtypes` with one of `ndims` dimensions."""
    if type(value).__module__.partition(".")[0] == "cupy":
        raise TypeError(
            f"{name} is a CuPy array: bigint has no CUDA kernels in this version, pass {name}.get()"
        )
    if not isinstance(value, np.ndarray) or value.dtype.name not in dtypes:
        kind = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name} is {kind}: give a NumPy array of {' or '.join(dtypes)}")
    if value.ndim not in ndims:
        raise ValueError(f"{name} has shape {value.shape}: give {' or '.join(map(str, ndims))} dimension(s)")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return value


def rows(name: str, value: Any, limbs: int) -> Limbs:
    """`uint64[n, limbs]` of `value`; a single `uint64[limbs]` becomes one row."""
    checked: Limbs = array(name, value, ("uint64",), (1, 2))
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
    """The array that results go to: `out`, or a fresh one. `same`: inputs it may coincide with; `apart`: must not touch."""
    if out is None:
        return np.empty(shape, dtype=np.uint64)
    checked: Limbs = array("out", out, ("uint64",), (out.ndim if isinstance(out, np.ndarray) else 2,))
    if checked.shape != shape:
        raise ValueError(f"out has shape {checked.shape}: the result has {shape}")
    if not checked.flags.writeable:
        raise ValueError("out is read-only: pass a writable array")
    for other in same:
        coincides = checked.ctypes.data == other.ctypes.data and checked.size == other.size
        if np.may_share_memory(checked, other) and not coincides:
            raise ValueError("out overlaps an input in part: pass the same array or a separate one")
    if any(np.may_share_memory(checked, other) for other in apart):
        raise ValueError("out overlaps an input: pass a separate array")
    return checked


def threads(value: int | None) -> int:
    """0 for the default."""
    if value is None:
        return 0
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"threads is {type(value).__name__}: give an int")
    if not 1 <= value <= 4096:
        raise ValueError(f"threads is {value}: give 1 to 4096, or None for the default")
    return int(value)


def bits(name: str, value: Any, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}: give an int")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}: give {least} to {most}")
    return int(value)
