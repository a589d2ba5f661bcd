# SPDX-License-Identifier: Apache-2.0
"""The parts of boosting: losses, bins, packed gradients, sums by bin, sampling, routing of records."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.homomorphic_keys import okamoto_uchiyama_2048, paillier_2048
from tests.reference import learning_boosting as reference

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.boosting import Bins, losses, packing, quantile_bins
from crypsis.mpc.learning.boosting.bins import quantile_edges
from crypsis.mpc.learning.boosting.histograms import CipherSums, KnownSums, PairedBins, secret_order
from crypsis.mpc.learning.boosting.nodes import Nodes, chunks
from crypsis.mpc.learning.boosting.packing import Layout, Scaled
from crypsis.mpc.learning.boosting.sampling import Sampling
from crypsis.mpc.learning.boosting.splits import Candidates, TreeOptions, left_sums
from crypsis.mpc.learning.boosting.trees import Record
from crypsis.mpc.learning.meter import Meter

KEYS = {"okamoto-uchiyama": okamoto_uchiyama_2048, "paillier": paillier_2048}


@pytest.mark.parametrize("loss", ["logistic", "softmax", "squared"])
def test_gradients_are_those_of_the_loss(loss):
    rng = np.random.default_rng(0)
    outputs = 3 if loss == "softmax" else 1
    labels = rng.integers(0, 3 if loss == "softmax" else 2, 40).astype(float)
    scores, step = rng.normal(size=(40, outputs)), 1e-5
    g, h = losses.gradients(loss, labels, scores)
    for k in range(outputs):
        for i in range(40):
            up, down = scores[i : i + 1].copy(), scores[i : i + 1].copy()
            up[0, k] += step
            down[0, k] -= step
            slope = losses.mean_loss(loss, labels[i : i + 1], up) - losses.mean_loss(
                loss, labels[i : i + 1], down
            )
            assert g[i, k] == pytest.approx(slope / (2 * step), abs=1e-8)
            above = losses.gradients(loss, labels[i : i + 1], up)[0][0, k]
            below = losses.gradients(loss, labels[i : i + 1], down)[0][0, k]
            bend = (above - below) / (2 * step)
            assert h[i, k] == pytest.approx(2 * bend if loss == "softmax" else bend, abs=1e-8)


def test_extreme_scores_are_finite():
    scores = np.array([[-800.0], [800.0]])
    g, h = losses.gradients("logistic", np.array([1.0, 0.0]), scores)
    assert g.ravel().tolist() == [-1.0, 1.0]
    assert (h == 1e-16).all()
    assert np.isfinite(losses.mean_loss("logistic", np.array([1.0, 0.0]), scores))
    assert losses.base_scores("logistic", np.ones(5), 1)[0] == pytest.approx(13.8, abs=0.1)


@pytest.mark.parametrize(("label", "text"), [(2.0, "takes 0 and 1"), (0.5, "is 0.5"), (np.nan, "is nan")])
def test_labels_that_are_no_class_are_named(label, text):
    with pytest.raises(DataError, match=rf"row 3 .*{text}|row 3 {text}"):
        losses.check_labels("logistic", np.array([0.0, 1.0, 1.0, label]), 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-5, 5) | st.integers(-3, 3).map(float), min_size=2, max_size=120), st.integers(2, 12)
)
def test_edges_are_those_of_the_reference(values, max_bins):
    edges = quantile_edges(np.sort(np.array(values)), max_bins)
    assert edges.tolist() == reference.edges_of(values, max_bins)
    assert len(edges) < max_bins
    assert (np.diff(edges) > 0).all()


def test_tables_of_bins():
    table = pa.table({"a": [0.5, None, 2.0, 1.0], "c": ["x", "y", None, "x"]})
    frame = Frame.from_arrow(table)
    bins = quantile_bins(frame, 16)
    assert bins.n_bins == 3
    assert bins.table(frame).tolist() == [[0, 0], [3, 1], [2, 3], [1, 0]]
    other = Frame.from_arrow(
        pa.table({"c": ["z", "y"], "a": [0.75, 9.0]})
    )  # another order, an unknown category
    assert bins.table(other).tolist() == [[0, 3], [2, 1]]
    made = Bins.from_edges({"a": [1.0]})
    assert made.table(frame).ravel().tolist() == [0, 2, 1, 1]  # values below an edge are left of it
    with pytest.raises(DataError, match="'a' do not rise"):
        Bins.from_edges({"a": [1.0, 1.0]})
    with pytest.raises(DataError, match="column 'a' is missing"):
        bins.table(frame.select(["c"]))


def test_columns_that_no_tree_can_split_are_left_out_with_their_names():
    values = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, 4.0], [np.nan, np.nan, 5.0]])
    with pytest.warns(UserWarning, match="'x0', 'x1' are constant, all missing"):
        bins = quantile_bins(Frame.from_numpy(values), 4)
    assert bins.skipped == ("x0", "x1")
    assert [feature.name for feature in bins.features] == ["x2"]
    with pytest.raises(ConfigError, match="max_bins is 1"):
        quantile_bins(Frame.from_numpy(values), 1)


@pytest.mark.parametrize("scheme", list(KEYS))
@pytest.mark.parametrize("precision", [8, 22, 30])
def test_packed_sums(scheme, precision):
    key, n = KEYS[scheme](), 50
    rng = np.random.default_rng(precision)
    top = (1 << precision) - 1
    g, h = rng.integers(-top, top + 1, n), rng.integers(0, top + 1, n)
    g[:4], h[:4] = [top, -top, -1, 0], [0, top, 1, 0]
    layout = Layout.of(key.public_key, precision, n)
    c = key.encrypt(packing.pack(Scaled(g, h, 0, 0), slice(0, n), layout))
    runs = c.cumsum()  # all partial sums, in slots
    packed = runs.reshape(1, n).pack(layout.packing).rerandomize(full=True)
    sums = packing.unpack(packing.decrypt(key, packed, layout), layout, n)
    assert sums.shape == (1, n, 2)
    assert np.array_equal(sums[0], np.stack([g.cumsum(), h.cumsum()], axis=1))
    assert layout.n_slots * layout.slot_bits <= key.public_key.max_packed_bits


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_fit_their_slots(sign):
    key, n = okamoto_uchiyama_2048(), 1000
    layout = Layout.of(key.public_key, 22, n)
    top = (1 << 22) - 1
    g, h = np.full(n, sign * top), np.full(n, top)
    total = key.encrypt(packing.pack(Scaled(g, h, 0, 0), slice(0, n), layout)).sum().reshape(1)
    row = total.broadcast_to((layout.n_slots,)).pack(layout.packing)
    sums = packing.unpack(packing.decrypt(key, row, layout), layout, layout.n_slots)
    assert (sums == [sign * top * n, top * n]).all()


@pytest.mark.parametrize("scheme", list(KEYS))
@pytest.mark.parametrize(
    ("precision", "n"), [(8, 1), (8, (1 << 20) + 1), (22, (1 << 24) + 1), (30, (1 << 20) - 1)]
)
def test_no_slot_overflows_into_its_neighbour(scheme, precision, n):
    """All of n rows, each as large as can be, in one bin, neighbours at the other extremes: n times one row."""
    key = KEYS[scheme]()
    layout = Layout.of(key.public_key, precision, n)
    top = (1 << precision) - 1
    g, h = np.array([top, -top, -top, 0, -1, top]), np.array([top, top, 0, 0, 1, 0])
    rows = key.encrypt(packing.pack(Scaled(g, h, 0, 0), slice(0, 6), layout))
    total = rows * n
    for first in range(0, 6, 2 if scheme == "paillier" else 1):
        order = (first + np.arange(layout.n_slots) * 5) % 6
        sent = total[order].pack(layout.packing).rerandomize(full=True)
        sums = packing.unpack(packing.decrypt(key, sent, layout), layout, layout.n_slots)
        assert np.array_equal(sums, np.stack([g[order] * n, h[order] * n], axis=1))


def test_sums_that_no_honest_host_sends_are_refused():
    key = okamoto_uchiyama_2048()
    layout = Layout.of(key.public_key, 22, 1000)
    wide = key.encrypt([1]) * (1 << 600)
    with pytest.raises(ProtocolAbort, match=r"no sums of gradients|overflow their slots"):
        packing.unpack(packing.decrypt(key, wide * (1 << 70), layout), layout, 1)
    with pytest.raises(ConfigError, match="precision_bits is 40"):
        Layout.of(key.public_key, 40, 10)


def test_scaling_takes_all_bits_and_no_more():
    for most in (1.0, 0.999999999, 3e-7, 4096.0, 5e300, 1.7e308, 5e-324, 0.0):
        found = packing.scaled(np.array([most, -most / 3]), np.array([most, 0.0]), 22)
        assert np.abs(found.g).max() < 1 << 22
        assert most < 1e-300 or np.abs(found.g).max() >= 1 << 20
        assert found.g[0] == reference_round(most, found.g_shift)


def reference_round(value, shift):
    return round(value * 2.0**shift) if abs(shift) < 1000 else round(np.ldexp(value, shift))


def test_ciphertext_sums_are_those_of_the_rows():
    """Histogram of pairs, siblings by subtraction, running sums, missing to the left, categories, packing, order."""
    key, n = okamoto_uchiyama_2048(), 700
    rng = np.random.default_rng(2)
    colours = rng.choice(["a", "b", None], n)
    values = [[None if rng.random() < 0.1 else v for v in rng.normal(size=n).tolist()] for _ in range(2)]
    frame = Frame.from_arrow(pa.table({"p": values[0], "c": colours.tolist(), "q": values[1]}))
    bins = quantile_bins(frame, 6)
    table = bins.table(frame)
    c = Candidates.of(bins, table)
    g, h = rng.integers(-1000, 1000, n), rng.integers(0, 1000, n)
    layout = Layout.of(key.public_key, 22, n)
    ciphertexts = key.encrypt(packing.pack(Scaled(g, h, 0, 0), slice(0, n), layout))
    paired = PairedBins(table, bins.n_bins)
    assert paired._pairs is not None
    sums = CipherSums(ciphertexts, paired.sums(ciphertexts, None), paired, np.arange(n), c, Meter())
    nodes = Nodes(n)
    order, known = secret_order(c), KnownSums()
    for open_nodes in ([0], [1, 2]):
        if open_nodes != [0]:
            nodes.split([0], table[:, 0] <= 1)
        (direct,), derived, _ = nodes.plan(open_nodes)
        sent = sums.packed(sums.of(nodes, [direct]), order, layout)
        known.add(direct, packing.unpack(packing.decrypt(key, sent, layout), layout, c.n_sums)[0])
        assert sorted([direct, *derived]) == open_nodes
        assert all(len(nodes.rows(direct)) <= len(nodes.rows(node)) for node in derived)
        for node, got in zip(open_nodes, known.level(nodes, open_nodes), strict=True):
            rows = nodes.rows(node)
            plain = np.zeros((1, 3, bins.n_bins + 1, 2), dtype=np.int64)
            for f in range(3):
                np.add.at(plain[0, f], table[rows, f], np.stack([g[rows], h[rows]], axis=1))
            assert np.array_equal(got, left_sums(plain, c)[0][order])
            for j, place in enumerate(order):
                if place < c.n_numeric:
                    left = rows[c.in_left(place)[table[rows, c.feature[place]]]]
                    assert got[j].tolist() == [g[left].sum(), h[left].sum()]


def test_orders_are_permutations_and_differ():
    bins = Bins.from_edges({"a": list(range(30)), "b": list(range(20))})
    c = Candidates.of(bins, np.zeros((1, 2), dtype=np.int16))
    orders = np.stack([secret_order(c) for _ in range(4)])
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(50), (4, 1)))
    assert len({tuple(order) for order in orders.tolist()}) == 4


def test_nodes_keep_rows_in_order_and_plan_the_smaller_sibling():
    sampled = np.arange(10) % 2 == 0
    nodes = Nodes(10, sampled)
    nodes.split([0], np.arange(10) >= 4)
    assert nodes.rows(1).tolist() == [4, 5, 6, 7, 8, 9]
    assert nodes.rows(2).tolist() == [0, 1, 2, 3]
    assert nodes.summed(2).tolist() == [0, 2]
    assert nodes.plan([1]) == ([2], [1], {1: 2, 2: 1})  # only the larger is wanted: by way of the smaller
    assert nodes.plan([2]) == ([2], [], {1: 2, 2: 1})
    nodes.split([1], np.arange(10) < 6)
    assert nodes.level == [3, 4]
    assert nodes.parent[4] == 1
    assert chunks([1, 2, 3], 500) == [[1, 2], [3]]


def test_goss_keeps_large_gradients_and_the_sum_of_the_rest():
    rng = np.random.default_rng(0)
    g, h = rng.normal(size=(1000, 1)), np.ones((1000, 1))
    taken, factors = Sampling(top_rate=0.2, other_rate=0.1).rows(g, h, rng)
    assert taken.sum() == 300
    assert taken[np.argsort(-np.abs(g[:, 0]))[:200]].all()
    assert factors.sum() == pytest.approx(1000)
    taken, factors = Sampling(subsample=0.25).rows(g, h, rng)
    assert taken.sum() == 250
    assert set(factors) == {0.0, 1.0}
    for wrong in (
        {"subsample": 0.0},
        {"top_rate": 0.5},
        {"top_rate": 0.5, "other_rate": 0.6},
        {"subsample": 2.0},
    ):
        with pytest.raises(ConfigError):
            Sampling(**wrong)


def test_records_route_missing_and_unknown_values():
    frame = Frame.from_arrow(pa.table({"a": [1.0, 2.0, None], "c": ["x", None, "z"]}))
    assert Record("a", 1.5, None, True).goes_left(frame).tolist() == [True, False, True]
    assert Record("c", None, ("z",), False).goes_left(frame).tolist() == [False, False, True]
    present = Record("a", math.inf, None, False)  # all but missing values
    assert present.goes_left(frame).tolist() == [True, True, False]
    for record in (Record("a", 1.5, None, True), Record("c", None, ("z",), False), present):
        assert Record.from_json(record.to_json()) == record
    with pytest.raises(CorruptData):
        Record.from_json({"feature": "a", "left": None, "missing_left": True})


def test_options_are_checked():
    for wrong in ({"max_depth": 0}, {"max_leaves": 1}, {"reg_lambda": -1.0}, {"gamma": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TreeOptions(**wrong)
