# SPDX-License-Identifier: Apache-2.0
"""The model report: one HTML file to read, print and file. No scripts, nothing loaded from elsewhere.

`ReportContent` is what it is about; `write_report` computes the figures, draws them and writes the file whole or not
at all. The same content gives the same bytes (with the same matplotlib). Feature names and all other texts are taken
as text, whatever they hold.

Leaks: the file holds aggregates and no row; a band or bin with few rows still tells of these rows. It is written by
the party that has labels and scores, and says what the protocol disclosed as the caller lists it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from crypsis.mpc.jobs.workdir import write_durably
from crypsis.mpc.learning.evaluation import report_html as h
from crypsis.mpc.learning.evaluation import report_sections as sections
from crypsis.mpc.learning.evaluation.checks import Numbers, at_least
from crypsis.mpc.learning.evaluation.importance import ImportanceTable
from crypsis.mpc.learning.evaluation.report_figures import measure
from crypsis.mpc.learning.evaluation.scorecard import ScorecardPart
from crypsis.mpc.learning.evaluation.stability import Stability


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What a report says.

    title; created: its date (written as given, to the second). labels, probabilities, weights: of the rows evaluated,
    [n]; class_names: of label 0 and label 1. threshold: probabilities from there on are called label 1 (None: where KS
    is reached). n_bands: score bands. facts: lines below the title (parties, dates, sample). expected_probabilities:
    the model's on the development sample, for the population stability index; feature_stability: of features, by
    name. importance, scorecard: where there are any. compared: other models by name, with (AUC, KS) on the same rows.
    disclosed: (who, what they learned). parameters: of the training. remarks: paragraphs of the summary.
    """

    title: str
    created: datetime
    labels: Numbers
    probabilities: Numbers
    weights: Numbers | None = None
    class_names: tuple[str, str] = ("good", "bad")
    threshold: float | None = None
    n_bands: int = 10
    facts: Mapping[str, object] = field(default_factory=dict)
    expected_probabilities: Numbers | None = None
    feature_stability: Mapping[str, Stability] = field(default_factory=dict)
    importance: ImportanceTable | None = None
    scorecard: ScorecardPart | None = None
    compared: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    disclosed: Sequence[tuple[str, str]] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def render_report(content: ReportContent) -> str:
    """The report as an HTML document.

    Raises ValueError, TypeError for labels other than 0 and 1, one class only, probabilities outside of [0, 1], lengths
    that differ; BackendUnavailable without matplotlib.
    """
    at_least(content.n_bands, 2, "n_bands")
    figures = measure(
        content.labels,
        content.probabilities,
        weights=content.weights,
        threshold=content.threshold,
        n_bands=content.n_bands,
        expected=content.expected_probabilities,
    )
    names = content.class_names
    made: list[tuple[str, str, list[h.Markup]]] = [
        ("summary", "Summary", sections.summary(figures, names, content.compared, content.remarks)),
        ("ranking", "How well the model ranks", sections.ranking(figures, names)),
        ("bands", "Score bands", sections.bands(figures, names, content.scorecard)),
        ("decisions", "Decisions at the threshold", sections.decisions(figures, names)),
        ("calibration", "Calibration", sections.calibrated(figures)),
    ]
    if figures.stability is not None or content.feature_stability:
        made.append(("stability", "Stability", sections.stable(figures.stability, content.feature_stability)))
    if content.importance is not None:
        made.append(("importance", "Feature importance", sections.importance(content.importance)))
    if content.scorecard is not None:
        made.append(("scorecard", "Scorecard", sections.scorecard(content.scorecard)))
    made.append(("disclosed", "What was disclosed", sections.disclosed(content.disclosed)))
    if content.parameters:
        made.append(("parameters", "Parameters", sections.parameters(content.parameters)))
    made.append(("terms", "Terms", sections.terms(names)))
    created = content.created.isoformat(sep=" ", timespec="seconds")
    facts = "".join(
        f"<li>{h.text(k)}: {h.text(v)}</li>" for k, v in {**content.facts, "Created": created}.items()
    )
    return h.page(
        content.title,
        h.Markup(f'<ul class="facts">{facts}</ul>'),
        [(anchor, name) for anchor, name, _ in made],
        h.join(h.section(anchor, name, *parts) for anchor, name, parts in made),
        f"Written by crypsis, {created}. This file is self-contained: it loads nothing and runs nothing.",
    )


def write_report(path: str | os.PathLike[str], content: ReportContent) -> None:
    """Writes the report to `path` (replacing what is there): whole or not at all, mode 0600.

    Raises as `render_report`, and DataError where it cannot be written.
    """
    write_durably(os.fspath(path), render_report(content).encode())
