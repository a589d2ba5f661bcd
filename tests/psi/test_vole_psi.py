# SPDX-License-Identifier: Apache-2.0
"""VOLE-PSI against the plain intersection: sizes round bin edges, both securities and settings, who learns what, the
exact bytes, and that no message depends on the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.psi import vole
from crypsis.mpc.psi.layout import Layout, outer_bins
from crypsis.mpc.psi.vole import KeyBins, intersect_digests, open_session

from .pair import Recorder, both, recorded_pair, spawn

RNG = np.random.default_rng(20261122)


def digests(n: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, 16), np.uint8)


def sets(n_receiver: int, n_sender: int, n_common: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys of each party, in random order, n_common of them in both."""
    every = digests(n_receiver + n_sender - n_common)
    receiver, sender = every[:n_receiver], every[n_receiver - n_common :]
    return RNG.permutation(receiver), RNG.permutation(sender)


def common(a: np.ndarray, b: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in a} & {row.tobytes() for row in b}


def run(
    receiver: np.ndarray, sender: np.ndarray, *, broadcast: bool = False, **options: Any
) -> tuple[Any, Any, Recorder, Recorder, Layout]:
    layout = Layout(len(receiver), len(sender), **options)
    kept: dict[str, Any] = {}

    def party(role: Any, keys: np.ndarray) -> Any:
        def go(channel: Any) -> Any:
            kept[role] = channel
            return intersect_digests(channel, role, keys, layout, broadcast=broadcast, threads=1)

        return go

    futures = both(party("receiver", receiver), party("sender", sender))
    return futures[0].result(), futures[1].result(), kept["receiver"], kept["sender"], layout


def check(receiver: np.ndarray, sender: np.ndarray, *, broadcast: bool = True, **options: Any) -> Layout:
    own, theirs, left, right, layout = run(receiver, sender, broadcast=broadcast, **options)
    assert len(own) == len(set(own.tolist()))
    assert {receiver[i].tobytes() for i in own} == common(receiver, sender)
    if broadcast:  # the same order at both
        assert np.array_equal(receiver[own], sender[theirs])
    else:
        assert theirs is None
    of_sender, of_receiver = layout.vole_bytes(1)
    sent = [sum(len(m) for stream in end.sent.values() for m in stream) for end in (left, right)]
    assert sent[0] == of_receiver + layout.receiver_bytes(broadcast=broadcast)
    assert sent[1] == of_sender + layout.sender_bytes()
    return layout


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize(
    ("n_receiver", "n_sender", "n_common"),
    [
        (0, 0, 0),
        (0, 3, 0),
        (3, 0, 0),
        (1, 1, 1),
        (1, 1, 0),
        (2, 2, 1),
        (2, 2, 2),
        (1, 1000, 1),
        (1000, 1, 0),
        (300, 300, 300),
    ],
)
def test_tiny_sets(security: Any, n_receiver: int, n_sender: int, n_common: int) -> None:
    check(*sets(n_receiver, n_sender, n_common), security=security)


@pytest.mark.parametrize("n", [1023, 1024, 1025, 3000, 4096])
@pytest.mark.parametrize("inner_keys", [256, 1024])
def test_around_bin_edges(n: int, inner_keys: int) -> None:
    layout = check(*sets(n, n - 1, n // 2), inner_keys=inner_keys)
    assert layout.inner == -(-n // inner_keys)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_and_full_overlap(share: float) -> None:
    check(*sets(5000, 5000, int(5000 * share)), inner_keys=1000)


@pytest.mark.parametrize(("n_receiver", "n_sender"), [(20, 200_000), (200_000, 20)])
def test_one_to_ten_thousand(n_receiver: int, n_sender: int) -> None:
    check(*sets(n_receiver, n_sender, 7), broadcast=False)
    check(*sets(n_receiver, n_sender, 20), security="malicious")


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("setting", ["fast", "low-communication"])
def test_settings(security: Any, setting: Any) -> None:
    check(*sets(60_000, 55_000, 30_000), security=security, setting=setting)


@pytest.mark.parametrize(
    "log_n", [10, 11, 12, 13, *(pytest.param(n, marks=pytest.mark.slow) for n in range(14, 21))]
)
def test_powers_of_two(log_n: int) -> None:
    n = 1 << log_n
    for receiver, sender in ((n, n), (n - 1, n + 1)):
        check(*sets(receiver, sender, n // 3), broadcast=bool(log_n % 2))


def test_both_fields_are_used() -> None:
    assert Layout(10, 1 << 24).field == 64
    assert Layout(10, (1 << 24) + 1).field == 128
    assert Layout(10, 10, security="malicious").field == 128
    check(*sets(700, 900, 300), security="semi-honest")


def test_field_of_128_bits_when_semi_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypsis.mpc.psi.layout.SMALL_FIELD_KEYS", 0)
    assert Layout(10, 10).field == 128
    check(*sets(700, 900, 300), inner_keys=200)


def test_threads_take_several_bins_at_a_time() -> None:
    receiver, sender = sets(3000, 2500, 1200)
    layout = Layout(3000, 2500, inner_keys=300)
    futures = both(
        lambda c: intersect_digests(c, "receiver", receiver, layout, broadcast=True, threads=3),
        lambda c: intersect_digests(c, "sender", sender, layout, broadcast=True, threads=2),
    )
    own, theirs = (future.result() for future in futures)
    assert np.array_equal(receiver[own], sender[theirs])
    assert len(own) == 1200


def bins_of(keys: np.ndarray, layout: Layout) -> list[tuple[int, KeyBins, np.ndarray]]:
    """Outer bins by the last digest word, as spilling makes them."""
    from crypsis import partition

    outer = keys[:, 12:].copy().view("<u4")[:, 0].astype(np.uint64) * np.uint64(layout.n_outer) >> np.uint64(
        32
    )
    made = []
    for bin in range(layout.n_outer):
        rows = np.flatnonzero(outer == bin)
        grouped, order, starts = partition.by_bin(np.ascontiguousarray(keys[rows]), layout.inner)
        made.append((bin, KeyBins(grouped, starts), rows[order]))
    return made


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_many_outer_bins_in_one_session(security: Any) -> None:
    receiver, sender = sets(4000, 3500, 1500)
    layout = Layout(4000, 3500, n_outer=5, inner_keys=200, security=security)
    own_bins, peer_bins = bins_of(receiver, layout), bins_of(sender, layout)

    def party(role: Any, bins: Any) -> Any:
        def go(channel: Any) -> Any:
            session = open_session(channel, role, layout, broadcast=True, threads=1)
            return list(session.run((bin, keys) for bin, keys, _ in bins))

        return go

    own, theirs = (f.result() for f in both(party("receiver", own_bins), party("sender", peer_bins)))
    assert [bin for bin, _ in own] == list(range(5))
    matched = set()
    for (_, _, rows), (_, _, peer_rows), (_, i), (_, j) in zip(own_bins, peer_bins, own, theirs, strict=True):
        assert np.array_equal(receiver[rows[i]], sender[peer_rows[j]])
        matched |= {receiver[row].tobytes() for row in rows[i]}
    assert matched == common(receiver, sender)


def test_no_message_depends_on_the_data() -> None:
    """Full against no overlap, and keys crowded in one place against even ones: messages of the same sizes."""

    def shapes(receiver: np.ndarray, sender: np.ndarray) -> Any:
        _, _, left, right, _ = run(receiver, sender, broadcast=True, inner_keys=500)
        return [
            {stream: [len(m) for m in messages] for stream, messages in end.sent.items()}
            for end in (left, right)
        ]

    receiver, sender = sets(4000, 4000, 4000)
    even = shapes(receiver, sender)
    assert even == shapes(*sets(4000, 4000, 0))
    # Half of the keys of one inner bin move to the others.
    words = receiver[:, :8].copy().view("<u8")[:, 0]
    low = np.flatnonzero(words < (1 << 64) // 8)[::2]
    receiver[low, 7] += RNG.integers(1, 8, len(low)).astype(np.uint8) << 5
    assert even == shapes(receiver, sender)


def test_tags_are_ascending_and_padded_to_the_bound() -> None:
    receiver, sender = sets(2000, 1500, 500)
    _, _, _, right, layout = run(receiver, sender, inner_keys=500)
    tags = [m for m in right.sent[vole.TAGS] if len(m) == layout.tags_bytes]
    assert len(tags) == layout.inner
    for message in tags:
        rows = [message[i : i + layout.tag_bytes] for i in range(0, len(message), layout.tag_bytes)]
        assert len(rows) == layout.sender_bound
        assert rows == sorted(rows)
        assert len(set(rows)) == len(rows)


def test_two_runs_have_nothing_in_common() -> None:
    receiver, sender = sets(300, 300, 300)
    seen = []
    for _ in range(2):
        _, _, left, right, layout = run(receiver, sender)
        tags = next(m for m in right.sent[vole.TAGS] if len(m) == layout.tags_bytes)
        seen.append({tags[i : i + layout.tag_bytes] for i in range(0, len(tags), layout.tag_bytes)})
        seen.append(set(left.sent[vole.TABLE]))
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[3]


def test_a_bin_over_its_bound_is_refused_before_it_is_sent() -> None:
    receiver, sender = sets(2000, 2000, 100)
    layout = Layout(2000, 2000, inner_keys=200)
    crowded = KeyBins(
        receiver, np.array([0] + [2000] * layout.inner, np.uint64)
    )  # all in the first inner bin

    def exchange(channel: Any) -> Any:
        return list(open_session(channel, "receiver", layout, threads=1).run([(0, crowded)]))

    futures = both(exchange, lambda c: intersect_digests(c, "sender", sender, layout, threads=1))
    error = futures[0].exception()
    assert isinstance(error, DataError)
    assert "bin 0.0 has 2000 keys" in str(error)
    told = str(futures[1].exception())
    assert "DataError" in told  # and nothing of what is private
    assert "bound" not in told


def test_other_bins_at_the_peer_are_refused_by_both() -> None:
    receiver, sender = sets(100, 100, 10)
    futures = both(
        lambda c: intersect_digests(c, "receiver", receiver, Layout(100, 100), threads=1),
        lambda c: intersect_digests(c, "sender", sender, Layout(100, 101), threads=1),
    )
    errors = [future.exception() for future in futures]
    assert any(isinstance(error, ConfigError) and "other bins" in str(error) for error in errors)
    assert all(error is not None for error in errors)


def test_sizes_of_outer_bins() -> None:
    assert outer_bins(0) == 1
    assert outer_bins(1 << 21) == 1
    assert outer_bins((1 << 21) + 1) == 2
    assert outer_bins(1 << 40, 1) == 4096


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"n_receiver": -1}, "n_receiver"), ({"n_sender": 1 << 32}, "n_sender"), ({"n_outer": 0}, "n_outer")],
)
def test_bad_sizes(arguments: dict[str, int], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Layout(**({"n_receiver": 1, "n_sender": 1} | arguments))


def test_tag_length_is_that_of_the_formula() -> None:
    """sigma + log2(n_x n_y) - log2(bins) bits [RS21], here over the bounds and over all pairs of the union."""
    layout = Layout(1 << 20, 1 << 20)
    bits = 40 + 20 + 20 - np.log2(layout.n_bins)
    assert bits <= 8 * layout.tag_bytes <= bits + 8 + 2.5
    assert Layout(10, 10, security="malicious").tag_bytes == 16


def test_the_session_ends_where_the_consumer_stops() -> None:
    receiver, sender = sets(500, 500, 50)
    layout = Layout(500, 500)
    ends = recorded_pair()

    def go() -> Any:
        session = open_session(ends[0], "receiver", layout, threads=1)
        work = session.run([(0, bins_of(receiver, layout)[0][1])])
        work.close()  # never started: nothing to end
        ends[0].abort("enough")

    first = spawn(go)
    second = spawn(lambda: intersect_digests(ends[1], "sender", sender, layout, threads=1))
    assert first.exception(30) is None
    assert second.exception(30) is not None
