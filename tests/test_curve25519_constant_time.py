# SPDX-License-Identifier: Apache-2.0
"""curve25519 is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

import pytest

from crypsis import backends
from native_programs import Programs, build, needs_linux

BACKENDS = backends.runnable("curve25519")
SECRETS = ["scalars", "one_scalar", "points", "elements", "messages"]
RISTRETTO = ["ristretto_scalars", "ristretto_base", "ristretto_derive", "ristretto_reduce"]
pytestmark = needs_linux


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return build("curve25519", tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("operation", SECRETS + RISTRETTO)
def test_memcheck_finds_no_use_of_secrets(programs: Programs, operation: str) -> None:
    done = programs.memcheck(operation)
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


# A step costs tens of microseconds, so the quick run ends early: it has the loading, the clamping and some
# twenty bits of the ladder; and the map up to its inversion. The whole of both, minutes, is marked slow.
@pytest.mark.skipif("avx512" not in BACKENDS, reason="this CPU lacks AVX-512 IFMA")
@pytest.mark.parametrize("operation", ["scalars", "elements"])
def test_traces_are_equal(programs: Programs, operation: str) -> None:
    done = programs.trace("avx512", operation, "30000")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operation", ["scalars", "one_scalar", "points", "elements"])
def test_whole_traces_are_equal(programs: Programs, backend: str, operation: str) -> None:
    done = programs.trace(backend, operation)
    assert done.returncode == 0, done.stdout + done.stderr
