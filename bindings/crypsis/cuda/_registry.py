# SPDX-License-Identifier: Apache-2.0
"""Which devices there are: CuPy's, found when asked for, and those that tests register."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from crypsis.cuda._device import Device, DeviceInfo
from crypsis.errors import BackendUnavailable

registrations: dict[str, Device] = {}


def register(name: str, device: Device) -> None:
    """`device` answers to `name` ("cuda:0") from now on, in front of a GPU of that name."""
    _index(name)
    registrations[name] = device


@contextmanager
def registered(device: Device) -> Iterator[Device]:
    """Registers `device` under its own name inside the block; for tests."""
    before = registrations.get(device.name)
    register(device.name, device)
    try:
        yield device
    finally:
        if before is None:
            del registrations[device.name]
        else:
            registrations[device.name] = before


def possible() -> bool:
    """Whether an argument can be a device's array at all: what a call on host arrays pays for."""
    return bool(registrations) or "cupy" in sys.modules


def why_not() -> str | None:
    """None where a device can be used, else what is missing and what to do about it. Never raises."""
    if registrations:
        return None
    from crypsis.cuda import _cupy

    return _cupy.why_not()


def devices() -> list[DeviceInfo]:
    """Every device that can be used, by name; none where `why_not` says why."""
    found = {name: device.info() for name, device in registrations.items()}
    from crypsis.cuda import _cupy

    for info in _cupy.devices():
        found.setdefault(info.name, info)
    return [found[name] for name in sorted(found, key=_index)]


def get_device(name: str) -> Device:
    """The device "cuda:0", "cuda:1", ...; "cuda" is the first.

    Raises:
        BackendUnavailable: it cannot be used; the message says what to do.
        TypeError, ValueError: not such a name.
    """
    number = _index(name)
    device = registrations.get(f"cuda:{number}")
    if device is not None:
        return device
    from crypsis.cuda import _cupy

    reason = _cupy.why_not()
    if reason is not None:
        raise BackendUnavailable(f"{name}: {reason}")
    return _cupy.device(number)


def owner(x: object) -> Device | None:
    """The device that has the array `x`; None where `x` is no device's array."""
    for device in registrations.values():
        if device.owns(x):
            return device
    cupy = sys.modules.get("cupy")  # who has not loaded it cannot hold one of its arrays
    if cupy is not None and isinstance(x, getattr(cupy, "ndarray", ())):
        return get_device(f"cuda:{x.device.id}")  # type: ignore[attr-defined]
    return None


def _index(name: str) -> int:
    if not isinstance(name, str):
        raise TypeError(f"device is {type(name).__name__}: give a str, 'cuda' or 'cuda:0'")
    match = re.fullmatch(r"cuda(?::(0|[1-9]\d{0,3}))?", name)
    if match is None:
        raise ValueError(
            f"device is {name!r}: give 'cuda' for the first one, or 'cuda:0', 'cuda:1' and so on"
        )
    return int(match.group(1) or 0)
