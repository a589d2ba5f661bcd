# SPDX-License-Identifier: Apache-2.0
"""Flower with masked sums: the same model as plain FedAvg, no arrays from a node, nodes that drop out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

flwr_app = pytest.importorskip("flwr.app", reason="crypsis[flower] is not installed")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402

from crypsis.errors import ConfigError, ProtocolAbort  # noqa: E402
from crypsis.mpc.learning.horizontal.flower import RECORD, MaskedGrid, masked_mod  # noqa: E402

N_NODES = 6


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Flower sets in a process that runs a ServerApp."""
    task = pytest.importorskip("flwr.supercore.task_identity").TaskIdentity
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(task, name, 1)


class LocalGrid(Grid):
    """Nodes in this process: a ClientApp with a context each; fails(node, number of its messages) makes one go."""

    def __init__(self, app: ClientApp, fails: Any = None) -> None:
        self.app, self.fails = app, fails or (lambda node, count: False)
        self.contexts = {
            node: Context(1, node, {"partition-id": node - 1}, RecordDict(), {})
            for node in range(1, N_NODES + 1)
        }
        self.counts = dict.fromkeys(self.contexts, 0)
        self.replies: list[Message] = []

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **options: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        replies = []
        for number, message in enumerate(messages):
            node = message.metadata.dst_node_id
            message.metadata.__dict__["_message_id"] = f"m{number}"
            self.counts[node] += 1
            if self.fails(node, self.counts[node]):
                continue
            try:
                reply = self.app(message, self.contexts[node])
            except (ProtocolAbort, ConfigError, ValueError) as error:
                reply = Message(Error(0, str(error)), reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = node
            replies.append(reply)
        self.replies += replies
        return replies


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    rows, labels = load_breast_cancer(return_X_y=True)
    rows = StandardScaler().fit_transform(rows)
    order = np.random.default_rng(1).permutation(len(rows))
    rows, labels = rows[order], labels[order]
    return rows[:450], labels[:450], rows[450:], labels[450:]


def train(message: Message, context: Context) -> Message:
    """scikit-learn's logistic regression by SGD, from the global coefficients."""
    from sklearn.linear_model import SGDClassifier

    rows, labels, _, _ = data()
    part = slice(context.node_config["partition-id"], None, N_NODES)
    weights, bias = message.content["arrays"].to_numpy_ndarrays()
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01, random_state=3)
    model.partial_fit(rows[part], labels[part], classes=[0, 1])
    model.coef_, model.intercept_ = weights.copy(), bias.copy()
    for _ in range(2):
        model.partial_fit(rows[part], labels[part])
    content = RecordDict(
        {
            "arrays": ArrayRecord([model.coef_, model.intercept_]),
            "metrics": MetricRecord({"num-examples": len(labels[part])}),
        }
    )
    return Message(content, reply_to=message)


def fit(grid: Any) -> tuple[list[np.ndarray], float]:
    start = ArrayRecord([np.zeros((1, 30)), np.zeros(1)])
    strategy = FedAvg(fraction_evaluate=0.0, min_available_nodes=N_NODES, min_train_nodes=N_NODES)
    arrays = strategy.start(grid, start, num_rounds=3).arrays.to_numpy_ndarrays()
    _, _, rows, labels = data()
    return arrays, float(((rows @ arrays[0][0] + arrays[1] > 0) == labels).mean())


def app(**options: Any) -> ClientApp:
    made = ClientApp(mods=[masked_mod(**options)])
    made.train()(train)
    return made


def plain() -> ClientApp:
    made = ClientApp()
    made.train()(train)
    return made


def test_same_model_as_plain_averaging() -> None:
    local = LocalGrid(app())
    masked, accuracy = fit(MaskedGrid(local, magnitude=4.0, max_weight=128, ring_bits=64))
    want, wanted_accuracy = fit(LocalGrid(plain()))
    for got, expected in zip(masked, want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    assert accuracy == wanted_accuracy > 0.93
    assert len(local.replies) == 3 * 4 * N_NODES
    for reply in local.replies:
        assert list(reply.content) == [RECORD], "a node sends our record and nothing else"


def test_no_node_keeps_secrets_after_a_round() -> None:
    local = LocalGrid(app())
    fit(MaskedGrid(local, magnitude=4.0, max_weight=128))
    assert all(RECORD not in context.state for context in local.contexts.values())


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_node_drops_out(at: int) -> None:
    """Before its keys, its shares, its masked input, and its answer for unmasking."""
    grid = MaskedGrid(
        LocalGrid(app(), lambda node, count: node == 2 and count >= at),
        magnitude=4.0,
        max_weight=128,
        threshold=4,
    )
    _, accuracy = fit(grid)
    assert accuracy > 0.9
    assert list(grid.history[0]["dropped"]) == ["2"]
    assert ("2" in grid.history[0]["survivors"]) == (at == 4)


def test_too_few_nodes() -> None:
    grid = MaskedGrid(LocalGrid(app(), lambda node, count: node < 4), magnitude=4.0, max_weight=128)
    with pytest.raises(ProtocolAbort, match="3 of 6 clients"):
        fit(grid)


def test_mod_refuses_training_without_masks() -> None:
    message = Message(
        RecordDict({"arrays": ArrayRecord([np.zeros(1)]), "config": ConfigRecord({})}),
        dst_node_id=1,
        message_type="train",
    )
    with pytest.raises(ProtocolAbort, match="without masks"):
        app()(message, Context(1, 1, {}, RecordDict(), {}))


def test_grid_refuses_apps_without_the_mod() -> None:
    with pytest.raises(ProtocolAbort, match="no client"):
        fit(MaskedGrid(LocalGrid(plain()), magnitude=4.0, max_weight=128))


def test_mod_refuses_few_clients() -> None:
    grid = MaskedGrid(LocalGrid(app(least_clients=7)), magnitude=4.0, max_weight=128)
    with pytest.raises(ProtocolAbort):
        fit(grid)
    assert not grid.history


def test_update_out_of_range_is_not_sent() -> None:
    local = LocalGrid(app())
    with pytest.raises(ProtocolAbort):
        fit(MaskedGrid(local, magnitude=1e-6, max_weight=128))
    assert all(reply.has_error() for reply in local.replies)
