# SPDX-License-Identifier: Apache-2.0
"""Checks of arrays of bytes on a device, for slugs whose arrays are uint8: what `crypsis._arguments` is on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import _arguments
from crypsis.cuda._device import Device


def array(device: Device, name: str, value: Any, *, what: str = "uint8", strided: bool = False) -> Any:
    """`value`, a C-contiguous uint8 array of the device, or any where `strided`; its shape is the caller's to check.

    Raises:
        TypeError: no array of the device, or of another type; `what` says what to give.
        ValueError: it is not C-contiguous.
    """
    if not device.owns(value):
        raise TypeError(f"{name} is {_arguments.kind(value)}: give {what} on {device.name}")
    if value.dtype != np.uint8:
        raise TypeError(f"{name} is an array of {value.dtype}: give {what} on {device.name}")
    if not strided and not value.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass cupy.ascontiguousarray({name})")
    return value


def output(
    device: Device,
    out: Any,
    shape: tuple[int, ...],
    *,
    apart: dict[str, Any],
    same: dict[str, Any] | None = None,
) -> Any:
    """`out` as a kernel may write it, or a new array where it is None.

    apart: inputs by name that it must not overlap. same: inputs that it may be, or not overlap either.

    Raises:
        TypeError, ValueError: `out` is no such array.
        DeviceMemoryError: a new one does not fit.
    """
    if out is None:
        return device.empty(shape, np.uint8)
    if device.owns(out) and out.dtype == np.uint8 and out.shape != shape:
        raise ValueError(f"out has shape {out.shape}: the result has {shape}")
    if device.owns(out) and not out.flags.c_contiguous:
        raise ValueError("out is not C-contiguous: allocate it with cupy.empty")
    array(device, "out", out)
    for name, value in apart.items():
        if device.overlap(out, value):
            raise ValueError(f"out overlaps {name}: give memory of its own")
    for name, value in (same or {}).items():
        if device.address(out) != device.address(value) and device.overlap(out, value):
            raise ValueError(f"out overlaps {name} at another offset: pass the same array or a separate one")
    return out
