# SPDX-License-Identifier: Apache-2.0
"""A driver that is interrupted or killed leaves no worker behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from .test_executors import gone

# Both parties in one process, with processes for workers that take their time.
SCRIPT = """
import sys, threading
from jobs import toy
from crypsis.mpc.jobs.executors import ProcessExecutor
from crypsis.mpc.jobs.scheduler import run_bins
from crypsis.mpc.transport import memory_hubs

alice, bob = memory_hubs()

def told(number, result):
    print(result["pid"], flush=True)

def run(hub, leads):
    spec = {"n_bytes": 1000, "trap": {"how": "hang", "bin": 4}}
    run_bins(hub, range(8), work=toy.work, spec=spec, leads=leads, n_workers=2, executor=ProcessExecutor(),
             on_done=told)

def other():
    try:
        run(bob, False)
    except Exception as error:
        print("bob:", error, flush=True)

thread = threading.Thread(target=other)
thread.start()
try:
    run(alice, True)
finally:
    thread.join()
"""


def workers_of(driver: subprocess.Popen[str]) -> set[int]:
    """The processes behind the first results, and whatever else the driver has started."""
    assert driver.stdout is not None
    pids = {int(driver.stdout.readline()) for _ in range(4)}
    for task in Path(f"/proc/{driver.pid}/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            pids |= {int(pid) for pid in (task / "children").read_text().split()}
    return pids


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_driver(kind: signal.Signals) -> None:
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        pids = workers_of(driver)
        driver.send_signal(kind)
        stdout, stderr = driver.communicate(timeout=300)
    finally:
        driver.kill()
        driver.communicate()
    if kind == signal.SIGINT:
        assert "KeyboardInterrupt" in stderr
        assert "party 'alice' was interrupted by its operator" in stdout
    deadline = time.monotonic() + 30
    while left := [pid for pid in pids if not gone(pid)]:
        assert time.monotonic() < deadline, f"workers are left: {left}"
        time.sleep(0.05)
