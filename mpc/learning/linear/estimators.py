# SPDX-License-Identifier: Apache-2.0
"""`LogisticRegression` and `LinearRegression` of two parties, in scikit-learn's manners.

    model = LogisticRegression(role="guest", C=0.1).fit(frame, session=session)     # the guest, with labels
    model = LogisticRegression(role="host", C=0.1).fit(frame, session=session)      # the host, the same options
    scores = model.predict_proba(frame, session=session)                            # both call it; the guest gets it

Columns are standardised by their owner: (x - mean) / standard deviation, clipped at +-`clip`, with 10 bits of fraction.
What training tells whom stands in `regression`, and of prediction this: **the guest learns, for every row, the host's
part of the score**, X_host w_host. It follows from the score, which the guest is to get, and its own part: no masking
could hide it. With one column that is the column itself, up to scale. The host learns nothing, or with
`share_result=True` the scores, and so the guest's part of each.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning.evaluation.importance import ImportanceTable, linear_importance, merged
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.linear import regression
from crypsis.mpc.learning.linear.engine import Choice
from crypsis.mpc.learning.linear.scaling import Scaling
from crypsis.mpc.learning.linear.state import MAX_L2, Options, State
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.session import Role, Session

Floats = npt.NDArray[np.float64]


class _LinearModel:
    """What both models share. Parameters are kept as given and checked by `fit`, as scikit-learn's are."""

    kind: ClassVar[str]
    role: Role
    coef_: Floats
    intercept_: float
    n_iter_: int
    history_: tuple[Any, ...]
    feature_names_: tuple[str, ...]
    clipped_: int
    clip: float
    fit_intercept: bool
    label_mean_: float = 0.0
    label_scale_: float = 1.0
    products_: str
    job_: str
    party_: str
    _scaling: Scaling
    _peer_deviation: tuple[str, float] | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in _parameters(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Sets parameters. ValueError for a name that is none."""
        for name, value in params.items():
            if name not in _parameters(type(self)):
                raise ValueError(
                    f"{name!r} is no parameter of {type(self).__name__}; there are {', '.join(_parameters(type(self)))}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    # What the two models do differently.

    def _options(self, rows: int) -> Options:
        raise NotImplementedError

    def _targets(self, labels: Floats) -> Floats:
        """What is trained for, of the guest's labels."""
        raise NotImplementedError

    def _public(self) -> dict[str, Any]:
        """What both parties must give the same. Checked before."""
        given = {name: value for name, value in self.get_params().items() if name != "role"}
        return given | {"fit_intercept": bool(self.fit_intercept)}

    # Training.

    def fit(
        self,
        frame: Any,
        y: Any = None,
        *,
        session: Session,
        checkpoint: Callable[[State], None] | None = None,
        resume: Sequence[State] = (),
    ) -> Self:
        """Trains with the peer, which calls its own `fit`.

        frame: a `Frame`, with labels at the guest, or an array [rows, columns] with `y`. Rows and their order are the
        same at both; ids are compared. checkpoint: called with a `State` after each epoch. resume: such states.
        DataError naming a column that is constant or has missing values; ConfigError for parameters that differ.
        """
        with session.ending_together():
            if self.role != session.role:
                raise ConfigError(
                    f"role is {self.role!r} here and {session.role!r} in the session; give the same"
                )
            given = _frame_of(frame, y)
            targets = self._own_labels(given)
            self._scaling, scaled, self.clipped_ = Scaling.fit(given, self.clip)
            options = self._options(len(given))
            session.agree(self.kind, self._public())
            session.check_ids(given)
            trained = regression.train(
                session, scaled, targets, options, checkpoint=checkpoint, resume=resume
            )
        weights = trained.weights
        guest = self.role == "guest"
        own = weights[: len(self._scaling.names)]
        self.coef_ = own
        self.intercept_ = float(weights[-1]) if guest and options.fit_intercept else 0.0
        self.feature_names_ = self._scaling.names
        self.n_iter_, self.history_ = trained.n_iter, trained.history
        self.products_ = trained.products
        self.job_, self.party_ = trained.run, session.party
        return self

    def _own_labels(self, frame: Frame) -> Floats | None:
        if self.role == "host":
            if frame.labels is not None:
                raise DataError("the host's table has labels; they are the guest's: leave them out here")
            return None
        if frame.labels is None:
            raise DataError("the guest's table has no labels; name their column, or give y")
        return self._targets(frame.labels)

    # Prediction.

    def decision_function(self, frame: Any, *, session: Session, share_result: bool = False) -> Floats | None:
        """Scores of rows, at the guest, and with `share_result` at the host too, which else gets None."""
        self._check_fitted()
        with session.ending_together():
            if self.role != session.role:
                raise ConfigError(f"this is the {self.role}'s part, the session is the {session.role}'s")
            given = _frame_of(frame, None)
            part = self._scaling.apply(given) @ self.coef_ + self.intercept_
            session.agree("predict", {"kind": self.kind, "job": self.job_, "share_result": share_result})
            session.check_ids(given)
            if self.role == "host":
                session.send_array(session.peer, part)
                return self._scores(session, len(part)) if share_result else None
            theirs = self._scores(session, len(part))
            self._peer_deviation = (session.peer, float(theirs.std()) if len(theirs) else 0.0)
            total = self.label_mean_ + self.label_scale_ * (part + theirs)
            if share_result:
                session.send_array(session.peer, total)
            return total

    @staticmethod
    def _scores(session: Session, n: int) -> Floats:
        scores: Floats = session.receive_array(session.peer, np.float64, (n,))
        if not np.isfinite(scores).all():
            raise ProtocolAbort(f"{session.peer} sent scores that are not finite; ended")
        return scores

    def importance(self) -> ImportanceTable:
        """|coefficient| of one's own standardised columns: what one standard deviation of each moves the score. At the
        guest, once rows were scored, beside them the standard deviation of the host's part over these rows, as
        "all features": the guest knows no more of the host's columns."""
        self._check_fitted()
        tables = []
        if self.feature_names_:
            ones = np.ones(len(self.feature_names_))
            tables.append(linear_importance(self.party_, self.feature_names_, self.coef_, ones))
        if self._peer_deviation is not None:
            peer, deviation = self._peer_deviation
            tables.append(linear_importance(peer, ["all features"], np.ones(1), np.array([deviation])))
        return merged(tables) if tables else ImportanceTable("coefficient", ())

    # Files.

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes this party's part of the model: its own coefficients and scaling, readable by the owner only."""
        self.to_part().save(path, overwrite=overwrite)

    def to_part(self) -> ModelPart:
        """This party's part."""
        self._check_fitted()
        body = {
            "parameters": {name: value for name, value in self.get_params().items() if name != "role"},
            "coef": self.coef_.tolist(),
            "intercept": self.intercept_,
            "n_iter": self.n_iter_,
            "scaling": self._scaling.to_body(),
            "labels": [self.label_mean_, self.label_scale_],
            "history": [dict(entry) for entry in self.history_],
        }
        return ModelPart(kind=self.kind, role=self.role, party=self.party_, job=self.job_, body=body)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote. CorruptData, or DataError for a part of another kind."""
        return cls.from_part(ModelPart.load(path, kind=cls.kind), where=os.fspath(path))

    @classmethod
    def from_part(cls, part: ModelPart, *, where: str = "the model") -> Self:
        """Of a part. CorruptData where its body is none of this kind."""
        body = part.body
        try:
            model = cls(role=part.role, **body["parameters"])  # type: ignore[call-arg]
            model.coef_ = np.array(body["coef"], dtype=np.float64)
            model.intercept_ = float(body["intercept"])
            model.n_iter_ = int(body["n_iter"])
            model._scaling = Scaling.from_body(body["scaling"])
            model.label_mean_, model.label_scale_ = (float(value) for value in body["labels"])
            model.history_ = tuple(body["history"])
            right = model.coef_.shape == (len(model._scaling.names),) and np.isfinite(model.coef_).all()
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptData(
                f"{where}: is no complete {cls.kind} model; take the file that training wrote"
            ) from error
        if not right or not np.isfinite(model.intercept_):
            raise CorruptData(
                f"{where}: coefficients and columns do not fit; take the file that training wrote"
            )
        model.feature_names_ = model._scaling.names
        model.job_, model.party_ = part.job, part.party
        model.clipped_ = 0
        return model

    def _check_fitted(self) -> None:
        if not hasattr(self, "job_"):
            raise ValueError(f"this {type(self).__name__} is not trained: call fit, or load a model")


class LogisticRegression(_LinearModel):
    """Logistic regression with an L2 penalty: scikit-learn's objective, sum of log losses + |w|^2 / (2 C), on columns
    standardised by their owners.

    role           "guest" (labels 0 and 1) or "host"; everything else must be the same at both
    C              inverse strength of the penalty; the intercept is not penalised
    sigmoid        "linear", "degree5" (error 0.041 on [-8, 8]) or "degree9" (0.030 on [-12, 12]): see `sigmoid`. The
                   optimum is that of the polynomial, close to scikit-learn's where scores stay in its interval: take C
                   small enough. Costs per row grow by that order
    clip           standardised values beyond are set to this, at most 31
    learning_rate, decay, momentum, batch_size, max_epochs, tol, patience, products     see `state.Options`

    After `fit`: coef_ (of own columns, standardised), intercept_ (0 at the host), n_iter_, history_ (an account of each
    epoch), feature_names_, clipped_ (how many values were), products_ (what took them), job_.
    """

    kind = "logistic-regression"

    def __init__(
        self,
        *,
        role: Role,
        C: float = 1.0,  # noqa: N803  (scikit-learn's name)
        fit_intercept: bool = True,
        sigmoid: str = "degree5",
        clip: float = 8.0,
        learning_rate: float | None = None,
        decay: float = 0.0,
        momentum: float = 0.7,
        batch_size: int = 4096,
        max_epochs: int = 20,
        tol: float | None = 1e-5,
        patience: int = 3,
        products: Choice = "auto",
    ) -> None:
        self.role: Role = role
        self.C = C
        self.fit_intercept = fit_intercept
        self.sigmoid = sigmoid
        self.clip = clip
        self.learning_rate = learning_rate
        self.decay = decay
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.tol = tol
        self.patience = patience
        self.products: Choice = products

    def _options(self, rows: int) -> Options:
        if not isinstance(self.C, int | float) or not self.C > 0:
            raise ConfigError(f"C is {self.C!r}; give a positive number")
        if self.sigmoid == "identity":
            raise ConfigError("sigmoid is 'identity', which is linear regression; take LinearRegression")
        if self.C * rows < 1 / MAX_L2:
            raise ConfigError(f"C is {self.C!r}; give {1 / (MAX_L2 * rows):g} or more for {rows} rows")
        return Options(link=self.sigmoid, l2=1 / (self.C * rows), **_common(self))

    def _targets(self, labels: Floats) -> Floats:
        wrong = ~np.isin(labels, (0.0, 1.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"the label of row {row} is {labels[row]:g}; labels are 0 and 1: map them so")
        if labels.min(initial=1.0) == labels.max(initial=0.0) or not len(labels):
            raise DataError("the labels are all the same; a model needs rows of both kinds")
        return labels

    def predict_proba(self, frame: Any, *, session: Session, share_result: bool = False) -> Floats | None:
        """Probabilities of 0 and of 1, float64[rows, 2], by the true logistic function, where scores are told."""
        scores = self.decision_function(frame, session=session, share_result=share_result)
        if scores is None:
            return None
        one = 0.5 * (1 + np.tanh(scores / 2))
        return np.stack([1 - one, one], axis=1)

    def predict(
        self, frame: Any, *, session: Session, share_result: bool = False
    ) -> npt.NDArray[np.int64] | None:
        """0 or 1 for each row, where scores are told."""
        scores = self.decision_function(frame, session=session, share_result=share_result)
        return None if scores is None else (scores > 0).astype(np.int64)


class LinearRegression(_LinearModel):
    """Least squares with an L2 penalty: scikit-learn's `Ridge`, sum of squares + alpha |w|^2, on columns standardised
    by their owners.

    alpha: strength of the penalty, 0 for none. The other parameters are `LogisticRegression`'s; by default it trains
    until the loss rests, 100 epochs at most. Labels may be any finite numbers. The guest standardises them too, so
    `coef_` and `intercept_` are in their standard deviations, which only the guest knows (`label_mean_`,
    `label_scale_`); predictions are in the labels' own units.
    """

    kind = "linear-regression"

    def __init__(
        self,
        *,
        role: Role,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        clip: float = 8.0,
        learning_rate: float | None = None,
        decay: float = 0.0,
        momentum: float = 0.9,
        batch_size: int = 4096,
        max_epochs: int = 100,
        tol: float | None = 1e-6,
        patience: int = 3,
        products: Choice = "auto",
    ) -> None:
        self.role: Role = role
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.clip = clip
        self.learning_rate = learning_rate
        self.decay = decay
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.tol = tol
        self.patience = patience
        self.products: Choice = products

    def _options(self, rows: int) -> Options:
        if not isinstance(self.alpha, int | float) or not self.alpha >= 0:
            raise ConfigError(f"alpha is {self.alpha!r}; give a number from 0")
        if self.alpha > MAX_L2 * max(1, rows):
            raise ConfigError(f"alpha is {self.alpha!r}; give {MAX_L2 * rows:g} at most for {rows} rows")
        return Options(link="identity", l2=self.alpha / max(1, rows), **_common(self))

    def _targets(self, labels: Floats) -> Floats:
        offset = float(labels.mean()) if self.fit_intercept and len(labels) else 0.0
        scale = float(np.sqrt(np.square(labels - offset).mean())) if len(labels) else 0.0
        if not scale > 0 or not np.isfinite(scale):
            raise DataError("the labels are all the same; a model needs labels that differ")
        self.label_mean_, self.label_scale_ = offset, scale
        return (labels - offset) / scale

    def predict(self, frame: Any, *, session: Session, share_result: bool = False) -> Floats | None:
        """The estimate of each row, where scores are told."""
        return self.decision_function(frame, session=session, share_result=share_result)


def _parameters(model: type) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(model).parameters)


def _common(model: Any) -> dict[str, Any]:
    names = ("learning_rate", "decay", "momentum", "batch_size", "max_epochs", "tol", "patience", "products")
    clip = float(model.clip) if isinstance(model.clip, int | float) else model.clip
    public = {"fit_intercept": bool(model.fit_intercept), "clip": clip}
    return public | {name: getattr(model, name) for name in names}


def _frame_of(frame: Any, y: Any) -> Frame:
    if isinstance(frame, Frame):
        if y is not None:
            raise ValueError("y is given beside a frame: labels of a frame are in it")
        return frame
    return Frame.from_numpy(frame, y)
