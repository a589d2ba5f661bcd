# SPDX-License-Identifier: Apache-2.0
"""Whether the disks hold a job: what is asked of them before it begins, and again when the output's rows are known.

Work directory and output may lie on one disk. Two moments count: the bins are all written, or (after they were removed,
one after the other) their results lie beside the output and its temporary files. Before anything of the peer is known,
the output is taken to have all own rows once, or `max_output_rows` where that is less; duplicates may make an aligned
one longer, which the second check knows.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from crypsis.errors import DataError
from crypsis.mpc.data import Source
from crypsis.mpc.data.gather import bytes_per_row
from crypsis.mpc.data.gather_files import temporary_bytes
from crypsis.mpc.data.opening import format_of
from crypsis.mpc.jobs.workdir import size_text
from crypsis.mpc.psi.config import JobConfig

_SLACK_BYTES = 64 << 20
RESULT_BYTES = 4


@dataclass(frozen=True)
class Place:
    """`n_bytes` that `what` will take in `directory`, which need not be there yet."""

    directory: str
    n_bytes: int
    what: str


def spilled_bytes(n_rows: int) -> int:
    """Most bytes that n_rows rows take in the work directory at one time: 16 a record, and 4 a result, which replaces
    the records of its bin; ledger and directories."""
    return (16 + RESULT_BYTES) * n_rows + _SLACK_BYTES


def output_places(config: JobConfig, source: Source, n_rows: int) -> list[Place]:
    """What an output of n_rows rows takes while it is written; nothing for a party without one."""
    output = config.output
    if output is None or not n_rows:
        return []
    names = output.columns if output.columns is not None else source.schema.names
    each = bytes_per_row(source, names)  # as Arrow has them
    if source.n_rows:
        as_read = source.n_bytes * len(names) / max(len(source.schema), 1) / source.n_rows
        packed = format_of(output.path, output.format) == "parquet"
        written = min(each, as_read) if packed else max(each, as_read)
    else:
        written = each
    folder = os.path.dirname(os.path.abspath(output.path))
    places = [Place(folder, int(n_rows * written), "the output")]
    if config.broadcast and config.align:
        more = temporary_bytes(n_rows, each, config.gather_bytes)
        places += [Place(folder, more, "temporary files that put it in order")] if more else []
    return places


def check_before(config: JobConfig, source: Source, n_rows: int, *, spills: bool) -> None:
    """Raises DataError for a disk without room for a job of about n_rows own rows; `spills`: the bins are still to be
    written."""
    folder = os.path.abspath(config.work_path)
    stages = []
    if spills:
        stages.append([Place(folder, spilled_bytes(n_rows), f"the spilled bins of about {n_rows} rows")])
    n_output = min(n_rows, config.max_output_rows or n_rows)
    if output := output_places(config, source, n_output):
        results = [Place(folder, RESULT_BYTES * n_output, "the results of the bins")] if spills else []
        stages.append(results + output)
    for stage in stages:
        check_places(stage)


def check_places(places: list[Place]) -> None:
    """Raises DataError where a disk lacks room for all of `places` at one time."""
    disks: dict[int, list[Place]] = {}
    for place in places:
        disks.setdefault(os.stat(_existing(place.directory)).st_dev, []).append(place)
    for there in disks.values():
        needed = sum(place.n_bytes for place in there)
        free = shutil.disk_usage(_existing(there[0].directory)).free
        if free < needed:
            parts = " and ".join(f"{place.what} ({size_text(place.n_bytes)})" for place in there)
            raise DataError(
                f"{there[-1].directory}: {parts} may take {size_text(needed)}, {size_text(free)} are free there; "
                f"free {size_text(needed - free)} more, put work_dir or the output on another disk, write fewer "
                "columns, or bound the output by max_output_rows"
            )


def _existing(directory: str) -> str:
    """The directory, or the nearest above it that is there."""
    while not os.path.isdir(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    return directory
