# SPDX-License-Identifier: Apache-2.0
"""Whole PSI jobs, ours against `spu.psi`, two processes each, alternating on the same ids in one run.

    python -m benchmarks.psi_vs_spu --rows 1048576 --rounds 3 --ours 'COMMAND with {alice} {bob} {out}'

COMMAND runs both of our parties on Parquet files and prints, as its last line, a JSON object with `seconds`,
`intersection` and `peak_rss` (bytes, one number a party), as peers/spu_psi.py does for spu on CSV. The sizes
of both intersections are checked before anything is reported. One row is appended as for every benchmark.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import data, rows

SPU = rows.ROOT / ".venv-spu" / "bin" / "python"
RUNNER = rows.ROOT / "benchmarks" / "peers" / "spu_psi.py"


def run(command: list[str], n_common: int) -> dict[str, Any]:
    """One job: its JSON line, checked against the intersection that the data was made with."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if result["intersection"] != n_common:
        raise SystemExit(f"{command[0]} found {result['intersection']} rows in common: there are {n_common}")
    return {"wall_seconds": wall_seconds} | result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", required=True, help="command line with {alice}, {bob} and {out}")
    parser.add_argument("--rows", type=int, default=65_536, help="rows of each party; half are in common")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows-out", type=Path, default=rows.default_path(), help="file of JSON rows")
    options = parser.parse_args()
    if not SPU.exists():
        raise SystemExit("spu is not installed: run make peers")
    n_common = options.rows // 2
    results: dict[str, list[dict[str, Any]]] = {"spu": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for party, table in zip(
            ("alice", "bob"), data.parties(options.rows, options.rows, n_common), strict=True
        ):
            data.write(table, folder / f"{party}.parquet")
            data.write(table, folder / f"{party}.csv")
        paths = {"alice": folder / "alice.parquet", "bob": folder / "bob.parquet", "out": folder / "ours"}
        ours = [word.format(**paths) for word in shlex.split(options.ours)]
        theirs = [str(SPU), str(RUNNER), "--alice", f"{folder}/alice.csv", "--bob", f"{folder}/bob.csv"]
        for _ in range(options.rounds):
            results["spu"].append(run([*theirs, "--out", f"{folder}/spu"], n_common))
            results["ours"].append(run(ours, n_common))
    timings = {who: rows.Timing([job["seconds"] for job in jobs]) for who, jobs in results.items()}
    extra = {"wall_seconds_" + who: [job["wall_seconds"] for job in jobs] for who, jobs in results.items()}
    extra |= {"peak_rss_" + who: [job["peak_rss"] for job in jobs] for who, jobs in results.items()}
    peer = {"spu 0.9.5 ECDH-25519": timings["spu"]}
    measurement = rows.Measurement("psi/ecdh", options.rows, "rows", timings["ours"], peer, extra=extra)
    rows.append(options.rows_out, measurement.as_row() | rows.environment())
    print(measurement.as_text())


if __name__ == "__main__":
    sys.exit(main())
