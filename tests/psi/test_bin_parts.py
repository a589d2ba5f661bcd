# SPDX-License-Identifier: Apache-2.0
"""A bin with more rows than a worker takes into memory at one time: read in parts, twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis.errors import CrypsisError, DataError
from crypsis.mpc.data.spill import BinWriter
from crypsis.mpc.psi.bins import BinJob, work
from crypsis.mpc.psi.layout import Layout

from .pair import both

OWN = [f"c{i}" for i in range(3_000)] + ["hot"] * 20_000 + ["twice"] * 2
PEER = [f"c{i}" for i in range(1_000, 4_000)] + ["twice"] * 2


def bin_job(folder: Path, role: Any, ids: list[str], *, aligned: bool, chunk_records: int) -> BinJob:
    """A job of one bin, spilled."""
    folder.mkdir(parents=True)
    (folder / "spills").mkdir()
    digests = np.frombuffer(b"".join(hashlib.sha256(i.encode()).digest()[:16] for i in ids), np.uint8)
    with BinWriter(folder / "spills", 1) as writer:
        writer.add(digests.reshape(-1, 16), np.arange(len(ids), dtype=np.uint32))
        files = writer.finish()
    return BinJob(
        role=role,
        layout=Layout(len(OWN), len(PEER) + 1),
        job_id="00" * 16,
        work_dir=str(folder),
        spills={file.bin: file for file in files},
        broadcast=True,
        aligned=aligned,
        own_side="left" if role == "receiver" else "right",
        chunk_records=chunk_records,
        max_output_rows=10**6,
        threads=1,
    )


def run(folder: Path, peer_ids: list[str], *, aligned: bool = False, chunk_records: int = 4_000) -> list[Any]:
    """Rows of the results of both, and what is told of them; or the errors."""
    jobs = [
        bin_job(folder / role, role, ids, aligned=aligned, chunk_records=chunk_records)
        for role, ids in (("receiver", OWN), ("sender", peer_ids))
    ]
    told: list[dict[str, Any]] = [{}, {}]
    futures = both(
        lambda c: work(c, jobs[0].as_spec(), iter([0]), lambda bin, result: told[0].update(result)),
        lambda c: work(c, jobs[1].as_spec(), iter([0]), lambda bin, result: told[1].update(result)),
    )
    errors = [future.exception() for future in futures]
    if any(errors):
        return errors
    results = [next(Path(job.work_dir).glob("result-*.bin")) for job in jobs]
    return [(np.fromfile(path, "<u4"), one) for path, one in zip(results, told, strict=True)]


@pytest.mark.parametrize("hot", [True, False])
def test_rows_of_a_bin_that_is_read_in_parts(tmp_path: Path, hot: bool) -> None:
    """Every row of the key of very many rows is in the result, or none."""
    peer_ids = PEER + ["hot"] * hot
    for own, peer, (rows, told) in zip(
        (OWN, peer_ids), (peer_ids, OWN), run(tmp_path, peer_ids), strict=True
    ):
        assert sorted(rows.tolist()) == [i for i, key in enumerate(own) if key in set(peer)]
        assert told["unique"] == len(Counter(own))
        assert told["rows"] == len(rows)


def test_alignment_takes_the_whole_bin(tmp_path: Path) -> None:
    first, second = run(tmp_path / "little", PEER, aligned=True)
    assert isinstance(first, DataError)
    assert "most of them duplicates" in str(first)
    assert "`memory`" in str(first)
    assert isinstance(second, CrypsisError)
    (rows, _), _ = run(tmp_path / "enough", PEER, aligned=True, chunk_records=len(OWN))
    assert len(rows) == 2_000 + 4
