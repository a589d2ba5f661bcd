# SPDX-License-Identifier: Apache-2.0
"""Population and characteristic stability, and feature importance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.mpc.learning.evaluation import (
    Split,
    characteristic_stability,
    linear_importance,
    merged,
    population_stability,
    stability_of_counts,
    tree_importance,
)
from crypsis.mpc.learning.evaluation.stability import interval_labels, quantile_edges
from reference import learning_metrics as reference

COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12).filter(
    lambda rows: any(e for e, _ in rows) and any(a for _, a in rows)
)


@settings(max_examples=40, deadline=None)
@given(COUNTS)
def test_the_index_is_what_its_definition_says(rows: list[tuple[int, int]]) -> None:
    expected, actual = zip(*rows, strict=True)
    found = stability_of_counts([str(i) for i in range(len(rows))], expected, actual)
    assert found.index == pytest.approx(reference.psi(expected, actual), abs=1e-12)
    assert found.index >= -1e-15
    assert found.smoothed == (0 in expected or 0 in actual)
    swapped = stability_of_counts([str(i) for i in range(len(rows))], actual, expected)
    assert swapped.index == pytest.approx(found.index, abs=1e-12)


def test_known_answer_and_readings() -> None:
    found = stability_of_counts(["a", "b"], [50, 50], [60, 40])
    assert found.index == pytest.approx(0.1 * math.log(1.2) - 0.1 * math.log(0.8))
    assert found.reading == "stable"
    assert stability_of_counts(["a", "b"], [50, 50], [66, 34]).reading == "watch"
    assert stability_of_counts(["a", "b"], [50, 50], [90, 10]).reading == "shifted"
    assert stability_of_counts(["a", "b"], [50, 50], [500, 500]).index == 0


def test_bins_are_equal_parts_of_the_expected_sample() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=10_000), rng.normal(0.3, 1, size=5_000)
    found = population_stability(before, after)
    assert len(found.bins) == 10
    assert [b.expected_count for b in found.bins] == pytest.approx([1000] * 10, abs=1)
    edges = quantile_edges(before, 10)
    for number, each in enumerate(found.bins):
        low = -math.inf if number == 0 else edges[number - 1]
        high = math.inf if number == 9 else edges[number]
        assert each.actual_count == ((after > low) & (after <= high)).sum()
    same = population_stability(before, after, edges=edges)
    assert same == found
    assert population_stability(before, before).index == 0


def test_few_values_and_missing_ones() -> None:
    found = population_stability([1, 1, 1, 2, 2, 3], [1, 2, 3, 3, 3, 3], n_bins=3)
    assert [b.label for b in found.bins] == ["(-inf, 1]", "(1, 2]", "(2, inf)"]
    assert sum(b.expected_count for b in found.bins) == sum(b.actual_count for b in found.bins) == 6
    constant = population_stability([5, 5], [5, 7])
    assert [b.label for b in constant.bins] == ["(-inf, inf)"]
    assert constant.index == 0
    holes = population_stability([1, 2, math.nan], [1, 2, 2], n_bins=2, allow_missing=True)
    assert [(b.label, b.expected_count, b.actual_count) for b in holes.bins] == [
        ("(-inf, 1]", 1, 1),
        ("(1, inf)", 1, 2),
        ("missing", 1, 0),
    ]
    assert holes.smoothed
    nothing = population_stability([math.nan], [1.0], allow_missing=True)
    assert len(nothing.bins) == 2


def test_edges_nearer_than_four_digits_have_different_names() -> None:
    labels = interval_labels(np.array([1.0000001, 1.0000002]))
    assert len(set(labels)) == 3


def test_features() -> None:
    rng = np.random.default_rng(2)
    before = {"age": rng.normal(size=500), "income": rng.normal(size=500)}
    after = {"age": rng.normal(size=400), "income": np.r_[rng.normal(2, 1, size=399), math.nan]}
    found = characteristic_stability(before, after)
    assert list(found) == ["age", "income"]
    assert found["age"].index < found["income"].index
    assert found["income"].bins[-1].label == "missing"
    with pytest.raises(ValueError, match="one sample only: 'age'"):
        characteristic_stability(before, {"income": after["income"]})
    with pytest.raises(ValueError, match="feature 'age': actual is empty"):
        characteristic_stability(before, {**after, "age": np.empty(0)})


@pytest.mark.parametrize(
    ("expected", "actual", "options", "words"),
    [
        ([1.0, math.nan], [1.0], {}, "expected has values that are not finite"),
        ([1.0], [math.inf], {"allow_missing": True}, "actual has values that are not finite"),
        ([], [1.0], {}, "expected is empty"),
        ([1.0], [1.0], {"edges": [2.0, 1.0]}, "ascending"),
        ([1.0], [1.0], {"n_bins": 1}, "n_bins is 1"),
    ],
)
def test_bad_samples(expected: Any, actual: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        population_stability(expected, actual, **options)


def test_bad_counts() -> None:
    with pytest.raises(ValueError, match="not all zero"):
        stability_of_counts(["a"], [0], [1])
    with pytest.raises(ValueError, match="not negative"):
        stability_of_counts(["a", "b"], [1, 1], [2, -1])
    with pytest.raises(ValueError, match="1 labels, 2 expected"):
        stability_of_counts(["a"], [1, 2], [1, 2])


SPLITS = [
    Split("bank", "age", 3.0, 100),
    Split("telco", "calls", 5.0, 60),
    Split("bank", "age", 1.0, 40),
    Split("bank", "calls", 1.0, 10),
]


def test_trees() -> None:
    gain = tree_importance(SPLITS)
    assert [(r.owner, r.feature, r.value) for r in gain.rows] == [
        ("telco", "calls", 5),
        ("bank", "age", 4),
        ("bank", "calls", 1),
    ]
    assert sum(r.share for r in gain.rows) == pytest.approx(1)
    assert [r.value for r in tree_importance(SPLITS, method="split").rows] == [2, 1, 1]
    assert [r.value for r in tree_importance(SPLITS, method="cover").rows] == [140, 60, 10]
    assert tree_importance([]).rows == ()
    assert tree_importance([Split("a", "b", 0.0, 0.0)]).rows[0].share == 0
    with pytest.raises(ValueError, match="gain nan"):
        tree_importance([Split("a", "b", math.nan, 1)])
    with pytest.raises(ValueError, match="method is 'shap'"):
        tree_importance(SPLITS, method="shap")  # type: ignore[arg-type]


def test_linear_models() -> None:
    bank = linear_importance("bank", ["age", "income"], [-2.0, 0.5], [1.0, 2.0])
    telco = linear_importance("telco", ["age"], [1.5], [1.0])
    both = merged([bank, telco])
    assert [(r.owner, r.value) for r in both.rows] == [("bank", 2.0), ("telco", 1.5), ("bank", 1.0)]
    assert [r.share for r in both.rows] == pytest.approx([2 / 4.5, 1.5 / 4.5, 1 / 4.5])
    for wrong, words in (
        (lambda: linear_importance("a", ["x"], [1.0, 2.0], [1.0]), "1 features, 2 coefficients"),
        (lambda: linear_importance("a", ["x"], [1.0], [-1.0]), r"deviations\[0\] is negative"),
        (lambda: linear_importance("a", ["x", "x"], [1.0, 1.0], [1.0, 1.0]), "same name"),
        (lambda: merged([]), "no tables"),
        (lambda: merged([bank, bank]), "in two tables"),
        (lambda: merged([bank, tree_importance(SPLITS)]), "cannot be compared"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()
