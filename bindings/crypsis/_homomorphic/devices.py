# SPDX-License-Identifier: Apache-2.0
"""Where arrays are: on the host, in NumPy's, or on a CUDA device; and how they get from one to the other.

A place is a `Device`, or None for the host. What is said of `Limbs` holds for a device's `uint64` arrays too.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, bigint
from crypsis._homomorphic import limbs
from crypsis._homomorphic.limbs import Limbs
from crypsis.cuda import _registry
from crypsis.cuda import bigint as bigint_on_device
from crypsis.cuda._bigint_kernels import known_values, wipe_last
from crypsis.cuda._blocks import in_blocks as in_blocks_on_device
from crypsis.cuda._device import Device

P = ParamSpec("P")
R = TypeVar("R")


class _Somewhere(Protocol):
    @property
    def _device(self) -> Device | None: ...


S = TypeVar("S", bound=_Somewhere)


def named(device: str | None) -> Device | None:
    """The place called `device`: "cpu" or None is the host, "cuda" and "cuda:0" the first GPU.

    ValueError for another name, TypeError for no name, BackendUnavailable for a device that cannot be used.
    """
    if device is None or device == "cpu":
        return None
    if isinstance(device, str) and device.partition(":")[0] != "cuda":
        raise ValueError(f"device is {device!r}: give 'cpu', 'cuda' for the first GPU, or 'cuda:0', 'cuda:1'")
    return _registry.get_device(device)


def name_of(device: Device | None) -> str:
    """ "cpu", or as `named` takes it."""
    return "cpu" if device is None else device.name


def device_of(rows: Any) -> Device | None:
    """The place of an array; of anything else, None."""
    return None if type(rows) is np.ndarray or not _registry.possible() else _registry.owner(rows)


def at(device: Device | None) -> AbstractContextManager[None]:
    """Meanwhile the device is CuPy's current one, as work on its arrays needs it, and rows are known to be residues:
    those of ciphertexts, which were checked when they came, of keys, and random numbers."""
    return nullcontext() if device is None else _there(device)


@contextmanager
def _there(device: Device) -> Iterator[None]:
    with device.current(), known_values():
        yield


def current(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorator of a method of what is somewhere: it runs `at` that place."""

    @functools.wraps(method)
    def run(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        device = self._device
        if device is None:
            return method(self, *args, **kwargs)
        with _there(device):
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]  # a function is a method too


def empty(shape: tuple[int, ...], device: Device | None) -> Limbs:
    """A `uint64` array with nothing in it yet."""
    rows: Limbs = np.empty(shape, dtype=np.uint64) if device is None else device.empty(shape, np.uint64)
    return rows


def placed(host: npt.NDArray[Any], device: Device | None) -> Any:
    """The host's array itself where the place is the host, else a copy on the device."""
    return host if device is None else device.from_host(host)


def placed_secret(host: Limbs, device: Device | None) -> Limbs:
    """`placed`, and the host's array is wiped where a copy was to be made of it."""
    if device is None:
        return host
    try:
        copy: Limbs = device.from_host_secret(host)
    finally:
        host.fill(0)
    return copy


def beside(host: npt.NDArray[Any], rows: Any) -> Any:
    """`host`, placed where `rows` are."""
    return host if type(rows) is np.ndarray else placed(host, device_of(rows))


def beside_secret(host: npt.NDArray[Any], rows: Any) -> Any:
    """`beside`, and a copy leaves no other on its way; for `wipe_copy`."""
    device = device_of(rows)
    return host if device is None else device.from_host_secret(np.ascontiguousarray(host))


def wipe_copy(copy: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
    """Zeros for what `beside` made of `host`, where that is a copy."""
    if copy is not host:
        copy.fill(0)


def to_host(array: Any) -> npt.NDArray[Any]:
    """A device's array as one of the host; the host's own as it is."""
    device = device_of(array)
    host: npt.NDArray[Any] = array if device is None else device.to_host(array)
    return host


def to_host_secret(array: Any) -> npt.NDArray[Any]:
    """`to_host` that leaves no copy on the way; a device's array is wiped, the host's comes back as it is."""
    device = device_of(array)
    if device is None:
        same: npt.NDArray[Any] = array
        return same
    try:
        return device.to_host_secret(array)
    finally:
        array.fill(0)


def planned(name: str, rows: Limbs, *plan: Any, **options: Any) -> Limbs:
    """`crypsis.bigint.<name>` of rows anywhere and of what says which belong together, on the host: nothing of that
    goes to a device to come back for the planning."""
    device = device_of(rows)
    if device is None:
        result: Limbs = getattr(bigint, name)(rows, *plan, **options)
    else:
        result = getattr(bigint_on_device, name)(device, rows, *plan, **options)
    return result


def plain(name: str, values: Any) -> Any:
    """Numbers in the clear for NumPy to work on: a device's array is copied to the host, all else comes back as it is.

    TypeError for an array in a GPU's memory that is not CuPy's.
    """
    if type(values) is np.ndarray:
        return values
    device = device_of(values)
    if device is not None:
        return device.to_host(values)
    _arguments.refuse_gpu(name, values)
    return values


def check_beside(what: str, values: Any, device: Device | None) -> None:
    """ValueError where `values` is the array of a device, and the ciphertexts are not there: nothing moves by itself.

    Numbers on the host pass: they are encoded there, and go to the device of the ciphertexts.
    """
    owner = device_of(values)
    if owner is not None and owner is not device:
        raise ValueError(
            f"the ciphertexts are on {name_of(device)} and {what} on {owner.name}: move the ciphertexts, as"
            f" .to({owner.name!r}) does, or copy {what} to the host, as cupy.asnumpy() does"
        )


class Constant:
    """A constant row `uint64[k]` of a key, and its copies on devices, made at their first use and wiped with it."""

    __slots__ = ("__weakref__", "_copies", "row")

    def __init__(self, row: Limbs) -> None:
        self.row = row
        self._copies: dict[Device, Limbs] = {}

    @classmethod
    def of(cls, value: int, n_limbs: int) -> Constant:
        """0 <= value < 2^(64 n_limbs)."""
        return cls(limbs.from_int(value, n_limbs))

    def beside(self, rows: Any) -> Limbs:
        """The row where `rows` are."""
        if type(rows) is np.ndarray:
            return self.row
        device = device_of(rows)
        return self.row if device is None else self.on(device)

    def on(self, device: Device | None) -> Limbs:
        """The row at that place."""
        if device is None:
            return self.row
        # No lock: a fork could leave it held in the child. Of two copies at once one is kept.
        if device not in self._copies:
            if not self._copies:
                # Not at the end of the process, when the devices may be gone: the driver clears the memory then.
                weakref.finalize(self, _wipe_copies, self._copies).atexit = False
            copy = device.from_host_secret(self.row)
            device.synchronize()  # it may be used on another stream next
            if self._copies.setdefault(device, copy) is not copy:
                wipe_last(device, copy)
        return self._copies[device]

    def __repr__(self) -> str:
        return f"Constant(<{len(self.row)} limbs>)"


def _wipe_copies(copies: dict[Device, Limbs]) -> None:
    for device, copy in copies.items():
        wipe_last(device, copy)


BLOCK_ROWS = 2048
"""Rows worked on at a time on the host: a block of a few MB stays near the processor between the steps."""
MAX_DEVICE_ROWS = 1 << 16
"""Rows worked on at a time on a device: it is filled."""
MIN_DEVICE_ROWS = 256
IN_FLIGHT = 32
"""Rows of memory that the work on one row takes at most, temporary arrays and all."""


def in_blocks(
    n_rows: int, device: Device | None, row_bytes: int, work: Callable[[slice], None], *, what: str
) -> None:
    """Calls `work(slice)` for slices of at most BLOCK_ROWS rows; on a device, of as many as fit the memory that is
    free, in wide limits, and fewer where that runs out. DeviceMemoryError where MIN_DEVICE_ROWS do not fit."""
    if device is None:
        for start in range(0, n_rows, BLOCK_ROWS):
            work(slice(start, min(start + BLOCK_ROWS, n_rows)))
        return
    in_blocks_on_device(
        device, n_rows, IN_FLIGHT * row_bytes, work, what=what, least=MIN_DEVICE_ROWS, most=MAX_DEVICE_ROWS
    )
