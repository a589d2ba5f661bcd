# SPDX-License-Identifier: Apache-2.0
"""Everything that can be wrong with a job: one line that names it, the documented exit code, and no output file."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import CrypsisError
from crypsis.mpc.psi import agree
from crypsis.mpc.psi.ecdh import POINTS
from crypsis.mpc.transport import ChannelOptions, TlsFiles, agreement, open_channel
from crypsis.mpc.transport.certs import make_development_certificates

from .parties import Finished, Scene, ended

Crypsis = Callable[..., Finished]


def run_bank(scene: Scene, crypsis: Crypsis, *flags: str) -> Finished:
    """The bank alone: its own mistakes are found before the telco is needed."""
    return crypsis("psi", "run", "--config", str(scene.folder / "bank.json"), *flags)


def refused(scene: Scene, finished: Finished, code: int, *named: str) -> None:
    line = finished.error(code)
    for text in named:
        assert text in line, line
    assert scene.left_over() == []


# ---- one's own configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"role": "reciever"}, ["role", "'reciever'", "receiver", "sender"]),
        ({"keys": []}, ["keys"]),
        ({"keys": [{"name": "id", "type": "number"}]}, ["keys.0.type", "'number'", "int"]),
        ({"keys": [7]}, ["keys.0", "7"]),
        ({"peer": None}, ["peer is missing"]),
        ({"peer": "bank"}, ["party and peer"]),
        ({"peers": "x"}, ["peers", "no such field", "schema"]),
        ({"batch_size": "big"}, ["batch_size", "'big'", "integer"]),
        ({"batch_size": 0}, ["batch_size", "0", "greater"]),
        ({"patience": -1}, ["patience", "-1"]),
        ({"broadcast": "yes"}, ["broadcast", "'yes'"]),
        ({"job": 2024}, ["job", "2024", "string"]),
        ({"listen": "7400"}, ["listen", "7400", "host:port"]),
        ({"connect": "localhost:7"}, ["listen and connect"]),
        ({"tls": None}, ["tls", "crypsis certs"]),
        ({"tls": {"ca": "certs/ca.crt"}}, ["tls.certificate is missing"]),
        ({"output": None}, ["output is missing"]),
        ({"input": {"path": "bank.parquet", "csv": {"delimiter": "::"}}}, ["input.csv.delimiter", "'::'"]),
        ({"join": "outer"}, ["join", "'outer'", "full"]),
        ({"listen": "localhost:0"}, ["listen", "localhost:0", "1 to 65535"]),
        ({"keys": ["id", "id"]}, ["keys", "'id' is named twice"]),
        ({"output": {"path": "o.csv", "columns": ["id", "id"]}}, ["output.columns", "'id' is named twice"]),
        ({"output": {"path": "o.csv", "null_rep": ","}}, ["output.null_rep", "','", "comma"]),
    ],
)
def test_wrong_fields(scene: Scene, crypsis: Crypsis, fields: dict[str, Any], named: list[str]) -> None:
    path = scene.config("bank", **fields)
    finished = run_bank(scene, crypsis)
    lines = finished.stderr.splitlines()
    assert finished.code == 2, finished
    assert all(line.startswith(f"error: {path}") or "tls" in line for line in lines), finished
    assert all(text in lines[0] for text in named), finished
    assert scene.left_over() == []


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("job.yaml", "party: [bank", ["job.yaml:1", "YAML"]),
        ("job.yaml", "party: bank\nparty: telco\n", ["job.yaml:2", "'party' is given twice"]),
        ("job.yaml", "- party\n", ["a list", "fields"]),
        ("job.yaml", "", ["nothing"]),
        ("job.yaml", "party: !!python/object/apply:os.getpid []\n", ["YAML", "python/object"]),
        ("job.json", '{"party": }', ["job.json:1", "JSON"]),
        ("missing.yaml", None, ["missing.yaml", "No such file", "--config"]),
    ],
)
def test_unusable_configuration_files(
    tmp_path: Path, crypsis: Crypsis, name: str, text: str | None, named: list[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    line = crypsis("psi", "run", "--config", str(tmp_path / name)).error(2)
    assert all(part in line for part in named), line


def test_a_configuration_that_is_not_text(tmp_path: Path, crypsis: Crypsis) -> None:
    (tmp_path / "job.yaml").write_bytes(b"party: b\xff\xfe")
    assert "UTF-8" in crypsis("psi", "run", "--config", str(tmp_path / "job.yaml")).error(2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["psi", "run", "--jion", "left"], "--jion"),
        (["psi", "run", "--batch-size", "many"], "--batch-size"),
        (["psi", "walk"], "walk"),
        (["certs", "x"], "--party"),
        (["demo", "psi", "--rows", "-4"], "--rows"),
        (["demo", "psi", "--protocol", "rot13"], "rot13"),
    ],
)
def test_usage(crypsis: Crypsis, arguments: list[str], named: str) -> None:
    assert named in crypsis(*arguments).error(2)


def test_a_defect_is_one_line_unless_debugging(crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis import backends

    def broken() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(backends, "report", broken)
    line = crypsis("backends").error(70)
    assert "ZeroDivisionError" in line
    assert "--debug" in line
    from crypsis.mpc.cli import main

    with pytest.raises(ZeroDivisionError):
        main(["--debug", "backends"])


# ---- one's own files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "place", "owner"),
    [
        ({"output": {"path": "bank.parquet", "overwrite": True}}, "bank.parquet", "is the input too"),
        ({"report": "bank.parquet"}, "bank.parquet", "is the input too"),
        ({"report": "bank.out.parquet"}, "bank.out.parquet", "is the output too"),
        ({"report": "certs/bank.key"}, "certs/bank.key", "is tls.key too"),
        ({"report": "certs/ca.crt"}, "certs/ca.crt", "is tls.ca too"),
        (
            {"output": {"path": "certs/bank.crt", "format": "csv", "overwrite": True}},
            "bank.crt",
            "tls.certif",
        ),
        ({"report": "bank.json"}, "bank.json", "is the configuration file too"),
        ({"report": "link.json"}, "link.json", "is the configuration file too"),
        ({"report": "notes.txt"}, "notes.txt", "is no run report"),
    ],
)
def test_no_file_of_the_job_is_replaced(
    scene: Scene, crypsis: Crypsis, fields: dict[str, Any], place: str, owner: str
) -> None:
    (scene.folder / "notes.txt").write_text('{"mine": 1}')
    (scene.folder / "link.json").symlink_to(scene.config("bank", **fields))
    before = {path: path.read_bytes() for path in scene.folder.rglob("*") if path.is_file()}
    line = run_bank(scene, crypsis).error(4)
    assert place in line
    assert owner in line
    assert {path: path.read_bytes() for path in scene.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("variable", "code", "named"),
    [
        ({"CRYPSIS_NUM_THREADS": "abc"}, 2, ["CRYPSIS_NUM_THREADS", "'abc'", "1 to 4096"]),
        ({"CRYPSIS_BACKEND": "curve25519:abacus"}, 3, ["'abacus'", "curve25519"]),
    ],
)
def test_wrong_environment(
    scene: Scene,
    crypsis: Crypsis,
    monkeypatch: pytest.MonkeyPatch,
    variable: dict[str, str],
    code: int,
    named: list[str],
) -> None:
    scene.config("bank", threads=None)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    refused(scene, run_bank(scene, crypsis), code, *named)


def test_csv_options_for_parquet(scene: Scene, crypsis: Crypsis) -> None:
    scene.config("bank", input={"path": "bank.parquet", "csv": {"delimiter": ";"}})
    refused(scene, run_bank(scene, crypsis), 4, "bank.parquet", "CSV options")


def test_an_output_column_without_csv_form(scene: Scene, crypsis: Crypsis) -> None:
    pq.write_table(pa.table({"id": ["a"], "tags": [["x", "y"]]}), scene.folder / "bank.parquet")
    scene.config("bank", output={"path": "bank.out.csv"})
    refused(scene, run_bank(scene, crypsis), 4, "bank.out.csv", "'tags'", "no CSV form")


def test_missing_column(scene: Scene, crypsis: Crypsis) -> None:
    refused(
        scene, run_bank(scene, crypsis, "--key", "passport"), 4, "bank.parquet", "'passport'", "'bank_number'"
    )


def test_missing_output_column(scene: Scene, crypsis: Crypsis) -> None:
    refused(scene, run_bank(scene, crypsis, "--output-column", "age"), 4, "'age'")


def test_indicator_that_exists(scene: Scene, crypsis: Crypsis) -> None:
    refused(scene, run_bank(scene, crypsis, "--indicator", "id"), 4, "'id'", "another name")


def test_wrong_type(scene: Scene, crypsis: Crypsis) -> None:
    pq.write_table(pa.table({"id": [1.5, 2.5]}), scene.folder / "bank.parquet")
    refused(scene, run_bank(scene, crypsis), 4, "bank.parquet", "'id'", "double")


def test_wrong_key_type_in_a_value(scene: Scene) -> None:
    """Found while keys are read: the connected peer is told."""
    (scene.folder / "bank.csv").write_text("id\n7\nseven\n")
    scene.config("bank", input="bank.csv", keys=[{"name": "id", "type": "int"}])
    scene.config("telco", keys=[{"name": "telco_number", "type": "int"}])
    bank, telco = scene.run()
    line = bank.error(4)
    assert "bank.csv" in line
    assert "row 2" in line
    assert "seven" not in line
    assert "DataError at party 'bank'" in telco.error(6)
    assert scene.left_over() == []


def test_missing_file(scene: Scene, crypsis: Crypsis) -> None:
    refused(
        scene, run_bank(scene, crypsis, "--input", "nowhere.parquet"), 4, "nowhere.parquet", "no such file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(scene: Scene, crypsis: Crypsis) -> None:
    (scene.folder / "bank.parquet").chmod(0)
    refused(scene, run_bank(scene, crypsis), 4, "bank.parquet", "permission")


def test_truncated_file(scene: Scene, crypsis: Crypsis) -> None:
    path = scene.folder / "bank.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    refused(scene, run_bank(scene, crypsis), 4, "bank.parquet", "truncated")


def test_file_of_another_format(scene: Scene, crypsis: Crypsis) -> None:
    (scene.folder / "bank.parquet").write_text("id\n1\n")
    refused(scene, run_bank(scene, crypsis), 4, "bank.parquet", "Parquet")


def test_undecodable_bytes(scene: Scene, crypsis: Crypsis) -> None:
    (scene.folder / "bank.csv").write_bytes(b"id,name\n1,a\n2,\xe9t\xe9\n")
    scene.config("bank", input="bank.csv")
    refused(scene, run_bank(scene, crypsis, "--key", "name"), 4, "bank.csv", "UTF-8")


def test_output_that_exists(scene: Scene, crypsis: Crypsis) -> None:
    path = scene.folder / "bank.out.parquet"
    path.write_bytes(b"precious")
    line = run_bank(scene, crypsis).error(4)
    assert "exists" in line
    assert "overwrite" in line
    assert path.read_bytes() == b"precious"


def test_output_over_the_input(scene: Scene, crypsis: Crypsis) -> None:
    before = (scene.folder / "bank.parquet").read_bytes()
    finished = run_bank(scene, crypsis, "--output", str(scene.folder / "bank.parquet"), "--overwrite")
    refused(scene, finished, 4, "is the input too")
    assert (scene.folder / "bank.parquet").read_bytes() == before


@pytest.mark.parametrize("flag", ["--output", "--report"])
def test_folder_that_is_missing(scene: Scene, crypsis: Crypsis, flag: str) -> None:
    finished = run_bank(scene, crypsis, flag, str(scene.folder / "no" / "such.parquet"))
    refused(scene, finished, 4, "does not exist", "create it")


def test_output_of_an_unknown_format(scene: Scene, crypsis: Crypsis) -> None:
    refused(scene, run_bank(scene, crypsis, "--output", str(scene.folder / "x.xlsx")), 4, "x.xlsx", "format")


@pytest.mark.parametrize("party", ["bank", "telco"])
def test_disk_full_on_output(scene: Scene, party: str) -> None:
    """A limit on the size of files stands for a full disk: the same error path from the same system call."""
    scene.table("bank", 0, 3000, "csv")
    scene.table("telco", 0, 3000, "csv")
    scene.config("bank", "csv")
    scene.config("telco", "csv")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    processes = {p: scene.start(p, preexec=limit if p == party else None) for p in ("bank", "telco")}
    finished = dict(zip(processes, ended(*processes.values()), strict=True))
    line = finished[party].error(4)
    assert f"{party}.out.csv" in line
    assert "no space left" in line
    other = finished["telco" if party == "bank" else "bank"]
    assert f"DataError at party {party!r}" in other.error(6)
    assert scene.left_over() == []


def test_backend_that_does_not_exist(scene: Scene, crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", "neon")
    refused(scene, run_bank(scene, crypsis), 3, "neon", "portable")


# ---- the network and the certificates ----------------------------------------------------------------------


def test_port_in_use(scene: Scene, crypsis: Crypsis) -> None:
    with socket.create_server(("127.0.0.1", scene.port)):
        refused(scene, run_bank(scene, crypsis), 5, str(scene.port), "in use")


def test_nobody_there(scene: Scene, crypsis: Crypsis) -> None:
    finished = crypsis("psi", "run", "--config", str(scene.folder / "telco.json"), "--patience", "0.5")
    refused(scene, finished, 5, "'bank'", str(scene.port))


def test_nobody_comes(scene: Scene, crypsis: Crypsis) -> None:
    refused(scene, run_bank(scene, crypsis, "--patience", "0.5"), 5, "'telco'")


def test_missing_certificate(scene: Scene, crypsis: Crypsis) -> None:
    refused(scene, run_bank(scene, crypsis, "--tls-ca", "nowhere.pem"), 2, "nowhere.pem", "crypsis certs")


def test_key_of_another_party(scene: Scene, crypsis: Crypsis) -> None:
    key = str(scene.folder / "certs" / "telco.key")
    refused(scene, run_bank(scene, crypsis, "--tls-key", key), 2, "telco.key", "matching pair")


def test_certificate_of_another_authority(scene: Scene) -> None:
    other = make_development_certificates(scene.folder / "other", ["telco"])["telco"]
    tls = {"ca": str(other.ca), "certificate": str(other.certificate), "key": str(other.key)}
    scene.config("telco", tls=tls)
    scene.config("bank", patience=12)
    bank, telco = scene.run()
    assert "certificate" in telco.error(5)
    assert "telco" in bank.error(5)
    assert scene.left_over() == []


def test_a_peer_under_another_name(scene: Scene) -> None:
    make_development_certificates(scene.folder / "certs", ["bank", "telco", "mallory"], overwrite=True)
    mallory = {"ca": "certs/ca.crt", "certificate": "certs/mallory.crt", "key": "certs/mallory.key"}
    scene.config("telco", party="mallory", tls=mallory, patience=12)
    scene.config("bank", patience=12)
    bank, telco = scene.run()
    assert bank.code == telco.code == 5
    assert "certificate does not name party 'telco'" in telco.error(5)
    bank.error(5)
    assert scene.left_over() == []


@contextmanager
def stranger(act: Callable[[socket.socket], None], port: int = 0) -> Iterator[int]:
    """A TCP server that does `act` with everyone who connects."""
    with socket.create_server(("127.0.0.1", port)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        act(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_listener_that_speaks_something_else(scene: Scene, crypsis: Crypsis) -> None:
    with stranger(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        scene.config("telco", connect=f"127.0.0.1:{port}")
        finished = crypsis("psi", "run", "--config", str(scene.folder / "telco.json"))
    refused(scene, finished, 5, "'bank'", "TLS")


def test_strangers_at_the_door_do_not_disturb(scene: Scene) -> None:
    bank = scene.start("bank")
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", scene.port), 0.1) as connection:
                connection.sendall(os.urandom(1000))
            break
        except OSError:
            threading.Event().wait(0.1)
    one, other = ended(bank, scene.start("telco"))
    assert one.code == other.code == 0, (one, other)


# ---- a peer that misbehaves behind a valid certificate -----------------------------------------------------


def against(scene: Scene, act: Callable[[Any], None]) -> Finished:
    """The bank as a process against `act(channel)` as the telco."""
    certs = scene.folder / "certs"
    process = scene.start("bank", "--patience", "60")
    tls = TlsFiles(ca=certs / "ca.crt", certificate=certs / "telco.crt", key=certs / "telco.key")
    channel = open_channel(
        party="telco",
        peer="bank",
        connect=f"127.0.0.1:{scene.port}",
        tls=tls,
        options=ChannelOptions(patience_s=60),
    )
    act(channel)
    with pytest.raises(CrypsisError):
        channel.recv(7)
    channel.abort("done")
    finished = ended(process)
    assert scene.left_over() == []
    assert isinstance(finished, Finished)
    return finished


def telco_options(scene: Scene) -> Any:
    from crypsis.mpc.psi.config import load_config

    return load_config(str(scene.folder / "telco.json"), {}).options()


def plan(scene: Scene, channel: Any) -> None:
    """What both say first: which protocol they want."""
    from crypsis.mpc.psi.choose import choose
    from crypsis.mpc.psi.config import load_config

    choose(channel, load_config(str(scene.folder / "telco.json"), {}), 1)


def test_a_peer_that_sends_garbage(scene: Scene) -> None:
    line = against(scene, lambda channel: channel.send(agreement.CONTROL, os.urandom(500))).error(6)
    assert "no JSON" in line


def test_a_peer_with_another_protocol_version(scene: Scene) -> None:
    def other_version(channel: Any) -> None:
        public = telco_options(scene).public() | {"version": 99}
        message = {
            "type": "config",
            "role": "sender",
            "public": public,
            "digest": agreement.public_digest(public),
        }
        plan(scene, channel)
        agreement.send_json(channel, {**message, "n_unique": 1})
        agreement.recv_json(channel, "config")
        agreement.send_json(channel, {"type": "refused"})

    line = against(scene, other_version).error(2)
    assert "'version'" in line
    assert "99" in line


def test_a_point_of_low_order(scene: Scene) -> None:
    def low_order(channel: Any) -> None:
        plan(scene, channel)
        agree.agree(channel, telco_options(scene), 1)
        channel.send(POINTS, bytes(32))

    line = against(scene, low_order).error(6)
    assert "bad point" in line
    assert "telco" in line


def test_too_many_bytes(scene: Scene) -> None:
    def too_many(channel: Any) -> None:
        plan(scene, channel)
        agree.agree(channel, telco_options(scene), 1)
        channel.send(POINTS, bytes(64))

    assert "64 bytes" in against(scene, too_many).error(6)


def test_configurations_that_disagree(scene: Scene) -> None:
    scene.config("telco", join="left", hash="blake3")
    for finished in scene.run():
        line = finished.error(2)
        assert "'join'" in line
        assert "same value" in line
    assert scene.left_over() == []
