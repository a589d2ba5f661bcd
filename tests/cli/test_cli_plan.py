# SPDX-License-Identifier: Apache-2.0
"""`crypsis plan psi` and `crypsis bench calibrate`, as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crypsis.mpc.psi import rates

from .parties import Finished

Crypsis = Callable[..., Finished]


@pytest.fixture(autouse=True)
def no_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


ISSUE = ("--rows", "1e9", "--bandwidth", "1Gbps", "--cores", "16", "--latency", "10ms")


def test_memory_that_is_too_little_is_told(crypsis: Crypsis) -> None:
    done = crypsis(
        "plan", "psi", "--rows", "1e8", "--memory", "1GiB", "--bin-rows", "16777216", "--cores", "2"
    )
    assert "It does not fit" in done.stdout
    assert "lower --bin-rows" in done.stdout
    done = crypsis("plan", "psi", "--rows", "1e8", "--memory", "1GiB", "--cores", "2")
    assert "does not fit" not in done.stdout


def test_the_table_tells_time_traffic_memory_disk_and_whose_constants(crypsis: Crypsis) -> None:
    done = crypsis("plan", "psi", *ISSUE)
    assert (done.code, done.stderr) == (0, "")
    for words in (
        "1,000,000,000 rows at the receiver",
        "16 cores each",
        "1,000 Mbit/s, 10 ms",
        "protocol vole: vole exchanges in about",
        "read, hash, spill",
        "exchange bins",
        "line to sender",
        "in all",
        "sends",
        "memory, at most",
        "disk beside input and output",
        "built-in constants of the reference machine, not of this one",
        "crypsis bench calibrate",
    ):
        assert words in done.stdout


def test_json_has_the_same(crypsis: Crypsis) -> None:
    flags = ("--peer-rows", "2_000_000", "--role", "sender", "--memory", "4GiB", "--broadcast", "--both-here")
    done = crypsis("plan", "psi", *ISSUE, *flags, "--json")
    found = json.loads(done.stdout)
    assert found["job"]["n_receiver"] == 2_000_000
    assert found["job"]["n_sender"] == 10**9
    assert found["job"]["memory"] == 4 << 30
    assert found["job"]["latency"] == 0.01
    assert found["job"]["broadcast"]
    assert found["job"]["together"]
    estimate = found["estimate"]
    assert estimate["seconds"] == pytest.approx(sum(s["seconds"] for s in estimate["stages"]), abs=0.01)
    assert estimate["protocol"] == "vole"
    assert estimate["payload_bytes"]["sender_sends"] > estimate["payload_bytes"]["receiver_sends"]
    assert found["rests_on"]["constants"] == rates.BUILT_IN.what


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--rows", "many"), "rows is 'many': write a whole number"),
        (("--rows", "1.5"), "rows is '1.5'"),
        (("--rows", "1e-3"), "rows is '1e-3'"),
        (("--rows", "5e9"), "n_receiver is 5000000000: use 0 to 4294967295"),
        (("--rows", "1", "--bandwidth", "fast"), "bandwidth is 'fast': write a rate with its unit"),
        (("--rows", "1", "--latency", "10"), "latency is '10': write a time with its unit"),
        (("--rows", "1", "--memory", "2"), "memory is '2': write a size with its unit"),
        (("--rows", "1", "--protocol", "rsa"), "protocol is 'rsa': use auto, vole, ecdh"),
        (("--rows", "1", "--role", "both"), "role is 'both'"),
        (("--rows", "1", "--security", "malicious", "--protocol", "ecdh"), "use protocol vole"),
    ],
)
def test_wrong_flags_are_named(crypsis: Crypsis, flags: tuple[str, ...], told: str) -> None:
    assert told in crypsis("plan", "psi", *flags).error(2)


def test_a_missing_calibration_is_named(crypsis: Crypsis, tmp_path: Path) -> None:
    assert "gone.json: no such file" in crypsis(
        "plan", "psi", "--rows", "1", "--calibration", str(tmp_path / "gone.json")
    ).error(4)


def test_calibrate_writes_what_plan_uses(crypsis: Crypsis, tmp_path: Path) -> None:
    done = crypsis("bench", "calibrate", "--quick", "--folder", str(tmp_path), "--quiet")
    assert (done.code, done.stderr) == (0, "")
    path = tmp_path / "cache" / "crypsis" / "rates.json"
    assert str(path) in done.stdout
    assert rates.load(str(path)).cpu
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]  # nothing else is left
    told = crypsis("plan", "psi", "--rows", "1e6").stdout
    assert "measured on this machine" in told
    assert "built-in" not in told


def test_calibrate_says_where_it_cannot_write(crypsis: Crypsis, tmp_path: Path) -> None:
    out = str(tmp_path / "no" / "such" / "rates.json")
    assert "does not exist" in crypsis("bench", "calibrate", "--quick", "--out", out).error(4)
    assert "gone" in crypsis("bench", "calibrate", "--quick", "--folder", str(tmp_path / "gone")).error(4)
