# SPDX-License-Identifier: Apache-2.0
"""Every line of `tests.learning.bad_inputs` as two processes: an error each, an exit code each, no output, and
checkpoints that the job goes on from once the mistake is corrected."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.learning.bad_inputs import PREDICT, TRAIN, Mistake

from crypsis.mpc.learning.model_files import ModelPart

from .parties import Finished
from .train_cases import ALGORITHMS, PARTIES, Training, succeeded

pytestmark = pytest.mark.slow
LOGISTIC = "logistic-regression"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(tmp_path_factory.mktemp("trained"), aligned=True)
    for party in PARTIES:
        training.config(party, LOGISTIC)
    succeeded(*training.run())
    return training


def check(mistake: Mistake, results: tuple[Finished, ...]) -> None:
    at, other = results if mistake.party == "bank" else results[::-1]
    assert mistake.own in at.error(mistake.codes[0])
    assert mistake.peer in other.error(mistake.codes[1])


def mistaken(training: Training, mistake: Mistake, command: str = "train") -> Callable[[], None]:
    """Makes the mistake; what is returned corrects it."""
    files = [f"{party}.{name}" for party in PARTIES for name in (f"{command}.json", "parquet")]
    before = {name: (training.folder / name).read_bytes() for name in files}
    if mistake.change is not None:
        training.write(mistake.party, **mistake.change(training.table(mistake.party)))
    fields = dict(mistake.fields)
    if fields.get("parameters") == "other":
        fields["parameters"] = {**ALGORITHMS[LOGISTIC], "C": 0.5}
    for party in PARTIES:
        training.change(party, command, **mistake.both, **(fields if party == mistake.party else {}))

    def correct() -> None:
        for name, content in before.items():
            (training.folder / name).write_bytes(content)

    return correct


@pytest.mark.parametrize("mistake", TRAIN, ids=str)
def test_trainings(tmp_path: Path, mistake: Mistake) -> None:
    training = Training(tmp_path, aligned=True)
    for party in PARTIES:
        training.config(party, LOGISTIC)
    mistaken(training, mistake)
    check(mistake, training.run())
    assert not any(training.model(party).exists() for party in PARTIES)
    assert not training.work(mistake.party).exists()


@pytest.mark.parametrize("mistake", PREDICT, ids=str)
def test_predictions(trained: Training, mistake: Mistake) -> None:
    for party in PARTIES:
        trained.predict_config(party)
    correct = mistaken(trained, mistake, "predict")
    check(mistake, trained.run("predict"))
    correct()
    assert not (trained.folder / "scores.csv").exists()


def test_a_mistake_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    training = Training(tmp_path, aligned=True)
    for party in PARTIES:
        training.config(party, LOGISTIC)
    training.kill_after(2, "bank")
    kept = {p: p.read_bytes() for party in PARTIES for p in training.work(party).glob("*.*")}
    assert any(path.suffix == ".state" for path in kept)
    for name in ("ids in another order", "a label of 2", "constant", "other parameters", "a longer key"):
        mistake = [one for one in TRAIN if one.name == name][-1]
        correct = mistaken(training, mistake)
        results = training.run()
        at, other = results if mistake.party == "bank" else results[::-1]
        if name == "a longer key":  # keys are made anew at each start
            check(mistake, results)
        else:
            assert "the job was begun here" in at.error(4 if mistake.change else 2)
            assert f"{mistake.party} cannot go on" in other.error(6)
        correct()
        assert {p: p.read_bytes() for p in kept} == kept
    succeeded(*training.run())
    assert training.report("bank")["resumed_after"] >= 2


def _version(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 7}))


def _edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"coef"', '"cafe"'))


def _other_job(path: Path) -> None:
    part = ModelPart.load(path)
    fields: dict[str, Any] = {name: getattr(part, name) for name in ("kind", "role", "party", "body")}
    ModelPart(**fields, job="0" * 32).save(path, overwrite=True)


def _other_key(path: Path) -> None:
    part = ModelPart.load(path)
    body = {**part.body, "cipher": {**part.body["cipher"], "key_bits": 3072}}
    fields: dict[str, Any] = {name: getattr(part, name) for name in ("kind", "role", "party", "job")}
    ModelPart(**fields, body=body).save(path, overwrite=True)


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize(
    ("spoil", "own", "peer", "codes"),
    [
        (_version, "is a model of version 7", "its part of the model will not do", (4, 6)),
        (_edited, "is damaged or was edited", "its part of the model will not do", (4, 6)),
        (_other_job, "disagree on 'model'", "disagree on 'model'", (2, 2)),
        (_other_key, "disagree on 'cipher.key_bits'", "disagree on 'cipher.key_bits'", (2, 2)),
        (lambda path: os.truncate(path, 200), "is not JSON", "its part of the model will not do", (4, 6)),
        (lambda path: path.unlink(), "cannot be read", "its part of the model will not do", (4, 6)),
    ],
    ids=["version", "edited", "job", "key", "cut", "gone"],
)
def test_model_files(trained: Training, party: str, spoil: Any, own: str, peer: str, codes: Any) -> None:
    for one in PARTIES:
        trained.predict_config(one)
    path = trained.model(party)
    good = path.read_bytes()
    spoil(path)
    check(Mistake("", party, own, peer, codes=codes), trained.run("predict"))
    path.write_bytes(good)
    assert not (trained.folder / "scores.csv").exists()
