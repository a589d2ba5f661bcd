# SPDX-License-Identifier: Apache-2.0
"""The part of `crypsis.mpc.psi.calibrate` that reads and writes files, and how anything is timed."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from crypsis import partition
from crypsis.mpc.data import FilePlan, KeySpec, RowMask, Source, digest_stream, open_source, write_output
from crypsis.mpc.data.plans import write_index
from crypsis.mpc.data.spill import BinWriter, read_bin

Bytes = npt.NDArray[np.uint8]

_SPILLED_BINS = 4
_MEMORY = (
    32 << 20
)  # little, so that an output in another order takes several passes, as that of a large job does


@contextmanager
def timed(into: dict[str, float], name: str, n_items: int) -> Iterator[None]:
    """Nanoseconds of this process's CPU time an item."""
    begin = time.process_time()
    yield
    into[name] = max((time.process_time() - begin) / n_items * 1e9, 1e-3)


def best(name: str, n_items: int, function: Callable[[], Any], *, times: int = 3) -> dict[str, float]:
    """The quickest of a few calls: the first meets cold memory."""
    found: list[float] = []
    for _ in range(times):
        one: dict[str, float] = {}
        with timed(one, name, n_items):
            function()
        found.append(one[name])
    return {name: min(found)}


def random_bytes(*shape: int) -> Bytes:
    """Fast random bytes: for timing only."""
    return np.random.default_rng().integers(0, 256, shape, dtype=np.uint8)


def disk(place: Path, n_bytes: int) -> dict[str, float]:
    block = memoryview(secrets.token_bytes(1 << 20))
    begin = time.perf_counter()
    with (place / "disk").open("wb") as file:
        for _ in range(n_bytes >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    wrote = time.perf_counter() - begin
    with (place / "disk").open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read from the disk, not from memory
        begin = time.perf_counter()
        while file.read(1 << 20):
            pass
        read = time.perf_counter() - begin
    (place / "disk").unlink()
    return {"disk_write_mb": n_bytes / wrote / 1e6, "disk_read_mb": n_bytes / read / 1e6}


def files(place: Path, rows: int) -> dict[str, float]:
    """Reading and spilling a Parquet file of four columns with 18-character ids, and writing half of its rows."""
    found: dict[str, float] = {}
    path = place / "input.parquet"
    _write_input(path, rows)
    source = open_source(str(path))
    found["check_gb"] = 1 / best("check", path.stat().st_size, source.digest)["check"]
    blocks: list[tuple[Bytes, Any]] = []

    def digests() -> None:
        blocks.clear()
        with closing(digest_stream(source, [KeySpec("id", "string")], threads=1)) as stream:
            blocks.extend((block.copy(), ids.copy()) for block, ids in stream)

    found |= best("digest", rows, digests, times=2)
    spilled = place / "spilled"
    spilled.mkdir()
    with timed(found, "spill", rows), BinWriter(spilled, _SPILLED_BINS, threads=1) as writer:
        for block, ids in blocks:
            writer.add(block, ids)
        spills = writer.finish()
    inner = max(rows // _SPILLED_BINS // 50_000, 1)

    def load() -> None:
        for file in spills:
            partition.group(read_bin(file), inner, threads=1)

    return found | best("load", rows, load, times=2) | _output(place, source, rows)


def _write_input(path: Path, rows: int) -> None:
    random = np.random.default_rng()
    ids = (random.permutation(rows) * (9 * 10**17 // max(rows, 1)) + random.integers(0, 10**9, rows)) + 10**17
    table = {
        "id": pa.array(ids).cast(pa.string()),
        "amount": random.integers(0, 10**7, rows) / 100,
        "branch": pa.array(["north", "south", "east", "west"]).take(pa.array(random.integers(0, 4, rows))),
        "since": pa.array(random.integers(15_000, 27_000, rows, dtype=np.int32)).cast(pa.date32()),
    }
    pq.write_table(pa.table(table), path)


def _output(place: Path, source: Source, rows: int) -> dict[str, float]:
    """`scan` an input row, `output` an output row in the input's order, `output_aligned` one in the order of bins."""
    random = np.random.default_rng()
    half = np.sort(random.permutation(rows)[: rows // 2]).astype(np.int64)

    def seconds(wanted: npt.NDArray[np.int64], *, aligned: bool) -> float:
        """Nanoseconds in all, by the quicker of two."""
        mask = RowMask.empty(rows)
        mask.mark(wanted)
        plan: RowMask | FilePlan = mask
        if aligned:
            plan = FilePlan.aligned([write_index(place / "index", [random.permutation(wanted)])], mask)
        return best(
            "all",
            1,
            lambda: write_output(
                source, plan, place / "output.parquet", overwrite=True, memory_limit=_MEMORY
            ),
            times=2,
        )["all"]

    scan = seconds(half[:1], aligned=False)
    found = {"scan": scan / rows}
    for name, aligned in (("output", False), ("output_aligned", True)):
        found[name] = max((seconds(half, aligned=aligned) - scan) / max(len(half), 1), 1.0)
    return found
