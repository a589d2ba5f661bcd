# SPDX-License-Identifier: Apache-2.0
"""The algorithms that a job can name, what both parties must have the same of their parameters, and what they
disclose."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from crypsis.errors import ConfigError
from crypsis.mpc.learning.evaluation import ImportanceTable
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.session import Session

Algorithm = Literal[
    "logistic-regression", "linear-regression", "gradient-boosting", "gradient-boosting-regression"
]
Labels = Literal["binary", "classes", "numbers"]


Save = Callable[[int, Mapping[str, Any]], None]
"""Takes a state after an epoch or tree: its number, and what goes into the checkpoint."""

History = list[dict[str, Any]]
"""An account of each epoch or tree."""

Fit = Callable[[Any, Frame, Session, Save, Mapping[str, Any] | None], History]
"""Trains an estimator: estimator, frame, session, save, the state to go on from."""


def _fit_linear(
    estimator: Any, frame: Frame, session: Session, save: Save, resume: Mapping[str, Any] | None
) -> History:
    from crypsis.mpc.learning.linear.state import State

    def checkpoint(state: State) -> None:
        save(state.epoch, state.to_body())

    states = () if resume is None else (State.from_body(resume),)
    estimator.fit(frame, session=session, checkpoint=checkpoint, resume=states)
    return [dict(row) for row in estimator.history_]


def _check_linear(estimator: Any) -> None:
    estimator._options(1)


def _fit_boosting(
    estimator: Any, frame: Frame, session: Session, save: Save, resume: Mapping[str, Any] | None
) -> History:
    before: History = [] if resume is None else list(resume["history"])
    part = None
    if resume is not None:
        kept = ("kind", "role", "party", "job", "body")
        part = ModelPart(**{name: resume[name] for name in kept})

    def callback(now: Any) -> None:
        found = now.part()
        save(
            now.n_rounds_,
            {
                "kind": found.kind,
                "role": found.role,
                "party": found.party,
                "job": found.job,
                "body": dict(found.body),
                "history": before + list(now.history_),
            },
        )

    estimator.fit(frame, session=session, callback=callback, resume=part)
    return before + list(estimator.history_)


def _check_boosting(estimator: Any) -> None:
    estimator._plan()


@dataclass(frozen=True)
class Entry:
    """Where an estimator is, which labels it takes, what a step of it is, and what it rests on and tells.

    takes_missing: whether missing values are its own business. fit: how its checkpoints are taken and given back.
    check: raises ConfigError for parameters that its `fit` would refuse.
    """

    module: str
    name: str
    labels: Labels
    unit: str
    takes_missing: bool
    assumes: str
    leaks: tuple[tuple[str, str], ...]
    fit: Fit
    check: Callable[[Any], None]

    def load(self) -> Any:
        """The class."""
        return getattr(importlib.import_module(self.module), self.name)


_LINEAR_ASSUMES = (
    "semi-honest parties; the scheme's own assumption, and ring learning with errors where products are packed (BGV);"
    " additive shares modulo 2^128"
)
_LINEAR_LEAKS = (
    ("guest", "the host's part of each linear score, of the rows that are scored"),
    ("host", "nothing of labels, features or gradients; its own weights, when the training ends"),
    (
        "both",
        "rows, the numbers of columns, epochs and batches, and the loss of each epoch where tol asks for it",
    ),
)
_BOOSTING_ASSUMES = "semi-honest parties; the scheme's own assumption"
_BOOSTING_LEAKS = (
    (
        "guest",
        "sums of gradients of each bin of the host's features, features and bins without names; which side of a "
        "host's split each row goes to",
    ),
    ("host", "which of its splits were taken, in which order of nodes, and which rows reach these nodes"),
    ("both", "rows, numbers of features and bins, trees and their shape"),
)

_LINEAR = "crypsis.mpc.learning.linear"
_BOOSTING = "crypsis.mpc.learning.boosting"
_OWN_PARAMETERS = ("role", "seed", "base_score")
"""Of which the other party need not know."""


def _linear(name: str, labels: Labels) -> Entry:
    return Entry(
        _LINEAR, name, labels, "epoch", False, _LINEAR_ASSUMES, _LINEAR_LEAKS, _fit_linear, _check_linear
    )


def _boosting(name: str, labels: Labels) -> Entry:
    return Entry(
        _BOOSTING,
        name,
        labels,
        "tree",
        True,
        _BOOSTING_ASSUMES,
        _BOOSTING_LEAKS,
        _fit_boosting,
        _check_boosting,
    )


_ENTRIES: dict[str, Entry] = {
    "logistic-regression": _linear("LogisticRegression", "binary"),
    "linear-regression": _linear("LinearRegression", "numbers"),
    "gradient-boosting": _boosting("GradientBoostingClassifier", "classes"),
    "gradient-boosting-regression": _boosting("GradientBoostingRegressor", "numbers"),
}


def entry(algorithm: str) -> Entry:
    """Of an algorithm by name. ConfigError for a name that is not known."""
    if algorithm not in _ENTRIES:
        raise ConfigError(f"algorithm is {algorithm!r}; give one of {', '.join(get_args(Algorithm))}")
    return _ENTRIES[algorithm]


def make(algorithm: str, role: str, parameters: Mapping[str, Any]) -> Any:
    """The estimator of a party. ConfigError naming the parameter that is not known, or will not do."""
    kind = entry(algorithm).load()
    known = [name for name in kind(role=role).get_params() if name != "role"]
    for name in parameters:
        if name not in known:
            raise ConfigError(
                f"parameters.{name}: {algorithm} has no such parameter; it has {', '.join(known)}"
            )
    try:
        made = kind(role=role, **parameters)
        entry(algorithm).check(made)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"parameters: {error}") from error
    return made


def check_parameters(algorithm: str, role: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that both must have the same, those that are not given with their defaults, as JSON values.
    ConfigError as `make`."""
    given = make(algorithm, role, parameters).get_params()
    found = {name: value for name, value in given.items() if name not in _OWN_PARAMETERS}
    try:
        plain: dict[str, Any] = json.loads(json.dumps(found))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"parameters: {error}; give numbers, texts, true and false, and lists of them"
        ) from error
    return plain


def from_part(algorithm: Entry, part: ModelPart) -> Any:
    """The trained estimator of a party. CorruptData for a part that is not as the algorithm writes it."""
    return algorithm.load().from_part(part)


def part_of(estimator: Any) -> ModelPart:
    """A party's part of what was trained."""
    part: ModelPart = estimator.part() if hasattr(estimator, "part") else estimator.to_part()
    return part


def labels_of(algorithm: str, parameters: Mapping[str, Any]) -> Labels:
    """Which labels an algorithm takes with these parameters."""
    labels = entry(algorithm).labels
    return "binary" if labels == "classes" and parameters.get("n_classes", 2) == 2 else labels


def importance_of(estimator: Any) -> ImportanceTable | None:
    """What the guest can say of the weight of all parties' features; None where the algorithm tells it nothing."""
    found: ImportanceTable | None = estimator.importance() if hasattr(estimator, "importance") else None
    return found
