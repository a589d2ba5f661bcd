# SPDX-License-Identifier: Apache-2.0
"""Where a party's arrays are while a protocol works on them: in the host's memory, or on one GPU.

Protocol code is written once, for a `Place`. The array functions of `crypsis` follow the data; what NumPy or CuPy do is
asked of `place.xp`; messages and small secrets are NumPy arrays at every place. On the host `from_host` and `to_host`
give back what they get and a stage is nothing: no copy is made that would not be made without them.

A stage is what one thread does between two hand-overs. On a GPU each has a stream of its own, so that the transfers of
one run beside the kernels of another; when `with place.stage(name):` ends, all that was queued inside is done, and
another thread may take the arrays. Work on arrays belongs inside a stage.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.cuda import Device, get_device
from crypsis.errors import DeviceError


class Place(ABC):
    """The host, or one GPU."""

    name: str
    """ "cpu", or as `crypsis.cuda.get_device` takes it."""
    xp: Any
    """numpy or cupy: the functions that both have, for arrays of this place."""
    device: Device | None

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Any:
        """An array with nothing in it yet. Raises DeviceMemoryError."""

    @abstractmethod
    def from_host(self, a: npt.NDArray[Any]) -> Any:
        """`a` at this place; it is not to be changed afterwards."""

    @abstractmethod
    def to_host(self, a: Any) -> npt.NDArray[Any]:
        """An array of this place on the host; neither is to be changed afterwards."""

    @abstractmethod
    def secret_copy(self, a: npt.NDArray[Any]) -> Any:
        """A copy of `a` at this place that leaves none on the way; the caller overwrites both."""

    @abstractmethod
    def secret_from_host(self, a: npt.NDArray[Any]) -> Any:
        """As `from_host`, leaving no copy on the way."""

    @abstractmethod
    def secret_to_host(self, a: Any) -> npt.NDArray[Any]:
        """As `to_host`, leaving no copy on the way."""

    @abstractmethod
    def secret_into(self, out: npt.NDArray[Any], a: Any) -> None:
        """`a`, of this place, to `out` on the host, leaving no copy on the way."""

    @abstractmethod
    def forget(self, *copies: Any) -> None:
        """Overwrites what `secret_from_host` made; where that is the original, it is the caller's."""

    @abstractmethod
    def wipe(self, *arrays: Any) -> None:
        """Overwrites arrays that nobody uses any more. Raises nothing for a GPU that is lost, and they with it."""

    @abstractmethod
    def stage(self, name: str) -> AbstractContextManager[None]:
        """What one thread does between two hand-overs; `name` is used by one thread at a time."""


class Host(Place):
    """The memory of this process."""

    name = "cpu"
    xp = np
    device = None

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Any:
        return np.empty(shape, dtype)

    def from_host(self, a: npt.NDArray[Any]) -> Any:
        return a

    def to_host(self, a: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = a
        return host

    def secret_copy(self, a: npt.NDArray[Any]) -> Any:
        return a.copy()

    def secret_from_host(self, a: npt.NDArray[Any]) -> Any:
        return a

    def secret_to_host(self, a: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = a
        return host

    def secret_into(self, out: npt.NDArray[Any], a: Any) -> None:
        out[...] = a

    def forget(self, *copies: Any) -> None:
        return

    def wipe(self, *arrays: Any) -> None:
        for array in arrays:
            array.fill(0)

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


class OnDevice(Place):
    """The memory of one GPU."""

    device: Device

    def __init__(self, device: Device, room: int | None = None) -> None:
        self.device = device
        self._room = room
        self.name = device.name
        self.xp = device.xp
        self._streams: dict[str, Any] = {}
        self._lock = threading.Lock()

    def free_bytes(self) -> int:
        """Memory that arrays of this place may still take, as long as they have taken none of its room."""
        free = self.device.free_bytes()
        return free if self._room is None else min(free, self._room)

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Any:
        return self.device.empty(shape, dtype)

    def from_host(self, a: npt.NDArray[Any]) -> Any:
        return self.device.from_host(a)

    def to_host(self, a: Any) -> npt.NDArray[Any]:
        return self.device.to_host(a)

    def secret_copy(self, a: npt.NDArray[Any]) -> Any:
        return self.device.from_host_secret(np.ascontiguousarray(a))

    def secret_from_host(self, a: npt.NDArray[Any]) -> Any:
        return self.device.from_host_secret(np.ascontiguousarray(a))

    def secret_to_host(self, a: Any) -> npt.NDArray[Any]:
        return self.device.to_host_secret(self.xp.ascontiguousarray(a))

    def secret_into(self, out: npt.NDArray[Any], a: Any) -> None:
        copy = self.secret_to_host(a)
        out[...] = copy
        copy.fill(0)

    def forget(self, *copies: Any) -> None:
        for copy in copies:
            copy.fill(0)

    def wipe(self, *arrays: Any) -> None:
        with suppress(DeviceError), self.stage("wipe"):
            self.forget(*arrays)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self._lock:
            stream = self._streams.get(name)
            if stream is None:
                stream = self._streams[name] = self.device.stream
        with self.device.using(stream):
            try:
                yield
            except BaseException:
                with suppress(
                    DeviceError
                ):  # arrays that are given up must not be in use; the first error is told
                    self._wait(stream)
                raise
            self._wait(stream)

    def _wait(self, stream: Any) -> None:
        with self.device.current():
            stream.synchronize()


HOST = Host()


def place_named(name: str, room: int | None = None) -> Place:
    """ "cpu", or "cuda:0" and so on; `room`: bytes of that GPU that are this place's, where others work on it too.
    Raises BackendUnavailable where there is no such device."""
    return HOST if name == "cpu" else OnDevice(get_device(name), room)


class Memory:
    """Arrays by name that are used again: first touch of fresh memory costs more than what is done with it."""

    def __init__(self, place: Place = HOST) -> None:
        self._place = place
        self._made: dict[str, Any] = {}

    def __call__(self, name: str, *shape: int) -> Any:
        """uint8[shape], with anything in it; the same memory for the same name."""
        size = int(np.prod(shape))
        made = self._made.get(name)
        if made is None or len(made) < size:
            if made is not None:
                made.fill(0)  # nobody wipes it later
            made = self._made[name] = self._place.empty(size + size // 16)
        return made[:size].reshape(shape)

    def wipe(self) -> None:
        """Overwrites all of it: VOLEs, and what was decoded with them."""
        self._place.wipe(*self._made.values())
