# SPDX-License-Identifier: Apache-2.0
"""`crypsis bench scale` as typed: what it prints and keeps, also when it is interrupted, and what it refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypsis.mpc.bench import rows

from .parties import COMMAND, WAIT_S, Finished

Crypsis = Callable[..., Finished]
Run = Callable[[int], None]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """No job is run: each takes a second and one more for 10,000 rows. What is put in here is called in its place
    first, with the rows of the job."""
    before: list[Run] = []
    made: list[int] = []

    def job_files(folder: Path, n_rows: int, *, csv: bool, advance: Any) -> None:
        made.append(n_rows)

    def run_job(folder: Path, protocol: str, *, threads: int, link: Any, by_tc: bool) -> dict[str, Any]:
        n = made[-1]
        for one in before:
            one(n)
        counts = {"intersection": n - n // 2, "payload_bytes": [n, n], "peak_rss": [3, 4]}
        return {"seconds": 1 + n / 1e4} | counts

    monkeypatch.setattr("crypsis.mpc.bench.scale.job_files", job_files)
    monkeypatch.setattr("crypsis.mpc.bench.scale.run_job", run_job)
    monkeypatch.setattr("crypsis.mpc.bench.scale.check_outputs", lambda folder, n_rows, advance: None)
    monkeypatch.setattr("crypsis.mpc.bench.netns.refusal", lambda link: "netem: no such kind")
    return before


def test_a_line_a_job_and_the_fit(crypsis: Crypsis, sizes: list[Run], tmp_path: Path) -> None:
    out = tmp_path / "rows"
    done = crypsis("bench", "scale", "psi", "--max-rows", "1e5", "--axis", "rows", "--out", str(out))
    assert done.code == 0
    assert "rows: seconds = 1.00 + 100 x millions of rows" in done.stdout
    assert "measuring rows 100000" in done.stderr
    assert "2 rows were added" in done.stderr
    assert [one["items"] for one in rows.read(out)] == [10_000, 100_000]


def test_how_lines_were_shaped_is_told(crypsis: Crypsis, sizes: list[Run], tmp_path: Path) -> None:
    done = crypsis(
        "bench", "scale", "psi", "--max-rows", "1.5e3", "--axis", "line", "--folder", str(tmp_path)
    )
    assert done.code == 0
    shaped = "1 Gbit/s, 1 ms: shaped by in-process throttle (not by tc: netem: no such kind)"
    assert shaped in done.stdout
    assert "1,500" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_rows_as_json_and_nothing_else(crypsis: Crypsis, sizes: list[Run]) -> None:
    done = crypsis("bench", "scale", "psi", "--max-rows", "2e4", "--axis", "rows", "--json", "--quiet")
    assert [json.loads(line)["items"] for line in done.stdout.splitlines()] == [10_000, 20_000]
    assert done.stderr == ""


def test_ctrl_c_keeps_the_sizes_that_are_finished_and_their_fit(
    crypsis: Crypsis, sizes: list[Run], tmp_path: Path
) -> None:
    def interrupt(n_rows: int) -> None:
        if n_rows == 1_000_000:
            raise KeyboardInterrupt

    sizes.append(interrupt)
    out, data = tmp_path / "rows", tmp_path / "data"
    data.mkdir()
    done = crypsis("bench", "scale", "psi", "--max-rows", "1e6", "--folder", str(data), "--out", str(out))
    assert done.code == 130
    assert "error: interrupted" in done.stderr
    assert "rows: seconds = 1.00 + 100 x millions of rows" in done.stdout
    assert [one["items"] for one in rows.read(out)] == [10_000, 100_000]
    assert list(data.iterdir()) == []


def is_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("to_all", [True, False])
def test_a_process_that_is_interrupted_leaves_nothing_but_its_rows(tmp_path: Path, to_all: bool) -> None:
    """Ctrl-C on a terminal reaches the parties too."""
    out, data = tmp_path / "rows", tmp_path / "data"
    data.mkdir()
    command = [*COMMAND, "bench", "scale", "psi", "--max-rows", "1e7", "--axis", "rows"]
    process = subprocess.Popen(
        [*command, "--folder", str(data), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + WAIT_S
    while not (out.exists() and out.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    while not list(data.glob("*/out/bob.json")) and time.monotonic() < end:  # the next size's job
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT) if to_all else process.send_signal(signal.SIGINT)
    shown, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, told
    assert told.splitlines()[-1] == "error: interrupted"
    assert "rows 10000" in shown
    assert rows.read(out)[0]["items"] == 10_000
    assert list(data.iterdir()) == []
    while is_group(process.pid):
        assert time.monotonic() < end, "processes are left"
        time.sleep(0.02)


def stop_a_party(bench: int) -> bool:
    for child in Path(f"/proc/{bench}/task").glob("*/children"):
        for pid in map(int, child.read_text(encoding="ascii").split()):
            if b"psi\0run" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGSTOP)
                return True
    return False


def test_steps_that_last_are_shown_on_a_terminal(tmp_path: Path) -> None:
    """A bar of more than two seconds: the first job's, held up by a party that is stopped. Ctrl-C ends that one too."""
    terminal, side = pty.openpty()
    os.set_blocking(terminal, False)
    command = [*COMMAND, "bench", "scale", "psi", "--max-rows", "1000", "--axis", "rows"]
    process = subprocess.Popen(
        [*command, "--folder", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=side,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
        start_new_session=True,
    )
    os.close(side)
    seen, stopped, told, end = b"", False, False, time.monotonic() + WAIT_S
    try:
        while process.poll() is None:
            assert time.monotonic() < end, seen
            stopped = stopped or stop_a_party(process.pid)
            with contextlib.suppress(OSError):  # nothing yet; nobody there any more
                seen += os.read(terminal, 1 << 16)
            if not told and b"job 1 of 3" in seen:
                process.send_signal(signal.SIGINT)
                told = True
            time.sleep(0.02)
        assert told
        assert process.returncode == 130
        assert list(tmp_path.iterdir()) == []
        while is_group(process.pid):
            assert time.monotonic() < end, "processes are left"
            time.sleep(0.02)
    finally:
        if is_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("train",), 2, "'train' cannot be scaled: psi can"),
        (("psi", "--protocol", "rsa"), 2, "--protocol is 'rsa': use vole or ecdh"),
        (("psi", "--axis", "moon"), 2, "--axis is 'moon': use rows, threads, line"),
        (("psi", "--max-rows", "1e9"), 2, "max-rows"),
        (("psi", "--max-rows", "999.9"), 2, "max-rows"),
        (("psi", "--max-rows", "nan"), 2, "max-rows"),
        (("psi", "--max-rows", "inf"), 2, "max-rows"),
        (("psi", "--max-rows", "many"), 2, "max-rows"),
        (("psi", "--threads", "0"), 2, "threads"),
        (("psi", "--threads", "5000"), 2, "threads"),
        (("psi", "--folder", "/nowhere"), 4, "/nowhere: there is no such directory; name another --folder"),
        (("psi", "--folder", "/dev/null"), 4, "/dev/null: there is no such directory; name another --folder"),
        (("psi", "--folder", "/sys"), 4, "name another --folder"),  # nobody may make a directory in it
        (("psi", "--out", "/nowhere/rows"), 4, "/nowhere/rows: cannot be written"),
    ],
)
def test_bad_input_is_one_line(crypsis: Crypsis, arguments: tuple[str, ...], code: int, told: str) -> None:
    assert told in crypsis("bench", "scale", *arguments, "--quiet").error(code)


def test_a_disk_that_runs_full_is_named(crypsis: Crypsis, sizes: list[Run], tmp_path: Path) -> None:
    def full(n_rows: int) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: no space", None)

    sizes.append(full)
    done = crypsis("bench", "scale", "psi", "--folder", str(tmp_path), "--quiet")
    assert done.error(4) == f"error: {tmp_path}: No space left on device; name another --folder"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_stdout_that_goes_is_no_full_disk(
    crypsis: Crypsis, sizes: list[Run], tmp_path: Path
) -> None:
    def gone(n_rows: int) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    sizes.append(gone)
    done = crypsis("bench", "scale", "psi", "--folder", str(tmp_path), "--quiet")
    assert done.stderr == ""
    assert done.code in (0, 1)  # as the release of typer has it


def test_a_disk_that_is_too_small_is_named(
    crypsis: Crypsis, sizes: list[Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = type("Usage", (), {"free": 1 << 20})()
    monkeypatch.setattr("crypsis.mpc.bench.scale.shutil.disk_usage", lambda folder: small)
    done = crypsis("bench", "scale", "psi", "--max-rows", "1e8", "--folder", str(tmp_path), "--quiet")
    assert "MiB are needed for 100000000 rows, 1 are free; name another --folder" in done.error(4)
