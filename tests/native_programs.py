# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/native: what the tests of constant time share.

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
from dataclasses import dataclass
from pathlib import Path

import pytest

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
        return self.run("undefined", backend, operation, under=(valgrind, "-q", "--error-exitcode=99"))

    def trace(self, backend: str, operation: str, *steps: str) -> Done:
        done = self.run("trace", backend, operation, *steps)
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
