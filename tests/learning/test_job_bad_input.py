# SPDX-License-Identifier: Apache-2.0
"""Every line of `bad_inputs`, with a stand-in for the algorithm: what both parties are told, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypsis.errors import CrypsisError
from crypsis.mpc.learning import algorithms

from .bad_inputs import PREDICT, TRAIN, Mistake
from .job_cases import Jobs
from .toy import ENTRY, STOP

PARTIES = ("bank", "telco")
BRIEF: dict[str, Any] = {"html_report": False}


class Killed(BaseException):
    """What a party ends with in the middle, as if it were killed."""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(algorithms._ENTRIES, "logistic-regression", ENTRY)
    yield
    STOP.clear()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """A model; each test writes its own tables over those of the training."""
    jobs = Jobs(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(algorithms._ENTRIES, "logistic-regression", ENTRY)
        for report in jobs.train(bank=BRIEF):
            assert isinstance(report, dict)
    return jobs


def run(jobs: Jobs, mistake: Mistake, command: str) -> list[Any]:
    fields = dict(mistake.fields)
    if fields.get("parameters") == "other":
        fields["parameters"] = {"n_steps": 6}
    own = {party: dict(fields) if party == mistake.party else {} for party in PARTIES}
    if command == "train":
        own["bank"] |= BRIEF
    return list(getattr(jobs, command)(**mistake.both, **own))


def check(mistake: Mistake, results: list[Any]) -> None:
    """Both ended with an error of their own, and one line that says what is wrong."""
    at, other = results if mistake.party == "bank" else results[::-1]
    for error, told, code in zip((at, other), (mistake.own, mistake.peer), mistake.codes, strict=True):
        assert isinstance(error, CrypsisError), error
        assert told in str(error)
        assert error.exit_code == code
        assert "\n" not in str(error)
    if mistake.codes[1] == 6:  # what the other one hears names none of the party's columns, ids and files
        assert not any(word in str(other) for word in ("'age'", "'calls'", "c000", ".parquet"))


def work(jobs: Jobs, party: str) -> Path:
    return jobs.folder / f"{party}.model.json.work"


@pytest.mark.parametrize("mistake", TRAIN, ids=str)
def test_a_training_that_is_refused_leaves_nothing(tmp_path: Path, mistake: Mistake) -> None:
    jobs = Jobs(tmp_path)
    if mistake.change is not None:
        jobs.write(mistake.party, **mistake.change(jobs.table(mistake.party)))
    check(mistake, run(jobs, mistake, "train"))
    left = jobs.names()
    # Who is told of another's mistake keeps the rows aligned so far: the other may yet correct it.
    assert left in ([], [f"{party}.model.json.work" for party in PARTIES if party != mistake.party])


@pytest.mark.parametrize("mistake", PREDICT, ids=str)
def test_a_prediction_that_is_refused_leaves_nothing(trained: Jobs, mistake: Mistake) -> None:
    path = trained.folder / f"{mistake.party}.parquet"
    good, before = path.read_bytes(), trained.names()
    assert mistake.change is not None
    try:
        trained.write(mistake.party, **mistake.change(trained.table(mistake.party)))
        check(mistake, run(trained, mistake, "predict"))
    finally:
        path.write_bytes(good)
    assert trained.names() == before


@pytest.mark.parametrize("name", ["ids in another order", "a label of 2", "constant", "other parameters"])
def test_a_mistake_in_the_middle_costs_nothing(tmp_path: Path, name: str) -> None:
    """The job goes on from where it was once the mistake is corrected."""
    mistake = [one for one in TRAIN if one.name == name][-1]
    jobs = Jobs(tmp_path)

    def stop(step: int) -> None:
        if step == 4:
            raise Killed

    STOP["host"] = stop
    jobs.train(bank=BRIEF)
    STOP.clear()
    states = [{p.name: p.read_bytes() for p in work(jobs, party).glob("*")} for party in PARTIES]
    path = jobs.folder / f"{mistake.party}.parquet"
    good = path.read_bytes()
    if mistake.change is not None:
        jobs.write(mistake.party, **mistake.change(jobs.table(mistake.party)))
    results = run(jobs, mistake, "train")
    at, other = results if mistake.party == "bank" else results[::-1]
    assert "the job was begun" in str(at)
    assert f"{mistake.party} cannot go on: its input or its configuration is not what" in str(other)
    for party, before in zip(PARTIES, states, strict=True):
        after = {p.name: p.read_bytes() for p in work(jobs, party).glob("*")}
        assert {n: b for n, b in after.items() if n != "lock"} == {
            n: b for n, b in before.items() if n != "lock"
        }
    path.write_bytes(good)
    for report in jobs.train(bank=BRIEF):
        assert report["resumed_after"] == 3
