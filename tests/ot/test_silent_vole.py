# SPDX-License-Identifier: Apache-2.0
"""Silent VOLE over both fields: every output compared, counted bytes, and what happens when a party cheats."""

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
SETTINGS = [(SEMI_HONEST, 128), (MALICIOUS, 128), (SEMI_HONEST, 64)]


def send(counts, security=MALICIOUS, parameters=TINY, base=None, field=128):
    def party(channel):
        sender = silent_vole.SilentVoleSender(
            channel, base or DealtSender(security), session=b"test", parameters=parameters, field=field
        )
        return [np.concatenate([v.copy() for v in sender.blocks(n)]) for n in counts], channel.stats

    return party


def receive(counts, security=MALICIOUS, parameters=TINY, base=None, field=128):
    def party(channel):
        receiver = silent_vole.SilentVoleReceiver(
            channel, base or DealtReceiver(security), session=b"test", parameters=parameters, field=field
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
        multiply = bitmatrix.gf128_multiply if u.shape[1] == 16 else bitmatrix.gf64_multiply
        assert np.array_equal(w, multiply(u, delta, add=v))


@pytest.mark.parametrize(("security", "field"), SETTINGS)
@pytest.mark.parametrize("weight", [7, 21])
def test_every_output_is_correlated(security, field, weight):
    parameters = silent_vole.insecure_parameters(9, weight, 16)
    counts = [1, 2, USABLE - 1, USABLE, USABLE + 1, 20 * USABLE + 3, 5]
    (sent, _), (received, _) = results_of(
        run_both(
            send(counts, security, parameters, field=field),
            receive(counts, security, parameters, field=field),
        )
    )
    check(sent, received)
    assert all(u.shape == (n, field // 8) for n, (u, _) in zip(counts, received, strict=True))
    for values in (np.concatenate(sent), np.concatenate([u for u, _ in received])):
        assert len(np.unique(values, axis=0)) == len(values)
        assert abs(np.unpackbits(values).mean() - 0.5) < 0.01


@pytest.mark.parametrize(("security", "field"), SETTINGS)
def test_bytes_rounds_and_base_are_the_formula(security, field):
    n = 2 * USABLE + 3
    base = DealtSender(security)
    (_, own), (_, other) = results_of(
        run_both(send([n], security, base=base, field=field), receive([n], security, field=field))
    )
    due = silent_vole.session_bytes(n, TINY, security)
    assert (own.payload_bytes_sent, other.payload_bytes_sent) == due
    assert own.rounds == (3 if security == MALICIOUS else 0)
    assert base.n_dealt == silent_vole.base_ots(n, TINY, security, field=field)


@pytest.mark.parametrize(("security", "field"), SETTINGS)
def test_on_softspoken(security, field):
    n = 1500
    delta = bytes(range(16))

    def sender(channel):
        base = SoftSpokenSender(channel, session=b"base", security=security, delta=delta)
        return send([n], security, base=base, field=field)(channel)

    def receiver(channel):
        base = SoftSpokenReceiver(channel, session=b"base", security=security)
        return receive([n], security, base=base, field=field)(channel)

    (sent, _), (received, _) = results_of(run_both(sender, receiver))
    check(sent, received, np.frombuffer(delta, np.uint8))


@pytest.mark.parametrize(("security", "field"), SETTINGS[1:])
def test_full_size_rounds(security, field):
    n = 70_000
    options = {"security": security, "parameters": silent_vole.DualParameters(), "field": field}
    (sent, _), (received, _) = results_of(run_both(send([n], **options), receive([n], **options)))
    check(sent, received)


def test_the_sizes_around_a_round_over_gf64():
    for n in (1, USABLE - 1, USABLE, USABLE + 1, 2 * USABLE, 2 * USABLE + 1):
        (sent, _), (received, _) = results_of(
            run_both(send([n, 1], SEMI_HONEST, field=64), receive([n, 1], SEMI_HONEST, field=64))
        )
        check(sent, received)


@pytest.mark.parametrize(("ours", "theirs"), [(64, 128), (128, 64)])
@pytest.mark.parametrize("dealt", [True, False])
def test_parties_that_disagree_about_the_field_get_nothing(ours, theirs, dealt):
    def base(kind, dealer):
        return lambda channel: (
            dealer(SEMI_HONEST) if dealt else kind(channel, session=b"base", security=SEMI_HONEST)
        )

    def party(make, kind, dealer, field):
        return lambda channel: make([5], SEMI_HONEST, base=base(kind, dealer)(channel), field=field)(channel)

    _, received, _ = run_both(
        party(send, SoftSpokenSender, DealtSender, ours),
        party(receive, SoftSpokenReceiver, DealtReceiver, theirs),
    )
    assert isinstance(received, CrypsisError)


@pytest.mark.parametrize(("security", "field"), SETTINGS[1:])
def test_noise_is_one_place_a_tree(monkeypatch, security, field):
    kept = {}
    real = silent_vole.vole.expand_convolute

    def spy(seed, vector, out, *, second, **options):
        kept[second is None] = (vector.copy(), None if second is None else second[0].copy())
        return real(seed, vector, out, second=second, **options)

    monkeypatch.setattr(silent_vole.vole, "expand_convolute", spy)
    results_of(run_both(send([1], security, field=field), receive([1], security, field=field)))
    (v, _), (w, e) = kept[True], kept[False]
    check([v], [(e, w)])
    where = e.reshape(TINY.n_trees, -1, field // 8).any(axis=2)
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
    with pytest.raises(ValueError, match="field is 64 and security 'malicious': use field=128"):
        silent_vole.SilentVoleSender(channel, DealtSender(MALICIOUS), session=b"x", field=64)
    for field in (32, "64", None):
        with pytest.raises(ValueError, match="use 128 or 64"):
            silent_vole.SilentVoleReceiver(channel, DealtReceiver(SEMI_HONEST), session=b"x", field=field)
    weaker = silent_vole.SilentVoleSender(
        channel, DealtSender(MALICIOUS), session=b"x", security=SEMI_HONEST, field=64, parameters=TINY
    )
    assert weaker.security == SEMI_HONEST
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
