# SPDX-License-Identifier: Apache-2.0
"""What a device is: the one interface between array functions and the hardware that runs their kernels.

`CupyDevice` is a GPU; the tests have another one, which runs the same kernels on the CPU.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.cuda._errors import NO_ERROR, ErrorCode, decode

MAX_THREADS = 1024
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
MAX_SHARED_BYTES = 227 * 1024
"""Of one block, on the largest device that kernels are built for; a device may have less."""

_MACRO = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class DeviceInfo:
    """What `crypsis.cuda.devices()` tells of a device."""

    name: str
    """As `get_device` takes it: "cuda:0"."""
    model: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    multiprocessors: int


class Device(ABC):
    """One GPU. Arrays are of `xp.ndarray`; work goes in order to the current stream."""

    name: str
    """As `get_device` takes it, "cuda:0" say."""
    xp: Any
    """The module that works on this device's arrays: cupy, or the tests' strict stand-in."""

    @abstractmethod
    def info(self) -> DeviceInfo:
        """Model, compute capability, memory."""

    @property
    @abstractmethod
    def n_multiprocessors(self) -> int:
        """Blocks come in multiples of this where a grid is to fill the device."""

    @abstractmethod
    def owns(self, x: object) -> bool:
        """Whether `x` is an array in this device's memory."""

    @abstractmethod
    def address(self, a: Any) -> int:
        """Where the first byte of the device's array `a` is, for alignment."""

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether the bounds of two arrays of this device meet.

        By addresses: CuPy's `may_share_memory` says no where they are of different allocations, and takes every array
        that came from another library, a slice too, for an allocation.
        """
        (begin, end), (other_begin, other_end) = self._bounds(a), self._bounds(b)
        return begin < other_end and other_begin < end

    def _bounds(self, a: Any) -> tuple[int, int]:
        if a.size == 0:
            return 0, 0
        begin = end = self.address(a)
        for extent, stride in zip(a.shape, a.strides, strict=True):
            reach = (extent - 1) * stride
            begin, end = begin + min(reach, 0), end + max(reach, 0)
        return begin, end + a.itemsize

    @abstractmethod
    def from_host(self, a: npt.NDArray[Any]) -> Any:
        """A C-contiguous copy of `a` on this device; `a` may be overwritten at once. Raises DeviceMemoryError where it
        does not fit."""

    @abstractmethod
    def to_host(self, a: Any) -> npt.NDArray[Any]:
        """A copy of the device's array `a`, after all work that was queued before."""

    @abstractmethod
    def from_host_secret(self, a: npt.NDArray[Any]) -> Any:
        """`from_host` that leaves no copy on the host beside `a`: memory on the way is wiped. Waits for the device."""

    @abstractmethod
    def to_host_secret(self, a: Any) -> npt.NDArray[Any]:
        """`to_host` of a C-contiguous array that leaves no copy on the host beside the result."""

    @abstractmethod
    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """An array with nothing in it yet, C-contiguous. Raises DeviceMemoryError where it does not fit."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Memory that `empty` can still give, `limit_bytes` respected; other processes may take of it."""

    @property
    @abstractmethod
    def limit_bytes(self) -> int | None:
        """Most that arrays of this process may take on the device; None for no limit. May be set."""

    @limit_bytes.setter
    @abstractmethod
    def limit_bytes(self, value: int | None) -> None: ...

    @property
    @abstractmethod
    def stream(self) -> Any:
        """A new stream for `using`: what is queued on it does not wait for other streams."""

    @abstractmethod
    def using(self, stream: Any) -> AbstractContextManager[None]:
        """`with device.using(stream):` queues all work on `stream`; the caller synchronises the streams."""

    @abstractmethod
    def current(self) -> AbstractContextManager[None]:
        """Makes the device current, as CuPy's own functions need it, and turns CuPy's errors into Crypsis's."""

    @abstractmethod
    def synchronize(self) -> None:
        """Waits for all that was queued. Raises DeviceError where a kernel failed."""

    def launch(
        self,
        slug: str,
        kernel: str,
        *,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[object],
        shared_bytes: int = 0,
        defines: Mapping[str, int | str] | None = None,
        source: str | None = None,
    ) -> None:
        """Queues a kernel of `slug`; its module is compiled at first use for each set of `defines`.

        Args:
            kernel: the name of an `extern "C" __global__ void` function.
            grid, block: blocks in the grid and threads in a block, one to three extents.
            args: this device's C-contiguous arrays (pointers), NumPy scalars of exactly the parameter's size
                (structured ones for structures), an int where it has eight bytes, None for a null pointer.
            shared_bytes: dynamic shared memory of a block.
            defines: macros of the module.
            source: file below kernels/, by default `slug/slug.cu`.

        Raises:
            ValueError: a launch shape, macro, kernel or argument that does not fit.
            BackendUnavailable: the kernel does not compile; the compiler's first error.
            DeviceError: the device refused the launch.
        """
        grid3, block3 = _extents("grid", grid, MAX_GRID), _extents("block", block, MAX_BLOCK)
        if block3[0] * block3[1] * block3[2] > MAX_THREADS:
            raise ValueError(f"block {block3} has more than {MAX_THREADS} threads")
        if not 0 <= shared_bytes <= MAX_SHARED_BYTES:
            raise ValueError(f"shared_bytes is {shared_bytes}: give 0 to {MAX_SHARED_BYTES}")
        macros = dict(sorted((defines or {}).items()))
        for name, value in macros.items():
            if not _MACRO.fullmatch(name) or re.search(r"\s", str(value)):
                raise ValueError(f"define {name}={value}: a macro has a C name and a value without spaces")
        path = Path(f"{slug}/{slug}.cu" if source is None else source)
        self._launch(path, kernel, grid3, block3, args, shared_bytes, macros)

    @abstractmethod
    def _launch(
        self,
        source: Path,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[object],
        shared_bytes: int,
        defines: Mapping[str, int | str],
    ) -> None: ...

    def error_word(self) -> Any:
        """A fresh uint64[1] for a kernel's `raise_error`, which `check` reads."""
        return self.from_host(np.array([NO_ERROR], np.uint64))

    def check(self, word: Any, what: Callable[[ErrorCode, int], Exception]) -> None:
        """Waits for the kernels and raises `what(code, row)` for the lowest row that one of them refused."""
        found = decode(int(self.to_host(word)[0]))
        if found is not None:
            raise what(*found)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _extents(name: str, given: int | tuple[int, ...], most: tuple[int, int, int]) -> tuple[int, int, int]:
    sizes = (given,) if isinstance(given, int) else tuple(int(size) for size in given)
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"{name} is {given}: give one to three extents")
    x, y, z = (*sizes, 1, 1)[:3]
    if any(not 1 <= size <= limit for size, limit in zip((x, y, z), most, strict=True)):
        raise ValueError(f"{name} is {given}: extents go from 1 to {most}")
    return x, y, z
