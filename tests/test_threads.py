# SPDX-License-Identifier: Apache-2.0
"""What every kernel shares: the thread team (csrc/common/threads)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crypsis import _core

FEW_THREADS = """
import resource
import numpy as np
from crypsis import curve25519

points = np.random.default_rng(1).integers(0, 256, (40_000, 32), dtype=np.uint8)
scalar = np.arange(32, dtype=np.uint8)
expected = curve25519.scalar_mult(scalar, points, threads=1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
# Room for a few thread stacks only, far fewer than are asked for.
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
assert np.array_equal(curve25519.scalar_mult(scalar, points, threads=4000), expected)
print("done")
"""


def test_a_system_that_refuses_threads_gets_the_work_done_with_fewer() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FEW_THREADS]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr


def test_threads_argument_then_variable_then_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_NUM_THREADS", "3")
    assert _core.resolve_threads(5) == 5
    assert _core.resolve_threads(0) == 3
    monkeypatch.delenv("CRYPSIS_NUM_THREADS")
    assert _core.resolve_threads(0) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["0", "-1", "two", "4097", "1 "])
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CRYPSIS_NUM_THREADS", text)
    with pytest.raises(ValueError, match="CRYPSIS_NUM_THREADS"):
        _core.resolve_threads(0)
