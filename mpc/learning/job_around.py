# SPDX-License-Identifier: Apache-2.0
"""Around a training or a prediction: input, work directory, places, what the peer and the operator are told."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import crypsis
from crypsis.errors import (
    BackendUnavailable,
    ChannelError,
    ConfigError,
    CorruptData,
    CrypsisError,
    DataError,
    ProtocolAbort,
)
from crypsis.mpc.data import Source
from crypsis.mpc.data.sinks import OutputFile
from crypsis.mpc.jobs.around import (
    input_record,
    open_input,
    open_link,
    public_reason,
    refuse_taken,
    taken_places,
)
from crypsis.mpc.jobs.identity import Identity, InputFile
from crypsis.mpc.jobs.workdir import WorkDir
from crypsis.mpc.learning.checkpoints import Checkpoints
from crypsis.mpc.learning.config import LearningConfig, TrainConfig
from crypsis.mpc.learning.job_evaluation import check_html
from crypsis.mpc.learning.job_input import RefusedData
from crypsis.mpc.learning.meter import Progress
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.run_report import write_report_text
from crypsis.mpc.psi.options import Progress as PsiProgress
from crypsis.mpc.psi.report import FileRecord, check_report_place
from crypsis.mpc.transport import Hub

_log = logging.getLogger("crypsis.learning")

QUERY = "query"
"""The folder of the work directory that holds the result of a query."""

_GRACE_S = 30.0
"""Patience of a party whose model is in place, for a peer that may have nothing left to do."""

_TELL_S = 10.0
"""Patience of a party that cannot go on, for a peer that is to hear of it."""


class WorkDirTaken(DataError):
    """The work directory cannot be had. Nobody is told: a process that works in it may be in touch with the peer."""


@contextmanager
def telling_peer(config: LearningConfig, what: str) -> Iterator[None]:
    """If the block refuses what is this party's own, the peer hears `what` of it will not do, instead of waiting in
    vain: it is met for that alone, where it comes within 10 s."""
    try:
        yield
    except WorkDirTaken:
        raise
    except (DataError, ConfigError, BackendUnavailable):
        reason = f"{config.party} cannot go on: {what}; see its own log"
        patience = min(config.patience, _TELL_S)
        _log.warning("this party cannot go on; %s is waited for %g s to be told so", config.peer, patience)
        try:
            hub = open_link(config.model_copy(update={"patience": patience}))
            try:
                hub.channel(0)
            finally:
                hub.abort(reason)
        except CrypsisError as error:
            _log.info("%s was not told: %s", config.peer, error)
        raise


def open_rows(
    config: TrainConfig, progress: Progress | None
) -> tuple[Source, FileRecord, WorkDir, Checkpoints | None]:
    """The input, and the work directory with the job that was begun in it, if any.

    A work directory is not left where the input is refused and nothing was begun."""
    fresh = not os.path.isdir(config.work_path)
    if fresh and config.input.query is None:  # so that nothing is made for an input that is not there
        source = open_input(config, progress=plain(progress))
        record = input_record(source)
        return source, record, _open_work(config), None
    work = _open_work(config)
    try:
        checkpoints = Checkpoints.open(work)
        if config.input.query is None:
            source = open_input(config, progress=plain(progress))
        else:
            if checkpoints is None:
                work.clear()  # a result that no job has begun with may be of any age
            source = open_input(
                config, spool_directory=work.directory(QUERY), reuse=True, progress=plain(progress)
            )
        record = input_record(source)
    except BaseException:
        work.close()
        raise
    return source, record, work, checkpoints


def _open_work(config: TrainConfig) -> WorkDir:
    parent = os.path.dirname(os.path.abspath(config.work_path))
    if not os.path.isdir(parent):
        raise DataError(f"{config.work_path}: the directory {parent} does not exist; create it first")
    try:
        return WorkDir.open(config.work_path)
    except CorruptData:
        raise
    except DataError as error:
        raise WorkDirTaken(str(error)) from error


def train_identity(config: TrainConfig, record: FileRecord, source: Source) -> Identity:
    """What must not change while a training lasts; threads, devices, addresses and the like may."""
    paths = record.paths
    path = paths[0] if paths else source.title
    if len(paths) > 1:  # the digest covers all of them, in their order
        path += f" (and {len(paths) - 1} more)"
    return Identity(
        public={**config.public(), "crypsis": crypsis.__version__},
        own={
            "party": config.party,
            "peer": config.peer,
            "role": config.role,
            "keys": [key.name for key in config.keys],
            "null_policy": config.null_policy,
            "label": config.label,
            "features": config.features,
            "input": config.input.model_dump(mode="json", exclude={"path"}),
            "model": os.path.abspath(config.model),
        },
        input=(InputFile(path=path, n_bytes=record.n_bytes, sha256=record.sha256),),
    )


def check_train_places(
    config: TrainConfig, source: Source, config_file: str | None, checkpoints: Checkpoints | None
) -> None:
    """The columns are there; model and reports can be written where they are to go, and replace nothing else the job
    names."""
    source.require_columns([*(config.features or []), *([] if config.label is None else [config.label])])
    taken = taken_places(config, source, config_file)
    refuse_taken("model", config.model, taken)
    with OutputFile(config.model, overwrite=config.overwrite or _is_own(config, checkpoints)):
        pass
    refuse_taken("report", config.report_path, taken)
    check_report_place(config.report_path)
    if config.html_path is not None:
        check_html()
    card = None if config.scorecard is None else config.scorecard.path
    for name, path in (("html_report", config.html_path), ("scorecard", card)):
        if path is not None:
            refuse_taken(name, path, taken)
            with OutputFile(path, overwrite=config.overwrite or checkpoints is not None):
                pass


def _is_own(config: TrainConfig, checkpoints: Checkpoints | None) -> bool:
    """Whether the model that is there is this very job's: written by a run that was killed before it could say so."""
    if checkpoints is None or not checkpoints.identity.job:
        return False
    try:
        found = ModelPart.load(config.model, role=config.role)
    except DataError:
        return False
    return (found.job, found.party) == (checkpoints.identity.job.hex(), config.party)


def _in_place(config: TrainConfig, checkpoints: Checkpoints) -> bool:
    """Whether the model that this job wrote is where it was put."""
    try:
        with open(config.model, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return False
    return checkpoints.end is not None and checkpoints.end.get("model_sha256") == digest


def finish_alone(config: TrainConfig, checkpoints: Checkpoints) -> dict[str, Any]:
    """What a run that was killed with both models in place had left to do: the report, and to remove the work
    directory. DataError where the model is no longer there."""
    if checkpoints.end is None or not _in_place(config, checkpoints):
        raise DataError(
            f"{checkpoints.work.path}: the training has ended at both parties, and {config.model} is no longer the"
            " model that it wrote; remove the work directory to train again"
        )
    report: dict[str, Any] = checkpoints.end["report"]
    write_report_text(config.report_path, report)
    _log.warning("%s: the training had ended, and its model is in place; removed", checkpoints.work.path)
    checkpoints.work.destroy()
    return report


def meet(config: LearningConfig, checkpoints: Checkpoints | None = None) -> Hub:
    """The connection, the peer met."""
    in_place = checkpoints is not None and checkpoints.end is not None
    if in_place:
        config = config.model_copy(update={"patience": min(config.patience, _GRACE_S)})
    hub = open_link(config)
    try:
        hub.channel(0)
    except ChannelError as error:
        hub.abort("the peer did not come")
        if checkpoints is None or not in_place:
            raise
        raise ChannelError(
            f"{error}; the model is complete since an earlier run: if it is at {config.peer} too, remove"
            f" {checkpoints.work.path}"
        ) from error
    except BaseException as error:
        hub.abort(public_reason(config, error))
        raise
    return hub


def told_to_peer(config: LearningConfig, error: BaseException) -> str:
    """Why this party ends the job, without what is private: an exception's text may quote data or paths."""
    if isinstance(error, RefusedData):
        return f"{config.party} cannot go on: {error.public}; see its own log"
    if isinstance(error, ProtocolAbort):
        return f"{error} (at party {config.party!r})"
    return public_reason(config, error)


def plain(progress: Progress | None) -> PsiProgress | None:
    """The same display for what has no metrics."""
    return None if progress is None else lambda phase, done, total: progress(phase, done, total, {})


def logged(progress: Progress | None) -> Progress:
    """Tells the display, and the log of each step that has metrics."""

    def tell(phase: str, done: int, total: int, metrics: dict[str, float]) -> None:
        if metrics:
            told = ", ".join(f"{name} {value:.6g}" for name, value in metrics.items())
            _log.info("%s %d of %s: %s", phase, done, total or "?", told)
        if progress is not None:
            progress(phase, done, total, metrics)

    return tell
