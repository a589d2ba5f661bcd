# SPDX-License-Identifier: Apache-2.0
"""`crypsis demo psi`: two operating-system processes intersect generated customers over loopback mutual
TLS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crypsis.errors import ConfigError, CrypsisError
from crypsis.mpc.cli.customers import write_bank, write_telco
from crypsis.mpc.cli.progress import progress_bars
from crypsis.mpc.cli.psi_run import size
from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port

_SAMPLE_ROWS = 3
# A party that lost its peer ends by itself within this; then it is ended.
_GRACE_S = 5.0


class DemoFailed(CrypsisError):
    """One of the two processes failed; the exit code is its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class _Party:
    name: str
    process: subprocess.Popen[bytes]
    errors: IO[bytes] | None  # None: its stderr is our terminal


def run_demo(*, n_rows: int, protocol: str, work_dir: Path | None, threads: int | None, quiet: bool) -> None:
    """Generates, runs, checks and prints. Raises DemoFailed when a party fails or the answer is wrong."""
    if protocol not in ("vole", "ecdh", "auto"):
        raise ConfigError(f"--protocol is {protocol!r}: use vole, ecdh or auto")
    with ExitStack() as stack:
        if work_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crypsis-demo-")))
        else:
            folder = work_dir.absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"--work-dir {folder}: cannot be made: {error.strerror}") from error
        with progress_bars("demo", enabled=not quiet) as progress:
            report = progress or (lambda phase, done, total: None)
            write_bank(folder / "bank.parquet", n_rows, lambda n: report("generate bank", n, n_rows))
            write_telco(folder / "telco.parquet", n_rows, lambda n: report("generate telco", n, n_rows))
        make_development_certificates(folder / "certificates", ["bank", "telco"], overwrite=True)
        _write_configs(folder, protocol, threads)
        seconds = run_parties(folder, "psi", "run", quiet=quiet)
        _check(folder)
        _print_result(folder, n_rows, seconds, kept=work_dir is not None)


def _write_configs(folder: Path, protocol: str, threads: int | None) -> None:
    """One configuration file a party, as its own operator would write it."""
    address = f"127.0.0.1:{free_port()}"
    cores = len(os.sched_getaffinity(0))
    for party, peer, role in (("bank", "telco", "receiver"), ("telco", "bank", "sender")):
        config = {
            "party": party,
            "peer": peer,
            "role": role,
            "listen" if party == "bank" else "connect": address,
            "tls": {
                "ca": "certificates/ca.crt",
                "certificate": f"certificates/{party}.crt",
                "key": f"certificates/{party}.key",
            },
            "input": {"path": f"{party}.parquet"},
            "keys": [{"name": "id", "type": "string"}],
            "output": {"path": f"{party}.matched.parquet", "overwrite": True},
            "protocol": protocol,
            "broadcast": True,
            "job": "demo",
            "threads": threads or max(cores // 2, 1),
        }
        # JSON is YAML, so this is what `crypsis psi run --config` reads too.
        (folder / f"{party}.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def run_parties(folder: Path, *command: str, quiet: bool) -> float:
    """A `crypsis` command with --config at both parties to its end; returns the seconds from start to end. Raises
    DemoFailed."""
    on_terminal = sys.stderr.isatty() and not quiet
    begin = time.perf_counter()
    parties: list[_Party] = []
    with ExitStack() as stack:
        try:
            for name in ("bank", "telco"):
                # Two sets of bars would overwrite each other: the bank's stand for both.
                errors = (
                    None if on_terminal and name == "bank" else stack.enter_context(tempfile.TemporaryFile())
                )
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "crypsis.mpc.cli",
                        *command,
                        "--config",
                        str(folder / f"{name}.json"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                )
                parties.append(_Party(name, process, errors))
            _wait(parties)
        finally:
            _end(parties)
    return time.perf_counter() - begin


def _wait(parties: list[_Party]) -> None:
    """Returns when all have succeeded; raises DemoFailed when one has failed, with what each said."""
    deadline: float | None = None
    while any(party.process.poll() is None for party in parties):
        failed = any(party.process.poll() for party in parties)
        if failed and deadline is None:
            deadline = time.monotonic() + _GRACE_S
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(0.05)
    failures = [party for party in parties if party.process.poll()]
    if failures:
        # A party that lost its peer says so; the cause is with the one that failed for another reason.
        failures.sort(key=lambda party: party.process.returncode in (5, 6))
        code = failures[0].process.returncode
        raise DemoFailed(
            "\n".join(f"{party.name}: {_last_error(party)}" for party in failures), code if code > 0 else 1
        )


def _last_error(party: _Party) -> str:
    code = party.process.returncode
    ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    if party.errors is None:
        return f"{ended}; its message is above"
    party.errors.seek(0)
    lines = party.errors.read().decode(errors="replace").splitlines()
    told = [line for line in lines if line.startswith("error: ")] or lines[-1:]
    return f"{' '.join(told).removeprefix('error: ')} ({ended})" if told else ended


def _end(parties: list[_Party]) -> None:
    for party in parties:
        if party.process.poll() is None:
            party.process.terminate()
    for party in parties:
        try:
            party.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            party.process.kill()
            party.process.wait()


def _check(folder: Path) -> None:
    """The outputs hold exactly the plaintext intersection, and line up row by row."""
    expected = np.intersect1d(
        _ids(folder / "bank.parquet"), _ids(folder / "telco.parquet"), assume_unique=True
    )
    bank, telco = _ids(folder / "bank.matched.parquet"), _ids(folder / "telco.matched.parquet")
    if not np.array_equal(bank, telco):
        raise DemoFailed("the two outputs do not line up row by row: a defect in Crypsis", 70)
    if not np.array_equal(np.sort(bank), expected):
        raise DemoFailed("the result differs from the plaintext join: a defect in Crypsis", 70)


def _ids(path: Path) -> npt.NDArray[np.int64]:
    """The ids of a file as numbers: 18 digits fit."""
    column = pq.read_table(path, columns=["id"])["id"]
    return np.asarray(pc.cast(column, pa.int64()).to_numpy())


def _print_result(folder: Path, n_rows: int, seconds: float, *, kept: bool) -> None:
    reports: dict[str, dict[str, Any]] = {
        name: json.loads((folder / f"{name}.matched.parquet.report.json").read_text(encoding="utf-8"))
        for name in ("bank", "telco")
    }
    traffic, counts = reports["bank"]["traffic"], reports["bank"]["counts"]
    exchange = reports["bank"]["seconds"]["exchange"]
    print(f"rows           bank {n_rows:,}, telco {n_rows:,}")
    print(f"intersection   {counts['matched_keys']:,} keys, equal to the plaintext join (checked)")
    print(f"seconds        {seconds:.2f} from start to end of both processes, {exchange:.2f} in the exchange")
    print(
        f"bytes          {size(traffic['wire_bytes_sent'])} bank to telco, "
        f"{size(traffic['wire_bytes_received'])} telco to bank, mutual TLS"
    )
    if kept:
        for name in ("bank", "telco"):
            output = folder / f"{name}.matched.parquet"
            print(f"{name:<14} {output}\n{'':14} {output}.report.json")
    else:
        print("files          removed; --work-dir DIRECTORY keeps data, certificates, outputs and reports")
    _print_samples(folder)


def _print_samples(folder: Path) -> None:
    """The first rows of both outputs side by side: the same customers in the same order."""
    heads = [
        next(pq.ParquetFile(folder / f"{name}.matched.parquet").iter_batches(_SAMPLE_ROWS), None)
        for name in ("bank", "telco")
    ]
    if any(head is None or head.num_rows == 0 for head in heads):
        return
    columns = [
        (f"{name}.{field}", [str(value) for value in head.column(field).to_pylist()])
        for name, head in zip(("bank", "telco"), heads, strict=True)
        if head is not None
        for field in head.schema.names
    ]
    widths = [max(len(title), *(len(value) for value in values)) for title, values in columns]
    print()
    print("  ".join(title.ljust(width) for (title, _), width in zip(columns, widths, strict=True)).rstrip())
    for row in range(len(columns[0][1])):
        cells = (values[row].ljust(width) for (_, values), width in zip(columns, widths, strict=True))
        print("  ".join(cells).rstrip())
