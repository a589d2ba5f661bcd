# SPDX-License-Identifier: Apache-2.0
"""ntt is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

import pytest

from crypsis import backends
from native_programs import Programs, build, needs_linux

BACKENDS = backends.runnable("ntt")
OPERATIONS = ["forward", "inverse", "pointwise", "permute", "from_signed"]
pytestmark = needs_linux


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return build("ntt", tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("backend", [name for name in ("portable", "avx2") if name in BACKENDS])
def test_memcheck_finds_no_use_of_secrets(programs: Programs, operation: str, backend: str) -> None:
    done = programs.memcheck(operation, backend)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("operation", ["leak_by_branch", "leak_by_address"])
def test_memcheck_catches_a_planted_leak(programs: Programs, operation: str) -> None:
    done = programs.memcheck(operation)
    assert done.returncode == 99, done.stderr
    assert "ninitialised value" in done.stderr


def test_trace_catches_a_planted_leak(programs: Programs) -> None:
    done = programs.trace(BACKENDS[0], "leak_by_branch")
    assert done.returncode == 1, done.stderr
    assert "differ" in done.stdout


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "portable"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_traces_are_equal(programs: Programs, backend: str, operation: str) -> None:
    done = programs.trace(backend, operation, "20000")
    assert done.returncode == 0, done.stdout + done.stderr
