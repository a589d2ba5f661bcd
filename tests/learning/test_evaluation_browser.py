# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser: desk and phone, light and dark, and on paper. CRYPSIS_SCREENSHOTS=folder keeps what
was seen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypsis.mpc.learning.evaluation import write_report

from . import chromium
from .report_cases import content

BINARY = chromium.find()
if BINARY is None:
    pytest.skip(
        "no chromium here: the report is checked in a real browser where there is one",
        allow_module_level=True,
    )
pytest.importorskip("matplotlib", reason="reports need crypsis[learning]")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder / "report.html", content())
    assert BINARY is not None
    with chromium.Chromium(BINARY, folder / "profile") as started:
        started.open((folder / "report.html").as_uri())
        yield started


def keep(name: str, data: bytes) -> None:
    folder = os.environ.get("CRYPSIS_SCREENSHOTS")
    if folder:
        Path(folder, name).write_bytes(data)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (768, 1024), (360, 740)])
def test_the_page_fits_and_shows_its_figures(
    browser: chromium.Chromium, width: int, height: int, scheme: str
) -> None:
    browser.width(width, height, scheme=scheme)
    shown = browser.value(
        "Promise.all([...document.images].map(i => i.decode())).then(() =>"
        " [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth, i.alt.length]))"
    )
    assert len(shown) == 8
    assert all(
        complete and natural > 300 and wide > 250 and words > 20 for complete, natural, wide, words in shown
    )
    assert browser.value("document.documentElement.scrollWidth") <= width
    # Nothing but a table that scrolls in its own frame reaches beyond the window.
    beyond = browser.value(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.matches('.skip')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    keep(f"report-{width}-{scheme}.png", browser.screenshot())


def test_nothing_runs_and_nothing_is_fetched(browser: chromium.Chromium) -> None:
    assert browser.value("document.scripts.length") == 0
    assert browser.value("typeof window.stolen") == "undefined"
    assert browser.complaints == []
    assert browser.requests != []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data"}
    # The style sheet was admitted by its hash.
    assert browser.value("getComputedStyle(document.querySelector('h1')).fontWeight") == "700"
    assert browser.value("getComputedStyle(document.querySelector('.figures')).display") == "grid"


def test_text_has_contrast(browser: chromium.Chromium) -> None:
    """WCAG 2, 1.4.3: at least 4.5 : 1, of every element with text of its own against the paper behind it."""
    script = """(() => {
      const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126*r + 0.7152*g + 0.0722*b; };
      const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
      return [...document.querySelectorAll('body *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .map(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
          return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 60)]; })
        .filter(([ratio]) => ratio < 4.5); })()"""
    for scheme in ("light", "dark"):
        browser.width(1280, 900, scheme=scheme)
        assert browser.value(script) == []


def test_the_keyboard_and_a_screen_reader_find_their_way(browser: chromium.Chromium) -> None:
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert browser.value("document.documentElement.lang") == "en"
    assert browser.value("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
    assert browser.value("[...document.querySelectorAll('th')].every(e => ['row', 'col'].includes(e.scope))")
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.caption.innerText.length > 4)")
    assert browser.value(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    ) == browser.value("document.querySelectorAll('[id]').length")


def test_it_prints(browser: chromium.Chromium) -> None:
    browser.width(1280, 900, scheme="dark")
    printed = browser.pdf()
    assert printed.startswith(b"%PDF-")
    pages = printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") + printed.count(b"/Type /Page/")
    assert 3 <= pages <= 14
    keep("report.pdf", printed)
