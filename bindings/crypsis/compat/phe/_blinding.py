# SPDX-License-Identifier: Apache-2.0
"""Blinding factors for one encryption after another: made by the batch, used one by one.

A kernel makes eight or more factors in the time of one. So the first encryption under a key makes a batch of 8, and
each batch is twice the one before, up to a bound; every factor goes out once and is wiped here. The batch is never
filled ahead of need, so a program pays for at most one batch that it does not use. A child process after `os.fork`
starts with an empty batch: parent and child never share a factor.

For keys with a generator h (those made by `generate_paillier_keypair`) the first batches take full powers r^n; later
ones take powers of h^n from a table, some ten times faster. The table costs as much as some seventy full powers:
a program that encrypts a few numbers does without. Both are constant-time.
"""

from __future__ import annotations

import os
import secrets
import threading
import weakref
from math import gcd

from crypsis import bigint, paillier
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.wiping import wipe
from crypsis.compat.phe.util import powmod

FIRST = 8
WITH_TABLE = 32
"""The size of the batch from which on the table is used: 24 factors were made without."""
MOST = 256
"""Factors made at a time, 512 bytes each for a key of 2048 bits: more lanes and threads than that gains nothing."""
MOST_WITHOUT_GENERATOR = 64
"""Powers r^n take ten times longer: the same time at the most."""


class BlindingBatch:
    """Factors r^n mod n^2 for one key. Thread-safe.

    key: where the kernels reach it, else None: then factors are made one by one.
    """

    def __init__(self, n: int, key: paillier.PublicKey | None) -> None:
        self._n = n
        self.key = key
        self._rows: Limbs | None = None
        self._left = 0
        self._next = FIRST
        self._lock = threading.Lock()
        _all.add(self)

    def take(self) -> int:
        """A fresh factor, an integer below n^2."""
        if self.key is None:
            return powmod(self._unit(), self._n, self._n**2)
        with self._lock:
            if not self._left:
                self._rows = self._make(self.key)
                self._left = len(self._rows)
            self._left -= 1
            row = self._rows[self._left]  # type: ignore[index]  # there are rows while some are left
            factor = int.from_bytes(row.astype("<u8", copy=False).tobytes(), "little")
            row.fill(0)
        return factor

    def _unit(self) -> int:
        """Random from 1 to n - 1 and coprime to n, which of a tiny n not every number is."""
        while gcd(r := 1 + secrets.randbelow(self._n - 1), self._n) != 1:
            pass
        return r

    def _make(self, key: paillier.PublicKey) -> Limbs:
        count = self._next
        most = MOST if key.h is not None else MOST_WITHOUT_GENERATOR
        rows = key.full_blinding_factors(count) if count < WITH_TABLE else key.blinding_factors(count)
        self._next = min(2 * count, most)
        key.modulus.from_montgomery(rows, out=rows)
        return rows

    def __del__(self) -> None:
        wipe(self._rows)

    def forget(self) -> None:
        """Wipe what is left; the next factor comes from a new batch. In a child process: the parent's are not ours."""
        self._lock = threading.Lock()
        wipe(self._rows)
        self._rows, self._left = None, 0


_all: weakref.WeakSet[BlindingBatch] = weakref.WeakSet()
_shared: weakref.WeakValueDictionary[tuple[int, int | None], BlindingBatch] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def blinding_of(n: int, h: int | None) -> BlindingBatch:
    """The batch of a key, one for all objects with the same n and h. ValueError for an h that is no generator."""
    with _shared_lock:
        found = _shared.get((n, h))
        if found is None:
            usable = n % 2 == 1 and bigint.MIN_BITS <= n.bit_length() <= paillier.MAX_KEY_BITS
            key = paillier.PublicKey(n, h=h, insecure_allow_small_key=True) if usable else None
            found = _shared[n, h] = BlindingBatch(n, key)
        return found


def _after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for batch in list(_all):
        batch.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
