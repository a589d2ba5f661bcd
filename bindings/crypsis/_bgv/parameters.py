# SPDX-License-Identifier: Apache-2.0
"""Parameters of BGV, checked, and how much noise their modulus has room for."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Any

from crypsis import ntt
from crypsis._arguments import flag, integer, kind
from crypsis._bgv import noise
from crypsis._ckks.parameters import MAX_LOG_QP
from crypsis._homomorphic.secret import Frozen

MIN_BITS, MAX_BITS = 21, 50
MAX_MODULI = 16
MAX_PLAIN_BITS = 128
LIMB_BITS = 64
BLOCK_BYTES = 1 << 20
"""Of polynomials that are worked on at a time."""


class Parameters(Frozen):
    """A ring Z[x]/(x^N + 1), a modulus q of some primes, and plaintexts mod t = 2^plain_bits. Immutable.

    log_n: N = 2^log_n, 2 to 16. moduli_bits: sizes in bits of the primes of q, 21 to 50 each, up to 16; the primes are
    the largest of their sizes that are 1 mod 2N. plain_bits: 1 to 128. ValueError for what is below 128 bits of
    security by [ACC+18, Table 1] (ternary secret), naming the limit, and for a modulus without room for what hides a
    product. insecure_allow_weak: admit any security and N from 4, for tests.
    """

    __slots__ = ("basis", "digest", "log_n", "max_noise_bits", "moduli_bits", "n", "plain_bits", "q")

    log_n: int
    n: int
    """The ring degree N: coefficients of a plaintext."""
    moduli_bits: tuple[int, ...]
    plain_bits: int
    basis: ntt.Basis
    q: int
    """The product of the primes."""
    max_noise_bits: int
    """The most `noise_bits` that leave a result right."""
    digest: bytes
    """SHA-256 of all this, 32 bytes."""

    def __init__(
        self, log_n: int, moduli_bits: tuple[int, ...], plain_bits: int, *, insecure_allow_weak: bool = False
    ) -> None:
        log_n = integer("log_n", log_n, 2, 16)
        plain_bits = integer("plain_bits", plain_bits, 1, MAX_PLAIN_BITS)
        if not isinstance(moduli_bits, tuple | list) or not 1 <= len(moduli_bits) <= MAX_MODULI:
            raise ValueError(
                f"moduli_bits is {moduli_bits!r}: give a tuple of 1 to {MAX_MODULI} sizes in bits"
            )
        sizes = tuple(
            integer(f"moduli_bits[{i}]", size, MIN_BITS, MAX_BITS) for i, size in enumerate(moduli_bits)
        )
        most = MAX_LOG_QP.get(log_n, 0)
        if sum(sizes) > most and not flag("insecure_allow_weak", insecure_allow_weak):
            limit = f"at most {most} are 128-bit secure" if most else "no modulus is secure"
            raise ValueError(
                f"moduli_bits are {sum(sizes)} bits together: for log_n = {log_n}, {limit}: take fewer or smaller"
                " primes, or a larger log_n"
            )
        basis = ntt.Basis(log_n, ntt.find_primes(log_n, sizes))
        q = math.prod(basis.primes)
        room = noise.max_bits(q, plain_bits)
        least = noise.bits_for(0.0, 1 << log_n, 1 << log_n, 1)
        if room < least:
            raise ValueError(
                f"moduli_bits are {sum(sizes)} bits together, plain_bits is {plain_bits}: to hide a product takes"
                f" {least - room} more at least: take more primes or fewer plain_bits"
            )
        head = struct.pack(f"<BBB{len(sizes)}B", log_n, plain_bits, len(sizes), *sizes)
        total = hashlib.sha256(b"crypsis bgv parameters 1\0" + head)
        for prime in basis.primes:
            total.update(prime.to_bytes(8, "little"))
        self._set(
            log_n=log_n,
            n=1 << log_n,
            moduli_bits=sizes,
            plain_bits=plain_bits,
            basis=basis,
            q=q,
            max_noise_bits=room,
            digest=total.digest(),
        )

    @property
    def limbs(self) -> int:
        """Words of 64 bits of a plaintext value, 1 or 2."""
        return -(-self.plain_bits // LIMB_BITS)

    def noise_bits(
        self, entries: int, magnitude: int, *, ciphertexts: int = 1, coefficients: int | None = None
    ) -> int:
        """`noise_bits` of `hide` for all products that a key's owner gets: from public numbers only.

        entries: integers that go into a product, those of all its plaintext polynomials together. magnitude: what none
        of them exceeds. ciphertexts: products that are hidden for that owner, all together: 2^-40 is the statistical
        distance of all of them. coefficients: of each product, N by default. ValueError where these parameters have no
        room for as much.
        """
        entries = integer("entries", entries, 1, 1 << 48)
        magnitude = integer("magnitude", magnitude, 0, 1 << 62)
        ciphertexts = integer("ciphertexts", ciphertexts, 1, 1 << 48)
        places = self.n if coefficients is None else integer("coefficients", coefficients, 1, self.n)
        bits = noise.bits_for(float(entries) * float(magnitude) ** 2, self.n, places, ciphertexts)
        if bits > self.max_noise_bits:
            raise ValueError(
                f"hiding {ciphertexts} products of {entries} entries up to {magnitude} takes {bits} bits of noise,"
                f" these parameters have room for {self.max_noise_bits}: make entries, magnitude or ciphertexts smaller"
            )
        return bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Parameters({self.log_n}, {self.moduli_bits}, {self.plain_bits})"


def blocks(count: int, parameters: Parameters) -> Iterator[slice]:
    """Slices of polynomials of about BLOCK_BYTES together."""
    step = max(1, BLOCK_BYTES // (8 * len(parameters.basis) * parameters.n))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def check_parameters(parameters: Any) -> Parameters:
    if not isinstance(parameters, Parameters):
        raise TypeError(f"parameters is {kind(parameters)}: give crypsis.bgv.RING128 or bgv.Parameters(...)")
    return parameters


RING128 = Parameters(13, (43,) * 5, 128)
"""Products of shares mod 2^128 with integers of 16 bits: N = 8192, q of 215 bits of the 218 that are secure."""
