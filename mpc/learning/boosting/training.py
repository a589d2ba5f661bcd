# SPDX-License-Identifier: Apache-2.0
"""Both parties' loops over rounds of trees.

both            hyper-parameters agreed, ids checked; guest -> hosts: its public key
guest -> host   job, outputs, rounds that it has already
host -> guest   rounds that it has of this job, how many splits it offers
guest -> host   rounds to go on from; where that is not 0, the host answers its bits of these trees (`routing`)
then, round by round: sampled rows, trees (`host`)
guest -> host   how many rounds the model has: with early stopping, up to the best one
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.learning.boosting import losses, routing
from crypsis.mpc.learning.boosting.bins import Bins
from crypsis.mpc.learning.boosting.guest import GuestGrower, Offer
from crypsis.mpc.learning.boosting.host import HostGrower
from crypsis.mpc.learning.boosting.losses import Floats, Loss
from crypsis.mpc.learning.boosting.model import GuestPart, Part
from crypsis.mpc.learning.boosting.nodes import Nodes
from crypsis.mpc.learning.boosting.sampling import Sampling
from crypsis.mpc.learning.boosting.splits import TreeOptions
from crypsis.mpc.learning.boosting.trees import Tree
from crypsis.mpc.learning.evaluation import metrics
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import count_field

Metric = Literal["loss", "auc", "ks"]
AfterRound = Callable[[dict[str, Any]], None]
MAX_ROUNDS = 100_000
MAX_SUMS = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What both parties have the same. n_estimators: rounds; early_stopping_rounds: 0 for none; metric: of the
    validation rows, for early stopping."""

    loss: Loss
    n_estimators: int
    learning_rate: float
    tree: TreeOptions
    sampling: Sampling
    precision_bits: int
    early_stopping_rounds: int = 0
    metric: Metric = "loss"

    def __post_init__(self) -> None:
        if type(self.n_estimators) is not int or not 1 <= self.n_estimators <= MAX_ROUNDS:
            raise ConfigError(f"n_estimators is {self.n_estimators!r}: give 1 to {MAX_ROUNDS}")
        if not isinstance(self.learning_rate, int | float) or not 0 < self.learning_rate <= 1:
            raise ConfigError(f"learning_rate is {self.learning_rate!r}: give a number above 0, up to 1")
        if type(self.early_stopping_rounds) is not int or self.early_stopping_rounds < 0:
            raise ConfigError(
                f"early_stopping_rounds is {self.early_stopping_rounds!r}: give a number of rounds, or 0 for none"
            )
        if self.metric not in get_args(Metric) or (self.metric != "loss" and self.loss != "logistic"):
            raise ConfigError(f"metric is {self.metric!r}: give loss, or for two classes auc or ks")


def _joined(table: Bins, train: Frame, validation: Frame | None) -> npt.NDArray[np.int16]:
    own = table.table(train)
    return own if validation is None else np.concatenate([own, table.table(validation)])


def _frame_of(part: Part, train: Frame, validation: Frame | None) -> Frame:
    """The rows of both, as far as routing needs them."""
    frames = [
        frame.as_trained(part.names, part.categories)[0] for frame in (train, validation) if frame is not None
    ]
    return Frame(part.names, np.concatenate([f.values for f in frames]), categories=part.categories)


# The host.


def fit_host(
    session: Session,
    part: Part,
    bins: Bins,
    train: Frame,
    validation: Frame | None,
    plan: Plan,
    after_round: AfterRound,
) -> None:
    """Trains; `part` gets the host's splits, round by round, and the job's name where it has none yet."""
    guest = session.peer
    session.receive_key(guest)
    start = session.hear(guest, "boosting start")
    job = start.get("job")
    if not isinstance(job, str) or not 0 < len(job) <= 64:
        raise ProtocolAbort(f"{guest} sent no name of the job; ended")
    if count_field(start, "outputs", 1000) != part.n_outputs:
        raise ProtocolAbort(f"{guest} trains another number of trees a round than was agreed; ended")
    if part.n_rounds and part.job != job:
        raise ConfigError(
            f"the part to go on from is of job {part.job}, that of {guest} of job {job}: give parts of one training"
        )
    part.job = job
    with session.meter("native"):
        table = _joined(bins, train, validation)
    grower = HostGrower(session, bins, table, len(train), plan.tree, plan.precision_bits)
    offer = grower.candidates
    session.tell(
        guest, "boosting offer", rounds=part.n_rounds, numeric=offer.n_numeric, blocks=list(offer.block_sizes)
    )
    common = count_field(session.hear(guest, "boosting from"), "rounds", part.n_rounds)
    part.cut(common)
    if common:
        routing.answer(session, part, _frame_of(part, train, validation))
    session.meter.restart()
    while True:
        message = session.hear(guest, "boosting round")
        if message.get("more") is not True:
            break
        if part.n_rounds >= plan.n_estimators:
            raise ProtocolAbort(f"{guest} asks for more rounds than the {plan.n_estimators} agreed; ended")
        sampled = None
        if not plan.sampling.takes_all:
            told = session.receive_array(guest, np.uint8, (-(-len(train) // 8),))
            sampled = np.zeros(len(table), dtype=bool)
            sampled[: len(train)] = np.unpackbits(told, count=len(train))
            if np.count_nonzero(sampled) != plan.sampling.count(len(train)):
                raise ProtocolAbort(f"{guest} takes another part of the rows than was agreed; ended")
        found = [record for _ in range(part.n_outputs) for record in grower.grow(sampled)]
        part.records += found
        part.counts.append(len(found))
        seconds = session.meter.restart()
        session.progress("trees", part.n_rounds, plan.n_estimators, {"seconds": seconds["total"]})
        after_round({"round": part.n_rounds, "splits": len(found), "seconds": seconds})
    part.cut(count_field(message, "rounds", part.n_rounds))


# The guest.


def fit_guest(
    session: Session,
    part: GuestPart,
    bins: Bins,
    train: Frame,
    validation: Frame | None,
    plan: Plan,
    after_round: AfterRound,
) -> None:
    """Trains; `part` gets the trees and the guest's splits, round by round."""
    with _ahead(session, len(train)) as pool:
        _fit_guest(session, part, bins, train, validation, plan, after_round, pool)


@contextmanager
def _ahead(session: Session, n_rows: int) -> Iterator[paillier.BlindingPool | None]:
    """Blinding factors for the gradients of a tree, made on another thread where the session asks for it."""
    if not session.cipher.ahead:
        yield None
        return
    with paillier.BlindingPool(session.own_key, n_rows, device=session.cipher.device) as pool:
        yield pool


def _fit_guest(
    session: Session,
    part: GuestPart,
    bins: Bins,
    train: Frame,
    validation: Frame | None,
    plan: Plan,
    after_round: AfterRound,
    pool: paillier.BlindingPool | None,
) -> None:
    for peer in session.peers:
        session.send_key(peer)
        session.tell(peer, "boosting start", job=part.job, outputs=part.n_outputs)
    with session.meter("native"):
        table = _joined(bins, train, validation)
    offers, common = _offers(session, part.n_rounds)
    for peer in session.peers:
        session.tell(peer, "boosting from", rounds=common)
    part.cut(common)
    grower = GuestGrower(session, bins, table, len(train), plan.tree, plan.precision_bits, offers, pool)
    grower.records = part.records
    grower.host_records = [part.host_records(i) for i in range(1, len(part.hosts) + 1)]
    scores = np.tile(part.base, (len(table), 1))
    if common:
        scores = routing.scores(session, part, _frame_of(part, train, validation))
    stopper = _Stopper(plan, validation)
    stopper.resume(part.watched)
    labels = _labels(train)
    session.meter.restart()
    while part.n_rounds < plan.n_estimators and not stopper.stop:
        with session.meter("native"):
            g, h = losses.gradients(plan.loss, labels, scores[: len(train)])
        sampled, factors = _sample(session, part, plan, g, h, len(table))
        trees, before = [], len(part.records)
        for k in range(part.n_outputs):
            tree, nodes = grower.grow(g[:, k] * factors, h[:, k] * factors, sampled)
            trees.append(_shrunk(tree, plan.learning_rate))
            with session.meter("native"):
                _add(scores[:, k], trees[k], nodes)
        part.rounds.append(trees)
        part.counts.append(len(part.records) - before)
        told = {"train_loss": losses.mean_loss(plan.loss, labels, scores[: len(train)])}
        told |= stopper.after(part.n_rounds, scores[len(train) :])
        part.watched.append(told.get(f"validation_{plan.metric}"))
        seconds = session.meter.restart()
        session.progress("trees", part.n_rounds, plan.n_estimators, {**told, "seconds": seconds["total"]})
        leaves = sum(tree.n_leaves for tree in trees)
        after_round({"round": part.n_rounds, "leaves": leaves, **told, "seconds": seconds})
    if plan.early_stopping_rounds and stopper.best_round:
        part.cut(stopper.best_round)
    for peer in session.peers:
        session.tell(peer, "boosting round", more=False, rounds=part.n_rounds)


def _labels(frame: Frame) -> Floats:
    if frame.labels is None:
        raise ConfigError("the guest's frame has no labels: name their column")
    return frame.labels


def _offers(session: Session, n_rounds: int) -> tuple[list[Offer], int]:
    offers, common = [], n_rounds
    for peer in session.peers:
        message = session.hear(peer, "boosting offer")
        common = min(common, count_field(message, "rounds", MAX_ROUNDS))
        sizes = message.get("blocks")
        if not isinstance(sizes, list) or any(
            type(size) is not int or not 1 < size < 1 << 16 for size in sizes
        ):
            raise ProtocolAbort(f"{peer} sent no sizes of categorical features; ended")
        offers.append(Offer(count_field(message, "numeric", MAX_SUMS), tuple(sizes)))
        if offers[-1].n_sums > MAX_SUMS:
            raise ProtocolAbort(f"{peer} offers {offers[-1].n_sums} sums a node, {MAX_SUMS} at most; ended")
    return offers, common


def _sample(
    session: Session, part: GuestPart, plan: Plan, g: Floats, h: Floats, n_rows: int
) -> tuple[npt.NDArray[np.bool_] | None, Floats]:
    for peer in session.peers:
        session.tell(peer, "boosting round", more=True)
    if plan.sampling.takes_all:
        return None, np.ones(len(g))
    taken, factors = plan.sampling.rows(g, h, np.random.default_rng([part.seed, part.n_rounds]))
    for peer in session.peers:
        session.send_array(peer, np.packbits(taken))
    sampled = np.zeros(n_rows, dtype=bool)
    sampled[: len(g)] = taken
    return sampled, factors


def _shrunk(tree: Tree, learning_rate: float) -> Tree:
    return Tree(
        tree.owner, tree.record, tree.left, tree.right, tree.value * learning_rate, tree.gain, tree.cover
    )


def _add(scores: Floats, tree: Tree, nodes: Nodes) -> None:
    for leaf in np.flatnonzero(tree.owner < 0):
        scores[nodes.rows(int(leaf))] += tree.value[leaf]


def new_guest_part(
    session: Session,
    plan: Plan,
    params: dict[str, Any],
    frame: Frame,
    n_outputs: int,
    seed: int | None,
    base_score: float | None,
) -> GuestPart:
    """Without trees, with a fresh job name."""
    labels = _labels(frame)
    base = losses.base_scores(plan.loss, labels, n_outputs)
    return GuestPart(
        job=secrets.token_hex(16),
        loss=plan.loss,
        n_outputs=n_outputs,
        params=params,
        names=frame.names,
        categories=dict(frame.categories),
        base=base if base_score is None else np.full(n_outputs, float(base_score)),
        hosts=session.peers,
        seed=secrets.randbits(62) if seed is None else seed,
    )


class _Stopper:
    """The metric of the validation rows after each round, and whether it has not improved for long enough."""

    def __init__(self, plan: Plan, validation: Frame | None) -> None:
        if plan.early_stopping_rounds and validation is None:
            raise ConfigError("early_stopping_rounds needs validation rows: give validation=, or 0 rounds")
        self._plan = plan
        self._labels = None if validation is None else _labels(validation)
        self._best: float | None = None
        self.best_round = 0
        self.stop = False

    def after(self, n_rounds: int, scores: Floats) -> dict[str, float]:
        """The metrics by name. The best so far is the highest auc or ks, or the lowest loss."""
        if self._labels is None:
            return {}
        told = {"validation_loss": losses.mean_loss(self._plan.loss, self._labels, scores)}
        if self._plan.loss == "logistic" and 0 < self._labels.mean() < 1:
            told["validation_auc"] = metrics.auc(self._labels, scores[:, 0])
            told["validation_ks"] = metrics.ks(self._labels, scores[:, 0]).statistic
        value = told.get(f"validation_{self._plan.metric}")
        if value is None:  # a DataError: hosts do not hear what it says of the labels
            raise DataError(f"the validation rows are all of one class: {self._plan.metric} has no value")
        self._see(n_rounds, value)
        return told

    def resume(self, watched: Sequence[float | None]) -> None:
        """Sees the rounds that the model has already, so that it stops where it would have without a break."""
        for n_rounds, value in enumerate(watched, start=1):
            if value is not None:
                self._see(n_rounds, value)

    def _see(self, n_rounds: int, value: float) -> None:
        better = -value if self._plan.metric == "loss" else value
        if self._best is None or better > self._best:
            self._best, self.best_round = better, n_rounds
        patience = self._plan.early_stopping_rounds
        self.stop = bool(patience) and n_rounds - self.best_round >= patience
