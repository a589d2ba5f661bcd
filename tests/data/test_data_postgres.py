# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL query as a source, against a real server: types, keys, spools."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import KeySpec, TableSource, digest_keys, open_database, write_output
from crypsis.mpc.data.postgres_types import _NO_KEYS, check_key
from docs.pages import ROOT, blocks
from postgres_cases import UUID, fails, rows
from postgres_server import PASSWORD, QUOTED

# ---- types -------------------------------------------------------------------------------------------------


def test_types_and_nulls(shop, tmp_path):
    names = ["i2", "i4", "i8", "t", "v", "u", "b", "d", "n", "ts", "tz", "j", "js", "bo", "f8", "c", "a", "e"]
    source = open_database(f"select {', '.join(names)} from every order by i2", shop.uri, tmp_path)
    text = pa.string()
    assert dict(zip(source.schema.names, source.schema.types, strict=True)) == {
        "i2": pa.int16(),
        "i4": pa.int32(),
        "i8": pa.int64(),
        "t": text,
        "v": text,
        "u": text,
        "b": pa.binary(),
        "d": pa.date32(),
        "n": text,
        "ts": pa.timestamp("us"),
        "tz": pa.timestamp("us", tz="UTC"),
        "j": text,
        "js": text,
        "bo": pa.bool_(),
        "f8": pa.float64(),
        "c": text,
        "a": pa.list_(pa.int32()),
        "e": text,
    }
    first, nulls = rows(source)
    assert nulls == dict.fromkeys(names)
    as_text = {**first, "d": str(first["d"]), "ts": str(first["ts"]), "tz": first["tz"].isoformat()}
    assert as_text == {
        "i2": -1,
        "i4": 2,
        "i8": 3,
        "t": 'x,"y"',
        "v": "é",
        "u": UUID,
        "b": b"\x00\xff",
        "d": "2026-02-28",
        "n": "12.50",
        "ts": "2026-02-28 10:00:00.500000",
        "tz": "2026-02-28T09:00:00+00:00",
        "j": '{"a": 1}',
        "js": '{"a":  1}',
        "bo": True,
        "f8": 1.5,
        "c": "ab   ",
        "a": [1, 2],
        "e": "family",
    }
    assert rows(source) == [first, nulls]  # a second pass


def test_keys_equal_those_of_files(shop, tmp_path):
    source = open_database("select u, t, i4, d, b, v, e from every order by i4", shop.uri, tmp_path)
    table = pa.table(
        {
            "u": [UUID],
            "t": ['x,"y"'],
            "i4": ["2"],
            "d": ["2026-02-28"],
            "b": pa.array([b"\x00\xff"]),
            "v": ["é"],
            "e": ["family"],
        }
    )
    kinds = {
        "u": "string",
        "t": "string",
        "i4": "int",
        "d": "date",
        "b": "bytes",
        "v": "string",
        "e": "string",
    }
    for name, kind in kinds.items():
        here, there = (digest_keys(s, [KeySpec(name, kind)]) for s in (source, TableSource(table)))
        assert here.digests.tobytes() == there.digests.tobytes()
        assert (here.n_rows, here.n_null) == (2, 1)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("n", ["'n' is numeric", "n::bigint"]),
        ("j", ["'j' is jsonb", "->>"]),
        ("js", ["'js' is json", "->>"]),
        ("c", ["'c' is bpchar", "c::text"]),
        ("o", ["'o' is oid", "o::bigint"]),
        ("mo", ["'mo' is money"]),
        ("f8", ["'f8' of type double", "floats"]),
        ("bo", ["'bo' of type bool"]),
        ("ts", ["'ts' of type timestamp", "date"]),
        ("a", ["'a' of type list"]),
    ],
)
def test_keys_that_do_not_compare_are_refused(shop, tmp_path, column, words):
    source = open_database(f"select {column} from every", shop.uri, tmp_path)
    with pytest.raises(DataError) as caught:
        digest_keys(source, [KeySpec(column)])
    assert all(word in str(caught.value) for word in words), caught.value
    assert len(rows(source)) == 2  # as payload it is welcome


def test_what_the_remedies_suggest_works(shop, tmp_path):
    query = (
        "select (n * 100)::bigint as n, j ->> 'a' as j, c::text as c, '10.0.0.1'::inet::text as r from every"
    )
    keys = digest_keys(open_database(query, shop.uri, tmp_path), [KeySpec(name) for name in "njcr"])
    there = TableSource(pa.table({"n": [1250], "j": ["1"], "c": ["ab"], "r": ["10.0.0.1/32"]}))
    assert keys.digests.tobytes() == digest_keys(there, [KeySpec(name) for name in "njcr"]).digests.tobytes()
    check_key("unknown", "")


@pytest.mark.parametrize("cast", ["'10.0.0.1'::inet", "'1 day'::interval", "'(1,2)'::point", "pg_sleep(0)"])
def test_types_without_a_plain_form_are_refused(shop, tmp_path, cast):
    fails(f"select {cast} as odd", shop.uri, tmp_path, "column 'odd'", "odd::text AS odd")


# ---- the spool ---------------------------------------------------------------------------------------------


def test_the_spool_has_no_name_and_goes_with_the_source(shop, tmp_path):
    told = []
    source = open_database(
        "select * from customers order by id;", shop.uri, tmp_path, progress=lambda *p: told.append(p)
    )
    assert os.listdir(tmp_path) == []
    (path,) = source.files
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert source.n_rows == 200_000
    assert source.n_bytes == os.path.getsize(path)
    assert [row["id"] for row in rows(source, ["id"])] == list(range(1, 200_001))
    with open(path, "rb") as file:
        assert source.digest() == hashlib.sha256(file.read()).hexdigest()
    assert told[-1] == ("query the database", 200_000, 0)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert (source.query, source.place) == (
        "select * from customers order by id",
        f"postgresql://127.0.0.1:{shop.port}/shop",
    )
    assert source.locate(6) == "the query's result: row 7"
    write_output(source, np.array([5, 0]), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "id,name\n6,customer-6\n1,customer-1\n"
    source.close()
    source.close()
    with pytest.raises(DataError, match="no such file"):
        rows(source)


def test_a_query_without_rows(shop, tmp_path):
    source = open_database("select * from customers where false", shop.uri, tmp_path)
    assert (source.n_rows, source.schema.names, rows(source)) == (0, ["id", "name"], [])


def test_a_kept_spool_is_used_again(shop, tmp_path):
    query = "select * from customers where id <= 10"
    once = open_database(query, shop.uri, tmp_path, reuse=True)
    assert sorted(os.listdir(tmp_path)) == ["query.json", "query.parquet"]
    for name in os.listdir(tmp_path):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    record = json.loads((tmp_path / "query.json").read_text())
    assert record["query"] == query
    assert (
        record["sha256"]
        == hashlib.sha256((tmp_path / "query.parquet").read_bytes()).hexdigest()
        == once.digest()
    )
    for secret in (PASSWORD, QUOTED, "admin"):
        assert secret not in (tmp_path / "query.json").read_text()
        assert secret.encode() not in (tmp_path / "query.parquet").read_bytes()
    shop.run("create table changed as select 1 as id")
    nobody = shop.uri.replace("admin", "nobody")  # the database is not asked again
    again = open_database(query + " ;\n", nobody, tmp_path, reuse=True)
    assert (again.digest(), again.n_rows, rows(again)) == (once.digest(), 10, rows(once))
    again._types["id"] = "numeric"
    with pytest.raises(DataError, match="'id' is numeric"):
        digest_keys(again, [KeySpec("id")])


def test_a_kept_spool_of_something_else_is_refused(shop, tmp_path):
    query = "select * from customers where id <= 10"
    open_database(query, shop.uri, tmp_path, reuse=True)
    fails(query + "0", shop.uri, tmp_path, "query.json", "of another query", "remove", reuse=True)
    fails(query, shop.uri.replace("/shop", "/other"), tmp_path, "of another database", reuse=True)
    data = (tmp_path / "query.parquet").read_bytes()
    (tmp_path / "query.parquet").write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
    fails(query, shop.uri, tmp_path, "query.parquet", "SHA-256", error=CorruptData, reuse=True)
    (tmp_path / "query.parquet").write_bytes(data[:-1])
    fails(query, shop.uri, tmp_path, "query.parquet", error=CorruptData, reuse=True)
    (tmp_path / "query.parquet").unlink()
    fails(query, shop.uri, tmp_path, "query.parquet: no such file", reuse=True)
    for text in ("", "[]", "{}", '{"version": 1, "query": 1}', '{"version": 9}'):
        (tmp_path / "query.json").write_text(text)
        fails(query, shop.uri, tmp_path, "query.json", "remove", reuse=True)


def test_a_spool_that_was_cut_off_is_written_anew(shop, tmp_path):
    (tmp_path / ".query.parquet.partial").write_bytes(b"half")
    (tmp_path / "query.parquet").write_bytes(b"no record yet")
    assert open_database("select 1 as id", shop.uri, tmp_path, reuse=True).n_rows == 1
    assert sorted(os.listdir(tmp_path)) == ["query.json", "query.parquet"]


LIMITED = """
import resource, signal, sys
from crypsis.errors import DataError
from crypsis.mpc.data import open_database
uri, folder, mode, query = sys.argv[1:]
if mode == "disk":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    open_database("select 1 as warm", uri, folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = open_database(query, uri, folder, reuse=mode == "disk")
except DataError as error:
    print(error)
    sys.exit(error.exit_code)
print(source.n_rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def limited(*arguments):
    done = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    return done


def test_a_full_disk(shop, tmp_path):
    done = limited(shop.uri, tmp_path, "disk", "select id, md5(name) as m from customers")
    assert done.returncode == DataError.exit_code
    assert "no space left for the query's result" in done.stdout
    assert os.listdir(tmp_path) == []


def test_memory_does_not_grow_with_the_result(shop, tmp_path):
    """256 MiB on the wire; a record batch of ADBC has 16."""
    query = "select i as id, repeat(chr(65 + i % 26), 1 << 16) as t from generate_series(1, 4096) i"
    done = limited(shop.uri, tmp_path, "memory", query)
    n_rows, grown_mib = map(int, done.stdout.split())
    assert n_rows == 4096
    assert grown_mib < 128
    print(grown_mib)


def test_the_spool_directory_must_be_there(shop, tmp_path):
    with pytest.raises(DataError, match="none: the directory for the query's result does not exist"):
        open_database("select 1 as id", shop.uri, tmp_path / "none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_spool_directory_that_cannot_be_written(shop, tmp_path):
    tmp_path.chmod(0o500)
    for reuse in (False, True):
        fails("select 1 as id", shop.uri, tmp_path, "cannot be stored", "permissions", reuse=reuse)


def test_the_spool_is_plain_parquet(shop, tmp_path):
    open_database("select u, n, j from every", shop.uri, tmp_path, reuse=True)
    assert pq.read_table(tmp_path / "query.parquet")["u"].to_pylist() == [UUID, None]


def test_the_example_of_the_document(postgres, tmp_path):
    page = ROOT / "docs" / "inputs.md"
    postgres.run(
        "create schema document; "
        "create table document.customers (id, income) as values ('ada', 10), ('bo', 20), ('chen', 30), ('bo', 40)"
    )
    (example,) = blocks(page, "py")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", example.text],
        cwd=tmp_path,
        env=os.environ | {"CUSTOMERS_DATABASE": postgres.uri + "?options=-csearch_path%3Ddocument"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    # The types that the page lists as keys are those of the code, and so are those it refuses.
    table = re.findall(r"^\| (`[^|]*) \| [^|]* \| ([^|]*) \|$", page.read_text(), re.MULTILINE)
    refused = {
        name for names, use in table if use.startswith("refused:") for name in re.findall(r"`(\w+)", names)
    }
    assert refused == {"char" if name == "bpchar" else name for name in _NO_KEYS}
