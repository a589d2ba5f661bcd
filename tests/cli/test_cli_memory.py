# SPDX-License-Identifier: Apache-2.0
"""`memory`: what is refused, and that two real processes keep to the least that may be given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from crypsis.errors import ConfigError
from crypsis.mpc.psi.config import load_config
from crypsis.mpc.psi.memory import BASE_BYTES, MIN_BYTES, RECORD_BYTES

from .parties import Scene

PARTIES = ("bank", "telco")
N = 4_000_000
MINIMUM = f"{MIN_BYTES >> 20}MiB"


@pytest.mark.parametrize("memory", ["64MiB", f"{(MIN_BYTES >> 20) - 1}MiB", "65TiB"])
def test_memory_that_cannot_be_kept(scene: Scene, memory: str) -> None:
    path = str(scene.config("bank", protocol="vole", memory=memory))
    with pytest.raises(
        ConfigError, match=rf"memory: '{memory}': {memory} is less .* or above 64TiB: give at least {MINIMUM}"
    ):
        load_config(path, {})


def test_the_share_of_the_output(scene: Scene) -> None:
    path = str(scene.config("bank", protocol="vole", memory=MINIMUM))
    assert load_config(path, {}).gather_bytes == MIN_BYTES // 8
    assert load_config(path, {"memory_mib": 100}).gather_bytes == 100 << 20
    with pytest.raises(
        ConfigError, match=r"memory_mib is 400, and 512MiB of memory leave \d+ for it: raise memory"
    ):
        load_config(path, {"memory_mib": 400})


def big(path: Path, name: str, first: int) -> None:
    numbers = np.random.default_rng(first).permutation(np.arange(first, first + N))
    ids = pa.array(numbers).cast(pa.string())
    pq.write_table(pa.table({"id": pc.binary_join_element_wise("customer", ids, "-"), name: numbers}), path)


@pytest.mark.slow
@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("align", [True, False])
def test_two_processes_keep_to_the_least_memory(scene: Scene, security: str, align: bool) -> None:
    """In one bin these rows would take more, program included."""
    assert BASE_BYTES + RECORD_BYTES * N > MIN_BYTES
    big(scene.folder / "bank.parquet", "bank_number", 0)
    big(scene.folder / "telco.parquet", "telco_number", N // 2)
    for party in PARTIES:
        scene.config(
            party,
            protocol="vole",
            security=security,
            align=align,
            memory=MINIMUM,
            bin_rows=1 << 20,
            patience=300,
        )
    for finished in scene.run(wait_s=600):
        assert (finished.code, finished.stderr) == (0, "")
    tables = [pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES]
    left, right = (table[f"{party}_number"].to_numpy() for party, table in zip(PARTIES, tables, strict=True))
    assert np.array_equal(np.sort(left), np.arange(N // 2, N))
    assert np.array_equal(left, right) if align else np.array_equal(np.sort(right), np.sort(left))
    for party in PARTIES:
        report = json.loads((scene.folder / f"{party}.out.parquet.report.json").read_text())
        assert report["bins"]["outer"] == 4
        assert report["peak_memory_bytes"] <= MIN_BYTES, party
