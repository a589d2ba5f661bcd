# SPDX-License-Identifier: Apache-2.0
"""What `crypsis bench run`, `report`, `compare` and `scale` do once their flags are read."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypsis.errors import ConfigError, DataError

if TYPE_CHECKING:
    from crypsis.mpc.bench.run import Outcome


def check_rows_file(path: Path) -> None:
    """The file takes rows: it is new or empty, or has rows of this schema. DataError before anything is measured."""
    from crypsis.mpc.bench import rows

    try:
        with path.open("a", encoding="utf-8"):
            pass
        if path.stat().st_size == 0:
            return
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    rows.read(path)


def run_suites(
    names: Sequence[str],
    *,
    quick: bool,
    peers: bool,
    peer_seconds: float,
    out: Path | None,
    json_output: bool,
    quiet: bool,
    history: bool,
) -> None:
    """Measures and prints; a run that is interrupted prints what it has and goes on being interrupted."""
    from crypsis.mpc.bench import suites
    from crypsis.mpc.bench.earlier import Earlier, default_path
    from crypsis.mpc.bench.peers import Peers
    from crypsis.mpc.bench.run import Outcome, run
    from crypsis.mpc.bench.suite import WrongAnswer
    from crypsis.mpc.cli.progress import progress_bars

    chosen = list(dict.fromkeys(names)) or list(suites.NAMES)
    for name in chosen:
        suites.load(name)
    if out is not None:
        check_rows_file(out)
    scale = os.environ.get("CRYPSIS_BENCH_SIZES") or ("quick" if quick else "full")
    if scale not in ("tiny", "quick", "full"):
        raise ConfigError(f"CRYPSIS_BENCH_SIZES is {scale!r}: use tiny, quick or full")

    def keep(row: dict[str, Any]) -> None:
        if json_output:
            print(json.dumps(row, ensure_ascii=False), flush=True)

    outcome = Outcome()
    earlier = Earlier(default_path()) if history and scale != "tiny" else None
    try:
        with progress_bars("bench", enabled=not quiet) as progress:
            run(
                chosen,
                scale=scale,
                peers=Peers(enabled=peers, limit_s=peer_seconds),
                out=out,
                keep=keep,
                say=None if progress is None else lambda case, done, total: progress(case, done, total),
                outcome=outcome,
                earlier=earlier,
            )
    finally:
        if not json_output and outcome.rows:
            _print(outcome)
        if out is not None:
            print(f"{len(outcome.rows)} rows were added to {out}", file=sys.stderr)
        if earlier is not None and earlier.why_not:
            print(
                f"this run is not remembered for the spread of the next: {earlier.why_not}", file=sys.stderr
            )
        for case, why in outcome.not_measured.items():
            print(f"not measured: {case}: {why}", file=sys.stderr)
        for peer, why in outcome.peers.items():
            print(f"left out: {peer}: {why}", file=sys.stderr)
    if outcome.wrong:
        raise WrongAnswer("; ".join(outcome.wrong))


def _print(outcome: Outcome) -> None:
    from crypsis.mpc.bench import table
    from crypsis.mpc.bench.core_time import remark

    console = table.console()
    console.print(table.results(outcome.rows))
    last = outcome.rows[-1]
    flags = " ".join(last["cpu_flags"])
    console.print(f"{last['cpu']} ({flags}), {last['date']}, commit {last['commit']}", markup=False)
    known = [f"{rate:.3g} {unit}" for unit, rate in last["extra"]["limits"].items()]
    if known:
        console.print(f"one core, a second: {', '.join(known)}", markup=False)
    if runs := max(row.get("earlier_runs", 0) for row in outcome.rows):
        console.print(f"spreads reach to earlier runs of this commit here ({runs} at most)")
    if taken := remark(outcome.rows):
        console.print(taken, markup=False)
    for row in outcome.rows:
        if "no limit" in row["extra"]:
            console.print(f"no limit: {row['name']}: {row['extra']['no limit']}", markup=False)


def list_suites(*, json_output: bool) -> None:
    """Suites, their cases, and which of their peers are here."""
    from crypsis.mpc.bench import suites

    loaded = [suites.load(name) for name in suites.NAMES]
    if json_output:
        told = [{"suite": s.name, "what": s.what, "cases": [case.name for case in s.cases]} for s in loaded]
        print(json.dumps(told, indent=2))
        return
    for suite in loaded:
        print(f"{suite.name}: {suite.what}")
        for case in suite.cases:
            print(f"    {case.name}" + ("" if "quick" in case.scales else "    (not with --quick)"))


def compare_files(before: Path, after: Path, *, json_output: bool) -> None:
    """Prints what changed. DataError where no case is in both files."""
    from crypsis.mpc.bench import rows, table
    from crypsis.mpc.bench.compare import commits, compare

    old, new = rows.read(before), rows.read(after)
    found = compare(old, new)
    if not found.changes:
        raise DataError(f"{before} and {after} have no case in common")
    if json_output:
        told = {
            "changes": [vars(one) | {"change": one.change, "verdict": one.verdict} for one in found.changes],
            "only_before": found.only_before,
            "only_after": found.only_after,
            "remarks": found.remarks,
        }
        print(json.dumps(told, indent=2))
        return
    console = table.console()
    console.print(table.changes(found.changes))
    files = f"A: {before.name}, commit {commits(old)}; B: {after.name}, commit {commits(new)}"
    console.print(table.plain(files), markup=False)
    moved = [one for one in found.changes if one.verdict != "within the noise"]
    console.print(f"{len(moved)} of {len(found.changes)} cases changed beyond the noise", markup=False)
    for one in moved:
        name = table.plain(one.name)
        console.print(f"{one.verdict}: {name} ({100 * one.change:+.1f} %)", markup=False)
    for names, letter in ((found.only_before, "A"), (found.only_after, "B")):
        for name in names:
            console.print(f"only in {letter}: {table.plain(name)}", markup=False)
    for remark in found.remarks:
        print(f"remark: {table.plain(remark)}", file=sys.stderr)


def write_report(files: Sequence[Path], out: Path) -> None:
    """Renders the rows of all files into one page."""
    from crypsis.mpc.bench import rows
    from crypsis.mpc.bench.report import render
    from crypsis.mpc.data.sinks import OutputFile

    found = [row for path in files for row in rows.read(path)]
    if any(path.exists() and out.exists() and path.samefile(out) for path in files):
        raise ConfigError(f"--out {out}: the page would replace the rows; name another file")
    if out.exists() and not out.is_file():
        raise DataError(f"{out}: is no file; name one with --out")
    with OutputFile(os.path.abspath(out), overwrite=True) as file:
        try:
            file.write(render(found).encode())
            file.commit()
        except OSError as error:
            raise DataError(f"{out}: cannot be written: {error.strerror}") from error
    print(f"{out}: {len(found)} rows")


def scale(
    what: str,
    *,
    protocol: str,
    max_rows: float,
    axes: Sequence[str] | None,
    threads: int | None,
    folder: str | None,
    out: Path | None,
    json_output: bool,
    quiet: bool,
) -> None:
    """Runs the jobs, prints a line of each as it ends, and the fit: also where it is interrupted."""
    from crypsis.mpc.bench import rows
    from crypsis.mpc.bench import scale as scaling
    from crypsis.mpc.cli.progress import progress_bars

    if what != "psi":
        raise ConfigError(f"{what!r} cannot be scaled: psi can")
    if protocol not in ("vole", "ecdh"):
        raise ConfigError(f"--protocol is {protocol!r}: use vole or ecdh")
    for axis in axes or ():
        if axis not in rows.AXES:
            raise ConfigError(f"--axis is {axis!r}: use {', '.join(rows.AXES)}")
    if not max_rows >= 1000:  # NaN neither
        raise ConfigError(f"--max-rows is {max_rows}: use 1000 to 1e8")
    if out is not None:
        check_rows_file(out)
    found: list[dict[str, Any]] = []

    def keep(row: dict[str, Any]) -> None:
        found.append(row)
        if out is not None:
            try:
                rows.append(out, row)
            except OSError as error:
                raise DataError(f"{out}: cannot be written: {error.strerror}") from error
        if json_output:
            print(json.dumps(row, ensure_ascii=False), flush=True)

    try:
        with _data_folder(folder) as place, progress_bars("bench", enabled=not quiet) as progress:
            scaling.scale_psi(
                place,
                protocol=protocol,
                max_rows=int(max_rows),
                axes=axes or rows.AXES,
                most_threads=threads,
                say=None if quiet else lambda step: print(f"measuring {step}", file=sys.stderr, flush=True),
                progress=None if progress is None else lambda step, done, total: progress(step, done, total),
                keep=keep,
            )
    finally:
        if found and not json_output:
            _print_scaling(found)
        if out is not None:
            print(f"{len(found)} rows were added to {out}", file=sys.stderr)


@contextmanager
def _data_folder(parent: str | None) -> Iterator[Path]:
    """A directory of ours below `parent`, that of temporary files by default; it goes with all that is in it."""
    where = parent or tempfile.gettempdir()
    if not os.path.isdir(where):
        raise DataError(f"{where}: there is no such directory; name another --folder")
    try:
        with tempfile.TemporaryDirectory(prefix="crypsis-scale-", dir=where) as name:
            yield Path(name)
    except BrokenPipeError:  # stdout's reader went away: no disk is to blame
        raise
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else str(error)
        raise DataError(f"{where}: {told}; name another --folder") from error


def _print_scaling(found: Sequence[dict[str, Any]]) -> None:
    from crypsis.mpc.bench import table
    from crypsis.mpc.bench.scale import fit_of

    console = table.console()
    console.print(table.jobs(found))
    fitted = fit_of(found)
    if fitted is not None:
        console.print(f"rows: {fitted.as_text()}", markup=False)
    for row in found:
        extra = row["extra"]
        if "shaped" in extra:
            why = f" (not by tc: {extra['not_by_tc']})" if "not_by_tc" in extra else ""
            console.print(f"{extra['line']}: shaped by {extra['shaped']}{why}", markup=False)
