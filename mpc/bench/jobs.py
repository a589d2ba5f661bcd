# SPDX-License-Identifier: Apache-2.0
"""Whole PSI jobs on generated customers, for the suite `psi` and for `crypsis bench scale psi`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from crypsis.mpc.bench import psi_job
from crypsis.mpc.bench.psi_job import Link
from crypsis.mpc.cli.customers import write_bank, write_telco

_CSV_ROWS = 1 << 22  # spu reads CSV; beyond this it is not asked


def job_files(folder: Path, n_rows: int, *, csv: bool = True) -> int:
    """alice.parquet and bob.parquet, for spu as CSV too; returns how many ids both have."""
    write_bank(folder / "alice.parquet", n_rows, lambda done: None)
    write_telco(folder / "bob.parquet", n_rows, lambda done: None)
    if csv and n_rows <= _CSV_ROWS:
        for party in psi_job.PARTIES:
            ids = pq.read_table(folder / f"{party}.parquet", columns=["id"])
            with (folder / f"{party}.csv").open("wb") as file:  # without quotes: a reader may not know them
                file.write(b"id\n")
                options = pacsv.WriteOptions(include_header=False, quoting_style="none")
                pacsv.write_csv(ids, file, options)
    return n_rows - n_rows // 2


def run_job(
    folder: Path,
    protocol: str,
    *,
    threads: int = 1,
    link: Link | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Runs the job in folder/out; what `psi_job.run` tells."""
    job = psi_job.Job(threads=threads, fields={"protocol": protocol, **fields})
    return psi_job.run(folder / "alice.parquet", folder / "bob.parquet", folder / "out", job, link=link)
