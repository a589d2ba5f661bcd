# SPDX-License-Identifier: Apache-2.0
"""From the results of a job's bins to the rows of its output."""

from __future__ import annotations

from crypsis.mpc.data import FilePlan, RowMask
from crypsis.mpc.psi.spilled import SpilledJob
from crypsis.mpc.transport import Channel


def plan_output(job: SpilledJob, channel: Channel) -> RowMask | FilePlan | None:
    """Which rows go to the output, and in which order; None for a party that learns nothing.

    Aligned outer joins take what the peer says of its rows without partner.
    Raises DataError where the output would have too many rows, CorruptData for a result that is not as it was written.
    """
    options = job.options
    if not options.has_output:
        return None
    mask = RowMask.empty(job.outcome.n_rows, join=options.join, own_side=options.own_side)
    files = job.results()
    for file in files:
        for chunk in file.chunks():
            mask.mark(chunk)
    if not options.aligned:
        return mask
    outer = options.join in ("full", "difference") or options.join == options.own_side
    unmatched = job.outcome.n_rows - mask.n_partnered if outer else 0
    theirs = job.agree_totals(channel, unmatched)
    return FilePlan.aligned(files, mask, peer_unmatched_rows=theirs, max_output_rows=options.max_output_rows)
