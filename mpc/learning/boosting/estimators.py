# SPDX-License-Identifier: Apache-2.0
"""`GradientBoostingClassifier` and `GradientBoostingRegressor`: every party runs the same lines with its role.

    model = GradientBoostingClassifier(role="guest", n_estimators=20, max_depth=4)
    model.fit(frame, session=session)                   # at the host: role="host", its own frame and session
    model.predict_proba(frame, session=session)         # the guest gets probabilities, a host None

Security is semi-honest. What each party learns stands in `histograms`, `host`, `sampling` and `routing`, and together
in docs/learning-boosting.md. The hosts' channels of a session are told apart by the parties' names, and a model is
used with the same hosts as it was trained with.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.learning.boosting import losses, routing, training
from crypsis.mpc.learning.boosting.bins import Bins, quantile_bins
from crypsis.mpc.learning.boosting.losses import Floats, Loss
from crypsis.mpc.learning.boosting.model import KIND, GuestPart, Part, part_from_json
from crypsis.mpc.learning.boosting.sampling import Sampling
from crypsis.mpc.learning.boosting.splits import TreeOptions
from crypsis.mpc.learning.boosting.training import Metric, Plan
from crypsis.mpc.learning.evaluation.importance import ImportanceTable, Split, tree_importance
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import hear_refusal

Role = Literal["guest", "host"]
_OWN = ("role", "seed", "base_score")
"""Parameters of which the other party need not know."""


class _GradientBoosting:
    """What both estimators share. All hyper-parameters but role, seed and base_score must be the same at all parties.

    n_estimators           rounds: a tree each, or one for each class of more than two
    learning_rate          of leaf values
    max_depth, max_leaves, reg_lambda, gamma, min_child_weight    as in xgboost (`splits`); max_leaves 0: no limit
    max_bins               of a numeric feature
    subsample, top_rate, other_rate    rows of a round (`sampling`)
    early_stopping_rounds  0 for none; metric: "loss", or for two classes "auc", "ks"; of the validation rows
    precision_bits         of gradients, 8 to 30
    seed                   of the sampling, at the guest; base_score: the score before the first tree (log-odds)
    """

    _loss: ClassVar[Loss]

    def __init__(
        self,
        role: Role,
        *,
        n_estimators: int = 100,
        learning_rate: float = 0.3,
        max_depth: int = 6,
        max_leaves: int = 0,
        reg_lambda: float = 1.0,
        gamma: float = 0.0,
        min_child_weight: float = 1.0,
        max_bins: int = 32,
        subsample: float = 1.0,
        top_rate: float = 0.0,
        other_rate: float = 0.0,
        early_stopping_rounds: int = 0,
        metric: Metric = "loss",
        precision_bits: int = 22,
        seed: int | None = None,
        base_score: float | None = None,
    ) -> None:
        self.role = role
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.reg_lambda = reg_lambda
        self.gamma = gamma
        self.min_child_weight = min_child_weight
        self.max_bins = max_bins
        self.subsample = subsample
        self.top_rate = top_rate
        self.other_rate = other_rate
        self.early_stopping_rounds = early_stopping_rounds
        self.metric = metric
        self.precision_bits = precision_bits
        self.seed = seed
        self.base_score = base_score
        self._part: Part | None = None
        self._party = ""
        self.history_: list[dict[str, Any]] = []
        self.skipped_features_: tuple[str, ...] = ()

    # scikit-learn's manners.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(_GradientBoosting.__init__).parameters)[1:]

    def set_params(self, **params: Any) -> Self:
        """Changes hyper-parameters. ValueError for a name that is none."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"there is no parameter {name!r}: {', '.join(known)}")
            setattr(self, name, value)
        return self

    # Training.

    def _plan(self) -> Plan:
        if self.role not in ("guest", "host"):
            raise ConfigError(f"role is {self.role!r}; give guest (who has the labels) or host")
        return Plan(
            loss=self._loss_name(),
            n_estimators=self.n_estimators,
            learning_rate=self.learning_rate,
            tree=TreeOptions(
                max_depth=self.max_depth,
                max_leaves=self.max_leaves,
                reg_lambda=self.reg_lambda,
                gamma=self.gamma,
                min_child_weight=self.min_child_weight,
            ),
            sampling=Sampling(subsample=self.subsample, top_rate=self.top_rate, other_rate=self.other_rate),
            precision_bits=self.precision_bits,
            early_stopping_rounds=self.early_stopping_rounds,
            metric=self.metric,
        )

    def _loss_name(self) -> Loss:
        return self._loss

    def _n_outputs(self) -> int:
        return 1

    def fit(
        self,
        frame: Frame,
        y: Any = None,
        *,
        session: Session,
        validation: Frame | None = None,
        bins: Bins | None = None,
        callback: Callable[[Self], None] | None = None,
        resume: ModelPart | None = None,
    ) -> Self:
        """Trains with the peers of the session.

        frame: own columns of the common rows; at the guest with labels, or these as `y`. validation: other rows, at
        every party or none. bins: of own features, instead of quantiles. callback: called after each round with this
        estimator, of which `part()` is what a checkpoint keeps. resume: such a part; all parties give one (or all do
        not) and go on from the last round that all have.

        Raises ConfigError where the parties' parameters differ, DataError for rows that do not line up and for labels
        that are no class, ProtocolAbort for a peer that does not keep to the protocol.
        """
        with session.ending_together():
            plan = self._plan()
            if session.role != self.role:
                raise ConfigError(
                    f"the estimator is the {self.role}'s, the session the {session.role}'s: give one role"
                )
            if y is not None:
                frame = Frame(
                    frame.names, frame.values, np.asarray(y, np.float64), frame.ids, frame.categories
                )
            self._agree(session, "boosting", validation is not None, resume is not None)
            session.check_ids(frame)
            if validation is not None:
                session.check_ids(validation)
            own_bins = bins if bins is not None else quantile_bins(frame, self.max_bins)
            self.skipped_features_, self._party, self.history_ = own_bins.skipped, session.party, []

            def after_round(told: dict[str, Any]) -> None:
                self.history_.append(told)
                if callback is not None:
                    callback(self)

            used = frame.select([feature.name for feature in own_bins.features])
            given = None if resume is None else self._given(resume, used)
            if self.role == "host":
                host = given if given is not None else self._new_part(plan, used)
                self._part = host
                training.fit_host(session, host, own_bins, frame, validation, plan, after_round)
                return self
            self._check_labels(frame, validation)
            guest = given
            if guest is None:
                guest = training.new_guest_part(
                    session, plan, self._kept_params(), used, self._n_outputs(), self.seed, self.base_score
                )
            if not isinstance(guest, GuestPart) or guest.hosts != session.peers:
                raise ConfigError(
                    f"the part to go on from is not of a guest with hosts {', '.join(session.peers)}"
                )
            self._part = guest
            training.fit_guest(session, guest, own_bins, frame, validation, plan, after_round)
        return self

    def _agree(self, session: Session, what: str, validation: bool, resumed: bool) -> None:
        params = {name: value for name, value in self.get_params().items() if name not in _OWN}
        session.agree(
            what, {"model": type(self).__name__, **params, "validation": validation, "resumed": resumed}
        )

    def _kept_params(self) -> dict[str, Any]:
        return {name: value for name, value in self.get_params().items() if name != "role"}

    def _new_part(self, plan: Plan, frame: Frame) -> Part:
        return Part(
            job="",
            loss=plan.loss,
            n_outputs=self._n_outputs(),
            params=self._kept_params(),
            names=frame.names,
            categories=dict(frame.categories),
        )

    def _given(self, resume: ModelPart, used: Frame) -> Part:
        part = self._read(resume)
        changed = [
            name
            for name, value in self._kept_params().items()
            if name not in ("n_estimators", "early_stopping_rounds") and part.params.get(name) != value
        ]
        if changed:
            text = (
                f"the part to go on from was trained with another {changed[0]}: {part.params.get(changed[0])!r}, now"
                f" {getattr(self, changed[0])!r}; give the same"
            )
            # What a ConfigError says the peers hear too: not of parameters that are this party's own.
            raise DataError(text) if changed[0] in _OWN else ConfigError(text)
        if part.names != used.names or part.categories != dict(used.categories):
            raise DataError(
                "the part to go on from was trained on other columns or categories than these that a tree can split,"
                f" {', '.join(map(repr, used.names))}: give the same table"
            )
        return part

    def _check_labels(self, frame: Frame, validation: Frame | None) -> None:
        for given in (frame, validation):
            if given is None:
                continue
            if given.labels is None:
                raise ConfigError("the guest's frame has no labels: name their column, or give y")
            losses.check_labels(self._loss_name(), given.labels, self._n_classes())

    def _n_classes(self) -> int:
        return 2

    # Scores.

    def decision_function(self, frame: Frame, *, session: Session) -> Floats | None:
        """The scores of the rows, float64[rows] or [rows, classes]; None at a host. Both parties call it."""
        part = self._fitted()
        with session.ending_together():
            session.agree("boosting predict", {"job": part.job, "rounds": part.n_rounds})
            session.check_ids(frame)
            rows = self._columns(session, part, frame)
            if not isinstance(part, GuestPart):
                routing.answer(session, part, rows)
                return None
            if part.hosts != session.peers:
                raise ConfigError(
                    f"the model was trained with hosts {', '.join(part.hosts)}, the session has"
                    f" {', '.join(session.peers)}: give the same"
                )
            found = routing.scores(session, part, rows)
        return found[:, 0] if part.n_outputs == 1 else found

    def _columns(self, session: Session, part: Part, frame: Frame) -> Frame:
        """The model's columns; DataError at all parties where one lacks some, without their names at the others."""
        error, rows = None, None
        try:
            rows, _ = frame.as_trained(part.names, part.categories)
        except DataError as found:
            error = found
        for peer in session.peers:
            session.tell(peer, "boosting columns", ready=error is None)
        lacking = [
            peer for peer in session.peers if session.hear(peer, "boosting columns").get("ready") is not True
        ]
        failed = error is not None or bool(lacking)
        if session.role == "guest":
            for peer in session.peers:
                session.tell(peer, "boosting columns", ready=not failed)
        elif session.hear(session.peer, "boosting columns").get("ready") is not True:
            failed = True
        if failed:
            for peer in session.peers:
                hear_refusal(session.channel(peer))
        if error is not None:
            raise error
        if failed or rows is None:
            raise DataError(
                f"{', '.join(lacking) or 'another host'} lacks columns that the model was trained with, or has them"
                " with another type; its own message names them"
            )
        return rows

    def _fitted(self) -> Part:
        if self._part is None:
            raise ConfigError("the model is not trained yet: call fit, or load a part")
        return self._part

    # What a model is made of.

    @property
    def n_rounds_(self) -> int:
        """Rounds of trees in the model."""
        return self._fitted().n_rounds

    @property
    def job_(self) -> str:
        """The random name that all parts of this model share."""
        return self._fitted().job

    def importance(self, *, method: Literal["gain", "split", "cover"] = "gain") -> ImportanceTable:
        """Of features. The guest knows its own features by name and what each host's have together ("all features"); a
        host knows only how often its own are split on: method="split"."""
        part = self._fitted()
        if not isinstance(part, GuestPart):
            if method != "split":
                raise ConfigError(
                    f"a host knows no gain or cover: its importance is by method='split', not {method!r}"
                )
            splits = [Split(self._party, record.feature, 0.0, 0.0) for record in part.records]
            return tree_importance(splits, method=method)
        owners = (self._party, *part.hosts)
        splits = []
        for tree in (tree for trees in part.rounds for tree in trees):
            for node in np.flatnonzero(tree.owner >= 0):
                owner = int(tree.owner[node])
                name = part.records[tree.record[node]].feature if owner == 0 else "all features"
                splits.append(Split(owners[owner], name, float(tree.gain[node]), float(tree.cover[node])))
        return tree_importance(splits, method=method)

    @property
    def feature_importances_(self) -> Floats:
        """Of the own features in the order of the columns used, float64[features], with a sum of 1 or 0: by gain at
        the guest, by splits at a host."""
        part = self._fitted()
        table = self.importance(method="gain" if isinstance(part, GuestPart) else "split")
        own = {row.feature: row.value for row in table.rows if row.owner == self._party}
        values = np.array([own.get(name, 0.0) for name in part.names])
        return values / values.sum() if values.sum() > 0 else values

    # Files.

    def part(self) -> ModelPart:
        """This party's part of the model, as it is now."""
        part = self._fitted()
        body = part.to_json() | {"estimator": type(self).__name__}
        return ModelPart(kind=KIND, role=self.role, party=self._party, job=part.job, body=body)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes `part()` to a file."""
        self.part().save(path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, role: Role | None = None) -> Self:
        """The estimator of a file that `save` wrote, ready for prediction or as `resume`."""
        return cls.from_part(ModelPart.load(path, kind=KIND, role=role))

    @classmethod
    def from_part(cls, given: ModelPart) -> Self:
        """The same of a part. DataError for one of another kind."""
        params = given.body.get("params")
        known = set(cls._names()) - {"role"}
        usable = (
            {name: value for name, value in params.items() if name in known}
            if isinstance(params, Mapping)
            else {}
        )
        model = cls(given.role, **usable)
        model._part, model._party = model._read(given), given.party
        return model

    def _read(self, given: ModelPart) -> Part:
        if given.kind != KIND or given.body.get("estimator") != type(self).__name__:
            raise DataError(
                f"the part is of {str(given.body.get('estimator', given.kind))[:40]!r}, not of {type(self).__name__}"
            )
        if given.role != self.role:
            raise DataError(f"the part is the {given.role}'s, and this is the {self.role}")
        return part_from_json(given.job, given.role, given.body)


class GradientBoostingClassifier(_GradientBoosting):
    """Classes 0 to n_classes - 1: two by log-loss, more by softmax with a tree a class and round."""

    def __init__(self, role: Role, *, n_classes: int = 2, **params: Any) -> None:
        super().__init__(role, **params)
        self.n_classes = n_classes

    @classmethod
    def _names(cls) -> list[str]:
        return [*super()._names(), "n_classes"]

    def _loss_name(self) -> Loss:
        if type(self.n_classes) is not int or not 2 <= self.n_classes <= 1000:
            raise ConfigError(f"n_classes is {self.n_classes!r}: give 2 to 1000")
        return "logistic" if self.n_classes == 2 else "softmax"

    def _n_outputs(self) -> int:
        return 1 if self.n_classes == 2 else self.n_classes

    def _n_classes(self) -> int:
        return self.n_classes

    def predict_proba(self, frame: Frame, *, session: Session) -> Floats | None:
        """float64[rows, classes] at the guest, None at a host. Both parties call it."""
        scores = self.decision_function(frame, session=session)
        if scores is None:
            return None
        if scores.ndim == 2:
            return losses.softmax(scores)
        p = losses.sigmoid(scores)
        return np.stack([1.0 - p, p], axis=1)

    def predict(self, frame: Frame, *, session: Session) -> Any:
        """The most probable class of each row, int64[rows], at the guest; None at a host."""
        found = self.predict_proba(frame, session=session)
        return None if found is None else found.argmax(axis=1)


class GradientBoostingRegressor(_GradientBoosting):
    """Numbers, by squared error."""

    _loss: ClassVar[Loss] = "squared"

    def predict(self, frame: Frame, *, session: Session) -> Floats | None:
        """float64[rows] at the guest, None at a host. Both parties call it."""
        return self.decision_function(frame, session=session)
