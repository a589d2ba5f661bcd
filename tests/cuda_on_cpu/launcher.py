# SPDX-License-Identifier: Apache-2.0
"""CUDA kernels on the CPU: launches a `.cu` file's kernels as fibers, bit for bit as a GPU would run them.

    shim = ShimLauncher(order="reversed")
    shim.launch(Path("hashing/hashing.cu"), "sha256", 4, 128, 0, [out, data, np.uint32(n)], {"WIDTH": 32})

Arguments follow CuPy's RawKernel: arrays go as pointers, scalars as NumPy scalars of the parameter's size.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from crypsis.cuda._source import inline_includes, inline_text
from cuda_on_cpu.build import CompileError, Sanitize, default_cache, library

__all__ = [
    "CompileError",
    "LaunchError",
    "ShimLauncher",
    "run_sanitized",
    "sanitizer_loaded",
    "thread_sanitizer",
]

MAX_PARAMETERS = 64
MAX_THREADS = 1024
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_BLOCK = (1024, 1024, 64)
TESTS = Path(__file__).resolve().parent.parent

_lock = threading.Lock()  # the runtime has one current launch


class LaunchError(RuntimeError):
    """A kernel did what CUDA leaves undefined; names the line, the kernel and the thread."""


@cache
def _load(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


def sanitizer_loaded(sanitize: Sanitize = True) -> bool:
    """Whether the runtime of ASan, or of TSan, is in this process, as `run_sanitized` starts it."""
    return hasattr(ctypes.CDLL(None), "__tsan_create_fiber" if sanitize == "thread" else "__asan_init")


@cache
def _preload(*names: str) -> str:
    compiler = os.environ.get("CXX", "g++")
    libraries = [
        subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        for name in names
    ]
    return " ".join(found.stdout.strip() for found in libraries)


@cache
def thread_sanitizer() -> tuple[tuple[str, ...], str]:
    """(what to start a process with TSan by, "") or ((), why there is none here).

    TSan wants its memory where a kernel that spreads addresses widely may have put something: setarch -R helps.
    """
    probe = "import ctypes; ctypes.CDLL(None).__tsan_create_fiber"
    said = "g++ has no libtsan.so"
    if os.sep not in _preload("libtsan.so"):
        return (), said
    for start in ((), ("setarch", "-R")):
        if start and shutil.which(start[0]) is None:
            break
        done = subprocess.run(
            [*start, sys.executable, "-c", probe],
            env=os.environ | {"LD_PRELOAD": _preload("libtsan.so")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return start, ""
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return (), f"libtsan does not run, or has no fibers: {said}"


def run_sanitized(
    script: str, *arguments: str, sanitize: Literal[True, "thread"] = True, timeout: float = 600.0
) -> subprocess.CompletedProcess[str]:
    """Runs a Python `script` in a child process that has ASan and UBSan, or TSan, loaded, with tests/ on its path.

    `ShimLauncher(sanitize=...)` works only there. A finding of ASan or UBSan ends the child; TSan goes on, and the
    child ends with status 66: see its `returncode` and `stderr`.

    Raises:
        RuntimeError: there is no TSan here (`thread_sanitizer` says why).
    """
    if sanitize == "thread":
        start, missing = thread_sanitizer()
        if missing:
            raise RuntimeError(missing)
        options = {
            "LD_PRELOAD": _preload("libtsan.so", "libstdc++.so"),
            "TSAN_OPTIONS": "exitcode=66:history_size=4:report_signal_unsafe=0",
            "OPENBLAS_NUM_THREADS": "1",
        }
    else:
        start = ()
        options = {
            "LD_PRELOAD": _preload("libasan.so", "libstdc++.so"),
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
    environment = os.environ | options
    environment["PYTHONMALLOC"] = "malloc"
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    command = [*start, sys.executable, "-c", script, *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    # Said once where fibers are ucontexts (not x86-64); the switches are annotated, so it does not apply.
    done.stderr = re.sub(
        r"^==\d+==WARNING: ASan doesn't fully support makecontext.*\n", "", done.stderr, flags=re.M
    )
    return done


class ShimLauncher:
    """Compiles kernel sources with g++ and runs their kernels, one fiber a CUDA thread.

    Args:
        order: "reversed" runs blocks, warps and lanes last to first. A result that differs between the orders
            means a race: a missing barrier, or blocks that depend on each other.
        sanitize: with ASan and UBSan, or "thread": with TSan, which reports races; only inside `run_sanitized`.
        cache_dir: of compiled kernels; by default a folder in the temporary folder that outlives the process.

    Raises:
        RuntimeError: `sanitize` in a process without that sanitizer.
        ValueError: an unknown order.
    """

    def __init__(
        self,
        *,
        order: Literal["forward", "reversed"] = "forward",
        sanitize: Sanitize = False,
        cache_dir: Path | None = None,
    ) -> None:
        if order not in ("forward", "reversed"):
            raise ValueError(f"order {order!r}: use 'forward' or 'reversed'")
        if sanitize and not sanitizer_loaded(sanitize):
            runtime = "TSan" if sanitize == "thread" else "ASan"
            raise RuntimeError(
                f"sanitize={sanitize!r} needs {runtime} in the process: use run_sanitized(script)"
            )
        self.order = order
        self.sanitize = sanitize
        self._folder = default_cache() if cache_dir is None else Path(cache_dir)
        self._modules: dict[object, ctypes.CDLL] = {}

    def launch(
        self,
        source: str | Path,
        kernel: str,
        grid: tuple[int, ...] | int,
        block: tuple[int, ...] | int,
        shared_bytes: int,
        args: Sequence[object],
        defines: Mapping[str, int | str] | None = None,
    ) -> None:
        """Runs `kernel` of `source` on every thread of the grid, and returns when all have ended.

        Args:
            source: a path below `kernels/` (or absolute), or the text of a source file.
            kernel: the name of an `extern "C" __global__ void` function.
            grid, block: one to three extents.
            shared_bytes: of dynamic shared memory for each block.
            args: C-contiguous arrays (pointers), NumPy scalars of the parameter's size, or int where it has
                eight bytes. Structures go by value as a scalar of a structured dtype.
            defines: macros, as `-Dname=value`.

        Raises:
            CompileError: the source does not compile; the first error.
            ValueError: no such kernel; arguments that do not fit its parameters; a bad launch shape.
            LaunchError: a kernel used what CUDA leaves undefined. The arrays hold what was written so far.
        """
        grid3, block3 = _extents("grid", grid, MAX_GRID), _extents("block", block, MAX_BLOCK)
        if block3[0] * block3[1] * block3[2] > MAX_THREADS:
            raise ValueError(f"block {block3} has more than {MAX_THREADS} threads")
        if shared_bytes < 0:
            raise ValueError(f"shared_bytes {shared_bytes} is negative")
        module = self._module(source, dict(defines or {}))
        call = getattr(module, f"cuda_on_cpu_call_{kernel}", None)
        if call is None:
            raise ValueError(f'no kernel {kernel}: declare it as extern "C" __global__ void {kernel}(...)')
        most = getattr(module, f"cuda_on_cpu_bounds_{kernel}")()
        if most and block3[0] * block3[1] * block3[2] > most:
            raise ValueError(
                f"block {block3}: kernel {kernel} is bound to {most} threads (__launch_bounds__)"
            )
        held = _pack(kernel, _parameters(module, kernel), args)
        pointers = (ctypes.c_void_p * max(len(held), 1))(*[value.ctypes.data for value in held])
        message = ctypes.create_string_buffer(1024)
        with _lock:
            failed = module.cuda_on_cpu_launch(
                call,
                kernel.encode(),
                pointers,
                (ctypes.c_uint * 3)(*grid3),
                (ctypes.c_uint * 3)(*block3),
                ctypes.c_uint64(shared_bytes),
                int(self.order == "reversed"),
                message,
                ctypes.c_uint64(len(message)),
            )
        if failed:
            raise LaunchError(message.value.decode(errors="replace"))

    def _module(self, source: str | Path, defines: dict[str, int | str]) -> ctypes.CDLL:
        text = inline_includes(source) if isinstance(source, Path) else _inlined(source)
        key = (text, tuple(sorted(defines.items())))
        if key not in self._modules:
            self._modules[key] = _load(library(text, defines, sanitize=self.sanitize, folder=self._folder))
        return self._modules[key]


@cache
def _inlined(text: str) -> str:
    """A kernel is launched many times, and its text has a thousand lines."""
    return inline_text(text)


def _extents(name: str, given: tuple[int, ...] | int, most: tuple[int, ...]) -> tuple[int, ...]:
    sizes = (given,) if isinstance(given, int) else tuple(int(size) for size in given)
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"{name} {given}: one to three extents")
    sizes += (1,) * (3 - len(sizes))
    if any(size < 1 or size > limit for size, limit in zip(sizes, most, strict=True)):
        raise ValueError(f"{name} {given}: extents from 1 to {most}")
    return sizes


def _parameters(module: ctypes.CDLL, kernel: str) -> list[tuple[str, int]]:
    """(kind, bytes) of each parameter: P a pointer, C a pointer to const, V a value."""
    kinds, sizes = ctypes.create_string_buffer(MAX_PARAMETERS), (ctypes.c_int * MAX_PARAMETERS)()
    count = getattr(module, f"cuda_on_cpu_signature_{kernel}")(kinds, sizes, MAX_PARAMETERS)
    if count > MAX_PARAMETERS:
        raise ValueError(f"kernel {kernel} has {count} parameters: at most {MAX_PARAMETERS} here")
    return [(chr(kinds.raw[i]), sizes[i]) for i in range(count)]


def _pack(kernel: str, parameters: list[tuple[str, int]], args: Sequence[object]) -> list[np.ndarray]:  # type: ignore[type-arg]
    """One array for each parameter that holds its value: for a pointer, the address of the caller's array."""
    if len(args) != len(parameters):
        raise ValueError(f"kernel {kernel} takes {len(parameters)} arguments, not {len(args)}")
    held = []
    for i, ((kind, size), value) in enumerate(zip(parameters, args, strict=True)):
        name = f"kernel {kernel}, argument {i}"
        if isinstance(value, np.ndarray):
            if kind == "V":
                raise ValueError(f"{name}: an array for a parameter that is a value of {size} bytes")
            if not value.flags.c_contiguous:
                raise ValueError(f"{name}: the array is not C-contiguous")
            if kind == "P" and not value.flags.writeable:
                raise ValueError(f"{name}: a read-only array for a pointer that is not to const")
            held.append(np.array(value.ctypes.data, dtype=np.uint64))
            continue
        if kind != "V":
            if value is None:  # a null pointer
                held.append(np.array(0, dtype=np.uint64))
                continue
            raise ValueError(f"{name}: {type(value).__name__} for a pointer: pass an array or None")
        scalar = np.int64(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(scalar, np.generic):
            raise ValueError(f"{name}: {type(value).__name__}: pass a NumPy scalar, np.uint32(...) say")
        if scalar.dtype.itemsize != size:
            raise ValueError(
                f"{name}: {scalar.dtype} has {scalar.dtype.itemsize} bytes, the parameter {size}"
            )
        held.append(np.array(scalar))
    return held
