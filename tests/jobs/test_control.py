# SPDX-License-Identifier: Apache-2.0
"""A peer's driver that does not keep to its role: the job ends, and says why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.jobs.control import CONTROL_STREAM, FROM_FOLLOWER, receive
from crypsis.mpc.jobs.executors import InlineExecutor
from crypsis.mpc.jobs.scheduler import run_bins
from crypsis.mpc.transport import Channel, Hub, memory_hubs
from transport.conftest import spawn

from . import toy

BINS = [0, 1, 2]


@pytest.fixture
def hubs() -> Iterator[tuple[Hub, Hub]]:
    made = memory_hubs()
    yield made
    for hub in made:
        hub.abort("the test is over")


def say(channel: Channel, *words: object) -> None:
    channel.send(CONTROL_STREAM, json.dumps(words).encode())


def hello(leads: bool, **changed: object) -> dict[str, object]:
    digest = hashlib.sha256(json.dumps(BINS).encode()).hexdigest()
    return {"leads": leads, "bins": len(BINS), "digest": digest, "workers": 1, **changed}


def against(hubs: tuple[Hub, Hub], leads: bool, mischief: Callable[[Hub, Channel], None]) -> str:
    """What an honest party that leads, or does not, says of a peer that does `mischief` after its start."""
    honest, peer = hubs
    job = spawn(
        run_bins,
        honest,
        BINS,
        work=toy.work,
        spec={"n_bytes": 10},
        leads=leads,
        executor=InlineExecutor(),
    )
    channel = peer.channel(0)

    def play() -> None:
        say(channel, "start", hello(not leads))
        mischief(peer, channel)

    playing = spawn(play)
    with pytest.raises(ProtocolAbort) as caught:
        job.result(60)
    peer.abort("enough")
    with suppress(CrypsisError):  # its channel is gone, as it should be
        playing.result(60)
    return str(caught.value)


LEADER_SAYS: list[tuple[list[list[Any]], str]] = [
    ([["finish"]], "finished before the bins were"),
    ([["finished"]], "its role does not have"),
    ([["done", 1, 0]], "its role does not have"),
    ([["open", 0]], "'open' of session 0"),
    ([["open", 1], ["open", 2]], "opened worker pair 2, which is no new one"),
    ([["open", 1], ["lost", 1, "x"], ["open", 1]], "opened worker pair 1, which is no new one"),
    ([["assign", 1, 0]], "'assign' of worker pair 1, which never was"),
    ([["open", 1], ["assign", 1, 99]], "bin 99, which is not to be done"),
    ([["open", 1], ["assign", 1, 0], ["assign", 1, 0]], "bin 0, which is not to be done"),
    ([["open", 1], ["last", 1], ["assign", 1, 0]], "bin 0, which is not to be done"),
    ([["complete", 0]], "completed bin 0, which was not done here"),
    (
        [said for k in range(1, 5) for said in (["open", k], ["assign", k, 0], ["lost", k, "x"])],
        "gave out bin 0 more than 3 times",
    ),
    ([["start", {}]], "its role does not have"),
    ([["open", "1"]], "value out of range"),
    ([["open", -1]], "value out of range"),
    ([["open"]], "its role does not have"),
    ([["sing"]], "its role does not have"),
    ([[1]], "its role does not have"),
    ([[]], "its role does not have"),
]


@pytest.mark.parametrize(("words", "text"), LEADER_SAYS)
def test_a_leader_that_misbehaves(hubs: tuple[Hub, Hub], words: list[list[Any]], text: str) -> None:
    def mischief(hub: Hub, channel: Channel) -> None:
        for said in words:
            say(channel, *said)

    assert text in against(hubs, False, mischief)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["finished"], "finished before the bins were"),
        (["done", 1, 2], "has done bin 2, which it has not"),
        (["done", 7, 0], "'done' of worker pair 7, which never was"),
        (["complete", 0], "its role does not have"),
        (["lost", 1], "its role does not have"),
        (["lost", 1, 5], "value out of range"),
    ],
)
def test_a_follower_that_misbehaves(hubs: tuple[Hub, Hub], words: list[Any], text: str) -> None:
    def mischief(hub: Hub, channel: Channel) -> None:
        assert channel.recv(CONTROL_STREAM)  # start
        assert json.loads(bytes(channel.recv(CONTROL_STREAM))) == ["open", 1]
        say(channel, *words)

    assert text in against(hubs, True, mischief)


@pytest.mark.parametrize(
    "message", [b"", b"{", b"[" * 3000, b'"start"', b"[" + b"1," * 4000 + b"1]", b"\xff"]
)
def test_messages_that_are_none(hubs: tuple[Hub, Hub], message: bytes) -> None:
    asked = spawn(hubs[0].channel, 0)
    hubs[1].channel(0).send(CONTROL_STREAM, message)
    with pytest.raises(ProtocolAbort, match="its role does not have"):
        receive(asked.result(60), FROM_FOLLOWER)


@pytest.mark.parametrize(
    "start",
    [{}, hello(True, more=1), hello(True, workers=0), hello(True, workers="1"), hello(True, digest=5)],
)
def test_a_start_that_is_none(hubs: tuple[Hub, Hub], start: dict[str, object]) -> None:
    job = spawn(run_bins, hubs[0], BINS, work=toy.work, spec={}, leads=False)
    say(hubs[1].channel(0), "start", start)
    with pytest.raises(ProtocolAbort, match="fields that a start does not have"):
        job.result(60)
