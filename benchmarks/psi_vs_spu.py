# SPDX-License-Identifier: Apache-2.0
"""Whole PSI jobs, ours against `spu.psi`, two processes each, alternating on the same ids in one run.

    make peers && python -m benchmarks.psi_vs_spu --rows 1048576 --rounds 3 [--protocol vole]

Ours is psi_job.py (Parquet, mutual TLS), theirs peers/spu_psi.py (CSV, plain text); both tell both parties the result
(but for --no-broadcast). VOLE-PSI stands beside the peer's RR22 (fast), ECDH-PSI beside its ECDH; --peer-protocol
names another.
The sizes of both intersections are checked before anything is reported. One row is appended as for every benchmark.
`--only-ours` measures a size at which the peer would take too long.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from benchmarks import data, psi_job, rows

_TEXT = pacsv.ConvertOptions(column_types={"id": pa.string()}, include_columns=["id"])

SPU = rows.ROOT / ".venv-spu" / "bin" / "python"
RUNNER = rows.ROOT / "benchmarks" / "peers" / "spu_psi.py"
PEER_PROTOCOLS = ("ecdh", "rr22", "rr22-low-comm", "kkrt")


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


def check_output(path: Path, folder: Path, n_common: int) -> None:
    """The receiver's output holds `n_common` different ids, each of which both inputs have."""
    if path.suffix == ".parquet":
        found = pq.read_table(path, columns=["id"])["id"]
    else:
        found = pc.cast(pacsv.read_csv(path, convert_options=_TEXT)["id"], pa.string())
    if pc.count_distinct(found).as_py() != n_common or len(found) != n_common:
        raise SystemExit(f"{path.name} does not hold {n_common} different ids")
    for party in ("alice", "bob"):
        ids = pq.read_table(folder / f"{party}.parquet", columns=["id"])["id"]
        if not pc.all(pc.is_in(found, value_set=ids)).as_py():
            raise SystemExit(f"{path.name} holds ids that {party} does not have")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=65_536, help="rows of each party; half are in common")
    parser.add_argument("--rounds", type=int, default=3)
    psi_job.add_job_options(parser)
    parser.add_argument("--peer-protocol", choices=PEER_PROTOCOLS, help="default: the one that is like ours")
    parser.add_argument("--only-ours", action="store_true", help="leave the peer out")
    parser.add_argument("--rows-out", type=Path, default=rows.default_path(), help="file of JSON rows")
    options = parser.parse_args()
    if not options.only_ours and not SPU.exists():
        raise SystemExit("spu is not installed: run make peers")
    n_common = options.rows // 2
    results: dict[str, list[dict[str, Any]]] = {"spu": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for party, table in zip(
            ("alice", "bob"), data.parties(options.rows, options.rows, n_common), strict=True
        ):
            data.write(table, folder / f"{party}.parquet")
            if not options.only_ours:
                data.write(table, folder / f"{party}.csv")
        ours = [sys.executable, "-m", "benchmarks.psi_job", *psi_job.job_flags(options)]
        ours += [
            "--alice",
            f"{folder}/alice.parquet",
            "--bob",
            f"{folder}/bob.parquet",
            "--out",
            f"{folder}/ours",
        ]
        theirs = [
            str(SPU),
            str(RUNNER),
            "--protocol",
            options.peer_protocol or ("ecdh" if options.protocol == "ecdh" else "rr22"),
            *([] if options.no_broadcast else ["--broadcast"]),
            "--alice",
            f"{folder}/alice.csv",
            "--bob",
            f"{folder}/bob.csv",
        ]
        for number in range(options.rounds):
            if not options.only_ours:
                results["spu"].append(run([*theirs, "--out", f"{folder}/spu"], n_common))
            results["ours"].append(run(ours, n_common))
            if number == 0:  # a count can be right by accident
                check_output(folder / "ours" / "alice.parquet", folder, n_common)
                if not options.only_ours:
                    check_output(folder / "spu" / "alice.csv", folder, n_common)
            print(
                f"round {number + 1}",
                {who: jobs[-1]["seconds"] for who, jobs in results.items() if jobs},
                flush=True,
            )
    timings = {who: rows.Timing([job["seconds"] for job in jobs]) for who, jobs in results.items() if jobs}
    last = results["ours"][-1]
    extra: dict[str, Any] = {"threads": options.threads, "broadcast": not options.no_broadcast}
    extra |= {
        name: getattr(options, name)
        for name in ("security", "setting", "memory", "bin_rows", "workers")
        if getattr(options, name) is not None
    }
    extra |= {"phases": last["phases"], "payload_bytes": last["payload_bytes"]}
    extra |= {"cpu_seconds_ours": [job["cpu_seconds"] for job in results["ours"]]}
    extra |= {"peak_tree_ours": [job["peak_tree"] for job in results["ours"]]}
    for who, jobs in results.items():
        extra["wall_seconds_" + who] = [job["wall_seconds"] for job in jobs]
        extra["peak_rss_" + who] = [job["peak_rss"] for job in jobs]
    # Named by what the peer's own environment says it is.
    peers = {
        f"spu {job['version']} "
        + (f"ECDH {job['curve']}" if "curve" in job else job["protocol"].upper()): timings["spu"]
        for job in results["spu"][-1:]
    }
    limit = scalar_mult_limit(options.rows, options.threads) if options.protocol == "ecdh" else None
    measurement = rows.Measurement(
        f"psi/{options.protocol}", options.rows, "rows", timings["ours"], peers, limit=limit, extra=extra
    )
    rows.append(options.rows_out, measurement.as_row() | rows.environment())
    print(measurement.as_text())


def scalar_mult_limit(n_rows: int, threads: int) -> rows.Limit:
    """Rows a second if a party did nothing but its 2 n scalar multiplications, at the rate this machine shows now."""
    import numpy as np

    from crypsis import curve25519

    points = np.random.default_rng(1).integers(0, 256, (65_536, 32), dtype=np.uint8)
    scalar = curve25519.random_scalar()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        curve25519.scalar_mult(scalar, points, threads=threads)
        seconds.append(time.perf_counter() - start)
    rate = len(points) / sorted(seconds)[2]
    return rows.Limit(
        per_second=rate / 2,
        what=f"each party's 2 x {n_rows} X25519 at {rate:.0f}/s, measured in the same run",
    )


if __name__ == "__main__":
    sys.exit(main())
