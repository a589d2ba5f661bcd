# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the part of CuPy that `crypsis.cuda._cupy` uses, so that its code runs without a GPU.

It records what is compiled and launched, counts memory, and fails on request as CuPy 14 does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    status = property(lambda self: 2 if "OUT_OF_MEMORY" in str(self) else 700)


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):
    def __init__(self, message: str) -> None:
        super().__init__()
        self._message = message

    def get_message(self) -> str:
        return self._message


class CNumpyArray:
    """What CuPy copies a structure's bytes from."""

    def __init__(self, value: np.ndarray) -> None:
        assert isinstance(value, np.ndarray)
        assert value.ndim == 0
        self.value = value


class PinnedMemory:
    def __init__(self, size: int) -> None:
        self.bytes = bytearray(size)


class PinnedMemoryPointer(bytearray):
    """Page-locked memory: what `numpy.frombuffer` and the copies of `MemoryPointer` take."""

    def __init__(self, memory: PinnedMemory, offset: int) -> None:
        super().__init__(memory.bytes[offset:])

    ptr = property(lambda self: np.frombuffer(self, np.uint8).ctypes.data)


class MemoryPointer:
    """Memory of the device; what goes through page-locked memory is written down in `passed`."""

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.ptr + offset)

    def copy_from_host_async(self, mem: int, size: int, stream: Any) -> None:
        passed.append(ctypes.string_at(mem, size))
        ctypes.memmove(self.ptr, mem, size)

    def copy_to_host_async(self, mem: int, size: int, stream: Any) -> None:
        ctypes.memmove(mem, self.ptr, size)
        passed.append(ctypes.string_at(mem, size))


passed: list[bytes] = []


class ndarray:
    def __init__(self, memory: np.ndarray, number: int) -> None:
        self.memory = memory
        self.device = SimpleNamespace(id=number)
        self.data = MemoryPointer(memory.ctypes.data)

    shape = property(lambda self: self.memory.shape)
    dtype = property(lambda self: self.memory.dtype)
    flags = property(lambda self: self.memory.flags)

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self.memory[index], self.device.id)


@dataclass
class GPU:
    """One pretended GPU."""

    model: str = "NVIDIA H100 80GB HBM3"
    capability: tuple[int, int] = (9, 0)
    memory_bytes: int = 1 << 20


@dataclass
class FakeCupy:
    """The module `cupy`; put it into sys.modules."""

    gpus: list[GPU] = field(default_factory=lambda: [GPU()])
    runtime_error: str = ""
    nvrtc_missing: bool = False
    compile_error: str = ""
    launch_error: str = ""
    declared_shared_bytes: int = 0
    """Of every kernel, in its source."""
    compiled: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)
    launched: list[dict[str, Any]] = field(default_factory=list)
    limits: dict[int, int] = field(default_factory=dict)
    used: int = 0
    current: int = 0
    pinned: bool = False  # what is_memory_pinned says of host arrays
    waited: int = 0  # synchronisations of the stream
    freed: int = 0  # how often the pool gave back what it keeps

    ndarray = ndarray

    def __post_init__(self) -> None:
        fake = self

        class Device:
            def __init__(self, number: int) -> None:
                self.number = number
                self.before: list[int] = []

            def __enter__(self) -> Device:
                self.before.append(fake.current)
                fake.current = self.number
                return self

            def __exit__(self, *_: object) -> None:
                fake.current = self.before.pop()

            @property
            def mem_info(self) -> tuple[int, int]:
                total = fake.gpus[self.number].memory_bytes
                return total - fake.used, total

            def synchronize(self) -> None:
                if fake.runtime_error:
                    raise CUDARuntimeError(fake.runtime_error)

        class Kernel:
            max_dynamic_shared_size_bytes = 0

            def __init__(self, name: str) -> None:
                self.name = name
                self.shared_size_bytes = fake.declared_shared_bytes

            def __call__(
                self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int
            ) -> None:
                assert not any(arg is None for arg in args), "CuPy 13 and 14 make of None the address -1"
                if fake.launch_error:
                    raise CUDADriverError(fake.launch_error)
                fake.launched.append(
                    {
                        "kernel": self.name,
                        "grid": grid,
                        "block": block,
                        "args": args,
                        "shared": shared_mem,
                        "asked": self.max_dynamic_shared_size_bytes,
                        "device": fake.current,
                    }
                )

        class RawModule:
            def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
                self.code, self.options = code, options

            def compile(self) -> None:
                if fake.compile_error:
                    raise CompileException(fake.compile_error)
                fake.compiled.append((self.code, self.options, fake.current))

            def get_function(self, name: str) -> Kernel:
                return Kernel(name)

        class Stream:
            def __init__(self, *, non_blocking: bool) -> None:
                assert non_blocking
                self.device = fake.current
                self.entered = 0

            def __enter__(self) -> Stream:
                self.entered += 1
                return self

            def __exit__(self, *_: object) -> None:
                self.entered -= 1

        def version() -> tuple[int, int]:
            if fake.nvrtc_missing:
                raise RuntimeError("libnvrtc.so.13: cannot open shared object file")
            return 13, 0

        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=self._count,
            getDeviceProperties=self._properties,
            runtimeGetVersion=lambda: 13000,
        )
        self.RawModule = RawModule
        self.cuda = SimpleNamespace(
            Device=Device,
            Stream=Stream,
            runtime=runtime,
            nvrtc=SimpleNamespace(getVersion=version),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            compiler=SimpleNamespace(CompileException=CompileException),
            pinned_memory=SimpleNamespace(is_memory_pinned=lambda address: self.pinned),
            PinnedMemory=PinnedMemory,
            PinnedMemoryPointer=PinnedMemoryPointer,
            get_current_stream=lambda: SimpleNamespace(synchronize=self._wait),
            function=SimpleNamespace(CNumpyArray=CNumpyArray),
        )

    def _free_all(self) -> None:
        self.freed += 1

    def _wait(self) -> None:
        self.waited += 1

    def _count(self) -> int:
        if self.runtime_error:
            raise CUDARuntimeError(self.runtime_error)
        return len(self.gpus)

    def _properties(self, number: int) -> dict[str, Any]:
        gpu = self.gpus[number]
        return {
            "name": gpu.model.encode(),
            "major": gpu.capability[0],
            "minor": gpu.capability[1],
            "totalGlobalMem": gpu.memory_bytes,
            "multiProcessorCount": 132,
        }

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(
            free_bytes=lambda: 0,
            used_bytes=lambda: self.used,
            get_limit=lambda: self.limits.get(self.current, 0),
            set_limit=lambda *, size: self.limits.__setitem__(self.current, size),
            free_all_blocks=self._free_all,
        )

    def _take(self, n_bytes: int) -> None:
        limit = self.limits.get(self.current, 0) or self.gpus[self.current].memory_bytes
        if self.used + n_bytes > limit:
            raise OutOfMemoryError(f"Out of memory allocating {n_bytes:,} bytes")
        self.used += n_bytes

    def empty(self, shape: Any, dtype: Any) -> ndarray:
        memory = np.zeros(shape, dtype)
        self._take(memory.nbytes)
        return ndarray(memory, self.current)

    def array(self, host: np.ndarray) -> ndarray:
        self._take(host.nbytes)
        return ndarray(host.copy(), self.current)

    def asnumpy(self, array: ndarray, *, order: str) -> np.ndarray:
        return np.array(array.memory, order="C")


@contextmanager
def installed(monkeypatch: Any, fake: FakeCupy | None, driver: tuple[int, int] | None) -> Iterator[None]:
    """`fake` is what `import cupy` finds (None: nothing), `driver` the driver's CUDA version (None: no driver)."""
    import sys

    from crypsis.cuda import _cupy

    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(_cupy, "_driver_version", lambda: driver)
    monkeypatch.setattr(_cupy, "_devices", {})
    _cupy.why_not.cache_clear()
    yield
    _cupy.why_not.cache_clear()
