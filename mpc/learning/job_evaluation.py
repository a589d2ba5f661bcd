# SPDX-License-Identifier: Apache-2.0
"""What the guest finds out about a model at the end of its training: metrics, and the report for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import BackendUnavailable, ProtocolAbort
from crypsis.mpc.learning import evaluation
from crypsis.mpc.learning.algorithms import Entry
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import count_field

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """At the guest: metrics by name, as JSON values; labels and scores of the rows evaluated, and scores of those
    trained on."""

    metrics: dict[str, Any]
    labels: Floats
    scores: Floats
    train_scores: Floats


def score(
    estimator: Any, frame: Frame, session: Session, algorithm: Entry, *, share_result: bool = False
) -> Any:
    """Scores of the rows, jointly: float64[rows], or [rows, classes] of a classifier with more than two; None at a host
    that does not get them."""
    if algorithm.labels == "numbers":
        found = estimator.predict(frame, session=session)
    else:
        found = estimator.predict_proba(frame, session=session)
    scores = None
    if found is not None:
        array = np.asarray(found, dtype=np.float64)
        scores = array[:, 1] if array.ndim == 2 and array.shape[1] == 2 else array
    return _shared(scores, len(frame), session) if share_result else scores


def _shared(scores: Any, n_rows: int, session: Session) -> Floats:
    """The guest's scores at both."""
    if session.role == "guest":
        session.tell(session.peer, "scores", classes=scores.shape[1] if scores.ndim == 2 else 0)
        session.send_array(session.peer, scores)
        told: Floats = scores
        return told
    classes = count_field(session.hear(session.peer, "scores"), "classes", 1000)
    shape = (n_rows, classes) if classes else (n_rows,)
    received: Floats = session.receive_array(session.peer, np.float64, shape)
    if not np.isfinite(received).all():
        raise ProtocolAbort(f"{session.peer} sent scores that are not finite; ended")
    return received


def evaluate(
    estimator: Any, train: Frame, held: Frame | None, session: Session, algorithm: Entry
) -> Evaluation | None:
    """Scores the rows held out (None: there are none) and then those trained on, together with the peer; None at a
    host. A linear model's importance of the peer's columns is of the rows scored last."""
    held_scores = score(estimator, held, session, algorithm) if held is not None else None
    train_scores = score(estimator, train, session, algorithm)
    if held_scores is None:
        held_scores = train_scores
    rows = train if held is None else held
    if session.role == "host" or rows.labels is None or train.labels is None:
        return None
    metrics = {
        "evaluated_on": "rows trained on" if held is None else "rows held out",
        **_metrics(rows.labels, held_scores, algorithm),
    }
    if held is not None:
        metrics["on_rows_trained_on"] = _metrics(train.labels, train_scores, algorithm)
    return Evaluation(metrics=metrics, labels=rows.labels, scores=held_scores, train_scores=train_scores)


def _metrics(labels: Floats, scores: Floats, algorithm: Entry) -> dict[str, Any]:
    if algorithm.labels == "numbers":
        found = evaluation.regression_metrics(labels, scores)
        return {name: float(getattr(found, name)) for name in ("mae", "rmse", "r2")}
    if scores.ndim == 2:
        classes = evaluation.multiclass_metrics(labels.astype(np.int64), scores)
        return {"accuracy": float(classes.accuracy), "macro_auc": float(classes.macro_auc)}
    if len(np.unique(labels)) < 2:
        return {"remark": "the rows evaluated have labels of one class only: nothing to rank"}
    statistic = evaluation.ks(labels, scores)
    return {
        "auc": evaluation.auc(labels, scores),
        "ks": statistic.statistic,
        "ks_threshold": statistic.threshold,
        "log_loss": evaluation.log_loss(labels, scores),
        "brier_score": evaluation.brier_score(labels, scores),
    }


def can_report(found: Evaluation | None) -> bool:
    """Whether there is something for `write_html`: two classes, and rows of both."""
    return found is not None and "auc" in found.metrics


def check_html() -> None:
    """Raises BackendUnavailable now for what would stop `write_html`."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            "the HTML report needs matplotlib: pip install 'crypsis[learning]', or set html_report: false"
        ) from error


def write_html(
    path: str,
    found: Evaluation,
    *,
    title: str,
    created: datetime,
    facts: Mapping[str, object],
    parameters: Mapping[str, object],
    disclosed: Sequence[tuple[str, str]],
    importance: evaluation.ImportanceTable | None,
    scorecard: evaluation.ScorecardPart | None,
) -> None:
    """Writes the report, replacing one that is there."""
    evaluation.write_report(
        path,
        evaluation.ReportContent(
            title=title,
            created=created,
            labels=found.labels,
            probabilities=found.scores,
            expected_probabilities=None if found.train_scores is found.scores else found.train_scores,
            facts=facts,
            parameters=parameters,
            disclosed=disclosed,
            importance=importance,
            scorecard=scorecard,
        ),
    )
