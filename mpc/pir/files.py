# SPDX-License-Identifier: Apache-2.0
"""A private list query from files to files: what `crypsis query serve` and `crypsis query ask` run.

Everything that can be checked alone is checked before the peer is dialled. The querier closes the channel before it
opens the answers, and writes its output after that: all that the owner sees of how it went is that the answers arrived.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from crypsis import backends, hashing
from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import Source
from crypsis.mpc.data.gather import output_schema
from crypsis.mpc.data.opening import format_of
from crypsis.mpc.data.sinks import OutputFile, check_form, write_batches
from crypsis.mpc.jobs.around import (
    Phases,
    dial,
    input_record,
    open_input,
    public_reason,
    refuse_taken,
    security_of,
    taken_places,
)
from crypsis.mpc.pir import ledger
from crypsis.mpc.pir.agree import Agreed
from crypsis.mpc.pir.config import AskConfig, QueryConfig, ServeConfig
from crypsis.mpc.pir.job import QuerierOutcome, prepare_list, run_owner, run_querier
from crypsis.mpc.pir.output import joined_batches, joined_schema
from crypsis.mpc.pir.report import QueryReport
from crypsis.mpc.psi.options import Progress
from crypsis.mpc.psi.report import FileRecord, check_report_place
from crypsis.mpc.transport import Channel


def serve_files(
    config: ServeConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> QueryReport:
    """Answers one job about the list in the configuration's input; writes the report if it names one.

    Raises ConfigError and DataError before the peer is dialled for what is wrong here; later ConfigError where the
    parties disagree or the ledger's limit is reached, ChannelError and ProtocolAbort.
    """
    started = datetime.now(UTC)
    phases = Phases(progress)
    options, own = config.options(), config.owner_options()
    with phases.phase("check input"):
        _check_kernels(config)
        source = open_input(config, progress=progress)
        taken = taken_places(config, source, config_file)
        if config.ledger is not None:
            refuse_taken("ledger", config.ledger, taken)
            ledger.check(config.ledger)
        elif config.max_queries_in_all is not None:
            raise ConfigError("max_queries_in_all is set and ledger is not: name the file that counts")
        if config.report_path is not None:
            refuse_taken("report", config.report_path, taken)
            check_report_place(config.report_path)
        record = input_record(source)
    with phases.phase("prepare the list"):
        prepared = prepare_list(source, options, own, progress=progress)
    with phases.phase("wait for the peer"):
        channel = dial(config)

    def admitted(n_queries: int) -> None:
        if config.ledger is not None:
            ledger.admit(
                config.ledger,
                peer=config.peer,
                list_name=config.list_name,
                n_queries=n_queries,
                limit=config.max_queries_in_all,
            )

    with _guarded(channel, config):
        outcome = run_owner(prepared, channel, options, own, admit=admitted, progress=progress)
        channel.close()
    report = QueryReport(
        role="owner",
        party=config.party,
        peer=config.peer,
        options=options,
        own={"max_queries": own.max_queries, "max_queries_in_all": config.max_queries_in_all},
        agreed=outcome.agreed,
        counts={
            "rows": prepared.n_rows,
            "null_keys": prepared.n_null,
            "unique_keys": prepared.n_unique,
            "queries": outcome.agreed.n_queries,
        },
        stats=channel.stats,
        security=security_of(config),
        input=record,
        output=None,
        started=started,
        finished=datetime.now(UTC),
        seconds=phases.seconds | outcome.seconds,
    )
    if config.report_path is not None:
        report.write(config.report_path)
    return report


def ask_files(
    config: AskConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> QueryReport:
    """Asks for the keys of the configuration's input; writes the output and the report. Raises as `serve_files`; after
    an error there is no output file."""
    started = datetime.now(UTC)
    phases = Phases(progress)
    options, own = config.options(), config.querier_options()
    output = config.output
    with phases.phase("check input and output"):
        _check_kernels(config)
        source = open_input(config, progress=progress)
        _check_output(config, source, config_file)
        record = input_record(source)
    with phases.phase("wait for the peer"):
        channel = dial(config)

    def accepted(agreed: Agreed) -> None:
        schema = joined_schema(source, agreed.columns, columns=output.columns, found=output.found)
        check_form(output.path, schema, format_of(output.path, output.format), output.null_rep)

    with _guarded(channel, config):
        asked = run_querier(source, channel, options, own, accept=accepted, progress=progress)
        channel.close()
    outcome = asked.open(progress=progress)
    with phases.phase("write output"):
        n_rows, written = _write(config, source, outcome)
    report = QueryReport(
        role="querier",
        party=config.party,
        peer=config.peer,
        options=options,
        own={
            "pad_queries": own.pad_queries,
            "min_bucket": own.min_bucket,
            "max_traffic_mib": own.max_traffic_mib,
            "found": output.found,
        },
        agreed=outcome.agreed,
        counts={
            "rows": outcome.n_rows,
            "null_keys": outcome.n_null,
            "unique_keys": outcome.n_unique,
            "queries": outcome.agreed.n_queries,
            "found_keys": outcome.n_found,
            "output_rows": n_rows,
        },
        stats=channel.stats,
        security=security_of(config),
        input=record,
        output=written,
        started=started,
        finished=datetime.now(UTC),
        seconds=phases.seconds | outcome.seconds,
    )
    try:
        report.write(config.report_path)
    except DataError as error:
        raise DataError(f"{error}; the output is complete") from error
    return report


@contextmanager
def _guarded(channel: Channel, config: QueryConfig) -> Iterator[None]:
    """Ends the channel when the block fails, telling the peer the kind of failure only."""
    try:
        yield
    except BaseException as error:
        channel.abort(public_reason(config, error))
        raise


def _check_kernels(config: QueryConfig) -> None:
    """Raises now what would stop the kernels later: a wrong CRYPSIS_NUM_THREADS, a backend that cannot run."""
    try:
        backends.n_threads(config.threads)
        hashing.digest(config.hash, np.zeros((1, 16), np.uint8), threads=1)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_output(config: AskConfig, source: Source, config_file: str | None) -> None:
    """All that can be said about the output before the list's columns are known."""
    output = config.output
    taken = taken_places(config, source, config_file)
    refuse_taken("output", output.path, taken)
    own = output_schema(source, output.columns, None)
    joined_schema(source, (), columns=output.columns, found=output.found)
    check_form(output.path, own, format_of(output.path, output.format), output.null_rep)
    with OutputFile(output.path, overwrite=output.overwrite):
        pass
    refuse_taken("report", config.report_path, taken)
    check_report_place(config.report_path)


def _write(config: AskConfig, source: Source, outcome: QuerierOutcome) -> tuple[int, FileRecord]:
    output = config.output
    chosen = format_of(output.path, output.format)
    schema = joined_schema(source, outcome.agreed.columns, columns=output.columns, found=output.found)
    batches = joined_batches(source, outcome, columns=output.columns, found=output.found)
    with OutputFile(output.path, overwrite=output.overwrite) as file:
        n_rows = write_batches(file, batches, schema, chosen, null_rep=output.null_rep, n_rows=outcome.n_rows)
        try:
            digest = file.commit()
        except OSError as error:
            raise DataError(f"{output.path}: writing failed: {error.strerror}; no output was kept") from error
    return n_rows, FileRecord(paths=[os.path.abspath(output.path)], sha256=digest, n_bytes=file.n_bytes)
