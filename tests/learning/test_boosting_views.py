# SPDX-License-Identifier: Apache-2.0
"""Every message of a training and a prediction by boosting, taken apart with the private key: what each party sees.

`view` accounts for all bytes that cross: what it does not expect fails it. The last tests take the blinding out, or put
a secret in, and see that it does fail.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.learning.parties import OU, run

from crypsis import okamoto_uchiyama, paillier
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.boosting import GradientBoostingClassifier, guest, host, packing
from crypsis.mpc.learning.boosting.packing import Layout
from crypsis.mpc.learning.session import CIPHERS, KEYS, NUMBERS
from crypsis.mpc.transport.agreement import CONTROL

N, ROUNDS, SAMPLED = 90, 2, 72
PARAMS = {"n_estimators": ROUNDS, "max_depth": 3, "max_bins": 4, "subsample": 0.8, "seed": 5}
HOSTS = ("host-a", "host-b")
FIELDS = {
    "learning": {"type", "role", "public", "digest"},
    "ids": {"type", "rows", "named", "salt"},
    "boosting start": {"type", "job", "outputs"},
    "boosting offer": {"type", "rounds", "numeric", "blocks"},
    "boosting from": {"type", "rounds"},
    "boosting round": {"type", "more"},
    "boosting columns": {"type", "ready"},
    "boosting scores": {"type", "rows"},
}


def frames():
    rng = np.random.default_rng(11)
    x = rng.normal(size=(N, 5))
    colour = rng.choice(["red", "green", "blue"], N)
    score = x[:, 0] + x[:, 2] * x[:, 1] - x[:, 3] + (colour == "blue") + (x[:, 4] > 0)
    labels = (score + 0.3 * rng.normal(size=N) > 0.5).astype(np.float64)
    gappy = [None if rng.random() < 0.1 else float(v) for v in x[:, 3]]
    tables = {
        "guest": {"a": x[:, 0], "b": x[:, 1], "y": labels},
        "host-a": {"c": x[:, 2], "d": gappy, "colour": colour},
        "host-b": {"e": (x[:, 4] > 0).astype(float)},  # two values: one split, one slot of one ciphertext
    }
    return {
        name: Frame.from_arrow(pa.table(table), label="y" if name == "guest" else None)
        for name, table in tables.items()
    }


class Factors:
    """Blinding factors, uniform among encryptions of zero, as they are drawn."""

    def __init__(self, monkeypatch, constant=False):
        self.drawn, real = [], okamoto_uchiyama.PublicKey.full_blinding_factors
        modulus = okamoto_uchiyama_2048().public_key.modulus

        def spy(key, count, **options):
            found = real(key, count, **options)
            if constant:
                found[:] = found[:1]
            self.drawn += [_residue(row) for row in modulus.from_montgomery(found)]
            return found

        monkeypatch.setattr(okamoto_uchiyama.PublicKey, "full_blinding_factors", spy)


def _residue(row):
    return int.from_bytes(np.ascontiguousarray(row).tobytes(), "little")


def recorded_run():
    """(streams sent to each host, streams sent by each host, estimators, frames)."""
    own, recorded = frames(), {}

    def party(name):
        def work(session):
            model = GradientBoostingClassifier("guest" if name == "guest" else "host", **PARAMS)
            model.fit(own[name], session=session)
            model.decision_function(own[name], session=session)
            return model

        return work

    models = run(party("guest"), {name: party(name) for name in HOSTS}, cipher=OU, recorded=recorded)
    for model in models.values():
        if isinstance(model, Exception):
            raise model
    down = {name: channel.sent for name, channel in zip(HOSTS, recorded["guest"], strict=True)}
    return down, {name: recorded[name][0].sent for name in HOSTS}, models, own


def opened(messages):
    """(residues, plaintexts) of each message of ciphertexts."""
    key, found = okamoto_uchiyama_2048(), []
    for raw in messages:
        array = key.public_key.load_ciphertexts(raw)
        plain = key.decrypt_encoded(array, range_bits=key.public_key.max_range_bits).mantissas()
        found.append(([_residue(row) for row in key.public_key.modulus.from_montgomery(array._rows)], plain))
    return found


class Taken:
    """Messages of one stream in order, each taken once."""

    def __init__(self, messages):
        self._left = list(messages)

    def next(self, dtype, count):
        raw = self._left.pop(0)
        assert len(raw) == count * np.dtype(dtype).itemsize
        return np.frombuffer(raw, dtype)

    def end(self):
        assert not self._left


def goes_left(models, own, hosts, owner, record):
    name = ("guest", *hosts)[owner]
    return models[name]._part.records[record].goes_left(own[name])


def check_numbers(down, up, models, own):
    """All arrays in the clear follow from the trees that were made; a choice is the number of one in a secret order."""
    part = models["guest"]._part
    for number, name in enumerate(HOSTS, start=1):
        sent, answered = Taken(down[name][NUMBERS]), Taken(up[name][NUMBERS])
        for (tree,) in part.rounds:
            sampled = np.unpackbits(sent.next("u1", -(-N // 8)))[:N]
            assert sampled.sum() == SAMPLED
            level, rows = [0], {0: np.arange(N)}
            for _ in range(PARAMS["max_depth"] + 1):
                flags = sent.next("u1", len(level))
                assert set(flags.tolist()) <= {0, 1}
                open_nodes = [node for node, flag in zip(level, flags, strict=True) if flag]
                if not open_nodes:
                    break
                choices = sent.next("<i4", len(open_nodes))
                split = [node for node in open_nodes if tree.owner[node] >= 0]
                assert split == [node for node in level if tree.owner[node] >= 0]
                theirs = [node for node in split if tree.owner[node] == number]
                for node, choice in zip(open_nodes, choices.tolist(), strict=True):
                    assert (choice >= 0) == (node in theirs)
                    assert choice >= 0 or choice == (host.ELSEWHERE if node in split else host.LEAF)
                left = {
                    node: goes_left(models, own, HOSTS, tree.owner[node], tree.record[node])[rows[node]]
                    for node in split
                }
                for node in theirs:
                    record = models[name]._part.records[tree.record[node]]
                    if record.left is not None:
                        assert set(sent.next("u1", 4).tolist()) <= {0, 1}
                for nodes, messages in (
                    (theirs, answered),
                    ([node for node in split if node not in theirs], sent),
                ):
                    if nodes:
                        bits = np.packbits(np.concatenate([left[node] for node in nodes]))
                        assert np.array_equal(messages.next("u1", len(bits)), bits)
                for node in split:
                    rows[tree.left[node]] = rows[node][left[node]]
                    rows[tree.right[node]] = rows[node][~left[node]]
                level = [int(side[node]) for node in split for side in (tree.left, tree.right)]
                if not level:
                    break
        records = models[name]._part.records
        for record in np.packbits([record.goes_left(own[name]) for record in records], axis=1).reshape(1, -1):
            assert np.array_equal(answered.next("u1", len(record)), record)
        sent.end()
        answered.end()


def check_control(streams):
    for sent in streams:
        assert set(sent) <= {CONTROL, KEYS, CIPHERS, NUMBERS}
        for raw in sent[CONTROL]:
            message = json.loads(raw)
            assert set(message) - {"rounds"} == FIELDS[message["type"]] - {"rounds"}
            assert all(type(message[name]) in (int, bool, str, list, dict) for name in message)


def check_gradients(down):
    """One fresh ciphertext a sampled row and round, the same at all hosts; of g and h, of full size."""
    key = okamoto_uchiyama_2048().public_key
    assert down[HOSTS[0]][CIPHERS] == down[HOSTS[1]][CIPHERS]
    assert [[bytes(raw) for raw in down[name][KEYS]] for name in HOSTS] == 2 * [[key.to_bytes()]]
    blocks = opened(down[HOSTS[0]][CIPHERS])
    assert [len(residues) for residues, _ in blocks] == [SAMPLED] * ROUNDS
    for residues, plain in blocks:
        for residue, m in zip(residues, plain, strict=True):
            assert residue != pow(key.g, m, key.n), "a gradient is not blinded"
    everything = [residue for residues, _ in blocks for residue in residues]
    assert len(set(everything)) == len(everything)
    return blocks


def check_sums(down, up, models, own, factors, blocks):
    """Each ciphertext of a host took a factor of its own, uniform among encryptions of zero. Of the host with one split
    the root's is a product of the guest's ciphertexts times that factor."""
    key = okamoto_uchiyama_2048().public_key
    found = {name: opened(up[name][CIPHERS]) for name in HOSTS}
    residues = [residue for name in HOSTS for block, _ in found[name] for residue in block]
    assert len(factors) == len(residues), "a ciphertext was not blinded uniformly"
    assert len(set(factors)) == len(factors), "blinding is used twice"
    assert len(set(residues)) == len(residues)
    assert not set(residues) & {residue for block, _ in blocks for residue in block}
    layout = Layout.of(key, 22, SAMPLED)
    values = own["host-b"].values[:, 0]
    sampled = np.unpackbits(np.frombuffer(down["host-b"][NUMBERS][0], "u1"))[:N].astype(bool)
    left = values[sampled] == 0
    made = math.prod(residue for residue, is_left in zip(blocks[0][0], left, strict=True) if is_left) % key.n
    total = sum(m for m, is_left in zip(blocks[0][1], left, strict=True) if is_left)
    (root,), (plain,) = found["host-b"][0]
    assert plain == total < 1 << layout.slot_bits
    assert root != made, "a sum is not blinded"
    assert any(root == made * factor % key.n for factor in factors)


def view(factors):
    down, up, models, own = recorded_run()
    check_control([*down.values(), *up.values()])
    check_numbers(down, up, models, own)
    check_sums(down, up, models, own, factors.drawn, check_gradients(down))
    owners = {int(owner) for (tree,) in models["guest"]._part.rounds for owner in tree.owner}
    assert owners == {-1, 0, 1, 2}
    return down, up, own


def test_all_that_crosses(monkeypatch):
    down, up, own = view(Factors(monkeypatch))
    # Gradients and labels are in no message in any form that they have here either.
    labels = own["guest"].labels
    score = math.log(labels.mean() / (1 - labels.mean()))
    g = 1 / (1 + math.exp(-score)) - labels
    small = packing.scaled(g, np.ones(N), 22).g
    needles = [np.packbits(labels > 0).tobytes(), labels.astype("u1").tobytes(), str(score).encode()[:8]]
    needles += [values.astype(kind)[:8].tobytes() for values in (labels, g) for kind in ("<f8", "<f4")]
    needles += [values.astype(kind)[:8].tobytes() for values in (small, labels) for kind in ("<i8", "<i4")]
    streams = [stream for sent in (*down.values(), *up.values()) for stream in sent.values()]
    assert not any(needle in bytes(raw) for needle in needles for stream in streams for raw in stream)


def _unblinded(array, **_):
    return paillier.CipherArray(array.public_key, array._rows, array.shape, array.exponent, array.base)


def _short(array, **_):
    return array._blinded(array.public_key.blinding_factors)


def _units(key, count, **_):
    modulus = key.modulus
    one = np.zeros((count, modulus.limbs), dtype=np.uint64)
    one[:, 0] = 1
    return modulus.to_montgomery(one)


@pytest.mark.parametrize(
    ("where", "name", "mutant", "text"),
    [
        (paillier.UnblindedCipherArray, "rerandomize", _unblinded, "not blinded uniformly"),
        (paillier.UnblindedCipherArray, "rerandomize", _short, "not blinded uniformly"),
        (okamoto_uchiyama.PrivateKey, "blinding_factors", _units, "a gradient is not blinded"),
    ],
)
def test_the_view_fails_without_blinding(monkeypatch, where, name, mutant, text):
    monkeypatch.setattr(where, name, mutant)
    with pytest.raises(AssertionError, match=text):
        view(Factors(monkeypatch))


def test_the_view_fails_where_blinding_is_used_twice(monkeypatch):
    with pytest.raises(AssertionError, match="used twice"):
        view(Factors(monkeypatch, constant=True))


def test_the_view_fails_where_a_host_hears_labels(monkeypatch):
    real = guest.GuestGrower._split

    def leaky(grower, nodes, open_nodes, best, growing, values):
        for peer in grower._session.peers:
            grower._session.send_array(peer, (values.g < 0).astype(np.uint8))
        real(grower, nodes, open_nodes, best, growing, values)

    def deaf(grower, nodes, open_nodes, orders, records):
        grower._session.receive_array(grower._session.peer, np.uint8, (N,))
        heard(grower, nodes, open_nodes, orders, records)

    heard = host.HostGrower._split
    monkeypatch.setattr(guest.GuestGrower, "_split", leaky)
    monkeypatch.setattr(host.HostGrower, "_split", deaf)
    with pytest.raises(AssertionError):
        view(Factors(monkeypatch))
