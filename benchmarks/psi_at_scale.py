# SPDX-License-Identifier: Apache-2.0
"""A job of 10^8 or 10^9 rows a party: data, disk check, two `crypsis psi run` processes, the answer checked, a row.

    python -m benchmarks.psi_at_scale --rows 1e8 --memory 4GiB --folder DIR [--no-broadcast] [--keep]

DIR gets the data (kept for another run with --keep), the parties' work directories and the outputs; what is spent is
deleted. One row is appended as for every benchmark, and both run reports go to benchmarks/results/reports/ without
paths. A job that was stopped goes on when the same command is given again; its seconds are then those of the last leg,
and the row says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from benchmarks import data_at_scale, psi_job, rows

REPORTS = rows.ROOT / "benchmarks" / "results" / "reports"
SPARE_BYTES = 2 << 30  # left free for the rest of the machine


def needed_bytes(plan: data_at_scale.Plan, *, broadcast: bool) -> int:
    """Most that the disk must hold at once beyond the data: spilled records of 16 bytes, results, the outputs."""
    spilled = 16 * (plan.alice_rows + plan.bob_rows)
    results = 8 * plan.n_common * (2 if broadcast else 1)
    return spilled + 2 * results


def require_space(folder: Path, n_bytes: int) -> None:
    """Ends the program where the disk is too small."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes + SPARE_BYTES:
        raise SystemExit(
            f"{n_bytes >> 20} MiB are needed and {SPARE_BYTES >> 20} more to spare, {free >> 20} are free: "
            "use another --folder"
        )


def sanitised(value: Any) -> Any:
    """A report that may be published: paths shortened to their last name, no host name."""
    host = socket.gethostname()
    if isinstance(value, dict):
        return {name: sanitised(item) for name, item in value.items()}
    if isinstance(value, list):
        return [sanitised(item) for item in value]
    if isinstance(value, str):
        if os.path.isabs(value) or ("/" in value and " " not in value):
            value = os.path.basename(value)
        return value.replace(host, "host") if host else value
    return value


def check_answer(plan: data_at_scale.Plan, out: Path, *, broadcast: bool) -> None:
    """The outputs hold exactly the ids in common, in the same order where both have one."""
    data_at_scale.check(plan, out / "alice.parquet")
    if broadcast:
        data_at_scale.check(plan, out / "bob.parquet")
        if not data_at_scale.same_order(out / "alice.parquet", out / "bob.parquet"):
            raise SystemExit("the outputs are not in the same order")


def keep_reports(out: Path, n_rows: int, protocol: str) -> list[str]:
    """Copies both run reports; returns their names."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    day = rows.environment()["date"][:10]
    names = []
    for party in psi_job.PARTIES:
        report = json.loads((out / f"{party}.report.json").read_text())
        names.append(f"{day}-psi-{protocol}-{n_rows}-{report['role']}.json")
        (REPORTS / names[-1]).write_text(json.dumps(sanitised(report), indent=2) + "\n")
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    data_at_scale.add_plan_options(parser)
    parser.add_argument("--folder", type=Path, required=True, help="on a disk with room")
    parser.add_argument("--keep", action="store_true", help="keep data and outputs")
    parser.add_argument("--rows-out", type=Path, default=rows.default_path(), help="file of JSON rows")
    psi_job.add_job_options(parser)
    parser.set_defaults(protocol="vole")
    options = parser.parse_args()
    plan = data_at_scale.plan_of(options)
    broadcast = not options.no_broadcast
    options.folder.mkdir(parents=True, exist_ok=True)
    out, works = options.folder / "out", options.folder / "work"
    resumed = works.exists() and any(works.iterdir())
    if not resumed:
        require_space(
            options.folder, data_at_scale.data_bytes(plan) + needed_bytes(plan, broadcast=broadcast)
        )
    options.work_dir = options.work_dir or works
    alice, bob = data_at_scale.write(plan, options.folder, say=True)
    result = psi_job.run(alice, bob, out, psi_job.job_of(options, key_type="int"))
    print(json.dumps(result), flush=True)
    if result["intersection"] != plan.n_common:
        raise SystemExit(f"{result['intersection']} ids in common were found: there are {plan.n_common}")
    check_answer(plan, out, broadcast=broadcast)
    print("the answer is right", flush=True)
    fields = psi_job.job_of(options).fields
    fields.pop("work_dir", None)
    extra = {
        **fields,
        "bob_rows": plan.bob_rows,
        "common_rows": plan.n_common,
        "ids": "int64",
        "threads": options.threads,
        "broadcast": broadcast,
        "cores": len(os.sched_getaffinity(0)),
        "resumed": resumed,
        "reports": keep_reports(out, plan.alice_rows, options.protocol),
    }
    extra |= {name: result[name] for name in ("wall_seconds", "phases", "payload_bytes", "cpu_seconds")}
    extra |= {name: result[name] for name in ("peak_rss", "peak_tree")}
    measurement = rows.Measurement(
        f"psi/{options.protocol}/at scale",
        plan.alice_rows,
        "rows",
        rows.Timing([result["seconds"]]),
        {},
        extra=extra,
    )
    rows.append(options.rows_out, measurement.as_row() | rows.environment())
    print(measurement.as_text())
    if not options.keep:
        for spent in (alice, bob, out, works):
            shutil.rmtree(spent, ignore_errors=True)
        (options.folder / "data.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
