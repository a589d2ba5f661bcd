# SPDX-License-Identifier: Apache-2.0
"""Inputs that are no single file, as `crypsis psi run` takes them: a PostgreSQL query, a warehouse's directory."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import ConfigError, CrypsisError
from crypsis.mpc.psi.config import load_config, parse_config
from crypsis.mpc.psi.files import run_job
from postgres_server import PASSWORD, QUOTED, PostgresServer

from .parties import Finished, Scene, ended

Crypsis = Callable[..., Finished]
QUERY = "select id, n as bank_number from accounts where n < 300"
SECRET_URI = "postgresql://bank:hunter2@127.0.0.1:1/shop"


@pytest.fixture(scope="module")
def accounts(postgres: PostgresServer) -> PostgresServer:
    """Ids 0..399, as in the scene's files."""
    postgres.run(
        "create table accounts as select 'customer-' || lpad(n::text, 9, '0') as id, n from generate_series(0, 399) n"
    )
    return postgres


def without_password(*texts: str) -> None:
    for text in texts:
        for secret in (PASSWORD, QUOTED, "s3cret", "hunter2"):
            assert secret not in text, text


def test_a_query_against_a_partitioned_directory(scene: Scene, accounts: PostgresServer) -> None:
    """The bank asks its database, the telco has one directory a plan; `plan` is payload there."""
    for plan, first in (("basic", 200), ("family", 400)):
        folder = scene.folder / "subscribers" / f"plan={plan}"
        folder.mkdir(parents=True)
        ids = [f"customer-{i:09}" for i in range(first, first + 200)]
        pq.write_table(pa.table({"id": ids}), folder / "part-0.snappy.parquet")
        (folder / "_SUCCESS").touch()
    scene.config("bank", input={"query": QUERY, "uri_env": "BANK_DATABASE"})
    scene.config("telco", input="subscribers", output="telco.out.csv")
    bank, telco = ended(scene.start("bank", BANK_DATABASE=accounts.uri), scene.start("telco"))
    for party in (bank, telco):
        assert (party.code, party.stderr) == (0, ""), party
    assert "intersection   100 keys" in bank.stdout
    matched = pq.read_table(scene.folder / "bank.out.parquet")
    assert sorted(matched["bank_number"].to_pylist()) == list(range(200, 300))
    assert (scene.folder / "telco.out.csv").read_text().splitlines()[0] == "id,plan"
    assert (scene.folder / "telco.out.csv").read_text().count(",basic\n") == 100
    report_text = (scene.folder / "bank.out.parquet.report.json").read_text()
    record = json.loads(report_text)["input"]
    assert record["query"] == QUERY
    assert record["database"] == f"postgresql://127.0.0.1:{accounts.port}/shop"
    assert (record["paths"], len(record["sha256"])) == ([], 64)
    assert "admin" not in report_text
    without_password(report_text, bank.stdout, bank.stderr)
    # The spool is gone, and no other file is left.
    outputs = ("bank.out.parquet", "telco.out.csv")
    assert scene.left_over() == [f"{name}{end}" for name in outputs for end in ("", ".report.json")]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("/shop", "/none"), 4, ['database "none" does not exist']),
        (("s3cret", "s3cret-no"), 4, ["password authentication failed"]),
        (("%2F", "/"), 4, ["cannot be understood"]),
        (None, 2, ["'THE_URI' is not set", "export"]),
    ],
)
def test_errors_of_a_database(
    scene: Scene,
    accounts: PostgresServer,
    crypsis: Crypsis,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str] | None,
    code: int,
    words: list[str],
) -> None:
    """Neither the messages nor a traceback have the password."""
    monkeypatch.setenv("THE_URI", accounts.uri.replace(*change) if change is not None else "")
    arguments = ["psi", "run", "--config", str(scene.folder / "bank.json")]
    arguments += ["--input-query", QUERY, "--input-uri-env", "THE_URI"]
    line = crypsis(*arguments).error(code)
    assert all(word in line for word in words), line
    flags = {"input": {"query": QUERY, "uri_env": "THE_URI"}}
    with pytest.raises(CrypsisError) as caught:
        run_job(load_config(str(scene.folder / "bank.json"), flags))
    without_password(line, "".join(traceback.format_exception(caught.value)))
    assert scene.left_over() == []


def test_a_key_that_does_not_compare(scene: Scene, accounts: PostgresServer, crypsis: Crypsis) -> None:
    query = "select n::numeric as id from accounts"
    arguments = ("psi", "run", "--config", str(scene.folder / "bank.json"), "--input-query", query)
    line = crypsis(*arguments, "--input-uri", accounts.uri).error(4)
    assert "'id' is numeric" in line
    assert "id::bigint" in line
    line = crypsis(*arguments, "--input-uri", accounts.uri, "--key", "ids").error(4)
    assert "the query's result: no column 'ids'; the columns are 'id'" in line
    assert scene.left_over() == []


# ---- configuration -----------------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "party": "bank",
    "peer": "telco",
    "role": "receiver",
    "listen": "0.0.0.0:7400",
    "insecure": True,
    "keys": "id",
    "output": "out.csv",
}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["input:", "path (files) or query (a database)"]),
        ({"query": "select 1", "uri": SECRET_URI, "path": "a.csv"}, ["path or query, not both"]),
        ({"query": "select 1"}, ["exactly one of uri", "uri_env"]),
        ({"query": "select 1", "uri": SECRET_URI, "uri_env": "X"}, ["exactly one of uri"]),
        ({"path": "a.csv", "uri": SECRET_URI}, ["uri and uri_env belong to a query"]),
        ({"path": "a.csv", "uri_env": "X"}, ["uri and uri_env belong to a query"]),
        ({"query": "q", "uri": SECRET_URI, "format": "csv"}, ["format and csv belong to files"]),
        ({"query": "q", "uri": SECRET_URI, "csv": {}}, ["format and csv belong to files"]),
        ({"query": "q", "uri": [SECRET_URI]}, ["input.uri", "string"]),
        ({"query": "q", "uri": "bank:hunter2"}, ["input.uri", "postgresql://"]),
        ({"query": "q", "uri": SECRET_URI.replace("hunter2", "hun/hunter2")}, ["input.uri", "%2F"]),
        ({"query": "", "uri": SECRET_URI}, ["input.query"]),
        ({"query": "q", "uri": SECRET_URI, "user": "x"}, ["input.user: no such field"]),
        (SECRET_URI, ["input.path", "input.query"]),
        ([SECRET_URI, "a.csv"], ["input.path", "input.query"]),
        ({"path": SECRET_URI}, ["input.path", "is a database"]),
    ],
)
def test_combinations_that_are_wrong(tmp_path: Path, crypsis: Crypsis, given: Any, words: list[str]) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(BASE | {"input": given}))
    finished = crypsis("psi", "run", "--config", str(path))
    assert finished.code == 2, finished
    assert all(word in finished.stderr for word in words), finished
    assert finished.stderr.count("\n") == 1
    without_password(finished.stderr, finished.stdout)
    with pytest.raises(ConfigError) as caught:
        parse_config(BASE | {"input": given})
    without_password(str(caught.value.__cause__), repr(caught.value))


def test_flags_replace_an_input_of_the_other_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(BASE | {"input": {"query": "select 1 as id", "uri": SECRET_URI}}))
    config = load_config(str(path), {})
    assert config.input.database_uri() == SECRET_URI
    without_password(repr(config), str(config), config.model_dump_json())
    assert load_config(str(path), {"input": {"path": "a.csv"}}).input.query is None
    monkeypatch.setenv("OTHER", "postgresql://other")
    by_name = load_config(str(path), {"input": {"uri_env": "OTHER"}}).input
    assert (by_name.query, by_name.database_uri()) == ("select 1 as id", "postgresql://other")
    monkeypatch.delenv("OTHER")
    with pytest.raises(ConfigError, match="'OTHER' is not set"):
        by_name.database_uri()
    path.write_text(json.dumps(BASE | {"input": {"path": "a.csv", "format": "csv"}}))
    asked = load_config(str(path), {"input": {"query": "select 2 as id", "uri_env": "OTHER"}}).input
    assert (asked.path, asked.format, asked.query) == (None, "auto", "select 2 as id")
