# SPDX-License-Identifier: Apache-2.0
"""`crypsis train` and `crypsis predict` in two processes over mutual TLS: a job, kill -9 in its middle, wrong settings.

Kills at random moments stand in `test_cli_train_kills`, what is wrong with data in `test_cli_train_bad_input`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .train_cases import ALGORITHMS, PARTIES, Training, succeeded


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def test_train_kill_resume(tmp_path: Path) -> None:
    training = Training(tmp_path, aligned=True)
    brief = {
        "C": 0.1,
        "max_epochs": 12,
        "batch_size": 16,
        "learning_rate": 0.3,
        "tol": None,
        "sigmoid": "linear",
    }
    for party in PARTIES:
        training.config(party, "logistic-regression", parameters=brief)
    training.kill_after(2, "telco")
    bank, telco = training.run()
    succeeded(bank, telco)
    reports = [training.report(party) for party in PARTIES]
    assert reports[0]["resumed_after"] == reports[1]["resumed_after"] >= 2
    assert len(reports[0]["history"]) == 12
    assert all(training.is_done(party) for party in PARTIES)
    assert "evaluation     AUC 0." in bank.stdout
    assert "resumed        after step" in telco.stdout
    assert training.report("bank")["metrics"]["auc"] > 0.85


def test_the_peer_has_other_parameters(training: Training) -> None:
    training.config("bank", "logistic-regression")
    training.config("telco", "logistic-regression")
    training.change("telco", parameters={**ALGORITHMS["logistic-regression"], "C": 0.5})
    for party, told in zip(training.run(), ("0.1 here, 0.5 at telco", "0.5 here, 0.1 at bank"), strict=True):
        line = party.error(2)
        assert "disagree on 'parameters.C'" in line
        assert told in line


def test_configurations_that_are_wrong(training: Training, crypsis: Any) -> None:
    path = training.folder / "bank.train.json"

    def refused(text: str, **fields: Any) -> None:
        training.config("bank", "logistic-regression", patience=0.2)
        config = json.loads(path.read_text()) | fields
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        finished = crypsis("train", "--config", str(path))
        assert finished.code in (2, 4), finished
        assert text in finished.stderr

    refused("parameters.Cc: logistic-regression has no such parameter; it has C", parameters={"Cc": 1})
    refused("C is -1", parameters={"C": -1})
    refused("label is missing", label=None)
    refused("a host has no labels", role="host")
    refused("preprocess.0: there is no step 'smote'; steps are impute", preprocess=["smote"])
    refused("preprocess.0.impute: no option 'with'", preprocess=[{"impute": {"with": 1}}])
    refused("add woe before it", preprocess=["select"])
    refused("algorithm: 'svm' is not known", algorithm="svm")
    refused("keys: give one column", keys=["id", "age"])
    refused("features: 'bad' is the label", features=["bad"])
    refused("no column 'wealth'", features=["wealth"])
    refused("cipher.key_bits: 1024", cipher={"key_bits": 1024})
    refused("no such field", modell="x")
    refused("a job has one guest and one host", peer=["telco", "shop"])
    refused("a job has one guest and one host", hosts=[{"name": "telco"}])
    refused("has the bins of the step woe", scorecard="card.json")
    refused("has the bins of the step woe", scorecard="card.json", preprocess=["woe", "standardise"])
    refused("is of logistic-regression", scorecard="card.json", algorithm="linear-regression", parameters={})
    refused("is written as .json or .csv", scorecard="card.xlsx", preprocess=["woe"])
    refused("pdo is 0", scorecard={"path": "card.csv", "pdo": 0.0}, preprocess=["woe"])
    early = {"early_stopping_rounds": 2}
    refused("no rows to validate on", algorithm="gradient-boosting", parameters=early)
    assert not (training.folder / "bank.model.json.work").exists()


def test_a_prediction_without_its_model(training: Training, crypsis: Any) -> None:
    training.predict_config("bank", patience=0.2)
    finished = crypsis("predict", "--config", str(training.folder / "bank.predict.json"))
    assert finished.code == 4
    assert "bank.model.json: cannot be read" in finished.stderr
    assert not (training.folder / "scores.csv").exists()


def test_schemas(crypsis: Any) -> None:
    for command, field in (("train", "algorithm"), ("predict", "share_result")):
        finished = crypsis(command, "--schema")
        assert finished.code == 0
        assert field in json.loads(finished.stdout)["properties"]
