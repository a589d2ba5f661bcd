# SPDX-License-Identifier: Apache-2.0
"""The measured tables of pages: cells of benchmarks/quoted.toml, whose figures are expressions over committed rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.performance_rows import (
    PAGE,
    BadRow,
    Row,
    commit_link,
    link,
    machine_name,
    machines_of,
    percent,
    scaled,
    seconds,
    significant,
    spread,
    times,
)

QUOTED = Path("benchmarks/quoted.toml")
READMES = {"en": Path("README.md"), "zh": Path("README.zh.md")}
BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"
README_COLUMNS = {
    "en": ("what", "Crypsis", "peer", "ratio", "share of the limit"),
    "zh": ("测试项", "Crypsis", "对比对象", "倍数", "占硬件上限"),
}
WORDS = {
    "en": {"machine": "machine", "row": "row", "of": "row, commit", "forced": "forced"},
    "zh": {"machine": "机器", "row": "数据行", "of": "数据行、提交", "forced": "强制后端"},
}
MARKS = {
    "en": {"changed": "changed", "lost": "commit lost"},
    "zh": {"changed": "有未提交改动", "lost": "提交已不在历史中"},
}
_EXPRESSION = re.compile(r"<<(.+?)>>")
_TARGET = re.compile(r"\]\([^)]*\)")


class Fields:
    """A JSON object whose fields are attributes, so that a cell can say `a.extra.bytes_a_row`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __getitem__(self, name: str) -> Any:
        try:
            value = self.values[name]
        except KeyError:
            raise BadRow(f"no field {name!r} among {', '.join(self.values)}") from None
        return Fields(value) if isinstance(value, dict) else value


def marks(row: Row, lost: Sequence[str], language: str = "en") -> str:
    """What is to be known of a row's commit, after its link."""
    words = MARKS[language]
    found = [words["changed"]] if row.values["dirty"] else []
    found += [words["lost"]] if row.values["commit"] in lost else []
    return "".join(f" *{each}*" for each in found)


def _named(reference: str, rows: Mapping[tuple[str, int], Row]) -> Row:
    """`FILE#Ln NAME`: the row there, which must have that name."""
    match = re.fullmatch(r"(\S+)#L(\d+) (.+)", reference)
    row = rows.get((match[1], int(match[2]))) if match else None
    if match is None or row is None:
        raise BadRow(f"{QUOTED}: no row {reference!r}")
    if row.values["name"] != match[3]:
        raise BadRow(f"{QUOTED}: {match[1]}#L{match[2]} is {row.values['name']!r}, not {match[3]!r}")
    return row


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "count": scaled,  # of items a second, without the unit
    "seconds": seconds,
    "times": times,
    "ratio": lambda row, peer: times(row.peers[peer].ratio),
    "percent": percent,
    "spread": lambda row: spread(row.values),
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


class Tables:
    """Tables of `quotes`, what benchmarks/quoted.toml holds, over `rows`."""

    def __init__(self, quotes: Mapping[str, Any], rows: Sequence[Row]) -> None:
        self._quotes = quotes
        self._rows = {(row.file, row.line): row for row in rows}
        self._numbers = machines_of(rows)
        self._lost: Sequence[str] = quotes.get("lost_commits", ())

    def pages(self) -> dict[Path, str]:
        """The table of each page that has one."""
        made = {page: self.readme(language) for language, page in READMES.items()}
        for table in self._quotes.get("table", ()):
            page = Path(table["page"])
            if page in made:
                raise BadRow(f"{QUOTED}: {page} has two tables: a page has one")
            made[page] = self.of_page(table)
        return made

    def readme(self, language: str) -> str:
        """The table in `language`: the quotes that have their words in it.

        A quote has `what`, and `crypsis`, `peer`, `ratio`, `share` where there is something to say (with `_zh` in
        Chinese, where words differ), and `rows`, a name for each row. `crypsis`, `ratio` and `share` may hold no digit
        outside of an expression or a link's target.
        """
        suffix = "" if language == "en" else f"_{language}"
        lines = _header(README_COLUMNS[language], language)
        for quote in self._quotes["quote"]:
            if f"what{suffix}" in quote:
                cells = {
                    part: quote.get(part + suffix, quote.get(part, ""))
                    for part in ("what", "crypsis", "peer", "ratio", "share")
                }
                lines.append(self._line(cells, {"what", "peer"}, quote["rows"], READMES[language], language))
        return "\n".join(lines)

    def of_page(self, table: Mapping[str, Any]) -> str:
        """`columns` and, for each of `line`, `cells` and `rows`; of the first cell alone digits may be typed."""
        columns = table["columns"]
        lines = _header(columns, "en")
        for line in table["line"]:
            if len(line["cells"]) != len(columns):
                raise BadRow(
                    f"{QUOTED}: {table['page']}: {line['cells'][0]}: {len(line['cells'])} cells for"
                    f" {len(columns)} columns"
                )
            cells = {str(i): text for i, text in enumerate(line["cells"])}
            lines.append(self._line(cells, {"0"}, line["rows"], Path(table["page"]), "en"))
        return "\n".join(lines)

    def _line(
        self, cells: Mapping[str, str], free: set[str], rows: Mapping[str, str], page: Path, language: str
    ) -> str:
        """One line, with where its figures are from. Cells that are not `free` hold figures, and no typed one."""
        where = next(iter(cells.values()))
        names = {name: _named(reference, self._rows) for name, reference in rows.items()}
        filled = []
        for part, template in cells.items():
            typed = re.search(r"\d", _TARGET.sub("", _EXPRESSION.sub("", template)))
            if part not in free and typed:
                raise BadRow(f"{QUOTED}: {where}: a figure in {part!r} is typed by hand: {template}")
            filled.append(_fill(template, names, where))
        words = WORDS[language]
        machines = {
            link(machine_name(row.machine, language), f"{PAGE}#machine-{self._numbers[row.machine]}", page)
            + (f" ({words['forced']}: `{row.forced}`)" if row.forced else "")
            for row in names.values()
        }
        filled.append("; ".join(sorted(machines)))
        filled.append(
            "; ".join(
                f"{link(words['row'], row.place, page)}, {commit_link(row, page, 7)}"
                + marks(row, self._lost, language)
                for row in names.values()
            )
        )
        return "| " + " | ".join(filled) + " |"


def _header(columns: Sequence[str], language: str) -> list[str]:
    titles = [*columns, WORDS[language]["machine"], WORDS[language]["of"]]
    return ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]


def with_table(text: str, table: str, name: Path) -> str:
    """The page with the table between its markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BadRow(f"{name}: needs {BEGIN} and {END}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"
