# SPDX-License-Identifier: Apache-2.0
"""Rates of this machine's units on one core, and the limits that they set. Measured whenever a case asks, in each
pass; the best so far counts, so that a disturbed measurement does not make a limit that a case then exceeds.

units      `UNITS`: products, additions, rounds of SHA-256, from registers to registers
aes        AES-128 blocks, from registers to registers
copy, sum  bytes read and written by a copy, or by a sum of two arrays, of as many bytes as a call works on
reads      random reads of 16 bytes in a table of some size

Where an item needs several units, which may work side by side, its limit is that of the one that takes longest:
`least`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crypsis import aes, backends, bigint, hashing, ntt, vole
from crypsis.mpc.bench.counts import Counts
from crypsis.mpc.bench.rows import Limit

_TRIES = 9


@dataclass(frozen=True)
class Unit:
    """name: for a person; each: what is counted; run: does some and returns how many, given the number of loops."""

    name: str
    each: str
    run: Callable[[int], int]


def _products(name: str, each: str, backend: str) -> Unit:
    return Unit(name, each, lambda repeats: bigint.measure_products(repeats, backend=backend))


def _operations(name: str, each: str, backend: str) -> Unit:
    return Unit(name, each, lambda n: hashing.measure_operations("sha256", n, backend=backend))


MADD52 = _products("multiply", "vpmadd52 lanes", "avx512")
MUL64 = _products("multiply", "64-bit products", "portable")
VECTORS512 = _operations("vector operations", "512-bit operations", "avx512")
VECTORS256 = _operations("vector operations", "256-bit operations", "avx2")
SHA_ROUNDS = _operations("SHA-256 rounds", "sha256rnds2", "sha_ni")
WORDS32 = _operations("operations", "32-bit additions", "portable")

# The unit that counts of a slug's backend are of.
UNITS = {
    "bigint": {"avx512": MADD52, "portable": MUL64},
    "curve25519": {"avx512": VECTORS512, "portable": MUL64},
    "hashing": {"avx512": VECTORS512, "avx2": VECTORS256, "sha_ni": SHA_ROUNDS, "portable": WORDS32},
    "ntt": {"avx512ifma": VECTORS512, "avx512": VECTORS512, "avx2": VECTORS256, "portable": MUL64},
}


def _best(items: float, call: Callable[[], object]) -> float:
    """Items a second of the fastest of a few calls, each so short (a millisecond) that some are not interrupted: what
    the unit can do when nothing disturbs it. By the clock that cases are timed with: virtual machines were seen to
    count too little processor time, which would make a rate that no unit has.
    """
    found = 0.0
    for _ in range(_TRIES):
        begin = time.perf_counter()
        call()
        found = max(found, items / max(time.perf_counter() - begin, 1e-9))
    return found


def least(*limits: Limit | str) -> Limit | str:
    """The lowest limit; the first reason where there is none at all."""
    found = [limit for limit in limits if isinstance(limit, Limit)]
    return min(found, key=lambda limit: limit.per_second) if found else limits[0]


class Machine:
    """The rates, and limits made of them. `brief`: rough ones, for tests."""

    def __init__(self, *, brief: bool = False) -> None:
        self._brief = brief
        self._known: dict[str, float] = {}

    def known(self) -> dict[str, float]:
        """The best rates so far."""
        return dict(self._known)

    def _rate(self, name: str, items: float, call: Callable[[], object]) -> float:
        self._known[name] = max(_best(items, call), self._known.get(name, 0.0))
        return self._known[name]

    @functools.cached_property
    def _chosen(self) -> dict[tuple[str, str], str]:
        return {(row.slug, row.variant): row.backend for row in backends.report() if row.chosen}

    def backend(self, slug: str, variant: str = "") -> str:
        """The backend that calls without one get. BackendUnavailable where CRYPSIS_BACKEND leaves none."""
        if (slug, variant) not in self._chosen:
            backends.check_forced()
        return self._chosen[slug, variant]

    def unit(self, unit: Unit) -> float:
        """Of what the unit counts, a second."""
        repeats = 1_000 if self._brief else 200_000
        return self._rate(unit.each, unit.run(1) * repeats, lambda: unit.run(repeats))

    @property
    def aes(self) -> float:
        """Blocks a second."""
        repeats = 10 if self._brief else 100 if self.backend("aes") == "portable" else 10_000
        return self._rate("AES blocks", aes.measure_rounds(1) * repeats, lambda: aes.measure_rounds(repeats))

    def copy(self, n_bytes: int) -> float:
        """Bytes a second of a copy whose source and target are n_bytes together, and stay where they fit."""
        source, target = (ntt.empty((n_bytes // 16,)) for _ in range(2))
        source.fill(1)
        return self._stream(
            f"bytes copied of {n_bytes}", 2 * source.nbytes, lambda: np.copyto(target, source)
        )

    def sum(self, n_bytes: int) -> float:
        """As `copy`, of a sum of two arrays, a third of the bytes each."""
        source, other, target = (ntt.empty((n_bytes // 24,)) for _ in range(3))
        source.fill(1)
        other.fill(1)
        return self._stream(
            f"bytes summed of {n_bytes}", 3 * source.nbytes, lambda: np.add(source, other, out=target)
        )

    def _stream(self, name: str, n_bytes: int, call: Callable[[], object]) -> float:
        repeats = 1 + (1 << (12 if self._brief else 22)) // n_bytes
        return self._rate(name, n_bytes * repeats, lambda: [call() for _ in range(repeats)])

    def reads(self, log_table: int) -> float:
        """Random reads of 16 bytes a second among 2^log_table blocks."""
        table = np.ones((1 << log_table, 16), np.uint8)
        n = 1 << (10 if self._brief else 16)
        return self._rate(
            f"reads among 2^{log_table} blocks",
            vole.measure_gather(table, n),
            lambda: vole.measure_gather(table, n),
        )

    def by(
        self, slug: str, counts: Counts, what: str, *, variant: str = "", backend: str | None = None
    ) -> Limit | str:
        """Items a second where each takes `counts` of what the backend (by default the chosen one) of the slug consists
        of; the reason for no limit where that is not among the counts."""
        backend = backend or self.backend(slug, variant)
        if backend not in counts:
            return f"the operations of {slug}'s backend {backend} are not counted"
        unit, count = UNITS[slug][backend], counts[backend]
        rate = self.unit(unit)
        return Limit(rate / count, f"{unit.name}: {what}, {count:.4g} {unit.each} at {rate:.3g}/s")

    def by_aes(self, blocks: float, what: str) -> Limit:
        rate = self.aes
        return Limit(rate / blocks, f"AES: {what}, {blocks:.4g} blocks at {rate:.3g}/s")

    def by_copy(self, n_bytes: float, what: str, *, in_all: int) -> Limit:
        """Where as many bytes are written as are read. in_all: what a call works on, which may fit into a cache."""
        return _by_bytes(self.copy(in_all), n_bytes, what)

    def by_sum(self, read: float, written: float, what: str, *, in_all: int) -> Limit:
        """Where more is read than written. A sum reads two bytes for each that it writes; of another proportion only so
        many bytes count as take no less time whether reading or writing binds."""
        return _by_bytes(self.sum(in_all), min(1.5 * read, 3 * written), what)

    def by_reads(self, reads: float, log_table: int, what: str) -> Limit:
        rate = self.reads(log_table)
        return Limit(rate / reads, f"memory: {what}, {reads:.4g} random reads at {rate:.3g}/s")


def _by_bytes(rate: float, n_bytes: float, what: str) -> Limit:
    return Limit(rate / n_bytes, f"memory: {what}, {n_bytes:.4g} bytes at {rate / 1e9:.3g} GB/s")
