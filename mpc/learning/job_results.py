# SPDX-License-Identifier: Apache-2.0
"""What a training leaves behind: the party's part of the model, scorecard and reports, all put in place together."""

from __future__ import annotations

import hashlib
import logging
import os
from datetime import UTC, datetime
from typing import Any

from crypsis.errors import CrypsisError, DataError
from crypsis.mpc.jobs.around import security_of
from crypsis.mpc.learning.algorithms import entry, importance_of, part_of
from crypsis.mpc.learning.evaluation import ScorecardPart, write_scorecard
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.job_evaluation import Evaluation, can_report, write_html
from crypsis.mpc.learning.job_run import TrainRun
from crypsis.mpc.learning.job_scorecard import scorecard_part
from crypsis.mpc.learning.job_steps import stored_steps, told_steps
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.run_report import LearningReport, write_report_text
from crypsis.mpc.psi.report import FileRecord
from crypsis.mpc.transport import Hub
from crypsis.mpc.transport.agreement import confirm

_log = logging.getLogger("crypsis.learning")


def model_part(this: TrainRun, frame: Frame, estimator: Any) -> ModelPart:
    """The party's part: its columns, the fitted steps, what the estimator learned."""
    config = this.config
    inner = part_of(estimator)
    return ModelPart(
        kind=config.algorithm,
        role=config.role,
        party=config.party,
        job=this.checkpoints.identity.job.hex(),
        body={
            "columns": list(frame.names),
            "categories": {name: list(texts) for name, texts in frame.categories.items()},
            "steps": stored_steps(this.steps),
            "estimator_kind": inner.kind,
            "estimator_job": inner.job,
            "estimator": dict(inner.body),
            "cipher": config.cipher.options().public(),
        },
    )


def write_results(
    this: TrainRun,
    hub: Hub,
    part: ModelPart,
    estimator: Any,
    evaluation: Evaluation | None,
    started: datetime,
) -> dict[str, Any]:
    """Puts everything in place once the peer has come as far, and returns the run report."""
    config, phases = this.config, this.phases
    card = None
    if config.scorecard is not None:
        card = scorecard_part(part_of(estimator), this.steps, config.scorecard.scaling())
    with phases.phase("wait for the peer's part"):
        confirm(this.session.channel())
    with phases.phase("write model"):
        part.save(config.model, overwrite=True)  # what may be there was looked at before the peer was dialled
    outputs = {"model": file_record(config.model)}
    if config.scorecard is not None and card is not None:
        write_scorecard(config.scorecard.path, card)
        outputs["scorecard"] = file_record(config.scorecard.path)
    if evaluation is not None and can_report(evaluation) and config.html_path is not None:
        _write_html(this, config.html_path, evaluation, estimator, card)
        outputs["html_report"] = file_record(config.html_path)
    report = _report(this, hub, part, evaluation, outputs, started).as_dict()
    this.checkpoints.complete({"model_sha256": outputs["model"].sha256, "report": report})
    try:
        write_report_text(config.report_path, report)
    except DataError as error:
        raise DataError(f"{error}; the model is complete") from error
    return report


def _write_html(
    this: TrainRun, path: str, evaluation: Evaluation, estimator: Any, card: ScorecardPart | None
) -> None:
    config, counts = this.config, this.counts
    write_html(
        path,
        evaluation,
        title=f"{config.algorithm} of {config.party} and {config.peer}",
        created=datetime.now(UTC),
        facts={
            "Guest (labels)": config.party,
            "Host": config.peer,
            "Rows trained on": counts["rows_trained_on"],
            "Rows evaluated": f"{len(evaluation.labels)} ({evaluation.metrics['evaluated_on']})",
        },
        parameters=config.public(),
        disclosed=list(entry(config.algorithm).leaks),
        importance=importance_of(estimator),
        scorecard=card,
    )


def _report(
    this: TrainRun,
    hub: Hub,
    part: ModelPart,
    evaluation: Evaluation | None,
    outputs: dict[str, FileRecord],
    started: datetime,
) -> LearningReport:
    config = this.config
    algorithm = entry(config.algorithm)
    return LearningReport(
        kind="train",
        party=config.party,
        peer=config.peer,
        role=config.role,
        job=part.job,
        algorithm=config.algorithm,
        assumes=algorithm.assumes,
        leaks=algorithm.leaks,
        public=config.public() | {f"cipher.{k}": v for k, v in config.cipher.options().public().items()},
        own={
            "label": config.label,
            "features": part.body["columns"],
            "device": config.cipher.device,
            "vartime": config.cipher.vartime,
            "threads": config.threads,
        },
        counts=this.counts,
        stats=hub.stats,
        security=security_of(config),
        input=this.record,
        outputs=outputs,
        started=started,
        finished=datetime.now(UTC),
        seconds=this.phases.seconds,
        kinds=this.kinds,
        metrics=None if evaluation is None else evaluation.metrics,
        history=this.history,
        resumed_after=None if this.after is None else this.after.number,
        steps=told_steps(this.steps),
    )


def peer_is_done(this: TrainRun) -> bool:
    """Whether the peer's part is in place, too: until then it may need this one's work directory."""
    session, checkpoints = this.session, this.checkpoints
    try:
        session.tell(session.peer, "in place")
        session.hear(session.peer, "in place")
    except CrypsisError as error:
        _log.warning(
            "the model is complete; %s is kept for the peer, which was lost: %s", checkpoints.work.path, error
        )
        return False
    checkpoints.complete({**(checkpoints.end or {}), "peer_done": True})
    return True


def file_record(path: str) -> FileRecord:
    """A file that was written: where, SHA-256, size."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(
            paths=[os.path.abspath(path)], sha256=digest, n_bytes=os.fstat(file.fileno()).st_size
        )
