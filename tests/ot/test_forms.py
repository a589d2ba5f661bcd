# SPDX-License-Identifier: Apache-2.0
"""Random, chosen-message and 1-of-N transfers: every key and message, bytes, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import vole
from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.ot import forms, softspoken
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, DeadSource
from crypsis.mpc.ot.recommend import BASE_OT_BYTES
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender

from .parties import Tampering, good, pack, random_bits, run, unpack

both_forms = pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])


def sources(
    sender: Callable[[SoftSpokenSender, Any], Any],
    receiver: Callable[[SoftSpokenReceiver, Any], Any],
    *,
    security: str = MALICIOUS,
    k: int = 2,
    change: Callable[[int, bytearray], Any] | None = None,
) -> tuple[Any, Any, Any, Any]:
    options: dict[str, Any] = {"session": b"forms", "k": k, "security": security, "threads": 1}

    def sends(channel: Any) -> Any:
        outgoing = channel if change is None else Tampering(channel, change)
        return sender(SoftSpokenSender(channel, **options), outgoing)

    return run(sends, lambda channel: receiver(SoftSpokenReceiver(channel, **options), channel))


def messages(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)


def overhead(security: str, k: int = 2) -> int:
    return BASE_OT_BYTES + softspoken.setup_message_bytes(k, security)


def traffic(channel: Any) -> int:
    return channel.stats.payload_bytes_sent + channel.stats.payload_bytes_received


@both_forms
@pytest.mark.parametrize("chosen", [False, True])
def test_random_keys(security: str, chosen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softspoken, "CHUNK_BLOCKS", 4)
    n = 1300
    bits = random_bits(n, 3)

    def sender(source: Any, _: Any) -> Any:
        keys = np.concatenate([x.copy() for x in forms.random_send(source, n, chosen=chosen)])
        return keys, source._next_tweak

    def receiver(source: Any, _: Any) -> Any:
        pieces = forms.random_receive(source, n, pack(bits) if chosen else None)
        found = [(unpack(c, len(key)), key.copy()) for c, key in pieces]
        return np.concatenate([c for c, _ in found]), np.concatenate([key for _, key in found])

    sent, received, alice, _ = sources(sender, receiver, security=security)
    good(sent, received)
    (keys, tweaks), (c, mine) = sent, received
    np.testing.assert_array_equal(keys[np.arange(n), c], mine)
    assert not (keys[np.arange(n), 1 - c] == mine).all(axis=1).any()
    assert len(np.unique(keys.reshape(-1, 16), axis=0)) == 2 * n
    assert tweaks == (n if security == MALICIOUS else 0)
    if chosen:
        np.testing.assert_array_equal(c, bits)
    extension = softspoken.extension_bytes(n, 2, security, chosen=chosen)
    assert traffic(alice) == overhead(security) + extension


def test_the_keys_are_the_hashes_of_the_rows() -> None:
    def sender(source: Any, _: Any) -> Any:
        rows = []
        blocks = source.blocks

        def spy(*a: Any, **k: Any) -> Any:
            for q in blocks(*a, **k):
                rows.append(q.copy())
                yield q

        source.blocks = spy
        tweak = int.from_bytes(source.session[:8], "little") << 64
        delta = source.delta.tobytes()
        [keys] = [x.copy() for x in forms.random_send(source, 20)]
        np.testing.assert_array_equal(keys, vole.random_keys(rows[0], delta=delta, tweak=tweak))
        return True

    sent, received, *_ = sources(sender, lambda source, _: list(forms.random_receive(source, 20)))
    good(sent, received)


@both_forms
@pytest.mark.parametrize("width", [1, 15, 16, 17, 32, 50])
def test_chosen_messages(security: str, width: int) -> None:
    n = 400
    pairs, bits = messages(n, 2, width), random_bits(n, width)
    sent, received, alice, bob = sources(
        lambda source, channel: forms.chosen_send(source, channel, pairs),
        lambda source, channel: np.concatenate(
            list(forms.chosen_receive(source, channel, pack(bits), n, width))
        ),
        security=security,
    )
    good(sent, received)
    np.testing.assert_array_equal(received, pairs[np.arange(n), bits])
    extension = softspoken.extension_bytes(n, 2, security, chosen=True)
    assert traffic(alice) == overhead(security) + extension + forms.chosen_bytes(n, width)
    assert forms.chosen_bytes(n, width) == 2 * n * width
    assert (alice.stats.rounds, bob.stats.rounds) == (1, 1)  # the set-up's; then corrections, then messages


def test_chosen_messages_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softspoken, "CHUNK_BLOCKS", 4)
    monkeypatch.setattr(forms, "_STEP_BLOCKS", 100)
    n, width = 1000, 40
    pairs, bits = messages(n, 2, width), random_bits(n, 1)
    sent, received, *_ = sources(
        lambda source, channel: forms.chosen_send(source, channel, pairs),
        lambda source, channel: list(forms.chosen_receive(source, channel, pack(bits), n, width)),
    )
    good(sent, received)
    assert max(len(piece) for piece in received) <= 100
    np.testing.assert_array_equal(np.concatenate(received), pairs[np.arange(n), bits])


@both_forms
@pytest.mark.parametrize(("n_branches", "width"), [(2, 16), (3, 1), (5, 33), (16, 20), (17, 64), (100, 8)])
def test_one_of_n(security: str, n_branches: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_STEP_BLOCKS", 1000)
    n = 60
    table = messages(n, n_branches, width)
    indices = np.random.default_rng(n_branches).integers(0, n_branches, n)
    indices[:2] = 0, n_branches - 1
    sent, received, alice, _ = sources(
        lambda source, channel: forms.one_of_n_send(source, channel, table),
        lambda source, channel: np.concatenate(
            list(forms.one_of_n_receive(source, channel, indices, n_branches, width))
        ),
        security=security,
    )
    good(sent, received)
    np.testing.assert_array_equal(received, table[np.arange(n), indices])
    steps = forms.one_of_n_steps(n, n_branches, width)
    assert sum(steps) == n * (n_branches - 1).bit_length()
    extension = sum(softspoken.extension_bytes(m, 2, security, chosen=True) for m in steps)
    wanted = overhead(security) + extension + forms.one_of_n_bytes(n, n_branches, width)
    assert traffic(alice) == wanted


def test_one_of_n_keys_are_all_different() -> None:
    n, n_branches = 40, 6
    indices = np.arange(n) % n_branches
    sent, received, *_ = sources(
        lambda source, _: np.concatenate(list(forms.one_of_n_keys_send(source, n, n_branches))),
        lambda source, _: np.concatenate(list(forms.one_of_n_keys_receive(source, indices, n_branches))),
    )
    good(sent, received)
    np.testing.assert_array_equal(received, sent[np.arange(n), indices])
    assert len(np.unique(sent.reshape(-1, 16), axis=0)) == n * n_branches


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 40), n_branches=st.integers(2, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_one_of_any_n(n: int, n_branches: int, width: int, seed: int) -> None:
    table = messages(n, n_branches, width)
    indices = np.random.default_rng(seed).integers(0, n_branches, n)
    sent, received, *_ = sources(
        lambda source, channel: forms.one_of_n_send(source, channel, table),
        lambda source, channel: np.concatenate(
            list(forms.one_of_n_receive(source, channel, indices, n_branches, width))
        ),
    )
    good(sent, received)
    np.testing.assert_array_equal(received, table[np.arange(n), indices])


def test_several_forms_share_a_source() -> None:
    pairs, bits = messages(9, 2, 5), random_bits(9, 2)

    def sender(source: Any, channel: Any) -> Any:
        first = np.concatenate([x.copy() for x in forms.random_send(source, 9)])
        forms.chosen_send(source, channel, pairs)
        return first, np.concatenate([x.copy() for x in forms.random_send(source, 9)])

    def receiver(source: Any, channel: Any) -> Any:
        list(forms.random_receive(source, 9))
        got = np.concatenate(list(forms.chosen_receive(source, channel, pack(bits), 9, 5)))
        list(forms.random_receive(source, 9))
        return got

    sent, received, *_ = sources(sender, receiver)
    good(sent, received)
    np.testing.assert_array_equal(received, pairs[np.arange(9), bits])
    assert not (sent[0] == sent[1]).all(axis=-1).any()


# What is refused


class Untouched:
    """A source that must not be used."""

    security = MALICIOUS

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda s: forms.chosen_send(s, None, np.zeros((3, 3, 4), np.uint8)),
            ValueError,
            "messages has shape",
        ),
        (lambda s: forms.chosen_send(s, None, np.zeros((0, 2, 4), np.uint8)), ValueError, "n_items is 0"),
        (lambda s: forms.chosen_send(s, None, np.zeros((3, 2, 0), np.uint8)), ValueError, "width is 0"),
        (lambda s: forms.chosen_send(s, None, np.zeros((3, 2, 4))), TypeError, "messages is ndarray"),
        (lambda s: forms.chosen_send(s, None, [[b"a", b"bc"]]), TypeError, "messages is list"),
        (
            lambda s: next(forms.chosen_receive(s, None, np.zeros(2, np.uint8), 3, 4)),
            ValueError,
            "choices has",
        ),
        (
            lambda s: next(forms.chosen_receive(s, None, np.zeros(1, np.uint8), 3, -1)),
            ValueError,
            "width is -1",
        ),
        (lambda s: next(forms.one_of_n_keys_send(s, 3, 1)), ValueError, "n_branches is 1"),
        (lambda s: next(forms.one_of_n_keys_send(s, 0, 3)), ValueError, "n_items is 0"),
        (
            lambda s: forms.one_of_n_send(s, None, np.zeros((3, 1, 4), np.uint8)),
            ValueError,
            "n_branches is 1",
        ),
        (lambda s: next(forms.one_of_n_keys_receive(s, np.array([0, 5]), 5)), IndexError, "from 0 to 5"),
        (lambda s: next(forms.one_of_n_keys_receive(s, np.array([-1]), 5)), IndexError, "from -1"),
        (lambda s: next(forms.one_of_n_keys_receive(s, np.zeros(0, int), 5)), ValueError, "n_items is 0"),
        (lambda s: next(forms.one_of_n_keys_receive(s, np.zeros(2), 5)), TypeError, "indices is no"),
        (lambda s: next(forms.one_of_n_keys_receive(s, np.zeros((1, 1), int), 5)), ValueError, "indices has"),
    ],
)
def test_refused_before_a_correlation_is_used(
    call: Callable[[Any], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call(Untouched())


def test_messages_of_another_width_abort() -> None:
    sent, received, *_ = sources(
        lambda source, channel: forms.chosen_send(source, channel, messages(9, 2, 5)),
        lambda source, channel: list(forms.chosen_receive(source, channel, np.zeros(2, np.uint8), 9, 6)),
    )
    assert isinstance(received, ProtocolAbort)
    assert "90 bytes instead of 108" in str(received)
    assert sent is None or isinstance(sent, CrypsisError)


@pytest.mark.parametrize("cut", [lambda m: m[:-1], lambda m: m + b"1", lambda m: b""])
def test_truncated_messages_abort(cut: Callable[[bytearray], bytes]) -> None:
    indices = np.array([1, 2])

    def receiver(source: Any, channel: Any) -> Any:
        try:
            return list(forms.one_of_n_receive(source, channel, indices, 3, 4))
        finally:
            assert not source.alive
            with pytest.raises(DeadSource):
                list(forms.random_receive(source, 1))

    _, received, *_ = sources(
        lambda source, channel: forms.one_of_n_send(source, channel, messages(2, 3, 4)),
        receiver,
        change=lambda n, m: cut(m),
    )
    assert isinstance(received, ProtocolAbort)


def test_an_iterator_left_between_steps_ends_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_STEP_BLOCKS", 8)

    def receiver(source: Any, _: Any) -> Any:
        steps = forms.one_of_n_keys_receive(source, np.zeros(10, int), 4)
        next(steps)
        steps.close()
        assert not source.alive
        return True

    def sender(source: Any, _: Any) -> Any:
        next(forms.one_of_n_keys_send(source, 10, 4)).copy()
        return True

    sent, received, *_ = sources(sender, receiver)
    good(sent, received)


@both_forms
@pytest.mark.parametrize("form", ["random", "chosen"])
def test_a_source_closed_in_the_middle_gives_no_keys_of_wiped_rows(
    security: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeroed rows and a zeroed Delta would make keys, and masks of messages, that anybody can compute."""
    n = 40
    sent: list[bytes] = []

    class Closing(SoftSpokenSender):
        """Another thread closes it while its rows are hashed."""

        def take_tweaks(self, count: int) -> int:
            self.close()
            return super().take_tweaks(count)

    class Kept:
        def send(self, stream: int, payload: Any) -> None:
            sent.append(bytes(payload))

    def sender(channel: Any) -> Any:
        source = Closing(channel, session=b"forms", k=2, security=security, threads=1)
        if form == "chosen":
            forms.chosen_send(source, Kept(), messages(n, 2, 20))  # type: ignore[arg-type]
        else:
            monkeypatch.setattr(forms, "_tweak", lambda source, count: source.take_tweaks(count))
            sent.extend(keys.tobytes() for keys in forms.random_send(source, n, chosen=True))

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(channel, session=b"forms", k=2, security=security, threads=1)
        return list(source.blocks(n, np.zeros(n // 8, np.uint8)))

    result, *_ = run(sender, receiver)
    assert isinstance(result, DeadSource)
    assert "it was closed" in str(result)
    assert not sent


@both_forms
def test_a_source_closed_between_pieces_gives_no_more(security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softspoken, "PIECE_BLOCKS", 1)

    def party(source: Any, _: Any) -> Any:
        pieces = source.blocks(1000)
        next(pieces)
        source.close()
        with pytest.raises(DeadSource, match="it was closed"):
            next(pieces)
        return True

    good(*sources(party, party, security=security)[:2])
