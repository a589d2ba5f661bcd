# SPDX-License-Identifier: Apache-2.0
"""`crypsis psi run` as two processes over mutual TLS: formats, flags, reports, and connections that break."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from transport.proxy import DroppingProxy

from .parties import Finished, Scene, ended

COMMON = [f"customer-{i:09}" for i in range(200, 300)]


def succeeded(*parties: Finished) -> None:
    for party in parties:
        assert party.code == 0, party
        assert party.stderr == "", party


def test_parquet_with_configuration_files(scene: Scene) -> None:
    bank, telco = scene.run()
    succeeded(bank, telco)
    assert "intersection   100 keys" in bank.stdout
    assert "intersection   100 keys" in telco.stdout
    left, right = (pq.read_table(scene.folder / f"{p}.out.parquet") for p in ("bank", "telco"))
    assert left.column_names == ["id", "bank_number", "bank_text"]
    assert sorted(left["id"].to_pylist()) == COMMON
    assert left["id"].to_pylist() == right["id"].to_pylist()
    assert left["bank_number"].to_pylist() == right["telco_number"].to_pylist()
    for party in ("bank", "telco"):
        check_report(scene.folder, party)
    assert scene.left_over() == [
        f"{party}.out.parquet{end}" for party in ("bank", "telco") for end in ("", ".report.json")
    ]


def check_report(folder: Path, party: str) -> None:
    report = json.loads((folder / f"{party}.out.parquet.report.json").read_text())
    peer = "telco" if party == "bank" else "bank"
    assert (report["schema_version"], report["party"], report["peer"]) == (1, party, peer)
    assert report["counts"] == {
        "rows": 300 if party == "bank" else 400,
        "null_keys": 0,
        "unique_keys": 300 if party == "bank" else 400,
        "peer_unique_keys": 400 if party == "bank" else 300,
        "matched_keys": 100,
        "output_rows": 100,
    }
    for side, name in (("input", f"{party}.parquet"), ("output", f"{party}.out.parquet")):
        data = (folder / name).read_bytes()
        assert report[side]["sha256"] == hashlib.sha256(data).hexdigest()
        assert report[side]["n_bytes"] == len(data)
        assert report[side]["paths"] == [str(folder / name)]
    assert report["security"]["transport"] == "mutual TLS"
    assert report["security"]["peer_certificate_name"] == peer
    assert "semi-honest" in report["protocol"]["assumes"]
    assert report["traffic"]["payload_bytes_sent"] > 32 * report["counts"]["unique_keys"]
    assert report["traffic"]["reconnects"] == 0
    assert report["seconds"]["exchange"] > 0
    assert {row["slug"] for row in report["backends"]} == {"hashing", "curve25519"}
    assert report["started"].endswith("Z")
    assert "PRIVATE KEY" not in json.dumps(report)


def test_csv_with_flags_only(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    bank, telco = scene.table("bank", 0, 30, "csv"), scene.table("telco", 20, 40, "csv")
    processes = []
    for party, path, role, where in (
        ("bank", bank, "receiver", "--listen"),
        ("telco", telco, "sender", "--connect"),
    ):
        (tmp_path / f"{party}.json").write_text("{}")
        certs = tmp_path / "certs"
        output = (
            ["--output", str(tmp_path / "bank.out.csv"), "--indicator", "both"] if party == "bank" else []
        )
        processes.append(
            scene.start(
                party,
                *("--party", party, "--peer", "telco" if party == "bank" else "bank", "--role", role),
                *(where, f"127.0.0.1:{scene.port}", "--tls-ca", str(certs / "ca.crt")),
                *("--tls-certificate", str(certs / f"{party}.crt"), "--tls-key", str(certs / f"{party}.key")),
                *("--input", str(path), "--key", "id:string", "--join", "left", "--threads", "1", *output),
            )
        )
    one, other = ended(*processes)
    succeeded(one, other)
    assert "not for this party" in other.stdout
    table = pacsv.read_csv(tmp_path / "bank.out.csv")
    assert table["bank_number"].to_pylist() == list(range(29, -1, -1))
    assert table["both"].to_pylist() == [number >= 20 for number in range(29, -1, -1)]
    assert scene.left_over() == ["bank.out.csv", "bank.out.csv.report.json"]


def test_flags_override_the_file_and_an_output_is_replaced_only_when_asked(scene: Scene) -> None:
    (scene.folder / "bank.out.parquet").write_bytes(b"old")
    bank = scene.start("bank", "--overwrite", "--output-column", "bank_text", "--output-column", "id")
    telco = scene.start("telco", "--output", str(scene.folder / "elsewhere.out.arrow"))
    one, other = ended(bank, telco)
    succeeded(one, other)
    assert pq.read_schema(scene.folder / "bank.out.parquet").names == ["bank_text", "id"]
    assert (scene.folder / "elsewhere.out.arrow").exists()
    assert not (scene.folder / "telco.out.parquet").exists()


def test_insecure_and_the_report_on_stdout(scene: Scene) -> None:
    bank, telco = scene.run("--insecure", "--json", "--job", "monthly")
    succeeded(bank, telco)
    report = json.loads(bank.stdout)
    assert report == json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["job"] == "monthly"
    assert "not authenticated" in report["security"]["transport"]


def test_a_connection_that_breaks_again_and_again_changes_nothing(scene: Scene) -> None:
    scene.table("bank", 0, 6000)
    scene.table("telco", 4000, 6000)
    with DroppingProxy(scene.port, cut_every=150_000, max_cuts=4) as proxy:
        scene.config("bank", batch_size=500)
        scene.config("telco", batch_size=500, connect=f"127.0.0.1:{proxy.port}")
        bank, telco = scene.run()
        assert bank.code == telco.code == 0, (bank, telco)
        assert proxy.cuts >= 2
    left, right = (pq.read_table(scene.folder / f"{p}.out.parquet") for p in ("bank", "telco"))
    assert sorted(left["bank_number"].to_pylist()) == list(range(4000, 6000))
    assert left["id"].to_pylist() == right["id"].to_pylist()
    report = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert report["traffic"]["reconnects"] >= 2


@pytest.mark.parametrize("victim", ["bank", "telco"])
def test_a_killed_party_leaves_the_other_with_a_clear_error(scene: Scene, victim: str) -> None:
    code, line = stopped_in_the_middle(scene, victim, signal.SIGKILL)
    assert code == 5
    assert repr(victim) in line
    assert "start both parties again" in line or "patience" in line or "away" in line


@pytest.mark.parametrize(("stop", "own_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_party_tells_the_other(scene: Scene, stop: signal.Signals, own_code: int) -> None:
    code, line = stopped_in_the_middle(scene, "telco", stop, own_code)
    assert code == 6
    assert "telco" in line
    assert "interrupted by its operator" in line


@pytest.mark.parametrize(("still", "ends"), [("bank", "telco"), ("telco", "bank")])
def test_a_party_whose_machine_stood_still_hears_why_the_other_ended(
    scene: Scene, still: str, ends: str
) -> None:
    """Else it would wait for it, as long as its patience lasts."""
    with held_in_the_middle(scene) as (parties, proxy):
        parties[still].send_signal(signal.SIGSTOP)
        parties[ends].send_signal(signal.SIGINT)
        proxy.resume()
        time.sleep(3)
        parties[still].send_signal(signal.SIGCONT)
        finished = dict(zip(parties, ended(*parties.values()), strict=True))
    finished[ends].error(130)
    assert "interrupted by its operator" in finished[still].error(6)


def held_in_the_middle(
    scene: Scene,
) -> AbstractContextManager[tuple[dict[str, subprocess.Popen[str]], DroppingProxy]]:
    """Both parties while points flow. The portable backend takes seconds for their job: it is not over before a party
    hears of its signal."""
    scene.table("bank", 0, 40_000)
    scene.table("telco", 20_000, 40_000)
    for party in ("bank", "telco"):
        scene.config(party, batch_size=200, patience=12)
    return scene.held(lambda proxy: proxy.forwarded >= 100_000, CRYPSIS_BACKEND="portable")


def stopped_in_the_middle(
    scene: Scene, victim: str, stop: signal.Signals, own_code: int | None = None
) -> tuple[int, str]:
    """Signals `victim` while points flow; the other party's exit code and error line."""
    with held_in_the_middle(scene) as (parties, proxy):
        parties[victim].send_signal(stop)
        proxy.resume()
        finished = dict(zip(parties, ended(*parties.values()), strict=True))
    if own_code is None:
        assert finished[victim].code == -stop
        # A killed process cannot clean up, but nothing stands under a final name.
        assert not (scene.folder / f"{victim}.out.parquet").exists()
    else:
        finished[victim].error(own_code)
        assert scene.left_over() == []
    survivor = finished["bank" if victim == "telco" else "telco"]
    return survivor.code, survivor.error(survivor.code)
