# SPDX-License-Identifier: Apache-2.0
"""vole is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

import pytest

from crypsis import backends
from native_programs import Programs, build, needs_linux

BACKENDS = backends.runnable("vole")
OPERATIONS = [
    "expand_trees",
    "reconstruct_trees",
    "full_field",
    "punctured_field",
    "extend_full",
    "extend_punctured",
    "columns_to_rows",
    "hash_columns",
    "random_keys",
    "noise_trees",
    "correlated_trees",
    "place_noise",
    "primal_encode",
    "expand_convolute",
]
pytestmark = needs_linux


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return build("vole", tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_memcheck_finds_no_use_of_secrets(programs: Programs, operation: str) -> None:
    done = programs.memcheck(operation)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif("avx2" not in BACKENDS, reason="this CPU has no AVX2, AES-NI and PCLMUL")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_memcheck_finds_no_use_of_secrets_in_avx2(programs: Programs, operation: str) -> None:
    """Its AES-NI and PCLMUL are known to valgrind; the VAES of other slugs is not."""
    done = programs.memcheck(operation, "avx2")
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


# A step costs tens of microseconds: of long operations the first ones only.
@pytest.mark.slow
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "portable"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_traces_are_equal(programs: Programs, backend: str, operation: str) -> None:
    done = programs.trace(backend, operation, "100000")
    assert done.returncode == 0, done.stdout + done.stderr
