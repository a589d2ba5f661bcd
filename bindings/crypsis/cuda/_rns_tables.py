# SPDX-License-Identifier: Apache-2.0
"""What kernels/rns knows of a chain, on one device: bases, and the constants of digits and divisions. Private.

Made at first use, level by level; public numbers, kept as long as the chain, or an equal one, lives.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from crypsis.cuda._device import Device
from crypsis.cuda._ntt_tables import Tables, factors, tables_of
from crypsis.ntt import Basis
from crypsis.rns import Chain

T = TypeVar("T")


class Radix(NamedTuple):
    """Moduli whose residues become digits, `width` of them each."""

    tables: Tables
    width: int
    inverses: Any
    """uint64[rows, width, 2]: at (i, j) 1 / t_j mod t_i of the digit's moduli i and j; None where width is 1."""
    moduli: Any
    """uint64[rows] where width is 1, so that residues are digits but for their sign; else None."""
    conversions: Any
    """uint64[targets, rows, 2]: the product of the digit's moduli before row j, modulo each target."""


class Division(NamedTuple):
    """(x - remainder) a + add b for each modulus that stays."""

    radix: Radix
    targets: Tables
    quotients: Any
    """uint64[targets, 2, 2]: the factors a and b."""
    special: Any
    """uint64[1, 2]: P modulo the modulus that goes beside the special ones; None where none does."""


class ChainTables:
    """A chain on a device."""

    def __init__(self, device: Device, chain: Chain) -> None:
        self.device = device
        self.log_n, self.n_moduli = chain.log_n, len(chain.moduli)
        self._moduli, self._special, self._alpha = chain.moduli, chain.special, chain.alpha
        self._bases = tuple(chain.basis(level) for level in range(self.n_moduli))
        self._fulls = tuple(chain.full(level) for level in range(self.n_moduli))
        self._made: dict[tuple[str, int], Any] = {}
        self._kept: list[Basis] = []  # whose tables must not go
        self._lock = threading.Lock()

    def _once(self, kind: str, level: int, make: Callable[[int], T]) -> T:
        with self._lock:
            key = (kind, level)
            if key not in self._made:
                self._made[key] = make(level)
                self.device.synchronize()  # kept, and used on any stream
            made: T = self._made[key]
            return made

    def basis(self, level: int) -> Tables:
        """q_0 .. q_level."""
        return tables_of(self.device, self._bases[level])

    def full(self, level: int) -> Tables:
        """q_0 .. q_level, then the special moduli."""
        return tables_of(self.device, self._fulls[level])

    def digits(self, level: int) -> Radix:
        """Of `decompose`: alpha moduli a digit, to all of `full(level)`."""
        return self._once(
            "digits", level, lambda _: self._radix(self._bases[level], self._alpha, self._fulls[level])
        )

    def special_division(self, level: int) -> Division:
        """By P."""
        return self._once("special", level, lambda _: self._division(level, self._special, level + 1))

    def special_rescaling(self, level: int) -> Division:
        """By P and q_level."""
        return self._once(
            "both",
            level,
            lambda _: self._division(level, self._special + self._moduli[level : level + 1], level),
        )

    def rescaling(self, level: int) -> Division:
        """By q_level."""
        return self._once(
            "last", level, lambda _: self._division(level, self._moduli[level : level + 1], level)
        )

    def _radix(self, sources: Basis, width: int, targets: Basis) -> Radix:
        rows = len(sources)
        width = min(width, rows)
        primes = sources.primes
        inverses = moduli = None
        if width == 1:
            moduli = self.device.from_host(np.array(primes, np.uint64))
        else:
            inverses = self._constants(
                [
                    [
                        pow(primes[i // width * width + j], -1, primes[i]) if j < i % width else 0
                        for j in range(width)
                    ]
                    for i in range(rows)
                ],
                primes,
            )
        before = [math.prod(primes[i // width * width : i]) for i in range(rows)]
        conversions = self._constants([[b % t for b in before] for t in targets.primes], targets.primes)
        self._kept.append(sources)
        return Radix(tables_of(self.device, sources), width, inverses, moduli, conversions)

    def _division(self, level: int, gone: Basis, n_left: int) -> Division:
        """gone: the special moduli, q_level, or both in this order."""
        targets = self._bases[n_left - 1]
        last = self._moduli.primes[level]
        divisor = math.prod(gone.primes)
        added = last if n_left == level else 1
        quotients = self._constants(
            [[pow(divisor, -1, q), pow(added, -1, q)] for q in targets.primes], targets.primes
        )
        special = None
        if len(gone) > len(self._special):
            special = self._constants([[math.prod(self._special.primes) % last]], [last])[0]
        radix = self._radix(gone, len(gone), targets)
        return Division(radix, tables_of(self.device, targets), quotients, special)

    def _constants(self, rows: Sequence[Sequence[int]], moduli: Sequence[int]) -> Any:
        """uint64[rows, columns, 2]: each row's factors modulo that row's modulus."""
        made: list[npt.NDArray[np.uint64]] = [
            factors(row, [modulus] * len(row)) for row, modulus in zip(rows, moduli, strict=True)
        ]
        return self.device.from_host(np.stack(made))


_lock = threading.Lock()
_of_chains: WeakKeyDictionary[Chain, dict[Device, ChainTables]] = WeakKeyDictionary()


def chain_tables(device: Device, chain: Chain) -> ChainTables:
    """The constants of a chain on a device."""
    with _lock:
        on_devices = _of_chains.setdefault(chain, {})
        found = on_devices.get(device)
        if found is None:
            found = on_devices[device] = ChainTables(device, chain)
        return found
