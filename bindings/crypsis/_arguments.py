# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments that every kernel shares. Private.

Each returns what the compiled code takes, or raises `TypeError` (a wrong kind of object) or `ValueError` (a
wrong value) in one line that names the argument, what it is and what to give.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_THREADS = 4096


def threads(value: Any) -> int:
    """An int from 1 to 4096; None is 0, for which the kernels take CRYPSIS_NUM_THREADS or the process's CPUs."""
    return 0 if value is None else integer("threads", value, 1, MAX_THREADS, "None for the default")


def backend(value: Any) -> str:
    """A backend's name; None is "", for which the kernels take CRYPSIS_BACKEND or the best. They know the names."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"backend is {kind(value)}: give a str, or None for the best")
    if not value or not value.isascii():
        raise ValueError(
            f"backend is {value!r}: give a name that crypsis.backends.runnable() lists, or None for the best"
        )
    return value


def integer(name: str, value: Any, low: int, high: int, otherwise: str = "") -> int:
    """A whole number of Python or NumPy (not a bool) from `low` to `high`; `otherwise` ends the message."""
    if type(value) is int and low <= value <= high:  # what nearly all calls give, without the cost of a message
        return value
    remedy = f", or {otherwise}" if otherwise else ""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {kind(value)}: give an int{remedy}")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}: give {low} to {high}{remedy}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False, also NumPy's; nothing else counts as one."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {kind(value)}: give True or False")
    return bool(value)


def array(name: str, value: Any, dtype: type[np.generic] = np.uint8) -> npt.NDArray[Any]:
    """A NumPy array of `dtype`; its shape and order are the caller's to check."""
    refuse_gpu(name, value)
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        raise TypeError(f"{name} is {kind(value)}: give a NumPy array of {np.dtype(dtype)}")
    return value


def output(
    out: npt.NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic] = np.uint8
) -> npt.NDArray[Any]:
    """`out` as a kernel may write it; whether it overlaps an input is the caller's to check."""
    out = array("out", out, dtype)
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}: the result has {shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only: pass a writable array")
    if not out.flags.c_contiguous:
        raise ValueError("out is not C-contiguous: allocate it with numpy.empty")
    return out


def refuse_gpu(name: str, value: Any) -> None:
    """Refuses CuPy, Numba, PyTorch and other arrays in a GPU's memory."""
    try:
        on_gpu = hasattr(value, "__cuda_array_interface__")
    except Exception:  # a GPU column that has no plain layout says so with an error of its own
        on_gpu = True
    if on_gpu:
        raise TypeError(
            f"{name} is {kind(value)} in a GPU's memory: no CUDA kernel takes it here; give a CuPy array where the "
            "function has kernels, else copy it to the host, as cupy.asnumpy() does"
        )


def kind(value: Any) -> str:
    """What an argument is, for a message."""
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
