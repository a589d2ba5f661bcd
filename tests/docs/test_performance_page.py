# SPDX-License-Identifier: Apache-2.0
"""The figures of the documents are those of the committed rows, and cannot be typed by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tools import performance_page as tool
from tools.performance_rows import RESULTS, BadRow, Row, load, seconds
from tools.performance_tables import BEGIN, END, READMES, Tables, with_table

from crypsis.mpc.bench import rows as bench_rows

from .pages import PAGES, ROOT

ROW = {
    "name": "hashing/sha256/avx512",
    "items": 1000,
    "unit": "hashes",
    "rounds": 7,
    "seconds_median": 0.5,
    "seconds_iqr": 0.05,
    "per_second": 2000.0,
    "peers": {"hashlib": {"seconds_median": 1.0, "seconds_iqr": 0.1, "per_second": 1000.0, "ratio": 2.0}},
    "limit": {"per_second": 4000.0, "what": "what | the unit does", "percent": 50.0},
    "extra": {"threads": 1, "sizes": [[7, 8], [9, 6]]},
    "date": "2030-01-02T03:04:05+00:00",
    "commit": "0123456789ab",
    "dirty": False,
    "cpu": "Some(R)  CPU",
    "cpu_flags": ["avx2", "avx512f"],
    "machine": "x86_64",
    "python": "3.11.7",
}
OLD_CPU = {"cpu": "An old CPU", "cpu_flags": ["avx2"], "dirty": True}
FORCED = {"forced_backend": "hashing:avx2"}
QUOTE = {
    "what": "hashes",
    "crypsis": "<<count(a.per_second)>> hashes/s",
    "ratio": '<<ratio(a, "hashlib")>>',
    "rows": {"a": "2030-01-02-hashing.jsonl#L1 hashing/sha256/avx512"},
}
LINE = {"cells": ["SHA-256 of 16 bytes", '<<ratio(a, "hashlib")>>'], "rows": QUOTE["rows"]}
TABLE = {"page": "docs/phe.md", "columns": ["", "ratio"], "line": [LINE]}


def _checkout(folder: Path, *rows: dict[str, Any], name: str = "2030-01-02-hashing.jsonl") -> Path:
    results = folder / RESULTS
    results.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (results / name).write_text(text, encoding="utf-8")
    return folder


def _quoted(quote: dict[str, Any], rows: list[Row], language: str = "en", **more: Any) -> str:
    return Tables({"quote": [quote], **more}, rows).readme(language)


def test_pages_hold_what_the_rows_say() -> None:
    assert tool.stale() == [], "run python3 tools/performance_page.py"


def test_every_page_with_markers_has_a_table_and_the_other_way_round() -> None:
    marked = {page.relative_to(ROOT) for page in PAGES if BEGIN in page.read_text(encoding="utf-8")}
    assert marked == set(tool.made()) - {tool.PAGE}
    assert marked > set(READMES.values())


def test_a_changed_row_makes_pages_stale(tmp_path: Path) -> None:
    for name in (*tool.made(), tool.QUOTED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / RESULTS).mkdir(parents=True)
    for path in (ROOT / RESULTS).glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            if row["name"] == "curve25519/scalar_mult/avx512":
                row["per_second"] *= 7
            elif row["name"].startswith("boosting/tree/"):
                row["extra"]["guest"]["shares"]["he"] /= 7
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / RESULTS / path.name).write_text(text, encoding="utf-8")
    assert tool.stale(tmp_path) == [tool.PAGE, *READMES.values(), Path("docs/learning-boosting.md")]


def test_a_cpu_without_avx512_stands_beside_the_other(tmp_path: Path) -> None:
    """In files of their own, as they are committed."""
    other = {**ROW, "name": "hashing/sm3/avx512"}
    _checkout(tmp_path, ROW, {**ROW, **FORCED}, other)
    _checkout(tmp_path, {**ROW, **OLD_CPU, "suite": "hashing"}, name="2030-01-03-old-cpu.jsonl")
    lines = tool.page(load(tmp_path)).splitlines()
    table = [line for line in lines if line.startswith("| hashing")]
    assert [line.split("|")[1].strip() for line in table] == [ROW["name"]] * 3 + [other["name"]]
    link = "../benchmarks/results/2030-01-02-hashing.jsonl"
    commit = "[`0123456789ab`](#commit-0123456789ab)"
    assert table[0] == (
        f"| hashing/sha256/avx512 | 1.00 k | [2.00 k hashes/s, 500 ms]({link}#L1) | ±5.0 % of 7 | hashlib **2.00x** "
        f"| 50 % (1) | [1](#machine-1) | {commit} |"
    )
    assert table[1].endswith(f"| [1](#machine-1) forced `hashing:avx2` | {commit} |")
    assert "2030-01-03-old-cpu.jsonl#L1" in table[2]
    assert table[2].endswith(f"| [2, no AVX-512](#machine-2) | {commit} *changed* |")
    assert any(line.startswith("Some CPU, x86_64, with AVX-512:") for line in lines)
    assert any(line.startswith("An old CPU, x86_64, **without AVX-512**:") for line in lines)
    assert "1. what | the unit does" in lines
    assert lines[lines.index("### Commit 0123456789ab") + 2] == (
        "4 rows of 2030-01-02: Kernel: hashing. With changes on top of it: 1."
    )


def test_a_row_of_a_forced_backend_is_not_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows as `crypsis bench --out` writes them, into the folder where they are committed."""
    path = tmp_path / RESULTS / "2030-01-02-this-machine.jsonl"
    measured = bench_rows.Measurement(
        "a/b", 10, "items", bench_rows.Timing([1.0, 1.0, 2.0]), {}, suite="kernels"
    )
    for backend in ("", "portable"):
        monkeypatch.setenv("CRYPSIS_BACKEND", backend)
        bench_rows.append(path, measured.as_row() | bench_rows.environment())
    rows = load(tmp_path)
    assert rows[0].machine == rows[1].machine
    assert [row.forced for row in rows] == ["", "portable"]
    first, second = [line for line in tool.page(rows).splitlines() if line.startswith("| a/b")]
    assert "forced" not in first
    assert "(#machine-1) forced `portable` |" in second


def test_a_quote_tells_machines_and_forced_backends_apart(tmp_path: Path) -> None:
    rows = load(_checkout(tmp_path, {**ROW, **FORCED}, {**ROW, **OLD_CPU}))
    name = "2030-01-02-hashing.jsonl"
    quote = {**QUOTE, "rows": {"a": QUOTE["rows"]["a"], "b": f"{name}#L2 {ROW['name']}"}}
    machines, where = _quoted(quote, rows).splitlines()[2].strip("| ").split(" | ")[-2:]
    assert machines == (
        "[An old CPU, no AVX-512](docs/performance.md#machine-2); "
        "[Some CPU, AVX-512](docs/performance.md#machine-1) (forced: `hashing:avx2`)"
    )
    commit = "[`0123456`](docs/performance.md#commit-0123456789ab)"
    assert where == (
        f"[row](benchmarks/results/{name}#L1), {commit}; [row](benchmarks/results/{name}#L2), {commit} *changed*"
    )


def test_a_commit_that_is_lost_is_marked(tmp_path: Path) -> None:
    rows = load(_checkout(tmp_path, ROW))
    page = tool.page(rows, ["0123456789ab"])
    assert "(#commit-0123456789ab) *commit lost* |" in page
    assert "no clone has it" in page
    assert _quoted(QUOTE, rows, lost_commits=["0123456789ab"]).endswith(" *commit lost* |")


def test_commits_of_rows_are_in_the_history_or_said_to_be_lost() -> None:
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)

    if shutil.which("git") is None or git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("needs a clone with its whole history")
    commits = {row.values["commit"] for row in load(ROOT)}
    lost = {
        commit
        for commit in commits
        if not commit.startswith("release") and git("merge-base", "--is-ancestor", commit, "HEAD").returncode
    }
    told = set(tool.quotes(ROOT)["lost_commits"])
    assert lost == told, (
        "lost_commits of benchmarks/quoted.toml: add what was rewritten, take out what has no rows"
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**ROW, "schema": 99}, "2030-01-02-hashing.jsonl:2: schema version 99"),
        ({k: v for k, v in ROW.items() if k != "commit"}, "jsonl:2: lacks commit"),
        ([1], "jsonl:2: not an object"),
    ],
)
def test_rows_that_cannot_be_shown_are_refused(row: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=told):
        load(_checkout(tmp_path, ROW, row))


def test_names_of_files_say_date_and_suite(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=r"mine\.jsonl: the name"):
        load(_checkout(tmp_path, ROW, name="mine.jsonl"))


def test_rows_that_a_run_left_are_not_shown(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path, ROW)
    for run in ("0123456789ab", "release 0.1.0"):
        (checkout / RESULTS / f"2030-01-02-{run}.jsonl").write_text("half a ro")
    assert len(load(checkout)) == 1


def test_rows_that_name_a_suite_stand_in_its_table(tmp_path: Path) -> None:
    rows = load(_checkout(tmp_path, ROW, {**ROW, "schema": 1, "suite": "paillier"}))
    titles = [line for line in tool.page(rows).splitlines() if line.startswith("## ")]
    assert titles == ["## Machines", "## Paillier and Okamoto-Uchiyama", "## Kernel: hashing", "## Commits"]


def test_a_quote_takes_its_figures_from_its_row(tmp_path: Path) -> None:
    rows = load(_checkout(tmp_path, ROW))
    share = "[counts](docs/10.md) <<percent(a.limit.percent)>>, <<largest(a.extra.sizes)>>"
    table = _quoted({**QUOTE, "share": share}, rows)
    assert table.splitlines()[2].split(" | ")[1:5] == [
        "2.00 k hashes/s",
        "",
        "**2.00x**",
        "[counts](docs/10.md) 50 %, 9.00",
    ]
    assert _quoted(QUOTE, rows, "zh").count("\n") == 1  # no words in Chinese: not in that table


def test_a_table_of_a_page_links_from_there(tmp_path: Path) -> None:
    made = Tables({"table": [TABLE], "quote": []}, load(_checkout(tmp_path, ROW))).pages()
    assert made[Path("docs/phe.md")].splitlines()[2] == (
        "| SHA-256 of 16 bytes | **2.00x** | [Some CPU, AVX-512](performance.md#machine-1) | "
        "[row](../benchmarks/results/2030-01-02-hashing.jsonl#L1), [`0123456`](performance.md#commit-0123456789ab) |"
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ratio": "2.00x"}, "'ratio' is typed by hand"),
        ({"crypsis": "<<count(a.per_second)>> in 3 s"}, "'crypsis' is typed by hand"),
        ({"crypsis": "<<count(a.rate)>>"}, "no field 'rate'"),
        ({"rows": {"a": "2030-01-02-hashing.jsonl#L1 hashing/sm3"}}, "not 'hashing/sm3'"),
        ({"rows": {"a": "2030-01-02-hashing.jsonl#L2 hashing/sha256/avx512"}}, "no row"),
    ],
)
def test_quotes_that_no_row_backs_are_refused(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    rows = load(_checkout(tmp_path, ROW))
    with pytest.raises(BadRow, match=told):
        _quoted({**QUOTE, **changed}, rows)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (
            [{**TABLE, "line": [{**LINE, "cells": ["SHA-256", "3x"]}]}],
            "SHA-256: a figure in '1' is typed by hand",
        ),
        ([{**TABLE, "line": [{**LINE, "cells": ["SHA-256"]}]}], "1 cells for 2 columns"),
        ([TABLE, TABLE], "phe.md has two tables"),
    ],
)
def test_tables_of_pages_are_checked(tables: list[Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=told):
        Tables({"table": tables, "quote": []}, load(_checkout(tmp_path, ROW))).pages()


def test_markers_are_needed_once() -> None:
    with pytest.raises(BadRow, match="once each"):
        with_table(f"{BEGIN}{BEGIN}{END}", "", Path("README.md"))
    done = with_table(f"a\n{BEGIN}\nold\n{END}\nb\n", "new", Path("README.md"))
    assert done == f"a\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0123456, "12.3 ms"), (1.2, "1.20 s"), (1234.5, "1230 s"), (2.5e-6, "2.50 µs"), (5e-9, "5.00 ns")],
)
def test_seconds_have_three_digits(value: float, told: str) -> None:
    assert seconds(value) == told
