# SPDX-License-Identifier: Apache-2.0
"""Training of a linear model on columns of two parties, without a third one: CAESAR's form [CAESAR].

Weights, scores and residuals are additive shares mod 2^128 from the first to the last epoch; ciphertexts serve only to
multiply a party's own features with what is shared. A batch of m rows, each party doing the same at the same time:

    forward    z = X_guest w_guest + X_host w_host       shares, see `products`: d + m / t ciphertexts each way
    residuals  e = p(z) - y                              shares, see `sigmoid`: none, or (D - 1 + 1 / t) m / 2 each way
    backward   g = X^T e / m                             shares: m + d ciphertexts each way
    update     v <- mu v + g + l2 w,  w <- w - rate (g + l2 w + mu v)       local, Nesterov's momentum

At the end each party gets the other's share of its own weights, and so its own weights.

Both products go by `products` (one number in a ciphertext) or by `packed` (thousands); `engine` says when.

Assumption: both follow the protocol (semi-honest), and the scheme is semantically secure; for `packed`, ring learning
with errors too. Statistical distance 2^-56 or less for each masked number, 2^-64 for scores under 2048 bits and up to
31 columns: see `products`; with `packed` 2^-40 for all products of a training together.

Leaks, beyond a party's own result (the weights of its own columns, at the guest the intercept): the number of rows
and columns; hyper-parameters; with `learning_rate` None the largest eigenvalue of each party's own covariance, a
number; with `tol` the mean square residual of up to 4096 rows after every epoch, a number, and so when training ended.
Nobody learns a score, a residual, a gradient, a weight of the other or a label, but as far as its own weights tell:
with few rows a column, or over many trainings of the same rows, they do (docs/security.md). Whoever watches the line
sees the numbers and sizes of messages.

Bytes a row visit, each way, by `products` with a key of 2048 bits of Okamoto-Uchiyama (256 bytes, t = 3): 85 + 256 =
341 with the linear link, 341 + 576 with degree 5, 341 + 1088 with degree 9. Rounds of a batch: 3, or 4 with a
polynomial.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.learning.linear import loss, ring128, sigmoid
from crypsis.mpc.learning.linear.engine import Engine, choose, engine
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.products import Matrix, Products
from crypsis.mpc.learning.linear.ring128 import Party, Ring
from crypsis.mpc.learning.linear.schedule import Course, batch_order, batches, course
from crypsis.mpc.learning.linear.state import Options, State
from crypsis.mpc.learning.session import Session, is_hex
from crypsis.mpc.transport.agreement import count_field, hear_refusal

Checkpoint = Callable[[State], None]

FEATURE_BITS = 10
WEIGHT_BITS = 32
_FACTOR_BITS = 24
PENALTY_BITS = 40
"""Of fraction, of `l2`, which is 10^-8 for C = 1 and 10^8 rows."""
LOSS_ROWS = 4096
MAX_CURVATURE = 1e9
_MAX_STATES = 500  # a message of 64 KiB holds some 900


@dataclass(frozen=True)
class Trained:
    """weights: of one's own columns, in the units of the matrix; history: an account of each epoch; products: what took
    them, "bgv" or "scheme"."""

    weights: npt.NDArray[np.float64]
    run: str
    n_iter: int
    history: tuple[Any, ...]
    stopped_early: bool
    products: str


def train(
    session: Session,
    matrix: Matrix,
    labels: npt.NDArray[np.float64] | None,
    options: Options,
    *,
    checkpoint: Checkpoint | None = None,
    resume: Sequence[State] = (),
) -> Trained:
    """One party's side. matrix: `int16[rows, columns]` with `FEATURE_BITS` of fraction, no value beyond `options.clip`.
    labels: the guest's.

    checkpoint: called after each epoch. resume: states that `checkpoint` got; training goes on from the newest that
    both parties have. ConfigError at both where there is none in common.
    """
    training = _Training(session, matrix, labels, options)
    return training.run(checkpoint, resume)


class _Training:
    def __init__(
        self, session: Session, matrix: Matrix, labels: npt.NDArray[np.float64] | None, options: Options
    ) -> None:
        self.session, self.peer, self.options = session, session.peer, options
        self.party: Party = 0 if session.role == "guest" else 1
        self.rows = len(matrix)
        self.limit = round(options.clip * (1 << FEATURE_BITS))  # as `Scaling` rounds
        if max(int(matrix.max(initial=0)), -int(matrix.min(initial=0))) > self.limit:
            raise ValueError(f"a value of the matrix is beyond clip = {options.clip:g}: clip it first")
        intercept = options.fit_intercept and session.role == "guest"
        if intercept:
            ones = np.full((self.rows, 1), 1 << FEATURE_BITS, dtype=np.int16)
            matrix = np.concatenate([matrix, ones], axis=1)
        self.matrix = np.ascontiguousarray(matrix)
        self.labels = None if labels is None else ring128.encode(labels, sigmoid.OUTPUT_BITS)
        self.columns = self.matrix.shape[1]
        session.tell(self.peer, "columns", columns=self.columns)
        self.peer_columns = count_field(session.hear(self.peer, "columns"), "columns", ring128.MAX_COLUMNS)
        if not self.columns or not self.peer_columns:
            hear_refusal(session.channel())
            who = session.party if not self.columns else self.peer
            raise DataError(f"{who} has no columns: a model of one party's columns needs no protocol")
        penalties = np.full(self.columns + self.peer_columns, options.l2)
        if options.fit_intercept:
            penalties[self.columns - 1 if intercept else -1] = 0.0
        self.penalties = ring128.encode(penalties, PENALTY_BITS)

    def run(self, checkpoint: Checkpoint | None, resume: Sequence[State]) -> Trained:
        session, options = self.session, self.options
        session.send_key(self.peer)
        session.receive_key(self.peer)
        with Outbox(session) as outbox:
            self.products = Products(session, outbox)
            self.engine, taken = self._engine(outbox)
            state = self._begin(resume)
            session.meter.restart()
            now = self._course(state)
            while state.epoch < options.max_epochs and not now.ended:
                state = self._epoch(state, now.drops)
                if checkpoint is not None:
                    checkpoint(state)
                now = self._course(state)
            weights = self._reveal(state)
        return Trained(weights, state.run, state.epoch, state.history, now.ended, taken)

    def _engine(self, outbox: Outbox) -> tuple[Engine, str]:
        """What takes the products, and its name."""
        options, parts = self.options, batches(self.rows, self.options.batch_size)
        # A loss takes one more forward product, of LOSS_ROWS at most.
        n_batches = options.max_epochs * (len(parts) + (options.tol is not None))
        rows = max([part.stop - part.start for part in parts], default=1)
        if options.tol is not None:
            rows = max(rows, min(self.rows, LOSS_ROWS))
        columns = self.columns, self.peer_columns
        sizes = {"rows": rows, "limit": self.limit, "n_batches": n_batches}
        try:
            taken = choose(options.products, self.products.theirs, columns=columns, **sizes)
        except ConfigError:
            hear_refusal(self.session.channel())  # the peer comes to the same
            raise
        made = engine(taken, self.session, outbox, self.products, columns=self.columns, **sizes)
        return made, taken

    def _course(self, state: State) -> Course:
        options = self.options
        n_batches = len(batches(self.rows, options.batch_size))
        return course(state.losses, tol=options.tol, patience=options.patience, n_batches=n_batches)

    # The start.

    def _begin(self, resume: Sequence[State]) -> State:
        found = self._common(resume)
        if found is not None:
            return found
        seeds = secrets.token_hex(32)
        self.session.tell(self.peer, "start", seed=seeds, curvature=self._curvature())
        answer = self.session.hear(self.peer, "start")
        theirs, curvature = answer.get("seed"), answer.get("curvature")
        if not is_hex(theirs, 32) or not isinstance(curvature, int | float):
            raise ProtocolAbort(f"{self.peer} sent no seed and curvature; ended")
        if not 0 <= curvature <= MAX_CURVATURE:
            raise ProtocolAbort(f"{self.peer} sent a curvature of {str(curvature)[:20]}; ended")
        run = hashlib.sha256("".join(sorted((seeds, theirs))).encode()).hexdigest()
        rate = self.options.learning_rate
        if rate is None:
            bound = (self._curvature() + curvature) * (1.0 if self.options.link == "identity" else 0.25)
            rate = 1.0 / (bound + self.options.l2)
        own = ring128.uniform(self.columns)
        self.products.outbox.put(own)
        theirs_share = self.session.receive_array(self.peer, np.uint64, (self.peer_columns, 2))
        return State(
            run=run,
            epoch=0,
            own_columns=self.columns,
            rate=rate,
            weights=np.concatenate([ring128.negate(own), theirs_share]),
            velocity=ring128.zeros(self.columns + self.peer_columns),
        )

    def _common(self, resume: Sequence[State]) -> State | None:
        """The newest state that both have."""
        for state in resume:
            if state.own_columns != self.columns or len(state.weights) != self.columns + self.peer_columns:
                raise ConfigError(
                    f"the checkpoint of epoch {state.epoch} is of {state.own_columns} columns here, the table has"
                    f" {self.columns}: give the table of the training that is resumed"
                )
        known = {f"{state.run}/{state.epoch}": state for state in resume}
        newest = sorted(known, key=lambda name: known[name].epoch)[-_MAX_STATES:]
        self.session.tell(self.peer, "resume", states=newest)
        theirs = self.session.hear(self.peer, "resume").get("states")
        if not isinstance(theirs, list) or any(not isinstance(name, str) for name in theirs):
            raise ProtocolAbort(f"{self.peer} sent no list of checkpoints; ended")
        if not known and not theirs:
            return None
        both = [state for name, state in known.items() if name in theirs]
        if not both:
            hear_refusal(self.session.channel())
            raise ConfigError(
                f"{len(known)} checkpoints here and {len(theirs)} at {self.peer}, none of the same training and epoch:"
                " remove them at both to start anew, or give the right ones"
            )
        return max(both, key=lambda state: state.epoch)

    def _curvature(self) -> float:
        """The largest eigenvalue of X^T X / rows: that of both parties' columns together is at most the sum."""
        if self.options.learning_rate is not None:
            return 0.0
        with self.session.meter("native"):
            gram = np.zeros((self.columns, self.columns))
            for begin in range(0, self.rows, 1 << 16):
                block = np.ldexp(self.matrix[begin : begin + (1 << 16)].astype(np.float64), -FEATURE_BITS)
                gram += block.T @ block
            return float(np.linalg.eigvalsh(gram / self.rows)[-1])

    # An epoch.

    def _epoch(self, state: State, drops: int) -> State:
        session, options = self.session, self.options
        sent = session.channel().stats
        parts = batches(self.rows, options.batch_size)
        order = batch_order(state.run, state.epoch + 1, self.rows)
        rate = state.rate / 2**drops / (1 + options.decay * state.epoch)
        for count, part in enumerate(parts, start=1):
            state = self._step(state, order[part], rate)
            session.progress("batch", count, len(parts), {"epoch": float(state.epoch + 1)})
        losses = state.losses
        metrics: dict[str, float] = {}
        if options.tol is not None:
            metrics["loss"] = self._loss(state)
            losses = (*losses, metrics["loss"])
        self.products.outbox.flush()
        seconds = session.meter.restart()
        now = session.channel().stats
        entry = {
            "epoch": state.epoch + 1,
            **metrics,
            "seconds": seconds,
            "bytes_sent": now.payload_bytes_sent - sent.payload_bytes_sent,
            "bytes_received": now.payload_bytes_received - sent.payload_bytes_received,
        }
        session.progress(
            "epoch", state.epoch + 1, options.max_epochs, metrics | {"seconds": seconds["total"]}
        )
        return replace(state, epoch=state.epoch + 1, losses=losses, history=(*state.history, entry))

    def _step(self, state: State, rows: npt.NDArray[np.int64], rate: float) -> State:
        with self.session.meter("native"):
            matrix = self.matrix[rows]
        residuals = self._residuals(matrix, state.weights, rows)
        own, theirs = self.engine.backward(matrix, residuals, self.peer_columns)
        with self.session.meter("native"):
            return self._updated(state, np.concatenate([own, theirs]), len(rows), rate)

    def _residuals(self, matrix: Matrix, weights: Ring, rows: npt.NDArray[np.int64]) -> Ring:
        """A share of p(X w) - y with `sigmoid.OUTPUT_BITS`."""
        own, theirs = weights[: self.columns], weights[self.columns :]
        parts = self.engine.forward(matrix, own, self.peer_columns, theirs)
        z, z_bits = ring128.add(*parts), FEATURE_BITS + WEIGHT_BITS
        if self.options.link == "identity":
            result = ring128.truncate(z, z_bits - sigmoid.OUTPUT_BITS, self.party)
        elif self.options.link == "linear":
            result = sigmoid.linear(z, z_bits, self.party)
        else:
            polynomial = sigmoid.POLYNOMIALS[self.options.link]
            result = sigmoid.evaluate(self.products, z, z_bits, polynomial, self.party)
        return result if self.labels is None else ring128.subtract(result, self.labels[rows])

    def _updated(self, state: State, gradient: Ring, m: int, rate: float) -> State:
        """The step of descent, on shares; public factors have 24 bits of fraction."""
        shift = m.bit_length() + 16
        mean = ring128.multiply(gradient, ring128.from_int(round((1 << shift) / m)))
        mean = ring128.truncate(mean, FEATURE_BITS + sigmoid.OUTPUT_BITS + shift - WEIGHT_BITS, self.party)
        penalty = ring128.truncate(ring128.multiply(state.weights, self.penalties), PENALTY_BITS, self.party)
        full = ring128.add(mean, penalty)
        momentum = ring128.encode(self.options.momentum, _FACTOR_BITS)
        velocity = ring128.add(self._scaled(state.velocity, momentum), full)
        step = ring128.add(full, self._scaled(velocity, momentum))
        step = self._scaled(step, ring128.encode(rate, _FACTOR_BITS))
        return replace(state, weights=ring128.subtract(state.weights, step), velocity=velocity)

    def _scaled(self, share: Ring, factor: Ring) -> Ring:
        return ring128.truncate(ring128.multiply(share, factor), _FACTOR_BITS, self.party)

    # The loss, the end.

    def _loss(self, state: State) -> float:
        """The mean square residual of the first rows of a fixed order, which both learn."""
        rows = batch_order(state.run, 0, self.rows)[:LOSS_ROWS]
        residuals = self._residuals(self.matrix[rows], state.weights, rows)
        return loss.mean_square(self.products, residuals, sigmoid.OUTPUT_BITS, self.party)

    def _reveal(self, state: State) -> npt.NDArray[np.float64]:
        """One's own weights: the peer's share of them is the last message of training."""
        self.products.outbox.put(state.weights[self.columns :])
        theirs = self.session.receive_array(self.peer, np.uint64, (self.columns, 2))
        weights = ring128.decode(ring128.add(state.weights[: self.columns], theirs), WEIGHT_BITS)
        if not (np.abs(weights) < 2.0**30).all():
            raise DataError(
                "the weights have diverged: lower learning_rate or momentum, raise the penalty, or leave learning_rate"
                " to the parties (None)"
            )
        return weights
