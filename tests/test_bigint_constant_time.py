# SPDX-License-Identifier: Apache-2.0
"""bigint is constant-time and wipes: memcheck on undefined secrets, equal instruction traces for different ones.

The portable code runs under valgrind with its secret inputs declared undefined: a branch or an address that
depends on them is an error. valgrind (3.19) does not know AVX-512, so that backend's shipped code is
single-stepped with ptrace and the instruction addresses are compared: branches are seen, data addresses are
not; the code that computes addresses is in lanes.h and tables.h, which both backends share. Each way must also
catch a planted leak.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crypsis import backends

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = backends.runnable("bigint")
OPERATIONS = [
    "mul",
    "sqr",
    "mul_plain",
    "powm_bases",
    "powm_exponents",
    "powm_one_exponent",
    "fixed_base",
    "multi_powm",
    "segmented_prod",
    "cumulative_prod",
]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine != "x86_64",
    reason="the programs are for Linux on x86-64",
)


def tool(name: str) -> str | None:
    """A program beside this Python or on the PATH."""
    return shutil.which(
        name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    )


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/native, built as any C++ user of csrc would: without Python."""
    cmake, ninja = tool("cmake"), tool("ninja")
    if cmake is None:
        pytest.skip("cmake is not installed: pip install cmake")
    folder = tmp_path_factory.mktemp("native")
    generator = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DCRYPSIS_NATIVE_TESTS=ON"]
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(folder), *generator, *options],
        [cmake, "--build", str(folder), "--parallel", "2", "--target", "native_tests_bigint"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "tests" / "native"


def memcheck(programs: Path, operation: str) -> subprocess.CompletedProcess[str]:
    valgrind = tool("valgrind")
    if valgrind is None:
        pytest.skip("valgrind is not installed: apt-get install valgrind")
    program = str(programs / "bigint_undefined")
    command = [valgrind, "-q", "--error-exitcode=99", program, "portable", operation]
    return subprocess.run(command, capture_output=True, text=True)


def trace(programs: Path, backend: str, operation: str, *steps: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs / "bigint_trace"), backend, operation, *steps]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("ptrace is not permitted here")
    return done


@pytest.mark.parametrize("operation", OPERATIONS)
def test_memcheck_finds_no_use_of_secrets(programs: Path, operation: str) -> None:
    done = memcheck(programs, operation)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("operation", ["leak_by_branch", "leak_by_address"])
def test_memcheck_catches_a_planted_leak(programs: Path, operation: str) -> None:
    done = memcheck(programs, operation)
    assert done.returncode == 99, done.stderr
    assert "ninitialised value" in done.stderr


def test_trace_catches_a_planted_leak(programs: Path) -> None:
    done = trace(programs, BACKENDS[0], "leak_by_branch")
    assert done.returncode == 1, done.stderr
    assert "differ" in done.stdout


def residue(programs: Path, backend: str, operation: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs / "bigint_residue"), backend, operation]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operation", [*OPERATIONS, "modulus"])
def test_freed_memory_holds_no_secrets(programs: Path, backend: str, operation: str) -> None:
    done = residue(programs, backend, operation)
    assert done.returncode == 0, done.stdout + done.stderr


def test_residue_catches_a_planted_leak(programs: Path) -> None:
    assert residue(programs, BACKENDS[0], "leak_by_free").returncode == 1


# A step costs tens of microseconds, so the quick run ends early; the whole is marked slow.
@pytest.mark.parametrize("operation", ["mul", "powm_exponents", "fixed_base", "range_check"])
def test_traces_are_equal(programs: Path, operation: str) -> None:
    done = trace(programs, BACKENDS[0], operation, "40000")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whole_traces_are_equal(programs: Path, backend: str, operation: str) -> None:
    done = trace(programs, backend, operation)
    assert done.returncode == 0, done.stdout + done.stderr
