# SPDX-License-Identifier: Apache-2.0
"""`Session`: one party's side of a training or a prediction, with a channel to each peer.

    CONTROL (0)   JSON: what must be the same at both, counts, decisions
    KEYS (1)      public keys
    CIPHERS (2)   ciphertexts
    NUMBERS (3)   shares and blinded numbers, as arrays

The guest has the labels and a channel to each host; a host has one channel, to the guest. Messages of one stream come
in the order in which they were sent, and protocols use one thread, so a stream needs no names for its messages.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeGuard, get_args

import numpy as np
import numpy.typing as npt

import crypsis
from crypsis import paillier
from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.learning import ciphers
from crypsis.mpc.learning.ciphers import (
    CipherArray,
    CipherOptions,
    PrivateKey,
    PublicKey,
    UnblindedCipherArray,
)
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.meter import Meter, Progress, no_progress
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import (
    compare_public,
    count_field,
    hear_refusal,
    public_digest,
    recv_json,
    send_json,
)

Role = Literal["guest", "host"]
KEYS, CIPHERS, NUMBERS = 1, 2, 3
PROTOCOL_VERSION = 1
MAX_ROWS = 1 << 32
_ARRAY_BYTES = 4 << 20


def is_hex(value: Any, n_bytes: int) -> TypeGuard[str]:
    """Whether a peer's value is the lower-case hex of so many bytes."""
    return isinstance(value, str) and len(value) == 2 * n_bytes and set(value) <= set("0123456789abcdef")


def _one_way(value: Any) -> Any:
    """A JSON value with one way of writing each number: 1 for 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _one_way(one) for name, one in value.items()}
    return [_one_way(one) for one in value] if isinstance(value, list | tuple) else value


class Session:
    """role: "guest" (labels) or "host". channels: one Channel, or at the guest a dict of host to Channel.

    As a context manager it tells all peers when the block fails, and leaves the channels open when it does not.
    """

    def __init__(
        self,
        role: Role,
        channels: Channel | Mapping[str, Channel],
        *,
        cipher: CipherOptions | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> None:
        if role not in get_args(Role):
            raise ConfigError(f"role is {role!r}; give guest (who has the labels) or host")
        given = {channels.peer: channels} if isinstance(channels, Channel) else dict(channels)
        if not given or (role == "host" and len(given) != 1):
            raise ConfigError(
                f"a {role} with {len(given)} channels: a host has one, to the guest, and the guest one to each host"
            )
        for name, channel in given.items():
            if channel.peer != name:
                raise ValueError(
                    f"the channel of {name!r} leads to {channel.peer!r}: name peers as their channels do"
                )
        self.role: Role = role
        self.peers = tuple(sorted(given))
        self.party = given[self.peers[0]].party
        self.cipher = cipher or CipherOptions()
        self.progress = progress or no_progress
        self.threads = threads
        self.meter = Meter()
        self._channels = given
        self._own_key: PrivateKey | None = None
        self._peer_keys: dict[str, PublicKey] = {}

    @property
    def peer(self) -> str:
        """The other party of two. ConfigError where there are more."""
        if len(self.peers) != 1:
            raise ConfigError(
                f"{len(self.peers)} hosts, {', '.join(self.peers)}: this algorithm takes exactly one"
            )
        return self.peers[0]

    def channel(self, peer: str | None = None) -> Channel:
        """The channel to a peer, by default to the only one."""
        return self._channels[self.peer if peer is None else peer]

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """If the block fails, every peer hears that it did, and what kind of failure it was."""
        try:
            yield
        except BaseException as error:
            for channel in self._channels.values():
                # An exception's text may quote rows of private data; those about messages only speak of messages.
                told = str(error) if isinstance(error, (ProtocolAbort, ConfigError)) else type(error).__name__
                channel.abort(f"{told} (at {self.party}; see its own log)")
            raise

    # What is agreed.

    def agree(self, what: str, public: Mapping[str, Any]) -> None:
        """Compares public values with every peer. ConfigError at both sides, naming the first field that differs and
        both values. JSON values only, 1 and 1.0 the same; "version", the scheme and the size of keys are added."""
        own = {
            "version": f"{crypsis.__version__}/{PROTOCOL_VERSION}",
            "what": what,
            **{f"cipher.{name}": value for name, value in self.cipher.public().items()},
            **{name: _one_way(value) for name, value in public.items()},
        }
        message = {"type": "learning", "role": self.role, "public": own, "digest": public_digest(own)}
        for peer in self.peers:
            send_json(self._channels[peer], message)
        for peer in self.peers:
            channel = self._channels[peer]
            with self.meter("wait"):
                answer = recv_json(channel, "learning")
            compare_public(channel, own, answer)
            if answer.get("role") not in get_args(Role) or answer["role"] == self.role:
                hear_refusal(channel)
                raise ConfigError(
                    f"{self.party} and {peer} are both {self.role}; one is the guest, the others are hosts"
                )

    def check_ids(self, frame: Frame) -> None:
        """That every peer has the same ids in the same order. DataError at both sides that says what differs.

        The parties learn of each other's ids only whether they are the same (digests under a fresh salt of both).
        """
        salts = {peer: secrets.token_hex(16) for peer in self.peers}
        for peer in self.peers:
            self.tell(peer, "ids", rows=len(frame), named=frame.ids is not None, salt=salts[peer])
        for peer in self.peers:
            self._check_ids_with(peer, frame, salts[peer])

    def _check_ids_with(self, peer: str, frame: Frame, salt: str) -> None:
        message = self.hear(peer, "ids")
        rows = count_field(message, "rows", MAX_ROWS)
        if rows != len(frame):
            raise self._both_refuse(
                peer,
                f"{len(frame)} rows here, {rows} at {peer}: intersect both tables first (crypsis psi run with align),"
                " and give both its output",
            )
        if message.get("named") is not (frame.ids is not None):
            raise self._both_refuse(
                peer,
                f"ids are named {'here' if frame.ids is not None else f'at {peer}'} only; name their column at both",
            )
        if frame.ids is None:
            return
        theirs = message.get("salt")
        if not is_hex(theirs, 16):
            raise ProtocolAbort(f"{peer} sent no salt for the ids; ended")
        both = "".join(sorted((salt, theirs))).encode()
        for_set, for_order = frame.id_digest(both, ordered=False).hex(), frame.id_digest(both).hex()
        self.tell(peer, "digests", set=for_set, order=for_order)
        answer = self.hear(peer, "digests")
        if answer.get("set") != for_set:
            raise self._both_refuse(
                peer,
                f"the ids here and at {peer} are not the same: intersect both tables first (crypsis psi run with"
                " align), and give both its output",
            )
        if answer.get("order") != for_order:
            raise self._both_refuse(
                peer, f"the ids here and at {peer} are the same in another order: sort both tables by id"
            )

    def _both_refuse(self, peer: str, text: str) -> DataError:
        """The error of what both sides see from the same messages, after both have seen it."""
        hear_refusal(self._channels[peer])
        return DataError(text)

    # Messages.

    def tell(self, peer: str, kind: str, **fields: Any) -> None:
        """Sends a JSON message of a kind, 64 KiB at most."""
        send_json(self._channels[peer], {**fields, "type": kind})

    def hear(self, peer: str, kind: str) -> dict[str, Any]:
        """The next JSON message, of that kind. Its fields are still to be checked."""
        with self.meter("wait"):
            return recv_json(self._channels[peer], kind)

    def send_array(self, peer: str, array: npt.NDArray[Any]) -> None:
        """Sends numbers, of any little-endian dtype, in messages of some 4 MiB. The peer knows dtype and shape."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        with self.meter("wait"):
            for begin in range(0, max(1, len(flat)), _ARRAY_BYTES):
                self._channels[peer].send(NUMBERS, flat[begin : begin + _ARRAY_BYTES].data)

    def receive_array(self, peer: str, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """The array that the peer sent; the values are still to be checked. ProtocolAbort for another length."""
        result = np.empty(shape, dtype=dtype)
        flat = result.reshape(-1).view(np.uint8)
        for begin in range(0, max(1, len(flat)), _ARRAY_BYTES):
            with self.meter("wait"):
                part = self._channels[peer].recv(NUMBERS)
            due = min(_ARRAY_BYTES, len(flat) - begin)
            if len(part) != due:
                raise ProtocolAbort(f"{peer} sent {len(part)} bytes of numbers where {due} were due; ended")
            flat[begin : begin + due] = np.frombuffer(part, dtype=np.uint8)
        return result

    # Keys and ciphertexts.

    @property
    def own_key(self) -> PrivateKey:
        """One's own key pair, fresh for this session, made when it is first asked for."""
        if self._own_key is None:
            with self.meter("he"):
                self._own_key = self.cipher.generate()
        return self._own_key

    def use_key(self, key: PrivateKey) -> None:
        """Takes a key made before, as tests and resumed jobs do, instead of a fresh one."""
        self._own_key = key

    def send_key(self, peer: str) -> None:
        """Sends one's public key."""
        self._channels[peer].send(KEYS, self.own_key.public_key.to_bytes())

    def receive_key(self, peer: str) -> PublicKey:
        """The peer's public key, checked; `peer_key` has it from then on."""
        with self.meter("wait"):
            buffer = self._channels[peer].recv(KEYS)
        self._peer_keys[peer] = self.cipher.public_key_from(self._channels[peer], buffer)
        return self._peer_keys[peer]

    def peer_key(self, peer: str | None = None) -> PublicKey:
        """The key that `receive_key` took."""
        return self._peer_keys[self.peer if peer is None else peer]

    def send_ciphertexts(self, peer: str, array: CipherArray) -> None:
        """Sends blinded ciphertexts; the peer knows their shape."""
        with self.meter("wait"):
            ciphers.send_ciphertexts(self._channels[peer], CIPHERS, array)

    def receive_ciphertexts(
        self, peer: str, key: PublicKey, shape: tuple[int, ...], *, exponent: int = 0
    ) -> UnblindedCipherArray:
        """The peer's ciphertexts under `key`, checked."""
        parts = [block for _, block in self.received_blocks(peer, key, shape, exponent=exponent)]
        return parts[0] if len(parts) == 1 else paillier.concatenate(parts)

    def received_blocks(
        self, peer: str, key: PublicKey, shape: tuple[int, ...], *, exponent: int = 0
    ) -> Iterator[tuple[slice, UnblindedCipherArray]]:
        """As `receive_ciphertexts`, in blocks as they come: (rows of the first axis, ciphertexts)."""
        blocks = ciphers.received_blocks(
            self._channels[peer],
            CIPHERS,
            key,
            shape,
            exponent=exponent,
            device=self.cipher.device,
            meter=self.meter,
        )
        yield from blocks
