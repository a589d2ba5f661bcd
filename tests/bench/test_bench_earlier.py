# SPDX-License-Identifier: Apache-2.0
"""Earlier runs of a commit here: spreads reach to them, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crypsis.mpc.bench import earlier
from crypsis.mpc.bench.compare import compare
from crypsis.mpc.bench.earlier import Earlier
from crypsis.mpc.bench.peers import Peers
from crypsis.mpc.bench.run import run
from crypsis.mpc.bench.suite import Case, Suite

from .cases import row, works_once


def of(per_second: float, ratio: float = 2.0, **fields: Any) -> dict[str, Any]:
    peers = {"p": {"ratio": ratio, "ratio_spread": 0.01}}
    return row(per_second=per_second, spread=0.02, peers=peers) | fields


def test_the_spread_reaches_to_the_runs_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.jsonl"
    first = Earlier(path).widened(of(100))
    assert (first["spread"], first["earlier_runs"]) == (0.02, 0)
    second = Earlier(path).widened(of(80, 2.5))
    assert second["spread"] == pytest.approx(0.25)
    assert second["peers"]["p"]["ratio_spread"] == pytest.approx(0.25)
    third = Earlier(path).widened(of(100, 2.5))
    assert (third["spread"], third["earlier_runs"]) == (pytest.approx(0.25), 2)
    (change,) = compare([first], [second]).changes
    assert change.verdict == "within the noise"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "other",
    [
        {"commit": "ffffffffffff"},
        {"cpu": "Another"},
        {"cpu_flags": []},
        {"forced_backend": "portable"},
        {"items": 2},
        {"name": "a/c"},
        {"extra": {"scale": "full"}},
        {"python": "3.12.1"},
    ],
)
def test_what_is_of_another_kind_is_no_earlier_run(other: dict[str, Any], tmp_path: Path) -> None:
    remembered = Earlier(tmp_path / "bench.jsonl")
    remembered.widened(of(100))
    assert remembered.widened(of(50) | other)["earlier_runs"] == 0


def test_a_checkout_with_changes_is_not_remembered(tmp_path: Path) -> None:
    remembered = Earlier(tmp_path / "bench.jsonl")
    dirty = of(100, dirty=True)
    assert remembered.widened(dirty) == dirty
    assert not remembered.path.exists()


def test_a_peer_that_was_not_there_before_has_its_own_spread(tmp_path: Path) -> None:
    remembered = Earlier(tmp_path / "bench.jsonl")
    remembered.widened(of(100) | {"peers": {}})
    assert remembered.widened(of(100))["peers"]["p"]["ratio_spread"] == 0.01


def test_lines_that_are_none_are_passed_over_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "_MOST_LINES", 5)
    path = tmp_path / "bench.jsonl"
    Earlier(path).widened(of(100))
    good = path.read_text()
    bad = [
        "",
        "[",
        "[1]",
        "\x00",
        json.dumps({"of": "x"}),
        json.dumps({"of": "x", "per_second": 0, "ratios": {}}),
        json.dumps({"of": "x", "per_second": 1, "ratios": {"p": None}}),
        json.dumps({"of": [], "per_second": 1, "ratios": {}}),
        "[" * 100_000,
    ]
    path.write_text("\n".join([*bad, *bad]) + "\n" + good)
    assert Earlier(path).widened(of(50))["earlier_runs"] == 1
    assert len(path.read_text().splitlines()) == 6
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"\xff\xfe\n" + good.encode())
    assert Earlier(path).widened(of(50))["earlier_runs"] == 1


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remembered = Earlier(tmp_path / "file" / "bench.jsonl")
    assert remembered.widened(of(100))["spread"] == 0.02
    assert "bench.jsonl: File exists" in remembered.why_not


def test_a_run_remembers_and_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Suite("fake", "fake cases", [Case("a/case", "items", works_once)])
    monkeypatch.setattr("crypsis.mpc.bench.run.load", lambda name: made)
    environment = {name: value for name, value in row().items() if name in ("date", "commit", "cpu")}
    monkeypatch.setattr("crypsis.mpc.bench.rows.environment", lambda: environment | {"versions": {}})
    path, out = tmp_path / "bench.jsonl", tmp_path / "rows.jsonl"
    found = [
        run(["fake"], scale="tiny", peers=Peers(enabled=False), out=out, earlier=Earlier(path)).rows[0]
        for _ in range(3)
    ]
    assert [one["earlier_runs"] for one in found] == [0, 1, 2]
    assert [json.loads(line) for line in out.read_text().splitlines()] == found
    for one in found[:2]:
        (change,) = compare([one], [found[2]]).changes
        assert change.verdict == "within the noise"
