# SPDX-License-Identifier: Apache-2.0
"""Each suite at sizes that are of no use but to see that its answers are right and its peers agree; no timing is
asserted."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from crypsis.errors import DataError
from crypsis.mpc.bench import rows, suites
from crypsis.mpc.bench.measure import EFFORT
from crypsis.mpc.bench.parties import Parties
from crypsis.mpc.bench.peers import Peers
from crypsis.mpc.bench.run import Outcome, run
from crypsis.mpc.bench.suite import Case, Suite, Work, WrongAnswer

# In this environment by the extra `test`, or because Crypsis needs them.
HERE = {"hashlib", "blake3", "cryptography", "PyNaCl", "gmpy2", "phe"}


def tiny(name: str, *, peers: bool = False, **options: Any) -> Outcome:
    return run([name], scale="tiny", peers=Peers(enabled=peers), **options)


@pytest.mark.parametrize("name", suites.NAMES)
def test_suites_run(name: str, tmp_path: Path) -> None:
    peers = name in ("kernels", "paillier")
    found = tiny(name, peers=peers, out=tmp_path / "rows.jsonl")
    cases = [case.name for case in suites.load(name).cases if "tiny" in case.scales]
    if importlib.util.find_spec("numba") is None:
        cases = [case for case in cases if "boosting" not in case]
    assert found.wrong == []
    assert [row["name"] for row in found.rows] == cases
    assert rows.read(tmp_path / "rows.jsonl") == found.rows
    assert all(row["suite"] == name and row["extra"]["scale"] == "tiny" for row in found.rows)
    stated = [row["name"] for row in found.rows if "limit" in row or row["extra"].get("no limit")]
    assert stated == cases  # each says what its limit is, or why it has none
    missing = {peer for peer, why in found.peers.items() if "not installed" in why}
    assert set(found.peers) <= missing  # none that is here crashed, hung or was wrong
    if peers:
        timed = {peer for row in found.rows for peer in row["peers"]}
        assert timed >= {peer for peer in HERE - missing if _asked(name, peer)}


def _asked(suite: str, peer: str) -> bool:
    return (peer == "phe") == (suite == "paillier")


def test_names_are_unique_and_every_suite_says_how_it_measures() -> None:
    loaded = [suites.load(name) for name in suites.NAMES]
    names = [case.name for suite in loaded for case in suite.cases]
    assert len(set(names)) == len(names)
    assert all(suite.what and suite.cases for suite in loaded)


def test_affinity_and_threads_are_as_before() -> None:
    before, threads = os.sched_getaffinity(0), os.environ.get("CRYPSIS_NUM_THREADS")
    tiny("kernels")
    assert os.sched_getaffinity(0) == before
    assert os.environ.get("CRYPSIS_NUM_THREADS") == threads


def one_suite(monkeypatch: pytest.MonkeyPatch, *cases: tuple[str, Any]) -> None:
    """`load` gives a suite of these cases, whatever the name."""
    made = Suite("fake", "fake cases", [Case(name, "items", make) for name, make in cases])
    monkeypatch.setattr("crypsis.mpc.bench.run.load", lambda name: made)


def works(setting: Any) -> Work:
    return Work(1, lambda: 1, lambda found: None)


def test_a_wrong_answer_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []

    def wrong(setting: Any) -> Work:
        def check(found: Any) -> None:
            raise WrongAnswer("2 + 2 is 5")

        return Work(1, lambda: 5, check, close=lambda: closed.append(1))

    one_suite(monkeypatch, ("wrong", wrong), ("right", works))
    found = tiny("fake")
    assert [row["name"] for row in found.rows] == ["right"]
    assert found.wrong == ["2 + 2 is 5"]
    assert closed == [1]


def test_rows_are_kept_as_they_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(setting: Any) -> Work:
        raise KeyboardInterrupt

    one_suite(monkeypatch, ("first", works), ("second", interrupted), ("third", works))
    outcome, path = Outcome(), tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        tiny("fake", out=path, outcome=outcome)
    assert [row["name"] for row in rows.read(path)] == ["first"]
    assert outcome.rows == rows.read(path)


def test_every_pass_has_all_cases_and_new_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[str] = []

    def named(name: str) -> tuple[str, Any]:
        return name, lambda setting: made.append(name) or works(setting)

    monkeypatch.setitem(EFFORT, "tiny", dataclasses.replace(EFFORT["tiny"], passes=3))
    one_suite(monkeypatch, named("first"), named("second"))
    said: list[str] = []
    found = tiny("fake", out=tmp_path / "rows.jsonl", say=lambda what, done, total: said.append(what))
    assert made == ["first", "second"] * 3
    assert [row["passes"] for row in found.rows] == [3, 3]
    assert [row["rounds"] for row in found.rows] == [6, 6]
    assert rows.read(tmp_path / "rows.jsonl") == found.rows
    assert "pass 2 of 3: second" in said


def test_a_run_interrupted_in_a_later_pass_keeps_the_passes_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns = iter("123")

    def fails_later(setting: Any) -> Work:
        if next(turns) == "2":
            raise DataError("the disk is full")
        return works(setting)

    again = iter((works, works, None))

    def interrupted(setting: Any) -> Work:
        make = next(again)
        if make is None:
            raise KeyboardInterrupt
        return make(setting)

    monkeypatch.setitem(EFFORT, "tiny", dataclasses.replace(EFFORT["tiny"], passes=3))
    one_suite(monkeypatch, ("first", works), ("gone", fails_later), ("second", interrupted), ("third", works))
    outcome, path = Outcome(), tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        tiny("fake", out=path, outcome=outcome)
    assert {row["name"]: row["passes"] for row in rows.read(path)} == {"first": 3, "second": 2, "third": 2}
    assert outcome.rows == rows.read(path)
    assert outcome.not_measured == {"gone": "the disk is full"}


def test_a_party_that_fails_ends_the_other_and_the_run() -> None:
    def broken(channel: Any) -> Any:
        raise RuntimeError("no key")

    parties = Parties(broken, lambda channel: channel)
    with pytest.raises(RuntimeError, match="no key"):
        parties.run(lambda channel: channel.recv(1), lambda channel: channel.recv(1))
    parties.close()


@pytest.mark.slow
def test_the_whole_job_and_every_peer_at_quick_sizes(tmp_path: Path) -> None:
    found = run(suites.NAMES, scale="quick", peers=Peers(), out=tmp_path / "rows.jsonl")
    assert found.wrong == []
    assert found.not_measured == {}
    assert "psi/vole/job of two processes" in {row["name"] for row in found.rows}
