# SPDX-License-Identifier: Apache-2.0
"""Trainings and predictions as jobs, with a stand-in for the algorithm: what is agreed, kept, refused, gone on from."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning import algorithms
from crypsis.mpc.learning.checkpoints import Checkpoints
from crypsis.mpc.learning.model_files import ModelPart

from .job_cases import Jobs
from .toy import ENTRY, STOP


class Killed(BaseException):
    """What a party ends with in the middle, as if it were killed: no handler of Exception sees it."""


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(algorithms._ENTRIES, "logistic-regression", ENTRY)
    yield
    STOP.clear()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


BRIEF: dict[str, Any] = {"html_report": False}


def stop_at(role: str, step: int) -> None:
    def stop(now: int) -> None:
        if now == step:
            raise Killed

    STOP[role] = stop


def work(jobs: Jobs, party: str) -> Path:
    return jobs.folder / f"{party}.model.json.work"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_training_and_a_prediction_after_an_intersection(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 200, shift=50)
    bank, telco = jobs.train(psi={}, preprocess=["standardise"], bank=BRIEF)
    assert (bank["kind"], bank["role"], telco["role"]) == ("train", "guest", "host")
    assert bank["job"] == telco["job"]
    assert bank["public_configuration_sha256"] == telco["public_configuration_sha256"]
    counts = {"rows": 200, "matched_keys": 150, "rows_trained_on": 120, "rows_held_out": 30, "columns": 2}
    for report in (bank, telco):
        assert counts.items() <= report["counts"].items()
        assert report["resumed_after"] is None
        assert [row["step"] for row in report["history"]] == [1, 2, 3, 4, 5]
    assert {"auc", "ks", "log_loss"} <= set(bank["metrics"])
    assert telco["metrics"] is None
    assert bank["traffic"]["payload_bytes_sent"] == telco["traffic"]["payload_bytes_received"]
    assert jobs.names() == [
        f"{party}.model.json{more}" for party in ("bank", "telco") for more in ("", ".report.json")
    ]
    assert stat.S_IMODE(os.stat(tmp_path / "bank.model.json").st_mode) == 0o600
    bank, telco = jobs.predict(psi={})
    assert bank["counts"]["scored_rows"] == 150
    scores = pq.read_table(tmp_path / "bank.scores.parquet")
    assert scores.column_names == ["id", "score"]
    assert sorted(scores["id"].to_pylist()) == [f"c{i:05}" for i in range(50, 200)]
    assert not (tmp_path / "telco.scores.parquet").exists()


def test_lined_up_rows_and_a_shared_result(jobs: Jobs) -> None:
    bank, _ = jobs.train(evaluation={"share": 0.0}, bank={"html_report": False})
    assert bank["metrics"]["evaluated_on"] == "rows trained on"
    output = {"output": str(jobs.folder / "telco.csv")}
    bank, telco = jobs.predict(share_result=True, telco=output)
    assert telco["outputs"]["scores"]["paths"] == [output["output"]]
    ours = pq.read_table(jobs.folder / "bank.scores.parquet")["score"].to_numpy()
    theirs = np.loadtxt(output["output"], delimiter=",", skiprows=1, usecols=1)
    assert np.allclose(ours, theirs)


def test_the_html_report_is_written_at_the_guest(jobs: Jobs) -> None:
    bank, telco = jobs.train()
    assert Path(bank["outputs"]["html_report"]["paths"][0]).read_text().startswith("<!DOCTYPE html>")
    assert "html_report" not in telco["outputs"]


@pytest.mark.parametrize("victim", ["guest", "host"])
@pytest.mark.parametrize("psi", [None, {}])
def test_a_job_goes_on_from_the_last_step_of_both(jobs: Jobs, victim: str, psi: Any) -> None:
    stop_at(victim, 4)
    first = jobs.train(psi=psi, bank=BRIEF)
    killed, other = first if victim == "guest" else first[::-1]
    assert isinstance(killed, Killed)
    assert isinstance(other, ProtocolAbort), other
    for party in ("bank", "telco"):
        assert stat.S_IMODE(os.stat(work(jobs, party)).st_mode) == 0o700
        files = sorted(path.name for path in work(jobs, party).glob("step-*"))
        assert files == [f"step-{n:08}.state" for n in (0, 1, 2, 3)]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in work(jobs, party).glob("*.state"))
    STOP.clear()
    bank, telco = jobs.train(psi=psi, bank=BRIEF)
    assert bank["resumed_after"] == telco["resumed_after"] == 3
    assert [row["step"] for row in bank["history"]] == [1, 2, 3, 4, 5]
    # Of the intersection, which was not done again.
    assert bank["counts"].get("peer_unique_keys") == (None if psi is None else 200)
    assert not work(jobs, "bank").exists()
    assert not work(jobs, "telco").exists()


def test_a_party_that_is_a_step_behind(jobs: Jobs) -> None:
    """One was killed before it had written what the other had: both go on from the step before."""
    stop_at("guest", 5)
    jobs.train(bank=BRIEF)
    STOP.clear()
    (work(jobs, "bank") / "step-00000004.state").unlink()
    bank, telco = jobs.train(bank=BRIEF)
    assert bank["resumed_after"] == telco["resumed_after"] == 3
    assert bank["metrics"] is not None


def test_the_resumed_model_is_the_undisturbed_one(jobs: Jobs) -> None:
    jobs.train(bank=BRIEF)
    whole = ModelPart.load(jobs.folder / "bank.model.json").body
    (jobs.folder / "bank.model.json").unlink()
    (jobs.folder / "telco.model.json").unlink()
    stop_at("host", 3)
    jobs.train(bank=BRIEF)
    STOP.clear()
    jobs.train(bank=BRIEF)
    assert ModelPart.load(jobs.folder / "bank.model.json").body == whole


def begun(jobs: Jobs, **fields: Any) -> None:
    """A job that stands after step 3."""
    stop_at("host", 4)
    jobs.train(**fields, bank=BRIEF)
    STOP.clear()


def test_other_data_is_refused(jobs: Jobs) -> None:
    begun(jobs)
    before = content(work(jobs, "bank"))
    table = jobs.table("bank")
    jobs.write("bank", **{**table, "age": table["age"] + 1})
    bank, telco = jobs.train(bank=BRIEF)
    assert isinstance(bank, DataError)
    assert "has changed" in str(bank)
    assert isinstance(telco, ProtocolAbort), telco
    assert content(work(jobs, "bank")) == before


def test_another_configuration_is_refused(jobs: Jobs) -> None:
    begun(jobs)
    before = content(work(jobs, "telco"))
    for result in jobs.train(parameters={"n_steps": 7}, bank=BRIEF):
        assert isinstance(result, ConfigError)
        assert "parameters.n_steps = 5, now it is 7" in str(result)
    assert content(work(jobs, "telco")) == before


def test_a_peer_without_its_work_directory_is_refused(jobs: Jobs) -> None:
    import shutil

    begun(jobs)
    before = content(work(jobs, "bank"))
    shutil.rmtree(work(jobs, "telco"))
    for result in jobs.train(bank=BRIEF):
        assert isinstance(result, ConfigError), result
        assert "no job yet" in str(result)
    assert content(work(jobs, "bank")) == before
    assert not work(jobs, "telco").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
@pytest.mark.parametrize("name", ["step-00000003.state", "job.json"])
def test_a_damaged_checkpoint_is_refused(jobs: Jobs, name: str, damage: str) -> None:
    begun(jobs)
    path = work(jobs, "bank") / name
    good = path.read_bytes()
    bad = {"flip": good[:40] + bytes([good[40] ^ 1]) + good[41:], "cut": good[:-5], "empty": b""}[damage]
    path.write_bytes(bad)
    before = content(work(jobs, "bank"))
    bank, telco = jobs.train(bank=BRIEF)
    assert isinstance(bank, CorruptData), bank
    assert name in str(bank)
    assert isinstance(telco, ProtocolAbort), telco
    assert content(work(jobs, "bank")) == before
    path.write_bytes(good)
    bank, telco = jobs.train(bank=BRIEF)
    assert bank["resumed_after"] == telco["resumed_after"] == 3


def test_a_checkpoint_of_another_job_is_refused(jobs: Jobs) -> None:
    import shutil

    begun(jobs)
    foreign = (work(jobs, "bank") / "step-00000003.state").read_bytes()
    for party in ("bank", "telco"):
        shutil.rmtree(work(jobs, party))
    begun(jobs)
    (work(jobs, "bank") / "step-00000003.state").write_bytes(foreign)
    bank, telco = jobs.train(bank=BRIEF)
    assert isinstance(bank, DataError)
    assert "checkpoint of another job" in str(bank)
    assert isinstance(telco, ProtocolAbort)


def test_a_checkpoint_of_another_release_is_refused(jobs: Jobs) -> None:
    begun(jobs)
    path = work(jobs, "bank") / "job.json"
    record = json.loads(path.read_text())
    from crypsis.mpc.learning.checkpoints import _seal

    record.pop("sha256")
    record["version"] = 9
    path.write_text(json.dumps({**record, "sha256": _seal(record)}))
    bank, _ = jobs.train(bank=BRIEF)
    assert isinstance(bank, DataError)
    assert "is of version 9" in str(bank)


def test_rows_without_an_id_match_nothing(jobs: Jobs) -> None:
    table = jobs.table("telco")
    jobs.write("telco", **{**table, "id": pa.array([None, *table["id"][1:]])})
    bank, telco = jobs.train(psi={}, bank=BRIEF)
    assert bank["counts"]["matched_keys"] == telco["counts"]["aligned_rows"] == 199


def test_missing_values_and_a_step_that_fills_them(jobs: Jobs) -> None:
    table = jobs.table("bank")
    jobs.write("bank", **{**table, "age": np.where(np.arange(200) == 3, np.nan, table["age"])})
    bank, _ = jobs.train(preprocess=[{"impute": {"strategy": "mean"}}], bank=BRIEF)
    assert bank["preprocess"][0]["parameters"]["strategy"] == "mean"


def test_an_output_that_is_there(jobs: Jobs) -> None:
    (jobs.folder / "bank.model.json").write_text("precious")
    bank, telco = jobs.train(bank=BRIEF)
    assert isinstance(bank, DataError)
    assert "exists already" in str(bank)
    assert isinstance(telco, ProtocolAbort), telco
    assert (jobs.folder / "bank.model.json").read_text() == "precious"
    bank, _ = jobs.train(bank=BRIEF | {"overwrite": True})
    assert bank["kind"] == "train"
    (jobs.folder / "bank.scores.parquet").write_text("precious")
    bank, telco = jobs.predict()
    assert isinstance(bank, DataError)
    assert (jobs.folder / "bank.scores.parquet").read_text() == "precious"


class TestPredictions:
    """With a model."""

    @pytest.fixture
    def trained(self, jobs: Jobs) -> Jobs:
        for report in jobs.train(bank=BRIEF):
            assert isinstance(report, dict)
        return jobs

    def test_parts_of_two_trainings(self, trained: Jobs) -> None:
        first = (trained.folder / "bank.model.json").read_bytes()
        trained.train(overwrite=True, bank=BRIEF)
        (trained.folder / "bank.model.json").write_bytes(first)
        for result in trained.predict():
            assert isinstance(result, ConfigError)
            assert "disagree on 'model'" in str(result)

    def test_files_that_are_no_part_of_this_party(self, trained: Jobs) -> None:
        path = trained.folder / "bank.model.json"
        good = json.loads(path.read_text())

        def refused(text: str, kind: type[Exception], match: str) -> None:
            path.write_text(text)
            bank, telco = trained.predict()
            assert isinstance(bank, kind), bank
            assert match in str(bank)
            assert isinstance(telco, ProtocolAbort), telco

        refused(json.dumps(good | {"version": 7}), CorruptData, "version 7")
        refused(json.dumps(good | {"job": "0" * 32}), CorruptData, "was edited")
        refused((trained.folder / "telco.model.json").read_text(), DataError, "role 'host'")
        refused("{}", CorruptData, "no model of crypsis")


def test_a_peer_lost_at_the_very_end_keeps_the_work_directory(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The telco dies after the bank has its model: the bank keeps what the telco needs, and both go on."""
    original = ModelPart.save

    def save(self: ModelPart, path: Any, *, overwrite: bool = False) -> None:
        if self.role == "host":
            raise Killed
        original(self, path, overwrite=overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(ModelPart, "save", save)
        bank, telco = jobs.train(bank=BRIEF)
    assert isinstance(telco, Killed)
    assert work(jobs, "bank").exists()
    if isinstance(
        bank, Exception
    ):  # the end of the telco has overtaken its last word: then nobody has a model
        assert isinstance(bank, ProtocolAbort)
        assert not (jobs.folder / "bank.model.json").exists()
        model = None
    else:
        model = json.loads((jobs.folder / "bank.model.json").read_text())
    bank, telco = jobs.train(bank=BRIEF)
    assert bank["resumed_after"] == telco["resumed_after"] == 5
    assert model in (None, json.loads((jobs.folder / "bank.model.json").read_text()))
    assert not work(jobs, "bank").exists()
    assert not work(jobs, "telco").exists()


@pytest.mark.parametrize("role", ["guest", "host"])
def test_killed_with_the_model_in_place_but_before_that_was_written_down(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """The model that is there is the job's own: it is no reason to refuse to go on."""
    original = Checkpoints.complete

    def complete(self: Checkpoints, end: Any) -> None:
        if self.identity.own["role"] == role:
            raise Killed
        original(self, end)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "complete", complete)
        results = jobs.train(bank=BRIEF)
    assert isinstance(results[role == "host"], Killed)
    party = "bank" if role == "guest" else "telco"
    before = ModelPart.load(jobs.folder / f"{party}.model.json")
    for report in jobs.train(bank=BRIEF):
        assert report["resumed_after"] == 5
    assert ModelPart.load(jobs.folder / f"{party}.model.json") == before
    assert not work(jobs, "bank").exists()
    assert not work(jobs, "telco").exists()
