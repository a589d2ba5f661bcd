# SPDX-License-Identifier: Apache-2.0
"""`crypsis psi run --protocol vole`: killed, cut off, changed under way, and run again."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crypsis.mpc.jobs.workdir import MARK
from crypsis.mpc.transport.ports import free_port
from transport.proxy import DroppingProxy

from .parties import Finished, Scene, ended

PARTIES = ("bank", "telco")
BIN_ROWS = 1024
PATIENCE_S = 12


def prepare(scene: Scene, n: int = 20_000, *, common: int | None = None, **fields: Any) -> None:
    """Bank 0..n-1, telco from n - common on; bins of about 1,024 rows; patience for a start on a busy machine."""
    common = n // 2 if common is None else common
    scene.table("bank", 0, n)
    scene.table("telco", n - common, n)
    for party in PARTIES:
        scene.config(party, **({"protocol": "vole", "bin_rows": BIN_ROWS, "patience": PATIENCE_S} | fields))


def work_dir(scene: Scene, party: str) -> Path:
    return scene.folder / f"{party}.out.parquet.work"


def has_result(scene: Scene, bin: int) -> bool:
    """Of that bin at the bank; bins end one after the other."""
    return any(work_dir(scene, "bank").glob(f"result-{bin:05}-*.bin"))


def finished_bins(scene: Scene, party: str) -> dict[int, tuple[int, int]]:
    """bin -> (attempts, finishes) of the finished ones, as the ledger of a party that is not running has them."""
    path = work_dir(scene, party) / "ledger.sqlite"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT bin, attempts, finishes FROM bins WHERE state = 'finished'"
        ).fetchall()
    return {bin: (attempts, finishes) for bin, attempts, finishes in rows}


def check_output(scene: Scene, first: int, last: int) -> None:
    left, right = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    assert sorted(left["bank_number"].to_pylist()) == list(range(first, last))
    assert left["id"].to_pylist() == right["id"].to_pylist()
    assert not any(work_dir(scene, party).exists() for party in PARTIES)


def succeeded(*parties: Finished) -> None:
    for party in parties:
        assert party.code == 0, party
        assert party.stderr == "", party


def test_a_job_of_many_bins(scene: Scene) -> None:
    prepare(scene)
    succeeded(*scene.run())
    check_output(scene, 10_000, 20_000)
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["protocol"]["name"] == "vole"
    assert report["bins"]["outer"] == 20
    assert report["bins"]["finished_before"] == 0
    assert report["counts"]["unique_keys"] == 20_000
    assert report["counts"]["matched_keys"] == report["counts"]["output_rows"] == 10_000
    assert {row["slug"] for row in report["backends"]} == {
        "hashing",
        "aes",
        "bitmatrix",
        "vole",
        "okvs",
        "partition",
    }


def kill_one(scene: Scene, victim: str, n_results: int, chance: random.Random) -> None:
    """Starts both; kills `victim` once the bank has so many results, a while and some pieces of what they send each
    other later. The other ends with an error."""
    pieces = chance.randrange(30) if n_results else 0

    def reached(_: DroppingProxy) -> bool:
        nonlocal pieces
        # A directory left without its mark belongs to nobody, and the job that takes it over does not remove it.
        begun = (work_dir(scene, victim) / MARK).exists()
        pieces -= begun and len(list(work_dir(scene, "bank").glob("result-*.bin"))) >= n_results
        return pieces < 0

    with scene.held(reached) as (processes, proxy):
        time.sleep(chance.uniform(0.0, 0.05))
        processes[victim].kill()
        proxy.resume()
        bank, telco = ended(*processes.values())
    killed, other = (bank, telco) if victim == "bank" else (telco, bank)
    assert killed.code == -signal.SIGKILL
    assert other.code in (5, 6), other


@pytest.mark.slow
@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_killed_ten_times_at_random_moments(scene: Scene, security: str) -> None:
    """The output is the undisturbed one, and no bin that both had finished is done again."""
    prepare(scene, 60_000, security=security)
    succeeded(*scene.run())
    undisturbed = {p: pq.read_table(scene.folder / f"{p}.out.parquet").sort_by("id") for p in PARTIES}
    for path in scene.folder.glob("*.out.*"):
        path.unlink()
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    generator = random.Random(seed)
    known: dict[int, tuple[Any, Any]] = {}
    kills = 0
    while kills < 10:
        victim = PARTIES[kills % 2]
        # The first while the input is read; the others at random moments of the bins, ever later ones.
        n_results = 0 if kills == 0 else 5 * kills + generator.randrange(3)
        kill_one(scene, victim, n_results, generator)
        kills += 1
        bank, telco = (finished_bins(scene, party) for party in PARTIES)
        for bin, counts in known.items():
            assert (bank[bin], telco[bin]) == counts, (bin, seed)
        known = {bin: (bank[bin], telco[bin]) for bin in bank.keys() & telco.keys()}
    assert not any((scene.folder / f"{party}.out.parquet").exists() for party in PARTIES)
    succeeded(*scene.run())
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert 30 < report["bins"]["finished_before"] == len(known)
    check_output(scene, 30_000, 60_000)
    for party in PARTIES:
        assert pq.read_table(scene.folder / f"{party}.out.parquet").sort_by("id").equals(undisturbed[party])


@pytest.mark.parametrize("victim", PARTIES)
def test_killed_in_the_middle_of_the_bins(scene: Scene, victim: str) -> None:
    prepare(scene, 30_000)
    with scene.held(lambda _: has_result(scene, 3)) as (parties, proxy):
        parties[victim].kill()
        proxy.resume()
        finished = dict(zip(PARTIES, ended(*parties.values()), strict=True))
    survivor = finished["telco" if victim == "bank" else "bank"]
    assert victim in survivor.error(survivor.code)
    before = {party: finished_bins(scene, party) for party in PARTIES}
    both = before["bank"].keys() & before["telco"].keys()
    assert 0 < len(both) < 30
    assert not any((scene.folder / f"{party}.out.parquet").exists() for party in PARTIES)
    succeeded(*scene.run())
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["bins"]["finished_before"] == len(both)
    check_output(scene, 15_000, 30_000)


@pytest.mark.slow
def test_a_cut_of_thirty_seconds(scene: Scene) -> None:
    prepare(scene, 60_000, patience=120)
    with scene.held(lambda _: has_result(scene, 5)) as (parties, proxy):
        proxy.refuse()
        proxy.resume()
        time.sleep(30)
        assert all(process.poll() is None for process in parties.values())
        proxy.refuse(False)
        assert [party.code for party in ended(*parties.values())] == [
            0,
            0,
        ]  # each has warned of the other's absence
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["traffic"]["reconnects"] >= 1
    check_output(scene, 30_000, 60_000)


def stopped(scene: Scene, **fields: Any) -> None:
    """A job of which some bins are finished at both parties."""
    prepare(scene, 30_000, **fields)
    with scene.held(lambda _: has_result(scene, 4)) as (parties, _):
        for process in parties.values():
            process.kill()
        ended(*parties.values())


def test_changed_input_is_refused(scene: Scene) -> None:
    stopped(scene)
    before = finished_bins(scene, "bank")
    table = pq.read_table(scene.folder / "bank.parquet")
    pq.write_table(table.slice(1), scene.folder / "bank.parquet")
    bank = ended(scene.start("bank"))
    assert "has changed" in bank.error(4)
    assert str(work_dir(scene, "bank")) in bank.stderr
    assert finished_bins(scene, "bank") == before
    pq.write_table(table, scene.folder / "bank.parquet")  # the same rows; parquet files carry no time


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"keys": ["bank_text"]}, "keys"),
        ({"bin_rows": 2048}, "bin_rows"),
        ({"join": "left"}, "join"),
        ({"security": "malicious"}, "security"),
    ],
)
def test_changed_configuration_is_refused(scene: Scene, fields: dict[str, Any], word: str) -> None:
    stopped(scene)
    scene.config("bank", **({"protocol": "vole", "bin_rows": BIN_ROWS, "patience": PATIENCE_S} | fields))
    bank = ended(scene.start("bank"))
    assert word in bank.error(2)


def test_what_may_change_may_change(scene: Scene) -> None:
    stopped(scene)
    for party in PARTIES:
        scene.config(party, protocol="vole", bin_rows=BIN_ROWS, patience=60, threads=2, memory="512MiB")
    succeeded(*scene.run())
    check_output(scene, 15_000, 30_000)


def test_work_directories_of_two_jobs(scene: Scene) -> None:
    stopped(scene)
    for party in PARTIES:
        work_dir(scene, party).rename(scene.folder / f"{party}.kept")
    stopped(scene)
    shutil.rmtree(work_dir(scene, "bank"))
    (scene.folder / "bank.kept").rename(work_dir(scene, "bank"))
    bank, telco = scene.run()
    for party in (bank, telco):
        assert "work directories" in party.error(2)


def test_one_work_directory_is_gone(scene: Scene) -> None:
    stopped(scene)
    work_dir(scene, "telco").rename(scene.folder / "elsewhere")
    bank, telco = scene.run()
    for party in (bank, telco):
        assert "remove them both to start over" in party.error(2)


def test_a_directory_that_is_not_ours(scene: Scene) -> None:
    prepare(scene)
    folder = scene.folder / "notes"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    scene.config("bank", protocol="vole", work_dir="notes")
    bank = ended(scene.start("bank"))
    assert "notes" in bank.error(4)
    assert (folder / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_spill_is_named(scene: Scene, damage: str) -> None:
    stopped(scene)
    spills = sorted((work_dir(scene, "bank") / "spills").iterdir())
    victim = spills[-1]
    data = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    else:
        data[len(data) // 2] ^= 1
        victim.write_bytes(data if damage == "flip" else data[:-16])
    bank, telco = scene.run()
    assert str(victim) in bank.error(4)
    assert telco.code in (5, 6)
    if damage != "gone":
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
        succeeded(*scene.run())
        check_output(scene, 15_000, 30_000)


def test_a_damaged_result_is_named(scene: Scene) -> None:
    stopped(scene)
    victim = min(work_dir(scene, "telco").glob("result-*.bin"))
    data = victim.read_bytes()
    victim.write_bytes(data[:-8] + bytes(8))
    _, telco = scene.run()
    assert str(victim) in telco.error(4)


def test_the_same_work_directory_for_two_processes(scene: Scene) -> None:
    """The second is refused before it asks for a peer, though nothing else of the first is in its way."""
    shared = scene.folder / "work"
    shared.mkdir()
    fields: dict[str, Any] = {"protocol": "vole", "bin_rows": BIN_ROWS, "work_dir": "work", "patience": 300}
    scene.config("bank", **fields)
    first = scene.start("bank")  # and waits for telco, which never comes
    try:
        lock, deadline = shared / "lock", time.monotonic() + 300
        while not (lock.exists() and lock.read_text().endswith("\n")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        other = {"listen": f"127.0.0.1:{free_port()}", "output": {"path": "second.out.parquet"}}
        scene.config("bank", **(fields | other))
        second = ended(scene.start("bank"))
        assert first.poll() is None
    finally:
        first.kill()
        ended(first)
    line = second.error(4)
    assert f"{shared}: process {first.pid} works in it" in line
    assert "give this job a work_dir of its own" in line
