# SPDX-License-Identifier: Apache-2.0
"""Silent OT and VOLE: both parties in one process on one core, warm buffers, beside the rates that limit them.

The limits are measured in the same run: random reads of 16 bytes in a table as large as the protocol's, and AES blocks
in counter mode. What a protocol cannot do without is ten reads (or weight times three) and the AES blocks that its
module states, of both parties together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import pytest

from benchmarks.rows import Limit
from crypsis import aes, backends, bitmatrix, vole
from crypsis.mpc.ot import ferret, silent_vole
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.transport import memory_pair


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Everything here, the channel's threads too, on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


class Parties:
    """Two parties that stay: each has a thread and runs what it is given."""

    def __init__(self, kind: str, parameters: Any, security: str, **options: Any) -> None:
        channels = memory_pair("sender", "receiver")
        self._tasks: list[SimpleQueue[Any]] = [SimpleQueue(), SimpleQueue()]
        self._done: SimpleQueue[Any] = SimpleQueue()
        roles = (self._make_sender, self._make_receiver)
        for i in (0, 1):
            arguments = (i, roles[i], channels[i], kind, parameters, security)
            Thread(target=self._serve, args=arguments, kwargs=options, daemon=True).start()

    @staticmethod
    def _make_sender(channel: Any, kind: str, parameters: Any, security: str, **options: Any) -> Any:
        base = SoftSpokenSender(
            channel, session=b"base", security=security, delta=ferret.odd_delta(), threads=1
        )
        make = ferret.FerretSender if kind == "ferret" else silent_vole.SilentVoleSender
        return make(channel, base, session=b"bench", parameters=parameters, threads=1, **options)

    @staticmethod
    def _make_receiver(channel: Any, kind: str, parameters: Any, security: str, **options: Any) -> Any:
        base = SoftSpokenReceiver(channel, session=b"base", security=security, threads=1)
        make = ferret.FerretReceiver if kind == "ferret" else silent_vole.SilentVoleReceiver
        return make(channel, base, session=b"bench", parameters=parameters, threads=1, **options)

    def _serve(self, i: int, make: Callable[..., Any], channel: Any, *arguments: Any, **options: Any) -> None:
        try:
            party = make(channel, *arguments, **options)
            while (task := self._tasks[i].get()) is not None:
                self._done.put((i, task(party)))
        except BaseException as error:
            channel.abort(type(error).__name__)
            self._done.put((i, error))

    def run(self, task: Callable[[Any], Any]) -> tuple[Any, Any]:
        """(the sender's, the receiver's) result of `task(party)`."""
        for tasks in self._tasks:
            tasks.put(task)
        results = dict(self._done.get() for _ in (0, 1))
        for result in results.values():
            if isinstance(result, BaseException):
                raise result
        return results[0], results[1]

    def close(self) -> None:
        for tasks in self._tasks:
            tasks.put(None)


def collect(n: int) -> Callable[[Any], Any]:
    """Copies of n outputs, and the sender's Delta."""

    def task(party: Any) -> Any:
        if hasattr(party, "delta"):
            return np.concatenate([block.copy() for block in party.blocks(n)]), party.delta
        pieces = [(first.copy(), second.copy()) for first, second in party.blocks(n)]
        return tuple(np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))

    return task


def count(n: int) -> Callable[[Any], int]:
    """Takes n outputs and looks at none."""

    def task(party: Any) -> int:
        return sum(len(piece[1] if isinstance(piece, tuple) else piece) for piece in party.blocks(n))

    return task


def per_cpu_second(parties: Parties, n: int) -> float:
    """Items a second of CPU time, of everything in this process: what other work on the machine disturbs least."""
    rates = []
    for _ in range(5):
        start = time.process_time()
        parties.run(count(n))
        rates.append(n / (time.process_time() - start))
    return max(rates)


def read_rate(log_table: int) -> float:
    """Random reads of 16 bytes a second of CPU time in a table of 2^log_table blocks; the best of a few runs."""
    memory = np.ones((1 << max(log_table, 19), 16), np.uint8)
    table, n = memory[: 1 << log_table], 1 << 18
    rates = []
    for _ in range(7):
        start = time.thread_time()
        reads = vole.measure_gather(table, n)
        rates.append(reads / (time.thread_time() - start))
    return max(rates)


def aes_rate() -> float:
    """AES-128 blocks a second of CPU time in counter mode, output in the second-level cache; the best of a few runs."""
    out, rates = np.empty((1 << 16, 16), np.uint8), []
    for _ in range(7):
        start = time.thread_time()
        aes.ctr_stream(bytes(16), len(out), out=out, threads=1)
        rates.append(len(out) / (time.thread_time() - start))
    return max(rates)


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
def test_silent_cot(compare, size, security):
    n = size(1 << 21, 1 << 24)
    parameters = ferret.B10
    parties = Parties("ferret", parameters, security)
    (q, delta), (bits, t) = parties.run(collect(1 << 20))
    choices = np.unpackbits(bits, count=len(t), bitorder="little")
    assert np.array_equal(t, q ^ (0 - choices)[:, None] & delta)

    def check(ours, peers):
        assert ours == (n, n)

    reads, blocks = read_rate(parameters.log_table), aes_rate()
    limit = Limit(
        per_second=1 / (20 / reads + 4.5 / blocks),
        what="20 reads in 1 MiB and 4.5 AES blocks an OT for both parties, at the rates of this run",
    )
    compare(
        f"ferret/b10/{security}/both parties on one core",
        lambda: parties.run(count(n)),
        items=n,
        unit="OTs",
        check=check,
        limit=limit,
        extra={"threads": 1, "reads_per_second": reads, "aes_blocks_per_second": blocks}
        | {"per_cpu_second": per_cpu_second(parties, n)}
        | {"bytes_an_ot": sum(ferret.session_bytes(n, parameters, security)) / n},
    )
    parties.close()


@pytest.mark.parametrize(
    ("security", "log_outputs", "weight", "field"),
    [
        (SEMI_HONEST, 16, 7, 128),
        (SEMI_HONEST, 16, 7, 64),
        (MALICIOUS, 16, 7, 128),
        (MALICIOUS, 17, 7, 128),
        (MALICIOUS, 18, 7, 128),
        (MALICIOUS, 16, 21, 128),
    ],
)
def test_silent_vole(compare, size, security, log_outputs, weight, field):
    n = size(1 << 20, 1 << 24)
    parameters = silent_vole.DualParameters(log_outputs=log_outputs, weight=weight)
    parties = Parties("vole", parameters, security, field=field)
    (v, delta), (u, w) = parties.run(collect(1 << 19))
    multiply = bitmatrix.gf64_multiply if field == 64 else bitmatrix.gf128_multiply
    assert np.array_equal(w, v ^ multiply(u, delta))

    def check(ours, peers):
        assert ours == (n, n)

    reads, blocks = read_rate(log_outputs + 1), aes_rate()
    n_blocks = 8 + 2 + 3 * weight / 4 + 2  # trees, taps, positions
    shown = "" if field == 128 else f"/field of {field} bits"
    limit = Limit(
        per_second=1 / (3 * weight / reads + n_blocks / blocks),
        what=f"{3 * weight} reads in {32 << log_outputs >> 20} MiB and {n_blocks} AES blocks a VOLE for both parties,"
        " at the rates of this run; without the convolution's 12 steps",
    )
    compare(
        f"silent_vole/2^{log_outputs}/weight {weight}/{security}{shown}/both parties on one core",
        lambda: parties.run(count(n)),
        items=n,
        unit="VOLEs",
        check=check,
        limit=limit,
        extra={"threads": 1, "reads_per_second": reads, "aes_blocks_per_second": blocks}
        | {"per_cpu_second": per_cpu_second(parties, n)}
        | {"bytes_a_vole": sum(silent_vole.session_bytes(n, parameters, security)) / n},
    )
    parties.close()


BACKENDS = backends.runnable("vole")


@pytest.mark.parametrize("backend", BACKENDS)
def test_primal_encoder(compare, size, backend):
    """One party's part of a round, without the trees."""
    n, log_table = size(1 << 18, 1 << 20), 16
    memory = np.random.default_rng(1).integers(0, 256, ((1 << 18) + n, 16), dtype=np.uint8)
    table, out = memory[: 1 << log_table], memory[1 << 18 :]
    seed = np.arange(16, dtype=np.uint8)

    def check(ours, peers):
        row = vole.primal_positions(seed, 1, log_table)[0]
        expected = np.bitwise_xor.reduce(table[row], axis=0)
        assert np.array_equal(vole.primal_encode(seed, table, np.zeros((1, 16), np.uint8))[0], expected)

    compare(
        f"vole/primal_encode/2^16/{backend}",
        lambda: vole.primal_encode(seed, table, out, backend=backend, threads=1),
        items=n,
        unit="outputs",
        check=check,
        limit=Limit(
            1 / (10 / read_rate(log_table) + 1.25 / aes_rate()), "10 reads in 1 MiB and 1.25 AES blocks"
        ),
        extra={"backend": backend, "threads": 1},
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_dual_encoder(compare, size, backend):
    """One vector of a round."""
    vector = np.random.default_rng(1).integers(0, 256, (1 << 19, 16), dtype=np.uint8)[: 1 << 17]
    result, seed = np.empty((1 << 16, 16), np.uint8), np.arange(16, dtype=np.uint8)
    other = vole.expand_convolute(seed, vector.copy(), result.copy(), weight=7, backend=BACKENDS[0])

    def check(ours, peers):
        assert np.array_equal(ours, other)

    compare(
        f"vole/expand_convolute/2^16/weight 7/{backend}",
        lambda: vole.expand_convolute(seed, vector, result, weight=7, backend=backend, threads=1),
        items=len(result),
        unit="outputs",
        check=check,
        limit=Limit(
            1 / (7 / read_rate(17) + 2.75 / aes_rate()),
            "7 reads in 2 MiB and 2.75 AES blocks, without the convolution's 4 steps",
        ),
        extra={"backend": backend, "threads": 1},
    )
