# SPDX-License-Identifier: Apache-2.0
"""The figures of the documents are those of the committed rows, and cannot be typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tools import performance_page as tool

from .pages import ROOT

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
OLD_CPU = {"name": "hashing/sha256/avx512", "cpu": "An old CPU", "cpu_flags": ["avx2"], "dirty": True}
QUOTE = {
    "what": "hashes",
    "crypsis": "<<count(a.per_second)>> hashes/s",
    "ratio": '<<ratio(a, "hashlib")>>',
    "rows": {"a": "2030-01-02-hashing.jsonl#L1 hashing/sha256/avx512"},
}


def _checkout(folder: Path, *rows: dict[str, Any], name: str = "2030-01-02-hashing.jsonl") -> Path:
    results = folder / tool.RESULTS
    results.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (results / name).write_text(text, encoding="utf-8")
    return folder


def test_pages_hold_what_the_rows_say() -> None:
    assert tool.stale() == [], "run python3 tools/performance_page.py"


def test_every_committed_row_is_on_the_page() -> None:
    page = (ROOT / tool.PAGE).read_text(encoding="utf-8")
    rows = tool.load()
    assert all(f"/{row.file}#L{row.line})" in page for row in rows)
    assert len(rows) == page.count(".jsonl#L")


def test_a_changed_row_makes_pages_stale(tmp_path: Path) -> None:
    for name in ("benchmarks/quoted.toml", "README.md", "README.zh.md", "docs/performance.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / tool.RESULTS).mkdir(parents=True)
    for path in (ROOT / tool.RESULTS).glob("*.jsonl"):
        text = path.read_text(encoding="utf-8").replace('"per_second": 131627.6', '"per_second": 931627.6')
        (tmp_path / tool.RESULTS / path.name).write_text(text, encoding="utf-8")
    assert tool.stale(tmp_path) == [tool.PAGE, *tool.READMES.values()]


def test_a_cpu_without_avx512_stands_beside_the_other(tmp_path: Path) -> None:
    other = {**ROW, "name": "hashing/sm3/avx512"}
    lines = tool.page(tool.load(_checkout(tmp_path, ROW, other, {**ROW, **OLD_CPU}))).splitlines()
    table = [line for line in lines if line.startswith("| hashing")]
    assert [line.split("|")[1].strip() for line in table] == [ROW["name"], ROW["name"], other["name"]]
    link = "../benchmarks/results/2030-01-02-hashing.jsonl"
    assert table[0] == (
        f"| hashing/sha256/avx512 | 1.00 k | [2.00 k hashes/s, 500 ms]({link}#L1) | ±10 % of 7 | hashlib **2.00x** "
        "| 50 % (1) | [1](#machine-1) | `0123456789ab` |"
    )
    assert table[1].endswith("| [2](#machine-2) | `0123456789ab` *changed* |")
    assert any(line.startswith("Some CPU, x86_64, with AVX-512:") for line in lines)
    assert any(line.startswith("An old CPU, x86_64, **without AVX-512**:") for line in lines)
    assert "1. what | the unit does" in lines


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**ROW, "schema": 99}, "2030-01-02-hashing.jsonl:2: schema version 99"),
        ({k: v for k, v in ROW.items() if k != "commit"}, "jsonl:2: lacks commit"),
        ([1], "jsonl:2: not an object"),
    ],
)
def test_rows_that_cannot_be_shown_are_refused(row: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(tool.BadRow, match=told):
        tool.load(_checkout(tmp_path, ROW, row))


def test_names_of_files_say_date_and_suite(tmp_path: Path) -> None:
    with pytest.raises(tool.BadRow, match=r"mine\.jsonl: the name"):
        tool.load(_checkout(tmp_path, ROW, name="mine.jsonl"))


def test_rows_that_a_run_left_are_not_shown(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path, ROW)
    for run in ("0123456789ab", "release 0.1.0"):
        (checkout / tool.RESULTS / f"2030-01-02-{run}.jsonl").write_text("half a ro")
    assert len(tool.load(checkout)) == 1


def test_rows_that_name_a_suite_stand_in_its_table(tmp_path: Path) -> None:
    rows = tool.load(_checkout(tmp_path, ROW, {**ROW, "schema": 1, "suite": "paillier"}))
    titles = [line for line in tool.page(rows).splitlines() if line.startswith("## ")]
    assert titles == ["## Machines", "## Paillier and Okamoto-Uchiyama", "## Kernel: hashing"]


def test_a_quote_takes_its_figures_from_its_row(tmp_path: Path) -> None:
    rows = tool.load(_checkout(tmp_path, ROW))
    share = "[counts](docs/10.md) <<percent(a.limit.percent)>>, <<largest(a.extra.sizes)>>"
    table = tool.quoted([{**QUOTE, "share": share}], rows, "en")
    assert table.splitlines()[2].split(" | ")[1:5] == [
        "2.00 k hashes/s",
        "",
        "**2.00x**",
        "[counts](docs/10.md) 50 %, 9.00",
    ]
    assert "[Some CPU, AVX-512](docs/performance.md#machine-1)" in table
    assert tool.quoted([QUOTE], rows, "zh").count("\n") == 1  # no words in Chinese: not in that table


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
    rows = tool.load(_checkout(tmp_path, ROW))
    with pytest.raises(tool.BadRow, match=told):
        tool.quoted([{**QUOTE, **changed}], rows, "en")


def test_markers_are_needed_once() -> None:
    with pytest.raises(tool.BadRow, match="once each"):
        tool.with_table(f"{tool.BEGIN}{tool.BEGIN}{tool.END}", "", Path("README.md"))
    done = tool.with_table(f"a\n{tool.BEGIN}\nold\n{tool.END}\nb\n", "new", Path("README.md"))
    assert done == f"a\n{tool.BEGIN}\nnew\n{tool.END}\nb\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0123456, "12.3 ms"), (1.2, "1.20 s"), (1234.5, "1230 s"), (2.5e-6, "2.50 µs"), (5e-9, "5.00 ns")],
)
def test_seconds_have_three_digits(value: float, told: str) -> None:
    assert tool.seconds(value) == told
