# SPDX-License-Identifier: Apache-2.0
"""The sections of the report, each a list of pieces of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crypsis.mpc.learning.evaluation import plots
from crypsis.mpc.learning.evaluation import report_html as h
from crypsis.mpc.learning.evaluation.importance import ImportanceTable
from crypsis.mpc.learning.evaluation.report_figures import Figures
from crypsis.mpc.learning.evaluation.scorecard import ScorecardPart
from crypsis.mpc.learning.evaluation.stability import Stability

MAX_ROWS = 200  # of a table of features
_READING = "below 0.1 stable, to 0.25 watch, above 0.25 shifted"
_METHODS = {
    "gain": "sum of the gains of a feature's splits",
    "split": "number of a feature's splits",
    "cover": "sum of the weights of the rows that reach a feature's splits",
    "coefficient": "|coefficient × standard deviation|, in log-odds",
}
Names = tuple[str, str]


def summary(
    figures: Figures, names: Names, compared: Mapping[str, tuple[float, float]], remarks: Sequence[str]
) -> list[h.Markup]:
    area, found = figures.curve.auc, figures.ks
    cards = [
        h.card("AUC", h.number(area), "0.5 is chance, 1 perfect"),
        h.card("KS", h.number(found.statistic), f"at score {h.score(found.threshold)}"),
        h.card("Gini", h.number(2 * area - 1), "2 × AUC − 1"),
        h.card("Rows", h.count(figures.rows), f"{h.count(figures.positive.sum())} labelled {names[1]}"),
        h.card(f"Rate of {names[1]}", h.per_cent(figures.rate, 2), "of the rows evaluated"),
        h.card(
            "Log loss", h.number(figures.log_loss), f"Brier score {h.number(figures.calibration.brier_score)}"
        ),
    ]
    if figures.stability is not None:
        index = figures.stability
        cards.append(
            h.card(
                "PSI",
                h.number(index.index),
                h.Markup(f"score is {h.reading(index.reading)} since development"),
            )
        )
    top = figures.buckets[0]
    words = (
        f"The highest-scored {h.per_cent(top.cumulative_population)} of rows hold {h.per_cent(top.cumulative_capture)}"
        f" of all {names[1]}; among them the rate is {h.per_cent(top.rate)}, {top.lift:.2f} times that of all rows."
    )
    parts = [h.Markup(f'<dl class="cards">\n{h.join(cards)}\n</dl>'), h.paragraph(words)]
    parts += [h.paragraph(remark) for remark in remarks]
    if compared:
        rows: list[Sequence[object]] = [("this model", h.number(area), h.number(found.statistic), "", "")]
        for name, (other_auc, other_ks) in compared.items():
            gaps = (area - other_auc, found.statistic - other_ks)
            signed = [("+" if gap > 0 else "") + h.number(gap) for gap in gaps]
            rows.append((name, h.number(other_auc), h.number(other_ks), *signed))
        columns = ("Model", "AUC", "KS", "this − it, AUC", "this − it, KS")
        parts.append(h.table("Other models on the same rows", columns, rows))
    return parts


def ranking(figures: Figures, names: Names) -> list[h.Markup]:
    curve = figures.curve
    drawn = [
        h.figure("ROC", plots.roc_plot(curve), "The further above the diagonal, the better the ranking."),
        h.figure(
            "KS",
            plots.ks_plot(curve, names),
            f"Largest distance at score {h.score(figures.ks.threshold)}:"
            f" {h.per_cent(figures.ks.population_share)} of rows score that or more.",
        ),
        h.figure(
            "Gain", plots.gain_plot(curve, names), f"How many of all {names[1]} a cut at the top would find."
        ),
        h.figure(
            "Lift",
            plots.lift_plot(figures.buckets),
            "Bars that fall from left to right show a sound ranking.",
        ),
        h.figure(
            "Score distribution",
            plots.distribution_plot(figures.positive, figures.probabilities, figures.weights, names),
            "Each class on its own sums to 100%. The less they overlap, the better.",
        ),
    ]
    return [h.Markup(f'<div class="figures">\n{h.join(drawn)}\n</div>')]


def bands(figures: Figures, names: Names, card: ScorecardPart | None) -> list[h.Markup]:
    columns = [
        "Band",
        "Score from",
        "to",
        "Rows",
        names[1],
        "Rate",
        "Lift",
        "Rows so far",
        f"{names[1]} so far",
        "KS",
    ]
    if card is not None:
        columns[3:3] = ["Points"]
    rows = []
    for b in figures.buckets:
        cells: list[object] = [
            b.number,
            h.score(b.score_low),
            h.score(b.score_high),
            h.count(b.rows),
            h.count(b.positives),
            h.per_cent(b.rate),
            h.number(b.lift, 2),
            h.per_cent(b.cumulative_population),
            h.per_cent(b.cumulative_capture),
            h.number(b.ks, 3),
        ]
        if card is not None:
            cells[3:3] = [_points(card, b.score_low, b.score_high)]
        rows.append(cells)
    parts = [h.table("Bands of about equal size, highest scores first", columns, rows, texts=())]
    parts.append(h.paragraph("Rows of one score share a band, so bands can differ in size.", note=True))
    return parts


def _points(card: ScorecardPart, low: float, high: float) -> str:
    """The points of a range of probabilities, by the scorecard's scaling."""
    inside = np.clip([low, high], 1e-12, 1 - 1e-12)
    ends = sorted(float(v) for v in card.scaling.score_of(np.log(inside) - np.log1p(-inside)))
    return " to ".join(h.number(end, 0) for end in ends)


def decisions(figures: Figures, names: Names) -> list[h.Markup]:
    c = figures.confusion
    how = "as chosen" if figures.threshold_given else "where KS is reached"
    counts = h.table(
        f"Confusion: rows with score {h.score(c.threshold)} or more are called {names[1]} ({how})",
        ("In truth", f"called {names[1]}", f"called {names[0]}", "all"),
        [
            (
                names[1],
                h.count(c.true_positives),
                h.count(c.false_negatives),
                h.count(c.true_positives + c.false_negatives),
            ),
            (
                names[0],
                h.count(c.false_positives),
                h.count(c.true_negatives),
                h.count(c.false_positives + c.true_negatives),
            ),
        ],
    )
    rates = h.table(
        "Rates at this threshold",
        ("Rate", "Value", "Meaning"),
        [
            ("Precision", h.per_cent(c.precision), f"of those called {names[1]}, share that is"),
            ("Recall", h.per_cent(c.recall), f"of all {names[1]}, share that is called so"),
            ("Specificity", h.per_cent(c.specificity), f"of all {names[0]}, share that is called so"),
            ("F1", h.number(c.f1), "harmonic mean of precision and recall"),
            ("Accuracy", h.per_cent(c.accuracy), "share called rightly"),
        ],
        texts=(0, 2),
    )
    return [counts, rates]


def calibrated(figures: Figures) -> list[h.Markup]:
    found = figures.calibration
    fit = found.hosmer_lemeshow
    drawn = h.figure(
        "Reliability", plots.calibration_plot(found), "On the dashed line, predictions come true as told."
    )
    rows = [
        (
            i + 1,
            h.score(b.low),
            h.score(b.high),
            h.count(b.rows),
            h.per_cent(b.predicted, 2),
            h.per_cent(b.observed, 2),
        )
        for i, b in enumerate(found.bins)
    ]
    columns = ("Bin", "Score from", "to", "Rows", "Predicted", "Observed")
    words = (
        f"Brier score {h.number(found.brier_score)}, expected calibration error"
        f" {h.number(found.expected_calibration_error)}. Hosmer-Lemeshow statistic {h.number(fit.statistic, 2)} at"
        f" {fit.degrees_of_freedom} degrees of freedom, p-value {h.number(fit.p_value)} (a small p-value, say below"
        " 0.05, is evidence against the calibration; with very many rows even harmless deviations give one)."
    )
    table = h.table("Bins of about equal size, lowest scores first", columns, rows, texts=())
    return [h.Markup(f'<div class="figures">\n{drawn}\n<div>{h.paragraph(words)}</div>\n</div>'), table]


def stable(score: Stability | None, features: Mapping[str, Stability]) -> list[h.Markup]:
    parts = [h.paragraph(f"Population stability index since the development sample: {_READING}.")]
    columns = ("Bin", "Expected", "Actual", "Expected share", "Actual share", "Index")
    if score is not None:
        rows = [
            (
                b.label,
                h.count(b.expected_count),
                h.count(b.actual_count),
                h.per_cent(b.expected_share),
                h.per_cent(b.actual_share),
                h.number(b.index),
            )
            for b in score.bins
        ]
        caption = f"Score: PSI {h.number(score.index)}, {score.reading}"
        drawn = h.figure(
            "Score", plots.stability_plot(score), "The bins are equal parts of the development sample."
        )
        parts += [h.Markup(f'<div class="figures">\n{drawn}\n</div>'), h.table(caption, columns, rows)]
    if features:
        ranked = sorted(features.items(), key=lambda item: (-item[1].index, item[0]))
        lines = [(name, h.number(s.index), h.reading(s.reading)) for name, s in ranked[:MAX_ROWS]]
        table = h.table("Features, most moved first", ("Feature", "Index", "Reading"), lines, texts=(0, 2))
        parts += [table, *_rest(len(ranked))]
    if (score is not None and score.smoothed) or any(s.smoothed for s in features.values()):
        parts.append(h.paragraph("Where a bin was empty, one half was added to every count.", note=True))
    return parts


def _rest(n_rows: int) -> list[h.Markup]:
    hidden = n_rows - MAX_ROWS
    return [h.paragraph(f"{hidden} more features are not shown.", note=True)] if hidden > 0 else []


def importance(table: ImportanceTable) -> list[h.Markup]:
    what = _METHODS[table.method]
    if not table.rows:
        return [h.paragraph("The model uses no feature.")]
    rows = [(r.feature, r.owner, f"{r.value:,.4g}", h.per_cent(r.share)) for r in table.rows[:MAX_ROWS]]
    listed = h.table(f"Importance: {what}", ("Feature", "Party", "Value", "Share"), rows, texts=(0, 1))
    top = min(len(table.rows), plots.MAX_BARS)
    drawn = h.figure(
        "Most important", plots.importance_plot(table), f"The first {top} of {len(table.rows)} features."
    )
    return [h.Markup(f'<div class="figures">\n{drawn}\n<div>{listed}</div>\n</div>'), *_rest(len(table.rows))]


def scorecard(part: ScorecardPart) -> list[h.Markup]:
    s = part.scaling
    side = "less" if s.higher_score == "less_likely" else "more"
    words = (
        f"A higher score means label 1 is {side} likely. {s.base_score:g} points stand for odds of {s.base_odds:g} : 1,"
        f" and every {s.pdo:g} points double them. This is the part of {part.party}; other parties keep theirs."
    )
    rows: list[Sequence[object]] = []
    if part.base_points is not None:
        rows.append(("(base points)", "", "", "", h.number(part.base_points, s.decimals)))
    for feature in part.features:
        for b in feature.bins:
            rows.append(
                (
                    feature.name,
                    b.label,
                    h.number(feature.coefficient),
                    h.number(b.woe),
                    h.number(b.points, s.decimals),
                )
            )
    columns = ("Feature", "Bin", "Coefficient", "WOE", "Points")
    return [h.paragraph(words), h.table("Points of each bin", columns, rows, texts=(0, 1))]


def disclosed(lines: Sequence[tuple[str, str]]) -> list[h.Markup]:
    if not lines:
        return [h.paragraph("The author of this report listed nothing here.")]
    words = "What each party learned beyond its own data while the model was made and evaluated:"
    return [h.paragraph(words), h.table("Disclosures", ("Party", "Learned"), lines, texts=(0, 1))]


def parameters(values: Mapping[str, object]) -> list[h.Markup]:
    return [
        h.table("As agreed between the parties", ("Parameter", "Value"), list(values.items()), texts=(0, 1))
    ]


def terms(names: Names) -> list[h.Markup]:
    rows = [
        ("Score", f"the model's probability of {names[1]}"),
        ("AUC", f"the chance that a {names[1]} row scores above a {names[0]} row"),
        ("KS", "the largest distance between the two classes' cumulative distributions"),
        ("Lift", f"the rate of {names[1]} in a band over that of all rows"),
        ("PSI", f"how far scores moved since development; {_READING}"),
        ("Brier score", "mean squared distance of prediction and outcome; lower is better"),
        ("WOE", "weight of evidence: log of the ratio of the classes' shares in a bin"),
    ]
    return [h.table("Terms of this report", ("Term", "Meaning"), rows, texts=(0, 1))]
