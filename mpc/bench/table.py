# SPDX-License-Identifier: Apache-2.0
"""Results for a person, by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from crypsis.mpc.bench.compare import Change
from crypsis.mpc.bench.rows import scaled, spread_as_text

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]


def console() -> Console:
    """Of stdout; wide where nobody's terminal says how wide."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(width=160, highlight=False)


def ratios(row: Row) -> str:
    """How many times faster than each peer."""
    return ", ".join(
        f"{told['ratio']:.3g}x"
        + (f" ±{100 * told['ratio_spread']:.1f} %" if "ratio_spread" in told else "")
        + f" {peer}"
        for peer, told in row["peers"].items()
    )


def share(row: Row) -> str:
    """Of the limit, and which limit."""
    limit = row.get("limit")
    return "" if limit is None else f"{limit['percent']:.0f} % of {limit['what'].partition(':')[0]}"


def plain(text: object) -> str:
    """Of a file that others may have made: nothing that moves a terminal's cursor gets through."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def results(rows: Iterable[Row]) -> Any:
    """The table: a line a row, a rule between suites."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("case", overflow="fold")
    table.add_column("a second", justify="right", overflow="fold")
    table.add_column("spread", justify="right")
    table.add_column("times faster than", overflow="fold")
    table.add_column("share of the limit", overflow="fold")
    before = None
    for row in rows:
        if before is not None and row.get("suite") != before:
            table.add_section()
        before = row.get("suite")
        cells = (
            row["name"],
            f"{scaled(row['per_second'])} {row['unit']}",
            spread_as_text(row),
            ratios(row),
            share(row),
        )
        table.add_row(*map(Text, cells))
    return table


def changes(found: Iterable[Change]) -> Any:
    """The table of `compare`."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("case", overflow="fold")
    for name in ("A, a second", "B, a second", "change", "noise"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in found:
        cells = (
            plain(one.name),
            scaled(one.before),
            scaled(one.after),
            f"{100 * one.change:+.1f} %",
            f"±{100 * one.noise:.1f} %",
            one.verdict,
        )
        table.add_row(*map(Text, cells))
    return table


def jobs(rows: Iterable[Row]) -> Any:
    """The table of `scale`: a line a job."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("varied", overflow="fold")
    for name in ("rows", "threads", "seconds", "spread", "rows a second", "bytes a row"):
        table.add_column(name, justify="right")
    for row in rows:
        extra = row["extra"]
        cells = (
            f"{extra['axis']} {extra['at']}",
            f"{row['items']:,}",
            str(extra["threads"]),
            f"{row['seconds_median']:.2f}",
            spread_as_text(row),
            scaled(row["per_second"]),
            f"{sum(extra['payload_bytes']) / row['items']:.1f}",
        )
        table.add_row(*map(Text, cells))
    return table
