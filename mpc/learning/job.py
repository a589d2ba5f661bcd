# SPDX-License-Identifier: Apache-2.0
"""A training from files to files: what `crypsis train` runs.

    both      agree on the configuration and on the job's name
    both      with psi: intersect (VOLE-PSI, broadcast, aligned); the rows go to the work directory
    both      compare ids; fit the steps of preprocessing to the rows trained on: state 0
    both      train; a state after each epoch or tree
    both      score the rows trained on and those held out; the guest evaluates
    both      "staged", then write their parts; "in place", then remove their work directories

What can be checked alone is checked before the peer is dialled, but for the rows themselves: of these the peer hears
what kind of thing is wrong. When a party dies, at any time, the same command at both goes on from the last state that
both have. Until both have their parts no work directory is removed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.jobs.around import Phases, close_in_order
from crypsis.mpc.learning.algorithms import entry, labels_of, make
from crypsis.mpc.learning.checkpoints import PREPARED, Checkpoints
from crypsis.mpc.learning.config import TrainConfig
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.job_around import (
    QUERY,
    check_train_places,
    finish_alone,
    logged,
    meet,
    open_rows,
    plain,
    telling_peer,
    told_to_peer,
    train_identity,
)
from crypsis.mpc.learning.job_evaluation import Evaluation, evaluate
from crypsis.mpc.learning.job_input import (
    RefusedData,
    check_complete,
    check_labels,
    check_rows,
    check_varied,
    flat_columns,
    held_out,
    read_frame,
)
from crypsis.mpc.learning.job_meeting import agree_job, agree_states, aligned_rows
from crypsis.mpc.learning.job_results import model_part, peer_is_done, write_results
from crypsis.mpc.learning.job_run import TrainRun
from crypsis.mpc.learning.job_steps import (
    apply_steps,
    check_steps,
    fit_steps,
    restored_steps,
    stored_steps,
)
from crypsis.mpc.learning.meter import Progress
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport import Hub

_log = logging.getLogger("crypsis.learning")


def run_train(
    config: TrainConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Runs one party's training, writes its part of the model and its reports, and returns the run report.

    config_file: where the job was read from, which no output may replace. Raises ConfigError and DataError for what is
    wrong here, ConfigError at both where the parties differ, ChannelError and ProtocolAbort when the peer is lost or
    misbehaves. After an error there is no new model, and the same call goes on from the last checkpoint.
    """
    started = datetime.now(UTC)
    phases = Phases(plain(progress))
    with ExitStack() as stack:
        with phases.phase("check input and output"):
            with telling_peer(config, "its input or its work directory will not do"):
                source, record, work, checkpoints = open_rows(config, progress)
            stack.callback(work.close)
            identity = train_identity(config, record, source)
            if checkpoints is not None and checkpoints.progressed:
                with telling_peer(
                    config, "its input or its configuration is not what the job was begun with"
                ):
                    checkpoints.check(identity)
            try:
                with telling_peer(config, "a column is missing, or its results cannot be written"):
                    check_train_places(config, source, config_file, checkpoints)
            except Exception:
                if checkpoints is None:
                    work.destroy()
                raise
            if checkpoints is None or not (checkpoints.progressed or checkpoints.is_of(identity)):
                checkpoints = Checkpoints.begin(work, identity, keep=(QUERY,))
            stack.push(_Leaving(checkpoints))
            if checkpoints.end is not None and checkpoints.end.get("peer_done"):
                return finish_alone(config, checkpoints)
        with phases.phase("wait for the peer"):
            hub = meet(config, checkpoints)
        try:
            session = Session(
                config.role,
                hub.channel(0),
                cipher=config.cipher.options(),
                progress=logged(progress),
                threads=config.threads,
            )
            this = TrainRun(config, source, record, phases, checkpoints, session, progress)
            part, estimator, evaluation = _train(this, hub)
            report = write_results(this, hub, part, estimator, evaluation, started)
            done = peer_is_done(this)
        except BaseException as error:
            hub.abort(told_to_peer(config, error))
            raise
        close_in_order(hub)
        if done:
            work.destroy()
    return report


class _Leaving:
    """Removes a work directory that holds nothing to go on from, or only what is soon done again and was refused: what
    was wrong with the data or the configuration will be corrected, and then it is another job."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def __call__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        found = self._checkpoints
        if not os.path.isdir(found.work.path) or not isinstance(error, Exception) or found.progressed:
            return
        if found.empty or isinstance(error, DataError | ConfigError):
            found.work.destroy()


def _train(this: TrainRun, hub: Hub) -> tuple[ModelPart, Any, Evaluation | None]:
    config, session, phases = this.config, this.session, this.phases
    algorithm, labels = entry(config.algorithm), labels_of(config.algorithm, config.parameters)
    with phases.phase("agree"):
        session.agree("train", config.public())
        this.run = agree_job(session, this.checkpoints)
    with phases.phase("read input"):
        frame = read_frame(
            this.source,
            config.keys[0],
            label=config.label,
            features=config.features,
            drop_null_ids=config.psi is not None and config.null_policy == "ignore",
        )
        check_labels(frame, labels)
        this.counts |= {"rows": len(frame), "columns": len(frame.names)}
    if config.psi is not None:
        with phases.phase("intersect"):
            rows, counts = aligned_rows(
                session,
                this.checkpoints,
                hub,
                frame,
                run=this.run,
                options=config.psi_options(),
                progress=plain(this.progress),
            )
            frame = frame.take(rows)
            this.counts |= counts
    with phases.phase("compare ids"):
        session.check_ids(frame)
        this.after = agree_states(session, this.checkpoints)
    train_rows, held_rows = held_out(frame.ids, config.evaluation.share, config.evaluation.seed)
    train, held = frame.take(train_rows), frame.take(held_rows)
    check_rows(train, labels)
    this.counts |= {"aligned_rows": len(frame), "rows_trained_on": len(train), "rows_held_out": len(held)}
    with phases.phase("preprocess"):
        prepared = _prepare(this, train)
        tested = apply_steps(this.steps, held) if len(held) else None
        if algorithm.takes_missing:
            prepared = _varied(prepared)
        else:
            check_complete(prepared)
            check_varied(prepared)
            if tested is not None:
                check_complete(tested)
    this.counts["columns_trained_on"] = len(prepared.names)
    with phases.phase("train"):
        session.meter.restart()
        estimator = _fit(this, prepared)
        done = 0 if this.after is None else this.after.number
        this.kinds = _by_kind([session.meter.seconds(), *(row.get("seconds") for row in this.history[done:])])
    with phases.phase("evaluate"):
        evaluation = evaluate(estimator, prepared, tested, session, algorithm)
    return model_part(this, frame, estimator), estimator, evaluation


def _prepare(this: TrainRun, train: Frame) -> Frame:
    if this.after is None:
        this.steps = check_steps(this.config.preprocess)
        prepared = fit_steps(this.steps, train, this.session)
        this.checkpoints.save(PREPARED, this.run, {"steps": stored_steps(this.steps)})
        return prepared
    state = next(step for step in this.checkpoints.steps() if step.number == PREPARED)
    this.steps = restored_steps(this.checkpoints.load(state)["steps"])
    return apply_steps(this.steps, train)


def _varied(train: Frame) -> Frame:
    """The columns that trees can split on."""
    flat = flat_columns(train)
    if not flat:
        return train
    _log.warning("left out, the same value or none in every row trained on: %s", ", ".join(map(repr, flat)))
    rest = [name for name in train.names if name not in flat]
    if not rest and train.labels is None:
        raise RefusedData(
            "every column has the same value, or none, in all rows trained on: give columns that differ",
            public="its columns have the same value in every row",
        )
    return train.select(rest)


def _fit(this: TrainRun, train: Frame) -> Any:
    config = this.config
    estimator = make(config.algorithm, config.role, config.parameters)
    resume = None
    if this.after is not None and this.after.number != PREPARED:
        resume = this.checkpoints.load(this.after)
        _log.info("going on after %s %d", entry(config.algorithm).unit, this.after.number)

    def save(step: int, state: Mapping[str, Any]) -> None:
        this.checkpoints.save(step, this.run, state)

    this.history = entry(config.algorithm).fit(estimator, train, this.session, save, resume)
    return estimator


def _by_kind(parts: Sequence[Any]) -> dict[str, float]:
    """The sum of accounts of a meter, which an algorithm restarts after each epoch or tree."""
    total: dict[str, float] = {}
    for part in parts:
        for kind, seconds in part.items() if isinstance(part, dict) else ():
            total[kind] = total.get(kind, 0.0) + seconds
    return total
