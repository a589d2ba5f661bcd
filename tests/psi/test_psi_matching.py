# SPDX-License-Identifier: Apache-2.0
"""Tags: their width, and which of two sets are in common, also where leading words collide or sets fall into ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import ProtocolAbort
from crypsis.mpc.psi import matching
from crypsis.mpc.psi.matching import TagSet, match, tag_bytes


def tag_set(tags: list[bytes], width: int) -> TagSet:
    made = TagSet(len(tags), width)
    if tags:
        made.append(np.frombuffer(b"".join(tags), dtype=np.uint8).reshape(-1, width))
    return made


def in_common(own: list[bytes], peer: list[bytes]) -> list[tuple[int, int]]:
    return [(own.index(tag), j) for j, tag in enumerate(peer) if tag in own]


def found(own: list[bytes], peer: list[bytes], width: int) -> list[tuple[int, int]]:
    i, j = match(tag_set(own, width), tag_set(peer, width))
    return list(zip(i.tolist(), j.tolist(), strict=True))


@pytest.mark.parametrize(
    ("n_own", "n_peer", "n_bytes"),
    [
        (0, 0, 8),
        (1, 1, 8),
        (2896, 2896, 8),  # 5,792 items: 2^23.9997 pairs
        (2897, 2897, 9),
        (1_000_000, 1_000_000, 11),
        (10_000_000, 10_000_000, 11),
        (8_000_000, 1, 11),  # pairs within the large set count
        (179_403_599, 401_650_772, 13),
        (1 << 28, 1 << 28, 13),
        (1 << 43, 1 << 43, 16),
        (1 << 60, 1 << 60, 16),
    ],
)
def test_tag_width(n_own: int, n_peer: int, n_bytes: int) -> None:
    assert tag_bytes(n_own, n_peer) == tag_bytes(n_peer, n_own) == n_bytes
    if 8 < n_bytes < 16:
        n_items = n_own + n_peer
        assert math.comb(n_items, 2) << 40 <= 1 << 8 * n_bytes
        assert math.comb(n_items, 2) << 40 > 1 << 8 * (n_bytes - 1)


@pytest.mark.parametrize("width", range(8, 17))
def test_every_width_compares_every_byte(width: int) -> None:
    base = bytes(range(100, 100 + width))
    for position in range(width):
        other = bytearray(base)
        other[position] ^= 1
        assert found([base], [bytes(other)], width) == []
    assert found([base], [base], width) == [(0, 0)]


@pytest.mark.parametrize("width", [7, 17])
def test_other_widths_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match=str(width)):
        TagSet(1, width)


def test_equal_heads_with_different_rests() -> None:
    head = b"\x05" * 8
    own = [head + bytes([i, 0]) for i in (9, 3, 7, 1)] + [b"\x06" * 10]
    peer = [head + bytes([i, 0]) for i in (2, 1, 9, 4)] + [b"\x07" * 10]
    assert found(own, peer, 10) == [(3, 1), (0, 2)]


def test_the_same_tag_twice_ends_the_job() -> None:
    tags = [b"\x05" * 9, b"\x06" * 9, b"\x05" * 9]
    with pytest.raises(ProtocolAbort, match="the peer's tags hold the same item twice"):
        match(tag_set([], 9), tag_set(tags, 9))


def test_more_tags_than_announced_end_the_job() -> None:
    tags = TagSet(1, 8)
    with pytest.raises(ProtocolAbort, match="more than the 1 items"):
        tags.append(np.zeros((2, 8), np.uint8))


def test_surplus_bytes_of_a_row_are_dropped() -> None:
    own, peer = TagSet(1, 9), TagSet(1, 9)
    rows = np.zeros((1, 32), np.uint8)
    own.append(rows)
    rows[0, 9:] = 1
    peer.append(rows)
    assert len(match(own, peer)[0]) == 1


@pytest.mark.parametrize("range_items", [1, 3, 50, 1 << 20])
@pytest.mark.parametrize("width", [8, 9, 12, 13, 16])
def test_ranges_give_the_same_pairs(range_items: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_RANGE_ITEMS", range_items)
    random = np.random.default_rng(width)
    pool = [random.bytes(width) for _ in range(300)]
    own, peer = pool[:200], pool[150:][::-1]
    assert found(own, peer, width) == in_common(own, peer)


@settings(max_examples=60, deadline=None)
@given(
    own=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), unique=True, max_size=24),
    peer=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), unique=True, max_size=24),
    width=st.integers(9, 16),
)
def test_random_sets_with_many_equal_heads(
    own: list[tuple[int, int]], peer: list[tuple[int, int]], width: int
) -> None:
    def tags(items: list[tuple[int, int]]) -> list[bytes]:
        return [bytes([head << 6] * 8) + bytes([rest] * (width - 8)) for head, rest in items]

    assert found(tags(own), tags(peer), width) == in_common(tags(own), tags(peer))
