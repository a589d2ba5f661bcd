# SPDX-License-Identifier: Apache-2.0
"""A peer of VOLE-PSI that does not follow the protocol: whatever it sends, the honest party ends with a named error or
a right answer, never with a wrong one it could have noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.psi import vole
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.vole import intersect_digests

from .pair import WAIT_S, recorded_pair, spawn

N = 400
RNG = np.random.default_rng(7)
KEYS = RNG.integers(0, 256, (N + N // 2, 16), np.uint8)
RECEIVER, SENDER = KEYS[:N], KEYS[N // 2 :]


class Nth:
    """Changes the n-th message of a stream."""

    def __init__(self, stream: int, n: int, change: Callable[[bytes], list[bytes]]) -> None:
        self._stream, self._n, self._change = stream, n, change
        self.seen = 0

    def __call__(self, stream: int, raw: bytes) -> list[bytes]:
        if stream != self._stream:
            return [raw]
        self.seen += 1
        return self._change(raw) if self.seen == self._n + 1 else [raw]


def run(security: Any, *, broadcast: bool = True, **tampers: Any) -> tuple[Any, Any, Layout]:
    layout = Layout(N, N, inner_keys=200, security=security)
    channels = recorded_pair(**tampers)

    def party(role: Any, keys: np.ndarray, channel: Any) -> Any:
        with channel:
            return intersect_digests(channel, role, keys, layout, broadcast=broadcast, threads=1)

    futures = [
        spawn(lambda: party("receiver", RECEIVER, channels[0])),
        spawn(lambda: party("sender", SENDER, channels[1])),
    ]
    for future in futures:
        future.exception(WAIT_S)
    return futures[0], futures[1], layout


def flip(at: int) -> Callable[[bytes], list[bytes]]:
    def change(raw: bytes) -> list[bytes]:
        data = bytearray(raw)
        data[at % len(data)] ^= 1
        return [bytes(data)]

    return change


SHORTER: dict[str, Callable[[bytes], list[bytes]]] = {
    "shorter": lambda raw: [raw[:-1]],
    "longer": lambda raw: [raw + b"\0"],
    "empty": lambda raw: [b""],
}


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("change", SHORTER)
@pytest.mark.parametrize(
    ("who", "stream", "n"),
    [
        ("receiver", vole.TABLE, 1),
        ("receiver", vole.TABLE, 2),
        ("sender", vole.TAGS, 0),
        ("sender", vole.TAGS, 1),
        ("receiver", vole.RESULT, 0),
        ("sender", vole.VOLE, 1),
        ("receiver", vole.VOLE, 1),
    ],
)
def test_wrong_lengths(security: str, change: str, who: str, stream: int, n: int) -> None:
    receiver, sender, _ = run(security, **{who: Nth(stream, n, SHORTER[change])})
    honest = sender if who == "receiver" else receiver
    error = honest.exception()
    assert isinstance(error, CrypsisError), error
    assert "\n" not in str(error)


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_tags_out_of_order(security: str) -> None:
    def swapped(raw: bytes) -> list[bytes]:
        width = Layout(N, N, inner_keys=200, security=security).tag_bytes  # type: ignore[arg-type]
        return [raw[: -2 * width] + raw[-width:] + raw[-2 * width : -width]]

    receiver, _, _ = run(security, sender=Nth(vole.TAGS, 1, swapped))
    error = receiver.exception()
    assert isinstance(error, ProtocolAbort)
    assert "not in order" in str(error)


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_a_tag_sent_twice(security: str) -> None:
    def twice(raw: bytes) -> list[bytes]:
        width = Layout(N, N, inner_keys=200, security=security).tag_bytes  # type: ignore[arg-type]
        return [raw[:-width] + raw[-2 * width : -width]]

    receiver, _, _ = run(security, sender=Nth(vole.TAGS, 1, twice))
    assert isinstance(receiver.exception(), ProtocolAbort)


def test_an_opening_that_is_not_what_was_committed_to() -> None:
    receiver, _, _ = run("malicious", sender=Nth(vole.TAGS, 1, flip(0)))
    error = receiver.exception()
    assert isinstance(error, ProtocolAbort)
    assert "committed" in str(error)


def test_a_commitment_that_is_changed_later() -> None:
    receiver, _, _ = run("malicious", sender=Nth(vole.COMMITMENTS, 0, flip(3)))
    assert isinstance(receiver.exception(), ProtocolAbort)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_changed_message_of_the_vole_ends_a_malicious_run(n: int, at: int) -> None:
    """Whatever is wrong in base OTs, OT extension or trees is found by their own checks, or changes nothing."""
    for who in ("sender", "receiver"):
        receiver, sender, _ = run("malicious", **{who: Nth(vole.VOLE, n, flip(at))})
        errors = [future.exception() for future in (receiver, sender)]
        if errors == [None, None]:  # the byte meant nothing, or there was no such message
            matched = receiver.result()
            assert {RECEIVER[i].tobytes() for i in matched} == {row.tobytes() for row in KEYS[N // 2 : N]}
        else:
            assert all(isinstance(error, CrypsisError) for error in errors if error is not None)


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_a_receiver_that_changes_its_table_harms_only_itself(security: str) -> None:
    """It loses keys; it cannot make the sender's tags of other keys readable."""
    receiver, sender, _ = run(security, receiver=Nth(vole.TABLE, 2, flip(40)))
    common = {row.tobytes() for row in KEYS[N // 2 : N]}
    assert {RECEIVER[i].tobytes() for i in receiver.result()} <= common
    assert len(sender.result()) == len(receiver.result())


def test_results_for_padding_are_refused() -> None:
    def all_matched(raw: bytes) -> list[bytes]:
        return [b"\xff" * len(raw)]

    _, sender, _ = run("semi-honest", receiver=Nth(vole.RESULT, 0, all_matched))
    error = sender.exception()
    assert isinstance(error, ProtocolAbort)
    assert "padding" in str(error)


def test_another_session_cannot_be_replayed() -> None:
    """Tags of an earlier run match nothing in a later one."""
    kept: list[bytes] = []

    def keep(stream: int, raw: bytes) -> list[bytes]:
        if stream == vole.TAGS:
            kept.append(raw)
        return [raw]

    receiver, _, _ = run("semi-honest", sender=keep)
    assert len(receiver.result()) == N // 2
    old = list(kept)

    class Replay:
        seen = 0

        def __call__(self, stream: int, raw: bytes) -> list[bytes]:
            if stream != vole.TAGS:
                return [raw]
            self.seen += 1
            return [raw] if self.seen == 1 else [old[self.seen - 1]]

    receiver, _, _ = run("semi-honest", broadcast=False, sender=Replay())
    assert len(receiver.result()) == 0
