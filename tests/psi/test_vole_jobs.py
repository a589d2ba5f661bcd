# SPDX-License-Identifier: Apache-2.0
"""Jobs between files by VOLE-PSI, both parties in this process over mutual TLS: joins, reports, choice of protocol."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from concurrent.futures import Future
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.parties import Scene
from crypsis.errors import ConfigError, DataError
from crypsis.mpc.jobs.identity import Identity
from crypsis.mpc.jobs.ledger import Ledger
from crypsis.mpc.jobs.workdir import WorkDir
from crypsis.mpc.psi import bins
from crypsis.mpc.psi.config import load_config
from crypsis.mpc.psi.files import run_job
from crypsis.mpc.psi.spilled import SpilledJob

from .pair import spawn

PARTIES = ("bank", "telco")
BIN_ROWS = 1024
WAIT_S = 300


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Ids 0..2999 at the bank, 2000..4999 at the telco; bins of about 1,024 rows."""
    made = Scene(tmp_path)
    made.table("bank", 0, 3000)
    made.table("telco", 2000, 3000)
    for party in PARTIES:
        made.config(party, protocol="vole", bin_rows=BIN_ROWS, patience=60)
    return made


def run(scene: Scene) -> tuple[Future[Any], Future[Any]]:
    """Both parties to their ends: their reports, or errors."""
    futures = [
        spawn(lambda party=party: run_job(load_config(str(scene.folder / f"{party}.json"), {})))
        for party in PARTIES
    ]
    for future in futures:
        future.exception(WAIT_S)
    return futures[0], futures[1]


def reports(scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both wrote; fails for a job that did not succeed."""
    bank, telco = (future.result() for future in run(scene))
    return bank.as_dict(), telco.as_dict()


def refused(scene: Scene, kind: type[Exception], word: str) -> None:
    """Both parties end with that error."""
    for future in run(scene):
        with pytest.raises(kind, match=word):
            future.result()


def test_other_bins_at_the_peer(scene: Scene) -> None:
    scene.config("telco", protocol="vole", bin_rows=4096, patience=60)
    refused(scene, ConfigError, "bin_rows")


def test_other_security_at_the_peer(scene: Scene) -> None:
    scene.config("telco", protocol="vole", bin_rows=BIN_ROWS, security="malicious", patience=60)
    refused(scene, ConfigError, "security")


def test_too_little_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkDir, "free_bytes", property(lambda self: 1 << 20))
    bank, telco = run(scene)
    errors = [future.exception() for future in (bank, telco)]
    assert any(isinstance(error, DataError) and "are free there" in str(error) for error in errors)
    assert all(error is not None for error in errors)
    assert not (scene.folder / "bank.out.parquet").exists()


@pytest.mark.parametrize(
    ("align", "join"),
    [
        (True, "inner"),
        (False, "left"),
        (True, "right"),
        (True, "full"),
        (False, "full"),
        (True, "difference"),
        pytest.param(False, "inner", marks=pytest.mark.slow),
        pytest.param(True, "left", marks=pytest.mark.slow),
        pytest.param(False, "right", marks=pytest.mark.slow),
        pytest.param(False, "difference", marks=pytest.mark.slow),
    ],
)
def test_joins_with_duplicates_and_nulls(scene: Scene, join: str, align: bool) -> None:
    """The same rows as protocol ecdh gives, whose joins are tested against nested loops."""
    generator = random.Random(5)
    for party, low in (("bank", 0), ("telco", 400)):
        ids = [f"c{generator.randrange(low, low + 1000)}" for _ in range(2000)] + [None] * 5 + ["c500"] * 300
        generator.shuffle(ids)
        table = pa.table({"id": ids, "row": pa.array(range(len(ids)), pa.int64())})
        pq.write_table(table, scene.folder / f"{party}.parquet")
    rows = {}
    for protocol in ("ecdh", "vole"):
        for party in PARTIES:
            output = {"path": f"{party}.{protocol}.out.parquet", "indicator": "both"}
            scene.config(party, protocol=protocol, bin_rows=BIN_ROWS, join=join, align=align, output=output)
        reports(scene)
        tables = [pq.read_table(scene.folder / f"{p}.{protocol}.out.parquet") for p in PARTIES]
        if align:
            names = ["id", "row", "both", "peer_id", "peer_row", "peer_both"]
            tables = [pa.table([*tables[0].columns, *tables[1].columns], names=names)]
        rows[protocol] = [sorted(map(repr, table.to_pylist())) for table in tables]
    assert rows["ecdh"] == rows["vole"]


def test_auto_says_why(scene: Scene) -> None:
    for party in PARTIES:
        scene.config(party, protocol="auto")
    bank, telco = reports(scene)
    assert bank["protocol"]["name"] == telco["protocol"]["name"]
    assert bank["protocol"]["chosen"] == telco["protocol"]["chosen"] != ""


def test_auto_gives_way_to_the_peer(scene: Scene) -> None:
    scene.config("bank", protocol="auto", bin_rows=BIN_ROWS)
    bank, telco = reports(scene)
    assert bank["protocol"]["name"] == telco["protocol"]["name"] == "vole"
    assert "telco names it" in bank["protocol"]["chosen"]


def test_auto_is_vole_for_malicious_parties(scene: Scene) -> None:
    for party in PARTIES:
        scene.config(party, protocol="auto", security="malicious")
    bank, _ = reports(scene)
    assert bank["protocol"]["name"] == "vole"
    assert "malicious" in bank["protocol"]["assumes"]


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_one_way(scene: Scene, security: str) -> None:
    """Without broadcast the sender writes nothing and keeps its work directory beside its report."""
    options = {"protocol": "vole", "bin_rows": BIN_ROWS, "security": security, "broadcast": False}
    scene.config("bank", **options)
    scene.config("telco", **options, output=None, report="telco.report.json")
    bank, telco = reports(scene)
    table = pq.read_table(scene.folder / "bank.out.parquet")
    assert table["bank_number"].to_pylist() == list(range(2999, 1999, -1))  # file order
    assert not list(scene.folder.glob("*.work"))
    assert bank["counts"]["matched_keys"] == 1000
    assert telco["counts"]["matched_keys"] is None


@pytest.mark.parametrize("setting", ["fast", "low-communication"])
def test_the_counted_bytes_are_those_of_the_layout(scene: Scene, setting: Any) -> None:
    """Everything but the drivers' control messages and the counts of alignment."""
    from crypsis.mpc.psi.layout import Layout

    options = {"protocol": "vole", "bin_rows": BIN_ROWS, "broadcast": False, "setting": setting}
    scene.config("bank", **options)
    scene.config("telco", **options, output=None)
    bank, telco = reports(scene)
    assert bank["counts"]["matched_keys"] == 1000
    layout = Layout(3000, 3000, n_outer=bank["bins"]["outer"], setting=setting)
    of_sender, of_receiver = layout.vole_bytes(layout.n_outer)
    for report, exact in (
        (bank, of_receiver + layout.n_outer * layout.receiver_bytes(broadcast=False)),
        (telco, of_sender + layout.n_outer * layout.sender_bytes()),
    ):
        control = report["traffic"]["payload_bytes_sent"] - exact
        assert 0 < control < 3000 + 200 * layout.n_outer


@pytest.mark.parametrize("party", PARTIES)
def test_an_empty_table(scene: Scene, party: str) -> None:
    path = scene.folder / f"{party}.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    bank, telco = reports(scene)
    assert bank["counts"]["output_rows"] == telco["counts"]["output_rows"] == 0
    assert len(pq.read_table(scene.folder / "bank.out.parquet")) == 0


def test_csv_whose_rows_are_guessed(scene: Scene) -> None:
    for party, first in (("bank", 0), ("telco", 1500)):
        scene.table(party, first, 3000, "csv")
        scene.config(party, "csv", protocol="vole", bin_rows=BIN_ROWS)
    bank, _ = reports(scene)
    assert bank["counts"]["matched_keys"] == 1500
    assert bank["bins"]["outer"] >= 3


# Each step ends at each role, with `align` in turn; the other half is slow.
@pytest.mark.parametrize(
    ("step", "role", "align"),
    [
        pytest.param(step, role, align, marks=() if align is ((i + i // 2) % 2 == 0) else pytest.mark.slow)
        for i, (step, role) in enumerate(
            product(("written", "record_output", "complete"), ("receiver", "sender"))
        )
        for align in (True, False)
    ],
)
def test_a_party_that_ends_after_the_last_bin_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, step: str, role: str, align: bool
) -> None:
    """Both had staged their outputs; one put its own in place or not, wrote that down or not."""
    for party in PARTIES:
        scene.config(party, protocol="vole", bin_rows=BIN_ROWS, join="full", align=align, patience=60)
    real = getattr(SpilledJob, step)

    def ended(job: SpilledJob, *arguments: Any) -> Any:
        if job.options.role == role:
            raise KeyboardInterrupt
        return real(job, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(SpilledJob, step, ended)
        first = run(scene)
    assert any(isinstance(future.exception(), KeyboardInterrupt) for future in first)
    for future in run(scene):
        future.result()
    bank, telco = (pq.read_table(scene.folder / f"{party}.out.parquet") for party in PARTIES)
    if align:
        assert len(bank) == len(telco) == 5000
    assert set(range(3000)) <= set(bank["bank_number"].to_pylist())
    assert set(range(2000, 5000)) <= set(telco["telco_number"].to_pylist())
    assert not list(scene.folder.glob("*.work"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_file_at_the_output_s_place(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Both had staged, one was killed before it put its output in place; then somebody put a file of theirs there."""
    output = {"path": "bank.out.parquet", "overwrite": overwrite}
    scene.config("bank", protocol="vole", bin_rows=BIN_ROWS, patience=60, output=output)
    scene.config("telco", protocol="vole", bin_rows=BIN_ROWS, patience=60)
    real = SpilledJob.written

    def killed(job: SpilledJob) -> None:
        real(job)
        if job.options.role == "receiver":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SpilledJob, "written", killed)
        first = run(scene)
    assert isinstance(first[0].exception(), KeyboardInterrupt)
    place = scene.folder / "bank.out.parquet"
    place.write_bytes(b"precious")
    if not overwrite:  # the telco waits for a bank that has refused
        scene.config("telco", protocol="vole", bin_rows=BIN_ROWS, patience=1)
    bank, _ = run(scene)
    scene.config("telco", protocol="vole", bin_rows=BIN_ROWS, patience=60)
    if overwrite:
        bank.result()
    else:
        with pytest.raises(DataError, match="exists already"):
            bank.result()
        assert place.read_bytes() == b"precious"
        place.unlink()
        reports(scene)
    assert len(pq.read_table(place)) == 1000
    assert not list(scene.folder.glob("*.work"))


def kept_at_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished job of which the bank was killed before it could remove its work directory, and the telco was not."""
    real = SpilledJob.destroy
    telco_has_ended = threading.Event()

    def killed(job: SpilledJob) -> None:
        if job.options.role == "receiver":
            assert telco_has_ended.wait(WAIT_S)
            raise KeyboardInterrupt
        real(job)
        telco_has_ended.set()

    with monkeypatch.context() as patched:
        patched.setattr(SpilledJob, "destroy", killed)
        first = run(scene)
    assert isinstance(first[0].exception(), KeyboardInterrupt)
    assert [path.name for path in scene.folder.glob("*.work")] == ["bank.out.parquet.work"]


def run_bank(scene: Scene) -> Any:
    """Its report, without a peer."""
    return spawn(lambda: run_job(load_config(str(scene.folder / "bank.json"), {}))).result(WAIT_S)


def test_a_party_whose_peer_has_ended_ends_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept_at_the_end(scene, monkeypatch)
    report = json.loads((scene.folder / "telco.out.parquet.report.json").read_text())
    before = (scene.folder / "bank.out.parquet").read_bytes()
    scene.config("bank", protocol="vole", bin_rows=BIN_ROWS, patience=600)
    run_bank(scene)
    assert "its output is in place" in caplog.text
    assert (scene.folder / "bank.out.parquet").read_bytes() == before
    assert not list(scene.folder.glob("*.work"))
    again = json.loads((scene.folder / "bank.out.parquet.report.json").read_text())
    assert again["output"]["sha256"] == hashlib.sha256(before).hexdigest()
    assert again["bins"] == report["bins"] | {"finished_before": again["bins"]["outer"]}
    for name in ("matched_keys", "output_rows"):
        assert again["counts"][name] == report["counts"][name] == 1000


@pytest.mark.parametrize("change", ["input", "config"])
def test_a_changed_job_is_not_taken_for_the_one_that_ended(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    kept_at_the_end(scene, monkeypatch)
    before = (scene.folder / "bank.out.parquet").read_bytes()
    if change == "input":
        scene.table("bank", 0, 2900)
    else:
        scene.config("bank", protocol="vole", bin_rows=BIN_ROWS, patience=60, join="left")
    with pytest.raises(DataError, match="exists already"):
        run_bank(scene)
    assert (scene.folder / "bank.out.parquet").read_bytes() == before


def test_an_output_that_was_taken_elsewhere_is_made_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_at_the_end(scene, monkeypatch)
    for path in scene.folder.glob("*.out.parquet"):
        path.rename(path.with_suffix(".kept"))
    bank, _ = reports(scene)
    assert bank["bins"]["finished_before"] == 0


@pytest.mark.parametrize(
    ("step", "role"),
    [
        ("complete", "receiver"),
        pytest.param("complete", "sender", marks=pytest.mark.slow),
        pytest.param("note_peer_done", "receiver", marks=pytest.mark.slow),
        ("note_peer_done", "sender"),
    ],
)
def test_a_party_that_does_not_know_of_its_peer_s_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str, role: str
) -> None:
    """Its output is in place: it succeeds alone, and keeps what the peer may need."""
    for party in PARTIES:
        scene.config(party, protocol="vole", bin_rows=BIN_ROWS, patience=60)

    def killed(job: SpilledJob) -> None:
        if job.options.role == role or step == "note_peer_done":
            raise KeyboardInterrupt
        real(job)

    real = getattr(SpilledJob, step)
    with monkeypatch.context() as patched:
        patched.setattr(SpilledJob, step, killed)
        run(scene)
    assert len(list(scene.folder.glob("*.out.parquet"))) == 2
    victim = "bank" if role == "receiver" else "telco"
    alone = load_config(str(scene.folder / f"{victim}.json"), {"patience": 1.0})
    for _ in range(2):
        assert spawn(lambda: run_job(alone)).result(WAIT_S).output_rows == 1000
        assert "is kept for" in caplog.text
        assert (scene.folder / f"{victim}.out.parquet.work").exists()
    reports(scene)
    assert not list(scene.folder.glob("*.work"))


@pytest.mark.parametrize("role", ["receiver", "sender"])
def test_a_party_killed_before_it_wrote_the_job_s_name_down(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """The other has both nonces, and goes on to spill its keys; no bin is exchanged."""
    real = Ledger.begin
    spilled = threading.Event()

    def killed(work: WorkDir, identity: Identity) -> Ledger:
        if identity.own["role"] == role:
            assert spilled.wait(WAIT_S)
            raise KeyboardInterrupt
        return real(work, identity)

    def waits(job: SpilledJob, channel: Any) -> None:
        spilled.set()
        channel.recv(0)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "begin", killed)
        patched.setattr(SpilledJob, "agree_sizes", waits)
        first = run(scene)
    assert [isinstance(future.exception(), KeyboardInterrupt) for future in first].count(True) == 1
    other = "telco" if role == "receiver" else "bank"
    with WorkDir.open(scene.folder / f"{other}.out.parquet.work") as work, Ledger.open(work) as ledger:
        assert ledger.stage == "partitioned"
    reports(scene)
    assert not list(scene.folder.glob("*.work"))


def test_a_bin_done_again_leaves_what_the_ledger_knows(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second attempt writes its result, and is cut off before the ledger hears of it; then the job is."""
    for party in PARTIES:
        scene.config(party, protocol="vole", bin_rows=BIN_ROWS, align=False, patience=60)
    real = bins._record

    def twice(job: Any, channel: Any, bin: int, loaded: Any, matched: Any) -> Any:
        known = real(job, channel, bin, loaded, matched)
        real(job, channel, bin, loaded, matched[:0])
        return known

    def killed(job: SpilledJob, *arguments: Any) -> Any:
        raise KeyboardInterrupt

    folder = scene.folder / "bank.out.parquet.work"
    with monkeypatch.context() as patched:
        patched.setattr(bins, "_record", twice)
        patched.setattr(SpilledJob, "results", killed)
        run(scene)
    with WorkDir.open(folder) as work, Ledger.open(work) as ledger:
        known = {result.name for result in ledger.results()}
    assert known < {path.name for path in folder.glob("result-*.bin")}
    with monkeypatch.context() as patched:
        patched.setattr(SpilledJob, "results", killed)
        run(scene)
    assert known == {path.name for path in folder.glob("result-*.bin")}
    bank, _ = reports(scene)
    assert bank["counts"]["output_rows"] == 1000
    assert not list(scene.folder.glob("*.work"))


def test_bins_that_were_only_loaded_are_no_attempts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed again and again before a message about a bin's keys, a malicious job still goes on."""
    for party in PARTIES:
        scene.config(party, protocol="vole", bin_rows=BIN_ROWS, security="malicious", patience=60)
    real = bins._load

    def killed(job: bins.BinJob, place: Any, bin: int) -> Any:
        loaded = real(job, place, bin)
        if job.role == "receiver":
            raise KeyboardInterrupt
        return loaded

    with monkeypatch.context() as patched:
        patched.setattr(bins, "_load", killed)
        for _ in range(2):
            assert isinstance(run(scene)[0].exception(), KeyboardInterrupt)
    folder = scene.folder / "telco.out.parquet.work"
    assert list((folder / "spills").iterdir())
    assert not list(scene.folder.glob("*.work/attempts-*"))
    monkeypatch.setattr(bins, "MAX_ATTEMPTS", 1)
    reports(scene)


def test_nothing_of_the_keys_lies_in_the_report(scene: Scene) -> None:
    bank, _ = reports(scene)
    assert "customer-" not in json.dumps(bank)
