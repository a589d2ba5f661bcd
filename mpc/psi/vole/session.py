# SPDX-License-Identifier: Apache-2.0
"""What both parties of VOLE-PSI do alike: the greeting, hashes, lengths, and memory that is used again."""

from __future__ import annotations

import abc
import hashlib
import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from crypsis import aes, bitmatrix, hashing
from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.place import HOST, Memory, Place
from crypsis.mpc.psi.conveyor import Crew
from crypsis.mpc.psi.layout import HELLO_BYTES, OT_K, PROOF_BYTES, Layout
from crypsis.mpc.psi.options import Progress
from crypsis.mpc.psi.vole.room import BLOCK_BYTES, MAX_WIDTH, WAITING_KEYS, steps_at_a_time
from crypsis.mpc.transport import Channel

VOLE, TABLE, TAGS, RESULT, COMMITMENTS = 1, 2, 3, 4, 6  # streams
VERSION = b"crypsis/psi/vole/v1"

Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.uint64]


class _Closes(Protocol):
    def close(self) -> None: ...


B = TypeVar("B", bound=_Closes)
S = TypeVar("S", bound=_Closes)


@dataclass(frozen=True, eq=False)
class KeyBins:
    """Distinct keys of one outer bin, uint8[n, 16], those of inner bin i at starts[i]:starts[i + 1].

    The keys are at the session's place, the starts on the host."""

    keys: Bytes
    starts: Starts


Bins = Iterable[tuple[int, KeyBins]]
Matches = Generator[tuple[int, Index | None], None, None]


@dataclass(frozen=True, eq=False)
class Step:
    """Inner bins [first, last) of an outer bin, worked on together, one a thread: its keys begin at `begin`, and those
    of bin first + i at starts[i], on the host. Both parties have the same steps."""

    outer: int
    first: int
    last: int
    begin: int
    keys: Bytes
    starts: Starts
    ends_outer: bool

    def __len__(self) -> int:
        return self.last - self.first


class Session(abc.ABC):
    """One party's session; see `open_session`."""

    sends: ClassVar[int]
    receives: ClassVar[int]
    keys_bound: int

    def __init__(
        self,
        channel: Channel,
        layout: Layout,
        *,
        session: bytes,
        broadcast: bool,
        threads: int | None,
        place: Place = HOST,
    ) -> None:
        self.channel = channel
        self.layout = layout
        self.broadcast = broadcast
        self.threads = threads or own_threads()
        self.malicious = layout.security == "malicious"
        self.place = place
        self.own_width = steps_at_a_time(place, layout, self.threads)
        self.memory = Memory(place)
        self.before_keys: Callable[[int], None] = lambda outer: None
        self.session, self.width = self._greet(session)
        # Public AES keys; any two will do. What is worked out for one session's is of no use in another [GKWY20].
        self._value_key, self._tag_key = self.derive(b"value"), self.derive(b"tag")

    def _greet(self, session: bytes) -> tuple[bytes, int]:
        """(Hash of both parties' random contributions, inner bins of a step), where they mean the same layout.

        Steps are as wide as the party with fewer threads (or less memory on its GPU) has them. With steps of its own a
        wide party would wait for more VOLEs or tables than a narrow one makes before it waits for an answer.
        """
        layout = self.layout
        values = [getattr(layout, field.name) for field in fields(layout)]
        derived = [layout.inner, layout.table_bytes, layout.tags_bytes, layout.field, self.broadcast]
        text = repr((VERSION, values, derived)).encode()
        own = secrets.token_bytes(32)
        width = self.own_width
        self.channel.send(self.sends, hashlib.sha256(text).digest() + own + width.to_bytes(2, "little"))
        peer = bytes(self.channel.recv(self.receives))
        if len(peer) != HELLO_BYTES or peer[:32] != hashlib.sha256(text).digest():
            raise ConfigError(
                f"{self.channel.peer} has other bins, sizes or security for this exchange than {layout}: give both "
                "parties the same options and the same version"
            )
        theirs, peer_width = peer[32:64], int.from_bytes(peer[64:], "little")
        if not 1 <= peer_width <= MAX_WIDTH:
            raise ProtocolAbort(f"{self.channel.peer} takes {peer_width} bins at a time; ended")
        parts = (own, theirs) if self.sends == TABLE else (theirs, own)
        return hashlib.sha256(VERSION + b"".join(parts) + session).digest(), min(width, peer_width)

    def derive(self, purpose: bytes) -> bytes:
        """A key of this session, 16 bytes that both parties know."""
        return hashlib.sha256(VERSION + b" key " + self.session + purpose).digest()[:BLOCK_BYTES]

    def crew(self) -> Crew:
        """For `run`, and for what makes its bins in threads: an error of one ends all."""
        return Crew(self._tell)

    def run(
        self,
        bins: Bins,
        progress: Progress | None = None,
        crew: Crew | None = None,
        before_keys: Callable[[int], None] | None = None,
    ) -> Matches:
        """(outer bin, own keys that matched) for each of `bins`, in order: indices into its keys, in an order that both
        parties share; None for a sender without broadcast. before_keys: told of an outer bin in the moment before the
        first message that depends on its keys is sent; what it raises ends the session without that message.

        Raises DataError for an inner bin above its bound before anything of its outer bin is sent, ProtocolAbort,
        ChannelError. After an error the channel has been ended.
        """
        crew = crew or self.crew()
        self.before_keys = before_keys or self.before_keys
        try:
            yield from self._matches(crew, bins, progress or (lambda phase, done, total: None))
        except BaseException as error:
            crew.fail(error)
            raise
        finally:
            try:
                crew.join()
            finally:
                self.memory.wipe()

    @abc.abstractmethod
    def _matches(self, crew: Crew, bins: Bins, progress: Progress) -> Matches:
        """As `run`, with threads of `crew`."""

    def _tell(self, error: BaseException) -> None:
        # Only what is about the peer's own messages is told in full.
        self.channel.abort(str(error) if isinstance(error, ProtocolAbort) else type(error).__name__)

    @property
    def waiting_steps(self) -> int:
        """Steps of WAITING_KEYS."""
        return max(WAITING_KEYS // max(self.keys_bound * self.width, 1), 2)

    def steps(self, outer: int, bins: KeyBins) -> list[Step]:
        """The outer bin in steps. Raises DataError for an inner bin above its bound."""
        inner, starts = self.layout.inner, bins.starts
        if len(starts) != inner + 1:
            raise ValueError(f"outer bin {outer} has {len(starts) - 1} inner bins: give {inner}")
        sizes = np.diff(starts.astype(np.int64))
        if int(sizes.max()) > self.keys_bound:
            raise DataError(
                f"bin {outer}.{int(sizes.argmax())} has {int(sizes.max())} keys, its bound is {self.keys_bound}: the "
                "rows announced were too few, or somebody chose keys to fill it; start the job anew, with a new work "
                "directory, for other bins"
            )
        steps = []
        for first in range(0, inner, self.width):
            last = min(first + self.width, inner)
            begin, end = int(starts[first]), int(starts[last])
            own = np.ascontiguousarray(starts[first : last + 1] - starts[first])
            steps.append(Step(outer, first, last, begin, bins.keys[begin:end], own, last == inner))
        return steps

    def values(self, keys: Bytes) -> Bytes:
        """V: uint8[n, field / 8], in memory that the next call overwrites."""
        n = len(keys)
        if self.malicious:
            return hashing.blake3(
                keys,
                digest_size=BLOCK_BYTES,
                domain=b"crypsis/psi/vole/value/v1",
                out=self.memory("values", n, BLOCK_BYTES),
                threads=self.threads,
            )
        values = aes.mmo(
            keys, key=self._value_key, out=self.memory("values", n, BLOCK_BYTES), threads=self.threads
        )
        return values if self.layout.field == 128 else self._cut("short values", values, 8)

    def hash_tags(self, keys: Bytes, decoded: Bytes, masks: list[bytes], starts: Starts) -> Bytes:
        """O in memory of its own: uint8[n, tag_bytes], malicious uint8[n, tag_bytes + 16] with the proofs behind the
        tags; `decoded` is used up."""
        width = self.layout.tag_bytes
        if not self.malicious:
            hashed = aes.mmo(
                decoded,
                key=self._tag_key,
                out=self.memory("hashed", len(keys), BLOCK_BYTES),
                threads=self.threads,
            )
            return hashed[:, :width].copy()
        for i, mask in enumerate(masks):
            part = decoded[int(starts[i]) : int(starts[i + 1])]
            part ^= self.place.from_host(np.frombuffer(mask, np.uint8))
        return hashing.blake3(
            self.place.xp.concatenate([decoded, keys], axis=1),
            digest_size=width + PROOF_BYTES,
            domain=b"crypsis/psi/vole/tag/v1",
            threads=self.threads,
        )

    @contextmanager
    def voles(self, base: Callable[..., B], source: Callable[..., S]) -> Iterator[S]:
        """A source of silent VOLEs over base OTs, both this party's kind of them, closed at the end of the block."""
        common: dict[str, Any] = {"stream": VOLE, "threads": self.threads}
        with closing(
            base(self.channel, session=b"ots" + self.session, k=OT_K, security=self.layout.security, **common)
        ) as ots:
            options = {
                "parameters": self.layout.parameters,
                "field": self.layout.field,
                "place": self.place,
            } | common
            with closing(source(self.channel, ots, session=b"vole" + self.session, **options)) as made:
                yield made

    def _cut(self, name: str, rows: Bytes, width: int) -> Bytes:
        out: Bytes = self.memory(name, len(rows), width)
        out.view("u8")[...] = rows.view("u8")[:, : width // 8]
        return out

    def add_times_delta(self, sums: Bytes, elements: Bytes, delta: Bytes) -> None:
        """Adds uint8[n, field / 8] times Delta to uint8[n, 16], in place."""
        multiply = bitmatrix.gf64_multiply if self.layout.field == 64 else bitmatrix.gf128_multiply
        multiply(elements, delta, add=sums, out=sums, threads=self.threads)

    def send(self, stream: int, rows: Bytes) -> None:
        """Sends the bytes of an array of the session's place; an empty one too, of which there is no view."""
        self.channel.send(stream, self.place.to_host(rows).data if rows.size else b"")

    def message(self, stream: int, what: str, size: int) -> Bytes:
        """The next message of a stream. Raises ProtocolAbort unless it has `size` bytes."""
        raw = self.channel.recv(stream)
        if len(raw) != size:
            raise ProtocolAbort(
                f"{self.channel.peer} sent {len(raw)} bytes where {size} of {what} were due; ended"
            )
        return np.frombuffer(raw, np.uint8)

    def commitment(self, opening: bytes) -> bytes:
        """To 16 random bytes."""
        return hashlib.sha256(VERSION + b" commitment" + self.session + opening).digest()


def xor(a: bytes, b: bytes) -> bytes:
    """Of two texts of the same length."""
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def own_threads() -> int:
    """Threads of a party that names none: those of the process."""
    named = os.environ.get("CRYPSIS_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) else len(os.sched_getaffinity(0))
