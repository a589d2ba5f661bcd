# SPDX-License-Identifier: Apache-2.0
"""Scorecards: points are log-odds to rounding, files are read back whole, each party has its own part."""

from __future__ import annotations

import csv
import json
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.learning.evaluation import (
    Scaling,
    ScorecardPart,
    make_scorecard,
    part_score,
    points_by_feature,
    read_scorecard,
    reason_codes,
    total_score,
    write_scorecard,
)
from crypsis.mpc.learning.evaluation.scorecard_files import from_json, to_csv, to_json
from reference import learning_metrics as reference

AGE = (("(-inf, 30]", "(30, inf)", "missing"), (0.7, -0.5, 0.0))
CALLS = (("(-inf, 5]", "(5, inf)"), (-0.2, 0.4))


def parts(scaling: Scaling) -> tuple[ScorecardPart, ScorecardPart]:
    guest = make_scorecard("bank", {"age": AGE}, {"age": 0.9}, scaling=scaling, intercept=-2.5)
    return guest, make_scorecard("telco", {"calls": CALLS}, {"calls": 1.1}, scaling=scaling)


NUMBER = st.floats(-3, 3)
FEATURE = st.tuples(NUMBER, st.lists(NUMBER, min_size=1, max_size=5))


@settings(max_examples=40, deadline=None)
@given(
    intercept=NUMBER,
    features=st.lists(FEATURE, min_size=1, max_size=6),
    base=st.floats(0, 1000),
    odds=st.floats(0.1, 100),
    pdo=st.floats(5, 100),
    decimals=st.integers(0, 4),
    data=st.data(),
)
def test_the_score_is_the_log_odds_to_rounding(
    intercept: float, features: Any, base: float, odds: float, pdo: float, decimals: int, data: Any
) -> None:
    scaling = Scaling(base_score=base, base_odds=odds, pdo=pdo, decimals=decimals)
    names = [f"f{i}" for i in range(len(features))]
    bins = {
        name: ([str(k) for k in range(len(woe))], woe) for name, (_, woe) in zip(names, features, strict=True)
    }
    coefficients = {name: c for name, (c, _) in zip(names, features, strict=True)}
    part = make_scorecard("bank", bins, coefficients, scaling=scaling, intercept=intercept)
    chosen = [data.draw(st.integers(0, len(woe) - 1)) for _, woe in features]
    found = part_score(part, {name: [k] for name, k in zip(names, chosen, strict=True)})
    terms = [(c, woe[k]) for (c, woe), k in zip(features, chosen, strict=True)]
    exact = reference.score(intercept, terms, base, odds, pdo)
    limit = (len(features) + 1) * 10.0**-decimals / 2
    assert abs(found[0] - exact) <= limit + 1e-6
    log_odds = intercept + math.fsum(c * w for c, w in terms)
    assert scaling.score_of([log_odds])[0] == pytest.approx(exact)
    assert scaling.log_odds_of(scaling.score_of([log_odds]))[0] == pytest.approx(log_odds, abs=1e-6)
    more = Scaling(base_score=base, base_odds=odds, pdo=pdo, higher_score="more_likely")
    assert more.score_of([-log_odds])[0] == pytest.approx(exact)
    assert from_json(to_json(part)) == part


def test_base_score_odds_and_points_to_double() -> None:
    scaling = Scaling(base_score=600, base_odds=50, pdo=20)
    assert scaling.score_of([-math.log(50), -math.log(100), -math.log(25)]).tolist() == pytest.approx(
        [600, 620, 580]
    )
    other = Scaling(base_score=600, base_odds=50, pdo=20, higher_score="more_likely")
    assert other.score_of([math.log(50), math.log(100)]).tolist() == pytest.approx([600, 620])


def test_each_party_has_its_part_and_the_sum_is_the_score() -> None:
    scaling = Scaling(decimals=2)
    guest, host = parts(scaling)
    assert host.base_points is None
    assert guest.base_points is not None
    assert "calls" not in to_json(guest)
    assert "age" not in to_json(host)
    rows_guest, rows_host = {"age": [0, 1, 2]}, {"calls": [1, 0, 1]}
    total = total_score([part_score(guest, rows_guest), part_score(host, rows_host)])
    woe = np.array([[0.7, 0.4], [-0.5, -0.2], [0.0, 0.4]])
    expected = scaling.score_of(-2.5 + woe @ [0.9, 1.1])
    assert np.abs(total - expected).max() <= 3 * 0.005 + 1e-9


def test_reasons() -> None:
    bins = {"age": AGE, "calls": CALLS}
    part = make_scorecard("bank", bins, {"age": 0.9, "calls": 1.1}, scaling=Scaling(), intercept=0.0)
    points = {f.name: [b.points for b in f.bins] for f in part.features}
    found = reason_codes(part, {"age": [0, 1], "calls": [1, 1]}, n_reasons=2)
    assert found.names == ("age", "calls")
    assert found.features.tolist() == [[0, 1], [1, 0]]
    assert found.lost[0].tolist() == [
        points["age"][1] - points["age"][0],
        points["calls"][0] - points["calls"][1],
    ]
    assert found.lost[1, 1] == 0
    neutral = reason_codes(part, {"age": [1], "calls": [1]}, against="neutral")
    assert neutral.lost[0].tolist() == [-points["calls"][1], 0]
    with pytest.raises(ValueError, match="n_reasons is 0"):
        reason_codes(part, {"age": [1], "calls": [1]}, n_reasons=0)


def test_files(tmp_path: Path) -> None:
    guest, host = parts(Scaling())
    write_scorecard(tmp_path / "bank.json", guest)
    write_scorecard(tmp_path / "telco.json", host)
    assert read_scorecard(tmp_path / "bank.json") == guest
    assert read_scorecard(tmp_path / "telco.json") == host
    assert stat.S_IMODE((tmp_path / "bank.json").stat().st_mode) == 0o600
    write_scorecard(tmp_path / "bank.csv", guest)
    rows = list(csv.DictReader((tmp_path / "bank.csv").read_text().splitlines()))
    assert len(rows) == 4
    assert rows[0]["feature"] == "(base points)"
    assert [float(r["points"]) for r in rows[1:]] == [b.points for b in guest.features[0].bins]
    with pytest.raises(ValueError, match=r"\.json or \.csv"):
        write_scorecard(tmp_path / "bank.xlsx", guest)
    with pytest.raises(DataError):
        write_scorecard(tmp_path / "none" / "bank.json", guest)
    with pytest.raises(DataError, match="cannot be read"):
        read_scorecard(tmp_path / "lost.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.csv", "bank.json", "telco.json"]


def test_a_spreadsheet_computes_nothing() -> None:
    name = "=HYPERLINK(1)"
    part = make_scorecard("@bank", {name: (("+1", 'a,"b'), (0.1, 0.2))}, {name: 1.0}, scaling=Scaling())
    rows = list(csv.DictReader(to_csv(part).splitlines()))
    assert [(r["party"], r["feature"], r["label"]) for r in rows] == [
        ("'@bank", "'=HYPERLINK(1)", "'+1"),
        ("'@bank", "'=HYPERLINK(1)", 'a,"b'),
    ]


def _changed(path: tuple[Any, ...], value: Any) -> str:
    document = json.loads(to_json(parts(Scaling())[0]))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a crypsis scorecard"),
        (_changed(("version",), 2), "version 2 is not 1"),
        (_changed(("party",), 5), "party must be a text"),
        (_changed(("other",), 5), "must have exactly"),
        (_changed(("features",), {}), "must be a list"),
        (_changed(("features", 0, "bins"), []), "has no bins"),
        (_changed(("features", 0, "bins", 1, "points"), "5"), "finite number"),
        (_changed(("features", 0, "bins", 1, "woe"), math.nan), "finite number"),
        (_changed(("features", 0, "coefficient"), True), "finite number"),
        (_changed(("scaling", "pdo"), 0), "pdo is 0"),
        (_changed(("scaling", "decimals"), 99), "decimals is 99"),
        (_changed(("scaling", "higher_score"), ["x"]), "higher_score"),
        (_changed(("base_points",), "x"), "finite number"),
    ],
)
def test_damaged_files(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptData, match=words):
        from_json(text)
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(CorruptData, match=r"card\.json: "):
        read_scorecard(tmp_path / "card.json")


def test_a_feature_twice_is_damage() -> None:
    document = json.loads(to_json(parts(Scaling())[0]))
    document["features"] *= 2
    with pytest.raises(CorruptData, match="same name"):
        from_json(json.dumps(document))


def test_bad_arguments() -> None:
    scaling = Scaling()
    guest = parts(scaling)[0]
    for wrong, kind, words in (
        (lambda: Scaling(pdo=0), ValueError, "pdo is 0"),
        (lambda: Scaling(base_odds=-1), ValueError, "base_odds is -1"),
        (lambda: Scaling(base_score=math.nan), ValueError, "base_score is nan"),
        (lambda: Scaling(decimals=7), ValueError, "decimals is 7"),
        (
            lambda: make_scorecard("b", {"age": AGE}, {}, scaling=scaling),
            ValueError,
            "coefficient only: 'age'",
        ),
        (
            lambda: make_scorecard("b", {"a": (["x"], [0.1, 0.2])}, {"a": 1}, scaling=scaling),
            ValueError,
            "1 labels",
        ),
        (
            lambda: make_scorecard("b", {"a": (["x"], [math.nan])}, {"a": 1}, scaling=scaling),
            ValueError,
            "WOE of 'a'",
        ),
        (
            lambda: make_scorecard("b", {}, {}, scaling=scaling, intercept=math.inf),
            ValueError,
            "intercept is inf",
        ),
        (lambda: points_by_feature(guest, {}), ValueError, "'age' are missing"),
        (lambda: points_by_feature(guest, {"age": [3]}), ValueError, "outside of 0 to 2"),
        (lambda: points_by_feature(guest, {"age": [-1]}), ValueError, "outside of 0 to 2"),
        (lambda: points_by_feature(guest, {"age": [0.5]}), TypeError, "whole numbers"),
        (lambda: total_score([np.ones(2), np.ones(3)]), ValueError, "same rows"),
        (lambda: total_score([]), ValueError, "cannot be added"),
    ):
        with pytest.raises(kind, match=words):
            wrong()
