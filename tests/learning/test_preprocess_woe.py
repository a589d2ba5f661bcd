# SPDX-License-Identifier: Apache-2.0
"""ChiMerge, weight of evidence and information value, in the clear and under encryption."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.learning import views
from tests.learning.parties import PAILLIER, run, run_two
from tests.reference import learning_preprocess as reference

from crypsis.errors import ConfigError, CrypsisError, DataError, ProtocolAbort
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.evaluation import Scaling, make_scorecard, part_score
from crypsis.mpc.learning.preprocess import WoeEncoder, merge_bins, weights_of_evidence, woe_protocol
from crypsis.mpc.learning.session import CIPHERS

# Rows of label 1 and 0 in two columns of the German credit data (UCI, Statlog), and their IV as scorecardpy 0.1.9
# has it.
GERMAN_CREDIT = {
    "checking account": ([(135, 139), (105, 164), (14, 49), (46, 348)], 0.666012),
    "credit history": ([(25, 15), (28, 21), (169, 361), (28, 60), (50, 243)], 0.293234),
}

cells = st.tuples(st.integers(0, 30), st.integers(0, 30))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(cells, min_size=1, max_size=12),
    st.sampled_from([0.0, 1.0, 3.841, 1e9]),
    st.none() | st.integers(1, 5),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.integers(0, 4),
)
@example([(0, 0)] * 4, 3.841, None, 0.0, 5)  # missing values only
@example([(5, 0), (0, 5), (5, 0)], 3.841, None, 0.0, 1)  # one class in every bin
@example([(3, 3)] * 6, 0.0, 3, 0.0, 0)  # ties only
def test_chi_merge_is_the_references(counts, threshold, max_bins, min_share, min_events):
    found = merge_bins(
        np.array(counts), threshold=threshold, max_bins=max_bins, min_share=min_share, min_events=min_events
    )
    groups = reference.chi_merge(counts, threshold, max_bins, min_share, min_events)
    assert found.tolist() == [number for number, group in enumerate(groups) for _ in group]


@settings(max_examples=100, deadline=None)
@given(st.lists(cells, min_size=1, max_size=12), st.integers(0, 3))
def test_monotone_bins_are(counts, min_events):
    table = np.array(counts)
    found = merge_bins(table, threshold=0.0, monotone=True, min_events=min_events)
    merged = np.zeros((found.max() + 1, 2), dtype=int)
    np.add.at(merged, found, table)
    rates = [b / (b + g) for b, g in merged.tolist() if b + g]
    steps = [b - a for a, b in pairwise(rates)]
    assert all(s > 0 for s in steps) or all(s < 0 for s in steps)


def test_categories_are_merged_by_rate():
    found = merge_bins(np.array([[9, 1], [1, 9], [90, 10], [0, 0], [10, 90]]), ordered=False)
    assert found[1] == found[4] < found[0] == found[2]


@settings(max_examples=100, deadline=None)
@given(st.lists(cells, min_size=1, max_size=8), st.integers(0, 3), st.sampled_from([0.5, 0.9]))
def test_weights_are_the_references(counts, min_events, smoothing):
    bad, good = (sum(column) for column in zip(*counts, strict=True))
    if not bad or not good:
        with pytest.raises(ValueError, match="same label"):
            weights_of_evidence(counts)
        return
    woe, iv = weights_of_evidence(counts, smoothing=smoothing, min_events=min_events)
    expected_woe, expected_iv = reference.weights(counts, smoothing, min_events)
    assert np.allclose(woe, expected_woe, rtol=1e-12, atol=1e-12)
    assert math.isclose(iv, expected_iv, rel_tol=1e-9, abs_tol=1e-12)
    assert iv >= 0


@pytest.mark.parametrize("name", GERMAN_CREDIT)
def test_german_credit(name):
    counts, expected = GERMAN_CREDIT[name]
    texts = [str(i) for i, cell in enumerate(counts) for _ in range(sum(cell))]
    labels = np.concatenate([np.repeat([1.0, 0.0], cell) for cell in counts])
    table = pa.table({name: texts, "y": labels})
    encoder = WoeEncoder(threshold=0.0, max_bins=None, min_share=0.0).fit(Frame.from_arrow(table, label="y"))
    assert encoder.iv_[name] == pytest.approx(expected, abs=1e-6)
    assert sorted(encoder.counts_[name][:-1].tolist()) == sorted(map(list, counts))
    one = next(i for i, label in enumerate(encoder.bins_[name].labels) if label == "0")
    assert encoder.woe_[name][one] == pytest.approx(math.log(counts[0][0] / 300 / (counts[0][1] / 700)))


def data(n=600, seed=4):
    """(guest's frame, the host's, both together): numbers with holes, categories, a constant, ids."""
    rng = np.random.default_rng(seed)
    columns = {f"g{i}": rng.normal(size=n) for i in range(2)} | {
        f"h{i}": rng.normal(size=n) for i in range(3)
    }
    score = columns["g0"] + 1.5 * columns["h0"] - columns["h1"] + rng.normal(size=n)
    labels = (score > 0.7).astype(float)
    columns["h2"][rng.random(n) < 0.3] = np.nan
    columns["h1"] = np.round(columns["h1"])
    columns["flat"] = np.full(n, 3.0)
    texts = {"job": np.array(["a", "b", "c", "d"])[(score + rng.normal(size=n)).astype(int) % 4]}
    ids = pa.array(range(n))
    guest = pa.table({"id": ids, "y": labels, "g0": columns["g0"], "g1": columns["g1"]})
    host = pa.table({"id": ids, **{k: columns[k] for k in ("h0", "h1", "h2", "flat")}, **texts})
    both = pa.table({**{c: guest[c] for c in guest.column_names}, **{c: host[c] for c in host.column_names}})
    return (
        Frame.from_arrow(guest, id="id", label="y"),
        Frame.from_arrow(host, id="id"),
        Frame.from_arrow(both, id="id", label="y"),
    )


def fitted(guest, host, guest_encoder, host_encoder=None, **options):
    other = host_encoder or WoeEncoder(**guest_encoder.get_params())
    return run_two(
        lambda session: guest_encoder.fit(guest, session=session),
        lambda session: other.fit(host, session=session),
        **options,
    )


@pytest.mark.parametrize("cipher", [None, PAILLIER])
@pytest.mark.parametrize("options", [{}, {"monotone": True}, {"edges": {"h0": [-1.0, 0.0, 1.0, 9.0]}}])
def test_joint_bins_and_weights_are_those_of_joined_data(cipher, options, monkeypatch):
    monkeypatch.setattr(woe_protocol, "BLOCK_ROWS", 256)
    guest, host, both = data()
    joined = WoeEncoder(**options).fit(both)
    own = WoeEncoder(**{k: v for k, v in options.items() if k != "edges"})
    one, other = fitted(guest, host, own, WoeEncoder(**options), **({"cipher": cipher} if cipher else {}))
    assert {**one.bins_, **other.bins_} == joined.bins_
    for name, woe in {**one.woe_, **other.woe_}.items():
        assert (woe == joined.woe_[name]).all()
    assert {**one.iv_, **other.iv_} == joined.iv_
    by_alias = {other.aliases_[k.removeprefix("host:")]: v for k, v in one.peer_iv_.items()}
    assert by_alias == other.iv_
    assert all(alias.startswith("#") for alias in other.aliases_)
    assert (other.transform(host).values == joined.transform(both).select(host.names).values).all()
    assert other.iv_["flat"] == 0


def test_what_a_host_is_told():
    guest, host, _ = data()
    one, other = fitted(guest, host, WoeEncoder(reveal="iv"))
    assert set(other.iv_) == set(host.names)
    exact = {other.aliases_[name.removeprefix("host:")]: iv for name, iv in one.peer_iv_.items()}
    assert other.iv_ == {name: round(iv, 3) for name, iv in exact.items()}
    assert exact["h0"] != other.iv_["h0"]
    assert not other.woe_
    with pytest.raises(ConfigError, match="reveal='iv'"):
        other.transform(host)
    one, other = fitted(guest, host, WoeEncoder(reveal="none"), WoeEncoder(reveal="none", share_names=True))
    assert not other.iv_
    assert set(one.peer_iv_) == {f"host:{name}" for name in host.names}


def test_bins_that_are_told_have_both_labels():
    """A bin with rows of one label would tell a host the label of each of them."""
    labels = np.array([1.0] * 40 + [0.0] * 60)
    separating = Frame.from_numpy(np.stack([labels, np.where(labels == 1, np.nan, 5.0)], axis=1))
    _, other = fitted(Frame.from_numpy(np.empty((100, 0)), labels), separating, WoeEncoder())
    assert other.bins_["x0"].n_bins == 2  # all in one
    assert other.woe_["x1"].tolist() == [0, 0]  # missing values: only of label 1, so not told
    assert other.iv_ == {"x0": 0.0, "x1": 0.0}


def positives(woe, rows, n_rows, bad):
    """What a host that guesses B = bad finds in bins of a WOE each: rows of label 1, not rounded."""
    odds = np.exp(woe) * bad / (n_rows - bad)
    return rows * odds / (1 + odds)


def test_rows_with_missing_values_are_told_with_others():
    """Three rows with missing values, all of label 1, in one column: another column tells a host B, and the rest of
    this one what B leaves for them, unless they are weighed with other rows."""
    rng = np.random.default_rng(3)
    whole, holes = rng.normal(size=(2, 400))
    labels = (whole + holes + rng.normal(size=400) > 0.5).astype(float)
    holes[np.flatnonzero(labels)[:3]] = np.nan
    host = Frame.from_numpy(np.stack([whole, holes], axis=1), names=["whole", "holes"])
    _, other = fitted(Frame.from_numpy(np.empty((400, 0)), labels), host, WoeEncoder())
    found = other.bin_numbers(host)
    rows = {name: np.bincount(numbers, minlength=other.bins_[name].n_bins) for name, numbers in found.items()}
    used = rows["whole"] > 0
    off = [
        np.abs((p := positives(other.woe_["whole"][used], rows["whole"][used], 400, bad)) - p.round()).max()
        for bad in range(1, 400)
    ]
    bad = int(np.argmin(off)) + 1
    assert bad == labels.sum()  # this a host does learn
    woe = other.woe_["holes"]
    same = np.flatnonzero(woe == woe[-1])
    assert len(same) == 2  # the missing values and one bin, of which only both together are told
    assert rows["holes"][-1] == 3
    both = rows["holes"][same].sum()
    assert positives(woe[-1], both, 400, bad) == pytest.approx(
        labels[np.isin(found["holes"], same)].sum(), abs=1e-6
    )


def test_a_column_of_few_values_is_told_with_the_missing_ones():
    labels = np.array([1.0, 1.0, 1.0] + [1.0, 0.0] * 50)
    values = np.full((103, 1), np.nan)
    values[:3] = 7.0
    encoder = WoeEncoder().fit(Frame.from_numpy(values, labels))
    assert encoder.woe_["x0"].tolist() == [0.0, 0.0]
    assert encoder.iv_["x0"] == 0
    assert encoder.counts_["x0"].tolist() == [[3, 0], [50, 50]]  # the guest's own


def test_counts_out_of_their_range_name_the_host(monkeypatch):
    guest, host, _ = data(100)
    plain = woe_protocol._encrypted_counts
    monkeypatch.setattr(woe_protocol, "_encrypted_counts", lambda *args: plain(*args) * (1 << 100))
    results = run(
        lambda session: WoeEncoder().fit(guest, session=session),
        {"host": lambda session: WoeEncoder().fit(host, session=session)},
    )
    assert isinstance(results["guest"], ProtocolAbort)
    assert "host sent counts that are out of their range" in str(results["guest"])


def test_more_bins_than_a_guest_takes(monkeypatch):
    monkeypatch.setattr(woe_protocol, "MAX_CELLS", 100)
    guest, host, _ = data(100)
    results = run(
        lambda session: WoeEncoder().fit(guest, session=session),
        {"host": lambda session: WoeEncoder().fit(host, session=session)},
    )
    assert "host has 5 columns of up to 51 bins, more than 100 in all" in str(results["guest"])


def test_two_hosts_and_a_guest_without_columns():
    guest, host, both = data(300)
    guest = guest.select([])
    parts = {"left": host.select(["h0", "job"]), "right": host.select(["h1"])}
    results = run(
        lambda session: WoeEncoder().fit(guest, session=session),
        {n: lambda session, f=f: WoeEncoder().fit(f, session=session) for n, f in parts.items()},
    )
    joined = WoeEncoder().fit(both)
    for name, frame in parts.items():
        assert {c: results[name].bins_[c] for c in frame.names} == {c: joined.bins_[c] for c in frame.names}
    assert sorted(results["guest"].peer_iv_.values()) == sorted(joined.iv_[c] for c in ("h0", "job", "h1"))


def test_a_scorecard_of_both_parties():
    guest, host, _ = data()
    one, other = fitted(guest, host, WoeEncoder())
    joined = np.hstack([one.transform(guest).values, other.transform(host).values])
    model = LogisticRegression(C=1e6).fit(joined, guest.labels)
    scaling = Scaling(decimals=6)
    coefficients = dict(zip([*guest.names, *host.names], model.coef_[0], strict=True))
    total = np.zeros(len(guest))
    for encoder, frame, intercept in ((one, guest, float(model.intercept_[0])), (other, host, None)):
        part = make_scorecard(
            "x", encoder.scorecard_bins(), {n: coefficients[n] for n in frame.names},
            scaling=scaling, intercept=intercept,
        )  # fmt: skip
        total += part_score(part, encoder.bin_numbers(frame))
    assert np.allclose(total, scaling.score_of(model.decision_function(joined)), atol=1e-4)
    assert list(one.scorecard_bins(["g1"])) == ["g1"]
    with pytest.raises(DataError, match="'h0' has no bins"):
        one.scorecard_bins(["h0"])


def test_every_message(monkeypatch):
    """No labels in the clear, and no ciphertext that the guest could have computed from the ones it sent."""
    guest, host, _ = data()
    calls = []
    plain = woe_protocol._encrypted_counts
    monkeypatch.setattr(
        woe_protocol, "_encrypted_counts", lambda *args: calls.append(plain(*args)) or calls[-1]
    )
    recorded = {}
    with views.watched() as made:
        run_two(
            lambda session: WoeEncoder().fit(guest, session=session),
            lambda session: session.use_key(views.hosts_key()) or WoeEncoder().fit(host, session=session),
            recorded=recorded,
            tamper=lambda stream, raw: [raw],
        )
    assert views.check_blinding(recorded, made) > len(guest)
    sent_by_guest, sent_by_host = recorded["guest"][0].sent, recorded["host"][0].sent
    assert sorted(sent_by_guest) == [0, 1, 2, 3]
    assert sorted(sent_by_host) == [0, 2, 3]
    labels = guest.labels.astype(np.uint8)
    for raw in (m for stream in (0, 1, 3) for m in sent_by_guest[stream]):
        for shape in (labels, labels.astype("<f8"), labels.astype("<i8"), np.packbits(labels)):
            assert shape.tobytes()[:64] not in raw
    assert len(sent_by_guest[2]) == 1  # one block of encrypted labels
    # To the host: groups int16, weights float64, IV float64 of [columns, fine bins], and no more.
    n_fine = len(sent_by_host[3][2]) // 8
    assert [len(m) for m in sent_by_guest[3]] == [2 * n_fine, 8 * n_fine, 8 * len(host.names)]
    # To the guest: bins, kinds and totals; every total of a bin of all of its rows.
    assert [len(m) for m in sent_by_host[3]] == [20, 5, 8 * n_fine]
    for name in host.names:
        assert name.encode() not in b"".join(sent_by_host[0])
    key = calls[0].public_key
    packing = woe_protocol.count_packing(key, len(guest), calls[0].size)
    unblinded = calls[0].reshape(calls[0].size).pack(packing)
    (message,) = sent_by_host[2]
    returned = key.load_ciphertexts(message)
    # The same plaintexts, other ciphertexts: what travelled is not the product of what the guest sent.
    private = okamoto_uchiyama_2048()
    own, theirs = (private.decrypt(c, packing=packing, n_items=calls[0].size) for c in (unblinded, returned))
    assert (own == theirs).all()
    assert not (returned._rows == unblinded._rows).all(axis=1).any()


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 2, 1, 0], "row 1 is 2"), ([1, 1, 1, 1], "every label is 1"), (None, "no labels")],
)
def test_bad_labels_end_both(labels, message):
    frame = Frame.from_numpy(np.arange(4.0)[:, None], labels)
    with pytest.raises(DataError, match=message):
        WoeEncoder().fit(frame)
    results = run(
        lambda session: WoeEncoder().fit(frame, session=session),
        {"host": lambda session: WoeEncoder().fit(Frame.from_numpy(frame.values), session=session)},
    )
    assert isinstance(results["guest"], DataError)
    assert isinstance(results["host"], CrypsisError)
    assert "row 1" not in str(results["host"])


def test_parameters_that_differ_and_other_rows():
    guest, host, _ = data(100)
    for changes in ({"smoothing": 0.9}, {"reveal": "iv"}, {"min_events": 0}):
        results = run(
            lambda session: WoeEncoder().fit(guest, session=session),
            {"host": lambda session, c=changes: WoeEncoder(**c).fit(host, session=session)},
        )
        assert all(isinstance(error, ConfigError) for error in results.values())
        assert next(iter(changes)) in str(results["guest"])
    results = run(
        lambda session: WoeEncoder().fit(guest, session=session),
        {"host": lambda session: WoeEncoder().fit(host.take(slice(0, 99)), session=session)},
    )
    assert all(isinstance(error, DataError) for error in results.values())


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (0, lambda a: a * 0 + 1, "numbers of bins"),
        (0, lambda a: a + 100_000, "numbers of bins"),
        (1, lambda a: a * 0 + 7, "kinds of columns"),
        (2, lambda a: a * 0 + 1, "do not add up"),
        (2, lambda a: -a, "do not add up"),
    ],
)
def test_a_host_that_sends_nonsense(number, change, message):
    guest, host, _ = data(100)
    seen = []

    def tamper(stream, raw):
        if stream != 3:
            return [raw]
        seen.append(raw)
        dtype = ("<i4", "<i1", "<i8")[len(seen) - 1]
        array = np.frombuffer(raw, dtype=dtype)
        return [change(array).astype(dtype).tobytes() if len(seen) - 1 == number else raw]

    results = run(
        lambda session: WoeEncoder().fit(guest, session=session),
        {"host": lambda session: WoeEncoder().fit(host, session=session)},
        tamper=tamper,
    )
    assert isinstance(results["guest"], ProtocolAbort)
    assert message in str(results["guest"])
    assert "host" in str(results["guest"])


@pytest.mark.parametrize(
    ("groups", "weight", "iv", "message"),
    [
        ([1, 0], 0.0, 0.1, "no neighbours"),
        ([0, 0], np.nan, 0.1, "beyond 64"),
        ([0, 0], 0.0, -1.0, "information"),
    ],
)
def test_a_guest_that_sends_nonsense(groups, weight, iv, message):
    host = Frame.from_numpy(np.array([[0.0], [1.0]] * 20))

    def guest(session):
        frame = Frame.from_numpy(np.empty((40, 0)))
        session.agree("woe", {**WoeEncoder()._rules(), "smoothing": 0.5, "reveal": "woe"})
        session.check_ids(frame)
        session.send_key("host")
        session.send_ciphertexts("host", session.own_key.encrypt(np.zeros(40, dtype=np.int8)))
        session.send_array("host", np.array([[*groups, 0]], dtype="<i2"))
        session.send_array("host", np.full((1, 3), weight, dtype="<f8"))
        session.send_array("host", np.array([iv], dtype="<f8"))
        session.channel().recv(CIPHERS)
        session.channel().recv(CIPHERS)  # none comes: until the host ends the job

    results = run(guest, {"host": lambda session: WoeEncoder().fit(host, session=session)})
    assert isinstance(results["host"], ProtocolAbort)
    assert message in str(results["host"])


@pytest.mark.parametrize(
    "options",
    [{"reveal": "all"}, {"smoothing": 0}, {"threshold": -1}, {"max_bins": 0}, {"min_share": 1}, {"min_events": -1},
     {"n_fine": 1}],
)  # fmt: skip
def test_bad_parameters(options):
    with pytest.raises(ValueError, match="is "):
        WoeEncoder(**options)


def test_counts_of_another_form():
    for counts in ([1, 2], [[1, 2, 3]], [[1.0, 2.0]], np.empty((0, 2), dtype=int)):
        with pytest.raises(ValueError, match="counts are"):
            merge_bins(np.array(counts))
    with pytest.raises(ValueError, match="below 0"):
        merge_bins(np.array([[-1, 2]]))
