# SPDX-License-Identifier: Apache-2.0
"""Sums of many clients' vectors by CKKS under a key that all of them hold together (`threshold_ckks`).

The same in and out as masked sums: `sum_at_server` and `sum_at_client`, weights, `SumResult`. Differences: the sum is
approximate (within `Job.error`), and every client of the key is needed for decryption.
So a client that drops out ends the attempt, and the server repeats it with those that are left, under a new key: each
attempt has channels of its own, from `crypsis.mpc.transport.Hub.channel(attempt)`, and those clients take part whose
channel is there. An attempt that ends tells nobody a sum: all shares are needed for that.

Leaks     to the server: the sum with its noise, and of the weights, who dropped out. To clients: who takes part. A
          server that lies about a drop-out after it has all shares would get two sums with different clients: trusted
          not to. One that replaces keys that it relays would see every summand: with `Job.identities` the clients sign
          the key's fingerprint to each other before any summand is sent, and it is found out; without, it is trusted.
Cost      key generation for each attempt (a key serves one sum here); 30 bytes a number up, 30 down, 15 up.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crypsis import ckks
from crypsis.ckks import threshold
from crypsis.errors import ChannelError, ConfigError, ProtocolAbort
from crypsis.mpc.learning.horizontal.runner import SumResult
from crypsis.mpc.sharing import threshold_ckks
from crypsis.mpc.transport import Channel

MAX_HEAD_BYTES = 1 << 20
SIGNATURE_BYTES = 64
_DONE = b"done"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sum, but for who takes part.

    n_values       numbers of each client
    magnitude      what no |number| exceeds, above 0
    max_weight     a client's weight is an int from 1 to this
    least_clients  an attempt with fewer is not made: 3 at least
    parameters     of the ring: `crypsis.ckks.JOINT`
    identities     None, or a dict of each client that may take part to its Ed25519 public key, 32 bytes, known to all
                   beforehand: clients then take part with these only, and compare the key's fingerprint
    """

    n_values: int
    magnitude: float
    max_weight: int = 1
    least_clients: int = 3
    parameters: ckks.Literal | ckks.Parameters = ckks.JOINT
    identities: Mapping[str, bytes] | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_values", 1), ("max_weight", 1), ("least_clients", 3)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}: give an int from {least}")
        if not isinstance(self.magnitude, (int, float)) or not 0 < self.magnitude < math.inf:
            raise ConfigError(f"magnitude is {self.magnitude!r}: give the largest |number|, above 0")
        for name, key in (self.identities or {}).items():
            if not isinstance(key, bytes) or len(key) != 32:
                raise ConfigError(f"the identity of {name!r} is not an Ed25519 public key of 32 bytes")

    def agreement(self, clients: tuple[str, ...], session: bytes) -> threshold.Agreement:
        """Of the key of one attempt: for (weight / max_weight) * (value / magnitude), and weight / max_weight."""
        parameters = ckks.Parameters.of(self.parameters)
        return threshold.Agreement(
            parameters,
            clients,
            session=session,
            n_summands=len(clients),
            n_ciphertexts=-(-(self.n_values + 1) // parameters.n) + 1 << 4,
            magnitude=1.0,
        )

    def error(self, n_clients: int) -> float:
        """Six standard deviations of the error of one number of the weighted sum of so many clients."""
        names = tuple(f"client{i}" for i in range(n_clients))
        return self.agreement(names, bytes(16)).error * self.magnitude * self.max_weight

    def encode(self, values: Any, weight: int = 1, *, clip: bool = False) -> Any:
        """float64[n_values + 1] up to 1. ValueError as `Plan.encode`."""
        numbers = np.asarray(values)
        if numbers.dtype.kind not in "biuf":
            raise TypeError(f"values are {numbers.dtype}: give real numbers")
        if numbers.shape != (self.n_values,):
            raise ValueError(f"values have shape {numbers.shape}: the job is on ({self.n_values},)")
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= self.max_weight:
            raise ValueError(f"weight is {weight!r}: give an int from 1 to {self.max_weight}")
        if not np.isfinite(numbers).all():
            raise ValueError("values have NaN or infinity: only finite numbers are summed")
        if float(np.abs(numbers).max()) > self.magnitude and not clip:
            raise ValueError(
                f"values go up to {float(np.abs(numbers).max()):.4g}: the job is on up to {self.magnitude:.4g}; scale"
                " them down, or pass clip=True"
            )
        part = np.clip(numbers / self.magnitude, -1.0, 1.0) * (weight / self.max_weight)
        return np.append(part, weight / self.max_weight)


def sum_at_server(
    open_channels: Callable[[int, tuple[str, ...]], Mapping[str, Channel]],
    job: Job,
    clients: tuple[str, ...],
    *,
    attempts: int = 3,
    stream: int = 0,
) -> SumResult:
    """The server's side. open_channels(attempt, clients), from 0: channels to those of the clients that are there.

    The sum of weights is rounded to an int: with the error of a number of magnitude 1, so it is exact while
    `Job.error` / magnitude is below 1/2. ProtocolAbort where fewer than `least_clients` are, or the last attempt
    failed; it names the last failure.
    """
    dropped: dict[str, str] = {}
    failure = "no attempt was made"
    for attempt in range(attempts):
        channels = dict(open_channels(attempt, clients))
        for name in clients:
            if name not in channels:
                dropped[name] = f"at attempt {attempt}: had no channel"
        present = tuple(name for name in clients if name in channels)
        if len(present) < job.least_clients:
            failure = f"only {len(present)} clients are there and {job.least_clients} are needed"
            for channel in channels.values():
                channel.abort(failure)
            break
        try:
            agreement = job.agreement(present, secrets.token_bytes(32))
            head = {"attempt": attempt, "clients": present, "session": agreement.session.hex()}
            for name in present:
                channels[name].send(stream, json.dumps(head).encode())
            joint = threshold_ckks.make_key(channels, agreement, stream=stream)
            if job.identities is not None:
                _relay_signatures(channels, present, stream)
            total = threshold_ckks.aggregate(
                channels, joint, job.n_values + 1, run=0, reveal=False, stream=stream
            )
            _tell_done(channels, stream)
        except (ChannelError, ProtocolAbort) as error:
            failure = str(error)
            for channel in channels.values():
                channel.abort(f"attempt {attempt} ended; a client dropped out")
            continue
        weight, off = round(float(total[-1]) * job.max_weight), round(agreement.error * job.max_weight)
        if not max(1, len(present) - off) <= weight <= len(present) * job.max_weight + off:
            raise ProtocolAbort(
                f"the sum of the weights of {len(present)} clients is {weight}: one of them contributed a wrong vector;"
                " there is no sum"
            )
        values = total[:-1] * (job.magnitude * job.max_weight)
        return SumResult(values, weight, present, {k: v for k, v in dropped.items() if k not in present})
    raise ProtocolAbort(f"there is no sum of the clients: {failure}")


def _tell_done(channels: Mapping[str, Channel], stream: int) -> None:
    """Who is gone by now is in the sum already: nothing is lost with it."""
    for channel in channels.values():
        with contextlib.suppress(ChannelError, ProtocolAbort):
            channel.send(stream, _DONE)


def sum_at_client(
    open_channel: Callable[[int], Channel],
    job: Job,
    values: Any,
    weight: int = 1,
    *,
    name: str,
    attempts: int = 3,
    clip: bool = False,
    identity: Ed25519PrivateKey | None = None,
    stream: int = 0,
) -> tuple[str, ...]:
    """A client's side: returns who took part, when the server has the sum. open_channel(attempt): to the server.

    identity: the client's own private key, where the job has identities.
    It takes part in the next attempt where the server ends one without a sum. ProtocolAbort where no attempt came to
    its end.
    """
    numbers = job.encode(values, weight, clip=clip)
    if (identity is None) != (job.identities is None):
        raise ConfigError("identity and the job's identities go together: give both, or neither")
    failure = "no attempt was made"
    for attempt in range(attempts):
        try:
            channel = open_channel(attempt)
            clients, agreement = _read_head(channel, job, name, attempt, stream)
            share = threshold_ckks.join_key(channel, agreement, name, stream=stream)
            if identity is not None:
                _compare(channel, job, clients, share.joint.fingerprint, identity, stream)
            threshold_ckks.contribute(channel, share, numbers, run=0, reveal=False, stream=stream)
            if bytes(channel.recv(stream)) != _DONE:
                raise ProtocolAbort("the server sent something else than the end of the sum; ended")
            return clients
        except (ChannelError, ProtocolAbort) as error:
            failure = str(error)
    raise ProtocolAbort(f"client {name!r} is in no sum: {failure}")


def _relay_signatures(channels: Mapping[str, Channel], clients: tuple[str, ...], stream: int) -> None:
    signatures = {name: bytes(channels[name].recv(stream)) for name in clients}
    for name, signature in signatures.items():
        if len(signature) != SIGNATURE_BYTES:
            raise ProtocolAbort(f"{name!r} sent {len(signature)} bytes where a signature was due; ended")
    for channel in channels.values():
        channel.send(stream, b"".join(signatures[name] for name in clients))


def _compare(
    channel: Channel,
    job: Job,
    clients: tuple[str, ...],
    fingerprint: bytes,
    identity: Ed25519PrivateKey,
    stream: int,
) -> None:
    """Signs the fingerprint, which is over session, clients and all of key generation, and checks that all others have
    the same. ProtocolAbort naming the first who has not."""
    text = b"crypsis ckks sum" + fingerprint
    channel.send(stream, identity.sign(text))
    message = bytes(channel.recv(stream))
    try:
        if len(message) != SIGNATURE_BYTES * len(clients):
            raise ProtocolAbort(f"the server sent {len(message)} bytes of signatures; ended")
        for i, name in enumerate(clients):
            signature = message[SIGNATURE_BYTES * i : SIGNATURE_BYTES * (i + 1)]
            try:
                known = (job.identities or {})[name]
                Ed25519PublicKey.from_public_bytes(known).verify(signature, text)
            except (InvalidSignature, ValueError, KeyError):
                raise ProtocolAbort(
                    f"{name!r} did not sign the key that is here: the server, or who is between, has replaced parts of"
                    " it, or its identity is another; ended before any number was sent"
                ) from None
    except ProtocolAbort:
        channel.abort("the fingerprints of the key are not signed by all clients; ended")
        raise


def _read_head(
    channel: Channel, job: Job, name: str, attempt: int, stream: int
) -> tuple[tuple[str, ...], threshold.Agreement]:
    message = channel.recv(stream)
    try:
        if len(message) > MAX_HEAD_BYTES:
            raise ValueError("too long")
        head = json.loads(bytes(message))
        clients, session = tuple(head["clients"]), bytes.fromhex(head["session"])
        if head["attempt"] != attempt or name not in clients:
            raise ValueError("another attempt, or other clients")
        if len(clients) < job.least_clients:
            raise ValueError(f"only {len(clients)} clients")
        if job.identities is not None and not set(clients) <= set(job.identities):
            raise ValueError("clients without an identity here")
        return clients, job.agreement(clients, session)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        channel.abort("the opening of an attempt is refused")
        raise ProtocolAbort(f"the server's opening of attempt {attempt} is refused: {error}") from None
