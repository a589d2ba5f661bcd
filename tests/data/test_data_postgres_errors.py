# SPDX-License-Identifier: Apache-2.0
"""Queries, servers and URIs that are wrong: one line that names what to do, no password, and nothing left behind."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest

from crypsis.errors import BackendUnavailable
from crypsis.mpc.data import database as database_module
from crypsis.mpc.data import open_database
from crypsis.mpc.data.database_uri import DatabaseUri
from postgres_cases import fails

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
        flowing.wait(300)
        shop.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'COPY (select i as lost%'"
        )

    for reuse in (False, True):
        flowing.clear()
        killer = threading.Thread(target=end)
        killer.start()

        def progress(*_, killer=killer):
            flowing.set()
            killer.join(300)

        query = "select i as lost, repeat('x', 200) as t from generate_series(1, 2000000) i"
        text = fails(
            query, shop.uri, tmp_path, "was lost after", "run the job again", reuse=reuse, progress=progress
        )
        assert int(text.split("lost after ")[1].split()[0]) > 0


def test_a_session_that_the_server_ends_in_words(shop, tmp_path):
    """A backend that waits, and does not stand in the middle of a message, still says why it ends."""
    ended = threading.Event()

    def end():
        while not ended.is_set():
            shop.run(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where state = 'active' and wait_event = 'PgSleep'"
            )

    killer = threading.Thread(target=end)
    killer.start()
    try:
        text = fails(
            "select i as id, pg_sleep(1)::text as t from generate_series(1, 100) i",
            shop.uri,
            tmp_path,
            "was lost after",
            "run the job again",
        )
    finally:
        ended.set()
        killer.join()
    assert "terminating connection" in text


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
