# SPDX-License-Identifier: Apache-2.0
"""Base OT: the correlation, the counted bytes, and peers that cheat."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from crypsis import ristretto255
from crypsis.errors import InvalidPoint, ProtocolAbort
from crypsis.mpc.ot import base
from crypsis.mpc.transport import Channel, ChannelOptions, memory_pair

WAIT_S = 300


def spawn(function: Callable[[], Any]) -> Future[Any]:
    """Runs in a daemon thread, so that a hang fails a test instead of stopping the run."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def both(
    sender: Callable[[Channel], Any], receiver: Callable[[Channel], Any], **options: Any
) -> tuple[Future[Any], Future[Any], tuple[Channel, Channel]]:
    channels = memory_pair("alice", "bob", options=ChannelOptions(patience_s=5, **options))

    def party(function: Callable[[Channel], Any], channel: Channel) -> Any:
        with channel:
            return function(channel)

    futures = [spawn(lambda f=f, c=c: party(f, c)) for f, c in zip((sender, receiver), channels, strict=True)]
    for future in futures:
        future.exception(WAIT_S)
    return futures[0], futures[1], channels


def choices_of(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, n, np.uint8)


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129])
def test_the_receiver_has_the_key_of_its_choice_only(n: int) -> None:
    choices = choices_of(n)
    sent, received, channels = both(
        lambda c: base.send(c, n, session=b"s"), lambda c: base.receive(c, choices, session=b"s")
    )
    keys, got = sent.result(), received.result()
    assert keys.shape == (n, 2, 16)
    assert (got == keys[np.arange(n), choices]).all()
    assert len(np.unique(keys.reshape(-1, 16), axis=0)) == 2 * n
    # 768 bits an OT, one round
    alice, bob = (channel.stats for channel in channels)
    assert (alice.payload_bytes_sent, alice.payload_bytes_received) == (32 * n, 64 * n)
    assert (bob.payload_bytes_sent, bob.payload_bytes_received) == (64 * n, 32 * n)
    assert (alice.messages_sent, bob.messages_sent, alice.rounds, bob.rounds) == (1, 1, 0, 1)


@pytest.mark.parametrize("choice", [0, 1])
def test_constant_choices(choice: int) -> None:
    choices = np.full(9, choice, np.uint8)
    sent, received, _ = both(
        lambda c: base.send(c, 9, session=b"s", stream=3),
        lambda c: base.receive(c, choices, session=b"s", stream=3),
        window_bytes=4096,
    )
    assert (received.result() == sent.result()[:, choice]).all()


def test_two_calls_share_nothing() -> None:
    """Same session, same choices: the scalars are fresh, so are the keys."""
    choices = choices_of(8)

    def twice(call: Callable[[], np.ndarray]) -> list[np.ndarray]:
        return [call(), call()]

    sent, received, _ = both(
        lambda c: twice(lambda: base.send(c, 8, session=b"s")),
        lambda c: twice(lambda: base.receive(c, choices, session=b"s")),
    )
    first, second = sent.result()
    assert not (first == second).all(axis=-1).any()
    assert not (received.result()[0] == received.result()[1]).all(axis=-1).any()


def test_sessions_must_agree() -> None:
    sent, received, _ = both(
        lambda c: base.send(c, 8, session=b"one"),
        lambda c: base.receive(c, choices_of(8), session=b"two"),
    )
    assert not (received.result()[:, None] == sent.result()).all(axis=-1).any()


def test_a_replayed_message_gives_keys_that_do_not_match() -> None:
    choices = choices_of(4)
    kept: list[bytes] = []

    def record(channel: Channel) -> None:
        kept.append(bytes(channel.recv(0)))
        channel.send(0, ristretto255.scalar_mult_base(ristretto255.random_scalars(4)).tobytes())

    both(record, lambda c: base.receive(c, choices, session=b"s"))

    def replay(channel: Channel) -> None:
        channel.send(0, kept[0])
        channel.recv(0)

    sent, _, _ = both(lambda c: base.send(c, 4, session=b"s"), replay)
    again, _, _ = both(lambda c: base.send(c, 4, session=b"s"), replay)
    assert not (sent.result() == again.result()).all(axis=-1).any()


def elements(n: int) -> np.ndarray:
    return ristretto255.scalar_mult_base(ristretto255.random_scalars(n))


def damaged(rows: np.ndarray, where: int, value: bytes) -> bytes:
    rows = rows.copy()
    rows[where] = np.frombuffer(value, np.uint8)
    return rows.tobytes()


BAD_POINTS = [
    pytest.param(bytes(32), "identity", id="identity"),
    pytest.param((2**255 - 19).to_bytes(32, "little"), "not the encoding", id="not canonical"),
    pytest.param((1).to_bytes(32, "little"), "not the encoding", id="negative"),
    pytest.param(b"\xff" * 32, "not the encoding", id="ones"),
]


@pytest.mark.parametrize(("value", "told"), BAD_POINTS)
def test_bad_points_from_the_sender(value: bytes, told: str) -> None:
    def cheat(channel: Channel) -> None:
        channel.recv(0)
        channel.send(0, damaged(elements(4), 2, value))

    _, received, _ = both(cheat, lambda c: base.receive(c, choices_of(4), session=b"s"))
    error = received.exception()
    assert isinstance(error, InvalidPoint)
    assert "alice" in str(error)
    assert told in str(error)


@pytest.mark.parametrize(("value", "told"), BAD_POINTS)
def test_bad_points_from_the_receiver(value: bytes, told: str) -> None:
    sent, _, _ = both(
        lambda c: base.send(c, 4, session=b"s"), lambda c: c.send(0, damaged(elements(8), 5, value))
    )
    error = sent.exception()
    assert isinstance(error, InvalidPoint)
    assert told in str(error)


def test_points_that_cancel_their_hash_are_refused() -> None:
    """r_0 = -H(0, r_1) would make the sender's first key that of the identity."""

    def cheat(channel: Channel) -> None:
        other = elements(1)
        mask = base._hash_to_group(base._context(1, b"s"), np.zeros(1, np.uint8), other, None)
        channel.send(0, ristretto255.sub(np.zeros((1, 32), np.uint8), mask).tobytes() + other.tobytes())
        channel.recv(0)

    sent, _, _ = both(lambda c: base.send(c, 1, session=b"s"), cheat)
    with pytest.raises(InvalidPoint, match="identity"):
        sent.result()


@pytest.mark.parametrize("n_bytes", [0, 31, 4 * 32 - 1, 4 * 32 + 32, 8 * 32])
def test_wrong_lengths(n_bytes: int) -> None:
    def cheat(channel: Channel) -> None:
        channel.recv(0)
        channel.send(0, bytes(n_bytes))

    _, received, _ = both(cheat, lambda c: base.receive(c, choices_of(4), session=b"s"))
    with pytest.raises(ProtocolAbort, match=f"{n_bytes} bytes of base OT where 128 were due"):
        received.result()
    sent, _, _ = both(lambda c: base.send(c, 3, session=b"s"), lambda c: c.send(0, bytes(n_bytes)))
    with pytest.raises(ProtocolAbort, match="where 192 were due"):
        sent.result()


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda c: base.send(c, 0, session=b"s"), ValueError, "n_items is 0"),
        (lambda c: base.send(c, 1 << 20, session=b"s"), ValueError, "n_items"),
        (lambda c: base.send(c, 1.0, session=b"s"), TypeError, "float"),
        (lambda c: base.send(c, 1, session=b""), ValueError, "session is empty"),
        (lambda c: base.send(c, 1, session="s"), TypeError, "session is str"),
        (lambda c: base.receive(c, np.array([0, 2], np.uint8), session=b"s"), ValueError, "above 1"),
        (lambda c: base.receive(c, np.array([0, 1]), session=b"s"), TypeError, "int64"),
        (lambda c: base.receive(c, [0, 1], session=b"s"), TypeError, "list"),
        (lambda c: base.receive(c, np.zeros(0, np.uint8), session=b"s"), ValueError, "shape"),
        (lambda c: base.receive(c, np.zeros((2, 2), np.uint8), session=b"s"), ValueError, "shape"),
    ],
)
def test_wrong_arguments(call: Callable[[Any], Any], error: type[Exception], told: str) -> None:
    left, _ = memory_pair()
    with pytest.raises(error, match=told):
        call(left)
    assert left.stats.messages_sent == 0


def test_secrets_are_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scalars and shared points are zeros when the call is over, also after an error."""
    kept: list[np.ndarray] = []

    def keep(call: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def kept_call(*args: Any, **options: Any) -> np.ndarray:
            kept.append(call(*args, **options))
            return kept[-1]

        return kept_call

    monkeypatch.setattr(ristretto255, "random_scalars", keep(ristretto255.random_scalars))
    monkeypatch.setattr(ristretto255, "scalar_mult", keep(ristretto255.scalar_mult))
    both(lambda c: base.send(c, 4, session=b"s"), lambda c: base.receive(c, choices_of(4), session=b"s"))
    assert len(kept) == 2 + 3
    both(lambda c: base.send(c, 4, session=b"s"), lambda c: c.send(0, bytes(4 * 64)))
    assert len(kept) == 6
    assert not any(array.any() for array in kept)
