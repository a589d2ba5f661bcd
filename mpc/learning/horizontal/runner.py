# SPDX-License-Identifier: Apache-2.0
"""Masked sums over channels: the server has one to each client, and goes on without those that are gone or late."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypsis.errors import ChannelError, CorruptData, CrypsisError, ProtocolAbort
from crypsis.mpc.learning.horizontal.mask_client import MaskClient
from crypsis.mpc.learning.horizontal.mask_server import MaskServer
from crypsis.mpc.learning.horizontal.plan import Plan, Values
from crypsis.mpc.transport import Channel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DEFAULT_DEADLINE_S = 600.0
FRESH, RESUMED, ROUND, DONE, LOST, TRAIN, FINISHED = range(1, 8)
"""Kinds of frames."""
_FRAME = struct.Struct("<4sBQ")
_MAGIC = b"CKHR"
_LENGTH = struct.Struct("<Q")


class SumLost(ProtocolAbort):
    """Too few clients were left for a sum; the channels to those that are there are still good."""


@dataclass(frozen=True)
class SumResult:
    """What the server has of one sum.

    values      float64[n_values]: sum of weight times numbers, over the survivors
    weight      sum of their weights
    survivors   whose numbers are in it
    dropped     the others, and why: "at public keys: ..."
    """

    values: Values
    weight: int
    survivors: tuple[str, ...]
    dropped: dict[str, str] = field(default_factory=dict)


def send_frame(channel: Channel, stream: int, kind: int, payload: Any = b"") -> None:
    """One frame, in as many messages as its length needs."""
    view = memoryview(payload).cast("B")
    channel.send(stream, _FRAME.pack(_MAGIC, kind, len(view)))
    step = channel.max_message_bytes
    for start in range(0, len(view), step):
        channel.send(stream, view[start : start + step])


def receive_frame(channel: Channel, stream: int, kinds: Iterable[int], limit: int) -> tuple[int, memoryview]:
    """(kind, payload) of the next frame, of at most `limit` bytes. ProtocolAbort, naming the peer, for another."""
    head = channel.recv(stream)
    if len(head) != _FRAME.size:
        raise ProtocolAbort(f"{channel.peer!r} sent {len(head)} bytes where a frame was due; ended")
    magic, kind, length = _FRAME.unpack(head)
    if magic != _MAGIC or kind not in kinds:
        raise ProtocolAbort(f"{channel.peer!r} sent something else than the frame that was due; ended")
    if length > limit:
        raise ProtocolAbort(f"{channel.peer!r} announced {length} bytes where at most {limit} are due; ended")
    parts, left = [], length
    while left:
        part = channel.recv(stream)
        if not 0 < len(part) <= left:
            raise ProtocolAbort(f"{channel.peer!r} sent a frame of another length than announced; ended")
        parts.append(part)
        left -= len(part)
    return kind, parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


class Crowd:
    """The server's channels: talks to all clients at once, and remembers who is gone and why."""

    def __init__(self, channels: Mapping[str, Channel], *, deadline_s: float, stream: int = 0) -> None:
        if not 0 < deadline_s < threading.TIMEOUT_MAX:
            raise ValueError(f"deadline_s is {deadline_s}: give seconds, above 0")
        for name, channel in channels.items():
            if channel.peer != name:
                raise ValueError(
                    f"the channel of client {name!r} leads to {channel.peer!r}: give each its own"
                )
        self.channels = dict(channels)
        self.dropped: dict[str, str] = {}
        self.deadline_s, self.stream = deadline_s, stream

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(self.channels)

    def drop(self, name: str, where: str, error: BaseException | str) -> None:
        """Ends a client's channel; the sum goes on without it."""
        channel = self.channels.pop(name, None)
        if channel is not None:
            self.dropped[name] = f"at {where}: {error}"
            # Told in general: an error's text may quote another client's name.
            channel.abort(f"the server goes on without {name!r}, which dropped out at {where}")

    def exchange(
        self,
        where: str,
        frames: Mapping[str, tuple[int, bytes]],
        answers: Iterable[str],
        limit: int,
        take: Any = None,
    ) -> None:
        """Sends each client its frame, then gives take(name, message) of each of `answers` under a lock.

        Who is gone, late or refused by `take` is dropped.
        """
        lock, expected = threading.Lock(), set(answers)
        closed: set[str] = set()

        def serve(name: str, channel: Channel) -> None:
            if name in frames:
                send_frame(channel, self.stream, *frames[name])
            if name in expected:
                _, message = receive_frame(channel, self.stream, (ROUND,), limit)
                with lock:
                    if name not in closed:
                        take(name, message)

        todo = [name for name in self.channels if name in frames or name in expected]
        if not todo:
            return
        with ThreadPoolExecutor(len(todo), thread_name_prefix="crypsis sum") as pool:
            running: dict[Future[None], str] = {
                pool.submit(serve, name, self.channels[name]): name for name in todo
            }
            finished, late = wait(running, self.deadline_s)
            with lock:  # a late answer is not taken any more
                closed |= {running[future] for future in late}
            for future in late:
                self.drop(running[future], where, f"no answer within {self.deadline_s:g} s")
            for future in finished:
                error = future.exception()
                if isinstance(error, CrypsisError):
                    self.drop(running[future], where, error)
                elif error is not None:
                    raise error


def sum_at_server(
    channels: Mapping[str, Channel] | Crowd,
    plan: Plan,
    *,
    deadline_s: float = DEFAULT_DEADLINE_S,
    state: Path | str | None = None,
    stream: int = 0,
) -> SumResult:
    """The server's side of one masked sum; `sum_at_client` is the other.

    channels: to the clients of the plan; those without one have dropped out already. deadline_s: seconds that a round
    waits for its last client. state: a file that keeps the state after each round (mode 0600, no client's numbers);
    where it exists, the sum goes on from it, over new channels. It is removed at the end.

    Clients that are gone, late, or whose message does not fit are dropped and reported. ProtocolAbort where too few are
    left: the clients that are there are told so; there is no sum then.
    """
    crowd = channels if isinstance(channels, Crowd) else Crowd(channels, deadline_s=deadline_s, stream=stream)
    for name in crowd.present:
        plan.index(name)
    path = None if state is None else Path(state)
    server, outbox = MaskServer(plan), dict[str, bytes]()
    start = FRESH
    if path is not None and path.exists():
        server, outbox = _load(plan, path.read_bytes())
        start = RESUMED
    try:
        crowd.exchange("the start", dict.fromkeys(crowd.present, (start, plan.digest)), (), 0)
        while server.round_name:
            frames = {name: (ROUND, outbox[name]) for name in crowd.present if name in outbox}
            crowd.exchange(
                server.round_name, frames, server.waiting_for, server.message_bytes(), server.receive
            )
            outbox = server.advance()
            if path is not None:
                _save(path, server, outbox)
        values, weight = server.result()
    except ProtocolAbort:
        crowd.exchange("the end", dict.fromkeys(crowd.present, (LOST, b"")), (), 0)
        if path is not None:
            path.unlink(missing_ok=True)
        raise
    crowd.exchange("the end", dict.fromkeys(crowd.present, (DONE, b"")), (), 0)
    if path is not None:
        path.unlink(missing_ok=True)
    absent = {name: "had no channel" for name in plan.clients if name not in crowd.channels}
    return SumResult(values, weight, server.survivors, absent | crowd.dropped)


def sum_at_client(
    channel: Channel,
    plan: Plan,
    values: Any,
    weight: int = 1,
    *,
    name: str | None = None,
    identity: Ed25519PrivateKey | None = None,
    clip: bool = False,
    client: MaskClient | None = None,
    stream: int = 0,
) -> None:
    """A client's side of one masked sum: returns when the server has it.

    values, weight, clip: as `Plan.encode`, checked before anything is sent. name: the channel's by default.
    client: one made before, of an earlier call that ended with ChannelError: goes on where that was, if the
    server kept its state.

    ProtocolAbort for what a server must not ask, or where it lost too many clients.
    """
    vector = plan.encode(values, weight, clip=clip)
    if client is None:
        client = MaskClient(plan, channel.party if name is None else name, identity=identity)
    limit = 1 << 20 | plan.n_holders << 9
    try:
        start, digest = receive_frame(channel, stream, (FRESH, RESUMED), 32)
        if digest != plan.digest:
            raise ProtocolAbort(
                f"the plans differ: {bytes(digest[:4]).hex()} at the server, {plan.digest[:4].hex()} here; all must"
                " have the same"
            )
        if start == FRESH:
            send_frame(channel, stream, ROUND, client.advertise())
        while True:
            kind, message = receive_frame(channel, stream, (ROUND, DONE, LOST), limit)
            if kind == DONE:
                return
            if kind == LOST:
                raise SumLost("the server lost too many clients: there is no sum; begin a new one")
            answer = client.answer(message, vector if client.needs_input else None)
            send_frame(channel, stream, ROUND, answer)
    except (ChannelError, SumLost):
        raise
    except BaseException:
        channel.abort(f"the masked sum ended at {client.name!r}; see its own log")
        raise


def _save(path: Path, server: MaskServer, outbox: Mapping[str, bytes]) -> None:
    """Whole or not at all."""
    head = json.dumps({name: message.hex() for name, message in outbox.items()}).encode()
    draft = path.with_name(path.name + ".part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_LENGTH.pack(len(head)) + head + server.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _load(plan: Plan, data: bytes) -> tuple[MaskServer, dict[str, bytes]]:
    try:
        (length,) = _LENGTH.unpack_from(data)
        texts = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        outbox = {str(name): bytes.fromhex(text) for name, text in texts.items()}
    except (ValueError, TypeError, AttributeError, struct.error) as error:
        raise CorruptData(f"the state of a sum cannot be read: {error}") from None
    return MaskServer.from_bytes(plan, data[_LENGTH.size + length :]), outbox
