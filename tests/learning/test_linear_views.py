# SPDX-License-Identifier: Apache-2.0
"""What crosses the line in a training: every message of a run, taken apart with both private keys."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.learning import linear_cases, views
from tests.learning.parties import run, run_two

from crypsis.mpc.learning.linear import LogisticRegression, ring128
from crypsis.mpc.learning.linear.regression import train
from crypsis.mpc.learning.linear.state import Options
from crypsis.mpc.learning.session import CIPHERS, KEYS, NUMBERS
from crypsis.mpc.transport.agreement import CONTROL

ROWS, EPOCHS, OWN = 30, 2, {"guest": 4, "host": 3}  # the guest's columns with the intercept
LOSSES = EPOCHS


@pytest.fixture(scope="module")
def recorded():
    """(streams sent by party, results, the channels by party and what made the ciphertexts)."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=(ROWS, 6))
    labels = (rng.random(ROWS) < 0.5).astype(np.float64)
    guest, host = linear_cases.halves(values, labels)
    options = {"max_epochs": EPOCHS, "tol": 0.0, "C": 1.0, "batch_size": ROWS}
    recorded = {}

    def host_work(session):
        session.use_key(views.hosts_key())
        return LogisticRegression(role="host", **options).fit(host, session=session)

    with views.watched() as made:
        results = run(
            lambda s: LogisticRegression(role="guest", **options).fit(guest, session=s),
            {"host": host_work},
            recorded=recorded,
            tamper=lambda stream, raw: [raw],
        )
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    recorded["made"] = made
    return {name: recorded[name][0].sent for name in results}, results, recorded


def opened(sent):
    """(whose key, ciphertexts, plaintexts) of each message of everything a party sent."""
    found = []
    for raw in sent[CIPHERS]:
        whose, array = views.loaded(raw)
        key = views.KEYS[whose]()
        encoded = key.decrypt_encoded(array, range_bits=key.public_key.max_range_bits)
        found.append((whose, views.residues(array), encoded.mantissas()))
    return found


def test_only_the_documented_streams_are_used(recorded):
    sent, _, _ = recorded
    for streams in sent.values():
        assert set(streams) == {CONTROL, KEYS, CIPHERS, NUMBERS}
        assert len(streams[KEYS]) == 1


def test_control_messages_hold_counts_and_parameters_only(recorded):
    sent, _, _ = recorded
    fields = {
        "learning": {"type", "role", "public", "digest"},
        "ids": {"type", "rows", "named", "salt"},
        "digests": {"type", "set", "order"},
        "columns": {"type", "columns"},
        "resume": {"type", "states"},
        "start": {"type", "seed", "curvature"},
    }
    for streams in sent.values():
        messages = [json.loads(raw) for raw in streams[CONTROL]]
        assert [message["type"] for message in messages] == list(fields)
        assert all(set(message) == fields[message["type"]] for message in messages)


def test_numbers_are_shares_and_nothing_else(recorded):
    sent, results, _ = recorded
    for name, streams in sent.items():
        peer = "host" if name == "guest" else "guest"
        # The first share of its own weights, a share of each loss, the last share of the peer's weights.
        due = [16 * OWN[name]] + [16] * LOSSES + [16 * OWN[peer]]
        assert [len(raw) for raw in streams[NUMBERS]] == due
        raw = b"".join(streams[NUMBERS])
        secret = [*results[name].coef_, results[name].intercept_, *results[peer].coef_]
        for value in (float(value) for value in secret if value):
            assert np.float64(value).tobytes() not in raw
            assert round(value * 2**32).to_bytes(8, "little", signed=True) not in raw


def test_shares_are_of_the_whole_ring(recorded):
    """A weight, or the sum behind a loss, would be a number below 2^64 in size."""
    sent, _, _ = recorded
    for streams in sent.values():
        numbers = np.frombuffer(b"".join(streams[NUMBERS]), dtype="<u8").reshape(-1, 2)
        assert all(abs(value) >= 1 << 64 for value in ring128.to_ints(numbers))


def test_all_ciphertexts_are_encryptions_or_blinded_in_full(recorded):
    channels = dict(recorded[2])
    made = channels.pop("made")
    # 2 x (30 / 3 scores, and 15 rows of 4 powers + 8 masked) of each batch and loss, and weights and gradients.
    assert views.check_blinding(channels, made) > 2 * (EPOCHS + LOSSES) * (10 + 60 + 8)


def test_no_ciphertext_is_the_power_of_its_plaintext_alone(recorded):
    sent, _, _ = recorded
    for streams in sent.values():
        for whose, residues, plaintexts in opened(streams):
            key = views.KEYS[whose]().public_key
            for residue, plaintext in zip(residues[:4], plaintexts[:4], strict=True):
                assert residue != pow(key.g, plaintext, key.n)


def test_no_plaintext_is_small_and_masked_ones_are_uniform_in_the_hidden_bits(recorded):
    """Shares are encrypted under their owner's key; what returns is V + 2^v + r, whose bits tell nothing."""
    sent, _, _ = recorded
    slots = []
    for party, streams in sent.items():
        for whose, residues, plaintexts in opened(streams):
            # no label, score, gradient or weight in the clear
            assert all(value >= 1 << 64 for value in plaintexts)
            if whose != party:
                assert all(value >= 1 << 150 for value in plaintexts)
                if len(residues) == ROWS // 3:  # three rows of scores in each
                    slots += [value >> 213 * k & (1 << 213) - 1 for value in plaintexts for k in range(3)]
    assert len(slots) == 2 * ROWS * (EPOCHS * 2)
    bits = np.array([[value >> bit & 1 for bit in range(212)] for value in slots], dtype=float)
    assert np.abs(bits.mean(axis=0) - 0.5).max() * 2 * np.sqrt(len(slots)) < 6.5  # standard deviations
    assert len({value >> 150 for value in slots}) == len(slots)  # a mask for each


def test_results_of_a_product_are_blinded_anew(recorded):
    """The owner of the key, who knows the ciphertexts that it sent and the mask it finds, cannot make the product."""
    sent, _, _ = recorded
    key = views.hosts_key().public_key
    guest, host = opened(sent["guest"]), opened(sent["host"])
    # The batch's residuals are the first block of a ciphertext a row that comes after the polynomial's.
    _, shares, plain = next(found for found in host if found[0] == "host" and len(found[1]) == ROWS)
    sums = [found for found in guest if found[0] == "host" and len(found[1]) == OWN["guest"]]
    bias = 1 << 10  # the guest's last column is the intercept's
    made = 1
    for residue in shares:
        made = made * pow(residue, bias, key.n) % key.n
    product = bias * sum(plain)
    assert len(sums) == EPOCHS
    for _, residues, plaintexts in sums:
        assert residues[-1] != made * pow(key.g, plaintexts[-1] - product, key.n) % key.n


def test_a_training_resumed_twice_reuses_nothing():
    """From the same checkpoint under the same keys: other ciphertexts, other masks, other shares."""
    rng = np.random.default_rng(2)
    matrix = rng.integers(-2000, 2000, (12, 3)).astype(np.int16)
    labels = (rng.random(12) < 0.5).astype(np.float64)
    options = Options(link="linear", learning_rate=0.5, max_epochs=2, tol=0.0)
    kept = [], []

    def party(number, resume):
        def work(session):
            session.use_key(views.hosts_key() if number else session.own_key)
            half = matrix[:, 2:] if number else matrix[:, :2]
            given = None if number else labels
            return train(session, half, given, options, checkpoint=kept[number].append, resume=resume)

        return work

    run_two(party(0, ()), party(1, ()))
    resume = [states[:1] for states in kept]
    seen, hidden, numbers = [], [], []
    for _ in range(2):
        recorded = {}
        left, _ = run_two(
            party(0, resume[0]), party(1, resume[1]), recorded=recorded, tamper=lambda stream, raw: [raw]
        )
        assert [entry["epoch"] for entry in left.history] == [1, 2]
        for name, channels in recorded.items():
            numbers += ring128.to_ints(
                np.frombuffer(b"".join(channels[0].sent[NUMBERS]), "<u8").reshape(-1, 2)
            )
            for whose, residues, plaintexts in opened(channels[0].sent):
                seen += residues
                hidden += [value >> 213 for value in plaintexts if whose != name]
    assert len(set(seen)) == len(seen)
    assert len(set(hidden)) == len(hidden) == 2 * (2 * 2 * 4 + 3 + 1 + 3)  # scores, gradients, loss
    assert len(set(numbers)) == len(numbers)
