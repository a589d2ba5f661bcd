# SPDX-License-Identifier: Apache-2.0
"""Whole jobs with the real algorithms: weight of evidence, selection, a logistic model, its scorecard, the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048

from crypsis.mpc.learning import CipherOptions, Frame
from crypsis.mpc.learning.evaluation import Scaling, part_score, read_scorecard, total_score
from crypsis.mpc.learning.job_steps import restored_steps
from crypsis.mpc.learning.model_files import ModelPart

from .job_cases import Jobs

SCORECARD: dict[str, Any] = {
    "parameters": {"C": 1.0, "max_epochs": 5, "tol": None, "sigmoid": "linear"},
    "preprocess": [{"woe": {"max_bins": 4, "n_fine": 10}}, {"select": {"iv_range": [0.02, 50.0], "vif": 10.0}}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def fixed_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CipherOptions, "generate", lambda options: okamoto_uchiyama_2048())


def points(jobs: Jobs, party: str, ids: list[str]) -> Any:
    """A party's points of its rows with these ids, by its scorecard and its own part of the model."""
    part = ModelPart.load(jobs.folder / f"{party}.model.json")
    encoder = restored_steps(part.body["steps"])[0]
    table = jobs.table(party)
    place = {name: i for i, name in enumerate(table["id"])}
    rows = [place[name] for name in ids]
    columns = part.body["columns"]
    values = np.stack([table[name][rows] for name in columns], axis=1).astype(np.float64)
    numbers = encoder.bin_numbers(Frame(tuple(columns), values))
    return part_score(read_scorecard(jobs.folder / f"{party}.card.json"), numbers)


def test_a_scorecard_from_woe_selection_and_a_logistic_model(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, 300, shift=40)
    noise = np.random.default_rng(5).normal(size=300)
    jobs.write("telco", **jobs.table("telco"), noise=noise)
    card = {"pdo": 40.0, "decimals": 3}
    own = {
        party: {"scorecard": {"path": str(tmp_path / f"{party}.card.json"), **card}}
        for party in ("bank", "telco")
    }
    bank, telco = jobs.train(psi={}, **SCORECARD, **own)
    assert bank["kind"] == telco["kind"] == "train", (bank, telco)
    assert bank["counts"]["rows_trained_on"] == 208
    woe, select = bank["preprocess"]
    assert set(woe["iv"]) == {"age", "income"}
    assert len(woe["peer_iv"]) == 3
    assert "calls" in telco["preprocess"][1]["kept"]
    assert len(telco["preprocess"][1]["kept"]) < 3
    assert set(select["dropped"]) <= {"income", *woe["peer_iv"]}
    assert bank["metrics"]["auc"] > 0.7
    for report in (bank, telco):
        assert "scorecard" in report["outputs"]

    # Points of both add up to the model's score, for rows that it never saw.
    for report in jobs.predict(psi={}):
        assert report["kind"] == "predict", report
    scores = pq.read_table(tmp_path / "bank.scores.parquet").to_pydict()
    total = total_score([points(jobs, party, scores["id"]) for party in ("bank", "telco")])
    log_odds = np.log(scores["score"]) - np.log1p(-np.array(scores["score"]))
    assert np.allclose(total, Scaling(**card).score_of(log_odds), atol=0.005)

    page = Path(bank["outputs"]["html_report"]["paths"][0]).read_text()
    section = page[page.index('id="importance"') :]
    section = section[: section.index("</section>")]
    assert "age" in section
    assert "all features" in section  # the guest knows the telco's part of the score, not its columns
    assert not re.search("calls|spend", page)
    assert 'id="scorecard"' in page


def test_importance_at_the_guest_is_what_moves_the_score(tmp_path: Path) -> None:
    """The telco's row is the deviation of its part of the scores of the rows trained on."""
    jobs = Jobs(tmp_path, 200)
    jobs.train(parameters=SCORECARD["parameters"])
    bodies = {
        party: ModelPart.load(tmp_path / f"{party}.model.json").body["estimator"]
        for party in ("bank", "telco")
    }
    page = (tmp_path / "bank.model.json.html").read_text()
    found = re.findall(r">(age|income|all features)</th><td>(bank|telco)</td><td[^>]*>([^<]+)", page)
    told = {name: float(value) for name, _, value in found}
    assert set(told) == {"age", "income", "all features"}
    for name, coefficient in zip(bodies["bank"]["scaling"]["names"], bodies["bank"]["coef"], strict=True):
        assert told[name] == pytest.approx(abs(coefficient), rel=1e-3)
    largest = np.abs(bodies["telco"]["coef"]).max()
    assert 0.9 * largest < told["all features"] < np.abs(bodies["telco"]["coef"]).sum()


@pytest.mark.parametrize("algorithm", ["gradient-boosting", "gradient-boosting-regression"])
def test_boosting_leaves_out_what_cannot_be_split(tmp_path: Path, algorithm: str) -> None:
    jobs = Jobs(tmp_path, 120)
    flat = {"same": np.ones(120), "empty": np.full(120, np.nan)}
    for party in ("bank", "telco"):
        jobs.write(party, **jobs.table(party), **flat)
    parameters = {"n_estimators": 2, "max_depth": 2}
    for report in jobs.train(algorithm=algorithm, parameters=parameters, bank={"html_report": False}):
        assert report["counts"]["columns_trained_on"] == 2
    for report in jobs.predict():
        assert report["counts"]["scored_rows"] == 120
    jobs.write("telco", id=jobs.table("telco")["id"], **flat)
    (tmp_path / "bank.model.json").unlink()
    bank, telco = jobs.train(
        algorithm=algorithm, parameters=parameters, overwrite=True, bank={"html_report": False}
    )
    assert "every column has the same value" in str(telco)
    assert "telco cannot go on: its columns have the same value in every row" in str(bank)
