# SPDX-License-Identifier: Apache-2.0
"""`crypsis psi run --protocol vole` on what is no single file: a query and a list of files, killed and run again."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from postgres_server import PASSWORD, QUOTED, PostgresServer

from .parties import Scene, ended

PARTIES = ("bank", "telco")
N = 30_000
FIELDS = {"protocol": "vole", "bin_rows": 1024, "patience": 60}


def kill_in_the_middle(scene: Scene, **env: str) -> None:
    """Both parties, once four bins are finished at the bank."""
    work = scene.folder / "bank.out.parquet.work"
    with scene.held(lambda _: len(list(work.glob("result-*.bin"))) >= 4, **env) as (processes, _):
        for process in processes.values():
            process.kill()
        ended(*processes.values())
    assert list(work.glob("result-*.bin"))
    assert not (scene.folder / "bank.out.parquet").exists()


def test_a_query_is_asked_once(scene: Scene, postgres: PostgresServer) -> None:
    """The table is gone when the job goes on: its result is in the work directory."""
    postgres.run(
        "drop table if exists passing; create table passing as "
        f"select 'customer-' || lpad(n::text, 9, '0') as id, n as bank_number from generate_series(0, {N - 1}) n"
    )
    scene.table("telco", N // 2, N)
    query = "select id, bank_number from passing"
    scene.config("bank", **FIELDS, input={"query": query, "uri_env": "BANK_DATABASE"})
    scene.config("telco", **FIELDS)
    kill_in_the_middle(scene, BANK_DATABASE=postgres.uri)
    postgres.run("drop table passing")
    for party in scene.run(BANK_DATABASE=postgres.uri):
        assert party.code == 0, party
    left, right = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    assert sorted(left["bank_number"].to_pylist()) == list(range(N // 2, N))
    assert left["id"].to_pylist() == right["id"].to_pylist()
    text = (scene.folder / "bank.out.parquet.report.json").read_text()
    assert json.loads(text)["input"]["query"] == query
    assert json.loads(text)["bins"]["finished_before"] > 0
    assert not any(secret in text for secret in (PASSWORD, QUOTED))
    assert not list(scene.folder.glob("*.work"))


@pytest.mark.parametrize("change", ["bytes", "fewer"])
def test_a_changed_input_of_two_files_is_one_line(scene: Scene, change: str) -> None:
    scene.table("bank", 0, N)
    shutil.copy(scene.folder / "bank.parquet", scene.folder / "copy.parquet")
    scene.table("telco", N // 2, N)
    scene.config("bank", **FIELDS, input=["bank.parquet", "copy.parquet"])
    scene.config("telco", **FIELDS)
    kill_in_the_middle(scene)
    if change == "bytes":
        table = pq.read_table(scene.folder / "copy.parquet")
        pq.write_table(table.slice(1), scene.folder / "copy.parquet")
    else:
        scene.config("bank", **FIELDS, input=["bank.parquet"])
    line = ended(scene.start("bank")).error(4)
    assert "bank.parquet" in line
    assert "start afresh" in line
