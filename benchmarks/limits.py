# SPDX-License-Identifier: Apache-2.0
"""Limits of the kernels' benchmarks: counts and rates are those of `crypsis bench`."""

from __future__ import annotations

from crypsis.mpc.bench.counts import Counts
from crypsis.mpc.bench.limits import Machine
from crypsis.mpc.bench.rows import Limit

MACHINE = Machine()


def by(slug: str, counts: Counts, what: str, backend: str) -> Limit | None:
    """Items a second of that backend where each takes `counts`; None where its operations are not counted."""
    found = MACHINE.by(slug, counts, what, backend=backend)
    return found if isinstance(found, Limit) else None
