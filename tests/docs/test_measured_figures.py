# SPDX-License-Identifier: Apache-2.0
"""Every figure of speed on a page is of a committed row, and leads to it, its commit and its machine.

Read from the pages as they are, by other means than those that wrote them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .pages import PAGES, ROOT, name_of, prose

PERFORMANCE = ROOT / "docs" / "performance.md"
_BLOCK = re.compile(r"<!-- measured:begin -->\n(.*?)<!-- measured:end -->", re.DOTALL)
MEASURED = [page for page in PAGES if _BLOCK.search(page.read_text(encoding="utf-8"))]
_PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _lines(page: Path) -> list[list[str]]:
    """The cells of each line of the page's measured tables, without their headings."""
    text = page.read_text(encoding="utf-8")
    table = text if page == PERFORMANCE else "".join(_BLOCK.findall(text))
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [_cells(lines[i]) for i in range(len(lines)) if not _heads(lines, i)]


def _heads(lines: list[str], i: int) -> bool:
    return lines[i].startswith("|---") or (i + 1 < len(lines) and lines[i + 1].startswith("|---"))


def _rows(page: Path, text: str) -> list[dict[str, Any]]:
    """The rows that links in `text` lead to."""
    found = []
    for path, line in re.findall(r"\]\(([^)]+\.jsonl)#L(\d+)\)", text):
        file = (page.parent / path).resolve()
        assert file.parent == ROOT / "benchmarks" / "results"
        found.append(json.loads(file.read_text(encoding="utf-8").splitlines()[int(line) - 1]))
    return found


def _section(page: Path, text: str, kind: str) -> list[str]:
    """The performance page's parts of a `kind`, machine or commit, that links in `text` lead to: heading and text."""
    parts = re.split(r"^### ", PERFORMANCE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    told = {part.split("\n")[0].lower().replace(" ", "-"): part.split("\n## ")[0] for part in parts}
    found = []
    for path, anchor in re.findall(rf"\]\(([^)#]*)#({kind}-[\w-]+)\)", text):
        assert (page.parent / path if path else page).resolve() == PERFORMANCE
        found.append(told[anchor])
    return found


@pytest.mark.parametrize("page", [PERFORMANCE, *MEASURED], ids=name_of)
def test_each_line_leads_to_its_rows_commits_and_machines(page: Path) -> None:
    lines = _lines(page)
    assert lines
    for cells in lines:
        line = " | ".join(cells)
        rows = _rows(page, line)
        commits, machines = (_section(page, line, kind) for kind in ("commit", "machine"))
        assert rows, line
        assert [part.split("\n")[0] for part in commits] == [f"Commit {row['commit']}" for row in rows], line
        assert line.count("*changed*") + line.count("*有未提交改动*") == sum(row["dirty"] for row in rows), (
            line
        )
        for row in rows:
            cpu = re.sub(r"\s+", " ", row["cpu"].replace("(R)", "").replace("(TM)", "")).strip()
            what = f"{cpu}, {row['machine']}, "
            assert any(what in part and f": {', '.join(row['cpu_flags'])}." in part for part in machines), (
                line
            )


def test_the_page_has_every_committed_row_once() -> None:
    linked = re.findall(r"results/([^)]+\.jsonl)#L(\d+)\)", PERFORMANCE.read_text(encoding="utf-8"))
    committed = [
        (path.name, str(number))
        for path in (ROOT / "benchmarks" / "results").glob("*.jsonl")
        if not re.search(r"-[0-9a-f]{12,40}\.jsonl$|release ", path.name)
        for number, _ in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]
    assert sorted(linked) == sorted(committed)


def test_figures_of_the_page_are_those_of_the_row_that_they_link() -> None:
    for name, items, result, spread, peers, share, *_ in _lines(PERFORMANCE):
        (row,) = _rows(PERFORMANCE, result)
        assert name.replace("\\", "") == row["name"]
        number, prefix = re.match(r"([\d.]+) ?([kMG]?)", items).groups()  # type: ignore[union-attr]
        assert float(number) * _PREFIX[prefix] == pytest.approx(row["items"], rel=0.006)
        told = re.match(r"\[([\d.]+) ?([kMG]?)[ B].*/s, ([\d.]+) (\w+)\]", result)
        assert told is not None, result
        assert float(told[1]) * _PREFIX[told[2]] == pytest.approx(row["per_second"], rel=0.006)
        assert float(told[3]) * _SECONDS[told[4]] == pytest.approx(row["seconds_median"], rel=0.006)
        ratios = [float(ratio) for ratio in re.findall(r"([\d.]+)x\b", peers)]
        assert ratios == pytest.approx([peer["ratio"] for peer in row["peers"].values()], rel=0.006)
        if "limit" in row:
            assert float(share.split(" %")[0]) == pytest.approx(row["limit"]["percent"], rel=0.06)
        if row["rounds"] > 1:
            percent, rounds = map(float, re.findall(r"[\d.]+", spread))
            assert rounds == row["rounds"]
            told_spread = row.get("spread", row["seconds_iqr"] / row["seconds_median"] / 2)
            assert percent == pytest.approx(100 * told_spread, abs=0.051)
        else:
            assert spread == "one round"


# --- no page has typed figures ---------------------------------------------------------------------------------------

_FIGURE = re.compile(
    r"""
      \d\ ?(?:x|×)\ (?:faster|slower|as\b)            # 3x faster
    | \d\ times\ (?:faster|slower|as\ (?:fast|slow))  # 3 times as fast
    | \d\ (?:倍|次/秒)
    | \d\ ?(?![kMG]?bit/s)(?:[kMG]\ ?)?(?:[KMG]i?B|[a-z]+)?/s\b  # 3 GB/s, 20,000/s, but a line's 3 Mbit/s
    | \d\ (?:ns|us|µs|ms|(?:nano|micro|milli)seconds?)\ (?:a|an|each|per)\b  # 3 us a row
    | \d\ (?:k\ |M\ |million\ |billion\ )?[\w-]+(?:\ [\w-]+)?\ (?:a|per)\ second\b  # 3 million entries a second
    | (?:in|takes?|took|some|about)\ (?:[\d.,]+)\ (?:ns|us|µs|ms|(?:micro|milli)seconds?)\b
    """,
    re.VERBOSE,
)
_EXAMPLE = re.compile(r'"[^"]{1,90}"')
"""What a program prints: "AES: two blocks a leaf, 2 blocks at 1.64e+09/s"."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_figure_of_speed_is_typed(page: Path) -> None:
    if page == PERFORMANCE:
        return
    text = _BLOCK.sub("", prose(page))
    text = re.sub(r"<!-- table of .*?<!-- end of the table -->", "", text, flags=re.DOTALL)
    flat = _EXAMPLE.sub("", " ".join(text.split()))
    found = [flat[max(0, m.start() - 40) : m.end() + 30] for m in _FIGURE.finditer(flat)]
    assert found == [], "measure it (benchmarks/quoted.toml), or take it out"


@pytest.mark.parametrize(
    "words",
    [
        "is 3x faster than",
        "12 times as fast as",
        "at 20,000/s each",
        "0.4 GB/s over TLS",
        "some 11 us of one core",
        "8 us a row",
        "1.9 million entries a second",
        "30,000 messages a second",
        "takes 250 microseconds",
    ],
)
def test_typed_figures_are_found(words: str) -> None:
    assert _FIGURE.search(words)
