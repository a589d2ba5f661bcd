# SPDX-License-Identifier: Apache-2.0
"""The report as a document: self-contained, escaped, the same every time, whole on the disk or not there."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import stat
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="reports need crypsis[learning]")

from crypsis.errors import BackendUnavailable, DataError
from crypsis.mpc.learning.evaluation import (
    ImportanceTable,
    Split,
    auc,
    ks,
    render_report,
    tree_importance,
    write_report,
)
from crypsis.mpc.learning.evaluation.metrics import rank_curve
from crypsis.mpc.learning.evaluation.plots import DARK, LIGHT, MAX_POINTS, dark, import_matplotlib, thinned
from crypsis.mpc.learning.evaluation.report_html import count, number, per_cent, text

from .report_cases import IMAGE, LONG, SCRIPT, content


class Reader(HTMLParser):
    """Elements with their attributes, texts, and whether each element is closed in order."""

    VOID = frozenset({"meta", "link", "img", "source"})

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def document() -> str:
    return render_report(content())


def test_untrusted_names_are_texts(document: str) -> None:
    read = Reader(document)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "svg"}
    attributes = [(key, value) for _, given in read.elements for key, value in given.items()]
    assert not [key for key, _ in attributes if key.startswith("on") or key == "style"]
    for name in (SCRIPT, IMAGE, LONG):
        assert name in read.texts
    for key, value in attributes:
        if key in ("src", "srcset"):
            assert value is not None
            assert value.startswith("data:image/svg+xml;base64,")
        elif key == "href":
            assert value is not None
            assert value.startswith(("#", "data:,"))


def test_figures_hold_no_script_and_no_address(document: str) -> None:
    figures = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", document)
    assert len(figures) == 16
    for figure in figures:
        svg = base64.b64decode(figure).decode()
        assert "<script" not in svg
        assert "onerror" not in re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
        assert "foreignObject" not in svg
        assert {url for _, url in re.findall(r'(xlink:href|href)="([^#"][^"]*)"', svg)} == set()


def test_the_policy_forbids_scripts_and_admits_the_style(document: str) -> None:
    policy = next(
        given["content"]
        for tag, given in Reader(document).elements
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", document, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_it_says_the_figures(document: str) -> None:
    made = content()
    texts = Reader(document).texts
    for value in (auc(made.labels, made.probabilities), ks(made.labels, made.probabilities).statistic):
        assert f"{value:.4f}" in texts
    assert "4,000" in texts
    for title in ("Score bands", "Scorecard", "What was disclosed", "Parameters", "Stability", "Calibration"):
        assert title in texts


def test_the_same_input_gives_the_same_bytes(document: str) -> None:
    assert render_report(content()) == document


def test_with_the_least(tmp_path: Path) -> None:
    least = content(
        n_rows=60,
        facts={},
        expected_probabilities=None,
        feature_stability={},
        importance=None,
        scorecard=None,
        compared={},
        disclosed=(),
        parameters={},
        remarks=(),
        threshold=0.3,
        n_bands=2,
    )
    document = render_report(least)
    texts = Reader(document).texts
    assert "The author of this report listed nothing here." in texts
    assert not {"Stability", "Scorecard", "Parameters", "Feature importance"} & set(texts)
    assert "(as chosen)" in document
    empty = render_report(content(n_rows=60, importance=ImportanceTable("gain", ())))
    assert "The model uses no feature." in empty


@pytest.mark.filterwarnings("error")
def test_names_that_no_font_and_no_formula_can_take() -> None:
    names = ["\u5e74\u9f84", "$\\frac{1}{$", "a\x00b\x1b[31m", "\ud800", "\u202egnp.exe", "", " ", "x" * 5000]
    table = tree_importance([Split("bank", name, 1.0, 1.0) for name in names])
    document = render_report(content(n_rows=60, importance=table, class_names=("\u597d", "<b>")))
    document.encode()
    assert not re.search("[\x00\x1b\ud800\u202e]", document)


def test_scores_that_are_all_the_same_and_perfect_ones() -> None:
    labels = [0, 1] * 10
    same = render_report(content(labels=labels, probabilities=[0.5] * 20, expected_probabilities=[0.5] * 9))
    assert "0.5000" in Reader(same).texts
    perfect = render_report(content(labels=labels, probabilities=[float(y) for y in labels]))
    assert "1.0000" in Reader(perfect).texts


def test_weights_count_rows() -> None:
    made = content(n_rows=60)
    document = render_report(content(n_rows=60, weights=[2.0] * 60))
    assert "120" in Reader(document).texts
    assert f"{auc(made.labels, made.probabilities):.4f}" in Reader(document).texts


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"labels\[0\] is 2"):
        write_report(path, content(labels=[2] * 4000))
    assert path.read_text() == "old"
    write_report(path, content(n_rows=60))
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(DataError):
        write_report(tmp_path / "none" / "report.html", content(n_rows=60))
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": [0] * 4000}, "every label is 0"),
        ({"probabilities": [0.5]}, "probabilities has 1 rows"),
        ({"probabilities": [1.5] * 4000}, "probabilities lie in"),
        ({"n_bands": 1}, "n_bands is 1"),
        ({"threshold": math.nan}, "threshold is NaN"),
        ({"expected_probabilities": []}, "expected is empty|must be numbers"),
        ({"weights": [-1.0] * 4000}, "weights are not negative"),
    ],
)
def test_bad_content(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render_report(content(**changes))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'crypsis\[learning\]'"):
        import_matplotlib()


def test_a_long_curve_keeps_its_ends_and_its_best_point() -> None:
    made = content(n_rows=20_000)
    curve = rank_curve(made.labels, made.probabilities)
    kept = thinned(curve)
    assert kept.size <= MAX_POINTS + 1
    assert kept[0] == 0
    assert kept[-1] == curve.thresholds.size - 1
    distance = abs(curve.true_positive_rate - curve.false_positive_rate)
    assert int(distance.argmax()) in kept


def test_pieces() -> None:
    assert text("<&\"'>") == "&lt;&amp;&quot;&#x27;&gt;"
    assert number(-1234.5, 1) == "−1,234.5"
    assert number(math.nan) == "n/a"
    assert number(math.inf) == "∞"
    assert (count(3.0), count(2.5)) == ("3", "2.50")
    assert (per_cent(0.125), per_cent(math.nan)) == ("12.5%", "n/a")
    assert (
        dark(f"fill: {LIGHT['ink']}; stroke: {LIGHT['paper']}")
        == f"fill: {DARK['ink']}; stroke: {DARK['paper']}"
    )
