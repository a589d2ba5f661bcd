# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an algorithm, so that jobs are tested by themselves: sums of columns, and nothing private about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crypsis.errors import ConfigError, CorruptData, DataError
from crypsis.mpc.learning import Frame, Session
from crypsis.mpc.learning.algorithms import Entry
from crypsis.mpc.learning.model_files import ModelPart


def _fit(estimator: Any, frame: Frame, session: Session, save: Any, resume: Mapping[str, Any] | None) -> Any:
    return estimator.fit(frame, session=session, checkpoint=save, resume=resume).history_


def _check(estimator: Any) -> None:
    if estimator.n_steps < 1:
        raise ConfigError(f"n_steps is {estimator.n_steps}; give at least 1")


ENTRY = Entry(__name__, "Toy", "binary", "epoch", False, "nothing", (("guest", "everything"),), _fit, _check)
STOP: dict[str, Callable[[int], None]] = {}
"""Called by a role before each step, to fail there."""


class Toy:
    """weights[columns] move by one each step; both parties must be at the same step."""

    def __init__(self, *, role: str, n_steps: int = 5, rate: float = 0.5) -> None:
        self.role, self.n_steps, self.rate = role, n_steps, rate

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fit(
        self,
        frame: Frame,
        *,
        session: Session,
        checkpoint: Any = None,
        resume: Mapping[str, Any] | None = None,
    ) -> Toy:
        if np.isnan(frame.values).any():
            raise DataError("values are missing: fill them first (impute)")
        weights = np.zeros(len(frame.names)) if resume is None else resume["weights"]
        history = [] if resume is None else list(resume["history"])
        first = 0 if resume is None else int(resume["step"])
        self.first_ = first
        for step in range(first + 1, self.n_steps + 1):
            if self.role in STOP:
                STOP[self.role](step)
            session.tell(session.peer, "step", step=step)
            if session.hear(session.peer, "step")["step"] != step:
                raise ConfigError("the parties are at different steps")
            weights = weights + self.rate * frame.values.mean(axis=0)
            metrics = {"loss": 1.0 / step}
            history.append({"step": step, **metrics})
            session.progress("train", step, self.n_steps, metrics)
            if checkpoint is not None:
                checkpoint(step, {"step": step, "weights": weights, "history": history})
            session.tell(session.peer, "saved")  # so that a test knows what both have
            session.hear(session.peer, "saved")
        self.weights_, self.history_ = weights, history
        return self

    def predict_proba(self, frame: Frame, *, session: Session) -> Any:
        own = frame.values @ self.weights_
        session.send_array(session.peer, own)
        total = own + session.receive_array(session.peer, np.float64, (len(frame),))
        return 1 / (1 + np.exp(-total)) if self.role == "guest" else None

    def to_part(self) -> ModelPart:
        body = {"weights": self.weights_.tolist(), "n_steps": self.n_steps}
        return ModelPart(kind="toy", role=self.role, party="x", job="", body=body)  # type: ignore[arg-type]

    @classmethod
    def from_part(cls, part: ModelPart) -> Toy:
        try:
            made = cls(role=part.role, n_steps=part.body["n_steps"])
            made.weights_ = np.array(part.body["weights"], dtype=np.float64)
        except KeyError as error:
            raise CorruptData("the stored toy is damaged") from error
        return made
