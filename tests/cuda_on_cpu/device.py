# SPDX-License-Identifier: Apache-2.0
"""A device without a GPU: the launcher of this folder behind the interface of `crypsis.cuda`, with strict arrays.

    with registered(ShimDevice(order="reversed")) as device:
        digests = crypsis.hashing.sha256(device.from_host(rows)).get()

Memory is counted and can be limited, so that tests see what a full GPU does. Work is done when a call returns.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crypsis.cuda._device import Device, DeviceInfo
from crypsis.cuda._modules import source_text
from crypsis.errors import BackendUnavailable, DeviceMemoryError
from cuda_on_cpu.arrays import ShimArray, ShimNamespace
from cuda_on_cpu.build import Sanitize
from cuda_on_cpu.launcher import CompileError, ShimLauncher

MEMORY_BYTES = 8 << 30


@dataclass(frozen=True)
class ShimStream:
    """Stands for a CUDA stream: there is nothing to wait for."""

    def synchronize(self) -> None:
        """Returns at once."""


@dataclass(frozen=True)
class Launch:
    """What was launched, in order; tests count them."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    defines: tuple[tuple[str, int | str], ...]


class ShimDevice(Device):
    """Runs kernels on the CPU.

    Args:
        order: "reversed" runs blocks, warps and lanes last to first.
        sanitize: with ASan and UBSan, or "thread": with TSan; only inside `run_sanitized`.
        name: what it is called, "cuda:0" say.
        memory_bytes: how much its arrays may take together.
    """

    def __init__(
        self,
        order: Literal["forward", "reversed"] = "forward",
        sanitize: Sanitize = False,
        *,
        name: str = "cuda:0",
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.name = name
        self.xp = ShimNamespace(self)
        self.launches: list[Launch] = []
        self.secrets: Any = deque(maxlen=0)  # a list for tests that look at what was copied here as a secret
        self._launcher = ShimLauncher(order=order, sanitize=sanitize)
        self._memory_bytes = memory_bytes
        self._limit: int | None = None
        self._used = 0

    def info(self) -> DeviceInfo:
        return DeviceInfo(self.name, "CPU shim", (9, 0), self._memory_bytes, self.n_multiprocessors)

    @property
    def n_multiprocessors(self) -> int:
        return 2

    def owns(self, x: object) -> bool:
        return isinstance(x, ShimArray) and x.device is self

    def address(self, a: ShimArray) -> int:
        return a.memory.ctypes.data

    def from_host(self, a: np.ndarray) -> ShimArray:
        if not isinstance(a, np.ndarray):
            raise TypeError(f"from_host takes a NumPy array, not {type(a).__name__}")
        return self.adopt(np.array(a, order="C"))

    def to_host(self, a: ShimArray) -> np.ndarray:
        if not self.owns(a):
            raise TypeError(f"to_host takes an array of {self.name}, not {type(a).__name__}")
        return a.get()

    def from_host_secret(self, a: np.ndarray) -> ShimArray:
        copy = self.from_host(a)
        self.secrets.append(copy)
        return copy

    def to_host_secret(self, a: ShimArray) -> np.ndarray:
        return self.to_host(a)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> ShimArray:
        extents = (shape,) if isinstance(shape, int) else shape
        n_bytes = int(np.prod(extents, dtype=object)) * np.dtype(dtype).itemsize
        self.take(n_bytes)
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[:] = 0xA5  # what is not written shows
        return self._owned(array)

    def adopt(self, array: np.ndarray) -> ShimArray:
        """`array`, which nobody else has, as memory of the device; a view of counted memory counts no more."""
        if array.base is None or isinstance(array.base, bytes):
            self.take(array.nbytes)
            return self._owned(array)
        return ShimArray(array, self)

    def take(self, n_bytes: int) -> None:
        """Raises DeviceMemoryError where `n_bytes` more do not fit."""
        if n_bytes > self.free_bytes():
            raise DeviceMemoryError(
                f"{self.name} is out of memory: {n_bytes:,} bytes asked, {self.free_bytes():,} free; "
                "use smaller batches, or free arrays on the device"
            )

    def _owned(self, array: np.ndarray) -> ShimArray:
        self._used += array.nbytes
        weakref.finalize(array, self._give_back, array.nbytes)
        return ShimArray(array, self)

    def _give_back(self, n_bytes: int) -> None:
        self._used -= n_bytes

    def free_bytes(self) -> int:
        return min(self._memory_bytes, self._limit or self._memory_bytes) - self._used

    @property
    def limit_bytes(self) -> int | None:
        return self._limit

    @limit_bytes.setter
    def limit_bytes(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"limit_bytes is {value!r}: give a positive int, or None for no limit")
        self._limit = value

    @property
    def stream(self) -> ShimStream:
        return ShimStream()

    @contextmanager
    def using(self, stream: Any) -> Iterator[None]:
        if not isinstance(stream, ShimStream):
            raise TypeError(f"using takes a stream of {self.name}, not {type(stream).__name__}")
        yield

    @contextmanager
    def current(self) -> Iterator[None]:
        yield

    def synchronize(self) -> None:
        """Returns at once."""

    def _launch(
        self,
        source: Path,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[object],
        shared_bytes: int,
        defines: Mapping[str, int | str],
    ) -> None:
        values = [self._value(kernel, i, value) for i, value in enumerate(args)]
        try:
            self._launcher.launch(source_text(source), kernel, grid, block, shared_bytes, values, defines)
        except CompileError as error:
            raise BackendUnavailable(
                f"kernels/{source} does not compile for {self.name} (CPU shim): {error}"
            ) from None
        self.launches.append(Launch(kernel, grid, block, shared_bytes, tuple(defines.items())))

    def _value(self, kernel: str, i: int, value: object) -> object:
        if isinstance(value, np.ndarray):
            raise ValueError(f"kernel {kernel}, argument {i}: an array on the host: copy it with from_host")
        if isinstance(value, ShimArray):
            if value.device is not self:
                raise ValueError(f"kernel {kernel}, argument {i}: an array of {value.device}, not of {self}")
            return value.memory
        return value
