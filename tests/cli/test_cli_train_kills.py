# SPDX-License-Identifier: Apache-2.0
"""kill -9 of either party at random moments of `crypsis train`, several times in turn: the model parts and the report
are those of a run that was left in peace.

Boosting and everything before a training are exact: equal to the last bit, however often parties die. The linear models
draw shares and the order of batches afresh for each job, so an undisturbed run can only be one of the same job: it goes
on from the same first epoch, and differs by what shares are rounded to: at random, scores to 2^-12 where a polynomial
is taken of them, and all else to 2^-32.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from .train_cases import PARTIES, Training
from .warm import Warm

pytestmark = pytest.mark.slow

KILLS = 5
WOE = [{"impute": {"strategy": "median"}}, {"woe": {"max_bins": 4, "min_events": 1, "n_fine": 12}}]
BOOSTING = {
    "binary": ("gradient-boosting", "bad", {}, []),
    "binary, WOE before": ("gradient-boosting", "bad", {}, WOE),
    "binary, sampled": ("gradient-boosting", "bad", {"subsample": 0.8}, ["standardise"]),
    "binary, GOSS": ("gradient-boosting", "bad", {"top_rate": 0.3, "other_rate": 0.3}, ["min-max"]),
    "classes": ("gradient-boosting", "grade", {"n_classes": 3, "n_estimators": 4}, []),
    "numbers": ("gradient-boosting-regression", "loss", {}, ["standardise"]),
}
LINEAR = {
    "logistic": ("logistic-regression", "bad", {}, []),
    "logistic, WOE before": ("logistic-regression", "bad", {}, [*WOE, {"select": {"vif": None}}]),
    "logistic, scaled before": ("logistic-regression", "bad", {"sigmoid": "linear"}, ["standardise"]),
    "linear": ("linear-regression", "loss", {}, []),
    "linear, scaled before": ("linear-regression", "loss", {"alpha": 1.0}, ["min-max"]),
}
# Drawn afresh for every run, or of the run and not of the model.
PASSING = ("job", "estimator_job", "seconds", "bytes_sent", "bytes_received", "run", "seed")
OF_THE_RUN = (
    "started",
    "finished",
    "traffic",
    "seconds_by_kind",
    "share_by_kind",
    "total_seconds",
    "peak_memory_bytes",
    "resumed_after",
    "outputs",
)


@pytest.fixture(scope="module", autouse=True)
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that the first run is not measured with what is done once."""
    Warm(["--version"], tmp_path_factory.mktemp("warm") / "told").finished(600)


def plain(value: Any, leave: tuple[str, ...] = PASSING) -> Any:
    """Without what differs from run to run; names that hosts' columns pass under, drawn afresh, are put in order."""
    if isinstance(value, dict):
        kept = {name: plain(one, leave) for name, one in value.items() if name not in leave}
        for name in ("peer_iv", "aliases"):
            if name in kept:
                kept[name] = sorted(kept[name].values())
        for name in ("peer_kept",):
            if name in kept:
                kept[name] = len(kept[name])
        if "dropped" in kept:
            kept["dropped"] = sorted(name for name in kept["dropped"] if ":" not in name)
        return kept
    return [plain(item, leave) for item in value] if isinstance(value, list) else value


def same(left: Any, right: Any, tolerance: float, where: str = "") -> None:
    """Equal, but for numbers that may differ by the tolerance."""
    if isinstance(left, dict) and isinstance(right, dict):
        assert set(left) == set(right), where
        for name in left:
            same(left[name], right[name], tolerance, f"{where}.{name}")
    elif isinstance(left, list) and isinstance(right, list):
        assert len(left) == len(right), where
        for place, (a, b) in enumerate(zip(left, right, strict=True)):
            same(a, b, tolerance, f"{where}[{place}]")
    elif isinstance(left, float) and isinstance(right, float) and tolerance:
        assert math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance), (where, left, right)
    else:
        assert left == right, (where, left, right)


def results(training: Training) -> dict[str, Any]:
    return {
        party: {
            "part": plain(training.part(party)),
            "report": plain(training.report(party), (*PASSING, *OF_THE_RUN)),
        }
        for party in PARTIES
    }


def configure(training: Training, case: tuple[str, str, dict[str, Any], list[Any]]) -> None:
    algorithm, label, parameters, steps = case
    for party in PARTIES:
        training.config(party, algorithm, label=label, preprocess=steps)
        path = training.folder / f"{party}.train.json"
        own = {"seed": 5} if "boosting" in algorithm and party == "bank" else {}
        config = json.loads(path.read_text())
        config["parameters"] |= parameters | own
        path.write_text(json.dumps(config))


def disturb(training: Training, seconds: float, seed: int) -> list[int | None]:
    """The last states at the kills, bank and telco in turn: the first after a step, however fast the run, the others at
    random."""
    chance = random.Random(seed)
    training.kill_after(max(0, training.last_state("bank")) + 1, "bank")
    found: list[int | None] = [training.last_state("bank")]
    for kill in range(1, KILLS):
        if all(training.is_done(party) for party in PARTIES):
            break
        found.append(training.kill_at_random(chance, PARTIES[kill % 2], seconds))
    training.finish()
    return found


def forget(training: Training) -> None:
    for party in PARTIES:
        for path in training.folder.glob(f"{party}.model.json*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", BOOSTING)
def test_boosting_is_the_undisturbed_one_to_the_last_bit(tmp_path: Path, name: str) -> None:
    training = Training(tmp_path, aligned=True, warm=True)
    configure(training, BOOSTING[name])
    begin = time.monotonic()
    training.finish()
    seconds = time.monotonic() - begin
    expected = results(training)
    forget(training)
    kills = disturb(training, seconds, seed=len(name))
    print(f"{name}: states at the kills {kills}")
    assert any(last is not None for last in kills)
    same(results(training), expected, 0.0)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_are_those_of_the_same_job(tmp_path: Path, name: str) -> None:
    training = Training(tmp_path, warm=True)
    configure(training, LINEAR[name])
    training.kill_after(1, *PARTIES)
    for party in PARTIES:
        shutil.copytree(training.work(party), training.folder / f"{party}.kept")
    begin = time.monotonic()
    training.finish()
    seconds = time.monotonic() - begin
    expected = results(training)
    forget(training)
    for party in PARTIES:
        shutil.copytree(training.folder / f"{party}.kept", training.work(party))
    kills = disturb(training, seconds, seed=len(name))
    print(f"{name}: states at the kills {kills}")
    assert any(last is not None for last in kills)
    algorithm, _, parameters, _ = LINEAR[name]
    polynomial = algorithm == "logistic-regression" and "sigmoid" not in parameters
    same(results(training), expected, 2e-3 if polynomial else 1e-5)


@pytest.mark.parametrize("step", [0, 3])
def test_both_at_once(tmp_path: Path, step: int) -> None:
    """A power cut: both die at the same moment, after the preparation and in the middle."""
    training = Training(tmp_path, warm=True)
    configure(training, BOOSTING["binary, WOE before"])
    training.kill_after(step, *PARTIES)
    training.finish()
    for party in PARTIES:
        assert training.report(party)["resumed_after"] >= step
