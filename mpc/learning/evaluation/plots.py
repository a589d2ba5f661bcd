# SPDX-License-Identifier: Apache-2.0
"""The report's figures, as SVG texts. Needs matplotlib: `pip install 'crypsis[learning]'`.

Each figure has a light and a dark form: it is drawn once with the colours of `LIGHT`, and `dark` puts those of `DARK`
in their place. Lines differ in dashes as well as in colour, for those who print in grey. The same input gives the
same text: glyphs are outlines of the font that matplotlib brings, identifiers are salted hashes, no date is written.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from crypsis.errors import BackendUnavailable
from crypsis.mpc.learning.evaluation.checks import Floats
from crypsis.mpc.learning.evaluation.decisions import Calibration
from crypsis.mpc.learning.evaluation.importance import ImportanceTable
from crypsis.mpc.learning.evaluation.metrics import LiftBucket, RankCurve, ks_of
from crypsis.mpc.learning.evaluation.stability import Stability

MAX_POINTS: Final = 600  # of a curve: more cannot be told apart at this size
MAX_BARS: Final = 15
LIGHT: Final = {
    "ink": "#1d2730",
    "muted": "#55626d",
    "grid": "#d8dde2",
    "paper": "#fefefe",
    "first": "#1c5ca6",
    "second": "#b34a09",
}
DARK: Final = {
    "ink": "#e7ebef",
    "muted": "#aab6c0",
    "grid": "#3b4650",
    "paper": "#1b2228",
    "first": "#7db4f2",
    "second": "#f2a765",
}
_SIZE: Final = (4.9, 3.5)  # inches: 470 pixels, two beside each other on a desk and one on a phone
_STYLE: Final = {
    "svg.hashsalt": "crypsis",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a feature's name with dollars is a name
    "text.usetex": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "figure.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "path.simplify": False,
}


@dataclass(frozen=True)
class Plot:
    """A figure: SVG text in the light colours, and what it shows in words."""

    svg: str
    alternative: str


def dark(svg: str) -> str:
    """The figure in the dark colours."""
    table = {LIGHT[role]: DARK[role] for role in LIGHT}
    return re.sub("|".join(table), lambda match: table[match[0]], svg)


def import_matplotlib() -> Any:
    """The package. Raises BackendUnavailable with the remedy where it is not installed."""
    try:
        import matplotlib
        import matplotlib.backends.backend_svg
        import matplotlib.figure
        import matplotlib.style
        import matplotlib.ticker
    except ImportError:
        raise BackendUnavailable(
            "reports need matplotlib, which is not installed: pip install 'crypsis[learning]'"
        ) from None
    return matplotlib


def draw(paint: Callable[[Any, Any], None], alternative: str, *, height: float = _SIZE[1]) -> Plot:
    """A figure of one axes that `paint(axes, matplotlib)` fills. No global state of matplotlib is used or changed."""
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.style.use("default")
        matplotlib.rcParams.update(_STYLE)  # style.use leaves the salt out
        figure = matplotlib.figure.Figure(figsize=(_SIZE[0], height), layout="constrained")
        paint(figure.add_subplot(), matplotlib)
        canvas = matplotlib.backends.backend_svg.FigureCanvasSVG(figure)
        text = io.StringIO()
        canvas.print_svg(text, metadata={"Date": None, "Creator": None})
    # The element alone: an XML declaration and a document type add nothing in a data URI.
    svg = text.getvalue()
    return Plot(svg[svg.index("<svg") :], alternative)


def _per_cent(axis: Any, matplotlib: Any) -> None:
    axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=None))


def _unit_square(axes: Any, matplotlib: Any, x: str, y: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel=x, ylabel=y)
    _per_cent(axes.xaxis, matplotlib)
    _per_cent(axes.yaxis, matplotlib)


def thinned(curve: RankCurve) -> npt.NDArray[np.intp]:
    """At most about MAX_POINTS of a curve's points, evenly along it: ends and the KS point among them."""
    n_points = curve.thresholds.size
    if n_points <= MAX_POINTS:
        return np.arange(n_points)
    along = curve.true_positive_rate + curve.false_positive_rate
    kept = np.searchsorted(along, np.linspace(0, 2, MAX_POINTS - 2)).clip(0, n_points - 1)
    best = curve.ks_index
    return np.unique(np.r_[0, kept, best, n_points - 1])


def roc_plot(curve: RankCurve) -> Plot:
    """True positive rate over false positive rate, with the diagonal of chance."""
    kept = thinned(curve)

    def paint(axes: Any, matplotlib: Any) -> None:
        x, y = curve.false_positive_rate[kept], curve.true_positive_rate[kept]
        axes.plot(x, y, color=LIGHT["first"], label=f"model, AUC {curve.auc:.4f}", clip_on=False)
        axes.plot(
            [0, 1], [0, 1], color=LIGHT["muted"], linestyle="--", linewidth=1.2, label="chance, AUC 0.5"
        )
        axes.legend(loc="lower right")
        _unit_square(axes, matplotlib, "false positive rate", "true positive rate")

    return draw(paint, f"ROC curve: AUC {curve.auc:.4f}; chance would be 0.5 on the diagonal.")


def ks_plot(curve: RankCurve, names: tuple[str, str]) -> Plot:
    """Shares of both classes above the cut over the share of rows above it, with the largest distance marked."""
    kept, found = thinned(curve), ks_of(curve)
    at = curve.ks_index

    def paint(axes: Any, matplotlib: Any) -> None:
        x = curve.population_share
        lines = (
            (curve.true_positive_rate, names[1], "first", "-"),
            (curve.false_positive_rate, names[0], "second", "--"),
        )
        for values, name, role, dashes in lines:
            label = f"{short(name)} found"
            axes.plot(x[kept], values[kept], color=LIGHT[role], linestyle=dashes, label=label, clip_on=False)
        ends = sorted((curve.false_positive_rate[at], curve.true_positive_rate[at]))
        axes.plot([x[at], x[at]], ends, color=LIGHT["ink"], linewidth=1.4, marker="_", markersize=9)
        axes.annotate(
            f"KS {found.statistic:.4f}", (x[at], sum(ends) / 2), xytext=(7, -3), textcoords="offset points"
        )
        axes.legend(loc="lower right")
        _unit_square(axes, matplotlib, "share of rows, highest scores first", "share of the class")

    return draw(
        paint,
        f"KS curve: the classes are furthest apart, {found.statistic:.4f}, at the highest-scored"
        f" {found.population_share:.1%} of rows (score {found.threshold:.4g} and above).",
    )


def gain_plot(curve: RankCurve, names: tuple[str, str]) -> Plot:
    """Share of label 1 found over the share of rows looked at, between chance and a perfect ranking."""
    kept = thinned(curve)
    found = {
        share: float(np.interp(share, curve.population_share, curve.true_positive_rate))
        for share in (0.1, 0.3)
    }
    # A perfect ranking has found all label 1 at their share of the rows: from rows = (1-b) FPR + b TPR at any point.
    spread = curve.true_positive_rate - curve.false_positive_rate
    at = int(np.argmax(np.abs(spread)))
    rate = (
        (curve.population_share[at] - curve.false_positive_rate[at]) / spread[at] if spread[at] else math.nan
    )

    def paint(axes: Any, matplotlib: Any) -> None:
        if not math.isnan(rate):
            axes.plot(
                [0, rate, 1], [0, 1, 1], color=LIGHT["second"], linestyle=":", label="perfect", clip_on=False
            )
        x, y = curve.population_share[kept], curve.true_positive_rate[kept]
        axes.plot(x, y, color=LIGHT["first"], label="model", clip_on=False)
        axes.plot([0, 1], [0, 1], color=LIGHT["muted"], linestyle="--", linewidth=1.2, label="chance")
        axes.legend(loc="lower right")
        _unit_square(
            axes, matplotlib, "share of rows, highest scores first", f"share of all {short(names[1])} found"
        )

    return draw(
        paint,
        f"Gain curve: the highest-scored 10% of rows hold {found[0.1]:.1%} of all {names[1]},"
        f" 30% hold {found[0.3]:.1%}.",
    )


def lift_plot(buckets: Sequence[LiftBucket]) -> Plot:
    """Bars of the lift of each bucket, and the cumulative lift as a line."""

    def paint(axes: Any, matplotlib: Any) -> None:
        x = [bucket.number for bucket in buckets]
        axes.bar(x, [bucket.lift for bucket in buckets], color=LIGHT["first"], width=0.72, label="bucket")
        cumulative = [bucket.cumulative_lift for bucket in buckets]
        axes.plot(x, cumulative, color=LIGHT["second"], marker="o", markersize=4, label="up to here")
        axes.axhline(1, color=LIGHT["muted"], linestyle="--", linewidth=1.2, label="chance")
        axes.set(xlabel="bucket, 1 = highest scores", ylabel="lift (times the overall rate)", ylim=(0, None))
        axes.grid(visible=False, axis="x")
        if len(x) <= 20:
            axes.set_xticks(x)
        axes.legend(loc="upper right")

    return draw(
        paint,
        f"Lift: {buckets[0].lift:.2f} in the bucket of the highest scores, {buckets[-1].lift:.2f} in that of the"
        " lowest.",
    )


def calibration_plot(calibration: Calibration) -> Plot:
    """Observed rate over predicted probability of the bins."""
    bins = calibration.bins

    def paint(axes: Any, matplotlib: Any) -> None:
        x, y = [b.predicted for b in bins], [b.observed for b in bins]
        top = min(1.0, max([*x, *y, 1e-6]) * 1.06)
        axes.plot([0, top], [0, top], color=LIGHT["muted"], linestyle="--", linewidth=1.2, label="perfect")
        axes.plot(x, y, color=LIGHT["first"], marker="o", markersize=5, label="model", clip_on=False)
        axes.set(
            xlim=(0, top),
            ylim=(0, top),
            xlabel="predicted probability (mean of the bin)",
            ylabel="observed rate",
        )
        _per_cent(axes.xaxis, matplotlib)
        _per_cent(axes.yaxis, matplotlib)
        axes.legend(loc="upper left")

    return draw(
        paint,
        f"Calibration: observed rate over predicted probability in {len(bins)} bins; expected calibration error"
        f" {calibration.expected_calibration_error:.4f}.",
    )


def distribution_plot(
    positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats, names: tuple[str, str]
) -> Plot:
    """Histograms of the scores of both classes, each summing to 1."""
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1.0, 31)
    heights = [
        np.histogram(scores[rows], bins=edges, weights=weights[rows])[0] for rows in (~positive, positive)
    ]
    means = [float(np.average(scores[rows], weights=weights[rows])) for rows in (~positive, positive)]

    def paint(axes: Any, matplotlib: Any) -> None:
        styles = (("second", "--", "////"), ("first", "-", None))
        for height, name, (role, dashes, hatch) in zip(heights, names, styles, strict=True):
            share = height / height.sum()
            axes.stairs(share, edges, color=LIGHT[role], alpha=0.22, fill=True, linewidth=0, hatch=hatch)
            axes.stairs(share, edges, color=LIGHT[role], linestyle=dashes, linewidth=1.5, label=short(name))
        axes.set(xlabel="score", ylabel="share of the class", xlim=(edges[0], edges[-1]), ylim=(0, None))
        _per_cent(axes.yaxis, matplotlib)
        axes.legend(loc="best")

    return draw(
        paint,
        f"Score distribution of both classes: the mean score is {means[0]:.4f} for {names[0]} and {means[1]:.4f} for"
        f" {names[1]}.",
    )


def stability_plot(stability: Stability) -> Plot:
    """Shares of the expected and the actual sample in each bin."""

    def paint(axes: Any, matplotlib: Any) -> None:
        x = np.arange(len(stability.bins))
        styles = ((-0.2, "expected", "second", "////"), (0.2, "actual", "first", None))
        for offset, name, role, hatch in styles:
            shares = [getattr(b, f"{name}_share") for b in stability.bins]
            paper = LIGHT["paper"]
            axes.bar(
                x + offset,
                shares,
                0.38,
                color=LIGHT[role],
                label=name,
                hatch=hatch,
                edgecolor=paper,
                linewidth=0,
            )
        axes.set(xlabel="bin of the score, lowest first", ylabel="share of rows", xticks=x)
        axes.set_xticklabels([str(i + 1) for i in x])
        axes.grid(visible=False, axis="x")
        _per_cent(axes.yaxis, matplotlib)
        axes.set_ylim(0, 1.2 * max(max(b.expected_share, b.actual_share) for b in stability.bins))
        axes.legend(loc="upper center", ncols=2)

    return draw(paint, f"Population stability: index {stability.index:.4f}, {stability.reading}.")


def importance_plot(table: ImportanceTable) -> Plot:
    """Bars of the most important features."""
    rows = table.rows[:MAX_BARS]

    def paint(axes: Any, matplotlib: Any) -> None:
        y = np.arange(len(rows))
        axes.barh(y, [row.share for row in rows], color=LIGHT["first"], height=0.7)
        axes.set_yticks(y, [short(f"{row.owner}: {row.feature}", 26) for row in rows])
        axes.invert_yaxis()
        axes.set(xlabel=f"share of all importance ({table.method})")
        axes.grid(visible=False, axis="y")
        _per_cent(axes.xaxis, matplotlib)

    told = ", ".join(f"{row.feature} of {row.owner} {row.share:.1%}" for row in rows[:3])
    return draw(paint, f"Feature importance, the largest: {told}.", height=max(1.6, 0.7 + 0.27 * len(rows)))


def short(text: str, limit: int = 24) -> str:
    """A name that fits into a figure, with only what the font can draw."""
    plain = "".join(c if 32 <= ord(c) < 0x500 and c.isprintable() else "?" for c in text)
    return plain if len(plain) <= limit else f"{plain[: limit - 3]}..."
