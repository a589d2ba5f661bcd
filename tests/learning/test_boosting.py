# SPDX-License-Identifier: Apache-2.0
"""Boosting between parties gives the trees of the plaintext reference, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from tests.learning.parties import OU, PAILLIER, run
from tests.reference import learning_boosting as reference

from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.boosting import GradientBoostingClassifier, GradientBoostingRegressor


def data(n: int, seed: int, loss: str = "logistic"):
    """Columns of a guest and of two hosts, with missing values, ties, few values and categories; and labels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    x[:, 2] = rng.integers(0, 4, n)  # few values
    x[:, 4] = np.round(x[:, 4], 1)  # ties
    colour = rng.choice(["red", "green", "blue", "grey"], n)
    score = x[:, 0] + x[:, 3] * x[:, 1] - x[:, 4] + (colour == "blue") - 0.5 * (colour == "red")
    score += rng.normal(size=n) * 0.4
    labels = {
        "logistic": (score > 0).astype(float),
        "softmax": np.digitize(score, [-0.7, 0.7]).astype(float),
        "squared": score,
    }[loss]
    x[rng.random(x.shape) < 0.07] = np.nan
    columns = {f"x{i}": [None if math.isnan(v) else float(v) for v in x[:, i]] for i in range(6)}
    columns["colour"] = [None if rng.random() < 0.05 else str(c) for c in colour]
    return columns, labels


SPLIT = {"guest": ("x0", "x2"), "host-a": ("x1", "x3"), "host-b": ("x4", "colour", "x5")}


def frame(columns, names, labels=None):
    table = pa.table({name: columns[name] for name in names})
    if labels is not None:
        table = table.append_column("y", pa.array(labels))
    return Frame.from_arrow(table, label=None if labels is None else "y")


def train(columns, labels, split, make, *, cipher=OU, **fit):
    """(estimators by party, the guest's scores of the rows by joint prediction)."""

    def party(name):
        def work(session):
            own = frame(columns, split[name], labels if name == "guest" else None)
            model = make("guest" if name == "guest" else "host").fit(own, session=session, **fit)
            return model, model.decision_function(own, session=session)

        return work

    hosts = {name: party(name) for name in split if name != "guest"}
    results = run(party("guest"), hosts, cipher=cipher)
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    return {name: result[0] for name, result in results.items()}, results["guest"][1]


def expected(columns, labels, split, loss, base, **options):
    names = [name for party in split.values() for name in party]
    owners = [i for i, party in enumerate(split.values()) for _ in party]
    n_rounds = options.pop("n_rounds")
    grower = reference.Grower([columns[n] for n in names], owners, reference.Options(**options))
    trees, scores = reference.train(
        grower, loss, labels.tolist(), base, n_rounds, lambda x: float(np.exp(np.float64(x)))
    )
    assert not grower.ties, "a host's secret order decides: take other data"
    return names, trees, np.array(scores)


def same_tree(models, split, tree, node, names, due):
    """Compares a tree below `node` with the reference's."""
    if "left" not in due:
        assert tree.owner[node] == -1
        assert tree.value[node] == due["value"]
        return
    owner = list(split)[tree.owner[node]]
    record = models[owner]._part.records[tree.record[node]]
    assert record.feature == names[due["feature"]]
    split_at, missing_left = due["split"]
    assert record.missing_left == missing_left
    if isinstance(split_at, frozenset):
        assert frozenset(record.left) == split_at
    else:
        assert split_at == record.threshold
    assert tree.gain[node] == due["gain"]
    same_tree(models, split, tree, int(tree.left[node]), names, due["left"])
    same_tree(models, split, tree, int(tree.right[node]), names, due["right"])


@pytest.mark.parametrize(
    ("loss", "options", "cipher"),
    [
        ("logistic", {"max_depth": 4}, OU),
        ("logistic", {"max_depth": 3, "gamma": 2.0, "min_child_weight": 4.0, "max_bins": 6}, PAILLIER),
        ("squared", {"max_depth": 4, "max_leaves": 7, "reg_lambda": 0.0, "max_bins": 9}, OU),
        ("softmax", {"max_depth": 2, "reg_lambda": 3.0, "learning_rate": 0.1}, OU),
    ],
)
def test_trees_are_those_of_the_reference(loss, options, cipher):
    columns, labels = data(300, 7, loss)  # no ties between splits of a host
    kind = GradientBoostingRegressor if loss == "squared" else GradientBoostingClassifier
    extra = {"n_classes": 3} if loss == "softmax" else {}
    models, scores = train(
        columns, labels, SPLIT, lambda role: kind(role, n_estimators=2, **options, **extra), cipher=cipher
    )
    part = models["guest"]._part
    names, due, due_scores = expected(columns, labels, SPLIT, loss, part.base.tolist(), n_rounds=2, **options)
    owners = set()
    for trees, rounds in zip(part.rounds, due, strict=True):
        for tree, root in zip(trees, rounds, strict=True):
            same_tree(models, SPLIT, tree, 0, names, root)
            owners |= set(tree.owner.tolist())
    assert len(owners - {-1}) >= 2
    assert owners & {1, 2}
    assert np.array_equal(scores.reshape(len(labels), -1), due_scores)
