# SPDX-License-Identifier: Apache-2.0
"""Metrics against their definitions (tests/reference), against scikit-learn, and with bad arguments."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from crypsis.mpc.learning.evaluation import (
    auc,
    brier_score,
    calibration,
    capture_rate,
    confusion,
    gain,
    gini,
    ks,
    lift_table,
    log_loss,
    multiclass_metrics,
    rank_curve,
    regression_metrics,
)
from crypsis.mpc.learning.evaluation.decisions import chi_square_survival
from reference import learning_metrics as reference

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the test extra")

# Few distinct values: most rows are tied.
ROW = st.tuples(
    st.integers(0, 1), st.integers(0, 6).map(lambda k: k / 8), st.integers(0, 4).map(lambda k: k / 2)
)


def columns(rows: list[Any]) -> tuple[list[float], list[float], list[float]]:
    labels, scores, weights = (list(column) for column in zip(*rows, strict=True))
    for label in (0, 1):
        assume(any(w for y, w in zip(labels, weights, strict=True) if y == label))
    return labels, scores, weights


def sample(n_rows: int, *, distinct: int, seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n_rows) < 0.2).astype(int)
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    return labels, np.round(scores * distinct) / distinct, rng.random(n_rows) * (rng.random(n_rows) < 0.9)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=25))
@example([(0, 0.5, 1.0), (1, 0.5, 1.0)])
@example([(0, 0.0, 1.0), (1, 0.5, 1.0)])
@example([(0, 0.5, 1.0), (1, 0.0, 1.0)])
def test_ranking_is_what_its_definition_says(rows: list[Any]) -> None:
    labels, scores, weights = columns(rows)
    given_ = {"weights": weights}
    expected = float(reference.auc(labels, scores, weights))
    assert auc(labels, scores, **given_) == pytest.approx(expected, abs=1e-14)
    assert gini(labels, scores, **given_) == pytest.approx(2 * expected - 1, abs=1e-14)
    curve = rank_curve(labels, scores, **given_)
    assert curve.auc == pytest.approx(expected, abs=1e-14)
    for i, threshold in enumerate(curve.thresholds):
        told = (curve.true_positive_rate[i], curve.false_positive_rate[i], curve.population_share[i])
        assert told == pytest.approx([float(v) for v in reference.rates(labels, scores, weights, threshold)])
    found = ks(labels, scores, **given_)
    assert found.statistic == pytest.approx(float(reference.ks(labels, scores, weights)), abs=1e-14)
    tpr, fpr, share = (float(v) for v in reference.rates(labels, scores, weights, found.threshold))
    assert abs(tpr - fpr) == pytest.approx(found.statistic)
    assert share == pytest.approx(found.population_share)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=25), st.integers(2, 12), st.integers(1, 16))
def test_lift_and_capture_are_what_their_definitions_say(
    rows: list[Any], n_buckets: int, sixteenths: int
) -> None:
    labels, scores, weights = columns(rows)
    share = Fraction(sixteenths, 16)
    told = capture_rate(labels, scores, share=float(share), weights=weights)
    assert told == pytest.approx(float(reference.capture(labels, scores, weights, share)))
    table = lift_table(labels, scores, n_buckets=n_buckets, weights=weights)
    expected = reference.lift_buckets(labels, scores, weights, n_buckets)
    assert [(b.rows, b.positives) for b in table] == [(float(r), float(p)) for r, p in expected]
    assert table[-1].cumulative_capture == table[-1].cumulative_population == table[-1].cumulative_lift == 1
    assert all(high.score_low > low.score_high for high, low in itertools.pairwise(table))
    total = sum(b.positives for b in table) / sum(b.rows for b in table)
    assert [b.lift for b in table] == pytest.approx([b.rate / total for b in table])


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=25), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_weights_as_copies_change_nothing(rows: list[Any], random: Any) -> None:
    columns(rows)
    copies = [(label, score, 1.0) for label, score, weight in rows for _ in range(int(2 * weight))]
    random.shuffle(copies)
    labels, scores, weights = columns(rows)
    more_labels, more_scores, _ = columns(copies)
    assert auc(labels, scores, weights=weights) == pytest.approx(auc(more_labels, more_scores), abs=1e-14)
    one, other = ks(labels, scores, weights=weights), ks(more_labels, more_scores)
    assert one.statistic == pytest.approx(other.statistic, abs=1e-14)
    inverse = auc(labels, [-s for s in scores], weights=weights)
    assert inverse == pytest.approx(1 - auc(labels, scores, weights=weights), abs=1e-14)


@pytest.mark.parametrize("distinct", [3, 50, 10**9])
def test_scikit_learn_says_the_same_of_rankings(distinct: int) -> None:
    labels, scores, weights = sample(3000, distinct=distinct, seed=distinct)
    for weight in (None, weights):
        assert auc(labels, scores, weights=weight) == pytest.approx(
            sklearn_metrics.roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12
        )
        kept = slice(None) if weight is None else weight > 0
        theirs = sklearn_metrics.roc_curve(
            labels[kept],
            scores[kept],
            drop_intermediate=False,
            sample_weight=None if weight is None else weight[kept],
        )
        curve = rank_curve(labels, scores, weights=weight)
        for mine, other in zip(
            (curve.false_positive_rate, curve.true_positive_rate, curve.thresholds), theirs, strict=True
        ):
            np.testing.assert_allclose(mine, other, atol=1e-12)
        assert ks(labels, scores, weights=weight).statistic == pytest.approx(
            float(np.abs(theirs[1] - theirs[0]).max()), abs=1e-12
        )


def test_ks_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    labels, scores, _ = sample(1000, distinct=20, seed=5)
    theirs = stats.ks_2samp(scores[labels == 1], scores[labels == 0]).statistic
    assert ks(labels, scores).statistic == pytest.approx(theirs, abs=1e-12)


def test_scikit_learn_says_the_same_of_decisions() -> None:
    labels, scores, weights = sample(2000, distinct=40, seed=1)
    called = scores >= 0.5
    for weight in (None, weights):
        found = confusion(labels, scores, threshold=0.5, weights=weight)
        counts = sklearn_metrics.confusion_matrix(labels, called, sample_weight=weight)
        told = [[found.true_negatives, found.false_positives], [found.false_negatives, found.true_positives]]
        np.testing.assert_allclose(told, counts)
        for mine, name in (
            (found.accuracy, "accuracy_score"),
            (found.precision, "precision_score"),
            (found.recall, "recall_score"),
            (found.f1, "f1_score"),
            (log_loss(labels, np.clip(scores, 1e-9, 1 - 1e-9), weights=weight), "log_loss"),
            (brier_score(labels, scores, weights=weight), "brier_score_loss"),
        ):
            theirs = scores if name in ("log_loss", "brier_score_loss") else called
            if name == "log_loss":
                theirs = np.clip(scores, 1e-9, 1 - 1e-9)
            other = getattr(sklearn_metrics, name)(labels, theirs, sample_weight=weight)
            assert mine == pytest.approx(other, rel=1e-12)


def test_scikit_learn_says_the_same_of_calibration() -> None:
    from sklearn.calibration import calibration_curve

    labels, scores, _ = sample(2000, distinct=10**9, seed=2)
    found = calibration(labels, scores, n_bins=8, strategy="uniform")
    observed, predicted = calibration_curve(labels, scores, n_bins=8, strategy="uniform")
    np.testing.assert_allclose([b.observed for b in found.bins], observed)
    np.testing.assert_allclose([b.predicted for b in found.bins], predicted)
    rows = np.array([b.rows for b in found.bins])
    assert found.expected_calibration_error == pytest.approx(
        (rows * np.abs(observed - predicted)).sum() / 2000
    )
    quantile = calibration(labels, scores, n_bins=8)
    assert [b.rows for b in quantile.bins] == [250] * 8


def test_hosmer_lemeshow_by_its_formula() -> None:
    stats = pytest.importorskip("scipy.stats")
    labels, scores, _ = sample(1500, distinct=10**9, seed=3)
    found = calibration(labels, scores)
    expected = sum(
        b.rows * (b.observed - b.predicted) ** 2 / (b.predicted * (1 - b.predicted)) for b in found.bins
    )
    fit = found.hosmer_lemeshow
    assert fit.statistic == pytest.approx(expected)
    assert fit.degrees_of_freedom == 8
    assert fit.p_value == pytest.approx(stats.chi2.sf(expected, 8), abs=1e-12)
    for freedom in (1, 2, 3, 8, 29, 98):
        for x in (0.0, 1e-9, 0.3, 5.0, 40.0, 700.0):
            assert chi_square_survival(x, freedom) == pytest.approx(
                stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-300
            )


def test_bins_that_are_sure_of_themselves() -> None:
    right = calibration([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0])
    assert right.hosmer_lemeshow.statistic == right.brier_score == right.expected_calibration_error == 0
    assert math.isnan(right.hosmer_lemeshow.p_value)
    wrong = calibration([1, 0, 1], [0.0, 0.5, 1.0])
    assert wrong.hosmer_lemeshow.statistic == math.inf
    assert wrong.hosmer_lemeshow.p_value == 0
    assert log_loss([1], [0.0]) == pytest.approx(52 * math.log(2))


@settings(max_examples=30, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=25))
def test_log_loss_is_what_its_definition_says(rows: list[Any]) -> None:
    labels, scores, weights = columns(rows)
    told = log_loss(labels, scores, weights=weights)
    assert told == pytest.approx(reference.log_loss(labels, scores, weights), rel=1e-12)


def test_known_answers() -> None:
    labels, scores = [1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert auc(labels, scores) == 8 / 9
    assert ks(labels, scores).threshold == 0.8
    assert ks(labels, [0.5] * 6).statistic == 0
    assert ks(labels, [0.5] * 6).threshold == math.inf
    assert gain(labels, scores).captured.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1, 1, 1])
    assert [b.lift for b in lift_table(labels, scores, n_buckets=3)] == pytest.approx([2, 1, 0])
    nothing = confusion([0, 0], [0.1, 0.2], threshold=math.inf)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
    assert math.isnan(nothing.f1)
    assert nothing.accuracy == nothing.specificity == 1


def test_scikit_learn_says_the_same_of_regression() -> None:
    rng = np.random.default_rng(4)
    targets = rng.normal(size=500) * 10
    predictions = targets + rng.normal(size=500)
    weights = rng.random(500)
    for weight in (None, weights):
        found = regression_metrics(targets, predictions, weights=weight)
        for mine, name in (
            (found.mae, "mean_absolute_error"),
            (found.rmse, "root_mean_squared_error"),
            (found.r2, "r2_score"),
            (found.mape, "mean_absolute_percentage_error"),
        ):
            other = getattr(sklearn_metrics, name)(targets, predictions, sample_weight=weight)
            assert mine == pytest.approx(other)
    zeros = regression_metrics([0.0, 2.0], [1.0, 1.0])
    assert (zeros.mape, zeros.zero_targets) == (0.5, 1)
    constant = regression_metrics([0.0, 0.0], [1.0, 1.0])
    assert math.isnan(constant.r2)
    assert math.isnan(constant.mape)


def test_scikit_learn_says_the_same_of_several_classes() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 600)
    raw = rng.random((600, 4)) + np.eye(4)[labels] * 0.4
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    weights = rng.random(600)
    for weight in (None, weights):
        found = multiclass_metrics(labels, probabilities, weights=weight)
        assert found.macro_auc == pytest.approx(
            sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr", sample_weight=weight)
        )
        called = probabilities.argmax(axis=1)
        assert found.accuracy == pytest.approx(
            sklearn_metrics.accuracy_score(labels, called, sample_weight=weight)
        )
        np.testing.assert_allclose(
            found.confusion, sklearn_metrics.confusion_matrix(labels, called, sample_weight=weight)
        )


BINARY = [auc, gini, ks, gain, rank_curve, lift_table, log_loss, brier_score, calibration, confusion]


@pytest.mark.parametrize("metric", BINARY, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("labels", "scores", "weights", "kind", "words"),
    [
        ([0, 2], [0.1, 0.2], None, ValueError, r"labels\[1\] is 2"),
        ([0, math.nan], [0.1, 0.2], None, ValueError, r"labels\[1\] is nan"),
        ([0, 1], [0.1, math.nan], None, ValueError, r"\[1\] is nan"),
        ([0, 1], [math.inf, 0.1], None, ValueError, r"\[0\] is inf"),
        ([], [], None, ValueError, "labels is empty|must be numbers"),
        ([0, 1], [0.1], None, ValueError, "has 1 rows where the labels have 2"),
        ([0, 1], [0.1, 0.2], [1.0], ValueError, "weights has 1 rows"),
        ([0, 1], [0.1, 0.2], [1.0, -1.0], ValueError, r"weights\[1\] is -1"),
        ([0, 1], [0.1, 0.2], [0.0, 0.0], ValueError, "every weight is 0"),
        ([0, 1], [0.1, 0.2], [1.0, math.nan], ValueError, r"weights\[1\] is nan"),
        (["a", "b"], [0.1, 0.2], None, TypeError, "labels must be numbers"),
        ([0, 1], ["a", "b"], None, TypeError, "must be numbers"),
        ([[0, 1]], [0.1, 0.2], None, ValueError, "one dimension"),
    ],
)
def test_bad_arguments(metric: Any, labels: Any, scores: Any, weights: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        metric(labels, scores, weights=weights)


@pytest.mark.parametrize("metric", [auc, gini, ks, gain, rank_curve, lift_table])
def test_one_class_is_no_ranking(metric: Any) -> None:
    with pytest.raises(ValueError, match="every label is 1"):
        metric([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="every row of label 0 has weight 0"):
        metric([1, 0], [0.1, 0.2], weights=[1.0, 0.0])


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="probabilities lie in"):
        log_loss([0, 1], [0.1, 1.5])
    with pytest.raises(ValueError, match="n_buckets is 1"):
        lift_table([0, 1], [0.1, 0.2], n_buckets=1)
    with pytest.raises(TypeError, match="n_buckets must be a whole number"):
        lift_table([0, 1], [0.1, 0.2], n_buckets=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="strategy is 'other'"):
        calibration([0, 1], [0.1, 0.2], strategy="other")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold is NaN"):
        confusion([0, 1], [0.1, 0.2], threshold=math.nan)
    for share in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match="share is"):
            capture_rate([0, 1], [0.1, 0.2], share=share)
    with pytest.raises(ValueError, match="class 2 has no row"):
        multiclass_metrics([0, 1], np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"labels\[1\] is 3"):
        multiclass_metrics([0, 3], np.ones((2, 3)))
    with pytest.raises(ValueError, match="two classes or more"):
        multiclass_metrics([0, 0], np.ones((2, 1)))
    with pytest.raises(ValueError, match="predictions has 1 rows"):
        regression_metrics([1.0, 2.0], [1.0])
