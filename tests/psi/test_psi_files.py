# SPDX-License-Identifier: Apache-2.0
"""`run_job` in one process: the disk-space check, the warning of a farewell that fails, and a report that does."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import ChannelError, DataError
from crypsis.mpc.data import open_source
from crypsis.mpc.psi import files, space
from crypsis.mpc.psi.config import parse_config
from crypsis.mpc.transport import Channel, memory_hubs

from .pair import spawn


def config(folder: Path, party: str, **fields: Any) -> Any:
    pq.write_table(pa.table({"id": [f"k{i}" for i in range(50)]}), folder / f"{party}.parquet")
    return parse_config(
        {
            "party": party,
            "peer": "telco" if party == "bank" else "bank",
            "role": "receiver" if party == "bank" else "sender",
            "listen": "memory:1",
            "insecure": True,
            "input": str(folder / f"{party}.parquet"),
            "keys": "id",
            "output": str(folder / f"{party}.out.parquet"),
            "protocol": "ecdh",
            "broadcast": True,
            "threads": 1,
            **fields,
        }
    )


def run_both(folder: Path, monkeypatch: pytest.MonkeyPatch, **bank: Any) -> list[Any]:
    """Both parties' jobs over in-process channels."""
    hubs = dict(zip(("bank", "telco"), memory_hubs("bank", "telco"), strict=True))
    monkeypatch.setattr(files, "open_link", lambda job: hubs[job.party])
    jobs = [config(folder, "bank", **bank), config(folder, "telco")]
    futures = [spawn(lambda job=job: files.run_job(job)) for job in jobs]
    for future in futures:
        future.exception(60)
    return futures


def test_outputs_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, telco = (future.result() for future in run_both(tmp_path, monkeypatch))
    assert bank.output_rows == telco.output_rows == 50
    assert list(bank.seconds)[:3] == ["check input and output", "wait for the peer", "read and digest keys"]
    assert bank.total_seconds > 0
    assert (tmp_path / "bank.out.parquet.report.json").exists()


def test_a_disk_that_is_too_small_is_refused_before_dialling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the protocol; the output counts beside the bins."""

    class Disk:
        free = 0

    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: Disk)
    told = r"the output \(.*\) may take .*, 0 bytes are free there; free .* more, put work_dir or the output on another"
    with pytest.raises(DataError, match=told):
        files.run_job(config(tmp_path, "bank", protocol="ecdh"))
    with pytest.raises(DataError, match=r"the spilled bins of about \d+ rows \(64\.\d+ MiB\) may take"):
        files.run_job(config(tmp_path, "bank", protocol="vole"))
    assert not (tmp_path / "bank.out.parquet").exists()
    assert not list(tmp_path.glob("*.work"))


def test_what_lies_on_one_disk_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        free = 150

    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: Disk)
    places = [space.Place(str(tmp_path / "not" / "yet"), 100, "a"), space.Place(str(tmp_path), 50, "b")]
    space.check_places(places)
    with pytest.raises(
        DataError, match=r"a \(100 bytes\) and b \(51 bytes\) may take 151 bytes, 150 bytes are free"
    ):
        space.check_places([places[0], space.Place(str(tmp_path), 51, "b")])


def test_temporary_files_of_an_output_are_counted(tmp_path: Path) -> None:
    job, unaligned = config(tmp_path, "bank"), config(tmp_path, "bank", align=False)
    source = open_source(str(tmp_path / "bank.parquet"))
    small = space.output_places(job, source, 100)
    assert [place.what for place in small] == ["the output"]
    large = space.output_places(job, source, 10**8)
    assert large[1].n_bytes > 8 * 10**8
    assert large[0].n_bytes == pytest.approx(10**6 * small[0].n_bytes, rel=0.1)
    assert len(space.output_places(unaligned, source, 10**8)) == 1


def test_losing_the_peer_after_the_result_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both = threading.Barrier(2)  # a close waits until the peer has read all: so neither goes before

    def lost(_: Channel) -> None:
        both.wait(300)
        raise ChannelError("party 'telco' went away")

    monkeypatch.setattr("crypsis.mpc.transport.session.Session.close", lost)
    with caplog.at_level(logging.WARNING):
        results = [future.result() for future in run_both(tmp_path, monkeypatch)]
    assert [report.output_rows for report in results] == [50, 50]
    assert "the result is complete" in caplog.text


def test_a_report_that_cannot_be_written_says_that_the_output_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    real = files.run

    def run(*arguments: Any, **options: Any) -> Any:
        if arguments[1].party == "bank":  # its own checks are done by now
            folder.rmdir()
        return real(*arguments, **options)

    monkeypatch.setattr(files, "run", run)
    bank, telco = run_both(tmp_path, monkeypatch, report=str(folder / "bank.json"))
    assert isinstance(bank.exception(), DataError)
    assert "the output is complete" in str(bank.exception())
    assert telco.exception() is None
    assert (tmp_path / "bank.out.parquet").exists()
