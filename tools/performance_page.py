#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write docs/performance.md, and the measured tables of other pages, from benchmarks/results/*.jsonl.

    python3 tools/performance_page.py            writes what changed
    python3 tools/performance_page.py --check    writes nothing; exit code 1 and the names of pages that are stale

Nobody types a figure: docs/performance.md has every committed row, and the tables of the READMEs and of other pages are
made of the cells in benchmarks/quoted.toml (performance_tables.py says how). Standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from tools.performance_rows import (  # noqa: E402
    PAGE,
    BadRow,
    Machine,
    Row,
    commit_link,
    cpu_name,
    link,
    load,
    machines_of,
    percent,
    rate,
    scaled,
    seconds,
    share,
    spread,
    times,
)
from tools.performance_tables import QUOTED, Tables, marks, with_table  # noqa: E402

# The suites in the order of a reader's interest; one that is not here comes after these, under its own name.
SUITES = {
    "vole-psi": "VOLE-PSI",
    "psi": "ECDH-PSI, and whole jobs",
    "linear-models": "Vertical linear models",
    "boosting": "Vertical gradient boosting",
    "paillier": "Paillier and Okamoto-Uchiyama",
    "phe": "python-paillier's interface",
    "ckks": "CKKS",
    "ot": "Oblivious transfer",
    "silent-ot": "Silent OT and VOLE",
    "curve25519": "Kernel: curve25519",
    "hashing": "Kernel: hashing",
    "bigint": "Kernel: bigint",
    "aes": "Kernel: aes",
    "bitmatrix": "Kernel: bitmatrix",
    "ntt": "Kernel: ntt",
    "kernels": "Kernels (crypsis bench)",
    "train": "Training (crypsis bench)",
}
INTRODUCTION = """\
<!-- Made by tools/performance_page.py from benchmarks/results/*.jsonl. Do not edit: change the rows, or the tool. -->

# Performance

Every committed measurement; where one was repeated, the newest last. How they are made:
[benchmarks/README.md](../benchmarks/README.md). Answers are compared before a clock starts, peers are timed in turns
with us in the same run, and a ratio above 1 means that Crypsis is faster. Compare ratios across machines, not rates.

- A **result** links its row: a line of JSON with the versions of all libraries, and more than fits here. All figures of
  a line of the table are of that row.
- The **spread** is what another run may differ by, as a share, and of how many rounds: half the distance between the
  quartiles, or what the median of any pass over the cases is off by, whichever is more. Older rows have the quartiles.
- The **limit** column has the share of what the hardware could do at most, measured or counted as the note says.
- **Machine** and **commit** link what is known of them. *changed* means that there were changes on top of the commit,
  *commit lost* that it was rewritten before it was merged: such figures wait to be measured again.
- Machines stand beside each other, those without AVX-512 too ([how to add one](bench.md#rows-of-another-machine)).
  Backends (`portable`, `avx2`, ...) of a kernel do so as well, which shows what such a CPU would run, at the clock of
  the machine that the row names. *forced*: CRYPSIS_BACKEND kept the machine from what it would have chosen.
"""


def machine_lines(rows: Sequence[Row]) -> list[str]:
    lines = ["", "## Machines"]
    for (cpu, architecture, flags), number in machines_of(rows).items():
        own = [row for row in rows if row.machine == (cpu, architecture, flags)]
        pythons = sorted({row.values["python"] for row in own})
        with_512 = "with AVX-512" if "avx512f" in flags else "**without AVX-512**"
        lines += [
            "",
            f"### Machine {number}",
            "",
            f"{cpu_name(cpu)}, {architecture}, {with_512}: {', '.join(flags)}. Python {', '.join(pythons)};"
            f" {_count(own)} {_days(own)}.",
        ]
    return lines


def commit_lines(rows: Sequence[Row], lost: Sequence[str]) -> list[str]:
    """A part for each commit, by the days on which they were measured."""
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.values["date"]):
        first.setdefault(row.values["commit"], row.values["date"])
    lines = ["", "## Commits", "", "In a clone, `git show COMMIT` tells what was measured."]
    for commit in first:
        own = [row for row in rows if row.values["commit"] == commit]
        suites = sorted({SUITES.get(row.suite, row.suite) for row in own})
        changed = sum(row.values["dirty"] for row in own)
        words = f"{_count(own)} {_days(own)}: {', '.join(suites)}."
        if changed:
            words += f" With changes on top of it: {changed}."
        if commit in lost:
            words += " It was rewritten before it was merged, so that no clone has it: to be measured again."
        lines += ["", f"### Commit {commit}", "", words]
    return lines


def _count(rows: Sequence[Row]) -> str:
    return f"{len(rows)} row" + ("s" if len(rows) > 1 else "")


def _days(rows: Sequence[Row]) -> str:
    dates = sorted({row.values["date"][:10] for row in rows})
    return f"of {dates[0]}" if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"


def _machine(row: Row, number: int) -> str:
    """The number of its machine, with what a reader must not miss."""
    words = str(number) if "avx512f" in row.values["cpu_flags"] else f"{number}, no AVX-512"
    return link(words, f"{PAGE}#machine-{number}", PAGE) + (f" forced `{row.forced}`" if row.forced else "")


def _beside(peer: Mapping[str, Any]) -> str:
    return times(peer["ratio"]) + (f" {share(peer['ratio_spread'])}" if "ratio_spread" in peer else "")


def suite_lines(
    title: str, rows: Sequence[Row], numbers: Mapping[Machine, int], lost: Sequence[str]
) -> list[str]:
    """One table: measurements in the order of their first rows, those of one name beside each other."""
    first: dict[str, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(row.values["name"], index)
    limits: dict[str, int] = {}
    lines = [
        "",
        f"## {title}",
        "",
        "| what | items | result | spread | beside peers | limit | machine | commit |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: (first[row.values["name"]], row.values["items"])):
        values = row.values
        peers = ", ".join(f"{cell(name)} {_beside(peer)}" for name, peer in values["peers"].items())
        part = ""
        if limit := values.get("limit"):
            note = limits.setdefault(limit["what"], len(limits) + 1)
            part = f"{percent(limit['percent'])} ({note})"
        cells = [
            cell(values["name"]),
            scaled(values["items"]).strip(),
            link(f"{rate(row)}, {seconds(values['seconds_median'])}", row.place, PAGE),
            spread(values),
            peers,
            part,
            _machine(row, numbers[row.machine]),
            commit_link(row, PAGE) + marks(row, lost),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if limits:
        lines += ["", "Limits:", ""]
        lines += [f"{number}. {text(what)}" for what, number in limits.items()]
    return lines


def text(words: str) -> str:
    """As it is, in Markdown."""
    return re.sub(r"([*_<>\[\]`])", r"\\\1", words)


def cell(words: str) -> str:
    """As it is, in a cell of a table."""
    return text(words).replace("|", "\\|")


def page(rows: Sequence[Row], lost: Sequence[str] = ()) -> str:
    suites = sorted(
        {row.suite for row in rows},
        key=lambda suite: (list(SUITES).index(suite) if suite in SUITES else len(SUITES), suite),
    )
    numbers = machines_of(rows)
    lines = [INTRODUCTION.rstrip("\n"), *machine_lines(rows)]
    for suite in suites:
        title = SUITES.get(suite, suite)
        lines += suite_lines(title, [row for row in rows if row.suite == suite], numbers, lost)
    return "\n".join([*lines, *commit_lines(rows, lost)]) + "\n"


# --- the command -----------------------------------------------------------------------------------------------------


def quotes(root: Path) -> dict[str, Any]:
    """What benchmarks/quoted.toml says."""
    return tomllib.loads((root / QUOTED).read_text(encoding="utf-8"))


def made(root: Path = ROOT) -> dict[Path, str]:
    """What each page should hold."""
    rows, told = load(root), quotes(root)
    pages = {PAGE: page(rows, told.get("lost_commits", ()))}
    for name, table in Tables(told, rows).pages().items():
        pages[name] = with_table((root / name).read_text(encoding="utf-8"), table, name)
    return pages


def stale(root: Path = ROOT) -> list[Path]:
    """The pages that do not hold what the rows say."""
    return [name for name, words in made(root).items() if not _holds(root / name, words)]


def _holds(path: Path, words: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == words


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args(arguments).check
    try:
        pages = made()
    except BadRow as error:
        print(f"performance_page: {error}", file=sys.stderr)
        return 1
    old = [name for name, words in pages.items() if not _holds(ROOT / name, words)]
    for name in old:
        if check:
            print(f"{name} is stale: run python3 tools/performance_page.py", file=sys.stderr)
        else:
            (ROOT / name).write_text(pages[name], encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
