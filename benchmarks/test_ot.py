# SPDX-License-Identifier: Apache-2.0
"""SoftSpokenOT: both parties in this process, two threads on one core, over the in-process channel with its copies.

The set-up is done before the clock, buffers are warm, every output is compared before anything is timed. Beside each
figure stand the AES rounds that both parties need, alone and in registers, measured alternately: the ratio is the share
of that limit.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Compare
from benchmarks.test_aes import limit, units_peer
from crypsis import backends, vole
from crypsis.mpc.ot import forms
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender, extension_bytes
from crypsis.mpc.transport import memory_pair

Size = Callable[[int, int], int]
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


@pytest.fixture(scope="module", autouse=True)
def one_core_and_a_warm_heap() -> Iterator[None]:
    """Messages of a quarter MiB come from a heap that keeps its pages: first touch is not what is measured."""
    libc = ctypes.CDLL(None)
    for name, value in ((M_ARENA_MAX, 1), (M_TRIM_THRESHOLD, 1 << 30), (M_MMAP_THRESHOLD, 32 << 20)):
        libc.mallopt(name, value)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})  # threads that start from here on inherit it
    yield
    os.sched_setaffinity(0, before)


class Pair:
    """Two parties whose threads wait for work: `run` gives each its part and returns when both are done."""

    def __init__(self, k: int, security: str) -> None:
        self._barrier = threading.Barrier(3)
        self._work: list[Callable[[Any], Any] | None] = [None, None]
        self.results: list[Any] = [None, None]
        self.channels = memory_pair()
        kinds = (SoftSpokenSender, SoftSpokenReceiver)
        self._threads = [
            threading.Thread(target=self._party, args=(i, kind, k, security), daemon=True)
            for i, kind in enumerate(kinds)
        ]
        for thread in self._threads:
            thread.start()

    def _party(self, i: int, kind: Any, k: int, security: str) -> None:
        source = kind(self.channels[i], session=b"benchmark", k=k, security=security, threads=1)
        while True:
            self._barrier.wait()
            work = self._work[i]
            if work is None:
                return
            try:
                self.results[i] = work(source)
            except BaseException:
                self._barrier.abort()  # the others stop waiting, with an error
                raise
            self._barrier.wait()

    def run(self, sender: Callable[[Any], Any], receiver: Callable[[Any], Any]) -> None:
        self._work = [sender, receiver]
        self._barrier.wait()
        self._barrier.wait()

    def close(self) -> None:
        self._work = [None, None]
        self._barrier.wait()
        for thread in self._threads:
            thread.join()


def exhaust(pieces: Iterator[Any]) -> None:
    for _ in pieces:
        pass


def check_correlated(pair: Pair, n: int) -> None:
    """All n outputs of both parties."""
    pair.run(
        lambda s: (np.concatenate([q.copy() for q in s.blocks(n)]), s.delta.copy()),
        lambda r: [(np.unpackbits(c, count=len(t), bitorder="little"), t.copy()) for c, t in r.blocks(n)],
    )
    (q, delta), pieces = pair.results
    at = 0
    for c, t in pieces:
        np.testing.assert_array_equal(t, q[at : at + len(t)] ^ c[:, None] * delta)
        at += len(t)
    assert at == n


def check_random(pair: Pair, n: int) -> None:
    pair.run(
        lambda s: np.concatenate([keys.copy() for keys in forms.random_send(s, n)]),
        lambda r: [
            (np.unpackbits(c, count=len(key), bitorder="little"), key.copy())
            for c, key in forms.random_receive(r, n)
        ],
    )
    keys, pieces = pair.results
    at = 0
    for c, key in pieces:
        part = keys[at : at + len(key)]
        np.testing.assert_array_equal(key, np.where(c[:, None] == 0, part[:, 0], part[:, 1]))
        at += len(key)
    assert at == n


def measure(
    compare: Compare,
    n: int,
    k: int,
    security: str,
    form: str,
    sender: Any,
    receiver: Any,
    check: Any,
    more: float,
) -> None:
    blocks = sum((2 << depth) - 1 for depth in vole.tree_depths(k)) / 128 + more
    backend = backends.runnable("vole")[0]
    name = {"avx2": "aesni"}.get(backend, backend)
    pair = Pair(k, security)
    try:
        compare(
            f"ot/softspoken/{form}/{security}/k {k}/both parties on one core",
            lambda: pair.run(sender, receiver),
            items=n,
            unit="OTs",
            check=lambda *_: check(pair, n),
            peers={"AES rounds alone": units_peer(name, n * blocks)},
            limit=limit(name, aes_per_item=blocks),
            extra={
                "backend": backend,
                "aes_blocks_an_ot": blocks,
                "bytes_an_ot": round(extension_bytes(n, k, security) / n, 4),
                "heap": "mallopt: one arena that keeps its pages",
            },
        )
    finally:
        pair.close()


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_correlated(compare: Compare, size: Size, k: int, security: str) -> None:
    n = size(1 << 20, 1 << 24)
    measure(
        compare,
        n,
        k,
        security,
        "correlated",
        lambda s: exhaust(s.blocks(n)),
        lambda r: exhaust(r.blocks(n)),
        check_correlated,
        0,
    )


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
def test_random(compare: Compare, size: Size, security: str) -> None:
    n = size(1 << 20, 1 << 24)
    measure(
        compare,
        n,
        4,
        security,
        "random",
        lambda s: exhaust(forms.random_send(s, n)),
        lambda r: exhaust(forms.random_receive(r, n)),
        check_random,
        3 if security == SEMI_HONEST else 6,
    )
