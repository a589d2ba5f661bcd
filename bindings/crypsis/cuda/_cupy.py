# SPDX-License-Identifier: Apache-2.0
"""GPUs through CuPy. CuPy is imported when somebody asks for a device, never before."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.cuda._device import Device, DeviceInfo
from crypsis.cuda._modules import Modules
from crypsis.errors import BackendUnavailable, DeviceError, DeviceMemoryError

MIN_COMPUTE_CAPABILITY = (8, 0)
MIN_DRIVER = (12, 0)
STATIC_SHARED_BYTES = 48 * 1024
"""A block has this much shared memory without asking for more."""
STAGING_BYTES = 4 << 20
"""Page-locked memory of a device that secrets pass through."""
POOLED_BYTES = 256 << 10
"""Smaller arrays go to a device by way of page-locked memory of CuPy's, so that nothing waits."""

_ERROR = re.compile(r"\berror\b", re.IGNORECASE)  # not of errors.cuh(7): warning
_lock = threading.Lock()
_devices: dict[int, CupyDevice] = {}


@cache
def why_not() -> str | None:
    """None where a GPU can be used, else one line: what is missing and what to do. Asked once a process."""
    try:
        return _missing_driver() or _missing_cupy() or _missing_device()
    except Exception as error:  # whatever a broken installation does, the answer is a reason
        first = (str(error).splitlines() or [""])[0]
        return f"CUDA does not work here: {type(error).__name__}: {first}"


def devices() -> list[DeviceInfo]:
    """Every GPU that kernels can run on; none where `why_not` says why."""
    if why_not() is not None:
        return []
    import cupy

    every = [_info(cupy, number) for number in range(cupy.cuda.runtime.getDeviceCount())]
    return [info for info in every if info.compute_capability >= MIN_COMPUTE_CAPABILITY]


def device(number: int) -> Device:
    """GPU `number`, where `why_not` is None. Raises BackendUnavailable for one that is not there or too old."""
    with _lock:
        if number not in _devices:
            import cupy

            count = cupy.cuda.runtime.getDeviceCount()
            if number >= count:
                there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
                raise BackendUnavailable(f"cuda:{number} is not there: this machine has {there}")
            info = _info(cupy, number)
            if info.compute_capability < MIN_COMPUTE_CAPABILITY:
                raise BackendUnavailable(f"{info.name} {_too_old(info)}")
            _devices[number] = CupyDevice(cupy, number, info)
        return _devices[number]


def _driver_version() -> tuple[int, int] | None:
    """The CUDA version that the driver supports; None without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int(0)
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def _missing_driver() -> str | None:
    version = _driver_version()
    if version is None:
        return "no NVIDIA driver: libcuda.so.1 is not there; install the driver of the GPU, and CuPy"
    if version < MIN_DRIVER:
        return f"the NVIDIA driver is for CUDA {version[0]}.{version[1]}: update it, 12.0 is the oldest that works"
    return None


def _extra() -> str:
    """The extra of this package that fits the driver."""
    version = _driver_version()
    return "crypsis[cuda12]" if version is not None and version < (13, 0) else "crypsis[cuda13]"


def _missing_cupy() -> str | None:
    install = f'pip install "{_extra()}"'
    try:
        import cupy
    except ModuleNotFoundError:
        return f"CuPy is not installed: {install}"
    except ImportError as error:
        return f"CuPy does not import ({(str(error).splitlines() or [''])[0]}): reinstall it, {install}"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception:
        return f"CuPy finds no NVRTC, which compiles the kernels: {install}, or install a CUDA toolkit"
    return None


def _missing_device() -> str | None:
    import cupy

    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if "InsufficientDriver" in str(error):
            major = runtime.runtimeGetVersion() // 1000
            driver = _driver_version()
            other = f'pip install "{_extra()}", or ' if driver is not None and driver[0] < major else ""
            return f"the NVIDIA driver is too old for a CuPy of CUDA {major}: {other}update it"
        return f"no CUDA device can be used: {error}"
    if count == 0:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "" if hidden is None else f": CUDA_VISIBLE_DEVICES is {hidden!r}"
        return f"no CUDA device is visible{seen}"
    found = [_info(cupy, number) for number in range(count)]
    if all(info.compute_capability < MIN_COMPUTE_CAPABILITY for info in found):
        return f"{found[0].name} {_too_old(found[0])}"
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Of CuPy's errors, those of the driver and the runtime: both number it 2."""
    return getattr(error, "status", None) == 2


def _too_old(info: DeviceInfo) -> str:
    have, need = info.compute_capability, MIN_COMPUTE_CAPABILITY
    return (
        f"({info.model}) has compute capability {have[0]}.{have[1]}: the kernels need {need[0]}.{need[1]}, "
        "an A100 or newer"
    )


def _info(cupy: Any, number: int) -> DeviceInfo:
    properties = cupy.cuda.runtime.getDeviceProperties(number)
    return DeviceInfo(
        name=f"cuda:{number}",
        model=properties["name"].decode(),
        compute_capability=(properties["major"], properties["minor"]),
        memory_bytes=properties["totalGlobalMem"],
        multiprocessors=properties["multiProcessorCount"],
    )


class CupyDevice(Device):
    """GPU `number`, through CuPy: its arrays, streams, memory pool and compiler."""

    def __init__(self, cupy: Any, number: int, info: DeviceInfo) -> None:
        self.name = info.name
        self.xp = cupy
        self._cupy = cupy
        self._number = number
        self._info = info
        self._modules = Modules(self._compile)
        self._staging: Any = None
        self._staging_lock = threading.Lock()

    def info(self) -> DeviceInfo:
        return self._info

    @property
    def n_multiprocessors(self) -> int:
        return self._info.multiprocessors

    def owns(self, x: object) -> bool:
        return isinstance(x, self._cupy.ndarray) and x.device.id == self._number

    def address(self, a: Any) -> int:
        return int(a.data.ptr)

    def from_host(self, a: npt.NDArray[Any]) -> Any:
        if not isinstance(a, np.ndarray):
            raise TypeError(f"from_host takes a NumPy array, not {type(a).__name__}")
        source = np.ascontiguousarray(a, a.dtype.newbyteorder("<")).reshape(a.shape)
        if a.dtype.kind in "biuf" and self._is_read_late(source):
            copy = self.empty(source.shape, source.dtype)
            with self.current():
                stream = self._cupy.cuda.get_current_stream()
                copy.data.copy_from_host_async(source.ctypes.data, source.nbytes, stream)
                stream.synchronize()
            return copy
        with self.current(), self._asking(a.nbytes):
            return self._cupy.array(source)

    def _is_read_late(self, source: npt.NDArray[Any]) -> bool:
        """Whether a copy to the device reads `source` itself and waits, not CuPy's page-locked copy of it.

        CuPy keeps a block of page-locked memory for every size that it copied, which is for small arrays. And what is
        page-locked already it would read when the device comes to it, after it may have been overwritten.
        """
        if source.nbytes > POOLED_BYTES:
            return True
        with self.current():
            return source.nbytes > 0 and self._cupy.cuda.pinned_memory.is_memory_pinned(source.ctypes.data)

    def to_host(self, a: Any) -> npt.NDArray[Any]:
        if not self.owns(a):
            raise TypeError(f"to_host takes an array of {self.name}, not {type(a).__name__}")
        with self.current():
            host: npt.NDArray[Any] = self._cupy.asnumpy(a, order="C")
            return host

    def from_host_secret(self, a: npt.NDArray[Any]) -> Any:
        if not isinstance(a, np.ndarray) or not a.flags.c_contiguous:
            raise TypeError(f"from_host_secret takes a C-contiguous NumPy array, not {type(a).__name__}")
        copy = self.empty(a.shape, a.dtype)
        source = a.reshape(-1).view(np.uint8)
        with self._staged() as (staging, view):
            stream = self._cupy.cuda.get_current_stream()
            for begin in range(0, len(source), STAGING_BYTES):
                part = source[begin : begin + STAGING_BYTES]
                view[: len(part)] = part
                (copy.data + begin).copy_from_host_async(staging.ptr, len(part), stream)
                stream.synchronize()
        return copy

    def to_host_secret(self, a: Any) -> npt.NDArray[Any]:
        if not self.owns(a) or not a.flags.c_contiguous:
            raise TypeError(
                f"to_host_secret takes a C-contiguous array of {self.name}, not {type(a).__name__}"
            )
        host: npt.NDArray[Any] = np.empty(a.shape, a.dtype)
        target = host.reshape(-1).view(np.uint8)
        with self._staged() as (staging, view):
            stream = self._cupy.cuda.get_current_stream()
            for begin in range(0, len(target), STAGING_BYTES):
                part = target[begin : begin + STAGING_BYTES]
                (a.data + begin).copy_to_host_async(staging.ptr, len(part), stream)
                stream.synchronize()
                part[:] = view[: len(part)]
        return host

    @contextmanager
    def _staged(self) -> Iterator[tuple[Any, npt.NDArray[np.uint8]]]:
        """(page-locked memory, its bytes), of our own and zeros again behind the block.

        CuPy's pool of such memory keeps what passed through; and for memory that is not page-locked the driver has
        copies of its own.
        """
        with self.current(), self._staging_lock:
            if self._staging is None:
                memory = self._cupy.cuda.PinnedMemory(STAGING_BYTES)
                self._staging = self._cupy.cuda.PinnedMemoryPointer(memory, 0)
            view = np.frombuffer(self._staging, np.uint8, STAGING_BYTES)
            try:
                yield self._staging, view
            finally:
                view.fill(0)

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        extents = (shape,) if isinstance(shape, int) else shape
        n_bytes = int(np.prod(extents, dtype=object)) * np.dtype(dtype).itemsize
        with self.current(), self._asking(n_bytes):
            return self._cupy.empty(shape, dtype)

    def free_bytes(self) -> int:
        with self.current():
            return self._free_bytes()

    def _free_bytes(self) -> int:
        pool = self._cupy.get_default_memory_pool()
        free = int(self._cupy.cuda.Device(self._number).mem_info[0]) + int(pool.free_bytes())
        limit = int(pool.get_limit())
        return max(0, min(free, limit - int(pool.used_bytes()))) if limit else free

    @property
    def limit_bytes(self) -> int | None:
        with self.current():
            return int(self._cupy.get_default_memory_pool().get_limit()) or None

    @limit_bytes.setter
    def limit_bytes(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"limit_bytes is {value!r}: give a positive int, or None for no limit")
        with self.current():
            self._cupy.get_default_memory_pool().set_limit(size=value or 0)

    @property
    def stream(self) -> Any:
        with self.current():
            return self._cupy.cuda.Stream(non_blocking=True)

    @contextmanager
    def using(self, stream: Any) -> Iterator[None]:
        with self.current(), stream:
            yield

    @contextmanager
    def current(self) -> Iterator[None]:
        errors = (self._cupy.cuda.runtime.CUDARuntimeError, self._cupy.cuda.driver.CUDADriverError)
        try:
            with self._cupy.cuda.Device(self._number):
                yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(f"{self.name} is out of memory: {error}") from error
        except errors as error:
            if _is_out_of_memory(error):
                self._cupy.get_default_memory_pool().free_all_blocks()  # the pool may be what holds it
                raise DeviceMemoryError(
                    f"{self.name} is out of memory beside its arrays, for kernels say: {error}; "
                    "use smaller batches, or free arrays on the device"
                ) from error
            raise DeviceError(f"{self.name} ({self._info.model}): {error}") from error

    @contextmanager
    def _asking(self, n_bytes: int) -> Iterator[None]:
        try:
            yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(
                f"{self.name} is out of memory: {n_bytes:,} bytes asked, {self._free_bytes():,} free; "
                "use smaller batches, or free arrays on the device"
            ) from error

    def synchronize(self) -> None:
        with self.current():
            self._cupy.cuda.Device(self._number).synchronize()

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
        with self.current():
            function, checked = self._modules.prepare(source, kernel, args, defines, self.owns)
            values = tuple(map(self._by_value, checked))
            try:
                # What a kernel declares in its source counts too, where it takes dynamic memory beside it.
                if shared_bytes and shared_bytes + function.shared_size_bytes > STATIC_SHARED_BYTES:
                    function.max_dynamic_shared_size_bytes = shared_bytes
                function(grid, block, values, shared_mem=shared_bytes)
            except self._cupy.cuda.driver.CUDADriverError as error:
                if _is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"{self.name}: kernel {kernel} of {source} with grid {grid}, block {block} and "
                    f"{shared_bytes} bytes of shared memory: {error}"
                ) from error

    def _by_value(self, value: Any) -> Any:
        """Structures go as the bytes of a NumPy array, null pointers as numbers; all else CuPy takes as it is."""
        if value is None:  # of which CuPy makes the address -1 [github.com/cupy/cupy/issues/9046]
            return np.uint64(0)
        if not isinstance(value, np.void):
            return value
        return self._cupy.cuda.function.CNumpyArray(np.array(value))

    def _compile(self, source: Path, text: str, defines: Mapping[str, int | str]) -> Any:
        """The module's `get_function`. CuPy keeps the machine code on disk, keyed by text, options and GPU."""
        options = ("--std=c++17", *(f"-D{name}={value}" for name, value in defines.items()))
        module = self._cupy.RawModule(code=text, options=options)
        try:
            module.compile()
        except self._cupy.cuda.compiler.CompileException as error:
            raise BackendUnavailable(
                f"kernels/{source} does not compile for {self.name} ({self._info.model}): "
                f"{first_error(error.get_message())}"
            ) from None
        return module.get_function


def first_error(log: str) -> str:
    """The compiler's first error, with the file and line that its `#line` directives give."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = (line for line in lines if _ERROR.search(line))
    return next(errors, lines[0] if lines else "no message")
