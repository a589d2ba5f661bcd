# SPDX-License-Identifier: Apache-2.0
"""Checks of `crypsis.vole`'s arguments on a device, in the words of those on the host."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from crypsis import _arguments
from crypsis import aes as aes_host
from crypsis.cuda._device import Device

BLOCK = 16

F = TypeVar("F", bound=Callable[..., Any])


def copies_wiped(*names: str) -> Callable[[F], F]:
    """Decorator: of those arguments a copy is made where they are not C-contiguous, and overwritten in the end."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(device: Device, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(device, *args, **kwargs)
            copies: list[Any] = []
            try:
                for name in names:
                    value: Any = bound.arguments.get(name)
                    if device.owns(value) and not value.flags.c_contiguous:
                        copies.append(device.xp.ascontiguousarray(value))
                        bound.arguments[name] = copies[-1]
                return function(*bound.args, **bound.kwargs)
            finally:
                for copy in copies:
                    copy.fill(0)

        return call  # type: ignore[return-value]

    return decorate


def array(device: Device, name: str, value: Any, dtype: Any = np.uint8) -> Any:
    """An array of the device of that type; its shape is the caller's to check."""
    if not device.owns(value):
        raise TypeError(
            f"{name} is {_arguments.kind(value)}: give an array of {np.dtype(dtype)} on {device.name}"
        )
    if value.dtype != dtype:
        raise TypeError(
            f"{name} is an array of {value.dtype}: give an array of {np.dtype(dtype)} on {device.name}"
        )
    return value


def rows(device: Device, name: str, value: Any, tail: tuple[int, ...], n: int | None = None) -> Any:
    """uint8[n, *tail]."""
    value = array(device, name, value)
    if value.ndim != 1 + len(tail) or value.shape[1:] != tail or (n is not None and len(value) != n):
        wanted = ", ".join(["n" if n is None else str(n), *map(str, tail)])
        raise ValueError(f"{name} has shape {value.shape}: give uint8[{wanted}]")
    return value


def written(device: Device, name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """An output, or what is in and out; given by the caller."""
    value = array(device, name, value)
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}: give uint8{list(shape)}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: allocate it with cupy.empty")
    return value


def output(device: Device, name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """An output, new where it is None."""
    return device.empty(shape, np.uint8) if value is None else written(device, name, value, shape)


def positions(device: Device, value: Any, depth: int, n: int | None = None) -> Any:
    """uint64[n], each below 2^depth: the check waits for the device and learns no more than that."""
    value = array(device, "positions", value, np.uint64)
    if value.ndim != 1 or (n is not None and len(value) != n):
        wanted = "give uint64[n]" if n is None else f"give one for each of the {n} trees"
        raise ValueError(f"positions has shape {value.shape}: {wanted}")
    if len(value) and bool((value >> np.uint64(depth)).any()):
        raise ValueError(
            f"positions has a value of 2^{depth} or above: a tree of depth {depth} has no such leaf"
        )
    return value


def apart(device: Device, **arrays: Any) -> None:
    """Raises ValueError where two of them overlap."""
    known: list[tuple[str, Any]] = []
    for name, value in arrays.items():
        for other, second in known:
            if device.overlap(value, second):
                raise ValueError(f"{name} overlaps {other}: give memory of its own")
        known.append((name, value))


def round_keys(key: bytes) -> Any:
    """The round keys of a public key, uint32[44]."""
    return aes_host.expand_key(key).reshape(-1).view("<u4")
