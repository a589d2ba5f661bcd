# SPDX-License-Identifier: Apache-2.0
"""Kernel text to shared library: g++ with the shim's header, cached by the hash of everything that goes in."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

KEPT_SECONDS = 14 * 24 * 3600
HERE = Path(__file__).resolve().parent
# -fno-strict-aliasing: limbs are handed over as 64 bits and read as 32, as device compilers allow.
FLAGS = (
    "-std=c++20",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
)
# A kernel file uses a part of what it includes; `#pragma unroll` is for the device.
KERNEL_FLAGS = ("-Werror", "-Wno-unused-function", "-Wno-unused-variable", "-Wno-unknown-pragmas")
Sanitize = Literal[False, True, "thread"]
VARIANTS: Mapping[Sanitize, tuple[str, ...]] = {
    False: ("-O2", "-g1"),
    True: (
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ),
    "thread": ("-O1", "-g", "-fno-omit-frame-pointer", "-DCUDA_ON_CPU_TSAN=1"),
}
# Of the kernels alone: the scheduler, which every fiber goes through, would order or accuse all of them.
KERNEL_VARIANTS: Mapping[Sanitize, tuple[str, ...]] = {
    **VARIANTS,
    "thread": ("-fsanitize=thread", "--param=tsan-distinguish-volatile=1", *VARIANTS["thread"]),
}
# What shim.h makes of `extern "C" __global__ void __launch_bounds__(128, 4) name(`; the bounds may stand before void.
_BOUNDS = r"(?:CUDA_ON_CPU_BOUNDS\(([^;{]*?)\)\s*)?"
_KERNEL = re.compile(
    r'extern\s+"C"\s+__attribute__\(\(visibility\("default"\),\s*used\)\)\s+'
    rf"{_BOUNDS}void\s+{_BOUNDS}(\w+)\s*\("
)


class CompileError(RuntimeError):
    """The compiler's first error, with the kernel's file and line."""


def default_cache() -> Path:
    """A folder of this user's that outlives the test run."""
    folder = os.environ.get("CRYPSIS_SHIM_CACHE")
    return Path(folder) if folder else Path(tempfile.gettempdir()) / f"crypsis-cuda-on-cpu-{os.getuid()}"


@cache
def _compiler() -> tuple[str, str]:
    """(command, version line) of the C++ compiler."""
    command = os.environ.get("CXX", "g++")
    return command, _run([command, "--version"]).splitlines()[0]


def _run(command: Sequence[str], text: str | None = None) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name != "LD_PRELOAD"
    }  # the sanitizer is for us
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if re.search(r"error:|undefined reference", line)]
        raise CompileError(errors[0] if errors else done.stderr.strip() or f"{command[0]} failed")
    return done.stdout


def _key(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()[:24]


def _runtime(folder: Path, sanitize: Sanitize) -> Path:
    """The scheduler's object file, made once for a variant."""
    flags = (*FLAGS, "-Wconversion", "-Wno-sign-conversion", "-Werror", *VARIANTS[sanitize])
    texts = [(HERE / name).read_text() for name in ("shim.h", "fiber.h", "tsan.h", "runtime.cpp")]
    target = folder / f"runtime-{_key(_compiler(), flags, texts)}.o"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "runtime.o"
            _run([_compiler()[0], *flags, "-c", str(HERE / "runtime.cpp"), "-o", str(made)])
            made.replace(target)
    return target


def _forget_old(folder: Path) -> None:
    """Removes libraries that no run has used for a while: each change of a kernel leaves one."""
    for kept in folder.glob("kernel-*.so"):
        if kept.stat().st_mtime < time.time() - KEPT_SECONDS:
            kept.unlink(missing_ok=True)


def library(text: str, defines: Mapping[str, int | str], *, sanitize: Sanitize, folder: Path) -> Path:
    """The shared library of a kernel text (includes inlined), compiled unless it is in `folder` already.

    Exports, for every `extern "C" __global__` function k: cuda_on_cpu_call_k, cuda_on_cpu_signature_k and
    cuda_on_cpu_bounds_k.

    Raises:
        CompileError: with the compiler's first error.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise CompileError(f"{folder} is another user's: set CRYPSIS_SHIM_CACHE to a folder of yours")
    macros = [f"-D{name}={value}" for name, value in sorted(defines.items())]
    flags = (*FLAGS, *KERNEL_FLAGS, *KERNEL_VARIANTS[sanitize], *macros)
    runtime = _runtime(folder, sanitize)
    target = folder / f"kernel-{_key(_compiler(), flags, runtime.name, text)}.so"
    if target.exists():
        target.touch()
        return target
    _forget_old(folder)
    # In an unnamed namespace all statics are local, so that every __shared__ variable stands in .bss.
    body = f'#include "{HERE / "shim.h"}"\nnamespace {{\n{text}\n}}\n'
    compiler = _compiler()[0]
    expanded = _run([compiler, *flags, "-DCUDA_ON_CPU_SCAN", "-E", "-P", "-x", "c++", "-"], body)
    exports = ""
    for before, after, name in _KERNEL.findall(expanded):
        threads = (before or after or "0").split(",")[0]  # then come the blocks of a multiprocessor
        exports += f"CUDA_ON_CPU_EXPORT({name}, ({threads}))\n"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, object_file = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.o"
        source.write_text(f'{body}#line 1 "exports"\n{exports}')
        _run([compiler, *flags, "-c", str(source), "-o", str(object_file)])
        # Its zero-initialised statics are the __shared__ variables: a section of their own can be poisoned.
        section = ["--set-section-alignment", ".bss=4096"] if sanitize == "thread" else []  # see tsan.h
        _run(["objcopy", *section, "--rename-section", ".bss=cuda_shared", str(object_file)])
        made = Path(scratch) / "kernel.so"
        linked = [str(object_file), str(runtime), "-o", str(made)]
        _run([compiler, *KERNEL_VARIANTS[sanitize], "-shared", "-Wl,-Bsymbolic", "-Wl,-z,defs", *linked])
        made.replace(target)
    return target
