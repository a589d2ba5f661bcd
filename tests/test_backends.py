# SPDX-License-Identifier: Apache-2.0
"""The choice of a backend: what CRYPSIS_BACKEND may say, and that nothing in it is ignored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crypsis import backends, curve25519, hashing
from crypsis.errors import BackendUnavailable

ROWS = np.zeros((2, 32), np.uint8)
CALLS: list[Callable[[], object]] = [lambda: hashing.sha256(ROWS), lambda: curve25519.map_to_curve(ROWS)]


@pytest.mark.parametrize(
    ("text", "item", "what"),
    [
        ("hashin:avx2", "hashin:avx2", "names an unknown slug"),
        ("hashing:portable,mystery:avx2", "mystery:avx2", "names an unknown slug"),
        (":portable", ":portable", "names an unknown slug"),
        (" hashing:portable", " hashing:portable", "names an unknown slug"),
        ("hashing:", "hashing:", "names no backend"),
        ("hashing:portable,curve25519:", "curve25519:", "names no backend"),
        ("hashing:portable,curve25519", "curve25519", "has no colon"),
        ("portable,avx2", "portable", "has no colon"),
        ("hashing:portable,", "", "has no colon"),
        (",hashing:portable", "", "has no colon"),
        ("hashing:portable,hashing:avx2", "hashing:avx2", "names its slug a second time"),
        (
            "hashing:portable,curve25519:portable,hashing:portable",
            "hashing:portable",
            "names its slug a second time",
        ),
    ],
)
def test_a_wrong_list_is_refused_whichever_kernel_asks(
    monkeypatch: pytest.MonkeyPatch, text: str, item: str, what: str
) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", text)
    wanted = f"CRYPSIS_BACKEND is '{text}': item '{item}' {what}; "
    for call in (*CALLS, backends.check_forced):
        with pytest.raises(BackendUnavailable) as caught:
            call()
        line = str(caught.value)
        assert line.startswith(wanted)
        assert line.endswith("of the slugs " + ", ".join(backends.SLUGS))
        assert "\n" not in line
    hashing.sha256(ROWS, backend="portable")  # the argument wins over the variable


def test_a_list_may_name_some_slugs_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    best = {
        slug: backends.runnable(slug, "sha256" if slug == "hashing" else "")[0] for slug in backends.SLUGS
    }
    for text in ("curve25519:portable,hashing:portable", "hashing:portable", "curve25519:portable"):
        monkeypatch.setenv("CRYPSIS_BACKEND", text)
        for slug in ("hashing", "curve25519"):
            chosen = [row.backend for row in backends.report() if row.slug == slug and row.chosen]
            assert chosen[0] == ("portable" if slug in text else best[slug])
        backends.check_forced()


def test_nothing_set_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (None, ""):
        if text is None:
            monkeypatch.delenv("CRYPSIS_BACKEND", raising=False)
        else:
            monkeypatch.setenv("CRYPSIS_BACKEND", text)
        backends.check_forced()
        assert {row.slug for row in backends.report() if row.chosen} == set(backends.SLUGS)


def test_a_name_that_some_kernels_lack_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", "abacus")
    with pytest.raises(
        BackendUnavailable, match=r"CRYPSIS_BACKEND is 'abacus'.*hashing/sha256, .*curve25519"
    ):
        backends.check_forced()
    rows = backends.report()
    assert not any(row.chosen for row in rows)
    assert {row.reason for row in rows if row.supported} == {"CRYPSIS_BACKEND asks for 'abacus'"}
    monkeypatch.setenv("CRYPSIS_BACKEND", "hashing:")
    assert {row.reason for row in backends.report() if row.supported} == {"CRYPSIS_BACKEND is wrong"}
    for call in CALLS:
        with pytest.raises(BackendUnavailable, match="names no backend"):
            call()


@pytest.mark.parametrize("text", ["a\nb", "a\rb:c", b"\xff:\xfe".decode("utf-8", "surrogateescape")])
def test_unprintable_bytes_stay_out_of_the_message(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", text)
    for call in (*CALLS, backends.check_forced):
        with pytest.raises(BackendUnavailable) as caught:
            call()
        assert str(caught.value).isprintable()
