# SPDX-License-Identifier: Apache-2.0
"""`crypsis plan psi`: what a job will take, before anybody runs it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crypsis.mpc.cli.options import option
from crypsis.mpc.cli.psi_run import size

if TYPE_CHECKING:
    from crypsis.mpc.psi.predict import Estimate, Job
    from crypsis.mpc.psi.rates import Calibration

plan = typer.Typer(help="What a job will take: time, traffic, memory, disk.", no_args_is_help=True)


@plan.command("psi")
def plan_psi(
    rows: Annotated[str, option("--rows", "Own rows, as in 1000000 or 1e9.")],
    peer_rows: Annotated[str | None, option("--peer-rows", "The peer's rows; default: as many.")] = None,
    role: Annotated[str, option("--role", "receiver (default) or sender.")] = "receiver",
    bandwidth: Annotated[
        str, option("--bandwidth", "Of the line, each way: 100Mbps, 1Gbps (default).")
    ] = "1Gbps",
    latency: Annotated[str, option("--latency", "A round trip: 10ms; default 1ms.")] = "1ms",
    cores: Annotated[
        int | None, typer.Option("--cores", min=1, max=4096, help="Of each party. Default: this machine's.")
    ] = None,
    protocol: Annotated[str, option("--protocol", "auto (default), vole or ecdh.")] = "auto",
    security: Annotated[str, option("--security", "semi-honest (default), or malicious.")] = "semi-honest",
    setting: Annotated[str, option("--setting", "Of vole: fast (default) or low-communication.")] = "fast",
    broadcast: Annotated[
        bool, typer.Option("--broadcast/--no-broadcast", help="Both parties learn it.")
    ] = False,
    align: Annotated[
        bool, typer.Option("--align/--no-align", help="With broadcast: outputs line up.")
    ] = True,
    matched: Annotated[
        float, typer.Option("--matched", min=0, max=1, help="Share of the smaller party's rows that match.")
    ] = 0.5,
    memory: Annotated[str, option("--memory", "What a party's job may take; default 2GiB.")] = "2GiB",
    bin_rows: Annotated[int | None, option("--bin-rows", "Rows of a bin.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes of a party.")] = 1,
    row_bytes: Annotated[
        float, typer.Option("--row-bytes", min=1, help="Of a row of the input file.")
    ] = 32.0,
    columns: Annotated[int, typer.Option("--columns", min=1, help="Columns of the output.")] = 4,
    both_here: Annotated[
        bool, typer.Option("--both-here", help="Both parties on one machine, which share its cores.")
    ] = False,
    calibration: Annotated[
        str | None,
        option(
            "--calibration",
            "File of `crypsis bench calibrate`; default: this machine's, or built-in constants.",
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Predict time, traffic, memory and disk of `crypsis psi run`.

    Traffic is exact for distinct keys. Time is a model on measured constants; the last line says whose.
    """
    import json
    import os

    from crypsis.errors import ConfigError
    from crypsis.mpc.psi.config import parse_rate, parse_size
    from crypsis.mpc.psi.layout import OUTER_ROWS
    from crypsis.mpc.psi.predict import Job, predict
    from crypsis.mpc.psi.rates import load

    if role not in ("receiver", "sender"):
        raise ConfigError(f"role is {role!r}: use receiver or sender")
    for name, value, allowed in (
        ("protocol", protocol, ("auto", "vole", "ecdh")),
        ("security", security, ("semi-honest", "malicious")),
        ("setting", setting, ("fast", "low-communication")),
    ):
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}: use {', '.join(allowed)}")
    own = count_of("rows", rows)
    peer = count_of("peer-rows", peer_rows) if peer_rows is not None else own
    values: dict[str, Any] = {}
    for name, text, parse in (
        ("bandwidth", bandwidth, parse_rate),
        ("latency", latency, seconds_of),
        ("memory", memory, parse_size),
    ):
        try:
            values[name] = parse(text)
        except ValueError as error:
            raise ConfigError(f"{name} is {text!r}: {error}") from error
    job = Job(
        n_receiver=own if role == "receiver" else peer,
        n_sender=peer if role == "receiver" else own,
        cores=cores or len(os.sched_getaffinity(0)),
        together=both_here,
        protocol=protocol,  # type: ignore[arg-type]
        security=security,  # type: ignore[arg-type]
        setting=setting,  # type: ignore[arg-type]
        broadcast=broadcast,
        align=align,
        matched=matched,
        bin_rows=bin_rows or OUTER_ROWS,
        workers=workers,
        row_bytes=row_bytes,
        columns=columns,
        **values,
    )
    known = load(calibration)
    estimate = predict(job, known.rates)
    if json_output:
        found = {"job": job_json(job), "estimate": estimate.as_json(), "rests_on": rests_on(known)}
        print(json.dumps(found, indent=2))
    else:
        show(job, estimate, known)
    sys.stdout.flush()


def count_of(name: str, text: str) -> int:
    """A number of rows: 1000000, 1_000_000, 1e9, 2.5e6. Raises ConfigError."""
    from crypsis.errors import ConfigError

    plain = text.replace("_", "").replace(",", "").strip()
    if re.fullmatch(r"[0-9]{1,12}", plain):
        return int(plain)
    if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?[eE]\+?[0-9]{1,2}", plain):
        value = float(plain)
        if value == int(value):
            return int(value)
    raise ConfigError(f"{name} is {text!r}: write a whole number, such as 1000000 or 1e9")


def seconds_of(text: str) -> float:
    """Seconds in "10ms", "0.2s", "500us". ValueError for anything else."""
    found = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(us|ms|s)\s*", text)
    if found is None:
        raise ValueError("write a time with its unit, such as 10ms")
    return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]


def rests_on(known: Calibration) -> dict[str, str | None]:
    """Where the constants are from."""
    return {"constants": known.what, "cpu": known.cpu, "date": known.date}


def job_json(job: Job) -> dict[str, Any]:
    """The job that was asked for, as JSON values."""
    from dataclasses import asdict

    return asdict(job)


def duration(seconds: float) -> str:
    """ "0.42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds) // 60
    if minutes < 120:
        return f"{minutes} min {round(seconds) % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def remedy(estimate: Estimate) -> str:
    """What to change where the memory is too little."""
    if estimate.protocol == "ecdh":
        return "ECDH-PSI holds all keys; take protocol vole, or a machine with more"
    return "raise --memory, or lower --bin-rows, --workers or --cores (threads)"


def show(job: Job, estimate: Estimate, known: Calibration) -> None:
    """Tables for a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=120)
    where = f"{job.cores} cores together" if job.together else f"{job.cores} cores each"
    console.print(
        f"{job.n_receiver:,} rows at the receiver, {job.n_sender:,} at the sender, {where}, "
        f"{job.bandwidth / 1e6:,g} Mbit/s, {job.latency * 1e3:g} ms, {job.matched:.0%} of the smaller in common",
        highlight=False,
    )
    console.print(f"protocol {estimate.protocol}: {estimate.why}", highlight=False)
    table = Table("stage", "time", "bound by")
    table.columns[1].justify = "right"
    for stage in estimate.stages:
        table.add_row(stage.name, duration(stage.seconds), stage.bound)
    table.add_row("in all", duration(estimate.seconds), "", style="bold")
    console.print(table)
    sizes = Table("", "receiver", "sender")
    for column in sizes.columns[1:]:
        column.justify = "right"
    sizes.add_row("sends", size(estimate.receiver_sends), size(estimate.sender_sends))
    sizes.add_row("memory, at most", *(size(n) for n in estimate.memory))
    sizes.add_row("disk beside input and output", *(size(n) for n in estimate.disk))
    console.print(sizes)
    if not estimate.fits:
        console.print(f"It does not fit {size(job.memory)} of memory: {remedy(estimate)}.", highlight=False)
    rests = known.what + (f", {known.cpu}, {known.date}" if known.cpu else "")
    console.print(f"Times rest on {rests}. Traffic is exact for these rows.", highlight=False, markup=False)
    if known.cpu is None:
        console.print(
            "`crypsis bench calibrate` measures this machine in less than a minute.", highlight=False
        )
