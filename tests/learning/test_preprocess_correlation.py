# SPDX-License-Identifier: Apache-2.0
"""Correlations between parties, VIF, and the selection of columns."""

from __future__ import annotations

import importlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.learning import views
from tests.learning.parties import PAILLIER, run, run_two
from tests.reference import learning_preprocess as reference

from crypsis import paillier
from crypsis.errors import ConfigError, CrypsisError, DataError, ProtocolAbort
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.preprocess import (
    Correlation,
    FeatureSelector,
    WoeEncoder,
    joint_correlation,
    prune_by_vif,
    prune_correlated,
    select_by_iv,
)
from crypsis.mpc.learning.preprocess import correlation as own_correlation
from crypsis.mpc.learning.preprocess.correlation import _rounded, _standardised
from crypsis.mpc.learning.preprocess.slots import pack_rows


def frames(n=200, seed=5, guest=3, host=4):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, guest + host)) @ rng.normal(size=(guest + host, guest + host))
    names = [f"g{i}" for i in range(guest)] + [f"h{i}" for i in range(host)]
    whole = Frame.from_numpy(values, names=names)
    return whole.select(names[:guest]), whole.select(names[guest:]), whole


def jointly(guest, host, *, recorded=None, cipher=None, tamper=None, **options):
    more = {"cipher": cipher} if cipher else {}
    return run_two(
        lambda session: joint_correlation(guest, session, **options),
        lambda session: joint_correlation(host, session, **options),
        recorded=recorded,
        tamper=tamper,
        **more,
    )


def test_own_correlations_and_vif_are_exact():
    _, _, whole = frames(30, guest=2, host=2)
    found = own_correlation(whole)
    columns = whole.values.T.tolist()
    for i in range(4):
        for j in range(4):
            assert math.isclose(found.matrix[i, j], reference.pearson(columns[i], columns[j]), abs_tol=1e-12)
        assert math.isclose(found.vif()[whole.names[i]], reference.vif(columns, i), rel_tol=1e-9)


@pytest.mark.parametrize("cipher", [None, PAILLIER])
@pytest.mark.parametrize("bits", [8, 12, 15])
def test_joint_correlations(cipher, bits, monkeypatch):
    module = importlib.import_module("crypsis.mpc.learning.preprocess.correlation")
    guest, host, whole = frames()
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    one, other = jointly(guest, host, precision_bits=bits, share_names=True, share_result=True, cipher=cipher)
    assert one.error == 2.0**-bits + 4.0 ** -(bits + 1)
    assert set(one.names) == {*guest.names, *(f"host:{n}" for n in host.names)}
    assert set(other.names) == {*host.names, *(f"guest:{n}" for n in guest.names)}
    exact = np.corrcoef(whole.values.T)
    inflation = np.diag(np.linalg.inv(exact))
    for found in (one, other):
        index = [whole.names.index(name.split(":")[-1]) for name in found.names]
        difference = np.abs(found.matrix - exact[np.ix_(index, index)])
        assert difference.max() <= found.error
        assert difference.max() < 2.0**-bits * 8 / math.sqrt(len(whole))  # what independent roundings leave
        if bits == 15:
            assert np.allclose(list(found.vif().values()), inflation[index], rtol=0.02)


columns = st.lists(st.integers(-50, 50), min_size=12, max_size=30)


@settings(max_examples=30, deadline=None)
@given(columns, st.integers(0, 2**32), st.booleans(), st.integers(8, 12))
def test_the_bound_of_the_error_holds(values, seed, outlier, bits):
    """Of any data, in the clear: the rounded columns' product is within the stated bound, and within its slot."""
    x = np.array(values, dtype=np.float64)
    y = np.random.default_rng(seed).permutation(x) + (np.arange(len(x)) == 0) * (1e6 if outlier else 1)
    if len(set(x)) == 1 or len(set(y)) == 1:
        return
    a, b = (_rounded(_standardised(Frame.from_numpy(c[:, None])), bits)[:, 0].astype(object) for c in (x, y))
    product = sum(a * b)
    assert abs(product) <= len(x) * ((2 << bits) + 1) ** 2 // 4 + 1
    found = product / (len(x) * 4.0**bits)
    assert abs(found - reference.pearson(x.tolist(), y.tolist())) <= 2.0**-bits + 4.0 ** -(bits + 1) + 1e-12


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(2, 63), st.integers(0, 12), st.integers(0, 4), st.integers(0, 2**32))
def test_packed_rows_are_those_of_packing(n_slots, slot_bits, n_columns, n_rows, seed):
    packing = paillier.Packing(n_slots, slot_bits)
    half = 1 << (slot_bits - 1)
    values = np.random.default_rng(seed).integers(-half, half, (n_rows, n_columns))
    values[:, : n_columns // 2] = -half
    ours, plain = pack_rows(values, packing), packing.pack(values)
    assert ours.mantissas() == plain.mantissas()
    assert ours.shape == plain.shape
    if values.size:
        with pytest.raises(ValueError, match="wider slots"):
            pack_rows(np.full_like(values, half), packing)


def test_wide_slots_are_refused():
    with pytest.raises(ValueError, match="63 at most"):
        pack_rows(np.zeros((1, 1), dtype=np.int64), paillier.Packing(2, 64))


def test_what_is_told():
    guest, host, whole = frames()
    recorded = {}
    with views.watched() as made:
        one, other = run_two(
            lambda session: joint_correlation(guest, session),
            lambda session: session.use_key(views.hosts_key()) or joint_correlation(host, session),
            recorded=recorded,
            tamper=lambda stream, raw: [raw],
        )
    assert views.check_blinding(recorded, made) == len(guest) + len(host.names)
    assert other.names == host.names  # its own only
    assert sorted(one.names[3:]) == [f"host:#{i}" for i in range(4)]
    sent = recorded["host"][0].sent
    assert sorted(sent) == [0, 2, 3]
    assert [len(m) for m in sent[3]] == [8 * 16]  # correlations of its own columns
    assert sorted(recorded["guest"][0].sent) == [0, 1, 2]
    told = b"".join(m for s in (sent, recorded["guest"][0].sent) for m in s[0])
    for name in whole.names:
        assert name.encode() not in told
    # What the host returned is not what the guest can compute from its own ciphertexts and the decrypted products.
    key = okamoto_uchiyama_2048().public_key
    rows = key.load_ciphertexts(recorded["guest"][0].sent[2][0])
    returned = key.load_ciphertexts(sent[2][0])
    products = rows.rmatmul(np.ascontiguousarray(_rounded(_standardised(host), 12).T))
    seen = {row.tobytes() for row in products._rows}
    assert returned.size == products.size
    assert not any(row.tobytes() in seen for row in returned._rows)


def test_a_guest_without_columns_and_long_blocks():
    _, host, whole = frames(9000, guest=1, host=2)
    one, _ = jointly(whole.select([]), host)
    exact = np.corrcoef(host.values.T)[0, 1]
    assert one.matrix[0, 1] == pytest.approx(exact, abs=1e-12)
    one, _ = jointly(whole.select(["g0"]), host, share_names=True)
    assert one.between("g0", "host:h1") == pytest.approx(np.corrcoef(whole.values.T)[0, 2], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.__setitem__((slice(None), 1), 0.1), "'h1' have the same value"),
        (lambda v: v.__setitem__((3, 2), np.nan), "missing in 'h2': fill"),
        (lambda v: v.__setitem__((slice(None), 0), np.nan), "no row has a value in 'h0'"),
    ],
)
def test_columns_without_correlation_end_both(change, message):
    guest, host, _ = frames(60)
    change(host.values)
    with pytest.raises(DataError, match=message):
        own_correlation(host)
    results = run(
        lambda session: joint_correlation(guest, session),
        {"host": lambda session: joint_correlation(host, session)},
    )
    assert isinstance(results["host"], DataError)
    assert isinstance(results["guest"], CrypsisError)
    assert "h1" not in str(results["guest"])


def test_too_few_rows_and_other_precision_are_refused():
    guest, host, _ = frames(29)
    results = run(
        lambda session: joint_correlation(guest, session),
        {"host": lambda session: joint_correlation(host, session)},
    )
    assert all(isinstance(error, ConfigError) for error in results.values())
    assert all("the guest has 3 columns for 29 rows" in str(error) for error in results.values())
    guest, host, _ = frames(95)  # 4 columns of the host's
    jointly(guest, host)
    results = run(
        lambda session: joint_correlation(guest, session, share_result=True),
        {"host": lambda session: joint_correlation(host, session, share_result=True)},
    )
    assert all("the host has 4 columns for 95 rows" in str(error) for error in results.values())
    guest, host, _ = frames()
    results = run(
        lambda session: joint_correlation(guest, session, precision_bits=10),
        {"host": lambda session: joint_correlation(host, session)},
    )
    assert all(isinstance(error, ConfigError) for error in results.values())
    with pytest.raises(ValueError, match="precision_bits"):
        joint_correlation(guest, None, precision_bits=16)


def test_products_out_of_their_range_name_the_host(monkeypatch):
    module = importlib.import_module("crypsis.mpc.learning.preprocess.correlation")
    guest, host, _ = frames()
    plain = module._Job.answer

    def answer(self, rounded, *rest):
        """As a host that multiplies by 2^600: beyond what a packing holds, and what the scheme decrypts."""
        monkeypatch.setattr(
            paillier.UnblindedCipherArray, "rerandomize",
            lambda c, *, full, plain=paillier.UnblindedCipherArray.rerandomize: plain(c * (1 << 600), full=full),
        )  # fmt: skip
        return plain(self, rounded, *rest)

    monkeypatch.setattr(module._Job, "answer", answer)
    results = run(
        lambda session: joint_correlation(guest, session),
        {"host": lambda session: joint_correlation(host, session)},
    )
    assert isinstance(results["guest"], ProtocolAbort)
    assert "host sent products that are out of their range" in str(results["guest"])


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda m: m * 2, "beyond -1 to 1"), (lambda m: m * np.nan, "beyond"), (lambda m: m * 0.5, "symmetric")],
)
def test_a_host_that_sends_no_correlations(change, message):
    guest, host, _ = frames()

    def tamper(stream, raw):
        return [change(np.frombuffer(raw, "<f8")).tobytes() if stream == 3 else raw]

    results = run(
        lambda session: joint_correlation(guest, session),
        {"host": lambda session: joint_correlation(host, session)},
        tamper=tamper,
    )
    assert isinstance(results["guest"], ProtocolAbort)
    assert message in str(results["guest"])


def matrix(pairs, names):
    found = np.eye(len(names))
    for (a, b), value in pairs.items():
        found[names.index(a), names.index(b)] = found[names.index(b), names.index(a)] = value
    return Correlation(tuple(names), found, 0.0, 4096.0)


def test_selection_by_hand():
    iv = {"a": 0.3, "b": 0.01, "c": 0.5, "d": 0.3}
    assert select_by_iv(iv, 0.02, 0.4) == ["a", "d"]
    assert select_by_iv(iv) == ["c", "a", "d"]
    found = matrix({("a", "c"): -0.9, ("a", "d"): 0.95}, ["a", "c", "d"])
    assert prune_correlated(["c", "a", "d"], found, 0.8) == ["c", "d"]
    assert prune_correlated(["c", "a", "d"], found, 0.9) == ["c", "a"]
    collinear = matrix({("a", "b"): 1.0}, ["a", "b", "c"])
    assert collinear.vif() == {"a": math.inf, "b": math.inf, "c": pytest.approx(1)}
    assert prune_by_vif(["a", "b", "c"], collinear, 5) == ["a", "c"]
    assert prune_by_vif(["b"], collinear, 1) == ["b"]


def selecting_data(n=800):
    rng = np.random.default_rng(9)
    a, b, c, d = rng.normal(size=(4, n))
    labels = (a + b + 0.6 * c + rng.normal(size=n) > 0.5).astype(float)
    guest = Frame.from_numpy(np.stack([a, rng.normal(size=n)], axis=1), labels, names=["a", "noise"])
    host = Frame.from_numpy(
        np.stack([b, b + 0.05 * rng.normal(size=n), c, a + 0.02 * d], axis=1), names=["b", "b2", "c", "a2"]
    )
    return guest, host


def test_selection_across_parties():
    guest, host = selecting_data()

    def party(frame):
        def work(session):
            encoder = WoeEncoder().fit(frame, session=session)
            coded = encoder.transform(frame)
            selector = FeatureSelector(iv_range=(0.1, 9), vif=5).fit(coded, encoder, session=session)
            return selector, encoder, selector.transform(coded)

        return work

    (one, _, left), (other, encoder, right) = run_two(party(guest), party(host))
    joined = Frame.from_numpy(
        np.hstack([guest.values, host.values]), guest.labels, names=[*guest.names, *host.names]
    )
    whole = WoeEncoder().fit(joined)
    plain = FeatureSelector(iv_range=(0.1, 9), vif=5).fit(whole.transform(joined), whole)
    assert {*one.kept_, *other.kept_} == set(plain.kept_)
    assert ("a" in plain.kept_) != ("a2" in plain.kept_)
    assert ("b" in plain.kept_) != ("b2" in plain.kept_)
    assert "noise" not in plain.kept_
    assert one.dropped_["noise"].startswith("IV 0.")
    assert left.names == one.kept_
    assert right.names == other.kept_
    assert {encoder.aliases_[n.removeprefix("host:")] for n in one.peer_kept_} == set(other.kept_)
    assert not other.dropped_  # reasons are the guest's
    for selector in (one, other):
        stored = json.loads(json.dumps(selector.to_dict(), allow_nan=False))
        assert FeatureSelector.from_dict(stored).kept_ == selector.kept_


def test_selection_with_iv_alone_and_what_is_refused():
    guest, host = selecting_data(300)
    options = {"correlation": None, "vif": None}

    def party(frame):
        return lambda session: FeatureSelector(**options).fit(
            frame, WoeEncoder(reveal="none").fit(frame, session=session), session=session
        )

    one, other = run_two(party(guest), party(host))
    assert "a" in one.kept_
    assert len(other.kept_) == len(one.peer_kept_) > 0
    encoder = WoeEncoder().fit(guest)
    with pytest.raises(DataError, match="no column stays"):
        FeatureSelector(iv_range=(90, 99)).fit(guest, encoder)
    with pytest.raises(DataError, match="not those that the encoder"):
        FeatureSelector().fit(guest.select(["a"]), encoder)
    for wrong in ({"iv_range": (2, 1)}, {"correlation": 0}, {"vif": 0.5}):
        with pytest.raises(ValueError, match="give"):
            FeatureSelector(**wrong)
