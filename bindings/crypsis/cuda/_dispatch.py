# SPDX-License-Identifier: Apache-2.0
"""The device follows the data: a call with arrays on a GPU runs that GPU's function of the same name."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import numpy as np

from crypsis.cuda import _registry
from crypsis.cuda._device import Device
from crypsis.errors import BackendUnavailable

P = ParamSpec("P")
R = TypeVar("R")

_plain: set[type] = {np.ndarray, type(None), int, str, bool}
"""Types met that are no device's arrays."""


def device_of(*arrays: Any) -> Device | None:
    """The device that `arrays` are on, lists and tuples of arrays too; None where no array is on a device.

    What is no array does not count. Raises ValueError where some are on the host and some on a device, or on two.
    """
    if not _registry.possible():
        return None
    return _common("", ((f"argument {i}", value) for i, value in enumerate(arrays)))


def follow_data(slug: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator of a public array function of `crypsis.<slug>`.

    Where an argument is a device's array, the function of the same name in `crypsis.cuda.<slug>` is called instead,
    with the device as its first argument and then the same arguments, but for `backend` (None or "cuda") and
    `threads` (ignored), which say how a CPU works.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__name__
        names = tuple(inspect.signature(function).parameters)

        @functools.wraps(function)
        def follow(*args: P.args, **kwargs: P.kwargs) -> R:
            if (_registry.registrations or "cupy" in sys.modules) and not _all_plain(args, kwargs):
                device = _common(name, _named(names, args, kwargs))
                if device is not None:
                    return _on_device(device, slug, name, args, dict(kwargs))  # type: ignore[no-any-return]
            if kwargs and kwargs.get("backend") == "cuda":
                raise ValueError(
                    f"backend is 'cuda', and the arrays of {name} are on the host: the device follows the data, "
                    "copy them with crypsis.cuda.get_device('cuda').from_host(array)"
                )
            return function(*args, **kwargs)

        return follow

    return decorate


def _all_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether no argument's type can be, or hold, a device's array: a call on host arrays pays for no more."""
    for value in (*args, *kwargs.values()):
        kind = type(value)
        if kind not in _plain:
            if issubclass(kind, list | tuple) or hasattr(kind, "__cuda_array_interface__"):
                return False
            _plain.add(kind)
    return True


def _on_device(device: Device, slug: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    backend = kwargs.pop("backend", None)
    kwargs.pop("threads", None)
    if backend not in (None, "cuda"):
        raise ValueError(f"backend is {backend!r}, and the arrays are on {device.name}: give 'cuda' or None")
    function = getattr(import_module(f"crypsis.cuda.{slug}"), name, None)
    if function is None:
        raise BackendUnavailable(
            f"crypsis.{slug}.{name} has no CUDA kernel: copy the arrays to the host, as cupy.asnumpy() does"
        )
    with device.current():
        return function(device, *args, **kwargs)


def _named(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    for i, value in enumerate(args):
        yield names[min(i, len(names) - 1)], value
    yield from kwargs.items()


def _common(name: str, named: Iterator[tuple[str, Any]]) -> Device | None:
    """The one place of all arrays; None for the host."""
    device: Device | None = None
    first = host = ""
    for label, value in _arrays(named):
        owner = _registry.owner(value)
        if owner is None:
            host = host or label
        elif device is None:
            device, first = owner, label
        elif owner is not device:
            raise ValueError(
                f"{name + ': ' if name else ''}{first} is on {device.name} and {label} on {owner.name}: "
                f"move one, as .to({device.name!r}) does"
            )
    if device is not None and host:
        raise ValueError(
            f"{name + ': ' if name else ''}{first} is on {device.name} and {host} on the host: move one, as "
            f".to({device.name!r}) and .to('cpu') do, or crypsis.cuda.get_device({device.name!r}).from_host()"
        )
    return device


def _arrays(named: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The arguments that are arrays, those inside lists and tuples too."""
    for label, value in named:
        if isinstance(value, list | tuple):
            yield from ((f"{label}[{i}]", item) for i, item in enumerate(value) if _is_array(item))
        elif _is_array(value):
            yield label, value


def _is_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return True
    if value is None or isinstance(value, int | str | bytes | float | np.generic):
        return False
    if _registry.owner(value) is not None:
        return True
    pa = sys.modules.get("pyarrow")
    return pa is not None and isinstance(value, pa.Array | pa.ChunkedArray)
