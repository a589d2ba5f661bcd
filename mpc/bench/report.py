# SPDX-License-Identifier: Apache-2.0
"""Rows as one HTML page: bars against peers, share of the limit, scaling, and every row with its commit and machine.

No scripts, nothing loaded from elsewhere; texts of the rows are taken as text, whatever they hold. The same rows give
the same page (with the same matplotlib).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crypsis.mpc.bench import plots, table
from crypsis.mpc.bench.rows import AXES, machine_of, scaled, spread_as_text
from crypsis.mpc.bench.scale import fit_of
from crypsis.mpc.learning.evaluation import report_html as h

Row = Mapping[str, Any]
_ORDER = ("kernels", "paillier", "ckks", "ot", "psi", "train", "scale")
TITLE = "Crypsis: what was measured"


def suite_of(row: Row) -> str:
    """Its suite; of rows that name none, what their name begins with."""
    return str(row.get("suite") or str(row["name"]).partition("/")[0])


def newest(rows: Sequence[Row]) -> list[Row]:
    """The last of the rows of one case on one machine."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: str(row["date"])):
        found.pop((row["name"], row["items"], machine_of(row)), None)
        found[row["name"], row["items"], machine_of(row)] = row
    return list(found.values())


def render(rows: Sequence[Row]) -> str:
    """The page. Raises BackendUnavailable where matplotlib is not installed, ValueError for no rows."""
    if not rows:
        raise ValueError("there are no rows to show")
    shown = newest(rows)
    machines = list(dict.fromkeys(machine_of(row) for row in shown))
    suites: dict[str, list[Row]] = {}
    for row in shown:
        suites.setdefault(suite_of(row), []).append(row)
    known = [name for name in _ORDER if name in suites]
    order = [*known, *sorted(set(suites) - set(known))]
    contents, sections = [], []
    for i, name in enumerate(order):
        anchor = f"suite-{i}"
        contents.append((anchor, name))
        made = _scaling(suites[name], machines) if name == "scale" else _suite(name, suites[name], machines)
        sections.append(h.section(anchor, name, *made, *_tables(name, suites[name], machines)))
    contents.append(("machines", "machines"))
    sections.append(h.section("machines", "machines", _machines(shown, machines)))
    dates = sorted(str(row["date"]) for row in shown)
    facts = (_count(shown, "row"), f"{dates[0]} to {dates[-1]}", _count(machines, "machine"))
    head = h.Markup('<ul class="facts">' + "".join(f"<li>{h.text(fact)}</li>" for fact in facts) + "</ul>")
    foot = (
        "Ratios are of the same run, round by round; figures of different machines are not compared. Written by"
        " `crypsis bench report`."
    )
    return h.page(TITLE, head, contents, h.join(sections), foot)


def _suite(name: str, rows: Sequence[Row], machines: Sequence[str]) -> list[h.Markup]:
    made = []
    beside = plots.peers_plot(rows, machines)
    if beside is not None:
        caption = "Median over the rounds of its time over ours; hatched where the peer is faster."
        made.append(h.figure(f"{name}: beside peers", beside, caption))
    limits = plots.limits_plot(rows, machines)
    if limits is not None:
        caption = "Each limit is stated in the table: the unit that binds, and its rate in the same run."
        made.append(h.figure(f"{name}: share of the machine's limit", limits, caption))
    return [_figures(made)] if made else []


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}" + ("" if len(things) == 1 else "s")


def _extra(row: Row) -> Row:
    found: Row = row.get("extra") or {}
    return found


def _scaling(rows: Sequence[Row], machines: Sequence[str]) -> list[h.Markup]:
    """A group of figures for each protocol on each machine; of threads and lines, those of the largest jobs."""
    made = []
    groups: dict[str, list[Row]] = {}
    for row in rows:
        title = f"{_extra(row).get('protocol', '')}{plots.mark(row, machines)}"
        groups.setdefault(title, []).append(row)
    for protocol, of in groups.items():
        by_axis = {axis: [row for row in of if _extra(row).get("axis") == axis] for axis in AXES}
        for axis in ("threads", "line"):
            most = max((row["items"] for row in by_axis[axis]), default=0)
            by_axis[axis] = [row for row in by_axis[axis] if row["items"] == most]
        if by_axis["rows"]:
            found = fit_of(by_axis["rows"])
            caption = "One size: nothing to fit." if found is None else f"{found.as_text()}."
            made.append(h.figure(f"{protocol}: rows", plots.rows_plot(by_axis["rows"], found), caption))
        if by_axis["threads"]:
            caption = "Both parties on this machine, so many threads each: they share its processors."
            made.append(h.figure(f"{protocol}: threads", plots.threads_plot(by_axis["threads"]), caption))
        if by_axis["line"]:
            caption = "Both directions shaped; the time is that of a round trip."
            made.append(h.figure(f"{protocol}: lines", plots.lines_plot(by_axis["line"]), caption))
    return [_figures(made)] if made else []


def _figures(made: Sequence[h.Markup]) -> h.Markup:
    return h.Markup(f'<div class="figures">\n{h.join(made)}\n</div>')


def _rows_table(name: str, rows: Sequence[Row], machines: Sequence[str]) -> h.Markup:
    columns = (
        "case",
        "items",
        "a second",
        "spread",
        "times faster than",
        "of limit",
        "machine",
        "commit",
        "date",
    )
    lines = [
        (
            row["name"],
            f"{row['items']:,}",
            f"{scaled(row['per_second'])} {row['unit']}",
            spread_as_text(row),
            table.ratios(row) or "no peer timed",
            f"{row['limit']['percent']:.0f} %" if row.get("limit") else "",
            str(machines.index(machine_of(row)) + 1),
            str(row["commit"]) + (" and changes" if row.get("dirty") else ""),
            str(row["date"])[:10],
        )
        for row in rows
    ]
    return h.table(f"Rows of {name}", columns, lines, texts=(0, 4, 7))


def _tables(name: str, rows: Sequence[Row], machines: Sequence[str]) -> list[h.Markup]:
    """All rows, what the limits are that shares are of, and who was left out."""
    made = [_rows_table(name, rows, machines)]
    limits = [(row["name"], row["limit"]["what"]) for row in rows if row.get("limit")]
    if limits:
        made.append(h.table(f"Limits of {name}", ("case", "at most"), limits, texts=(0, 1)))
    left_out = {
        (str(peer), str(why))
        for row in rows
        if isinstance(row.get("skipped"), dict)
        for peer, why in row["skipped"].items()
    }
    if left_out:
        made.append(h.table(f"Peers left out of {name}", ("peer", "why"), sorted(left_out), texts=(0, 1)))
    return made


def _machines(rows: Sequence[Row], machines: Sequence[str]) -> h.Markup:
    lines = []
    for i, cpu in enumerate(machines, 1):
        of = [row for row in rows if machine_of(row) == cpu]
        last = of[-1]
        told = last.get("versions")
        versions = (
            ", ".join(f"{name} {text}" for name, text in told.items()) if isinstance(told, dict) else ""
        )
        told = last.get("cpu_flags")
        flags = " ".join(map(str, told)) if isinstance(told, list) else ""
        lines.append(
            (str(i), cpu, str(last.get("cpus", "not said")), flags or "none of those that matter", versions)
        )
    columns = (
        "number",
        "processor",
        "processors used",
        "instructions that matter",
        "versions, of the last row",
    )
    return h.table("Machines", columns, lines, texts=(0, 1, 3, 4))
