# SPDX-License-Identifier: Apache-2.0
"""Predictions from files to files with a model that two parties trained: what `crypsis predict` runs.

    both      agree that their parts are of one training, and on the configuration
    both      with psi: intersect (VOLE-PSI, broadcast, aligned); compare ids
    both      apply the steps of preprocessing, each to its own columns; score the rows jointly
    both      who gets the scores stages its output; "staged"; the outputs appear

Scores go to the guest, with `share_result` to the host too. Nothing is kept of a run that failed: it is run again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from crypsis.errors import ConfigError, CorruptData, DataError
from crypsis.mpc.data import Source
from crypsis.mpc.data.opening import format_of
from crypsis.mpc.data.sinks import OutputFile, check_form, write_batches
from crypsis.mpc.jobs.around import (
    Phases,
    close_in_order,
    input_record,
    open_input,
    refuse_taken,
    security_of,
    taken_places,
)
from crypsis.mpc.learning.algorithms import entry, from_part
from crypsis.mpc.learning.ciphers import CipherOptions
from crypsis.mpc.learning.config import PredictConfig
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.job_around import logged, meet, plain, telling_peer, told_to_peer
from crypsis.mpc.learning.job_evaluation import score
from crypsis.mpc.learning.job_input import RefusedData, check_complete, intersect, read_frame
from crypsis.mpc.learning.job_meeting import PSI_SESSION
from crypsis.mpc.learning.job_steps import apply_steps, restored_steps
from crypsis.mpc.learning.meter import Progress
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.run_report import LearningReport
from crypsis.mpc.learning.session import Session
from crypsis.mpc.psi.report import FileRecord, check_report_place
from crypsis.mpc.transport import Hub
from crypsis.mpc.transport.agreement import confirm


@dataclass
class _Model:
    """One's own part of a model, taken apart."""

    part: ModelPart
    columns: list[str]
    categories: dict[str, tuple[str, ...]]
    steps: list[Any]
    estimator: Any
    cipher: dict[str, Any]


@dataclass
class _Run:
    config: PredictConfig
    source: Source
    model: _Model
    phases: Phases
    session: Session
    progress: Progress | None
    counts: dict[str, Any] = field(default_factory=dict)


def run_predict(
    config: PredictConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Runs one party's part, writes the scores where it gets them, and returns the run report.

    Raises as `crypsis.mpc.learning.job.run_train`. After an error there is no output.
    """
    started = datetime.now(UTC)
    phases = Phases(plain(progress))
    with phases.phase("check input and output"):
        with telling_peer(config, "its part of the model will not do"):
            model = load_model(config)
        with telling_peer(config, "its input will not do"):
            source = open_input(config, progress=plain(progress))
            record = input_record(source)
        with telling_peer(config, "a column of the model is missing from its input"):
            source.require_columns(model.columns)
        with telling_peer(config, "its scores cannot be written"):
            _check_places(config, source, config_file)
    with phases.phase("wait for the peer"):
        hub = meet(config)
    try:
        cipher = CipherOptions(**model.cipher, device=config.cipher.device, vartime=config.cipher.vartime)
        session = Session(
            config.role, hub.channel(0), cipher=cipher, progress=logged(progress), threads=config.threads
        )
        this = _Run(config, source, model, phases, session, progress)
        public = _public(config, model)
        with phases.phase("agree"):
            session.agree("predict", public)
        ids, scores = _predict(this, hub)
        kinds = session.meter.seconds()
        written = _write(this, ids, scores)
    except BaseException as error:
        hub.abort(told_to_peer(config, error))
        raise
    stats = hub.stats
    close_in_order(hub)
    algorithm = entry(model.part.kind)
    report = LearningReport(
        kind="predict",
        party=config.party,
        peer=config.peer,
        role=config.role,
        job=model.part.job,
        algorithm=model.part.kind,
        assumes=algorithm.assumes,
        leaks=algorithm.leaks,
        public=public,
        own={"columns": model.columns, "device": config.cipher.device, "threads": config.threads},
        counts=this.counts,
        stats=stats,
        security=security_of(config),
        input=record,
        outputs={} if written is None else {"scores": written},
        started=started,
        finished=datetime.now(UTC),
        seconds=phases.seconds,
        kinds=kinds,
    )
    if config.report_path is not None:
        try:
            report.write(config.report_path)
        except DataError as error:
            raise DataError(f"{error}; the output is complete") from error
    return report.as_dict()


def load_model(config: PredictConfig) -> _Model:
    """One's own part. CorruptData for a file that is no model, DataError for one of another role or party."""
    part = ModelPart.load(config.model, role=config.role)
    if part.party != config.party:
        raise DataError(
            f"{config.model}: is the part of {part.party!r}, and party is {config.party!r}; name one's own"
        )
    try:
        algorithm = entry(part.kind)
    except ConfigError as error:
        raise DataError(
            f"{config.model}: is a model of {part.kind!r}, which this crypsis does not know; use the release"
            " that made it"
        ) from error
    body = part.body
    try:
        columns = [str(name) for name in body["columns"]]
        categories = {str(name): tuple(map(str, texts)) for name, texts in body["categories"].items()}
        cipher = {name: body["cipher"][name] for name in ("scheme", "key_bits")}
        inner = ModelPart(
            kind=body["estimator_kind"],
            role=part.role,
            party=part.party,
            job=body["estimator_job"],
            body=body["estimator"],
        )
        steps = restored_steps(body["steps"])
        estimator = from_part(algorithm, inner)
        CipherOptions(**cipher)
    except CorruptData as error:
        raise CorruptData(f"{config.model}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptData(f"{config.model}: is damaged; take the file that the training wrote") from error
    return _Model(part, columns, categories, steps, estimator, cipher)


def _public(config: PredictConfig, model: _Model) -> dict[str, Any]:
    return {
        **config.public_input(),
        "model": model.part.job,
        "algorithm": model.part.kind,
        "share_result": config.share_result,
    }


def _predict(this: _Run, hub: Hub) -> tuple[pa.Array, Any]:
    config, model, session, phases = this.config, this.model, this.session, this.phases
    with phases.phase("read input"):
        frame = read_frame(
            this.source,
            config.keys[0],
            label=None,
            features=model.columns,
            drop_null_ids=config.psi is not None and config.null_policy == "ignore",
        )
        try:
            frame, unknown = frame.as_trained(model.columns, model.categories)
        except DataError as error:
            raise RefusedData(
                f"{this.source.title}: {error}",
                public="a column of its has another type than in the training",
            ) from error
        this.counts |= {"rows": len(frame), "columns": len(model.columns), "unknown_categories": unknown}
    if config.psi is not None:
        with phases.phase("intersect"):
            channel = hub.channel(PSI_SESSION)
            rows, counts = intersect(frame, channel, config.psi_options(), progress=plain(this.progress))
            channel.close()
            frame = frame.take(rows)
            this.counts |= counts
    with phases.phase("compare ids"):
        session.check_ids(frame)
        _check_rows(frame)
    with phases.phase("score"):
        session.meter.restart()
        prepared = apply_steps(model.steps, frame)
        if not entry(model.part.kind).takes_missing:
            check_complete(prepared)
        scores = score(
            model.estimator, prepared, session, entry(model.part.kind), share_result=config.share_result
        )
    this.counts["scored_rows"] = len(frame)
    return frame.ids, scores


def _check_rows(frame: Frame) -> None:
    if not len(frame):
        raise RefusedData(
            "there are no rows to score; are the ids of both parties of the same kind?",
            public="there are no rows to score",
        )


def _check_places(config: PredictConfig, source: Source, config_file: str | None) -> None:
    taken = taken_places(config, source, config_file)
    taken[os.path.realpath(config.model)] = "the model"
    output = config.output
    if output is not None:
        refuse_taken("output", output.path, taken)
        if output.score == config.id_column:
            raise ConfigError(f"output.score: {output.score!r} is the key; choose another name")
        if output.columns is not None:
            raise ConfigError("output.columns: the output has the key and the score only; remove it")
        schema = pa.schema([(config.id_column, pa.string()), (output.score, pa.float64())])
        check_form(output.path, schema, format_of(output.path, output.format), output.null_rep)
        with OutputFile(output.path, overwrite=output.overwrite):
            pass
    if config.report_path is not None:
        refuse_taken("report", config.report_path, taken)
        check_report_place(config.report_path)


def _write(this: _Run, ids: pa.Array, scores: Any) -> FileRecord | None:
    """The output, which appears once the peer has staged its own, or has none."""
    config, channel, phases = this.config, this.session.channel(), this.phases
    output = config.output
    if output is None:
        with phases.phase("wait for the peer's output"):
            confirm(channel)
        return None
    table = scores_table(config.id_column, output.score, ids, scores, date=config.keys[0].type == "date")
    with phases.phase("write output"), OutputFile(output.path, overwrite=output.overwrite) as file:
        write_batches(
            file,
            iter(table.to_batches()),
            table.schema,
            format_of(output.path, output.format),
            null_rep=output.null_rep,
            n_rows=table.num_rows,
        )
        file.sync()
        confirm(channel)
        try:
            digest = file.commit()
        except OSError as error:
            raise DataError(f"{output.path}: writing failed: {error.strerror}; no output was kept") from error
    return FileRecord(paths=[os.path.abspath(output.path)], sha256=digest, n_bytes=file.n_bytes)


def scores_table(key: str, score_name: str, ids: pa.Array, scores: Any, *, date: bool) -> pa.Table:
    """Ids with their scores; of several classes a column each, "score_0" and so on."""
    values = np.asarray(scores, dtype=np.float64)
    columns = {key: ids.cast(pa.int32()).cast(pa.date32()) if date else ids}
    if values.ndim == 1:
        return pa.table({**columns, score_name: values})
    return pa.table({**columns, **{f"{score_name}_{i}": values[:, i] for i in range(values.shape[1])}})
