# SPDX-License-Identifier: Apache-2.0
"""The page: which rows, figures and texts it has; and in a real browser. CRYPSIS_SCREENSHOTS=folder keeps what was
seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.learning import chromium

from crypsis.mpc.bench.report import newest, render

from .cases import row, scaling

pytest.importorskip("matplotlib", reason="reports need crypsis[learning]")

NASTY = "<script>window.stolen=1</script> $x$ \u202eabc"


def rows() -> list[dict[str, Any]]:
    limit = {"per_second": 200.0, "what": "AES: a block an item", "percent": 50.0}
    slow = row("kernels/slow", 5.0, iqr=0.1, peers={"peer": {"ratio": 0.4}})
    return [
        row("kernels/fast", 100.0, iqr=0.02, limit=limit, peers={"a": {"ratio": 3.0}, "b": {"ratio": 120.0}}),
        slow | {"cpu": "Without AVX-512", "cpu_flags": [], "skipped": {"gone": "it hung"}},
        row(NASTY, 7.0, suite="paillier", peers={NASTY: {"ratio": 1.5}}),
        row("hashing/old row", 3.0) | {"suite": None},
        *[scaling("rows", n, n, 0.2 + n * 1e-6) for n in (10_000, 100_000, 1_000_000)],
        *[scaling("threads", n, 1_000, 1 / n) for n in (1, 2, 4)],
        scaling("line", "LAN", 1_000, 1.0),
        scaling("line", "100 Mbit/s, 10 ms", 1_000, 3.0) | {"name": "scale/psi/vole/line 100 Mbit/s, 10 ms"},
    ]


def test_the_page_has_every_row_and_takes_texts_as_texts() -> None:
    page = render(rows())
    assert page == render(rows())
    for told in (
        "kernels/fast",
        "hashing/old row",
        "Without AVX-512",
        "it hung",
        "0123456789ab",
        "a block an item",
    ):
        assert told in page
    assert "<script" not in page
    assert "\u202e" not in page
    assert "seconds = 0.20 + 1 x millions of rows" in page


def test_the_newest_row_of_a_case_on_a_machine_is_shown() -> None:
    old, new = row(date="2026-01-01"), row(per_second=5.0, date="2026-02-01")
    other = row(cpu="Other", date="2025-01-01")
    forced = row(per_second=1.0, date="2026-03-01", forced_backend="portable")
    assert newest([new, old, other, forced]) == [other, new, forced]
    assert "A processor (forced: portable)" in render([new, forced])


def test_scaling_of_two_machines_and_of_two_sizes_is_not_mixed() -> None:
    made = [scaling("threads", n, 1_000, 1 / n) | {"name": f"threads {n}"} for n in (1, 2)]
    made += [scaling("threads", n, 50, 1.0) | {"name": f"threads {n}"} for n in (1, 2)]
    made += [scaling("rows", n, n, n / 1e4) for n in (10_000, 100_000)]
    made += [one | {"cpu": "Other"} for one in made[4:]]
    bare = row("scale/of another kind")
    del bare["suite"], bare["extra"]
    page = render([*made, bare])
    assert "Rows a second over threads: 2.00 times as many with 2 as with 1." in page
    assert page.count("<h3>vole [1]: rows</h3>") == page.count("<h3>vole [2]: rows</h3>") == 1


def test_no_rows_and_no_matplotlib_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.errors import BackendUnavailable

    with pytest.raises(ValueError, match="no rows"):
        render([])
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'crypsis\[learning\]'"):
        render(rows())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    binary = chromium.find()
    if binary is None:
        pytest.skip("no chromium here: the page is checked in a real browser where there is one")
    folder = tmp_path_factory.mktemp("bench")
    (folder / "bench.html").write_text(render(rows()), encoding="utf-8")
    with chromium.Chromium(binary, folder / "profile") as started:
        started.open((folder / "bench.html").as_uri())
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 740)])
def test_the_page_fits_and_shows_its_figures(
    browser: chromium.Chromium, width: int, height: int, scheme: str
) -> None:
    browser.width(width, height, scheme=scheme)
    shown = browser.value(
        "Promise.all([...document.images].map(i => i.decode())).then(() =>"
        " [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth, i.alt.length]))"
    )
    assert len(shown) == 6  # peers and limits of kernels, peers of paillier, rows, threads, lines
    assert all(
        complete and natural > 300 and wide > 250 and words > 20 for complete, natural, wide, words in shown
    )
    beyond = browser.value(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.matches('.skip')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    picture = browser.screenshot()
    assert picture.startswith(b"\x89PNG")
    folder = os.environ.get("CRYPSIS_SCREENSHOTS")
    if folder:
        Path(folder, f"bench-{width}-{scheme}.png").write_bytes(picture)


def test_nothing_runs_and_nothing_is_fetched(browser: chromium.Chromium) -> None:
    assert browser.value("document.scripts.length") == 0
    assert browser.value("typeof window.stolen") == "undefined"
    assert browser.complaints == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data"}
    assert browser.value(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    ) == browser.value("document.querySelectorAll('[id]').length")
