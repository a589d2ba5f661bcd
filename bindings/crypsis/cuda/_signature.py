# SPDX-License-Identifier: Apache-2.0
"""Launch arguments against a kernel's parameter list, read from its source: a wrong size would go unseen on a GPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Bytes of the types that a parameter may have by value; a name that is not here is a structure of the kernel's.
_SIZES = {
    **dict.fromkeys(("u8", "char", "signed char", "unsigned char", "bool"), 1),
    **dict.fromkeys(("u16", "short", "unsigned short"), 2),
    **dict.fromkeys(("u32", "i32", "int", "unsigned", "unsigned int", "float"), 4),
    **dict.fromkeys(("u64", "i64", "long long", "unsigned long long", "double"), 8),
}
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_BOUNDS = r"(?:__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)\s*)?"
_KERNEL = re.compile(rf'extern\s+"C"\s+__global__\s+{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\(([^()]*)\)')


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel; `n_bytes` is None for a pointer, 0 for a structure whose size is not known here."""

    name: str
    n_bytes: int | None


def kernels_of(text: str) -> dict[str, tuple[Parameter, ...]]:
    """The `extern "C" __global__ void` functions of a source text with its parameters."""
    found = {}
    for name, parameters in _KERNEL.findall(_COMMENT.sub(" ", text)):
        items = [item.strip() for item in parameters.split(",") if item.strip() not in ("", "void")]
        found[name] = tuple(_parameter(item) for item in items)
    return found


def _parameter(declaration: str) -> Parameter:
    words = re.sub(r"\b(const|volatile|__restrict__|__grid_constant__)\b", " ", declaration)
    name = re.split(r"[\s*&]+", words.strip())[-1]
    if "*" in words:
        return Parameter(name, None)
    return Parameter(name, _SIZES.get(" ".join(words.split()[:-1]), 0))


def check_arguments(
    kernel: str, parameters: Sequence[Parameter], args: Sequence[object], owns: Callable[[object], bool]
) -> tuple[Any, ...]:
    """`args` as the driver takes them; `owns` tells the device's arrays.

    Raises:
        ValueError: a number, kind or size of arguments that does not fit, naming the kernel and the parameter.
    """
    if len(args) != len(parameters):
        raise ValueError(f"kernel {kernel} takes {len(parameters)} arguments, not {len(args)}")
    return tuple(
        _argument(f"kernel {kernel}, argument {i} ({parameter.name})", parameter, value, owns)
        for i, (parameter, value) in enumerate(zip(parameters, args, strict=True))
    )


def _argument(name: str, parameter: Parameter, value: Any, owns: Callable[[object], bool]) -> Any:
    if owns(value):
        if parameter.n_bytes is not None:
            raise ValueError(f"{name}: an array for a parameter that is a value")
        if not value.flags.c_contiguous:
            raise ValueError(f"{name}: the array is not C-contiguous")
        return value
    if parameter.n_bytes is None:
        if value is None:
            return None
        raise ValueError(f"{name}: {type(value).__name__} for a pointer: give the device's array or None")
    if isinstance(value, int) and not isinstance(value, bool):
        value = np.int64(value)
    if not isinstance(value, np.generic):
        raise ValueError(f"{name}: {type(value).__name__}: give a NumPy scalar, np.uint32(...) say")
    if parameter.n_bytes not in (0, value.dtype.itemsize):
        raise ValueError(
            f"{name}: {value.dtype} has {value.dtype.itemsize} bytes, the parameter {parameter.n_bytes}"
        )
    return value
