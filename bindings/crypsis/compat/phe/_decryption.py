# SPDX-License-Identifier: Apache-2.0
"""Decryption of one number after another, with the kernels' lanes full.

A kernel decrypts eight numbers in the time of one. When a program asks for one, those that it made next, and still
holds, are decrypted with it; the next questions are then answered from what is ready. Where all of it was asked for,
the next batch is twice as large, up to a bound; where not, it is small again, so that the work done in vain never
takes longer than the decryption of one number did. What is ready are plaintexts that the holder of this key could
have computed anyway. They stay in this object, at most one batch of them, until the next batch or the object's end.
"""

from __future__ import annotations

import os
import threading
import weakref
from itertools import islice
from typing import TYPE_CHECKING

from crypsis import bigint, paillier
from crypsis._homomorphic.wiping import wipe
from crypsis.compat.phe import _batches
from crypsis.compat.phe._arithmetic import arithmetic_of
from crypsis.compat.phe.util import invert, powmod

if TYPE_CHECKING:
    from crypsis.compat.phe.paillier import EncryptedNumber, PaillierPublicKey

FIRST = 8
MOST = 64
"""Numbers decrypted at a time: the lanes of a few threads."""
LOOK_AT = 1024
"""Numbers looked at to fill a batch."""


class Decryption:
    """Decryption with the primes p and q. Thread-safe, survives a fork."""

    def __init__(self, public_key: PaillierPublicKey, p: int, q: int) -> None:
        self._public_key = public_key
        self._arithmetic = arithmetic_of(public_key.n)
        self._p, self._q = p, q
        self._p_inverse = invert(p, q)
        self._lock = threading.Lock()
        self._native: paillier.PrivateKey | None = None
        self._no_native = not self._arithmetic.usable
        self._ready: dict[bytes, int] = {}
        self._given, self._used, self._count = 0, 0, FIRST
        _all.add(self)

    def residue(self, number: EncryptedNumber) -> int:
        """The plaintext modulo n of a number of this key. TypeError where its ciphertext is no int."""
        arithmetic = self._arithmetic
        value = arithmetic.value_of(number._node)
        if not isinstance(value, int):
            raise TypeError(f"the ciphertext is {type(value).__name__}: it must be an int")
        with self._lock:
            if self._private() is None:
                return self._one_by_one(value)
            wanted = arithmetic.as_bytes(number._node)
            if wanted in self._ready:
                self._used += 1
                return self._ready.pop(wanted)
            more = self._given > 0 and self._used == self._given
            self._count = min(2 * self._count, MOST) if more else FIRST
            batch = self._batch(wanted, number)
            residues = self._of(batch)
            self._ready = dict(zip(batch[1:], residues[1:], strict=True))
            self._given, self._used = len(self._ready), 0
            return residues[0]

    def residues(self, values: list[int]) -> list[int]:
        """The plaintexts modulo n of ciphertexts below n^2."""
        with self._lock:
            if self._private() is None:
                return [self._one_by_one(value) for value in values]
            limbs = self._public_key.native.modulus.limbs
            return self._of([value.to_bytes(8 * limbs, "little") for value in values])

    def _batch(self, wanted: bytes, number: EncryptedNumber) -> list[bytes]:
        """The wanted ciphertext and those of the numbers made after it."""
        arithmetic = self._arithmetic
        arithmetic.settle()
        batch = {wanted: None}
        if arithmetic.recent is not None:
            for other in islice(arithmetic.recent.after(number), LOOK_AT):
                if len(batch) == self._count:
                    break
                if type(other._node.value) in (bytes, int):
                    batch[arithmetic.as_bytes(other._node)] = None
        return list(batch)

    def _of(self, batch: list[bytes]) -> list[int]:
        private = self._private()
        if private is None:
            raise RuntimeError("the kernels do not reach this key")
        modulus = private.modulus
        rows = modulus.to_montgomery(_batches.to_rows(batch, modulus.limbs))
        try:
            residues = private.residues(rows)
        except ValueError:  # a number in the batch is no ciphertext: its powers are not what they should be
            return [self._one_by_one(int.from_bytes(value, "little")) for value in batch]
        result = bigint.to_ints(residues)
        wipe(residues)
        return result

    def _private(self) -> paillier.PrivateKey | None:
        """The key of `crypsis.paillier`, made at the first use; None for sizes and primes that it does not take."""
        if self._native is None and not self._no_native:
            try:
                self._native = paillier.PrivateKey(self._public_key.native, self._p, self._q)
            except ValueError:
                self._no_native = True
        return self._native

    def _one_by_one(self, value: int) -> int:
        p, q = self._p, self._q
        mp = (powmod(value, p - 1, p * p) - 1) // p * invert(-q % p, p) % p
        mq = (powmod(value, q - 1, q * q) - 1) // q * invert(-p % q, q) % q
        return mp + (mq - mp) * self._p_inverse % q * p

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()


_all: weakref.WeakSet[Decryption] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
