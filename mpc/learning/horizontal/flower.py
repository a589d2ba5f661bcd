# SPDX-License-Identifier: Apache-2.0
"""Masked sums inside Flower: a mod for the `ClientApp`, a grid for the strategy. Needs `pip install 'crypsis[flower]'`.

    app = ClientApp(mods=[masked_mod()])                          # the training function stays as it is
    FedAvg(...).start(MaskedGrid(grid, magnitude=1.0, max_weight=1000), arrays, num_rounds=3)

`MaskedGrid` stands where the strategy's grid does. A round's train messages go to the nodes with a plan; the mod lets
the app train and answers with masks instead of arrays, four messages in turn; the strategy gets one reply: the average
weighted by number of examples, with their total. So strategies that need the average only (FedAvg and its kin)
work unchanged; those that look at single clients' arrays or metrics cannot, which is the point.

Leaks     to the server and its log: as `masks`, semi-honest; clients' other metrics of training are not sent.
          Evaluation is not masked: its messages pass as they are.
Drop-out  a node that does not answer within the timeout, or whose app fails, is out of the round.
Keeps     a node's secrets and update between messages in Flower's `context.state`, which stays on the node.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from crypsis.errors import BackendUnavailable, ConfigError, ProtocolAbort
from crypsis.mpc.learning.horizontal.averaging import update_of
from crypsis.mpc.learning.horizontal.mask_client import MaskClient
from crypsis.mpc.learning.horizontal.mask_server import MaskServer
from crypsis.mpc.learning.horizontal.plan import Plan

try:
    from flwr.app import (
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Message,
        MessageType,
        MetricRecord,
        RecordDict,
    )
    from flwr.serverapp import Grid
except ImportError:
    raise BackendUnavailable(
        "crypsis.mpc.learning.horizontal.flower needs Flower: pip install 'crypsis[flower]'"
    ) from None

_log = logging.getLogger("crypsis.learning")

RECORD = "crypsis.masks"
"""Name of our record in messages and in a node's state."""
USED = "crypsis.masks.sessions"


def masked_mod(
    *, least_clients: int = 3, clip: bool = False, weight_key: str = "num-examples"
) -> Callable[[Message, Context, Callable[[Message, Context], Message]], Message]:
    """The client's side, for `ClientApp(mods=[...])`, last in the list.

    least_clients: plans with fewer are refused. clip: numbers of the update above the plan's magnitude are cut to it
    instead of failing. weight_key: the metric of the app's reply that has the number of examples.
    """

    def mod(message: Message, context: Context, call_next: Callable[[Message, Context], Message]) -> Message:
        if message.metadata.message_type.split(".")[0] != MessageType.TRAIN:
            return call_next(message, context)
        ours = message.content.config_records.get(RECORD)
        if ours is None:
            raise ProtocolAbort(
                "the server asked for training without masks: it must use MaskedGrid; refused"
            )
        if "plan" in ours:
            answer = _open(message, context, call_next, str(ours["plan"]), least_clients, clip, weight_key)
        else:
            answer = _answer(context, _bytes(ours, "message"))
        return Message(RecordDict({RECORD: ConfigRecord({"message": answer})}), reply_to=message)

    return mod


def _open(
    message: Message,
    context: Context,
    call_next: Callable[[Message, Context], Message],
    text: str,
    least_clients: int,
    clip: bool,
    weight_key: str,
) -> bytes:
    """Trains, keeps the encoded update, and begins the sum."""
    plan = Plan.from_json(json.loads(text))
    if len(plan.clients) < least_clients:
        raise ProtocolAbort(
            f"the server's plan has {len(plan.clients)} clients, here {least_clients} are wanted"
        )
    used = context.state.config_records.get(USED, ConfigRecord({"sessions": list[str]()}))
    sessions = [str(session) for session in _list(used, "sessions")]
    if plan.session.hex() in sessions:
        raise ProtocolAbort("the server uses a session twice; refused")
    context.state[USED] = ConfigRecord({"sessions": [*sessions, plan.session.hex()]})
    client = MaskClient(plan, str(context.node_id))
    key, before = _only_arrays(message.content)
    content = message.content.copy()
    del content[RECORD]
    message.content = content
    reply = call_next(message, context)
    if reply.has_error():
        raise ProtocolAbort("the app's training failed; the node is out of the round")
    after = reply.content.array_records.get(key)
    if after is None or list(after) != list(before):
        raise ConfigError(f"the app's reply has no arrays {key!r} like those it was sent")
    weights = [
        metrics[weight_key] for metrics in reply.content.metric_records.values() if weight_key in metrics
    ]
    if len(weights) != 1 or not isinstance(weights[0], int):
        raise ConfigError(
            f"the app's reply must have one metric {weight_key!r}, an int: the number of examples"
        )
    update = update_of(
        [array.numpy() for array in before.values()], [array.numpy() for array in after.values()]
    )
    vector = plan.encode(update, weights[0], clip=clip)
    first = client.advertise()
    _keep(context, text, client, vector.tobytes())
    return first


def _answer(context: Context, asked: bytes) -> bytes:
    kept = context.state.config_records.get(RECORD)
    if kept is None:
        raise ProtocolAbort("the server goes on with a sum that this node has not begun; refused")
    text, vector = str(kept["plan"]), _bytes(kept, "vector")
    plan = Plan.from_json(json.loads(text))
    client = MaskClient.from_bytes(plan, _bytes(kept, "client"))
    try:
        needed = client.needs_input
        reply = client.answer(asked, np.frombuffer(vector, plan.dtype) if needed else None)
    except ProtocolAbort:
        del context.state[RECORD]
        raise
    if client.finished:
        del context.state[RECORD]
    else:
        _keep(context, text, client, b"" if needed else vector)
    return reply


def _keep(context: Context, text: str, client: MaskClient, vector: bytes) -> None:
    context.state[RECORD] = ConfigRecord({"plan": text, "client": client.to_bytes(), "vector": vector})


class MaskedGrid(Grid):
    """The server's side: a grid whose train rounds are masked sums; everything else passes to `grid`.

    magnitude: what no |number| of an update exceeds. max_weight: the most examples of a node. ring_bits, threshold,
    degree: as `Plan`. weight_key: of the reply's metrics. `history` has survivors and dropped nodes, a dict a round.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        magnitude: float,
        max_weight: int,
        ring_bits: int = 32,
        threshold: int | None = None,
        degree: int | None = None,
        weight_key: str = "num-examples",
    ) -> None:
        self._grid = grid
        self._options: dict[str, Any] = {
            "magnitude": magnitude,
            "max_weight": max_weight,
            "ring_bits": ring_bits,
            "threshold": threshold,
            "degree": degree,
        }
        self._weight_key = weight_key
        self.history: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(self, *args: Any, **options: Any) -> Message:
        return self._grid.create_message(*args, **options)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(_unmasked_only(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As Flower's; of train messages, one reply with the average. ProtocolAbort where too few nodes are left.

        timeout: seconds for each of the four messages in turn.
        """
        listed = list(messages)
        train = [m for m in listed if _is_train(m)]
        if not train:
            return self._grid.send_and_receive(listed, timeout=timeout)
        if len(train) != len(listed):
            raise ConfigError("train messages and others are sent together: send them apart")
        return [self._sum(train, timeout)]

    def _sum(self, messages: list[Message], timeout: float | None) -> Message:
        key, before = _only_arrays(messages[0].content)
        old = [array.numpy() for array in before.values()]
        plan = Plan(
            clients=tuple(str(message.metadata.dst_node_id) for message in messages),
            n_values=sum(array.size for array in old),
            session=secrets.token_bytes(32),
            **self._options,
        )
        server = MaskServer(plan)
        text = json.dumps(plan.to_json())
        for message in messages:
            if _only_arrays(message.content)[1] != before:
                raise ConfigError("nodes are sent different arrays: their updates have no common average")
        outgoing = [_with_record(message, {"plan": text}) for message in messages]
        dropped: dict[str, str] = {}
        group, kind = messages[0].metadata.group_id, messages[0].metadata.message_type
        while server.round_name:
            self._round(server, outgoing, timeout, dropped)
            outgoing = [
                Message(
                    RecordDict({RECORD: ConfigRecord({"message": asked})}),
                    dst_node_id=int(name),
                    message_type=kind,
                    group_id=group,
                )
                for name, asked in server.advance().items()
            ]
        total, weight = server.result()
        self.history.append({"survivors": list(server.survivors), "dropped": dropped, "weight": weight})
        average, arrays, start = total / weight, {}, 0
        for name, array in zip(before, old, strict=True):
            part = average[start : start + array.size].reshape(array.shape)
            arrays[name] = Array((array + part).astype(array.dtype))
            start += array.size
        content = RecordDict({key: ArrayRecord(arrays), "metrics": MetricRecord({self._weight_key: weight})})
        return Message(
            content, reply_to=next(m for m in messages if str(m.metadata.dst_node_id) in server.survivors)
        )

    def _round(
        self, server: MaskServer, outgoing: list[Message], timeout: float | None, dropped: dict[str, str]
    ) -> None:
        where, started = server.round_name, time.monotonic()
        for reply in self._grid.send_and_receive(outgoing, timeout=timeout):
            name = str(reply.metadata.src_node_id)
            try:
                if reply.has_error():
                    raise ProtocolAbort(f"node {name} failed: {reply.error.reason}")
                ours = reply.content.config_records.get(RECORD)
                if ours is None:
                    raise ProtocolAbort(f"node {name} answered without masks: its app needs masked_mod()")
                server.receive(name, _bytes(ours, "message"))
            except (ProtocolAbort, ConfigError) as error:
                dropped[name] = f"at {where}: {error}"
                _log.warning("masked sum: node %s is out: %s", name, error)
        waited = time.monotonic() - started
        for name in server.waiting_for:
            dropped.setdefault(name, f"at {where}: no answer after {waited:.1f} s")


def _is_train(message: Message) -> bool:
    return bool(message.metadata.message_type.split(".")[0] == MessageType.TRAIN)


def _unmasked_only(messages: Iterable[Message]) -> list[Message]:
    listed = list(messages)
    if any(_is_train(message) for message in listed):
        raise ConfigError("a train message is pushed past the masks: use send_and_receive of MaskedGrid")
    return listed


def _only_arrays(content: RecordDict) -> tuple[str, ArrayRecord]:
    records = list(content.array_records.items())
    if len(records) != 1:
        raise ConfigError(f"a train message has {len(records)} array records: exactly one is averaged")
    return records[0]


def _with_record(message: Message, ours: dict[str, Any]) -> Message:
    content = message.content.copy()
    content[RECORD] = ConfigRecord(ours)
    message.content = content
    return message


def _bytes(record: ConfigRecord, name: str) -> bytes:
    value = record.get(name)
    if not isinstance(value, bytes):
        raise ProtocolAbort(f"a record of a masked sum has no {name}; refused")
    return value


def _list(record: ConfigRecord, name: str) -> list[Any]:
    value = record.get(name)
    return list(value) if isinstance(value, list) else []
