# SPDX-License-Identifier: Apache-2.0
"""`crypsis bench` as typed: suites run and are kept, files are compared and shown, and bad input is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.bench.cases import row, scaling, works_once

from crypsis.mpc.bench import rows
from crypsis.mpc.bench.measure import EFFORT
from crypsis.mpc.bench.suite import Case, Suite, Work, WrongAnswer

from .parties import COMMAND, WAIT_S, Finished

Crypsis = Callable[..., Finished]


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BENCH_SIZES", "tiny")


def suites(monkeypatch: pytest.MonkeyPatch, *cases: tuple[str, Any]) -> list[str]:
    """Every suite has these cases; the names of suites that were loaded."""
    made = Suite("fake", "fake cases", [Case(name, "items", make) for name, make in cases])
    loaded: list[str] = []

    def load(name: str) -> Suite:
        loaded.append(name)
        return made

    monkeypatch.setattr("crypsis.mpc.bench.run.load", load)
    return loaded


def test_list(crypsis: Crypsis) -> None:
    shown = crypsis("bench", "list")
    assert shown.code == 0
    assert "kernels: one thread on one core\n    hashing/sha256/16-byte ids\n" in shown.stdout
    told = json.loads(crypsis("bench", "list", "--json").stdout)
    assert [one["suite"] for one in told] == ["kernels", "paillier", "ckks", "ot", "psi", "train"]


def test_runs_are_remembered_unless_told_not_to(
    crypsis: Crypsis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPSIS_BENCH_SIZES", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(EFFORT, "quick", EFFORT["tiny"])
    suites(monkeypatch, ("first", works_once))
    clean = rows.environment() | {"dirty": False}
    monkeypatch.setattr("crypsis.mpc.bench.rows.environment", lambda: clean)

    def runs(*flags: str) -> str:
        done = crypsis("bench", "run", "kernels", "--quick", "--quiet", *flags)
        assert done.code == 0, done
        return done.stdout

    kept = tmp_path / "crypsis" / "bench.jsonl"
    assert "earlier runs" not in runs("--no-history")
    assert not kept.exists()
    assert "earlier runs" not in runs()
    assert "spreads reach to earlier runs of this commit here (1 at most)" in runs()
    before = kept.read_bytes()
    assert "earlier runs" not in runs("--no-history")
    assert kept.read_bytes() == before


def test_a_suite_runs_and_its_rows_are_appended(crypsis: Crypsis, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    done = crypsis("bench", "run", "kernels", "--out", str(out), "--quiet")
    assert done.code == 0
    assert "aes/mmo" in done.stdout
    assert "of AES" in done.stdout
    assert "AES blocks" in done.stdout
    n = len(rows.read(out))
    assert f"{n} rows were added" in done.stderr
    printed = crypsis("bench", "run", "kernels", "--out", str(out), "--json").stdout.splitlines()
    assert [json.loads(line) for line in printed] == rows.read(out)[n:]
    assert len(printed) == n


@pytest.mark.parametrize("flags", [("--quick", "--peers"), ("run", "--quick", "--peers")])
def test_without_names_all_suites_run(
    crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    loaded = suites(monkeypatch, ("one", works_once))
    done = crypsis("bench", *flags)
    assert done.code == 0
    assert loaded == ["kernels", "paillier", "ckks", "ot", "psi", "train"]
    assert done.stdout.count("one") >= 6


def test_without_anything_the_help_is_shown(crypsis: Crypsis) -> None:
    done = crypsis("bench")
    assert done.code == 2
    assert "Usage: crypsis bench" in done.stderr
    assert "flags stand behind the command" in crypsis("bench", "--quick", "run", "kernels").error(2)


def test_a_missing_peer_is_told_with_the_reason(crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.mpc.bench.peers import Peer, Server

    def make(setting: Any) -> Work:
        peer = Peer("Gone", Server("Gone", "none_such_module"), "operation 1")
        return Work(1, lambda: 1, lambda found: None, [peer])

    suites(monkeypatch, ("one", make))
    done = crypsis("bench", "run", "kernels", "--peers")
    assert done.code == 0
    assert "left out: Gone: Gone is not installed: pip install none_such_module" in done.stderr


def test_a_wrong_answer_is_a_defect(crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(setting: Any) -> Work:
        def check(found: Any) -> None:
            raise WrongAnswer("2 + 2 is 5")

        return Work(1, lambda: 5, check)

    suites(monkeypatch, ("wrong", make), ("right", works_once))
    done = crypsis("bench", "run", "kernels")
    assert done.code == 70
    assert "error: 2 + 2 is 5" in done.stderr
    assert "right" in done.stdout


def test_ctrl_c_keeps_what_is_finished(
    crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(setting: Any) -> Work:
        raise KeyboardInterrupt

    suites(monkeypatch, ("first", works_once), ("second", interrupted))
    done = crypsis("bench", "run", "kernels", "--out", str(tmp_path / "rows"))
    assert done.code == 130
    assert "error: interrupted" in done.stderr
    assert "first" in done.stdout
    assert [one["name"] for one in rows.read(tmp_path / "rows")] == ["first"]


def test_a_process_that_is_interrupted_keeps_its_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRYPSIS_BENCH_SIZES", "quick")
    out = tmp_path / "rows"
    process = subprocess.Popen(
        [*COMMAND, "bench", "run", "kernels", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + WAIT_S
    while not (out.exists() and out.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, told
    assert "error: interrupted" in told
    assert rows.read(out)[0]["name"] == "hashing/sha256/16-byte ids"


def write(path: Path, *made: dict[str, Any]) -> str:
    for one in made:
        rows.append(path, one)
    return str(path)


def test_compare(crypsis: Crypsis, tmp_path: Path) -> None:
    a = write(tmp_path / "a", row("x", 100.0), row("y", 100.0, iqr=0.2), row("only a"))
    b = write(tmp_path / "b", row("x", 150.0), row("y", 110.0, iqr=0.2))
    done = crypsis("bench", "compare", a, b)
    assert done.code == 0
    assert "1 of 2 cases changed beyond the noise" in done.stdout
    assert "faster: x x 1 (+50.0 %)" in done.stdout
    assert "only in A: only a x 1" in done.stdout
    told = json.loads(crypsis("bench", "compare", a, b, "--json").stdout)
    assert [one["verdict"] for one in told["changes"]] == ["faster", "within the noise"]
    other = write(tmp_path / "c", row("z"))
    assert "have no case in common" in crypsis("bench", "compare", a, other).error(4)


def test_nothing_of_a_file_moves_the_cursor(crypsis: Crypsis, tmp_path: Path) -> None:
    nasty = row("x\x1b[2J\ud800", 100.0, commit="\x1b[1m", cpu="\x1bc")
    (tmp_path / "a").write_text(json.dumps(nasty) + "\n" + json.dumps(row("\x1bonly")) + "\n")
    (tmp_path / "b").write_text(json.dumps(nasty | {"per_second": 200.0, "cpu": "other"}) + "\n")
    done = crypsis("bench", "compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.code == 0
    assert "faster: x?[2J? x 1" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_report(crypsis: Crypsis, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="reports need crypsis[learning]")
    a = write(tmp_path / "a", row("x", 100.0, peers={"p": {"ratio": 2.0}}))
    b = write(tmp_path / "b", scaling("threads", 1, 100, 1.0), scaling("threads", 2, 100, 0.5))
    page = tmp_path / "page.html"
    done = crypsis("bench", "report", a, b, "--out", str(page))
    assert done.code == 0
    assert "3 rows" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    gone = str(tmp_path / "no" / "page.html")
    assert "no/page.html" in crypsis("bench", "report", a, "--out", gone).error(4)
    assert "would replace the rows" in crypsis("bench", "report", a, b, "--out", b).error(2)
    assert "is no file" in crypsis("bench", "report", a, "--out", "/dev/null").error(4)
    assert Path("/dev/null").is_char_device()
    assert len(rows.read(Path(b))) == 2


def test_files_of_another_version_are_refused_everywhere(crypsis: Crypsis, tmp_path: Path) -> None:
    good, other = write(tmp_path / "good", row()), write(tmp_path / "other", row() | {"schema": 2})
    before = (tmp_path / "other").read_bytes()
    for arguments in (
        ("compare", good, other),
        ("report", other, "--out", str(tmp_path / "page.html")),
        ("run", "kernels", "--out", other),
        ("scale", "psi", "--out", other),
    ):
        assert "schema version 2, this release reads 1" in crypsis("bench", *arguments).error(4)
    assert (tmp_path / "other").read_bytes() == before
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("run", "gpu"), 2, "suite 'gpu' does not exist: there are kernels, paillier"),
        (("run", "kernels", "--out", "/nowhere/rows"), 4, "/nowhere/rows: cannot be written"),
        (("run", "kernels", "--peer-seconds", "0"), 2, "peer-seconds"),
        (("run", "kernels", "--peer-seconds", "inf"), 2, "peer-seconds"),
        (("run", "kernels", "--peer-seconds", "nan"), 2, "peer-seconds"),
        (("--quick", "kernels"), 2, "'kernels' is a suite, no command: type crypsis bench run kernels"),
        (("--quick", "rubbish"), 2, "No such command 'rubbish'"),
        (("compare", "/nowhere/a", "/nowhere/b"), 4, "/nowhere/a: cannot be read"),
    ],
)
def test_bad_input_is_one_line(crypsis: Crypsis, arguments: tuple[str, ...], code: int, told: str) -> None:
    assert told in crypsis("bench", *arguments).error(code)


def test_a_wrong_size_is_named(crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BENCH_SIZES", "huge")
    assert "CRYPSIS_BENCH_SIZES is 'huge'" in crypsis("bench", "run", "kernels").error(2)
