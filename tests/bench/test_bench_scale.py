# SPDX-License-Identifier: Apache-2.0
"""Scaling: the fit, the shaped line, and jobs over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypsis.errors import DataError
from crypsis.mpc.bench import psi_job, rows, scale
from crypsis.mpc.bench.shaped_link import ShapedLink
from crypsis.mpc.bench.suite import WrongAnswer

from .cases import row, scaling


@given(st.floats(0.01, 10), st.floats(1e-7, 1e-4))
def test_the_fit_finds_what_it_was_made_of(fixed: float, each: float) -> None:
    sizes = [10**4, 10**5, 10**6, 10**7]
    found = scale.fit(sizes, [fixed + each * n for n in sizes])
    assert found is not None
    assert found.fixed == pytest.approx(fixed, rel=1e-3)
    assert found.each == pytest.approx(each, rel=1e-3)
    assert found.worst < 1e-3
    assert 0 < found.power <= 1.001


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=5))
def test_no_part_of_a_fit_is_negative(seconds: list[float]) -> None:
    found = scale.fit([10**i for i in range(4, 4 + len(seconds))], seconds)
    assert found is not None
    assert found.fixed >= 0
    assert found.each >= 0
    assert np.isfinite([found.power, found.worst]).all()


def test_one_size_has_no_fit_and_repeats_count_as_one() -> None:
    assert scale.fit([5, 5], [1.0, 2.0]) is None
    made = [scaling("rows", 10, 10, 1.0), scaling("rows", 10, 10, 3.0), scaling("rows", 20, 20, 4.0), row()]
    found = scale.fit_of(made)
    assert found is not None
    assert found.power == pytest.approx(1.0)


def test_sizes() -> None:
    assert scale.sizes_up_to(10**8) == [10**4, 10**5, 10**6, 10**7, 10**8]
    assert scale.sizes_up_to(30_000) == [10_000, 30_000]
    assert scale.sizes_up_to(1_000) == [1_000]


def echo() -> tuple[int, Callable[[], None]]:
    """A server that sends back what it gets, once; its port, and what ends it."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1], server.close


@pytest.mark.parametrize("delay_ms", [0.0, 20.0])
def test_a_line_carries_every_byte_in_order_and_ends(delay_ms: float) -> None:
    port, close = echo()
    sent = np.random.default_rng(1).bytes(300_000)
    with ShapedLink(port, megabits=1000, delay_ms=delay_ms) as link:
        with socket.create_connection(("127.0.0.1", link.port), timeout=30) as end:
            threading.Thread(
                target=lambda: (end.sendall(sent), end.shutdown(socket.SHUT_WR)), daemon=True
            ).start()
            got = b""
            while data := end.recv(1 << 16):
                got += data
        assert got == sent
        assert link.forwarded == [len(sent), len(sent)]
    close()


def check(made: list[dict[str, Any]], kept: list[dict[str, Any]], tmp_path: Path) -> None:
    """Rows of three lines that can be read again."""
    assert kept == made
    assert [one["extra"]["at"] for one in made] == [scale.LAN, "1 Gbit/s, 1 ms", "100 Mbit/s, 10 ms"]
    assert len({one["name"] for one in made}) == 3
    assert all(one["items"] == 1_000 and one["extra"]["axis"] == "line" for one in made)
    for one in made:
        rows.append(tmp_path / "rows", one)
    assert rows.read(tmp_path / "rows") == made


@pytest.mark.slow
def test_jobs_on_slow_lines_become_rows(tmp_path: Path) -> None:
    kept: list[dict[str, Any]] = []
    made = scale.scale_psi(tmp_path, protocol="ecdh", max_rows=1_000, axes=["line"], keep=kept.append)
    check(made, kept, tmp_path)


def job(**fields: Any) -> dict[str, Any]:
    """What a job of 1,000 rows tells."""
    return {"seconds": 1.0, "intersection": 500, "payload_bytes": [1, 2], "peak_rss": [3, 4]} | fields


def test_rows_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str]] = []

    def run_job(folder: Path, protocol: str, *, threads: int, link: Any) -> dict[str, Any]:
        seen.append((threads, "" if link is None else link.name))
        return job()

    monkeypatch.setattr(scale, "run_job", run_job)
    kept: list[dict[str, Any]] = []
    made = scale.scale_psi(tmp_path, protocol="ecdh", max_rows=1_000, axes=["line"], keep=kept.append)
    check(made, kept, tmp_path)
    assert [link for _, link in seen[::3]] == ["", "1 Gbit/s, 1 ms", "100 Mbit/s, 10 ms"]
    seen.clear()
    made = scale.scale_psi(
        tmp_path, protocol="ecdh", max_rows=1_000, axes=["rows", "threads"], most_threads=2
    )
    assert [one["extra"]["at"] for one in made] == [1_000, 1, 2]
    assert [threads for threads, _ in seen[3::3]] == [1, 2]


def test_a_wrong_intersection_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "run_job", lambda *_, **__: job(intersection=499))
    kept: list[dict[str, Any]] = []
    with pytest.raises(WrongAnswer, match="499 rows in common were found: there are 500"):
        scale.scale_psi(tmp_path, protocol="ecdh", max_rows=1_000, keep=kept.append)
    assert kept == []


def test_a_job_over_a_slow_line(tmp_path: Path) -> None:
    n_common = scale.job_files(tmp_path, 201, csv=True)
    found = scale.run_job(tmp_path, "ecdh", link=psi_job.Link("slow", 100, 10))
    assert found["intersection"] == n_common == 101
    assert (tmp_path / "bob.csv").read_text().startswith("id\n")


def test_a_disk_that_is_too_small_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="name another --folder"):
        scale.scale_psi(tmp_path, protocol="vole", max_rows=1_000)


def test_a_job_that_fails_says_who_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends the party that would wait for the other for minutes."""
    monkeypatch.setattr(psi_job, "_GRACE_S", 0.1)
    scale.job_files(tmp_path, 10, csv=False)
    (tmp_path / "bob.parquet").write_bytes(b"no Parquet")
    with pytest.raises(psi_job.JobFailed, match=r"(?s)bob ended with exit code 4.*bob\.parquet"):
        scale.run_job(tmp_path, "ecdh")
