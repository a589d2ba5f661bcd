# SPDX-License-Identifier: Apache-2.0
"""Whether the core was ours: told of a thread that had to share it, not of one that sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from crypsis.mpc.bench import core_time
from crypsis.mpc.bench.compare import compare
from crypsis.mpc.bench.core_time import TAKEN, CoreTime, remark

from .cases import row


@pytest.fixture
def one_core() -> Iterator[int]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield max(before)
    os.sched_setaffinity(0, before)


def busy(seconds: float) -> float:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


@pytest.mark.skipif(core_time._now() is None, reason="this kernel does not say how long a thread waited")
def test_a_core_that_another_program_has_is_told(one_core: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        core = CoreTime()
        for _ in range(50):  # until the scheduler has given it a turn
            assert core.of(lambda: busy(0.02)) == 0.02
        other.kill()
    assert 0.05 < core.taken()[TAKEN] < 1


def test_a_thread_that_sleeps_waits_for_nobody() -> None:
    core = CoreTime()
    assert core.of(lambda: time.sleep(0.05) or 1.0) == 1.0
    assert core.taken() == {}


def test_nothing_is_told_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_time, "_now", lambda: None)
    core = CoreTime()
    assert core.of(lambda: 2.0) == 2.0
    assert core.taken() == {}


def taken(*shares: Any) -> list[dict[str, Any]]:
    return [row(f"a/{i}", extra={TAKEN: share}) for i, share in enumerate(shares)]


def test_what_a_person_is_told() -> None:
    assert remark([row()]) == remark(taken(0.0, 0.009, 0.5)) == remark(taken("much")) == ""
    assert "for 20 % of a case's time (the median; 50 % at most)" in remark(taken(0.1, 0.2, 0.5))
    (found,) = compare(taken(0.0), taken(0.2)).remarks
    assert found.startswith("when B was measured, others had the core for 20 %")
