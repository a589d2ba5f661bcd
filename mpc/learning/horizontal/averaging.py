# SPDX-License-Identifier: Apache-2.0
"""Federated averaging [MMR+17] of a list of NumPy arrays, with masked sums of the updates.

    S -> C_i     plan of the round, global parameters
    C_i          trains; update = its parameters - the global ones
    all          masked sum of weight * update, and of the weights (`masks`)
    S            global += sum / sum of weights
    S -> C_i     at the end: the global parameters

Leaks     to the server: each round's weighted sum of updates, the sum of weights, who dropped out. To the clients: the
          global parameters of each round. What a sum of updates says of one client's data is not hidden by this: take
          many clients, and add noise to updates where that matters.
"""

from __future__ import annotations

import json
import math
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.learning.horizontal import runner
from crypsis.mpc.learning.horizontal.plan import Plan, Values
from crypsis.mpc.transport import Channel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Parameters = list[npt.NDArray[Any]]
Train = Callable[[Parameters, int], tuple[Sequence[npt.NDArray[Any]], int]]
"""(global parameters, round from 1) to (own parameters of the same shapes, number of examples)."""

MAX_PARAMETERS = 1 << 31
_LENGTH = struct.Struct("<I")


def flatten(parameters: Sequence[npt.NDArray[Any]]) -> Values:
    """One row of float64."""
    return np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in parameters])


def unflatten(row: Values, shapes: Sequence[tuple[int, ...]]) -> Parameters:
    parts, start = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        parts.append(row[start : start + size].reshape(shape).copy())
        start += size
    return parts


def update_of(before: Sequence[npt.NDArray[Any]], after: Sequence[npt.NDArray[Any]]) -> Values:
    """after - before as one row. ValueError where shapes differ or a number is not finite."""
    shapes = [np.shape(array) for array in before]
    if [np.shape(array) for array in after] != shapes:
        raise ValueError(f"trained parameters have other shapes than the global ones, {shapes}")
    update = flatten(after) - flatten(before)
    if not np.isfinite(update).all():
        raise ValueError("the update has NaN or infinity: training diverged; take a smaller learning rate")
    return update


@dataclass
class FederatedAverage:
    """The server's side; `join` is a client's.

    magnitude      what no |number| of an update exceeds; clients refuse larger ones, or cut them with clip=True
    max_weight     of a client: its number of examples
    ring_bits, threshold, degree, identities: as `Plan`
    deadline_s     seconds a round of messages waits for its last client, training included
    max_lost       rounds that may end without a sum, for too many clients dropped out, before it gives up

    `history` has one entry a round: round, survivors, dropped (client to reason), weight; "lost" with the reason where
    there was no sum.
    """

    magnitude: float
    max_weight: int
    ring_bits: int = 32
    threshold: int | None = None
    degree: int | None = None
    identities: Mapping[str, bytes] | None = None
    deadline_s: float = runner.DEFAULT_DEADLINE_S
    max_lost: int = 0
    stream: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def plan(self, clients: tuple[str, ...], n_values: int) -> Plan:
        """Of one round: a fresh session for these clients."""
        identities = self.identities
        if identities is not None:
            missing = [name for name in clients if name not in identities]
            if missing:
                raise ConfigError(f"client {missing[0]!r} has no identity: give one for each client")
            identities = {name: identities[name] for name in clients}
        return Plan(
            clients=clients,
            n_values=n_values,
            session=secrets.token_bytes(32),
            magnitude=self.magnitude,
            max_weight=self.max_weight,
            ring_bits=self.ring_bits,
            threshold=self.threshold,
            degree=self.degree,
            identities=identities,
        )

    def run(
        self,
        channels: Mapping[str, Channel],
        parameters: Sequence[npt.NDArray[Any]],
        *,
        rounds: int,
        on_round: Callable[[int, Parameters], None] | None = None,
    ) -> Parameters:
        """The global parameters after `rounds` rounds, float64.

        Clients that are gone, late or faulty are left out from then on. ProtocolAbort where fewer than 3 are left, or
        after more than max_lost lost rounds.
        """
        if not isinstance(rounds, int) or rounds < 1:
            raise ValueError(f"rounds is {rounds!r}: give an int from 1")
        shapes = [np.shape(array) for array in parameters]
        row = flatten(parameters)
        crowd = runner.Crowd(channels, deadline_s=self.deadline_s, stream=self.stream)
        done, lost = 0, 0
        while done < rounds:
            if len(crowd.present) < 3:
                raise ProtocolAbort(
                    f"only {len(crowd.present)} clients are left and 3 are needed: {crowd.dropped}"
                )
            plan = self.plan(crowd.present, len(row))
            head = {"round": done + 1, "plan": plan.to_json(), "shapes": shapes}
            frame = (runner.TRAIN, _pack(head, row))
            crowd.exchange("the start", dict.fromkeys(crowd.present, frame), (), 0)
            try:
                result = runner.sum_at_server(crowd, plan, stream=self.stream)
            except ProtocolAbort as error:
                self.history.append({"round": done + 1, "lost": str(error)})
                lost += 1
                if lost > self.max_lost:
                    self._finish(crowd, row, shapes)
                    raise
                continue
            row = row + result.values / result.weight
            done += 1
            self.history.append(
                {
                    "round": done,
                    "survivors": list(result.survivors),
                    "dropped": result.dropped,
                    "weight": result.weight,
                }
            )
            if on_round is not None:
                on_round(done, unflatten(row, shapes))
        self._finish(crowd, row, shapes)
        return unflatten(row, shapes)

    def _finish(self, crowd: runner.Crowd, row: Values, shapes: Sequence[tuple[int, ...]]) -> None:
        frame = (runner.FINISHED, _pack({"shapes": shapes}, row))
        crowd.exchange("the end", dict.fromkeys(crowd.present, frame), (), 0)


def join(
    channel: Channel,
    train: Train,
    *,
    identity: Ed25519PrivateKey | None = None,
    identities: Mapping[str, bytes] | None = None,
    least_clients: int = 3,
    clip: bool = False,
    stream: int = 0,
) -> Parameters:
    """A client's side: trains when asked, contributes its masked update, returns the last global parameters.

    train: see `Train`. identity, identities: this client's private and everybody's public Ed25519 keys, known
    beforehand: then only plans with exactly these keys are taken. least_clients: plans with fewer are refused. clip:
    updates are cut to the plan's magnitude instead of ending with ValueError.
    """
    used: set[bytes] = set()
    try:
        while True:
            kind, message = runner.receive_frame(
                channel, stream, (runner.TRAIN, runner.FINISHED), 8 * MAX_PARAMETERS
            )
            head, parameters = _unpack(message)
            if kind == runner.FINISHED:
                return parameters
            plan = Plan.from_json(head.get("plan"))
            number = head.get("round")
            if type(number) is not int:
                raise ProtocolAbort("the server's round has no number; ended")
            _check(plan, channel.party, identities, least_clients, used, flatten(parameters).size)
            trained, weight = train([array.copy() for array in parameters], number)
            try:
                runner.sum_at_client(
                    channel,
                    plan,
                    update_of(parameters, trained),
                    weight,
                    identity=identity,
                    clip=clip,
                    stream=stream,
                )
            except runner.SumLost:
                continue
    except BaseException as error:
        channel.abort(f"{type(error).__name__} at party {channel.party!r}; see its own log")
        raise


def _check(
    plan: Plan,
    name: str,
    identities: Mapping[str, bytes] | None,
    least: int,
    used: set[bytes],
    n_values: int,
) -> None:
    """ProtocolAbort for a plan that a client should not take."""
    if plan.session in used:
        raise ProtocolAbort("the server uses a session twice; ended")
    used.add(plan.session)
    if name not in plan.clients:
        raise ProtocolAbort(f"the server's plan has no client {name!r}; ended")
    if len(plan.clients) < least:
        raise ProtocolAbort(
            f"the server's plan has {len(plan.clients)} clients, here at least {least} are wanted; ended"
        )
    if plan.n_values != n_values:
        raise ProtocolAbort(f"the server's plan is on {plan.n_values} numbers and it sent {n_values}; ended")
    wanted = None if identities is None else {key: identities.get(key) for key in plan.clients}
    if plan.identities != wanted:
        raise ProtocolAbort("the server's plan has other identities than are known here; ended")


def _pack(head: dict[str, Any], row: Values) -> bytes:
    text = json.dumps(head).encode()
    return _LENGTH.pack(len(text)) + text + row.astype("<f8").tobytes()


def _unpack(message: memoryview) -> tuple[dict[str, Any], Parameters]:
    try:
        (length,) = _LENGTH.unpack_from(message)
        head = json.loads(bytes(message[_LENGTH.size : _LENGTH.size + length]))
        if not isinstance(head, dict):
            raise TypeError("no object")
        shapes = [tuple(int(size) for size in shape) for shape in head["shapes"]]
        row = np.frombuffer(message[_LENGTH.size + length :], "<f8").astype(np.float64)
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError) as error:
        raise ProtocolAbort(
            f"the server's parameters cannot be read: {type(error).__name__}; ended"
        ) from None
    fits = all(size >= 0 for shape in shapes for size in shape)
    if not fits or sum(map(math.prod, shapes)) != len(row) or not len(row) or not np.isfinite(row).all():
        raise ProtocolAbort("the server's parameters do not fit their shapes, or are not finite; ended")
    return head, unflatten(row, shapes)
