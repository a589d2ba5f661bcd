# SPDX-License-Identifier: Apache-2.0
"""Whole PSI jobs on generated customers, for the suite `psi` and for `crypsis bench scale psi`.

Data are made and outputs are checked a piece at a time, so that the memory it takes does not depend on the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from crypsis.mpc.bench import psi_job
from crypsis.mpc.bench.lines import Link
from crypsis.mpc.bench.suite import WrongAnswer
from crypsis.mpc.cli.customers import customer_numbers, write_bank, write_telco

_CSV_ROWS = 1 << 22  # spu reads CSV; beyond this it is not asked
_PIECE = 1 << 20

Words = npt.NDArray[np.uint64]
Advance = Callable[[int], None]


def job_files(folder: Path, n_rows: int, *, csv: bool = True, advance: Advance = lambda done: None) -> int:
    """alice.parquet and bob.parquet, for spu as CSV too; returns how many ids both have. `advance` is told the rows
    written so far, of 2 n_rows."""
    write_bank(folder / "alice.parquet", n_rows, advance)
    write_telco(folder / "bob.parquet", n_rows, lambda done: advance(n_rows + done))
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
    by_tc: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    """Runs the job in folder/out; what `psi_job.run` tells."""
    job = psi_job.Job(threads=threads, fields={"protocol": protocol, **fields})
    alice, bob = (folder / f"{party}.parquet" for party in psi_job.PARTIES)
    return psi_job.run(alice, bob, folder / "out", job, link=link, by_tc=by_tc)


class _Sums(NamedTuple):
    """Of a column of ids: one that is wrong goes unseen with a probability of 2^-64 or so; `order` differs where the
    same ids stand in another order."""

    n_ids: int
    ids: int
    order: int


def check_outputs(folder: Path, n_rows: int, *, advance: Advance = lambda done: None) -> None:
    """Both outputs in folder/out hold exactly the ids that both parties have, in the same order. WrongAnswer else.
    `advance` is told how many of them were looked at, of three times as many as there are."""
    first, n_common = n_rows // 2, n_rows - n_rows // 2
    done = 0

    def counted(pieces: Iterable[Words]) -> Iterator[Words]:
        nonlocal done
        for piece in pieces:
            yield piece
            done += len(piece)
            advance(done)

    right = _sums(counted(customer_numbers(customers) for customers in _ranges(first, n_rows)))
    seen = []
    for party in psi_job.PARTIES:
        seen.append(_sums(counted(_output_ids(folder / "out" / f"{party}.parquet"))))
        if seen[-1][:2] != right[:2]:
            raise WrongAnswer(
                f"{party}'s output of {seen[-1].n_ids} rows holds other ids than the {n_common} in common"
            )
    if seen[0].order != seen[1].order:
        raise WrongAnswer("the outputs of both parties are not in the same order")


def _ranges(begin: int, end: int) -> Iterator[Words]:
    for at in range(begin, end, _PIECE):
        yield np.arange(at, min(at + _PIECE, end), dtype=np.uint64)


def _output_ids(path: Path) -> Iterator[Words]:
    # A row group at a time: batches of a whole file take the more memory, the longer it is.
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group, columns=["id"], use_threads=False).to_batches(_PIECE):
                yield pc.cast(batch.column(0), pa.uint64()).to_numpy(zero_copy_only=False)


def _sums(pieces: Iterable[Words]) -> _Sums:
    count = ids = order = 0
    for piece in pieces:
        places = np.arange(count, count + len(piece), dtype=np.uint64)
        mixed = _mixed(piece)
        count += len(piece)
        ids += int(mixed.sum(dtype=np.uint64))
        order += int((mixed * _mixed(places)).sum(dtype=np.uint64))
    return _Sums(count, ids % (1 << 64), order % (1 << 64))


def _mixed(words: Words) -> Words:
    """As SplitMix64 ends, one to one: sums of such words say more of a set than sums of the words."""
    mixed = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
