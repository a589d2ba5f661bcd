# SPDX-License-Identifier: Apache-2.0
"""What `crypsis plan psi` predicts beside a real job of both parties on this machine.

    python -m benchmarks.plan_vs_run --rows 10000000 [--calibration FILE] [--no-broadcast]

Calibrates unless a file is given, predicts, runs the job (benchmarks.psi_job), checks its answer, prints both by stage
and appends a row. Ends with exit code 1 where the prediction is not within 30 % of the run: on a machine with nothing
else to do it should be. --rows-out has the row in either case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import data, psi_job, rows
from crypsis.mpc.psi import rates
from crypsis.mpc.psi.calibrate import measure
from crypsis.mpc.psi.config import parse_size
from crypsis.mpc.psi.layout import OUTER_ROWS
from crypsis.mpc.psi.predict import Estimate, Job, predict

WITHIN = 0.3
LOOPBACK = 10**11  # bits a second: what the cores do for it is in the model by itself
# Stage of the prediction -> phases of the run report.
PHASES = {
    "check the input": ("check input and output",),
    "read, hash, spill": ("read and spill keys",),
    "exchange bins": ("agree", "exchange"),
    "write output": ("write output", "wait for the peer's output"),
}


def compared(estimate: Estimate, result: dict[str, Any]) -> dict[str, list[float]]:
    """Stage -> [predicted seconds, seconds of the run]; the set-up belongs to the exchange."""
    planned = {stage.name: stage.seconds for stage in estimate.stages}
    planned["exchange bins"] += planned.pop("start")
    took = {
        name: sum(result["phases"].get(phase, 0.0) for phase in phases) for name, phases in PHASES.items()
    }
    table = {name: [planned[name], took[name]] for name in PHASES}
    return table | {"in all": [estimate.seconds, result["seconds"]]}


def outside(estimate: Estimate, result: dict[str, Any]) -> str | None:
    """What is wrong with the prediction, if anything."""
    ratio = estimate.seconds / result["seconds"]
    if not 1 - WITHIN <= ratio <= 1 + WITHIN:
        return (
            f"planned {estimate.seconds:.2f} s, took {result['seconds']:.2f} s: a ratio of {ratio:.2f}, outside "
            f"{1 - WITHIN:.2f} to {1 + WITHIN:.2f} (load average {os.getloadavg()[0]:.1f}: repeat on an idle machine, "
            "or calibrate again)"
        )
    for party, planned, peak in zip(psi_job.PARTIES, estimate.memory, result["peak_rss"], strict=True):
        if peak > planned:
            return f"{party} took {peak} bytes of memory, at most {planned} were planned"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of each party; half are in common")
    parser.add_argument("--calibration", help="of `crypsis bench calibrate`; default: measure now")
    parser.add_argument("--folder", type=Path, help="for temporary files")
    parser.add_argument("--rows-out", type=Path, default=rows.default_path(), help="file of JSON rows")
    psi_job.add_job_options(parser)
    parser.set_defaults(protocol="vole")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        known = rates.load(options.calibration).rates if options.calibration else measure(name)
        paths = []
        for party, table in zip(
            psi_job.PARTIES, data.parties(options.rows, options.rows, options.rows // 2), strict=True
        ):
            paths.append(folder / f"{party}.parquet")
            data.write(table, paths[-1])
        job = Job(
            n_receiver=options.rows,
            n_sender=options.rows,
            bandwidth=LOOPBACK,
            latency=0.0001,
            cores=len(os.sched_getaffinity(0)),
            together=True,
            protocol=options.protocol,
            security=options.security or "semi-honest",
            setting=options.setting or "fast",
            broadcast=not options.no_broadcast,
            memory=parse_size(options.memory or "2GiB"),
            bin_rows=options.bin_rows or OUTER_ROWS,
            workers=options.workers or 1,
            row_bytes=sum(path.stat().st_size for path in paths) / (2 * options.rows),
        )
        estimate = predict(job, known)
        # A process of its own, whose peak memory is not that of this one.
        command = [sys.executable, "-m", "benchmarks.psi_job", *psi_job.job_flags(options)]
        for flag, path in (("--alice", paths[0]), ("--bob", paths[1]), ("--out", folder / "out")):
            command += [flag, str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(done.stdout.strip().splitlines()[-1])
    if result["intersection"] != options.rows // 2:
        raise SystemExit(f"{result['intersection']} ids in common were found: there are {options.rows // 2}")
    table = compared(estimate, result)
    for stage, (planned, took) in table.items():
        print(f"{stage:<20} planned {planned:8.2f} s   took {took:8.2f} s   ratio {planned / took:5.2f}")
    planned_cpu = job.cores * sum(stage.needs.get("cores", 0.0) for stage in estimate.stages)
    print(
        f"CPU seconds of both: planned {planned_cpu:.2f}, took {sum(result['cpu_seconds']):.2f} with imports"
    )
    sent = [estimate.receiver_sends, estimate.sender_sends]
    print(f"payload bytes planned {sent}, sent {result['payload_bytes']}")
    print(f"memory planned {list(estimate.memory)}, peak {result['peak_rss']}")
    extra = {
        "planned_memory_bytes": list(estimate.memory),
        "peak_rss": result["peak_rss"],
        "stages": table,
        "ratio": estimate.seconds / result["seconds"],
        "planned_payload_bytes": sent,
        "payload_bytes": result["payload_bytes"],
        "planned_cpu_seconds": planned_cpu,
        "cpu_seconds": result["cpu_seconds"],
        "rates": rates.Calibration(known, "").as_json()["rates"],
        "load_average": os.getloadavg()[0],
    }
    row = rows.Measurement(
        f"psi/{options.protocol}/plan",
        options.rows,
        "rows",
        rows.Timing([result["seconds"]]),
        {},
        extra=extra,
    )
    rows.append(options.rows_out, row.as_row() | rows.environment())
    if problem := outside(estimate, result):
        raise SystemExit(problem)


if __name__ == "__main__":
    main()
