# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/native and the tests of constant time, which slugs share: `ConstantTime`.

The portable code runs under valgrind with its secret inputs declared undefined: a branch or an address that
depends on them is an error. valgrind (3.19) does not know AVX-512, so that backend's shipped code is
single-stepped with ptrace and the instruction addresses are compared: branches are seen, data addresses are
not. Each way must also catch a planted leak.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crypsis import backends

ROOT = Path(__file__).resolve().parent.parent
needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine != "x86_64",
    reason="the programs are for Linux on x86-64",
)
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Programs:
    """The programs of one slug, built."""

    slug: str
    folder: Path

    def run(self, kind: str, *arguments: str, under: tuple[str, ...] = ()) -> Done:
        command = [*under, str(self.folder / f"{self.slug}_{kind}"), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def memcheck(self, operation: str, backend: str = "portable") -> Done:
        valgrind = tool("valgrind")
        if valgrind is None:
            pytest.skip("valgrind is not installed: apt-get install valgrind")
        under = (valgrind, "-q", "--error-exitcode=99")
        return self.run("constant_time", "undefined", backend, operation, under=under)

    def trace(self, backend: str, operation: str, *steps: str) -> Done:
        done = self.run("constant_time", "trace", backend, operation, *steps)
        if done.returncode == 3:
            pytest.skip("ptrace is not permitted here")
        return done


def tool(name: str) -> str | None:
    """A program beside this Python or on the PATH."""
    return shutil.which(
        name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    )


def build(slug: str, folder: Path) -> Programs:
    """tests/native, built in `folder` as any C++ user of csrc would: without Python.

    With the compiler and the flags of tools/bootstrap.py, whose objects ccache may have.
    """
    cmake, ninja = tool("cmake"), tool("ninja")
    if cmake is None:
        pytest.skip("cmake is not installed: pip install cmake")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DCRYPSIS_NATIVE_TESTS=ON", "-DCRYPSIS_WERROR=ON"]
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(folder), *generator, *options],
        [cmake, "--build", str(folder), "--parallel", "2", "--target", f"native_tests_{slug}"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env={"CXX": "g++"} | os.environ)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return Programs(slug, folder / "tests" / "native")


@dataclass(frozen=True)
class Traces:
    """Operations to trace on some backends, each for two secrets.

    A step costs tens of microseconds, so a quick run ends after `steps` of them (None: never) and has vector code only:
    memcheck covers the portable code. operations, backends: None is all, and all but the portable one.
    """

    operations: Sequence[str] | None = None
    backends: Sequence[str] | None = None
    steps: int | None = 20_000
    slow: bool = False


_BUILT: dict[str, Programs] = {}  # once a run


class ConstantTime:
    """The tests of one slug: a subclass `Test...` names it and its operations (tests/native/SLUG_operations.h).

    memcheck, memcheck_slow: the backends whose instructions valgrind knows; the slow ones' tests are marked so.
    """

    slug: str
    operations: Sequence[str]
    memcheck: Sequence[str] = ("portable",)
    memcheck_slow: Sequence[str] = ()
    traces: Sequence[Traces] = (Traces(),)
    pytestmark = needs_linux

    @pytest.fixture
    def programs(self, tmp_path_factory: pytest.TempPathFactory) -> Programs:
        if self.slug not in _BUILT:
            _BUILT[self.slug] = build(self.slug, tmp_path_factory.mktemp("native"))
        return _BUILT[self.slug]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        here = backends.runnable(self.slug)
        if {"backend", "operation", "steps"} <= set(metafunc.fixturenames):
            metafunc.parametrize(("backend", "operation", "steps"), self._traced(here))
        elif {"backend", "operation"} <= set(metafunc.fixturenames):
            chosen = [
                (name, slow)
                for slow, names in enumerate((self.memcheck, self.memcheck_slow))
                for name in names
            ]
            cases = [
                pytest.param(name, operation, marks=[pytest.mark.slow] if slow else [])
                for name, slow in chosen
                if name in here
                for operation in self.operations
            ]
            metafunc.parametrize(("backend", "operation"), cases)

    def _traced(self, here: Sequence[str]) -> list[Any]:
        return [
            pytest.param(name, operation, traces.steps, marks=[pytest.mark.slow] if traces.slow else [])
            for traces in self.traces
            for name in (traces.backends or [name for name in here if name != "portable"])
            if name in here
            for operation in traces.operations or self.operations
        ]

    def test_memcheck_finds_no_use_of_secrets(self, programs: Programs, backend: str, operation: str) -> None:
        done = programs.memcheck(operation, backend)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("leak", ["leak_by_branch", "leak_by_address"])
    def test_memcheck_catches_a_planted_leak(self, programs: Programs, leak: str) -> None:
        done = programs.memcheck(leak)
        assert done.returncode == 99, done.stderr
        assert "ninitialised value" in done.stderr

    def test_trace_catches_a_planted_leak(self, programs: Programs) -> None:
        done = programs.trace(backends.runnable(self.slug)[0], "leak_by_branch")
        assert done.returncode == 1, done.stderr
        assert "differ" in done.stdout

    def test_traces_are_equal(
        self, programs: Programs, backend: str, operation: str, steps: int | None
    ) -> None:
        done = programs.trace(backend, operation, *([] if steps is None else [str(steps)]))
        assert done.returncode == 0, done.stdout + done.stderr
