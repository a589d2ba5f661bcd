# SPDX-License-Identifier: Apache-2.0
"""VOLE-PSI in memory: digests in, indices out, both parties in one process on one core, base OTs included.

The limit is what the kernels alone take for the same sizes, measured in the same run: all else (Python, copies of
messages, waiting) is on top. No peer can be installed here: volepsi is built from source. Its 0.7 M/s semi-honest
and 1.06 M/s malicious were measured on another processor, so no ratio is given.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import aes, bitmatrix, hashing, okvs, partition
from crypsis.mpc.ot import silent_vole
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.vole import intersect_digests
from crypsis.mpc.transport import memory_pair

SEED = bytes(16)


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Everything here, the channel's threads too, on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def both(receiver: Callable[[Any], Any], sender: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Two parties with a channel between them, each in a thread."""
    results: list[Any] = [None, None]

    def run(i: int, party: Callable[[Any], Any], channel: Any) -> None:
        try:
            with channel:
                results[i] = party(channel)
        except BaseException as error:
            results[i] = error

    ends = memory_pair("receiver", "sender")
    threads = [
        threading.Thread(target=run, args=(i, party, end))
        for i, (party, end) in enumerate(zip((receiver, sender), ends, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results[0], results[1]


def seconds_of(call: Callable[[], Any], repeats: int = 5) -> float:
    """CPU seconds of one call; the best of a few."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def vole_seconds(layout: Layout, n: int) -> float:
    """CPU seconds of both parties for n VOLEs."""

    def sender(channel: Any) -> None:
        base = SoftSpokenSender(channel, session=b"b", security=layout.security, threads=1)
        source = silent_vole.SilentVoleSender(
            channel, base, session=b"v", parameters=layout.parameters, field=layout.field, threads=1
        )
        for _ in source.blocks(n):
            pass

    def receiver(channel: Any) -> None:
        base = SoftSpokenReceiver(channel, session=b"b", security=layout.security, threads=1)
        source = silent_vole.SilentVoleReceiver(
            channel, base, session=b"v", parameters=layout.parameters, field=layout.field, threads=1
        )
        for _ in source.blocks(n):
            pass

    return seconds_of(lambda: both(receiver, sender), 2)


def kernel_seconds(layout: Layout) -> dict[str, float]:
    """CPU seconds of all inner bins' kernels, both parties, by what they do."""
    rng = np.random.default_rng(2)
    n = max(layout.n_receiver, layout.n_sender) // layout.n_bins
    keys = rng.integers(0, 256, (n, 16), np.uint8)
    starts = np.array([0, n], np.uint64)
    table = rng.integers(0, 256, (1, layout.table.columns, 16), np.uint8)
    width = layout.table.value_bytes
    values = rng.integers(0, 256, (n, width), np.uint8)
    tags = rng.integers(0, 256, (layout.sender_bound, layout.tag_bytes), np.uint8)
    tag_starts = np.array([0, len(tags)], np.uint64)
    ordered = partition.sort_tags(tags, tag_starts, threads=1)[0]
    own = tags[:n]
    delta = rng.integers(0, 256, 16, np.uint8)
    multiply = bitmatrix.gf64_multiply if layout.field == 64 else bitmatrix.gf128_multiply
    columns = np.ascontiguousarray(table[0, :, :width])
    malicious = layout.security == "malicious"
    long = rng.integers(0, 256, (n, 32), np.uint8)
    many = rng.integers(0, 256, (min(layout.n_bins, 40) * n, 16), np.uint8)

    def hashes() -> None:
        for _ in range(2):  # values and tags of both parties
            if malicious:
                hashing.blake3(keys, digest_size=16, domain=b"v", threads=1)
                hashing.blake3(long, digest_size=16, domain=b"t", threads=1)
            else:
                aes.mmo(keys, threads=1)
                aes.mmo(keys, threads=1)

    each = {
        "encode": lambda: okvs.encode(keys, starts, values, layout.table, seed=SEED, threads=1),
        "decode": lambda: [
            okvs.decode(keys, starts, table, layout.table, seed=SEED, threads=1) for _ in "12"
        ],
        "products": lambda: [multiply(rows, delta, threads=1) for rows in (columns, values)],
        "hashes": hashes,
        "sort": lambda: partition.sort_tags(tags, tag_starts, threads=1),
        "match": lambda: partition.match(own, starts, ordered, tag_starts, threads=1),
    }
    found = {name: layout.n_bins * seconds_of(call) for name, call in each.items()}
    by_bin = seconds_of(lambda: partition.by_bin(many, min(layout.n_bins, 40), threads=1))
    found["by bin"] = 2 * by_bin * layout.n_bins / min(layout.n_bins, 40)
    n_voles = layout.inner * layout.table.columns
    some = min(n_voles, 1 << 22)
    found["vole"] = vole_seconds(layout, some) * n_voles / some
    return found


@pytest.mark.parametrize(
    ("security", "setting", "log_n"),
    [
        ("semi-honest", "fast", 20),
        ("malicious", "fast", 20),
        ("semi-honest", "low-communication", 20),
        ("semi-honest", "fast", 24),
        ("malicious", "fast", 24),
    ],
)
def test_in_memory(compare, size, security, setting, log_n):
    n = 1 << size(min(log_n, 17), log_n)
    if log_n == 24 and n < 1 << 24:
        pytest.skip("the large size is for CRYPSIS_BENCH_SCALE=full")
    keys = np.random.default_rng(1).integers(0, 256, (n + n // 2, 16), np.uint8)
    receiver, sender = keys[:n], keys[n // 2 :]
    layout = Layout(n, n, security=security, setting=setting)

    def run():
        return both(
            lambda channel: intersect_digests(channel, "receiver", receiver, layout, threads=1),
            lambda channel: intersect_digests(channel, "sender", sender, layout, threads=1),
        )[0]

    def check(ours, peers):
        assert np.array_equal(np.sort(ours), np.arange(n // 2, n))

    shown = "" if setting == "fast" else f"/{setting}"
    kernels = kernel_seconds(layout)
    sent = layout.vole_bytes(1)
    bits = 8 * (sum(sent) + layout.receiver_bytes(broadcast=False) + layout.sender_bytes()) / n
    compare(
        f"psi/vole/in memory/2^{n.bit_length() - 1}/{security}{shown}/both parties on one core",
        run,
        items=n,
        unit="items",
        check=check,
        limit=Limit(n / sum(kernels.values()), "the kernels alone, CPU time in the same run"),
        extra={"threads": 1, "field": layout.field, "bits_an_item": bits}
        | {f"ns_an_item_{name}": 1e9 * seconds / n for name, seconds in kernels.items()},
    )
