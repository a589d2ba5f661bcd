#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write docs/performance.md, and the measured tables of README.md and README.zh.md, from benchmarks/results/*.jsonl.

    python3 tools/performance_page.py            writes what changed
    python3 tools/performance_page.py --check    writes nothing; exit code 1 and the names of pages that are stale

Nobody types a figure: the page has every committed row, and the tables of the READMEs are made of the cells in
benchmarks/quoted.toml, whose figures are expressions over rows (`quoted` says how). Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("benchmarks/results")
_OF_A_RUN = re.compile(r"\d{4}-\d\d-\d\d-(?:[0-9a-f]{12,40}|release .*)\.jsonl")
"""What `make bench` writes here, by commit or (without git) release, and git ignores: rows that are quoted are
committed under the name of a subject."""
QUOTED = Path("benchmarks/quoted.toml")
PAGE = Path("docs/performance.md")
READMES = {"en": Path("README.md"), "zh": Path("README.zh.md")}
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
# A row without the field is of the first version.
SCHEMA_VERSIONS = {1}
NEEDED = ("name", "items", "unit", "rounds", "seconds_median", "seconds_iqr", "per_second", "peers", "extra")
NEEDED_ENVIRONMENT = ("date", "commit", "dirty", "cpu", "cpu_flags", "machine", "python")
FILE = re.compile(r"^\d{4}-\d\d-\d\d-(?P<suite>[\w-]+)\.jsonl$")
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
HEADERS = {
    "en": "| what | Crypsis | peer | ratio | share of the limit | machine | row |",
    "zh": "| 测试项 | Crypsis | 对比对象 | 倍数 | 占硬件上限 | 机器 | 数据行 |",
}


class BadRow(ValueError):
    """A row, or a cell that quotes one, that cannot be shown; the message names file and line."""


class Fields:
    """A JSON object whose fields are attributes, so that a cell can say `a.extra.bytes_a_row`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __getitem__(self, name: str) -> Any:
        try:
            value = self._values[name]
        except KeyError:
            raise BadRow(f"no field {name!r} among {', '.join(self._values)}") from None
        return Fields(value) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Row:
    """One measurement and where it stands."""

    file: str
    line: int
    values: Mapping[str, Any]

    @property
    def suite(self) -> str:
        """As the row says, or else its file's name."""
        match = FILE.match(self.file)
        assert match is not None
        return str(self.values.get("suite", match["suite"]))

    @property
    def machine(self) -> tuple[str, str, tuple[str, ...]]:
        return self.values["cpu"], self.values["machine"], tuple(self.values["cpu_flags"])

    def link(self, text: str, base: str = "") -> str:
        return f"[{text}]({base}{RESULTS.as_posix()}/{self.file}#L{self.line})"


def load(root: Path = ROOT) -> list[Row]:
    """Every committed row, file by file. BadRow where one is no JSON, lacks a field or is of another version."""
    rows = []
    for path in sorted((root / RESULTS).glob("*.jsonl")):
        if _OF_A_RUN.fullmatch(path.name):
            continue
        if not FILE.match(path.name):
            raise BadRow(f"{path.name}: the name is not <date>-<suite>.jsonl")
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path.name}:{number}"
            try:
                values = json.loads(text)
            except ValueError as error:
                raise BadRow(f"{where}: not JSON: {error}") from None
            if not isinstance(values, dict):
                raise BadRow(f"{where}: not an object")
            version = values.get("schema", 1)
            if version not in SCHEMA_VERSIONS:
                raise BadRow(
                    f"{where}: schema version {version!r}; this tool knows {sorted(SCHEMA_VERSIONS)}"
                )
            if lacking := [name for name in (*NEEDED, *NEEDED_ENVIRONMENT) if name not in values]:
                raise BadRow(f"{where}: lacks {', '.join(lacking)}")
            rows.append(Row(path.name, number, values))
    return rows


# --- figures as text -------------------------------------------------------------------------------------------------


def significant(value: float, digits: int = 3) -> str:
    """Three digits, never in scientific notation: 0.0123, 1.20, 132, 1230."""
    text = f"{value:#.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text.rstrip(".")


def scaled(value: float) -> str:
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor * 0.9995:
            return significant(value / factor) + suffix
    return significant(value)


def seconds(value: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= factor:
            return f"{significant(value / factor)} {unit}"
    return f"{significant(value / 1e-9)} ns"


def times(value: float) -> str:
    """A ratio; bold where we are faster by more than the last digit."""
    text = f"{value:.0f}x" if value >= 99.5 else f"{significant(value)}x"
    return f"**{text}**" if value >= 1.05 else text


def percent(value: float) -> str:
    return f"{significant(value, 2)} %" if value < 99.5 else f"{value:.0f} %"


def spread(row: Row) -> str:
    rounds = row.values["rounds"]
    if rounds < 2:
        return "one round"
    return f"±{100 * row.values['seconds_iqr'] / row.values['seconds_median']:.0f} % of {rounds}"


def rate(row: Row) -> str:
    unit = row.values["unit"]
    per_second = scaled(row.values["per_second"])
    return f"{per_second}B/s" if unit == "bytes" and per_second[-1] in "kMG" else f"{per_second} {unit}/s"


# --- docs/performance.md ---------------------------------------------------------------------------------------------

INTRODUCTION = """\
<!-- Made by tools/performance_page.py from benchmarks/results/*.jsonl. Do not edit: change the rows, or the tool. -->

# Performance

Every committed measurement; where one was repeated, the newest last. How they are made:
[benchmarks/README.md](../benchmarks/README.md). Answers are compared before a clock starts, peers are timed in turns
with us in the same run, and a ratio above 1 means that Crypsis is faster. Compare ratios across machines, not rates.

- A **result** links its row: a line of JSON with the versions of all libraries, and more than fits here.
- The **spread** is the distance between the quartiles, as a share of the median, and of how many rounds.
- The **limit** column has the share of what the hardware could do at most, measured or counted as the note says.
- *changed* beside a **commit** means that there were changes on top of it: such figures wait to be measured again.
- Backends (`portable`, `avx2`, ...) of a kernel stand beside each other, so this also shows what a CPU without AVX-512
  would run, at the clock of the machine that the row names.
"""


def machines_of(rows: Iterable[Row]) -> dict[tuple[str, str, tuple[str, ...]], int]:
    """A number for each machine, in the order in which they appear."""
    numbers: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for row in rows:
        numbers.setdefault(row.machine, len(numbers) + 1)
    return numbers


def cpu_name(cpu: str) -> str:
    return re.sub(r"\s+", " ", cpu.replace("(R)", "").replace("(TM)", "")).strip()


def machine_name(machine: tuple[str, str, tuple[str, ...]], language: str) -> str:
    """Short: the processor, and what of AVX-512 it has."""
    cpu, _, flags = machine
    none = {"en": "no AVX-512", "zh": "无 AVX-512"}[language]
    wide = "AVX-512 IFMA" if "avx512ifma" in flags else "AVX-512" if "avx512f" in flags else none
    return f"{cpu_name(cpu).removesuffix(' Processor')}, {wide}"


def machine_lines(rows: list[Row]) -> list[str]:
    lines = ["", "## Machines"]
    for (cpu, architecture, flags), number in machines_of(rows).items():
        own = [row for row in rows if row.machine == (cpu, architecture, flags)]
        pythons = sorted({row.values["python"] for row in own})
        dates = sorted(row.values["date"][:10] for row in own)
        with_512 = "with AVX-512" if "avx512f" in flags else "**without AVX-512**"
        lines += [
            "",
            f"### Machine {number}",
            "",
            f"{cpu_name(cpu)}, {architecture}, {with_512}: {', '.join(flags)}. Python {', '.join(pythons)};"
            f" {len(own)} rows from {dates[0]} to {dates[-1]}.",
        ]
    return lines


def suite_lines(title: str, rows: list[Row], numbers: Mapping[Any, int]) -> list[str]:
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
    for row in sorted(rows, key=lambda row: first[row.values["name"]]):
        values = row.values
        peers = ", ".join(f"{cell(name)} {times(peer['ratio'])}" for name, peer in values["peers"].items())
        share = ""
        if limit := values.get("limit"):
            note = limits.setdefault(limit["what"], len(limits) + 1)
            share = f"{percent(limit['percent'])} ({note})"
        number = numbers[row.machine]
        result = f"{rate(row)}, {seconds(values['seconds_median'])}"
        commit = f"`{values['commit']}`" + (" *changed*" if values["dirty"] else "")
        name = cell(values["name"])
        cells = [name, scaled(values["items"]).strip(), row.link(result, "../"), spread(row), peers, share]
        lines.append("| " + " | ".join([*cells, f"[{number}](#machine-{number})", commit]) + " |")
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


def page(rows: list[Row]) -> str:
    suites = sorted(
        {row.suite for row in rows},
        key=lambda suite: (list(SUITES).index(suite) if suite in SUITES else len(SUITES), suite),
    )
    numbers = machines_of(rows)
    lines = [INTRODUCTION.rstrip("\n"), *machine_lines(rows)]
    for suite in suites:
        title = SUITES.get(suite, suite)
        lines += suite_lines(title, [row for row in rows if row.suite == suite], numbers)
    return "\n".join(lines) + "\n"


# --- the tables of the READMEs ---------------------------------------------------------------------------------------

_EXPRESSION = re.compile(r"<<(.+?)>>")
_TARGET = re.compile(r"\]\([^)]*\)")


def _named(reference: str, rows: Mapping[tuple[str, int], Row]) -> Row:
    """`FILE#Ln NAME`: the row there, which must have that name."""
    match = re.fullmatch(r"(\S+)#L(\d+) (.+)", reference)
    row = rows.get((match[1], int(match[2]))) if match else None
    if match is None or row is None:
        raise BadRow(f"{QUOTED}: no row {reference!r}")
    if row.values["name"] != match[3]:
        raise BadRow(f"{QUOTED}: {match[1]}#L{match[2]} is {row.values['name']!r}, not {match[3]!r}")
    return row


def _ratio(row: Fields, peer: str) -> str:
    return times(row.peers[peer].ratio)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "count": scaled,  # of items a second, without the unit
    "seconds": seconds,
    "times": times,
    "ratio": _ratio,
    "percent": percent,
    "fixed": lambda value, digits: f"{value:.{digits}f}",
    "mb": lambda value: f"{value / 1e6:.0f} MB",
    "fastest": lambda row, *peers: times(min(row.peers[peer].ratio for peer in peers)),
    "largest": lambda values: max(x for each in values for x in (each if isinstance(each, list) else [each])),
}


def _fill(template: str, names: Mapping[str, Row], where: str) -> str:
    """The cell, with `<<expression>>` for figures: over the fields of its rows, with FUNCTIONS."""
    known = {name: Fields(row.values) for name, row in names.items()}

    def value(match: re.Match[str]) -> str:
        try:
            result = eval(match[1], {"__builtins__": {}}, {**FUNCTIONS, **known})
        except Exception as error:
            raise BadRow(f"{QUOTED}: {where}: {match[1]}: {error}") from error
        return result if isinstance(result, str) else significant(result)

    return _EXPRESSION.sub(value, template)


def quoted(quotes: list[dict[str, Any]], rows: list[Row], language: str) -> str:
    """The measured table in `language`: the quotes that have their words in it.

    A quote has `what`, and `crypsis`, `peer`, `ratio`, `share` where there is something to say (with `_zh` in Chinese,
    where words differ), and `rows`, a name for each row. `crypsis`, `ratio` and `share` may hold no digit outside of
    an expression or a link's target.
    """
    by_place = {(row.file, row.line): row for row in rows}
    numbers = machines_of(rows)
    lines = [HEADERS[language], "|---|---|---|---|---|---|---|"]
    for quote in quotes:
        suffix = "" if language == "en" else f"_{language}"
        if f"what{suffix}" not in quote:
            continue
        where = quote["what"]
        names = {name: _named(reference, by_place) for name, reference in quote["rows"].items()}
        cells = []
        for part in ("what", "crypsis", "peer", "ratio", "share"):
            template = quote.get(part + suffix, quote.get(part, ""))
            typed = re.search(r"\d", _TARGET.sub("", _EXPRESSION.sub("", template)))
            if part in ("crypsis", "ratio", "share") and typed:
                raise BadRow(f"{QUOTED}: {where}: a figure in {part!r} is typed by hand: {template}")
            cells.append(_fill(template, names, where))
        used = sorted({(numbers[row.machine], row.machine) for row in names.values()})
        changed = {"en": "changed", "zh": "有未提交改动"}[language]
        cells.append(
            "; ".join(f"[{machine_name(m, language)}]({PAGE.as_posix()}#machine-{n})" for n, m in used)
        )
        cells.append(
            ", ".join(
                row.link(f"`{row.values['commit'][:7]}`") + (f" *{changed}*" if row.values["dirty"] else "")
                for row in names.values()
            )
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_table(readme: str, table: str, name: Path) -> str:
    """The README with the table between its markers."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise BadRow(f"{name}: needs {BEGIN} and {END}, once each")
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


# --- the command -----------------------------------------------------------------------------------------------------


def made(root: Path = ROOT) -> dict[Path, str]:
    """What each page should hold."""
    rows = load(root)
    quotes = tomllib.loads((root / QUOTED).read_text(encoding="utf-8"))["quote"]
    pages = {PAGE: page(rows)}
    for language, name in READMES.items():
        readme = (root / name).read_text(encoding="utf-8")
        pages[name] = with_table(readme, quoted(quotes, rows, language), name)
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
