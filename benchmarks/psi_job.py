# SPDX-License-Identifier: Apache-2.0
"""`crypsis.mpc.bench.psi_job` by the name that the programs here know it by."""

from __future__ import annotations

from crypsis.mpc.bench.psi_job import PARTIES, Job, add_job_options, job_flags, job_of, main, run

__all__ = ["PARTIES", "Job", "add_job_options", "job_flags", "job_of", "main", "run"]

if __name__ == "__main__":
    main()
