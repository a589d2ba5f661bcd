# SPDX-License-Identifier: Apache-2.0
"""bigint is constant-time and wipes: memcheck on undefined secrets, equal instruction traces for different ones.

How: `native_programs`. The code that computes addresses, which traces do not show, is in lanes.h and tables.h, which
both backends share.
"""

from __future__ import annotations

import pytest

from crypsis import backends
from native_programs import Programs, build, needs_linux

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
pytestmark = needs_linux


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return build("bigint", tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("operation", OPERATIONS)
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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operation", [*OPERATIONS, "modulus"])
def test_freed_memory_holds_no_secrets(programs: Programs, backend: str, operation: str) -> None:
    done = programs.run("residue", backend, operation)
    assert done.returncode == 0, done.stdout + done.stderr


def test_residue_catches_a_planted_leak(programs: Programs) -> None:
    assert programs.run("residue", BACKENDS[0], "leak_by_free").returncode == 1


# A step costs tens of microseconds, so the quick run ends early; the whole is marked slow.
@pytest.mark.parametrize("operation", ["mul", "powm_exponents", "fixed_base", "range_check"])
def test_traces_are_equal(programs: Programs, operation: str) -> None:
    done = programs.trace(BACKENDS[0], operation, "40000")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whole_traces_are_equal(programs: Programs, backend: str, operation: str) -> None:
    done = programs.trace(backend, operation)
    assert done.returncode == 0, done.stdout + done.stderr
