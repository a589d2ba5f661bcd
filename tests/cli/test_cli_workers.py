# SPDX-License-Identifier: Apache-2.0
"""`crypsis psi run --protocol vole` with several workers: processes, Ray actors, and those that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .parties import Finished, Scene, ended

PARTIES = ("bank", "telco")
BIN_ROWS = 1024
WORKER = "crypsis.mpc.jobs.worker"
ACTOR = "ray::RayWorker"
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # 15 by default: on a busy machine a worker hardly starts
}


def prepare(scene: Scene, n: int, **fields: Any) -> None:
    """Bank 0..n-1, telco from n / 2 on; bins of about 1,024 rows, two workers a party."""
    scene.table("bank", 0, n)
    scene.table("telco", n // 2, n)
    for party in PARTIES:
        scene.config(party, **({"protocol": "vole", "bin_rows": BIN_ROWS, "workers": 2} | fields))


def check_output(scene: Scene, n: int) -> None:
    left, right = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    assert sorted(left["bank_number"].to_pylist()) == list(range(n // 2, n))
    assert sorted(right["telco_number"].to_pylist()) == list(range(n // 2, n))
    assert not list(scene.folder.glob("*.work"))


def report(scene: Scene, party: str) -> Any:
    return json.loads((scene.folder / f"{party}.out.parquet.report.json").read_text())


def below(pid: int, what: str) -> Iterator[int]:
    """Processes that descend from `pid` and have `what` in their command line."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        try:
            if what in Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                yield child
        except OSError:
            continue
        yield from below(child, what)


def finished_files(scene: Scene) -> dict[tuple[str, int], int]:
    """When each party wrote the latest result of each bin that both have finished: only then both have removed the bin.
    A result of an attempt that was cut off lies beside, and at the end they are removed one after the other."""
    folders = {party: scene.folder / f"{party}.out.parquet.work" for party in PARTIES}
    found = {}
    for path in folders["bank"].glob("result-*.bin"):
        number = int(path.name.split("-")[1])
        if any((folders[party] / "spills" / f"bin-{number:05}.records").exists() for party in PARTIES):
            continue
        for party in PARTIES:
            try:
                results = folders[party].glob(f"result-{number:05}-*.bin")
                found[party, number] = max(result.stat().st_mtime_ns for result in results)
            except (FileNotFoundError, ValueError):
                found.pop(("bank", number), None)
    return found


def run_and_kill(scene: Scene, victim: str, what: str, **env: str) -> tuple[Finished, Finished]:
    """Both parties to their ends; a worker of `victim` is killed when three bins are finished. No result of a bin that
    both had finished is written again."""
    with scene.held(lambda _: len(finished_files(scene)) >= 6, **env) as (processes, proxy):
        try:
            os.kill(_two_below(processes[victim], what)[1], signal.SIGKILL)
            proxy.resume()
            _watch(scene, processes)
        finally:
            parties = ended(*processes.values())
    return parties


def _two_below(process: subprocess.Popen[str], what: str) -> list[int]:
    """Both workers: the first may have done bins before the second is there."""
    deadline = time.monotonic() + 80
    while len(workers := list(below(process.pid, what))) != 2:
        assert time.monotonic() < deadline, workers
        time.sleep(0.005)
    return workers


def _watch(scene: Scene, processes: dict[str, subprocess.Popen[str]]) -> None:
    finished: dict[tuple[str, int], int] = {}
    deadline = time.monotonic() + 80
    while time.monotonic() < deadline and all(process.poll() is None for process in processes.values()):
        now = finished_files(scene)
        again = {key for key in now.keys() & finished.keys() if now[key] > finished[key]}
        assert not again, f"done again: {sorted(again)}"
        finished |= now
        time.sleep(0.005)


def test_low_communication(scene: Scene) -> None:
    prepare(scene, 2_000, workers=1, setting="low-communication")
    for party in scene.run():
        assert (party.code, party.stderr) == (0, "")
    check_output(scene, 2_000)


@pytest.mark.parametrize("align", [True, False])
def test_two_workers(scene: Scene, align: bool) -> None:
    prepare(scene, 20_000, align=align)
    for party in scene.run():
        assert (party.code, party.stderr) == (0, "")
    check_output(scene, 20_000)
    left, right = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    if align:
        assert left["id"].to_pylist() == right["id"].to_pylist()
    else:
        assert left["bank_number"].to_pylist() == list(range(19_999, 9_999, -1))  # file order
    for party in PARTIES:
        assert report(scene, party)["bins"]["outer"] == 20
        assert report(scene, party)["counts"]["matched_keys"] == 10_000


def test_another_number_of_workers_at_the_peer(scene: Scene) -> None:
    prepare(scene, 2_000)
    scene.config("telco", protocol="vole", bin_rows=BIN_ROWS, workers=3)
    for party in scene.run():
        assert "'workers'" in party.error(2)


@pytest.mark.parametrize("victim", ["bank", pytest.param("telco", marks=pytest.mark.slow)])
def test_a_worker_is_killed(scene: Scene, victim: str) -> None:
    """Of either party, quickly too, without files: tests/jobs/test_executors.py."""
    prepare(scene, 40_000)
    parties = run_and_kill(scene, victim, WORKER)
    for party in parties:
        assert party.code == 0, party
        assert "was lost" in party.stderr
    assert "killed by signal 9" in parties[PARTIES.index(victim)].stderr
    check_output(scene, 40_000)
    left, right = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    assert left["id"].to_pylist() == right["id"].to_pylist()


@pytest.mark.slow
def test_workers_on_two_ray_clusters(scene: Scene) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'crypsis[ray]'")
    prepare(scene, 20_000, executor="ray", patience=90)
    for party in scene.run(**RAY):
        assert party.code == 0, party
    check_output(scene, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("victim", PARTIES)
def test_a_ray_worker_is_killed(scene: Scene, victim: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'crypsis[ray]'")
    prepare(scene, 80_000, executor="ray", patience=90)
    for party in run_and_kill(scene, victim, ACTOR, **RAY):
        assert party.code == 0, party
        assert "was lost" in party.stderr, party
    check_output(scene, 80_000)


def test_bins_that_do_not_fit_the_memory(scene: Scene) -> None:
    """Refused before anything is spilled; more memory mends it."""
    prepare(scene, 100_000, workers=3, memory="512MiB", bin_rows=1 << 17)
    parties = scene.run()
    told = [party.error(2) for party in parties if party.code == 2]
    assert told
    for line in told:
        assert "memory is 512.00 MiB: 3 workers of one thread with bins of up to 100000 rows need" in line
        assert "raise `memory`" in line
    assert all(party.code in (2, 6) for party in parties)
    prepare(scene, 100_000, workers=3, memory="1GiB", bin_rows=1 << 17)
    for party in scene.run():
        assert party.code == 0, party
    check_output(scene, 100_000)


# ---- a bin of very many duplicates -------------------------------------------------------------------------

HOT = 3_000_000
"""Rows of one key: more than the 1.9 million records that a worker takes into 512 MiB."""


def skewed(scene: Scene, party: str, first: int, hot: int) -> pa.Table:
    ids = [f"c{i}" for i in range(first, first + 3_000)] + ["hot"] * hot + ["twice"] * 2 + [None]
    table = pa.table({"id": ids, "row": pa.array(range(len(ids)), pa.int64())})
    pq.write_table(table, scene.folder / f"{party}.parquet")
    return table


def plain_join(own: pa.Table, peer: pa.Table) -> list[int]:
    known = set(peer["id"].to_pylist()) - {None}
    return [
        row for key, row in zip(own["id"].to_pylist(), own["row"].to_pylist(), strict=True) if key in known
    ]


@pytest.mark.slow  # the same in parts of 4,000 rows: tests/psi/test_bin_parts.py
@pytest.mark.parametrize("matches", [True, False])
def test_a_bin_of_very_many_duplicates(scene: Scene, matches: bool) -> None:
    """Read twice, a part at a time, in no more memory; every row of the key is in the output, or none."""
    tables = {
        "bank": skewed(scene, "bank", 0, HOT),
        "telco": skewed(scene, "telco", 1_000, 1 if matches else 0),
    }
    for party in PARTIES:  # alignment would need all rows of a key at once
        scene.config(party, protocol="vole", memory="512MiB", align=False, bin_rows=1 << 21)
    for party in scene.run(wait_s=600):
        assert (party.code, party.stderr) == (0, "")
    for party, peer in (PARTIES, PARTIES[::-1]):
        rows = pq.read_table(scene.folder / f"{party}.out.parquet")["row"].to_pylist()
        assert rows == plain_join(tables[party], tables[peer])
        keys = Counter(tables[party]["id"].to_pylist())
        assert report(scene, party)["counts"]["unique_keys"] == len(keys) - (None in keys)
        assert report(scene, party)["peak_memory_bytes"] <= 512 << 20


@pytest.mark.slow
def test_very_many_duplicates_do_not_line_up_in_little_memory(scene: Scene) -> None:
    skewed(scene, "bank", 0, HOT)
    skewed(scene, "telco", 1_000, 1)
    for party in PARTIES:
        scene.config(party, protocol="vole", memory="512MiB", bin_rows=1 << 21, max_output_rows=10**7)
    bank, telco = scene.run(wait_s=600)
    line = bank.error(4)
    assert "most of them duplicates" in line
    assert "`memory`" in line
    assert telco.code in (5, 6)
    for party in PARTIES:
        scene.config(party, protocol="vole", memory="1GiB", bin_rows=1 << 21, max_output_rows=10**7)
    for party in scene.run(wait_s=600):
        assert (party.code, party.stderr) == (0, "")
    assert report(scene, "telco")["counts"]["output_rows"] == HOT + 2 * 2 + 2_000
