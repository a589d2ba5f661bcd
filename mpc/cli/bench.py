# SPDX-License-Identifier: Apache-2.0
"""`crypsis bench calibrate`: what this machine can do, for `crypsis plan`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crypsis.mpc.cli.psi_run import option

bench = typer.Typer(help="What this machine can do.", no_args_is_help=True)


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
