# SPDX-License-Identifier: Apache-2.0
"""`crypsis query serve` and `ask` as two processes over mutual TLS, and what can be wrong with a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port
from transport.proxy import DroppingProxy

from .parties import COMMAND, Finished, ended, in_the_middle

PARTIES = {"exchange": ("serve", "broker"), "broker": ("ask", "exchange")}


class QueryScene:
    """A list of 500 accounts, 20 questions (10 of them on the list), certificates and a configuration for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        make_development_certificates(folder / "certs", list(PARTIES))
        accounts = [f"account-{i:06}" for i in range(500)]
        reasons = [f"reason {i}, ünïcode" if i % 5 else None for i in range(500)]
        listed = {"account": accounts, "reason": reasons, "since": pa.array(range(500), pa.int32())}
        pq.write_table(pa.table(listed), folder / "list.parquet")
        asked = [f"account-{i:06}" for i in range(490, 510)]
        pacsv.write_csv(pa.table({"applicant": asked, "no": list(range(20))}), folder / "asked.csv")
        for party in PARTIES:
            self.config(party)

    def config(self, party: str, **fields: Any) -> Path:
        """A configuration file; `fields` replace or add to what works, None removes."""
        owner = party == "exchange"
        config: dict[str, Any] = {
            "party": party,
            "peer": PARTIES[party][1],
            "listen" if owner else "connect": f"127.0.0.1:{self.port}",
            "tls": {"ca": "certs/ca.crt", "certificate": f"certs/{party}.crt", "key": f"certs/{party}.key"},
            "input": "list.parquet" if owner else "asked.csv",
            "keys": ["account" if owner else "applicant"],
            "list_name": "exchange/blacklist",
            "prefix_bits": 3,
            "threads": 1,
            "patience": 60,
            **({"report": "exchange.report.json"} if owner else {"output": "answers.parquet"}),
            **fields,
        }
        path = self.folder / f"{party}.json"
        path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
        return path

    def start(self, party: str, *flags: str, verbose: bool = False) -> subprocess.Popen[str]:
        command = [*COMMAND, *(["-v"] if verbose else []), "query", PARTIES[party][0]]
        command += ["--config", str(self.folder / f"{party}.json"), *flags]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def run(self) -> tuple[Finished, Finished]:
        finished: tuple[Finished, Finished] = ended(*[self.start(party) for party in PARTIES])
        return finished

    def left_over(self) -> list[str]:
        return sorted(n for n in os.listdir(self.folder) if "answers" in n or "partial" in n or "report" in n)


@pytest.fixture
def scene(tmp_path: Path) -> QueryScene:
    return QueryScene(tmp_path)


def succeeded(*parties: Finished) -> None:
    for party in parties:
        assert party.code == 0, party
        assert party.stderr == "", party


def test_a_job_with_reports(scene: QueryScene) -> None:
    scene.config("exchange", ledger="ledger.jsonl", max_queries_in_all=30)
    exchange, broker = scene.run()
    succeeded(exchange, broker)
    assert "queries        20 from broker, each among 125 entries, 3 bits shown" in exchange.stdout
    assert "on the list    10 keys" in broker.stdout
    table = pq.read_table(scene.folder / "answers.parquet")
    assert table.schema.names == ["applicant", "no", "found", "reason", "since"]
    assert table["applicant"].to_pylist() == [f"account-{i:06}" for i in range(490, 510)]
    assert table["found"].to_pylist() == [True] * 10 + [False] * 10
    assert table["since"].to_pylist() == [*range(490, 500), *[None] * 10]
    assert table["reason"].to_pylist()[:2] == [None, "reason 491, ünïcode"]
    mine = json.loads((scene.folder / "exchange.report.json").read_text())
    theirs = json.loads((scene.folder / "answers.parquet.report.json").read_text())
    for name in ("public_configuration", "public_configuration_sha256", "agreed"):
        assert mine[name] == theirs[name]
    assert (mine["role"], theirs["role"], mine["kind"]) == ("owner", "querier", "query")
    assert mine["counts"] == {"rows": 500, "null_keys": 0, "unique_keys": 500, "queries": 20}
    assert theirs["counts"]["found_keys"] == 10
    assert mine["traffic"]["payload_bytes_sent"] == theirs["traffic"]["payload_bytes_received"]
    assert mine["traffic"]["payload_bytes_sent"] > 20 * mine["agreed"]["answer_bytes"]
    assert mine["security"]["peer_certificate_name"] == "broker"
    assert "found" not in json.dumps(mine["counts"])
    assert not any("account-" in json.dumps(report) for report in (mine, theirs))

    # The ledger remembers: 20 of 30 are used.
    (scene.folder / "answers.parquet").unlink()
    first, second = scene.run()
    assert "20 queries about 'exchange/blacklist' so far and now 20 more" in first.error(2)
    assert second.code == 6
    assert not (scene.folder / "answers.parquet").exists()
    assert len((scene.folder / "ledger.jsonl").read_text().splitlines()) == 1


def test_flags_only(scene: QueryScene) -> None:
    certs = scene.folder / "certs"
    processes = []
    for party, own in (
        (
            "exchange",
            ["--input", str(scene.folder / "list.parquet"), "--key", "account", "--column", "since"],
        ),
        ("broker", ["--input", str(scene.folder / "asked.csv"), "--key", "applicant"]),
    ):
        (scene.folder / f"{party}.json").write_text("{}")
        if party == "broker":
            own += ["--output", str(scene.folder / "answers.csv"), "--found", "listed", "--pad-queries", "32"]
            own += ["--output-column", "no", "--min-bucket", "100", "--json"]
        where = ["--listen" if party == "exchange" else "--connect", f"127.0.0.1:{scene.port}"]
        tls = ["--tls-ca", str(certs / "ca.crt"), "--tls-certificate", str(certs / f"{party}.crt")]
        tls += ["--tls-key", str(certs / f"{party}.key")]
        names = ["--party", party, "--peer", PARTIES[party][1], "--list-name", "x", "--prefix-bits", "2"]
        processes.append(scene.start(party, *names, *where, *tls, *own, "--threads", "1", "--quiet"))
    exchange, broker = ended(*processes)
    succeeded(exchange, broker)
    assert json.loads(broker.stdout)["agreed"]["queries"] == 32
    table = pacsv.read_csv(scene.folder / "answers.csv")
    assert table.column_names == ["no", "listed", "since"]
    assert table["listed"].to_pylist() == [True] * 10 + [False] * 10


@pytest.mark.parametrize("victim", list(PARTIES))
def test_a_killed_party_leaves_no_output(scene: QueryScene, victim: str) -> None:
    """Killed in the middle of the answers: the other one ends, and there is no output and no partial file."""
    pq.write_table(
        pa.table({"account": [f"account-{i:06}" for i in range(60_000)], "text": ["x" * 200] * 60_000}),
        scene.folder / "list.parquet",
    )
    with DroppingProxy(scene.port) as proxy:
        proxy.go_silent_when(
            lambda: proxy.forwarded >= 20 << 20
        )  # more than before the answers, of 13 MB each
        scene.config("exchange", prefix_bits=0, patience=12)
        scene.config("broker", prefix_bits=0, patience=12, connect=f"127.0.0.1:{proxy.port}")
        processes = {party: scene.start(party) for party in PARTIES}
        assert in_the_middle(proxy, processes), ended(*processes.values())
        processes[victim].kill()
        proxy.resume()
        finished = dict(zip(PARTIES, ended(*processes.values()), strict=True))
    other = finished["broker" if victim == "exchange" else "exchange"]
    assert finished[victim].code == -signal.SIGKILL
    assert other.code in (5, 6), other
    assert scene.left_over() == []


def test_interrupted_by_the_operator(scene: QueryScene) -> None:
    process = scene.start("broker", verbose=True)
    assert process.stderr is not None
    process.stderr.readline()  # it has begun: a time would be too short on a busy machine
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130
    assert scene.left_over() == []


def refused(finished: Finished, code: int, *named: str) -> None:
    line = finished.error(code)
    for text in named:
        assert text in line, line


@pytest.mark.parametrize(
    ("party", "fields", "named"),
    [
        ("exchange", {"list_name": None}, ["list_name is missing"]),
        ("exchange", {"prefix_bits": 40}, ["prefix_bits", "40", "24"]),
        ("exchange", {"output": "x"}, ["output", "no such field", "crypsis query schema serve"]),
        ("exchange", {"max_rows": 0}, ["max_rows", "0"]),
        ("exchange", {"columns": ["a", "a"]}, ["columns", "'a' is named twice"]),
        ("exchange", {"max_queries_in_all": 5}, ["max_queries_in_all", "ledger"]),
        ("broker", {"output": None}, ["output is missing"]),
        ("broker", {"max_queries": 3}, ["max_queries", "no such field", "crypsis query schema ask"]),
        ("broker", {"pad_queries": -1}, ["pad_queries", "-1"]),
        ("broker", {"listen": "x:1"}, ["listen and connect"]),
        ("broker", {"output": {"path": "a.csv", "null_rep": ","}}, ["null_rep", "comma"]),
    ],
)
def test_wrong_fields(
    scene: QueryScene, crypsis: Any, party: str, fields: dict[str, Any], named: list[str]
) -> None:
    path = scene.config(party, **fields)
    refused(crypsis("query", PARTIES[party][0], "--config", str(path)), 2, *named)


@pytest.mark.parametrize(
    ("party", "fields", "named"),
    [
        ("exchange", {"keys": ["x"]}, ["list.parquet", "no column 'x'"]),
        ("exchange", {"columns": ["x"]}, ["list.parquet", "no column 'x'"]),
        ("exchange", {"capacity": 10}, ["500 keys and capacity is 10"]),
        ("exchange", {"text_bytes": 3}, ["'reason'", "text_bytes"]),
        ("exchange", {"report": "list.parquet"}, ["is the input too"]),
        ("exchange", {"ledger": "list.parquet"}, ["is the input too"]),
        ("exchange", {"ledger": "nowhere/ledger"}, ["ledger", "No such file"]),
        ("exchange", {"ledger": "asked.csv"}, ["asked.csv:1", "no line of a ledger"]),
        ("broker", {"keys": ["x"]}, ["asked.csv", "no column 'x'"]),
        ("broker", {"output": "asked.csv"}, ["is the input too"]),
        ("broker", {"output": "nowhere/a.csv"}, ["nowhere", "does not exist"]),
        ("broker", {"output": {"path": "a.csv", "columns": ["x"]}}, ["'x'"]),
        ("broker", {"output": {"path": "a.csv", "found": "no"}}, ["'no' would be in the output twice"]),
        ("broker", {"report": "certs/ca.crt"}, ["is tls.ca too"]),
    ],
)
def test_unusable_files(
    scene: QueryScene, crypsis: Any, party: str, fields: dict[str, Any], named: list[str]
) -> None:
    path = scene.config(party, **fields)
    refused(crypsis("query", PARTIES[party][0], "--config", str(path)), 4, *named)


def test_columns_that_collide_stop_the_job_before_a_query(scene: QueryScene) -> None:
    scene.config("broker", output={"path": "answers.parquet", "found": "since"})
    exchange, broker = scene.run()
    refused(broker, 4, "'since' would be in the output twice")
    assert exchange.code == 6
    assert scene.left_over() == []


def test_configurations_that_disagree(scene: QueryScene) -> None:
    scene.config("broker", prefix_bits=2)
    exchange, broker = scene.run()
    refused(exchange, 2, "prefix_bits", "3 here", "2 at broker")
    refused(broker, 2, "prefix_bits", "2 here", "3 at exchange")
    assert scene.left_over() == []


@pytest.mark.parametrize("which", ["serve", "ask"])
def test_schema_names_every_field(crypsis: Any, which: str) -> None:
    from crypsis.mpc.pir.config import AskConfig, ServeConfig

    schema = json.loads(crypsis("query", "schema", which).stdout)
    model = ServeConfig if which == "serve" else AskConfig
    assert set(schema["properties"]) == set(model.model_fields)
    assert crypsis("query", "schema", "x").code == 2


@pytest.mark.parametrize("which", ["serve", "ask"])
def test_every_field_has_a_flag(which: str) -> None:
    import inspect

    from crypsis.mpc.cli import psi_run, query
    from crypsis.mpc.pir.config import AskConfig, ServeConfig

    command = query.query_serve if which == "serve" else query.query_ask
    places = psi_run._PLACES | query._PLACES
    flags = {places.get(name, name) for name in inspect.signature(command).parameters}
    tops = {flag.split(".")[0] for flag in flags} - set(query._NOT_FIELDS)
    assert tops == set((ServeConfig if which == "serve" else AskConfig).model_fields)
