# SPDX-License-Identifier: Apache-2.0
"""A PSI job from files to files: what `crypsis psi run` runs.

Everything that can be checked alone is checked before the peer is dialled. The output is staged beside its
final name; when both parties have staged theirs, both rename. Any error ends the job at both parties and
leaves no output.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from datetime import UTC, datetime

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import Source, check_output, write_output
from crypsis.mpc.jobs.around import (
    Phases,
    close_in_order,
    dial,
    input_record,
    open_input,
    public_reason,
    refuse_taken,
    security_of,
    taken_places,
)
from crypsis.mpc.psi import ecdh
from crypsis.mpc.psi.agree import confirm
from crypsis.mpc.psi.config import JobConfig, OutputConfig
from crypsis.mpc.psi.job import run
from crypsis.mpc.psi.options import Progress, PsiOptions
from crypsis.mpc.psi.report import FileRecord, RunReport, check_report_place

_log = logging.getLogger("crypsis.psi")

# Formats pack the same rows up to this much tighter than each other: less than this share of the input
# cannot do.
_TIGHTEST = 8


def run_job(
    config: JobConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> RunReport:
    """Runs one party's job and writes its output and report; `config_file`, where the job was read from, is
    one of the files that neither may replace.

    Raises ConfigError and DataError before the peer is dialled for what is wrong here; later ChannelError and
    ProtocolAbort when the peer is lost or misbehaves, DataError when the output cannot be written. After an
    error there is no output file, here or (up to the loss of the very last message) at the peer.
    """
    started = datetime.now(UTC)
    phases = Phases(progress)
    options = config.options()
    with phases.phase("check input and output"):
        _check_kernels(options)
        source = open_input(config, progress=progress)
        _check_places(config, source, config_file)
        record = input_record(source)
    with phases.phase("wait for the peer"):
        channel = dial(config)
    written: FileRecord | None = None
    output_rows: int | None = None
    try:
        outcome = run(source, channel, options, progress=progress)

        def staged() -> None:
            with phases.phase("wait for the peer's output"):
                confirm(channel)

        if outcome.rows is None or config.output is None:
            staged()
        else:
            begin = time.perf_counter()
            info = write_output(
                source,
                outcome.rows,
                config.output.path,
                format=config.output.format,
                columns=config.output.columns,
                indicator=config.output.indicator,
                null_rep=config.output.null_rep,
                overwrite=config.output.overwrite,
                memory_limit=config.memory_mib << 20,
                progress=progress,
                before_commit=staged,
            )
            waited = phases.seconds["wait for the peer's output"]
            phases.seconds["write output"] = time.perf_counter() - begin - waited
            output_rows = info.n_rows
            written = FileRecord(paths=[os.path.abspath(info.path)], sha256=info.sha256, n_bytes=info.n_bytes)
    except BaseException as error:
        channel.abort(public_reason(config, error))
        raise
    close_in_order(channel)
    report = RunReport(
        party=config.party,
        peer=config.peer,
        options=options,
        outcome=outcome,
        output_rows=output_rows,
        stats=channel.stats,
        security=security_of(config),
        input=record,
        output=written,
        started=started,
        finished=datetime.now(UTC),
        seconds=_in_order(phases.seconds, outcome.seconds),
    )
    if config.report_path is not None:
        try:
            report.write(config.report_path)
        except DataError as error:
            raise DataError(f"{error}; the output is complete") from error
    return report


def _in_order(around: dict[str, float], protocol: dict[str, float]) -> dict[str, float]:
    """Seconds by phase in the order of the job: the protocol's own phases stand after the connection."""
    before = {name: around[name] for name in ("check input and output", "wait for the peer")}
    return before | protocol | {name: value for name, value in around.items() if name not in before}


def _check_kernels(options: PsiOptions) -> None:
    try:
        ecdh.check_kernels(options)
    except ValueError as error:  # CRYPSIS_NUM_THREADS
        raise ConfigError(str(error)) from error


def _check_places(config: JobConfig, source: Source, config_file: str | None) -> None:
    """Output and report can be written where they are to go, and replace nothing else the job names."""
    taken = taken_places(config, source, config_file)
    if config.output is not None:
        output = config.output
        refuse_taken("output", output.path, taken)
        check_output(
            source,
            output.path,
            format=output.format,
            columns=output.columns,
            indicator=output.indicator,
            null_rep=output.null_rep,
            overwrite=output.overwrite,
        )
        _check_space(config, output, source)
    if config.report_path is not None:
        refuse_taken("report", config.report_path, taken)
        check_report_place(config.report_path)


def _check_space(config: JobConfig, output: OutputConfig, source: Source) -> None:
    """Refuses a disk that cannot hold the output whatever matches; warns of one that may be too small."""
    n_columns = len(output.columns) if output.columns is not None else len(source.schema)
    expected = source.n_bytes * n_columns // max(len(source.schema), 1)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(output.path))).free
    keeps_all = config.join in ("full", config.options().own_side)
    if free < (expected // _TIGHTEST if keeps_all else 1):
        raise DataError(
            f"{output.path}: {free >> 20} MiB are free there and the output may take {expected >> 20} MiB; "
            "free some or write elsewhere"
        )
    if free < expected:
        _log.warning(
            "%s: %d MiB are free there, the output may take %d MiB", output.path, free >> 20, expected >> 20
        )
