# SPDX-License-Identifier: Apache-2.0
"""SoftSpokenOT: every correlation, the counted bytes and rounds, and what ends a session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends
from crypsis.errors import ConfigError, CrypsisError
from crypsis.mpc.ot import softspoken
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, DeadSource
from crypsis.mpc.ot.recommend import BASE_OT_BYTES
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender

from .parties import good, pack, random_bits, run, unpack

SECURITY = (SEMI_HONEST, MALICIOUS)
both_forms = pytest.mark.parametrize("security", SECURITY)
SMALL_CHUNK = 4  # blocks


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softspoken, "CHUNK_BLOCKS", SMALL_CHUNK)


def extend(
    calls: list[tuple[int, np.ndarray | None]], **options: Any
) -> tuple[list[np.ndarray], list[tuple[np.ndarray, np.ndarray]], np.ndarray, tuple[Any, Any]]:
    """q of each call, (c, t) of each call, Delta, channels. A call: (items, choice bits or None)."""

    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"test", threads=1, **options)
        pieces = [
            np.concatenate([q.copy() for q in source.blocks(n, chosen=bits is not None)]) for n, bits in calls
        ]
        return pieces, source.delta.copy()

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(channel, session=b"test", threads=1, **options)
        pieces = []
        for n, bits in calls:
            found = [
                (unpack(c, len(t)), t.copy())
                for c, t in source.blocks(n, None if bits is None else pack(bits))
            ]
            pieces.append((np.concatenate([c for c, _ in found]), np.concatenate([t for _, t in found])))
        return pieces

    sent, received, *channels = run(sender, receiver)
    good(sent, received)
    return sent[0], received, sent[1], tuple(channels)


def assert_correlated(q: np.ndarray, c: np.ndarray, t: np.ndarray, delta: np.ndarray) -> None:
    assert len(q) == len(c) == len(t)
    np.testing.assert_array_equal(t, q ^ c[:, None] * delta)


@both_forms
@pytest.mark.parametrize("k", range(1, 9))
def test_every_item_and_the_counted_bytes(k: int, security: str) -> None:
    n = 300
    bits = random_bits(n, k)
    q, ct, delta, (alice, bob) = extend([(n, None), (n, bits)], k=k, security=security)
    for one, (c, t) in zip(q, ct, strict=True):
        assert_correlated(one, c, t, delta)
    np.testing.assert_array_equal(ct[1][0], bits)
    assert 0 < ct[0][0].sum() < n
    extension = softspoken.extension_bytes(n, k, security) + softspoken.extension_bytes(
        n, k, security, chosen=True
    )
    rows = -(-128 // k)
    if security == SEMI_HONEST:
        assert extension == (rows - 1 + rows) * 16 * 3
    else:
        assert extension == (rows - 1 + rows) * 16 * 4 + 2 * 2064
    total = alice.stats.payload_bytes_sent + bob.stats.payload_bytes_sent
    assert total == BASE_OT_BYTES + softspoken.setup_message_bytes(k, security) + extension
    assert bob.stats.payload_bytes_sent == 32 * 128 + softspoken.setup_message_bytes(k, security) + extension
    assert (alice.stats.rounds, bob.stats.rounds) == (1, 0)


@both_forms
def test_sizes_around_every_edge(security: str, small_chunks: None) -> None:
    step = softspoken.chunk_items(security)
    sizes = [1, 2, 7, 8, 9, 127, 128, 129, step - 1, step, step + 1, 2 * step, 3 * step + 5]
    calls = [(n, bits) for n in sizes for bits in (None, random_bits(n, n))]
    q, ct, delta, (_, bob) = extend(calls, k=4, security=security)
    for (n, bits), one, (c, t) in zip(calls, q, ct, strict=True):
        assert len(one) == n
        assert_correlated(one, c, t, delta)
        if bits is not None:
            np.testing.assert_array_equal(c, bits)
    wanted = sum(softspoken.extension_bytes(n, 4, security, chosen=bits is not None) for n, bits in calls)
    fixed = 32 * 128 + softspoken.setup_message_bytes(4, security)
    assert bob.stats.payload_bytes_sent == fixed + wanted
    everything = np.concatenate(q)
    assert len(np.unique(everything, axis=0)) == len(everything)  # no correlation twice


@both_forms
@pytest.mark.parametrize("backend", backends.runnable("vole"))
def test_every_backend(security: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", f"vole:{backend}")
    q, ct, delta, _ = extend([(700, None)], k=2, security=security)
    assert_correlated(q[0], *ct[0], delta)


@both_forms
def test_a_full_chunk_and_one_more(security: str) -> None:
    n = softspoken.chunk_items(security) + 1
    q, ct, delta, _ = extend([(n, None)], k=4, security=security)
    assert_correlated(q[0], *ct[0], delta)


@settings(max_examples=12, deadline=None)
@given(
    k=st.integers(1, 5),
    security=st.sampled_from(SECURITY),
    calls=st.lists(st.tuples(st.integers(1, 700), st.booleans()), min_size=1, max_size=3),
)
def test_any_calls(k: int, security: str, calls: list[tuple[int, bool]]) -> None:
    asked = [(n, random_bits(n, n) if chosen else None) for n, chosen in calls]
    q, ct, delta, _ = extend(asked, k=k, security=security)
    for one, (c, t) in zip(q, ct, strict=True):
        assert_correlated(one, c, t, delta)


def test_delta_may_be_given_and_sessions_differ() -> None:
    delta = bytes(range(16))
    q, ct, used, _ = extend_with_delta(delta)
    assert used.tobytes() == delta
    assert_correlated(q, *ct, used)
    again, *_ = extend_with_delta(delta)
    assert not (again == q).all(axis=1).any()


def extend_with_delta(delta: bytes) -> Any:
    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"d", delta=delta)
        return next(iter(source.blocks(50))).copy(), source.delta.copy()

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(channel, session=b"d")
        [(c, t)] = [(unpack(c, len(t)), t.copy()) for c, t in source.blocks(50)]
        return c, t

    sent, received, *channels = run(sender, receiver)
    good(sent, received)
    return sent[0], received, sent[1], channels


@pytest.mark.parametrize(
    "other",
    [{"k": 5}, {"security": SEMI_HONEST, "k": 4}, {"session": b"another"}],
    ids=["k", "security", "session"],
)
def test_parties_that_disagree(other: dict[str, Any]) -> None:
    mine = {"session": b"one", "k": 4, "security": MALICIOUS}
    sent, *_ = run(
        lambda c: list(SoftSpokenSender(c, **mine).blocks(5)),
        lambda c: list(SoftSpokenReceiver(c, **{**mine, **other}).blocks(5)),
    )
    assert isinstance(sent, CrypsisError)
    if "session" in other:
        assert isinstance(sent, ConfigError)
        assert "k, security, version or session" in str(sent)


def test_different_numbers_of_items_end_the_session() -> None:
    sent, _, *_ = run(
        lambda c: list(SoftSpokenSender(c, session=b"s").blocks(1000)),
        lambda c: list(SoftSpokenReceiver(c, session=b"s").blocks(2000)),
    )
    assert "instead of" in str(sent)
    assert isinstance(sent, CrypsisError)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"session": b""}, ValueError, "session has 0 bytes"),
        ({"session": "text"}, TypeError, "session is str"),
        ({"session": b"s", "k": 0}, ValueError, "k is 0"),
        ({"session": b"s", "k": 9}, ValueError, "k is 9"),
        ({"session": b"s", "security": "covert"}, ValueError, "security is 'covert'"),
        ({"session": b"s", "delta": b"12"}, ValueError, "delta has 2 bytes"),
    ],
)
def test_refused_before_anything_is_sent(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        SoftSpokenSender(None, **arguments)  # type: ignore[arg-type]


def test_refused_counts_leave_the_session_alive() -> None:
    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"s", k=1)
        for n in (0, -1, 1 << 41):
            with pytest.raises(ValueError, match="n_items is"):
                source.blocks(n)
        with pytest.raises(TypeError, match="n_items is float"):
            source.blocks(1.0)  # type: ignore[arg-type]
        assert source.alive
        return [q.copy() for q in source.blocks(3)], source.delta.copy()

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(channel, session=b"s", k=1)
        for choices in (np.zeros(2, np.uint8), np.zeros((1, 1), np.uint8)):
            with pytest.raises(ValueError, match="choices has shape"):
                source.blocks(3, choices)
        for wrong in ([1], np.zeros(1, bool)):
            with pytest.raises(TypeError, match="choices is"):
                source.blocks(3, wrong)  # type: ignore[arg-type]
        return [(unpack(c, len(t)), t.copy()) for c, t in source.blocks(3)]

    sent, received, *_ = run(sender, receiver)
    good(sent, received)
    assert_correlated(sent[0][0], *received[0], sent[1])


def test_an_iteration_left_in_the_middle_ends_the_source(small_chunks: None) -> None:
    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"s", k=2)
        pieces = source.blocks(3 * softspoken.chunk_items(MALICIOUS))
        next(pieces)
        with pytest.raises(DeadSource, match="in the middle of another"):
            source.blocks(1)
        pieces.close()  # type: ignore[attr-defined]
        assert not source.alive
        assert not source.delta.any()
        with pytest.raises(DeadSource, match="not finished"):
            source.blocks(1)
        for _ in range(2):
            channel.recv(0)
        return True

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(channel, session=b"s", k=2)
        for _ in source.blocks(3 * softspoken.chunk_items(MALICIOUS)):
            pass
        source.close()
        with pytest.raises(DeadSource, match="closed"):
            source.blocks(1)
        return True

    sent, received, *_ = run(sender, receiver)
    good(sent, received)
