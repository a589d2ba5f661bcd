# SPDX-License-Identifier: Apache-2.0
"""Arrays of residues on the host or on a GPU: what is done with them besides kernels."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from crypsis import ntt
from crypsis._homomorphic import devices
from crypsis.cuda._device import Device

DEVICE_ROWS = 64
"""Ciphertexts of a batch that are worked on at a time on a GPU."""


def namespace(data: Any) -> Any:
    """NumPy, or the device's own of its interface."""
    device = devices.device_of(data)
    return np if device is None else device.xp


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """`uint64`, where `like` is; on the host at the start of a cache line."""
    device = devices.device_of(like)
    return ntt.empty(shape) if device is None else device.empty(shape, np.uint64)


def contiguous(data: Any) -> Any:
    """The array itself, or a C-contiguous copy."""
    return data if data.flags.c_contiguous else namespace(data).ascontiguousarray(data)


def broadcast(data: Any, shape: tuple[int, ...]) -> Any:
    """C-contiguous, of that shape."""
    if data.shape == shape:
        return contiguous(data)
    xp = namespace(data)
    return xp.ascontiguousarray(xp.broadcast_to(data, shape))


def gather(data: Any, rows: Sequence[int]) -> Any:
    """data[rows]; a view of one, and the array itself where those are all of them in order."""
    if len(rows) == 1:
        return data[rows[0] : rows[0] + 1]
    if len(rows) == len(data) and all(i == row for i, row in enumerate(rows)):
        return data
    return data[devices.beside(np.asarray(rows, np.intp), data)]


def parts(data: Any) -> Iterator[slice]:
    """Rows that go through all steps of an operation together: one on the host, whose halves then are contiguous and
    stay near the processor; DEVICE_ROWS on a GPU, which they fill."""
    step = 1 if type(data) is np.ndarray else DEVICE_ROWS
    for start in range(0, len(data), step):
        yield slice(start, min(start + step, len(data)))


class Placed:
    """A host array that is not written any more, and copies of it on devices, made at their first use."""

    __slots__ = ("__weakref__", "_copies", "host")

    def __init__(self, host: Any) -> None:
        self.host = host
        self._copies: weakref.WeakKeyDictionary[Device, Any] = weakref.WeakKeyDictionary()

    def beside(self, data: Any) -> Any:
        """The array where `data` are."""
        if type(data) is np.ndarray:
            return self.host
        device = devices.device_of(data)
        if device is None:
            return self.host
        copy = self._copies.get(device)
        if copy is None:
            # No lock: a fork could leave it held in the child. Of two copies at once one is kept.
            copy = device.from_host(self.host)
            device.synchronize()  # it may be used on another stream next
            copy = self._copies.setdefault(device, copy)
        return copy
