# SPDX-License-Identifier: Apache-2.0
"""Rates of this machine's units on one core, each measured once a run, when a case first asks for it.

multiply   products a second of 64-bit lanes, from registers to registers: `vpmadd52` of 512 bits where the CPU has
           IFMA, else the 64 x 64 -> 128 bit product; compiled by numba (in `crypsis[learning]`), None without
aes        AES-128 blocks a second from registers to registers
copy       bytes a second read and written by a copy: beyond the caches, or of as many bytes as a call works on
reads      random reads of 16 bytes a second in a table of some size
"""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable

import numpy as np

from crypsis import aes, backends, vole
from crypsis.mpc.bench.rows import Limit

_TRIES = 7


def _best(items: float, call: Callable[[], object], tries: int = _TRIES) -> float:
    """Items a second of CPU time of the fastest of a few calls: what the unit can do when nothing disturbs it."""
    found = 0.0
    for _ in range(tries):
        begin = time.thread_time()
        call()
        found = max(found, items / max(time.thread_time() - begin, 1e-9))
    return found


class Machine:
    """The rates, and limits made of them. `brief`: rough ones, for tests."""

    def __init__(self, *, brief: bool = False) -> None:
        self._brief = brief

    @functools.cache  # noqa: B019 - one machine a run
    def copy_of(self, n_bytes: int) -> float:
        """Bytes a second of a copy whose source and target are n_bytes together, and stay where they fit."""
        source = np.ones(n_bytes // 16, np.uint64)
        target = np.zeros_like(source)
        repeats = 1 + (1 << (12 if self._brief else 24)) // n_bytes

        def copies() -> None:
            for _ in range(repeats):
                np.copyto(target, source)

        return _best(2 * source.nbytes * repeats, copies)

    @functools.cached_property
    def has_ifma(self) -> bool:
        """Whether the multiplier is that of 52-bit limbs."""
        return {"avx512f", "avx512ifma"} <= set(backends.cpu_features())

    @functools.cached_property
    def multiply(self) -> float | None:
        """Products of 64-bit lanes a second (eight to a `vpmadd52` instruction)."""
        if importlib.util.find_spec("numba") is None:
            return None
        from crypsis.mpc.bench import multiply

        loop, n_products = multiply.vector() if self.has_ifma else multiply.scalar()
        n = np.uint64(1_000 if self._brief else 500_000)
        loop(np.uint64(1))  # compiles
        return _best(n_products * float(n), lambda: loop(n))

    @functools.cached_property
    def aes(self) -> float:
        """Blocks a second by the best backend here."""
        backend = backends.runnable("aes")[0]
        repeats = 10 if self._brief else 100 if backend == "portable" else 10_000
        return _best(aes.measure_rounds(repeats), lambda: aes.measure_rounds(repeats))

    @functools.cached_property
    def copy(self) -> float:
        """Bytes a second, of those read and those written together."""
        source = np.ones((1 if self._brief else 64) << 17, np.uint64)
        target = np.zeros_like(source)
        return _best(2 * source.nbytes, lambda: np.copyto(target, source))

    @functools.cache  # noqa: B019 - one machine a run
    def reads(self, log_table: int) -> float:
        """Random reads of 16 bytes a second among 2^log_table blocks."""
        table = np.ones((1 << log_table, 16), np.uint8)
        n = 1 << (10 if self._brief else 16)
        return _best(vole.measure_gather(table, n), lambda: vole.measure_gather(table, n))

    def by_products(self, vector: float, scalar: float | None, what: str) -> Limit | None:
        """Items a second where each takes `vector` products of 52-bit lanes, or `scalar` of 64-bit words on a CPU
        without them. None where the rate is unknown or the count is."""
        count = vector if self.has_ifma else scalar
        if self.multiply is None or count is None:
            return None
        unit = "vpmadd52 lanes" if self.has_ifma else "64-bit products"
        return Limit(self.multiply / count, f"multiply: {what}, {count:.4g} {unit} at {self.multiply:.3g}/s")

    def by_aes(self, blocks: float, what: str) -> Limit:
        return Limit(self.aes / blocks, f"AES: {what}, {blocks:.4g} blocks at {self.aes:.3g}/s")

    def by_bytes(self, n_bytes: float, what: str, *, in_all: int | None = None) -> Limit:
        """in_all: bytes that a call works on, where they may fit into a cache."""
        rate = self.copy if in_all is None else self.copy_of(in_all)
        return Limit(rate / n_bytes, f"memory: {what}, {n_bytes:.4g} bytes at {rate / 1e9:.3g} GB/s")

    def by_reads(self, reads: float, log_table: int, blocks: float, what: str) -> Limit:
        """Random reads and AES blocks, one after the other."""
        rate = self.reads(log_table)
        return Limit(
            1 / (reads / rate + blocks / self.aes),
            f"memory and AES: {what}, {reads:.4g} reads at {rate:.3g}/s and {blocks:.4g} blocks at {self.aes:.3g}/s",
        )

    def known(self) -> dict[str, float]:
        """What has been measured so far."""
        names = ("multiply", "aes", "copy")
        return {name: self.__dict__[name] for name in names if self.__dict__.get(name) is not None}
