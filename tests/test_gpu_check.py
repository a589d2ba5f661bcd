# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check` without a GPU: every case and unit on the shim, answers checked; budget, report and runner."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import cubin_gate  # noqa: E402
import gpu_check  # noqa: E402
from benchmarks.gpu import cases, units  # noqa: E402
from benchmarks.gpu.timing import ClockWatch, rate, seconds_per_call  # noqa: E402
from crypsis import cuda  # noqa: E402
from gpu_report import Report, slug, table  # noqa: E402
from gpu_sections import (  # noqa: E402
    CASE_GROUPS,
    SANITIZED,
    SMOKE,
    Budget,
    Outcome,
    Section,
    marked_tests,
    run,
    run_side_by_side,
    sections,
)

# ---- times ------------------------------------------------------------------------------------------------------


def test_a_rate_is_the_median_and_its_spread() -> None:
    found = rate([2.0, 1.0, 4.0], 8)
    assert (found["per_second"], found["lowest"], found["highest"], found["rounds"]) == (4, 2, 8, 3)
    assert found["spread_percent"] == 75
    assert rate([2.0], 8)["spread_percent"] == 0


def test_short_calls_are_repeated_within_a_round() -> None:
    calls = []

    def timer(call: Any) -> float:
        before = len(calls)
        call()
        return 0.01 * (len(calls) - before)

    seconds = seconds_per_call(timer, lambda: calls.append(1), rounds=3, round_seconds=0.05)
    assert seconds == [pytest.approx(0.01)] * 3
    assert len(calls) == 1 + 3 * 5


def test_the_clock_is_watched() -> None:
    class Played:
        def sm_mhz(self) -> int:
            return 1980

    with ClockWatch(Played(), interval=0.001) as watch:  # type: ignore[arg-type]
        while watch.mhz is None:
            pass
    assert watch.mhz == {"median": 1980, "lowest": 1980, "highest": 1980}
    with ClockWatch(None) as nothing:
        pass
    assert nothing.mhz is None


# ---- sections, budget, report -------------------------------------------------------------------------------------


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_plan_has_every_case_once_and_files_that_are_there() -> None:
    planned = [name for _, names in CASE_GROUPS for name in names]
    assert sorted(planned) == sorted(cases.CASES)
    assert set(SANITIZED) <= set(cases.CASES)
    assert all((ROOT / name.partition("::")[0]).exists() for name in SMOKE)
    marked = [path.name for path in marked_tests()]
    assert {"test_cuda_arith.py", "test_cuda_bigint.py", "test_cuda_hashing.py"} <= set(marked)
    assert not {"test_paillier.py", "test_gpu_check.py"} & set(marked)
    names = [s.name for part in ("prepare", "measure") for step in sections(part) for s in step]
    assert len(names) == len(set(names))
    warmed = [n for s in sections("prepare")[1] if s.name.startswith("warm ") for n in s.command[4:]]
    assert sorted(warmed) == sorted([*cases.CASES, "unit/all"])
    slugs = {path.parent.name for path in (ROOT / "kernels").glob("*/tuning.json")} - {"microbench"}
    assert slugs <= {name.split("/")[0] for name in cases.CASES}, "a slug without a case"
    assert slugs <= {name.split("/")[0] for name in SANITIZED}, "a slug that no sanitizer sees"
    order = [
        "smoke tests",
        "cases powm",
        "cases curves",
        "cases encrypt",
        "units",
        "gpu tests test_cuda_arith",
    ]
    assert sorted(order, key=names.index) == order


def test_sanitizers_see_every_small_case_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    last = [section for section in sections("measure")[-1] if section.name.startswith("sanitizer")]
    for tool in ("memcheck", "racecheck", "synccheck"):
        commands = [section.command for section in last if tool in section.command]
        assert [name for command in commands for name in command[command.index("warm") + 1 :]] == list(
            SANITIZED
        )
    assert all(section.environment == {"CRYPSIS_GPU_CHECK_POOL": "0"} for section in last)
    assert len({section.name for section in last}) == len(last)


def test_gpu_tests_need_no_package_that_a_gpu_machine_may_lack() -> None:
    files = [str(path) for path in marked_tests()]
    code = (
        "import sys\n"
        "for name in ('blake3', 'cryptography', 'gmpy2', 'hypothesis', 'phe', 'pydantic', 'xdist', 'yaml'):\n"
        "    sys.modules[name] = None\n"
        "import pytest\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    options = ["-q", "--collect-only", "-p", "no:cacheprovider", "-W", "default", "-m", "gpu"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options, *files],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{Path(file).name}::" in done.stdout for file in files)


def fake(outcomes: dict[str, Any], time: Time, limits_seen: dict[str, float]) -> Any:
    def runner(section: Section, seconds: float, on_row: Any) -> Outcome:
        limits_seen[section.name] = seconds
        took, code, rows, wrong = outcomes[section.name]
        time.now += took
        for row in rows:
            on_row(section.name, row)
        return Outcome(took, code, ["the last line"], wrong)

    return runner


DEVICE = {"model": "NVIDIA H100 80GB HBM3", "multiprocessors": 132, "max_sm_mhz": 1980}
ROW = {
    "name": "bigint/powm/2048",
    "unit": "powers",
    "items": 8,
    "checked": 8,
    "kernel": rate([1.0, 1.0], 400_000),
    "end_to_end": rate([1.0], 300_000),
    "sm_mhz": {"median": 1755.0, "lowest": 1755, "highest": 1755},
    "need": {"unit": "wide", "per_item": 1.6e7, "what": "products"},
}


def test_the_budget_is_held_and_what_was_measured_stays(tmp_path: Path) -> None:
    time, seen, told = Time(), {}, []
    unit = {"name": "unit/wide", "per_clock_per_sm": 31.9, "instruction": "IMAD.WIDE"}
    outcomes = {
        "build": (0, 0, [], []),
        "info": (1, 0, [DEVICE], []),
        "cases a": (50, 0, [ROW], []),
        "cases b": (40, None, [ROW | {"name": "other"}], []),
        "units": (5, 0, [unit], []),
    }
    plan = [[Section(name, [], limit, least)] for name, limit, least in (
        ("build", 9, 1), ("info", 10, 1), ("cases a", 80, 20), ("cases b", 80, 20), ("late", 80, 20), ("units", 30, 3),
    )]  # fmt: skip
    report = Report(tmp_path / "results", str(tmp_path / "out"))
    gpu_check.check(plan, Budget(100, time), report, runner=fake(outcomes, time, seen), tell=told.append)
    assert seen == pytest.approx({"build": 9, "info": 10, "cases a": 80, "cases b": 49, "units": 9}, rel=0.05)
    assert "late: skipped, 9 s are left and it takes 20" in told
    assert not report.good
    assert report.failures == ["cases b (killed at its limit)"]
    path = tmp_path / "results" / "gpu-h100-80gb-hbm3.json"
    assert report.paths == [path, tmp_path / "out" / path.name]
    assert path.read_text() == (tmp_path / "out" / path.name).read_text()
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half written beside it
    content = json.loads(path.read_text())
    assert [row["name"] for row in content["rows"]] == ["bigint/powm/2048", "other", "unit/wide"]
    limit, measured = content["rows"][0]["limit"], content["rows"][0]["limit_measured"]
    assert limit["percent"] == pytest.approx(100 * 4e5 / (132 * 1.98e9 * 32 / 1.6e7))
    assert measured["percent"] == pytest.approx(100 * 4e5 / (132 * 1.755e9 * 31.9 / 1.6e7))
    assert [s["verdict"][:7] for s in content["sections"]] == [
        "done",
        "done",
        "done",
        "killed ",
        "skipped",
        "done",
    ]
    assert "bigint/powm/2048" in table(content)
    assert str(ROOT) not in path.read_text()


def test_the_file_is_written_after_each_section(tmp_path: Path) -> None:
    report = Report(tmp_path, None)
    report.row("info", DEVICE)
    there = []

    def runner(section: Section, seconds: float, on_row: Any) -> Outcome:
        found = list(tmp_path.glob("*.json"))
        there.append([row["name"] for path in found for row in json.loads(path.read_text())["rows"]])
        on_row(section.name, ROW | {"name": section.name})
        return Outcome(1, 0, [], [])

    plan = [[Section(f"cases {i}", [], 10, 1)] for i in range(3)]
    gpu_check.check(plan, Budget(100, Time()), report, runner=runner, tell=lambda _: None)
    assert there == [[], ["cases 0"], ["cases 0", "cases 1"]]


def test_a_wrong_answer_fails_the_run(tmp_path: Path) -> None:
    report = Report(tmp_path, None, commit="0123456789abcdef")
    outcomes = {"warm x": (1, 3, [], ["powm: row 3 of the sample of 5 is not the CPU's"])}
    runner = fake(outcomes, Time(), {})
    told: list[str] = []
    gpu_check.check(
        [[Section("warm x", [], 9, 1)]], Budget(10, Time()), report, runner=runner, tell=told.append
    )
    assert not report.good
    assert "WRONG: powm: row 3" in told[0]
    content = json.loads((tmp_path / "gpu-unknown.json").read_text())
    assert content["right"] is False
    assert content["environment"]["commit"] == "0123456789ab"


def test_a_process_is_killed_with_its_children_at_the_limit_and_its_rows_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row is the child's, which holds the pipe; the limit runs from the row on, however long a start takes."""
    child = "import json, time; print('ROW', json.dumps({'name': 'x'}), flush=True); time.sleep(60)"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    rows, has_row = [], threading.Event()

    class Timer(threading.Timer):
        def run(self) -> None:
            has_row.wait(60)
            super().run()

    def on_row(name: str, row: dict[str, Any]) -> None:
        rows.append((name, row))
        has_row.set()

    monkeypatch.setattr(threading, "Timer", Timer)
    outcome = run(Section("s", [sys.executable, "-c", script], 1, 1), 0.1, on_row)
    assert (outcome.code, outcome.good, outcome.verdict) == (None, False, "killed at its limit")
    assert rows == [("s", {"name": "x"})]


def test_what_a_process_says_is_read() -> None:
    script = "print('WRONG sha256: row 1'); print('Traceback'); raise SystemExit(3)"
    outcome = run(Section("s", [sys.executable, "-c", script], 60, 1), 60, lambda *_: None)
    assert (outcome.code, outcome.wrong, outcome.told) == (3, ["sha256: row 1"], ["Traceback"])
    quiet = run(Section("s", [sys.executable, "-c", "pass"], 60, 1), 60, lambda *_: None)
    assert quiet.good


def test_sections_side_by_side_keep_their_order() -> None:
    due = [Section(str(i), [], 1, 1) for i in range(20)]
    found = list(
        run_side_by_side(
            due, {s.name: 5.0 for s in due}, runner=lambda s, *_: Outcome(0, 0, [s.name], []), on_row=print
        )
    )
    assert [(s.name, o.told) for s, o in found] == [(str(i), [str(i)]) for i in range(20)]


def test_names_of_models() -> None:
    assert slug("NVIDIA H100 80GB HBM3") == "h100-80gb-hbm3"
    assert slug("Tesla V100-SXM2-16GB") == "tesla-v100-sxm2-16gb"


@pytest.mark.skipif(cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "tools/gpu_check.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stdout == f"gpu-check: {cuda.why_not()}\n"


# ---- machine code -------------------------------------------------------------------------------------------------

LOOP = re.compile(r"(?m)^\.(L_\w+):|/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)")


def loop_of(listing: str, kernel: str) -> list[str]:
    """The instructions of the kernel's timed loop: the longest one between a label and a branch back to it."""
    text = listing.split(f".section\t.text.{kernel},")[1].split(".section")[0]
    labels: dict[str, int] = {}
    code: list[str] = []
    longest: list[str] = []
    for label, name, rest in LOOP.findall("\n".join(line.strip() for line in text.splitlines())):
        if label:
            labels[label] = len(code)
        elif name.startswith("BRA"):
            code.append(name)
            target = re.search(r"`?\(?\.(L_\w+)", rest)
            if target and target[1] in labels and len(code) - labels[target[1]] > len(longest):
                longest = code[labels[target[1]] :]
        elif name:
            code.append(name)
    return longest


def has_tools() -> bool:
    try:
        cubin_gate.find_nvdisasm()
    except cubin_gate.MissingTool:
        return False
    return shutil.which("nvcc") is not None


@pytest.mark.skipif(not has_tools(), reason="needs nvcc and nvdisasm")
@pytest.mark.parametrize(
    "architecture",
    ["sm_90", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sm_80", "sm_100"))],
)
def test_loops_hold_the_instructions_that_are_counted(architecture: str, tmp_path: Path) -> None:
    cubin = tmp_path / "units.cubin"
    command = [
        "nvcc",
        f"-arch={architecture}",
        "-std=c++17",
        "-cubin",
        "-I",
        str(ROOT / "kernels"),
        "-o",
        str(cubin),
    ]
    subprocess.run(
        [*command, str(ROOT / "kernels" / "microbench" / "microbench.cu")], check=True, timeout=300
    )
    listing = subprocess.run(
        [cubin_gate.find_nvdisasm(), "-c", str(cubin)], capture_output=True, text=True, check=True
    ).stdout
    for unit in units.UNITS:
        loop = loop_of(listing, unit.name)
        for wanted in filter(None, (unit.instruction, unit.other)):
            count = sum(name == wanted or name.startswith(wanted + ".") for name in loop)
            if wanted == "IMAD":
                count = loop.count("IMAD")
            assert unit.per_round <= count <= unit.per_round + 3, (unit.name, wanted, count)
        if unit.name != "wide_chain":  # there the moves between register pairs are part of the question
            wanted_all = unit.per_round * (2 if unit.other else 1)
            assert len(loop) <= 1.2 * wanted_all, (unit.name, len(loop))
