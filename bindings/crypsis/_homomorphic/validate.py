# SPDX-License-Identifier: Apache-2.0
"""Checks of ciphertexts that come from outside: range, and invertibility by one gcd for the batch."""

from __future__ import annotations

from math import gcd
from typing import Protocol

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import limbs
from crypsis._homomorphic.devices import beside, device_of, in_blocks, planned, to_host
from crypsis._homomorphic.limbs import Limbs
from crypsis.errors import InvalidCiphertext


class _Key(Protocol):
    @property
    def n(self) -> int: ...
    @property
    def modulus(self) -> bigint.Modulus: ...


def check_ciphertexts(rows: Limbs, key: _Key) -> None:
    """InvalidCiphertext naming the first row of `uint64[size, limbs]` that is 0, too large, or shares a factor with n.

    A row that shares a factor would decrypt to nonsense or fail an inversion later. Public data, not constant-time.
    """
    if not len(rows):
        return
    modulus = key.modulus
    largest = beside(limbs.from_int(modulus.n - 1, modulus.limbs), rows)

    def work(part: slice) -> None:
        wrong = ~limbs.at_most(rows[part], largest) | ~rows[part].any(axis=1)
        if wrong.any():
            raise out_of_range(part.start + int(wrong.argmax()))

    in_blocks(len(rows), device_of(rows), 8 * modulus.limbs, work, what="the check of ciphertexts")
    # The product in Montgomery form differs from the product by a power of 2, which n, odd, does not share.
    whole = np.array([0, len(rows)], dtype=np.int64)
    product = to_host(planned("segmented_prod", rows, whole, modulus, montgomery=True))
    if gcd(limbs.to_int(product[0]), key.n) == 1:
        return
    for row, value in enumerate(limbs.to_ints(to_host(rows))):
        if gcd(value, key.n) != 1:
            raise InvalidCiphertext(
                f"ciphertext {row} is not invertible modulo n: the peer is faulty or malicious, end the exchange"
            )


def out_of_range(row: int) -> InvalidCiphertext:
    """The error for a row that is no residue."""
    return InvalidCiphertext(
        f"ciphertext {row} is out of range for this key: the peer uses another key, or is faulty or malicious"
    )
