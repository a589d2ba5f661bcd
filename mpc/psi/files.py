# SPDX-License-Identifier: Apache-2.0
"""A PSI job from files to files: what `crypsis psi run` runs.

Everything that can be checked alone is checked before the peer is dialled. The output is staged beside its
final name; when both parties have staged theirs, both rename. Any error ends the job at both parties and
leaves no output. Protocol ecdh holds the keys in memory and begins anew after an error; vole spills them to a work
directory and goes on from there (`spilled`).
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from crypsis.errors import BackendUnavailable, ChannelError, ConfigError, CrypsisError, DataError, DeviceError
from crypsis.mpc.data import OutputInfo, Source, check_output, write_output
from crypsis.mpc.jobs.around import (
    Phases,
    close_in_order,
    input_record,
    open_input,
    open_link,
    public_reason,
    refuse_taken,
    security_of,
    taken_places,
)
from crypsis.mpc.jobs.executors import Executor, InlineExecutor, ProcessExecutor
from crypsis.mpc.jobs.identity import Identity, InputFile
from crypsis.mpc.jobs.ledger import Ledger
from crypsis.mpc.jobs.ray_executor import RayExecutor
from crypsis.mpc.jobs.workdir import WorkDir
from crypsis.mpc.place import place_named
from crypsis.mpc.psi import ecdh, vole
from crypsis.mpc.psi.agree import agree
from crypsis.mpc.psi.choose import choose, expected_rows
from crypsis.mpc.psi.config import JobConfig
from crypsis.mpc.psi.devices import CPU, Devices, find_devices, lost
from crypsis.mpc.psi.job import PsiOutcome, run
from crypsis.mpc.psi.memory import release
from crypsis.mpc.psi.options import Progress, PsiOptions
from crypsis.mpc.psi.output import plan_output
from crypsis.mpc.psi.report import FileRecord, RunReport, check_report_place
from crypsis.mpc.psi.space import check_before, check_places, output_places
from crypsis.mpc.psi.spilled import SPOOL, SpilledJob
from crypsis.mpc.transport import Channel, ChannelStats, Hub
from crypsis.mpc.transport.agreement import confirm, recv_json, send_json
from crypsis.mpc.transport.hub import total

_log = logging.getLogger("crypsis.psi")

_GRACE_S = 30.0
"""Patience of a party whose output is in place, for a peer that may have nothing left to do."""


@dataclass
class _Run:
    """One run of a job: what its parts hand on."""

    config: JobConfig
    source: Source
    record: FileRecord
    phases: Phases
    progress: Progress | None
    options: PsiOptions
    devices: Devices
    why: str = ""
    outcome: PsiOutcome = field(default_factory=PsiOutcome)
    spilled: SpilledJob | None = None
    written: FileRecord | None = None
    output_rows: int | None = None


def run_job(
    config: JobConfig, *, config_file: str | None = None, progress: Progress | None = None
) -> RunReport:
    """Runs one party's job and writes its output and report; `config_file`, where the job was read from, is
    one of the files that neither may replace.

    Raises ConfigError and DataError before the peer is dialled for what is wrong here; later ChannelError and
    ProtocolAbort when the peer is lost or misbehaves, DataError when the output cannot be written. After an
    error there is no output file, here or (up to the loss of the very last message) at the peer; where a work directory
    stays, the same call goes on from there.
    """
    started = datetime.now(UTC)
    phases = Phases(progress)
    with ExitStack() as stack:
        with phases.phase("check input and output"):
            devices = find_devices(config.device, 1 if config.protocol == "ecdh" else config.workers)
            if devices.asked != CPU and progress is not None:
                progress(f"device {devices}: {devices.why}", 1, 1)
            _log.info("device %s: %s", devices, devices.why)
            _check_kernels(config, devices)
            work = _work_directory(config)
            if work is not None:
                stack.callback(work.close)
            source = _open_input(config, work, progress)
            record = input_record(source)
            this = _Run(config, source, record, phases, progress, config.options(), devices)
            if work is not None:
                this.spilled = _open_job(this, work)
                stack.callback(this.spilled.close)
            _check_places(config, source, config_file, resumed=this.spilled)
            certain = config.protocol == "vole" or config.security == "malicious"
            _check_space(this, expected_rows(source), vole=certain)
        stats = _finish_alone(this) if _peer_is_done(this) else _run_with_peer(this, stack)
    spilled = this.spilled if this.options.protocol == "vole" else None
    report = RunReport(
        party=config.party,
        peer=config.peer,
        options=this.options,
        why=this.why,
        outcome=this.outcome,
        output_rows=this.output_rows,
        stats=stats,
        security=security_of(config),
        input=record,
        output=this.written,
        started=started,
        finished=datetime.now(UTC),
        seconds=_in_order(phases.seconds, this.outcome.seconds),
        devices=this.devices,
        bins=spilled.as_report() if spilled is not None else None,
        bins_by_device=dict(spilled.bins_by_device) if spilled is not None else None,
    )
    if config.report_path is not None:
        try:
            report.write(config.report_path)
        except DataError as error:
            raise DataError(f"{error}; the output is complete") from error
    return report


def _run_with_peer(this: _Run, stack: ExitStack) -> ChannelStats:
    config, phases, job = this.config, this.phases, this.spilled
    with phases.phase("wait for the peer"):
        if job is not None and job.in_place:
            config = config.model_copy(update={"patience": min(config.patience, _GRACE_S)})
        hub = open_link(config)
        try:
            channel = hub.channel(0)
        except ChannelError as error:
            if job is None or job.stage != "complete":
                raise
            hub.abort("the peer did not come")
            if job.in_place:
                return _finish_alone(this, error)
            raise ChannelError(
                f"{error}; the output is complete since an earlier run, but no longer as it was at its place: if it "
                f"is at {config.peer} too, remove {config.work_path}"
            ) from error
    try:
        with phases.phase("agree"):
            n_rows = expected_rows(this.source)
            protocol, this.why = choose(channel, config, n_rows)
            this.options = config.options(protocol)
            _log.info("protocol %s: %s", protocol, this.why)
            if protocol == "ecdh" and job is not None and job.stage not in ("", "new"):
                state = "a complete" if job.stage == "complete" else "an unfinished"
                raise ConfigError(
                    f"{config.work_path} holds {state} job of protocol vole (stage {job.stage!r}), and this run would "
                    f"be of ecdh ({this.why}): name protocol vole at both parties to go on with it, or remove the "
                    "directory"
                )
        if protocol == "vole":
            _exchange_spilled(this, hub, channel, n_rows, stack)
        else:
            _run_in_memory(this, channel)
        _write(this, channel)
        if protocol != "vole" and job is not None and not job.stage:
            job.destroy()  # it held the result of the query only
    except BaseException as error:
        hub.abort(public_reason(config, error))
        raise
    stats = hub.stats
    close_in_order(hub)
    return stats


def _run_in_memory(this: _Run, channel: Channel) -> None:
    this.devices = this.devices.first("protocol ecdh works on one")
    options = replace(this.options, device=this.devices.used[0])
    try:
        this.outcome = run(this.source, channel, options, progress=this.progress)
    except DeviceError as error:
        raise lost(
            error,
            "protocol ecdh keeps nothing: the same command with `--device cpu` does the job on the host",
        ) from error


def _peer_is_done(this: _Run) -> bool:
    """Both outputs are in place, as far as an earlier run knew: nobody needs the peer, nor it this party."""
    return this.spilled is not None and this.spilled.in_place and this.spilled.peer_is_done


def _finish_alone(this: _Run, error: ChannelError | None = None) -> ChannelStats:
    """What an earlier run, killed with its output in place, had left to do: the report, and to remove the work
    directory. That is kept where the peer may still need it (`error` says how it did not come): a peer that has not
    heard that both have staged cannot put its own output in place without."""
    job, config = this.spilled, this.config
    if job is None:
        raise ValueError("no job has been begun")
    this.options, this.why = config.options("vole"), "the job was begun with it"
    this.outcome = job.outcome
    job.recall()
    this.written, this.output_rows = job.output_record()
    if job.peer_is_done:
        _log.warning("%s: the job had ended, and its output is in place; removed", config.work_path)
        job.destroy()
    else:
        _log.warning(
            "the result is complete since an earlier run; %s is kept for %s, remove it once the output is in place "
            "there too: %s",
            config.work_path,
            config.peer,
            error,
        )
    return total([])


def _identity(this: _Run) -> Identity:
    """What must not change while a job lasts; threads, memory, addresses and the like may."""
    config = this.config
    public = config.options("vole").public()
    public |= {"protocol": config.protocol, "bin_rows": config.bin_rows}
    own: dict[str, Any] = {
        "party": config.party,
        "peer": config.peer,
        "role": config.role,
        "input": config.input.model_dump(mode="json", exclude={"path"}),
        "keys": [key.name for key in config.keys],
        "null_policy": config.null_policy,
        "output": None,
    }
    if config.output is not None:
        own["output"] = config.output.model_dump(mode="json", exclude={"overwrite"})
        own["output"]["path"] = os.path.abspath(config.output.path)
    paths = this.record.paths
    path = paths[0] if paths else this.source.title
    if len(paths) > 1:  # the digest covers all of them, in their order
        path += f" (and {len(paths) - 1} more)"
    files = InputFile(path=path, n_bytes=this.record.n_bytes, sha256=this.record.sha256)
    return Identity(public=public, own=own, input=(files,))


def _work_directory(config: JobConfig) -> WorkDir | None:
    """The work directory now, where an earlier run left it, or where the result of a query has to be kept."""
    if config.protocol == "ecdh":
        return None
    if config.input.query is None and not os.path.isdir(config.work_path):
        return None
    return WorkDir.open(config.work_path)


def _open_input(config: JobConfig, work: WorkDir | None, progress: Progress | None) -> Source:
    """The input; the result of a query is read once in the life of a job that goes on."""
    if work is None or config.input.query is None:
        return open_input(config, progress=progress)
    if not Ledger.exists(work):
        work.clear()  # a result that no job has begun with may be of any age
    return open_input(config, spool_directory=work.directory(SPOOL), reuse=True, progress=progress)


def _open_job(this: _Run, work: WorkDir) -> SpilledJob:
    config = this.config
    job = SpilledJob(
        directory=work,
        identity=_identity(this),
        options=this.options,
        bin_rows=config.bin_rows,
        budget=config.budget(),
        progress=this.progress,
        devices=this.devices,
    )
    job.open()
    job.find_output(config.output.path if config.output is not None else None)
    if job.peer_is_done and not job.in_place:
        job.forget_ended()  # the output was taken elsewhere: what the user wants is another run
    if job.stage:
        _log.info("%s: begun before; at stage %s", work.path, job.stage)
    return job


def _exchange_spilled(this: _Run, hub: Hub, channel: Channel, n_rows: int, stack: ExitStack) -> None:
    config, phases = this.config, this.phases
    if this.spilled is None:
        work = WorkDir.open(config.work_path)
        stack.callback(work.close)
        this.spilled = _open_job(this, work)
        stack.callback(this.spilled.close)
    job = this.spilled
    job.options = this.options
    this.outcome = job.outcome
    with phases.phase("agree"):
        agree(channel, this.options, 0, {"bin_rows": config.bin_rows, "workers": config.workers})
        job.meet(channel, n_rows)
        job.check_memory(n_rows)
        _check_space(this, n_rows, vole=True)
    with phases.phase("read and spill keys"):
        job.partition(this.source, n_rows)
        job.agree_sizes(channel)
        release()
    with phases.phase("exchange"), _executor(config) as executor:
        try:
            job.exchange(hub, executor, config.workers)
        except BackendUnavailable as error:
            if not job.devices.models:
                raise
            raise lost(
                error,
                f"what is finished is kept in {config.work_path}: the same command with `--device cpu` goes on from "
                "there",
            ) from error
        release()


def _executor(config: JobConfig) -> Executor:
    """Where workers run. Raises BackendUnavailable without Ray, ConfigError where its cluster cannot be joined."""
    if config.executor == "ray":
        return RayExecutor(address=config.ray_address)
    return InlineExecutor() if config.workers == 1 else ProcessExecutor()


def _write(this: _Run, channel: Channel) -> None:
    """Puts the output in place when the peer has staged its own, too."""
    config, phases, job = this.config, this.phases, this.spilled
    spilled = job if this.options.protocol == "vole" else None

    def staged(info: OutputInfo | None = None) -> None:
        if info is not None:
            this.output_rows = info.n_rows
            this.written = FileRecord(
                paths=[os.path.abspath(info.path)], sha256=info.sha256, n_bytes=info.n_bytes
            )
            if spilled is not None:
                spilled.record_output(this.written, info.n_rows)
        with phases.phase("wait for the peer's output"):
            confirm(channel)
            if spilled is not None:
                spilled.written()

    output = config.output
    if spilled is not None and spilled.stage == "complete":  # only the peer still needs to hear of it
        if this.options.aligned:
            spilled.agree_totals(channel)
        staged()
        this.written, this.output_rows = spilled.output_record()
    elif output is None:
        staged()
    else:
        rows = plan_output(spilled, channel) if spilled is not None else this.outcome.rows
        if rows is None:
            raise ValueError("an output is configured for a party that learns nothing")
        check_places(output_places(config, this.source, len(rows)))
        begin = time.perf_counter()
        write_output(
            this.source,
            rows,
            output.path,
            format=output.format,
            columns=output.columns,
            indicator=output.indicator,
            null_rep=output.null_rep,
            overwrite=output.overwrite,
            memory_limit=config.gather_bytes,
            progress=this.progress,
            before_commit=staged,
        )
        waited = phases.seconds["wait for the peer's output"]
        phases.seconds["write output"] = time.perf_counter() - begin - waited
    if spilled is not None:
        _forget(spilled, channel)


def _forget(job: SpilledJob, channel: Channel) -> None:
    """Removes the work directory once the peer's output is in place too: until then it may need this one's ledger."""
    job.complete()
    try:
        send_json(channel, {"type": "in place"})
        recv_json(channel, "in place")
    except CrypsisError as error:
        _log.warning(
            "the result is complete; %s is kept for the peer, which was lost: %s", job.directory.path, error
        )
        return
    job.note_peer_done()
    job.destroy()


def _in_order(around: dict[str, float], protocol: dict[str, float]) -> dict[str, float]:
    """Seconds by phase in the order of the job: the protocol's own phases stand after the connection."""
    first = ("check input and output", "wait for the peer")
    before = {name: around[name] for name in first if name in around}
    return before | protocol | {name: value for name, value in around.items() if name not in before}


def _check_kernels(config: JobConfig, devices: Devices) -> None:
    try:
        for place in map(place_named, devices.used):
            if config.protocol != "vole":
                ecdh.check_kernels(config.options(), place)
            if config.protocol != "ecdh":
                vole.check_kernels(config.options("vole"), place)
    except ValueError as error:  # CRYPSIS_NUM_THREADS
        raise ConfigError(str(error)) from error


def _check_space(this: _Run, n_rows: int, *, vole: bool) -> None:
    """Refuses disks without room for what is still to be written; n_rows: own rows, as far as they are known."""
    stage = this.spilled.stage if this.spilled is not None else ""
    if stage not in ("written", "complete"):
        check_before(this.config, this.source, n_rows, spills=vole and stage in ("", "new"))


def _check_places(
    config: JobConfig, source: Source, config_file: str | None, *, resumed: SpilledJob | None
) -> None:
    """Output and report can be written where they are to go, and replace nothing else the job names."""
    taken = taken_places(config, source, config_file)
    if config.output is not None:
        output = config.output
        refuse_taken("output", output.path, taken)
        if resumed is None or resumed.stage != "complete":  # then nothing is written
            check_output(
                source,
                output.path,
                format=output.format,
                columns=output.columns,
                indicator=output.indicator,
                null_rep=output.null_rep,
                overwrite=output.overwrite,
            )
    if config.report_path is not None:
        refuse_taken("report", config.report_path, taken)
        check_report_place(config.report_path)
