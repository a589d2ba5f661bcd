# SPDX-License-Identifier: Apache-2.0
"""`crypsis bench`: what this machine can do, measured; and `calibrate`, the constants of `crypsis plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from crypsis.mpc.cli.options import option


class _Bench(typer.core.TyperGroup):
    """`crypsis bench kernels` is answered with what to type."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            from crypsis.errors import ConfigError
            from crypsis.mpc.bench.suites import NAMES

            if cmd_name in NAMES:
                raise ConfigError(f"{cmd_name!r} is a suite, no command: type crypsis bench run {cmd_name}")
        return found


bench = typer.Typer(
    cls=_Bench,
    help="What this machine can do. Without a command, and with --quick or --peers, all suites are run.",
)
Quick = Annotated[
    bool, typer.Option("--quick", help="Small sizes and few rounds: two minutes for all suites.")
]
WithPeers = Annotated[
    bool,
    typer.Option("--peers", help="Time other projects' packages in the same run, those that are installed."),
]
PeerSeconds = Annotated[
    float,
    typer.Option(
        "--peer-seconds", min=0.1, max=86400, help="A peer that takes longer over an operation is left out."
    ),
]
Out = Annotated[Path | None, option("--out", "File that each row is appended to as it comes, as JSON lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print the rows as JSON lines instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
NoHistory = Annotated[
    bool,
    typer.Option(
        "--no-history", help="Spreads of this run alone; it is not remembered for those of later ones."
    ),
]
PEER_SECONDS = 60.0


@bench.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    quick: Quick = False,
    peers: WithPeers = False,
    peer_seconds: PeerSeconds = PEER_SECONDS,
    out: Out = None,
    json_output: Json = False,
    quiet: Quiet = False,
    no_history: NoHistory = False,
) -> None:
    """What this machine can do. Without a command, and with --quick or --peers, all suites are run."""
    given = quick or peers or out is not None or json_output or quiet or no_history
    given = given or peer_seconds != PEER_SECONDS
    if context.invoked_subcommand is not None:
        if given:
            raise typer.BadParameter(
                f"flags stand behind the command, as in: crypsis bench {context.invoked_subcommand} --quick"
            )
        return
    if not given:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
    run([], quick, peers, peer_seconds, out, json_output, quiet, no_history)


@bench.command("list")
def list_suites(json_output: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Suites and their cases."""
    from crypsis.mpc.cli import bench_run

    bench_run.list_suites(json_output=json_output)


@bench.command("run")
def run(
    suites: Annotated[
        list[str] | None,
        typer.Argument(help="kernels, paillier, ckks, ot, psi, train. Default: all.", show_default=False),
    ] = None,
    quick: Quick = False,
    peers: WithPeers = False,
    peer_seconds: PeerSeconds = PEER_SECONDS,
    out: Out = None,
    json_output: Json = False,
    quiet: Quiet = False,
    no_history: NoHistory = False,
) -> None:
    """Measure on one core: answers are checked first; then peers and ours are timed alternately.

    Ctrl-C keeps the rows that are there.
    """
    from crypsis.mpc.cli import bench_run

    bench_run.run_suites(
        suites or [],
        quick=quick,
        peers=peers,
        peer_seconds=peer_seconds,
        out=out,
        json_output=json_output,
        quiet=quiet,
        history=not no_history,
    )


@bench.command("compare")
def compare(
    before: Annotated[Path, typer.Argument(help="Rows of the one commit.", metavar="A.jsonl")],
    after: Annotated[Path, typer.Argument(help="Rows of the other.", metavar="B.jsonl")],
    json_output: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What changed between two files of rows beyond the noise."""
    from crypsis.mpc.cli import bench_run

    bench_run.compare_files(before, after, json_output=json_output)


@bench.command("report")
def report(
    files: Annotated[list[Path], typer.Argument(help="Files of rows.", metavar="FILE...")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file.")],
) -> None:
    """One HTML page of rows: bars against peers, shares of limits, scaling. Needs matplotlib (crypsis[learning])."""
    from crypsis.mpc.cli import bench_run

    bench_run.write_report(files, out)


@bench.command("scale")
def scale(
    what: Annotated[str, typer.Argument(help="psi: a whole job of two processes.", metavar="psi")],
    protocol: Annotated[str, typer.Option(help="vole or ecdh.")] = "vole",
    max_rows: Annotated[float, typer.Option(min=1000, max=1e8, help="The largest job, as in 1e8.")] = 1e6,
    axis: Annotated[
        list[str] | None, typer.Option("--axis", help="rows, threads or line; again for more. Default: all.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Most threads. Default: processors here.")
    ] = None,
    folder: Annotated[str | None, option("--folder", "A directory on a disk with room for the data.")] = None,
    out: Out = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """How a job grows with rows, with threads, and on lines of 1 Gbit/s, 1 ms and 100 Mbit/s, 10 ms."""
    from crypsis.mpc.cli import bench_run

    bench_run.scale(
        what,
        protocol=protocol,
        max_rows=max_rows,
        axes=axis,
        threads=threads,
        folder=folder,
        out=out,
        json_output=json_output,
        quiet=quiet,
    )


@bench.command("calibrate")
def calibrate(
    out: Annotated[
        str | None,
        option("--out", "File for the constants. Default: crypsis/rates.json in the user's cache directory."),
    ] = None,
    folder: Annotated[
        str | None,
        option("--folder", "A directory on the disk that jobs will use, for temporary files (600 MB)."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A rough answer in a few seconds.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the constants.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Measure on one core what `crypsis plan` needs: kernels, reading, writing, loopback, disk. Under a minute.

    Run it when the machine has nothing else to do.
    """
    import json
    import os
    import shutil
    import time
    from datetime import UTC, datetime

    from crypsis.errors import DataError
    from crypsis.mpc.data.sinks import OutputFile
    from crypsis.mpc.psi.calibrate import measure
    from crypsis.mpc.psi.rates import Calibration, default_path

    path = os.path.abspath(out if out is not None else default_path())
    where = os.path.abspath(folder if folder is not None else os.getcwd())
    rows, disk_bytes = (1 << 16, 32 << 20) if quick else (1 << 20, 256 << 20)
    needed = 2 * disk_bytes + 200 * rows
    try:
        free = shutil.disk_usage(where).free
        if out is None:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; check --folder and --out") from error
    if free < needed:
        raise DataError(
            f"{where}: {needed >> 20} MiB are needed for a moment, {free >> 20} are free; name another --folder"
        )
    with OutputFile(path, overwrite=True) as file:  # now, for what would stop it a minute later
        begin = time.perf_counter()
        rates = measure(
            where,
            rows=rows,
            disk_bytes=disk_bytes,
            say=None if quiet else lambda what: print(f"measuring {what}", file=sys.stderr, flush=True),
        )
        found = Calibration(rates, "this machine", _cpu(), datetime.now(UTC).isoformat(timespec="seconds"))
        text = json.dumps(found.as_json(), indent=2) + "\n"
        try:
            file.write(text.encode())
            file.commit()
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    if json_output:
        print(text, end="")
    else:
        print(f"{path}: measured in {time.perf_counter() - begin:.0f} s; `crypsis plan` uses it")
    sys.stdout.flush()


def _cpu() -> str:
    """The processor's name as the system gives it."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
