# SPDX-License-Identifier: Apache-2.0
"""Filling, scaling and cutting of one's own columns."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import preprocessing as sk
from sklearn.impute import SimpleImputer
from tests.reference import learning_preprocess as reference

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.preprocess import (
    Binner,
    FeatureBins,
    Imputer,
    MinMaxScaler,
    StandardScaler,
    WoeEncoder,
)

NAN = math.nan


def holes(n=200, columns=4, seed=1):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(n, columns)), 1)
    values[rng.random(values.shape) < 0.2] = NAN
    return Frame.from_numpy(values)


def table():
    return Frame.from_arrow(
        pa.table({"age": [20.0, None, 40.0, 41.0], "car": ["b", "a", None, "b"], "y": [0, 1, 0, 1]}),
        label="y",
    )


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_filling_is_scikit_learns(strategy):
    frame = holes()
    theirs = SimpleImputer(strategy=strategy, fill_value=-7.0).fit_transform(frame.values)
    ours = Imputer(strategy=strategy, fill_value=-7.0).fit(frame)
    assert np.allclose(ours.transform(frame).values, theirs, rtol=0, atol=1e-12)


def test_indicators_own_bins_and_categories():
    frame = table()
    filled = Imputer(indicator=True, by_column={"age": "own_bin"}).fit_transform(frame)
    assert filled.names == ("age", "car", "age_missing", "car_missing")
    assert np.isnan(filled.values[1, 0])
    assert filled.values[:, 1].tolist() == [1, 0, 1, 1]  # "b" is the most frequent
    assert filled.values[:, 2:].T.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    assert (filled.labels == frame.labels).all()
    other = Frame.from_arrow(pa.table({"car": ["z", "a"], "age": [1.0, 2.0], "more": [1, 2]}))
    again = Imputer().fit(frame).transform(other)
    assert again.values.tolist() == [[1, 1], [2, 0]]  # a category not seen then is missing


def test_scaling_is_scikit_learns():
    frame = holes()
    for ours, theirs in ((StandardScaler(), sk.StandardScaler()), (MinMaxScaler(), sk.MinMaxScaler())):
        expected = theirs.fit_transform(frame.values)
        assert np.allclose(ours.fit(frame).transform(frame).values, expected, equal_nan=True, atol=1e-12)


@pytest.mark.parametrize("step", [Imputer(), StandardScaler(), MinMaxScaler(), Binner()])
def test_columns_without_values_are_named(step):
    frame = Frame.from_numpy([[1.0, NAN, NAN], [2.0, NAN, NAN]], names=["a", "b", "c"])
    with pytest.raises(DataError, match="'b', 'c': leave out"):
        step.fit(frame)
    with pytest.raises(DataError, match="no rows"):
        step.fit(Frame.from_numpy(np.empty((0, 2))))


@pytest.mark.parametrize("step", [StandardScaler(), MinMaxScaler()])
def test_constant_huge_and_text_columns_are_named(step):
    with pytest.raises(DataError, match=r"'b' have the same value.*leave"):
        step.fit(Frame.from_numpy([[1.0, 0.1], [2.0, 0.1], [3, NAN]], names=["a", "b"]))
    with pytest.raises(DataError, match="'x0' are too large"):
        step.fit(Frame.from_numpy([[-1.7e308], [1.7e308]]))
    with pytest.raises(DataError, match="'car' hold categories"):
        step.fit(table())


def test_bad_parameters_and_names():
    with pytest.raises(ValueError, match="strategy is 'average'"):
        Imputer(strategy="average")
    with pytest.raises(ValueError, match=r"by_column\['a'\]"):
        Imputer(by_column={"a": "x"})
    with pytest.raises(ValueError, match="fill_value"):
        Imputer(fill_value=NAN)
    with pytest.raises(ValueError, match="categorical"):
        Imputer(categorical="mean")
    with pytest.raises(DataError, match="'nobody'"):
        Imputer(by_column={"nobody": "mean"}).fit(table())
    with pytest.raises(DataError, match="'car' holds categories"):
        Imputer(by_column={"car": "mean"}).fit(table())
    with pytest.raises(DataError, match="'a_missing', as a column"):
        Imputer(indicator=True).fit(Frame.from_numpy([[1, 2], [NAN, 3]], names=["a", "a_missing"]))
    with pytest.raises(ValueError, match="not fitted"):
        Imputer().transform(table())
    with pytest.raises(ValueError, match="no parameter 'strat'"):
        Imputer().set_params(strat=1)
    with pytest.raises(ValueError, match="method"):
        Binner(method="odd")
    with pytest.raises(ValueError, match="n_bins"):
        Binner(n_bins=1)
    with pytest.raises(ValueError, match="ascending"):
        Binner(edges={"a": [2.0, 1.0]})
    with pytest.raises(DataError, match="'car', which is no number column"):
        Binner(edges={"car": [1.0]}).fit(table())
    with pytest.raises(DataError, match="column 'age' is missing"):
        Binner().fit(table()).numbers(table().select(["car"]))
    with pytest.raises(DataError, match="is numbers and was text"):
        Binner().fit(table()).numbers(Frame.from_numpy([[1, 2]], names=["age", "car"]))


@pytest.mark.parametrize(
    "step",
    [
        Imputer(indicator=True, by_column={"age": "own_bin"}),
        Binner(n_bins=2, edges={"age": [30.0]}),
        Binner(),
    ],
)
def test_states_are_json_and_come_back(step):
    frame = table()
    before = step.fit(frame).transform(frame)
    stored = json.loads(json.dumps(step.to_dict(), allow_nan=False))
    again = type(step).from_dict(stored)
    assert again.get_params() == step.get_params()
    assert np.array_equal(again.transform(frame).values, before.values, equal_nan=True)
    assert repr(again) == repr(step)
    for damage in ({"kind": "x"}, {"state": {}}, {"params": {"a": 1}}, {"state": None}):
        with pytest.raises(CorruptData):
            type(step).from_dict({**stored, **damage})


def test_scalers_and_encoders_come_back():
    frame = Frame.from_numpy(np.random.default_rng(2).normal(size=(99, 2)), np.arange(99) % 2)
    for step in (StandardScaler(), MinMaxScaler(), WoeEncoder(min_events=0, threshold=0.1)):
        before = step.fit(frame).transform(frame).values
        stored = json.loads(json.dumps(step.to_dict(), allow_nan=False))
        assert (type(step).from_dict(stored).transform(frame).values == before).all()
    stored["state"]["woe"]["x0"].append(0.0)
    with pytest.raises(CorruptData):
        WoeEncoder.from_dict(stored)


def test_params_change_and_forget():
    step = Binner(n_bins=3).fit(table())
    assert step.set_params(n_bins=5).n_bins == 5
    with pytest.raises(ValueError, match="not fitted"):
        step.numbers(table())


numbers = st.floats(-4, 4).map(lambda v: round(v, 1)) | st.just(NAN)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(numbers, min_size=1, max_size=40).filter(lambda v: not all(map(math.isnan, v))),
    st.integers(2, 9),
    st.sampled_from(["quantile", "width"]),
)
def test_bins_hold_what_they_say(values, n_bins, method):
    frame = Frame.from_numpy(np.array(values)[:, None])
    binner = Binner(method=method, n_bins=n_bins).fit(frame)
    bins = binner.bins_["x0"]
    assert bins.n_bins <= n_bins + 1
    assert [reference.bin_of(v, bins.edges) for v in values] == binner.numbers(frame)[:, 0].tolist()
    present = [v for v in values if not math.isnan(v)]
    if method == "quantile":
        used = {reference.bin_of(v, bins.edges) for v in present}
        assert used == set(range(bins.n_bins - 1))  # no bin of values is empty
        if len(set(present)) <= n_bins:
            assert bins.n_bins - 1 == len(set(present))
    assert len(bins.labels) == bins.n_bins
    assert bins.labels[-1] == "missing"


def test_quantile_bins_hold_the_same_share():
    values = np.random.default_rng(3).normal(size=10_000)
    binner = Binner(n_bins=10).fit(Frame.from_numpy(values[:, None]))
    assert np.bincount(binner.numbers(Frame.from_numpy(values[:, None]))[:, 0]).tolist() == [1000] * 10


def test_merging_bins():
    bins = FeatureBins("a", (1.0, 2.0, 3.0))
    assert bins.merged(np.array([0, 0, 1, 1])).edges == (2.0,)
    assert bins.merged(np.array([0, 0, 1, 1])).labels == ("(-inf, 2]", "(2, inf)", "missing")
    for wrong in ([0, 1, 0, 1], [0, 0, 2, 2], [1, 1, 1, 1], [0, 0, 0]):
        with pytest.raises(ValueError, match="'a'"):
            bins.merged(np.array(wrong))
    groups = FeatureBins("b", groups=(("x",), ("y",), ("z",)))
    assert groups.merged(np.array([1, 0, 1])).labels == ("y", "x, z", "missing")
    with pytest.raises(ValueError, match="two bins"):
        FeatureBins("b", groups=(("x",), ("x",)))
    with pytest.raises(DataError, match="rare categories"):
        FeatureBins("b", groups=tuple((str(i),) for i in range(5000)))
