# SPDX-License-Identifier: Apache-2.0
"""Ferret: every output compared, counted bytes and rounds, and what happens when a party cheats."""

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

from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.ot import ferret
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, DeadSource
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.transport import memory_pair

TINY = ferret.insecure_parameters(20, 8, 6)  # 1280 outputs; 776 or 904 for a round's base
SECURITIES = (SEMI_HONEST, MALICIOUS)


def send(counts, security=MALICIOUS, parameters=TINY, chosen=False, base=None, **options):
    def party(channel):
        sender = ferret.FerretSender(
            channel, base or DealtSender(security), session=b"test", parameters=parameters, **options
        )
        return [
            np.concatenate([q.copy() for q in sender.blocks(n, chosen=chosen)]) for n in counts
        ], channel.stats

    return party


def receive(counts, security=MALICIOUS, parameters=TINY, choices=None, base=None, **options):
    def party(channel):
        receiver = ferret.FerretReceiver(
            channel, base or DealtReceiver(security), session=b"test", parameters=parameters, **options
        )
        taken = []
        for i, n in enumerate(counts):
            pieces = [
                (np.unpackbits(c, count=len(t), bitorder="little"), t.copy(), c.copy())
                for c, t in receiver.blocks(n, None if choices is None else choices[i])
            ]
            assert all(len(t) % 8 == 0 for _, t, _ in pieces[:-1])
            assert all(len(c) == (len(t) + 7) // 8 for _, t, c in pieces)
            assert not len(pieces[-1][0]) % 8 or not pieces[-1][2][-1] >> len(pieces[-1][0]) % 8
            taken.append(tuple(np.concatenate([piece[j] for piece in pieces]) for j in (0, 1)))
        return taken, channel.stats

    return party


def check(sent, received, delta=DELTA):
    for q, (bits, t) in zip(sent, received, strict=True):
        assert len(q) == len(bits) == len(t)
        assert np.array_equal(t, q ^ (0 - bits)[:, None] & delta)


def usable(security):
    return ferret.usable_outputs(TINY, security)


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("iterated", [True, False])
def test_every_output_is_correlated(security, iterated):
    full = ferret.usable_outputs(TINY, security, iterated=iterated)
    counts = [1, 7, 8, 9, full - 1, full, full + 1, 3 * full + 5, 64]
    (sent, _), (received, _) = results_of(
        run_both(send(counts, security, iterated=iterated), receive(counts, security, iterated=iterated))
    )
    check(sent, received)
    q = np.concatenate(sent)
    assert len(np.unique(q, axis=0)) == len(q)
    assert not np.any(q[:, 0] & 1)
    for bits, t in received:
        assert np.array_equal(t[:, 0] & 1, bits)
    bits = np.concatenate([bits for bits, _ in received])
    assert abs(bits.mean() - 0.5) < 4 / np.sqrt(len(bits))


@pytest.mark.parametrize("security", SECURITIES)
def test_given_choices(security):
    counts = [13, usable(security) + 9, 8]
    rng = np.random.default_rng(2)
    choices = [rng.integers(0, 256, (n + 7) // 8, np.uint8) for n in counts]
    (sent, _), (received, _) = results_of(
        run_both(send(counts, security, chosen=True), receive(counts, security, choices=choices))
    )
    check(sent, received)
    for n, given, (bits, _) in zip(counts, choices, received, strict=True):
        assert np.array_equal(bits, np.unpackbits(given, count=n, bitorder="little"))


@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("chosen", [False, True])
def test_bytes_and_rounds_are_the_formula(security, chosen):
    n = 2 * usable(security) + 3
    choices = [np.zeros((n + 7) // 8, np.uint8)] if chosen else None
    (_, own), (_, other) = results_of(
        run_both(send([n], security, chosen=chosen), receive([n], security, choices=choices))
    )
    due = ferret.session_bytes(n, TINY, security, chosen=chosen)
    assert (own.payload_bytes_sent, other.payload_bytes_sent) == due
    assert own.rounds == 3 * ((security == MALICIOUS) + chosen)


def test_base_correlations_are_taken_once():
    for iterated, expected in ((True, 1), (False, 3)):
        base = DealtSender()
        n = 3 * ferret.usable_outputs(TINY, MALICIOUS, iterated=iterated)
        results_of(run_both(send([n], base=base, iterated=iterated), receive([n], iterated=iterated)))
        assert base.n_dealt == expected * TINY.n_base(MALICIOUS)


@pytest.mark.parametrize("security", SECURITIES)
def test_on_softspoken(security):
    n = 2000
    delta = ferret.odd_delta()

    def sender(channel):
        base = SoftSpokenSender(channel, session=b"base", security=security, delta=delta)
        return send([n], security, base=base)(channel)

    def receiver(channel):
        return receive([n], security, base=SoftSpokenReceiver(channel, session=b"base", security=security))(
            channel
        )

    (sent, _), (received, _) = results_of(run_both(sender, receiver))
    check(sent, received, np.frombuffer(delta, np.uint8))


def test_full_size_round():
    n = 100_000
    (sent, _), (received, _) = results_of(
        run_both(send([n], parameters=ferret.B10), receive([n], parameters=ferret.B10))
    )
    check(sent, received)


def test_noise_is_one_place_a_tree(monkeypatch):
    """The rounds' noise: v and w differ by Delta in one place of each tree, and that is where the low bit is."""
    kept = {}
    real = ferret.vole.primal_encode

    def spy(seed, table, out, *, bits=None, threads=None):
        kept[bits is None] = out.copy()
        return real(seed, table, out, bits=bits, threads=threads)

    monkeypatch.setattr(ferret.vole, "primal_encode", spy)
    results_of(run_both(send([1]), receive([1])))
    noise = (kept[True] ^ kept[False]).reshape(TINY.n_trees, 1 << TINY.depth, 16)
    where = noise.any(axis=2)
    assert np.array_equal(where.sum(axis=1), np.ones(TINY.n_trees))
    assert np.array_equal(noise[where], np.broadcast_to(DELTA, (TINY.n_trees, 16)))
    assert np.array_equal(kept[False].reshape(noise.shape)[:, :, 0] & 1, where)
    assert len(set(np.nonzero(where)[1])) > 5


SENDER_LIES = {
    "header": lambda number, m: flip(m, 3) if number == 0 else m,
    "a sum of a level": lambda number, m: (
        bytes(b ^ (32 <= i < 48) for i, b in enumerate(m)) if number == 0 else m
    ),
    "every sum": lambda number, m: bytes(b ^ (i >= 32) for i, b in enumerate(m)) if number == 0 else m,
    "the last correction": lambda number, m: flip(m, len(m) - 1) if number == 0 else m,
    "the check's answer": lambda number, m: flip(m, 0) if number == 1 else m,
    "an answer too short": lambda number, m: m[:-1] if number == 1 else m,
    "trees too long": lambda number, m: m + b"0" if number == 0 else m,
    "an empty message": lambda number, m: b"" if number == 0 else m,
    "second round": lambda number, m: flip(m, 32) if number == 2 else m,
}


@pytest.mark.parametrize("lie", SENDER_LIES)
def test_a_cheating_sender_is_caught(lie):
    n = 2 * usable(MALICIOUS)
    a, b = memory_pair("sender", "receiver")
    _, received, _ = run_both(send([n]), receive([n]), (Tampering(a, SENDER_LIES[lie]), b))
    assert isinstance(received, ProtocolAbort)


def test_a_wrong_tree_is_caught_wherever_the_places_are():
    """The selective failure: one level's sum is wrong, so that any receiver's leaves are."""

    def change(number, message):
        return flip(message, 32) if number == 0 else message

    a, b = memory_pair("sender", "receiver")
    _, received, _ = run_both(send([5]), receive([5]), (Tampering(a, change), b))
    assert isinstance(received, ProtocolAbort)
    assert "check" in str(received)


RECEIVER_LIES = {
    "the challenge": lambda number, m: flip(m, 0) if number == 0 else m,
    "its weighted places": lambda number, m: flip(m, 20) if number == 0 else m,
    "too short": lambda number, m: m[:16] if number == 0 else m,
    "too long": lambda number, m: m + m if number == 0 else m,
}


@pytest.mark.parametrize("lie", RECEIVER_LIES)
def test_a_cheating_receiver_gets_nothing(lie):
    a, b = memory_pair("sender", "receiver")
    sent, received, _ = run_both(send([5]), receive([5]), (a, Tampering(b, RECEIVER_LIES[lie])))
    assert isinstance(received, CrypsisError)
    if lie.startswith("too"):
        assert isinstance(sent, ProtocolAbort)


def test_wrong_length_of_choices():
    a, b = memory_pair("sender", "receiver")
    cut = Tampering(b, lambda number, m: m[:-1] if number == 0 else m)
    choices = [np.zeros(2, np.uint8)]
    sent, _, _ = run_both(
        send([16], SEMI_HONEST, chosen=True), receive([16], SEMI_HONEST, choices=choices), (a, cut)
    )
    assert isinstance(sent, ProtocolAbort)


@pytest.mark.parametrize("security", SECURITIES)
def test_replays_are_refused(security):
    first = []

    def change(number, message):
        first.append(message)
        return first[0] if number == (2 if security == MALICIOUS else 1) else message

    n = 2 * usable(security)
    a, b = memory_pair("sender", "receiver")
    _, received, _ = run_both(send([n], security), receive([n], security), (Tampering(a, change), b))
    assert isinstance(received, ProtocolAbort)
    assert "replayed" in str(received)


def test_other_parameters_or_session_at_the_peer():
    other = ferret.insecure_parameters(20, 7, 6)
    _, received, _ = run_both(send([5], parameters=other), receive([5]))
    assert isinstance(received, ProtocolAbort)


@pytest.mark.parametrize("at", [0, 1])
def test_a_peer_that_goes_away_between_phases(at):
    def party(channel):
        sender = ferret.FerretSender(
            Tampering(channel, lambda number, m: m if number < at else channel.abort("gone")),
            DealtSender(),
            session=b"test",
            parameters=TINY,
        )

        def until_it_shows():  # after the last message has left, only the next call can notice
            list(sender.blocks(5))
            channel.recv(0)

        with pytest.raises(CrypsisError):
            until_it_shows()
        return sender

    def receiver_party(channel):
        receiver = ferret.FerretReceiver(channel, DealtReceiver(), session=b"test", parameters=TINY)
        with pytest.raises((ChannelError, ProtocolAbort)):
            list(receiver.blocks(5))
        assert not receiver.alive
        with pytest.raises(DeadSource):
            receiver.blocks(5)
        return receiver

    results_of(run_both(party, receiver_party))


def test_a_source_left_in_the_middle_is_dead():
    n = 2 * usable(SEMI_HONEST)

    def party(channel):
        sender = ferret.FerretSender(channel, DealtSender(SEMI_HONEST), session=b"test", parameters=TINY)
        pieces = sender.blocks(n)
        next(pieces)
        with pytest.raises(DeadSource, match="middle"):
            next(sender.blocks(1))
        pieces.close()
        with pytest.raises(DeadSource):
            sender.blocks(1)
        assert not np.any(sender.delta)
        sender.close()

    channels = memory_pair()
    party(channels[0])


def test_wrong_arguments():
    channel, _ = memory_pair()
    even = DELTA & 0xFE
    with pytest.raises(ValueError, match="odd_delta"):
        ferret.FerretSender(channel, DealtSender(delta=even), session=b"x")
    with pytest.raises(ValueError, match="make the base"):
        ferret.FerretSender(
            channel, DealtSender(SEMI_HONEST), session=b"x", security=MALICIOUS, parameters=TINY
        )
    with pytest.raises(ValueError, match="security"):
        ferret.FerretReceiver(channel, DealtReceiver(), session=b"x", security="none", parameters=TINY)
    with pytest.raises(TypeError, match="parameters"):
        ferret.FerretReceiver(channel, DealtReceiver(), session=b"x", parameters=(850, 16, 10))
    with pytest.raises(ValueError, match="use one of"):
        ferret.FerretParameters(850, 16, 11)
    with pytest.raises(ValueError, match="session"):
        ferret.FerretReceiver(channel, DealtReceiver(), session=b"", parameters=TINY)
    receiver = ferret.FerretReceiver(channel, DealtReceiver(), session=b"x", parameters=TINY)
    for n, error in (
        (0, ValueError),
        (-1, ValueError),
        (1 << 41, ValueError),
        (2.0, TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match="n_items"):
            receiver.blocks(n)
    with pytest.raises(ValueError, match="choices"):
        receiver.blocks(9, np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="left over"):
        ferret.insecure_parameters(1, 16, 3)
    assert receiver.alive
    assert ferret.odd_delta()[0] & 1
    assert ferret.odd_delta() != ferret.odd_delta()
    # the rows of the source: the round's net outputs
    assert next(ferret.usable_outputs(row, MALICIOUS) for row in ferret.ROWS) == 796_232


def test_a_source_closed_in_the_middle_gives_no_wiped_rows():
    channel, _ = memory_pair()
    sender = ferret.FerretSender(channel, DealtSender(SEMI_HONEST), session=b"test", parameters=TINY)
    pieces = sender.blocks(2 * usable(SEMI_HONEST))
    next(pieces)
    sender.close()
    with pytest.raises(DeadSource, match="it was closed"):
        next(pieces)
