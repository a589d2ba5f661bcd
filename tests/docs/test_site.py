# SPDX-License-Identifier: Apache-2.0
"""The site: diagrams are drawn, what cannot be drawn is refused; with mkdocs, broken links are found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from tests.learning import chromium
from tools.docs_site import sequence

from .pages import PAGES, ROOT, Block, blocks, name_of

DIAGRAMS = [(page, block) for page in PAGES for block in blocks(page, "mermaid")]
SHORT = "sequenceDiagram\nparticipant A as bank\nparticipant B\n"


def _drawn(text: str) -> ElementTree.Element:
    drawing = ElementTree.fromstring(sequence.svg(text))
    svg = drawing.find("svg")
    assert svg is not None
    return svg


def test_each_protocol_has_a_diagram() -> None:
    have = {name_of(page) for page, _ in DIAGRAMS}
    pages = ("psi-how", "vole-psi", "ot", "silent-ot", "query", "learning-linear", "learning-boosting")
    assert have == {f"docs/{page}.md" for page in pages}


@pytest.mark.parametrize(("page", "block"), DIAGRAMS, ids=[f"{name_of(p)}:{b.line}" for p, b in DIAGRAMS])
def test_diagrams_are_drawn_whole(page: Path, block: Block) -> None:
    svg = _drawn(block.text)
    arrows = [line for line in svg.iter("line") if "arrow" in line.get("class", "")]
    assert len(arrows) == len(re.findall(r"->>", block.text))
    told = {text.text for text in svg.iter("text")}
    for words in re.findall(r"->>\w+: (.+)$", block.text, re.MULTILINE):
        assert {part.strip() for part in words.split("<br/>")} <= told
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for text in svg.iter("text"):
        half = 7 * len(text.text or "") / 2 if text.get("text-anchor") == "middle" else 0
        assert float(text.get("x", "")) - half >= -30, text.text
        assert float(text.get("x", "")) + half <= width + 30, text.text
        assert float(text.get("y", "")) <= height


def test_arrows_point_where_they_should() -> None:
    svg = _drawn(SHORT + "A->>B: x < y & z\nB-->>A: back\nNote over A,B: both\nNote over B: one<br/>two\n")
    right, left = (line for line in svg.iter("line") if "arrow" in line.get("class", ""))
    assert float(right.get("x1", "")) < float(right.get("x2", ""))
    assert float(left.get("x1", "")) > float(left.get("x2", ""))
    assert "dashed" in left.get("class", "")
    assert [t.text for t in svg.iter("text")] == ["bank", "B", "x < y & z", "back", "both", "one", "two"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flowchart\n", "begins with 'sequenceDiagram'"),
        ("sequenceDiagram\nparticipant A\n", "two at least"),
        (SHORT + "A->>C: x\n", "'C' is no participant"),
        (SHORT + "A->B: x\n", "cannot be drawn"),
        (SHORT + "loop for ever\nA->>B: x\n", "'end' is missing"),
        (SHORT + "end\n", "'end' without a frame"),
        (SHORT + "A->>B: x; y\n", "has ';' or '#'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sequence.svg(text)


def test_docstrings_are_taken_apart() -> None:
    pytest.importorskip("markdown", reason="needs mkdocs: make docs")
    from tools.docs_site.docstrings import spaced

    told = [
        "Takes one of",
        "- a;",
        "  more of a",
        "- b.",
        "",
        "Assumes   this",
        "          and that",
        "Leaks  sizes",
    ]
    meant = ["Takes one of", "", *told[1:5], "**Assumes:** this", told[6], "", "**Leaks:** sizes"]
    assert spaced(told) == meant


def test_every_page_is_in_the_navigation() -> None:
    named = set(
        re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    have = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name in named if not name.startswith("repository/")} == have


def _build(folder: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does. Not `--quiet`: mkdocs then counts no warnings, and a broken link passes."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        str(folder / "mkdocs.yml"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with a module that is installed nowhere; its site is built."""
    if find_spec("mkdocs") is None:
        pytest.skip("needs mkdocs: make docs")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("docs", "mkdocs.yml", "tools", "bindings", "mpc", "benchmarks", "csrc", "kernels"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(source, folder / name)
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE"):
        shutil.copy(path, folder)
    new = '"""Only in this checkout."""\n\n\ndef only_here() -> None:\n    """Not installed."""\n'
    (folder / "bindings" / "crypsis" / "novelty.py").write_text(new, encoding="utf-8")
    done = _build(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_is_whole(checkout: Path) -> None:
    site = checkout / "build" / "site"
    rows = (site / "repository/benchmarks/results/2026-11-22-curve25519.jsonl.html").read_text(
        encoding="utf-8"
    )
    assert 'id="L1"' in rows
    assert "only_here" in (site / "api" / "novelty.html").read_text(encoding="utf-8")
    assert "scalar_mult" in (site / "api" / "curve25519.html").read_text(encoding="utf-8")
    assert 'class="sequence"' in (site / "psi-how.html").read_text(encoding="utf-8")
    languages = {page: _language(site / page) for page in ("psi.html", "zh/index.html")}
    assert languages == {"psi.html": "en", "zh/index.html": "zh"}
    outside = [
        (page.name, found)
        for page in site.rglob("*.html")
        for found in re.findall(
            r'<(?:script|link)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text(encoding="utf-8")
        )
    ]
    assert outside == []  # a page fetches nothing from elsewhere


def _language(page: Path) -> str:
    found = re.search(r'<html lang="(\w+)"', page.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_a_reader_finds_pages_in_both_languages(checkout: Path, tmp_path: Path) -> None:
    """In a real browser: what search answers, that nothing is wrong or wider than the window, that figures lead on."""
    binary = chromium.find()
    if binary is None:
        pytest.skip("no chromium here: the site is looked at in a real browser where there is one")
    handler = partial(Quiet, directory=str(checkout / "build" / "site"))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        chromium.Chromium(binary, tmp_path / "profile") as browser,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        try:
            for page in ("psi-how.html", "performance.html", "tenseal.html", "zh/index.html"):
                for width in (1280, 390):
                    browser.width(width, 900)
                    browser.open(base + page)
                    assert not browser.value("document.documentElement.scrollWidth > innerWidth"), page
            for words, page in (
                ("隐私集合求交", "zh/index.html"),
                ("不经意传输", "zh/index.html"),
                ("python-paillier", "phe.html"),
            ):
                found = _found(browser, base + "performance.html?q=" + quote(words))
                assert base + page in found
                assert not any(".jsonl" in address for address in found)
            browser.open(base + "performance.html")
            inside = "[...document.querySelectorAll('article a[href^=\"#\"]')].map(a => a.hash.slice(1))"
            assert len(browser.value(inside)) > 100
            assert browser.value(inside + ".filter(id => !document.getElementById(id))") == []
            browser.open(
                base + browser.value("document.querySelector('td a[href*=jsonl]').getAttribute('href')")
            )
            assert browser.value("document.querySelector(location.hash).innerText").startswith("Row ")
            assert [url for url in browser.requests if not url.startswith((base, "data:", "blob:"))] == []
            assert browser.complaints == []
        finally:
            server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """Serves the site and writes no log."""

    def log_message(self, format: str, *words: object) -> None:
        pass


def _found(browser: chromium.Chromium, url: str) -> list[str]:
    """The pages that search answers, best first, without their highlights."""
    browser.open(url)
    links = "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href)"
    end = time.monotonic() + 60
    while not (found := browser.value(links)) and time.monotonic() < end:
        time.sleep(0.1)
    return [address.split("?")[0].split("#")[0] for address in found]


@pytest.mark.slow
def test_a_broken_link_fails(checkout: Path) -> None:
    broken = (
        "nowhere.md",
        "psi.md#no-such-part",
        "../csrc/nowhere/NOTES.md",
        "../benchmarks/results/none.jsonl#L1",
    )
    with (checkout / "docs" / "ot.md").open("a", encoding="utf-8") as page:
        page.write("".join(f"\n[x]({target})\n" for target in broken))
    failed = _build(checkout)
    assert failed.returncode != 0
    assert [target for target in broken if target not in failed.stderr] == []
