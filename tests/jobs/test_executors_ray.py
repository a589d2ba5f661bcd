# SPDX-License-Identifier: Apache-2.0
"""Workers on real Ray clusters, one of each party, on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crypsis.errors import BackendUnavailable
from crypsis.mpc.jobs import ray_executor
from crypsis.mpc.transport.certs import make_development_certificates

from .test_executors import gone

SCRIPT = Path(__file__).with_name("ray_party.py")
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'crypsis[ray]'"
)


def start(folder: Path, party: str, address: str, ending: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SCRIPT.parent.parent),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # 15 by default: on a busy machine a worker hardly starts
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), party, address, ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(("alice_ends", "bob_ends"), [("no", "ray.kill"), ("kill -9", "no")])
def test_two_clusters_and_a_worker_that_dies(tmp_path: Path, alice_ends: str, bob_ends: str) -> None:
    make_development_certificates(tmp_path, ["alice", "bob"])
    alice = start(tmp_path, "alice", "127.0.0.1:0", alice_ends)
    assert alice.stdout is not None
    port = int(alice.stdout.readline())
    bob = start(tmp_path, "bob", f"127.0.0.1:{port}", bob_ends)
    outputs = {}
    for party, process in (("alice", alice), ("bob", bob)):
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr[-6000:]
        outputs[party] = json.loads(stdout.splitlines()[-1]), stderr
    for party, ends in (("alice", alice_ends), ("bob", bob_ends)):
        report, stderr = outputs[party]
        assert bool(report["ended"]) == (ends != "no")
        assert [number for number, _ in report["done"]] == list(range(12))
        assert "was lost" in stderr  # told to both
        assert len(report["pids"]) >= 2
        assert report["left"] == 0
        assert all(gone(pid) for pid in (*report["pids"], *report["ended"]))


def test_without_ray_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'crypsis\[ray\]'.*executor 'local'"):
        ray_executor.RayExecutor()
