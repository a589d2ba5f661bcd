# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL query as a source, against a real server: types, spools, and everything that can go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import traceback

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import BackendUnavailable, CorruptData, DataError
from crypsis.mpc.data import KeySpec, TableSource, digest_keys, open_database, write_output
from crypsis.mpc.data import database as database_module
from crypsis.mpc.data.database_uri import DatabaseUri
from crypsis.mpc.data.postgres_types import _NO_KEYS, check_key
from docs.pages import ROOT, blocks
from postgres_server import PASSWORD, QUOTED

UUID = "550e8400-e29b-41d4-a716-446655440000"
SETUP = """
create type plan as enum ('basic', 'family');
create table every (
  i2 int2, i4 int4, i8 int8, t text, v varchar(10), u uuid, b bytea, d date, n numeric(10, 2), ts timestamp,
  tz timestamptz, j jsonb, js json, bo bool, f8 float8, c char(5), a int4[], e plan, o oid, mo money);
insert into every values (
  -1, 2, 3, 'x,"y"', 'é', '550E8400-E29B-41D4-A716-446655440000', '\\x00ff', '2026-02-28', 12.50,
  '2026-02-28 10:00:00.5', '2026-02-28 10:00:00+01', '{"a":1}', '{"a":  1}', true, 1.5, 'ab', '{1,2}', 'family', 7, 1);
insert into every select from generate_series(1, 1);
create table customers as select i as id, 'customer-' || i as name from generate_series(1, 200000) i;
"""


@pytest.fixture(scope="module")
def shop(postgres):
    postgres.run(SETUP)
    return postgres


def rows(source, columns=None):
    return [row for batch in source.batches(columns) for row in batch.to_pylist()]


def fails(query, uri, folder, *words, error=DataError, **options):
    """The message; nothing is left in the folder, and no password anywhere in the traceback."""
    before = sorted(os.listdir(folder))
    with pytest.raises(error) as caught:
        open_database(query, uri, folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    told = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, QUOTED, "s3cret", "hunter2"):
        assert secret not in told, told
    assert sorted(os.listdir(folder)) == before
    return text


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
    source = open_database("select * from customers;", shop.uri, tmp_path, progress=lambda *p: told.append(p))
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
        "select * from customers",
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
    with pytest.raises(DataError, match="'id' is numeric"):
        again._types["id"] = "numeric"
        digest_keys(again, [KeySpec("id")])
    again.remove()
    again.remove()
    assert os.listdir(tmp_path) == []


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
        timeout=120,
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


# ---- the query ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "/* of -- us */ select 1 as id -- the id",
        "-- all\n  (values (1)) ;",
        "with one as (select 1 as id) table one",
        "TABLE customers; ; ",
        "select ';' as id;",
    ],
)
def test_queries_that_are_right(shop, tmp_path, query):
    assert open_database(query, shop.uri, tmp_path).n_rows >= 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", ["is no SELECT"]),
        ("delete from customers", ["is no SELECT"]),
        ("selectid from customers", ["is no SELECT"]),
        ("commit", ["is no SELECT"]),
        ("show all", ["is no SELECT"]),
        ("with gone as (delete from customers returning *) select * from gone", ["read-only transaction"]),
        ("select nextval('counter') as id", ["read-only transaction"]),
        ("select 1 as id; delete from customers", ["multiple commands"]),
        ("select 1) to stdout; --", ["syntax error"]),
        ("select id from customer", ['"customer" does not exist', "42P01", "correct it"]),
        ("select id, id from customers", ["2 columns named 'id'", "AS"]),
        ("select id, 1 from customers", ["column 2", "no name", "AS"]),
        ("select", ["no columns"]),
        ("select 'secret-value'::int as id", ['integer: "..."']),
        (
            "select (case when i = 190000 then 'v\"alue' else '1' end)::int as id from generate_series(1, 200000) i",
            ['"..."'],
        ),
        ("select 1 / (190000 - i) as id from generate_series(1, 200000) i", ["division by zero", "correct"]),
    ],
)
def test_queries_that_are_wrong(shop, tmp_path, query, words):
    if "nextval" in query:
        shop.run("create sequence if not exists counter")
    for reuse in (False, True):
        text = fails(query, shop.uri, tmp_path, *words, reuse=reuse)
        assert "value" not in text
        assert "alue" not in text
    assert shop.run("select count(*) from customers") == "200000"


# ---- the server --------------------------------------------------------------------------------------------


def test_wrong_credentials_and_servers(shop, tmp_path):
    place = f"postgresql://127.0.0.1:{shop.port}/shop"
    fails(
        "select 1 as id",
        shop.uri.replace("w%40rd", "word"),
        tmp_path,
        place,
        "password authentication failed",
    )
    fails("select 1 as id", shop.uri.replace("/shop", "/none"), tmp_path, 'database "none" does not exist')
    fails(
        "select 1 as id",
        "postgresql://a:hunter2@127.0.0.1:1/shop",
        tmp_path,
        "port 1 failed: Connection refused",
    )
    fails("select 1 as id", shop.uri + "?sslmode=verify-full", tmp_path, "SSL")
    fails("select 1 as id", shop.uri + "?colour=blue", tmp_path, "colour")


def test_no_answer(shop, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"postgresql://a:hunter2@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2"
        fails("select 1 as id", uri, tmp_path, "timeout expired")


@pytest.mark.parametrize(
    "uri",
    [
        "host=localhost password=hunter2",
        "mysql://root:hunter2@localhost/shop",
        "postgresql://a:hun@ter2hunter2@localhost/shop",
        "postgresql://a:hunter2/x@localhost/shop",
        "postgresql://a:hunter2?x@localhost/shop",
        "postgresql://a:hunter2#x@localhost/shop",
        "postgresql://a:hunter2%zz@localhost/shop",
        "postgresql://a:hunter2 @localhost/shop",
        "postgresql://a:hunter2:x/shop",
        "postgresql://localhost:hunter2/shop",
        "postgresql://localhost/shop?password=hunter2@x",
    ],
)
@pytest.mark.filterwarnings("error")
def test_uris_that_cannot_be_understood_are_not_quoted(tmp_path, uri):
    fails("select 1 as id", uri, tmp_path, "URI")


def test_messages_are_cleared_of_passwords():
    uri = DatabaseUri.parse(
        "postgresql://me:pa%24%24word@h1:1,[::1]:2/a%20b?sslpassword=tiger2&connect_timeout=9"
    )
    assert uri.place == "postgresql://h1:1,[::1]:2/a b"
    assert uri.text.endswith("connect_timeout=9")
    assert "pa" not in repr(uri)
    told = uri.without_secrets(f"x pa$$word y pa%24%24word z tiger2 {uri.text}")
    assert told == f"x *** y *** z *** {uri.place}"
    assert DatabaseUri.parse("postgres://h").text == "postgres://h?connect_timeout=30"
    assert DatabaseUri.parse("postgres://h/d?a=b").text == "postgres://h/d?a=b&connect_timeout=30"
    assert DatabaseUri.parse("postgresql:///?host=/tmp&dbname=d").place == "postgresql:///tmp/d"
    assert DatabaseUri.parse("postgresql://").place == "postgresql://(default)/(default)"
    for wrong in (None, 5):
        with pytest.raises(TypeError, match="uri must be a string"):
            DatabaseUri.parse(wrong)
        with pytest.raises(TypeError, match="query must be a string"):
            open_database(wrong, "postgresql://h", "/tmp")


def test_a_connection_lost_in_the_middle(shop, tmp_path):
    """The backend is ended once rows flow."""
    flowing = threading.Event()

    def end():
        flowing.wait(60)
        shop.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY (select i as lost%'"
        )

    for reuse in (False, True):
        flowing.clear()
        killer = threading.Thread(target=end)
        killer.start()

        def progress(*_):
            flowing.set()
            killer.join(60)

        query = "select i as lost, repeat('x', 200) as t from generate_series(1, 2000000) i"
        text = fails(
            query, shop.uri, tmp_path, "was lost after", "run the job again", reuse=reuse, progress=progress
        )
        assert int(text.split("lost after ")[1].split()[0]) > 0


def test_an_interrupted_query_leaves_nothing(shop, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    for reuse in (False, True):
        fails(
            "select * from customers",
            shop.uri,
            tmp_path,
            error=KeyboardInterrupt,
            reuse=reuse,
            progress=interrupt,
        )


def test_without_adbc(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_manager", None)
    with pytest.raises(BackendUnavailable, match=r'pip install "crypsis\[postgres\]"'):
        open_database("select 1 as id", "postgresql://h/d", tmp_path)
    assert os.listdir(tmp_path) == []
    assert "adbc" not in vars(database_module)


def test_the_spool_is_plain_parquet(shop, tmp_path):
    open_database("select u, n, j from every", shop.uri, tmp_path, reuse=True)
    assert pq.read_table(tmp_path / "query.parquet")["u"].to_pylist() == [UUID, None]


def test_the_example_of_the_document(postgres, tmp_path):
    page = ROOT / "docs" / "inputs.md"
    postgres.run(
        "create schema document; "
        "create table document.customers as select * from (values ('ada', 10), ('bo', 20), ('chen', 30), ('bo', 40)) as t(id, income)"
    )
    (example,) = blocks(page, "py")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", example.text],
        cwd=tmp_path,
        env=os.environ | {"CUSTOMERS_DATABASE": postgres.uri + "?options=-csearch_path%3Ddocument"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")
    # The types that the page lists as keys are those of the code, and so are those it refuses.
    table = re.findall(r"^\| (`.*?`)[^|]* \| [^|]* \| ([^|]*) \|$", page.read_text(), re.MULTILINE)
    refused = {
        name for names, use in table if use.startswith("refused:") for name in re.findall(r"`(\w+)", names)
    }
    assert refused == {"char" if name == "bpchar" else name for name in _NO_KEYS}
