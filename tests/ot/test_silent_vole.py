# SPDX-License-Identifier: Apache-2.0
"""Silent VOLE over GF(2^128): every output compared, counted bytes, and what happens when a party cheats."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ot.silent_parties import (
    DELTA,
    DealtReceiver,
    DealtSender,
    Tampering,
    flip,
    results_of,
    run_both,
)

from crypsis import bitmatrix
from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.ot import silent_vole
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, DeadSource
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.transport import memory_pair

TINY = silent_vole.insecure_parameters(9, 7, 16)  # 512 outputs, of which 16 are kept
USABLE = silent_vole.usable_outputs(TINY)
SECURITIES = (SEMI_HONEST, MALICIOUS)


def send(counts, security=MALICIOUS, parameters=TINY, base=None, spoil=None):
    def party(channel):
        sender = silent_vole.SilentVoleSender(
            channel, base or DealtSender(security), session=b"test", parameters=parameters
        )
        return [np.concatenate([v.copy() for v in sender.blocks(n)]) for n in counts], channel.stats

    return party


def receive(counts, security=MALICIOUS, parameters=TINY, base=None):
    def party(channel):
        receiver = silent_vole.SilentVoleReceiver(
            channel, base or DealtReceiver(security), session=b"test", parameters=parameters
        )
        taken = []
        for n in counts:
            pieces = [(u.copy(), w.copy()) for u, w in receiver.blocks(n)]
            taken.append(tuple(np.concatenate([piece[j] for piece in pieces]) for j in (0, 1)))
        return taken, channel.stats

    return party


def check(sent, received, delta=DELTA):
    for v, (u, w) in zip(sent, received, strict=True):
        assert len(v) == len(u) == len(w)
        assert np.array_equal(w, v ^ bitmatrix.gf128_multiply(u, delta))


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("weight", [7, 21])
def test_every_output_is_correlated(security, weight):
    parameters = silent_vole.insecure_parameters(9, weight, 16)
    counts = [1, 2, USABLE - 1, USABLE, USABLE + 1, 20 * USABLE + 3, 5]
    (sent, _), (received, _) = results_of(
        run_both(send(counts, security, parameters), receive(counts, security, parameters))
    )
    check(sent, received)
    for values in (np.concatenate(sent), np.concatenate([u for u, _ in received])):
        assert len(np.unique(values, axis=0)) == len(values)
        assert abs(np.unpackbits(values).mean() - 0.5) < 0.01


@pytest.mark.parametrize("security", SECURITIES)
def test_bytes_rounds_and_base_are_the_formula(security):
    n = 2 * USABLE + 3
    base = DealtSender(security)
    (_, own), (_, other) = results_of(run_both(send([n], security, base=base), receive([n], security)))
    due = silent_vole.session_bytes(n, TINY, security)
    assert (own.payload_bytes_sent, other.payload_bytes_sent) == due
    assert own.rounds == (3 if security == MALICIOUS else 0)
    assert base.n_dealt == silent_vole.base_ots(n, TINY, security)


@pytest.mark.parametrize("security", SECURITIES)
def test_on_softspoken(security):
    n = 1500
    delta = bytes(range(16))

    def sender(channel):
        base = SoftSpokenSender(channel, session=b"base", security=security, delta=delta)
        return send([n], security, base=base)(channel)

    def receiver(channel):
        return receive([n], security, base=SoftSpokenReceiver(channel, session=b"base", security=security))(
            channel
        )

    (sent, _), (received, _) = results_of(run_both(sender, receiver))
    check(sent, received, np.frombuffer(delta, np.uint8))


def test_full_size_rounds():
    n = 70_000
    parameters = silent_vole.DualParameters()
    (sent, _), (received, _) = results_of(
        run_both(send([n], parameters=parameters), receive([n], parameters=parameters))
    )
    check(sent, received)


def test_noise_is_one_place_a_tree(monkeypatch):
    kept = {}
    real = silent_vole.vole.expand_convolute

    def spy(seed, vector, out, *, weight, second, threads):
        kept[second is None] = (vector.copy(), None if second is None else second[0].copy())
        return real(seed, vector, out, weight=weight, second=second, threads=threads)

    monkeypatch.setattr(silent_vole.vole, "expand_convolute", spy)
    results_of(run_both(send([1]), receive([1])))
    (v, _), (w, e) = kept[True], kept[False]
    assert np.array_equal(w ^ v, bitmatrix.gf128_multiply(e, DELTA))
    where = e.reshape(TINY.n_trees, -1, 16).any(axis=2)
    assert np.array_equal(where.sum(axis=1), np.ones(TINY.n_trees))


SENDER_LIES = {
    "header": lambda number, m: flip(m, 3) if number == 0 else m,
    "every sum": lambda number, m: bytes(b ^ (i >= 32) for i, b in enumerate(m)) if number == 0 else m,
    "both sums of a level": lambda number, m: flip(flip(m, 32), 48) if number == 0 else m,
    "a correction": lambda number, m: flip(m, len(m) - 1) if number == 0 else m,
    "the check's answer": lambda number, m: flip(m, 0) if number == 1 else m,
    "an answer too short": lambda number, m: m[:-1] if number == 1 else m,
    "trees too short": lambda number, m: m[:-16] if number == 0 else m,
    "second round": lambda number, m: flip(m, len(m) - 1) if number == 2 else m,
}


@pytest.mark.parametrize("lie", SENDER_LIES)
def test_a_cheating_sender_is_caught(lie):
    n = 2 * USABLE
    a, b = memory_pair("sender", "receiver")
    _, received, _ = run_both(send([n]), receive([n]), (Tampering(a, SENDER_LIES[lie]), b))
    assert isinstance(received, ProtocolAbort)


@pytest.mark.parametrize("at", [0, 20])
def test_a_cheating_receiver_gets_nothing(at):
    a, b = memory_pair("sender", "receiver")
    lie = Tampering(b, lambda number, m: flip(m, at) if number == 0 else m)
    _, received, _ = run_both(send([5]), receive([5]), (a, lie))
    assert isinstance(received, CrypsisError)


def test_replays_are_refused():
    first = []

    def change(number, message):
        first.append(message)
        return first[0] if number == 2 else message

    n = 2 * USABLE
    a, b = memory_pair("sender", "receiver")
    _, received, _ = run_both(send([n]), receive([n]), (Tampering(a, change), b))
    assert isinstance(received, ProtocolAbort)
    assert "replayed" in str(received)


def test_a_failed_party_is_dead():
    channel, other = memory_pair("receiver", "sender")
    receiver = silent_vole.SilentVoleReceiver(channel, DealtReceiver(), session=b"x", parameters=TINY)
    other.send(0, b"short")
    with pytest.raises(ProtocolAbort, match="5 bytes"):
        list(receiver.blocks(3))
    with pytest.raises(DeadSource):
        receiver.blocks(3)


def test_wrong_arguments():
    channel, _ = memory_pair()
    for options in ({"log_outputs": 15}, {"log_outputs": 21}, {"weight": 8}, {"n_trees": 64}):
        with pytest.raises(ValueError, match=next(iter(options))):
            silent_vole.DualParameters(**options)
    with pytest.raises(ValueError, match="n_trees"):
        silent_vole.insecure_parameters(9, 7, 12)
    with pytest.raises(TypeError, match="parameters"):
        silent_vole.SilentVoleSender(channel, DealtSender(), session=b"x", parameters=16)
    with pytest.raises(ValueError, match="make the base"):
        silent_vole.SilentVoleSender(channel, DealtSender(SEMI_HONEST), session=b"x", security=MALICIOUS)
    sender = silent_vole.SilentVoleSender(channel, DealtSender(), session=b"x", parameters=TINY)
    for n, error in ((0, ValueError), (-3, ValueError), ("4", TypeError)):
        with pytest.raises(error, match="n_items"):
            sender.blocks(n)
    sender.close()
    with pytest.raises(DeadSource):
        sender.blocks(1)
    assert [silent_vole.DualParameters(log_outputs=n).depth for n in range(16, 21)] == [10, 11, 12, 13, 14]


def test_a_source_closed_in_the_middle_gives_no_wiped_rows():
    channel, _ = memory_pair()
    sender = silent_vole.SilentVoleSender(channel, DealtSender(SEMI_HONEST), session=b"test", parameters=TINY)
    pieces = sender.blocks(2 * USABLE)
    next(pieces)
    sender.close()
    with pytest.raises(DeadSource, match="it was closed"):
        next(pieces)
