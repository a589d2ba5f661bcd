# SPDX-License-Identifier: Apache-2.0
"""`crypsis bench`: what this machine does a second, beside peers in the same run, as a share of what its units allow.

suites/        a module a suite: cases, each with its input, its check, its limit and its peers
suite.py       what a suite and a case are
measure.py     checks answers, then times ours and the peers alternately
limits.py      rates of this machine's units, and the limits of what counts.py counts
peers.py       where a peer is, and its process (peer_process.py); runner.py is the process of those importable here
run.py         suites one after the other, rows written as they come
rows.py        the JSON row
compare.py     what changed between two files of rows, beyond the noise
report.py      one HTML page of rows
scale.py       how a job grows with rows, threads and a slower line (shaped_link.py, psi_job.py)
"""
