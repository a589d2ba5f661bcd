# SPDX-License-Identifier: Apache-2.0
"""`run_job` in one process: the disk-space check, the warning of a farewell that fails, and a report that does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import ChannelError, DataError
from crypsis.mpc.psi import files
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
    class Full:
        free = 0

    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Full)
    with pytest.raises(DataError, match="free some or write elsewhere"):
        files.run_job(config(tmp_path, "bank", join="left"))
    assert not (tmp_path / "bank.out.parquet").exists()


def test_losing_the_peer_after_the_result_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(_: Channel) -> None:
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
