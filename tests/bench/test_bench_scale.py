# SPDX-License-Identifier: Apache-2.0
"""Scaling: the fit, the shaped line, and jobs over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypsis.errors import DataError
from crypsis.mpc.bench import netns, psi_job, rows, scale
from crypsis.mpc.bench.jobs import check_outputs, job_files
from crypsis.mpc.bench.lines import TC, THROTTLE
from crypsis.mpc.bench.shaped_link import ShapedLink
from crypsis.mpc.bench.suite import WrongAnswer
from crypsis.mpc.cli import customers

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


@pytest.mark.slow
def test_jobs_of_sizes_and_threads_become_rows(tmp_path: Path) -> None:
    made = scale.scale_psi(
        tmp_path, protocol="vole", max_rows=12_000, axes=["rows", "threads"], most_threads=2
    )
    assert [one["items"] for one in made] == [10_000, 12_000, 12_000, 12_000]
    assert [one["extra"]["threads"] for one in made[2:]] == [1, 2]
    assert scale.fit_of(made) is not None


def job(**fields: Any) -> dict[str, Any]:
    """What a job of 1,000 rows tells."""
    return {"seconds": 1.0, "intersection": 500, "payload_bytes": [1, 2], "peak_rss": [3, 4]} | fields


class Jobs:
    """Stands for the jobs of a scaling: each leaves `left` behind, and what was there when it began is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusal: str | None = "netem: no such kind") -> None:
        self.seen: list[tuple[int, str, bool]] = []
        self.files: list[list[str]] = []
        self.checked: list[int] = []
        self.n_rows = 0

        def job_files(folder: Path, n_rows: int, *, csv: bool, advance: Any) -> None:
            assert list(folder.iterdir()) == []
            (folder / "alice.parquet").write_bytes(b"")
            self.n_rows = n_rows
            advance(2 * n_rows)

        def run_job(folder: Path, protocol: str, *, threads: int, link: Any, by_tc: bool) -> dict[str, Any]:
            self.seen.append((threads, "" if link is None else link.name, by_tc))
            self.files.append(sorted(path.name for path in folder.iterdir()))
            (folder / "out").mkdir()
            return job(intersection=self.n_rows - self.n_rows // 2)

        monkeypatch.setattr(scale, "job_files", job_files)
        monkeypatch.setattr(scale, "run_job", run_job)
        monkeypatch.setattr(scale, "check_outputs", lambda _, n_rows, advance: self.checked.append(n_rows))
        monkeypatch.setattr(netns, "refusal", lambda link: refusal)


@pytest.mark.parametrize("refusal", [None, "netem: no such kind"])
def test_rows_say_how_their_line_was_shaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str | None
) -> None:
    jobs = Jobs(monkeypatch, refusal)
    kept: list[dict[str, Any]] = []
    (tmp_path / "data").mkdir()
    made = scale.scale_psi(
        tmp_path / "data", protocol="ecdh", max_rows=1_000, axes=["line"], keep=kept.append
    )
    check(made, kept, tmp_path)
    lines = ["", "1 Gbit/s, 1 ms", "100 Mbit/s, 10 ms"]
    assert [(link, by_tc) for _, link, by_tc in jobs.seen[::3]] == [
        (line, bool(line) and refusal is None) for line in lines
    ]
    for one in made[1:]:
        assert one["extra"]["shaped"] == (TC if refusal is None else THROTTLE)
        assert one["extra"].get("not_by_tc") == refusal
    assert "shaped" not in made[0]["extra"]


def test_rows_of_sizes_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size's files are gone before the next one's are made, each job's output before the next job."""
    jobs = Jobs(monkeypatch)
    steps: list[tuple[str, int, int]] = []
    made = scale.scale_psi(
        tmp_path,
        protocol="ecdh",
        max_rows=2_000_000,
        axes=["rows", "threads"],
        most_threads=2,
        progress=lambda *step: steps.append(step),
    )
    sizes = [10_000, 100_000, 1_000_000, 2_000_000]
    assert [one["items"] for one in made] == [*sizes, 1_000_000, 1_000_000]
    assert [one["extra"]["at"] for one in made] == [*sizes, 1, 2]
    assert [one["rounds"] for one in made] == [3, 3, 1, 1, 1, 1]
    assert [threads for threads, _, _ in jobs.seen[-2:]] == [1, 2]
    assert len(jobs.checked) == len(jobs.seen) == 10
    assert all(there == ["alice.parquet"] for there in jobs.files)
    for step in ("rows 2000000, making data", "rows 10000, job 3 of 3", "rows 10000, job 3 of 3, checking"):
        assert next(done for name, done, _ in steps if name == step) == 0
    assert ("rows 2000000, making data", 4_000_000, 4_000_000) in steps


def test_a_wrong_intersection_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Jobs(monkeypatch)
    monkeypatch.setattr(scale, "run_job", lambda *_, **__: job(intersection=499))
    kept: list[dict[str, Any]] = []
    with pytest.raises(WrongAnswer, match="499 rows in common were found: there are 500"):
        scale.scale_psi(tmp_path, protocol="ecdh", max_rows=1_000, keep=kept.append)
    assert kept == []


def outputs(folder: Path, alice: pa.Array, bob: pa.Array) -> None:
    """What a job would have left."""
    (folder / "out").mkdir(exist_ok=True)
    for party, ids in (("alice", alice), ("bob", bob)):
        pq.write_table(pa.table({"id": ids}), folder / "out" / f"{party}.parquet", row_group_size=7)


def test_outputs_are_checked_id_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypsis.mpc.bench.jobs._PIECE", 5)  # pieces that end elsewhere than row groups
    right = customers.customer_ids(np.arange(20, 41, dtype=np.uint64))
    shuffled = right.take(pa.array(np.random.default_rng(1).permutation(21)))
    told: list[int] = []
    outputs(tmp_path, shuffled, shuffled)
    check_outputs(tmp_path, 41, advance=told.append)
    assert told[-1] == 3 * 21
    assert told == sorted(told)
    wrong = pa.concat_arrays([right[:-1], customers.customer_ids(np.array([19], np.uint64))])
    twice = pa.concat_arrays([right[:-1], right[:1]])
    for other in (wrong, twice, right[:-1], right[:0]):
        outputs(tmp_path, right, other)
        with pytest.raises(
            WrongAnswer, match=f"bob's output of {len(other)} rows holds other ids than the 21"
        ):
            check_outputs(tmp_path, 41)
        outputs(tmp_path, other, right)
        with pytest.raises(WrongAnswer, match="alice's output"):
            check_outputs(tmp_path, 41)
    outputs(tmp_path, right, shuffled)
    with pytest.raises(WrongAnswer, match="not in the same order"):
        check_outputs(tmp_path, 41)


def test_data_for_a_reader_of_csv(tmp_path: Path) -> None:
    told: list[int] = []
    assert job_files(tmp_path, 201, advance=told.append) == 101
    assert told == [201, 402]
    assert (tmp_path / "bob.csv").read_text().startswith("id\n")
    assert len((tmp_path / "bob.csv").read_text().splitlines()) == 202


@pytest.mark.parametrize("axes", [["rows"], ["line"]])
def test_a_disk_that_is_too_small_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: list[str]
) -> None:
    """Of the largest size that will come."""
    jobs = Jobs(monkeypatch)
    monkeypatch.setattr(scale.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100 << 20})())
    told = rf"{tmp_path}: \d+ MiB are needed for 1000000 rows, 100 are free; name another --folder"
    with pytest.raises(DataError, match=told):
        scale.scale_psi(tmp_path, protocol="vole", max_rows=1_000_000, axes=axes)
    assert jobs.seen == []


def test_a_job_that_fails_says_who_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends the party that would wait for the other for minutes."""
    monkeypatch.setattr(psi_job, "_GRACE_S", 0.1)
    job_files(tmp_path, 10, csv=False)
    (tmp_path / "bob.parquet").write_bytes(b"no Parquet")
    with pytest.raises(psi_job.JobFailed, match=r"(?s)bob ended with exit code 4.*bob\.parquet"):
        scale.run_job(tmp_path, "ecdh")
