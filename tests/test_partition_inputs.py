# SPDX-License-Identifier: Apache-2.0
"""partition: bad arguments and bad peers are refused with a message that says what to do, and `out` stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import backends, partition
from crypsis.errors import BackendUnavailable, CorruptData

every_backend = pytest.mark.parametrize("backend", backends.runnable("partition"))


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def starts(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def numbered(n: int, width: int = 10) -> np.ndarray:
    """Tags that ascend."""
    tags = zeros(n, width)
    tags[:, :8] = np.arange(n, dtype=">u8").view(np.uint8).reshape(n, 8)
    return tags


CALLS: dict[str, Callable[..., Any]] = {
    "by_bin": lambda **o: partition.by_bin(zeros(9, 16), 3, **o),
    "records": lambda **o: partition.records(zeros(9, 16), 3, **o),
    "group": lambda **o: partition.group(zeros(9, 16), 3, **o),
    "sort_tags": lambda **o: partition.sort_tags(zeros(9, 12), starts(0, 4, 9), **o),
    "match": lambda **o: partition.match(numbered(9), starts(0, 4, 9), numbered(3), starts(0, 3, 3), **o),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_options_are_checked(call: Callable[..., Any]) -> None:
    with pytest.raises(BackendUnavailable, match="'sse9' does not exist for partition"):
        call(backend="sse9")
    for threads in (0, -1, 5000):
        with pytest.raises(ValueError, match="threads is"):
            call(threads=threads)
    with pytest.raises(TypeError, match="threads is str"):
        call(threads="2")
    with pytest.raises(TypeError, match="backend is int"):
        call(backend=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: partition.by_bin(zeros(3, 15), 2), r"keys has shape \(3, 15\): give uint8\[n, 16\]"),
        (lambda: partition.by_bin(zeros(48), 2), "keys has shape"),
        (lambda: partition.by_bin(zeros(6, 16)[::2], 2), "keys is not C-contiguous"),
        (lambda: partition.by_bin(zeros(3, 16), 0), "n_bins is 0: give 1 to 16777216"),
        (lambda: partition.by_bin(zeros(3, 16), 2**24 + 1), "n_bins is 16777217"),
        (lambda: partition.records(zeros(3, 12), 2), "digests has shape"),
        (lambda: partition.records(zeros(3, 16), -1), "n_bins is -1"),
        (lambda: partition.records(zeros(3, 16), 2, first_row=-1), "first_row is -1"),
        (
            lambda: partition.records(zeros(3, 16), 2, first_row=2**32 - 3),
            "at most 4294967295 rows, split the input",
        ),
        (lambda: partition.records(zeros(3, 16), 2, rows=np.zeros(2, np.uint32)), r"rows has shape \(2,\)"),
        (
            lambda: partition.records(zeros(1, 16), 2, rows=np.zeros(1, np.uint32), first_row=1),
            "give one of them",
        ),
        (lambda: partition.group(zeros(3, 17), 2), "records has shape"),
        (lambda: partition.group(zeros(3, 16), 0), "n_bins is 0"),
        (
            lambda: partition.group(zeros(3, 16), 2, out=partition.group_buffers(2)),
            r"need group_buffers\(3\)",
        ),
        (lambda: partition.group_buffers(-1), "capacity is -1"),
        (lambda: partition.sort_tags(zeros(3, 7), starts(0, 3)), r"width 8 to 16"),
        (lambda: partition.sort_tags(zeros(3, 17), starts(0, 3)), "tags has shape"),
        (lambda: partition.sort_tags(zeros(3, 9), starts(3)), "starts has shape"),
        (
            lambda: partition.sort_tags(zeros(3, 9), starts(0, 2)),
            "starts goes from 0 to 2: it goes from 0 to the 3",
        ),
        (lambda: partition.sort_tags(zeros(3, 9), starts(1, 3)), "starts goes from 1 to 3"),
        (lambda: partition.sort_tags(zeros(3, 9), starts(0, 2, 1, 3)), r"starts\[2\] is 1 after 2"),
        (
            lambda: partition.sort_tags(zeros(3, 9), starts(0, 2**63, 3)),
            r"starts\[2\] is 3 after 9223372036854775808",
        ),
        (
            lambda: partition.match(zeros(1, 9), starts(0, 1), zeros(1, 10), starts(0, 1)),
            "own has tags of 9 bytes and peer of 10",
        ),
        (
            lambda: partition.match(zeros(1, 9), starts(0, 1), zeros(1, 9), starts(0, 1, 1)),
            r"own_starts has shape \(2,\) and peer_starts \(3,\)",
        ),
        (
            lambda: partition.match(zeros(1, 9), starts(0, 2), zeros(1, 9), starts(0, 1)),
            "own_starts goes from 0 to 2",
        ),
        (
            lambda: partition.match(zeros(1, 9), starts(0, 1), zeros(1, 9), starts(0, 0)),
            "peer_starts goes from",
        ),
    ],
)
def test_bad_values(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "bad", [[1, 2], b"0123456789abcdef", np.zeros((2, 16)), None, np.zeros((2, 16), np.int8)]
)
def test_bad_types(bad: Any) -> None:
    for call in (
        lambda value: partition.by_bin(value, 2),
        lambda value: partition.records(value, 2),
        lambda value: partition.group(value, 2),
        lambda value: partition.sort_tags(value, starts(0, 2)),
        lambda value: partition.sort_tags(zeros(2, 16), value),
        lambda value: partition.match(value, starts(0, 2), zeros(2, 16), starts(0, 2)),
        lambda value: partition.match(zeros(2, 16), starts(0, 2), zeros(2, 16), value),
    ):
        with pytest.raises(TypeError, match="give a NumPy array of"):
            call(bad)
    with pytest.raises(TypeError, match="rows is an array of int64: give a NumPy array of uint32"):
        partition.records(zeros(2, 16), 2, rows=np.zeros(2, np.int64))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="n_bins is float"):
        partition.by_bin(zeros(2, 16), 2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="n_bins is bool"):
        partition.group(zeros(2, 16), True)


def test_bad_outputs() -> None:
    order = np.zeros(4, np.uint32)
    with pytest.raises(TypeError, match=r"out is an array of uint8: give a tuple of arrays \(keys, order\)"):
        partition.by_bin(zeros(4, 16), 2, out=zeros(4, 16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keys of out has shape"):
        partition.by_bin(zeros(4, 16), 2, out=(zeros(5, 16), order))
    with pytest.raises(TypeError, match="order of out is an array of uint8"):
        partition.by_bin(zeros(4, 16), 2, out=(zeros(4, 16), zeros(4)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out has shape"):
        partition.records(zeros(4, 16), 2, out=zeros(4, 12))
    read_only = zeros(4, 16)
    read_only.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        partition.records(zeros(4, 16), 2, out=read_only)
    with pytest.raises(TypeError, match="out is tuple: give a Groups"):
        partition.group(zeros(4, 16), 2, out=(zeros(4, 16),))  # type: ignore[arg-type]
    small = partition.group_buffers(4)._replace(keys=zeros(3, 16))
    with pytest.raises(ValueError, match="keys of out has shape"):
        partition.group(zeros(4, 16), 2, out=small)


def test_outputs_that_overlap_are_refused() -> None:
    memory = zeros(4096)
    rows = memory[:320].reshape(20, 16)
    with pytest.raises(ValueError, match="out overlaps digests"):
        partition.records(rows, 2, out=memory[16:336].reshape(20, 16))
    with pytest.raises(ValueError, match="keys of out overlaps keys"):
        partition.by_bin(rows, 2, out=(rows, np.zeros(20, np.uint32)))
    with pytest.raises(ValueError, match="order of out overlaps keys"):
        partition.by_bin(rows, 2, out=(zeros(20, 16), memory[:80].view(np.uint32)))
    with pytest.raises(ValueError, match="order of out overlaps keys"):
        partition.by_bin(zeros(20, 16), 2, out=(rows, memory[:80].view(np.uint32)))
    ids = memory[512:592].view(np.uint32)
    with pytest.raises(ValueError, match="out overlaps rows"):
        partition.records(zeros(20, 16), 2, rows=ids, out=memory[500:820].reshape(20, 16))
    with pytest.raises(ValueError, match="tags of out overlaps tags"):
        partition.sort_tags(rows, starts(0, 20), out=(rows, np.zeros(20, np.uint32)))


def test_nothing_is_written_on_an_error() -> None:
    out, order = np.full((4, 16), 7, np.uint8), np.full(4, 7, np.uint32)
    for call in (
        lambda: partition.by_bin(zeros(4, 16), 2, out=(out, order), backend="sse9"),
        lambda: partition.records(zeros(4, 16), 2, out=out, backend="sse9"),
        lambda: partition.sort_tags(zeros(4, 16), starts(0, 4), out=(out, order), backend="sse9"),
        lambda: partition.sort_tags(zeros(4, 16), starts(0, 5), out=(out, order)),
        lambda: partition.sort_tags(zeros(4, 16), starts(0, 4), out=(out, order), threads=0),
        lambda: partition.records(zeros(4, 16), 2, out=out, first_row=2**32 - 2),
    ):
        with pytest.raises((ValueError, BackendUnavailable)):
            call()
    assert (out == 7).all()
    assert (order == 7).all()


def test_the_last_row_ids() -> None:
    records, _ = partition.records(zeros(3, 16), 1, first_row=2**32 - 4)
    assert records.view(np.uint32)[:, 3].tolist() == [2**32 - 4, 2**32 - 3, 2**32 - 2]


# What a peer sends


@every_backend
@pytest.mark.parametrize("width", [8, 10, 12, 13, 16])
@pytest.mark.parametrize("threads", [1, 2])
def test_peer_tags_out_of_order(backend: str, width: int, threads: int) -> None:
    options: dict[str, Any] = {"backend": backend, "threads": threads}
    n = 40_000
    own, limits = numbered(n, width), starts(0, 10_000, 10_000, n)
    for at in (10_000, 10_001, 25_000, n - 2):
        for other in (at, at + 1):  # a tag twice; two exchanged
            peer = own.copy()
            peer[at + 1] = own[at]
            peer[at] = own[other]
            message = f"peer tags {at - 10_000} and {at - 9_999} of bin 2 are not strictly ascending"
            with pytest.raises(CorruptData, match=message):
                partition.match(own, limits, peer, limits, **options)
    peer = own.copy()
    peer[9_999] = peer[9_998]
    peer[20_000] = peer[19_999]
    with pytest.raises(CorruptData, match="peer tags 9998 and 9999 of bin 0"):  # the first of several
        partition.match(own, limits, peer, limits, **options)
    with pytest.raises(CorruptData, match="peer tags 0 and 1 of bin 0"):  # no own tags
        partition.match(own[:0], starts(0, 0), peer[:2][::-1].copy(), starts(0, 2), **options)


@every_backend
@pytest.mark.parametrize("width", [8, 10, 12, 13, 16])
@pytest.mark.parametrize("n", [2, 10, 30, 5000])
def test_equal_own_tags(backend: str, width: int, n: int) -> None:
    """Whether the peer has the tag or not, however many are alike."""
    own = np.random.default_rng(n).integers(0, 256, (n, width), dtype=np.uint8)
    own[:, -1] |= 1
    limits = starts(0, 0, n)
    for peer in (zeros(0, width), zeros(1, width), own[:1]):
        peer_limits = starts(0, 0, len(peer))
        twice = own.copy()
        twice[n - 1] = twice[0]
        with pytest.raises(CorruptData, match=f"own tags 0 and {n - 1} of bin 1 are equal: merge equal keys"):
            partition.match(twice, limits, peer, peer_limits, backend=backend)
        with pytest.raises(CorruptData, match=r"own tags \d+ and \d+ of bin 1 are equal"):
            partition.match(np.repeat(own[:1], n, axis=0), limits, peer, peer_limits, backend=backend)
        # The same tag in another bin is no fault.
        both = np.concatenate([own[:1], own])
        partition.match(both, starts(0, 1, n + 1), peer, peer_limits, backend=backend)
