# SPDX-License-Identifier: Apache-2.0
"""Figures of the benchmark report, in the style of the model report's. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crypsis.mpc.bench.rows import machine_of, scaled
from crypsis.mpc.bench.scale import Fit
from crypsis.mpc.learning.evaluation.plots import LIGHT, Plot, draw, short

_PER_BAR: Final = 0.26  # inches
Row = Mapping[str, Any]


def mark(row: Row, machines: Sequence[str]) -> str:
    """The number of its machine where there are several."""
    return "" if len(machines) < 2 else f" [{machines.index(machine_of(row)) + 1}]"


def label(row: Row, machines: Sequence[str]) -> str:
    """The case's name, with a number for its machine where there are several."""
    return short(str(row["name"]), 40) + mark(row, machines)


def _height(bars: int) -> float:
    return max(1.7, 0.9 + _PER_BAR * bars)


def _annotate(axes: Any, values: Sequence[float], *, least: float = 0.0) -> None:
    """Each bar's figure behind its end, which is not before `least`."""
    for place, value in enumerate(values):
        axes.annotate(
            f"{value:.3g}",
            (max(value, least), place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )


def peers_plot(rows: Sequence[Row], machines: Sequence[str]) -> Plot | None:
    """Bars of how many times faster than each peer, on a logarithmic axis; None where no peer was timed."""
    bars = [
        (f"{label(row, machines)} / {peer}", float(told["ratio"]))
        for row in rows
        for peer, told in row["peers"].items()
    ]
    if not bars:
        return None
    names, values = zip(*bars, strict=True)

    def paint(axes: Any, matplotlib: Any) -> None:
        places = list(range(len(values)))
        colours = [LIGHT["first"] if value >= 1 else LIGHT["second"] for value in values]
        hatches = [None if value >= 1 else "////" for value in values]
        drawn = axes.barh(places, [value - 1 for value in values], left=1, color=colours, height=0.7)
        for bar, hatch in zip(drawn, hatches, strict=True):
            bar.set_hatch(hatch)
        axes.set_xscale("log")
        axes.axvline(1, color=LIGHT["ink"], linewidth=1.2)
        axes.set_yticks(places, [short(name, 54) for name in names], fontsize=7.5)
        axes.invert_yaxis()
        axes.set(
            xlabel="times faster than the peer",
            xlim=(min(0.5, min(values) / 1.3), max(2.0, max(values) * 2)),
        )
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())  # the bars have their figures
        _annotate(axes, values, least=1.0)
        axes.grid(visible=False, axis="y")

    best = max(bars, key=lambda bar: bar[1])
    least = min(bars, key=lambda bar: bar[1])
    return draw(
        paint,
        f"Times faster than peers: from {least[1]:.3g} ({least[0]}) to {best[1]:.3g} ({best[0]}).",
        height=_height(len(bars)),
    )


def limits_plot(rows: Sequence[Row], machines: Sequence[str]) -> Plot | None:
    """Bars of the share of the limit; None where no row has one."""
    bars = [(label(row, machines), float(row["limit"]["percent"])) for row in rows if row.get("limit")]
    if not bars:
        return None
    names, values = zip(*bars, strict=True)

    def paint(axes: Any, matplotlib: Any) -> None:
        places = list(range(len(values)))
        axes.barh(places, values, color=LIGHT["first"], height=0.7)
        axes.axvline(100, color=LIGHT["muted"], linestyle="--", linewidth=1.2)
        axes.set_yticks(places, names, fontsize=7.5)
        axes.invert_yaxis()
        axes.set(xlabel="per cent of the limit", xlim=(0, max(105.0, 1.1 * max(values))))
        _annotate(axes, values)
        axes.grid(visible=False, axis="y")

    best = max(bars, key=lambda bar: bar[1])
    return draw(
        paint,
        f"Share of the machine's limit in {len(bars)} cases; the largest is {best[1]:.0f} % ({best[0]}).",
        height=_height(len(bars)),
    )


def rows_plot(rows: Sequence[Row], found: Fit | None) -> Plot:
    """Seconds over rows on logarithmic axes, with the fit."""
    points = sorted((float(row["items"]), float(row["seconds_median"])) for row in rows)

    def paint(axes: Any, matplotlib: Any) -> None:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=LIGHT["first"], marker="o", linestyle="", label="measured")
        if found is not None:
            low, high = math.log10(x[0]), math.log10(x[-1])
            along = [10 ** (low + (high - low) * i / 60) for i in range(61)]
            fitted = [found.fixed + found.each * n for n in along]
            axes.plot(along, fitted, color=LIGHT["second"], linestyle="--", label="fixed + each x rows")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(x, [scaled(n) for n in x])
        axes.set_yticks(y, [f"{value:.2g}" for value in y])
        axes.minorticks_off()
        axes.set(xlabel="rows of each party", ylabel="seconds of the job")
        axes.legend(loc="upper left")

    told = "" if found is None else f" Fit: {found.as_text()}."
    last = points[-1]
    return draw(paint, f"Seconds over rows: {last[1]:.3g} s at {last[0]:,.0f} rows.{told}")


def threads_plot(rows: Sequence[Row]) -> Plot:
    """Rows a second over threads, beside the rate of one thread times their number."""
    points = sorted((int(row["extra"]["at"]), float(row["per_second"])) for row in rows)

    def paint(axes: Any, matplotlib: Any) -> None:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=LIGHT["first"], marker="o", label="measured")
        ideal = [y[0] * n / x[0] for n in x]
        axes.plot(x, ideal, color=LIGHT["muted"], linestyle="--", linewidth=1.2, label="as one thread each")
        axes.set(xlabel="threads of each party", ylabel="rows a second", ylim=(0, None), xticks=x)
        axes.legend(loc="upper left")

    first, last = points[0], points[-1]
    gain = last[1] / first[1]
    return draw(
        paint, f"Rows a second over threads: {gain:.2f} times as many with {last[0]} as with {first[0]}."
    )


def lines_plot(rows: Sequence[Row]) -> Plot:
    """Seconds on each line."""
    bars = [(str(row["extra"]["at"]), float(row["seconds_median"])) for row in rows]
    names, values = zip(*bars, strict=True)

    def paint(axes: Any, matplotlib: Any) -> None:
        places = list(range(len(bars)))
        axes.barh(places, values, color=LIGHT["first"], height=0.6)
        axes.set_yticks(places, [short(name, 30) for name in names])
        axes.invert_yaxis()
        axes.set(xlabel="seconds of the job", xlim=(0, 1.15 * max(values)))
        axes.grid(visible=False, axis="y")
        _annotate(axes, values)

    told = ", ".join(f"{value:.3g} s on {name}" for name, value in bars)
    return draw(paint, f"The same job on different lines: {told}.", height=_height(len(bars) + 2))
