# SPDX-License-Identifier: Apache-2.0
"""The logistic function on shares: straight, or an odd polynomial of degree 5 or 9.

    "linear"    1/2 + z/4                  local, no message; error 0.02 at |z| = 1, 0.12 at 2: for small scores
    "degree5"   minimax on [-8, 8]         error at most 0.041 there
    "degree9"   minimax on [-12, 12]       error at most 0.030 there

The polynomials are the nearest odd ones plus 1/2 (tests derive them anew by Remez's exchange). Degrees 3 and 7 are not
here: their leading coefficient is negative, so outside of the interval they push scores away from the truth.

Evaluation, one party encrypting and the other evaluating, of p(a + b) = sum_k c_k (a + b)^k on shares x = a + b of z
over a power of two: the encryptor sends Enc(a^j), j = 1 .. D - 1; the evaluator takes

    sum_j Enc(a^j) Q_j(b),    Q_j(b) = sum_(k >= j) c_k binomial(k, j) b^(k - j) mod 2^128

with a mask back to the encryptor, and keeps Q_0(b); c_D a^D is the encryptor's own. Each evaluates one half of the
batch. x has `x_bits` of fraction and p(x) `bits`, so that |z| <= 16 leaves 40 bits or more for `truncate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from crypsis import paillier
from crypsis.mpc.learning.linear import ring128
from crypsis.mpc.learning.linear.products import BLOCK_ROWS, Products, Slots, encoded
from crypsis.mpc.learning.linear.ring128 import Party, Ring

OUTPUT_BITS = 28
"""Of fraction, of residuals."""


@dataclass(frozen=True)
class Polynomial:
    """1/2 + sum of coefficients[i] z^(2 i + 1); `max_error` on [-radius, radius]. x = z / 2^scale."""

    radius: float
    coefficients: tuple[float, ...]
    max_error: float
    scale: int
    x_bits: int
    bits: int

    @property
    def degree(self) -> int:
        """The highest power."""
        return 2 * len(self.coefficients) - 1

    def integers(self) -> list[int]:
        """c_k 2^(bits - k x_bits) for the powers k = 0 .. degree of x, 1/2 left out."""
        values = [0] * (self.degree + 1)
        for i, c in enumerate(self.coefficients):
            k = 2 * i + 1
            values[k] = round(c * 2.0 ** (self.scale * k + self.bits - k * self.x_bits))
        return values


POLYNOMIALS = {
    "degree5": Polynomial(
        8.0, (0.196596529988217, -0.004821138312419432, 4.382838155340973e-05), 0.041, 3, 12, 74
    ),
    "degree9": Polynomial(
        12.0,
        (
            0.2090978070282313,
            -0.006734121918149912,
            0.00011592117718449616,
            -8.860959492904798e-07,
            2.4345937189288793e-09,
        ),
        0.030,
        4,
        8,
        82,
    ),
}
KINDS = ("linear", *POLYNOMIALS)


def linear(z: Ring, z_bits: int, party: Party) -> Ring:
    """A share of 1/2 + z/4 with `OUTPUT_BITS`, from one of z with `z_bits` of fraction."""
    share = ring128.truncate(z, z_bits + 2 - OUTPUT_BITS, party)
    return share if party else _plus_half(share)


def _plus_half(share: Ring) -> Ring:
    return ring128.add(share, ring128.from_int(1 << (OUTPUT_BITS - 1)))


def evaluate(products: Products, z: Ring, z_bits: int, polynomial: Polynomial, party: Party) -> Ring:
    """A share of p(z) with `OUTPUT_BITS`. Party 0 evaluates the first half of the rows, party 1 the second."""
    with products.session.meter("native"):
        x = ring128.truncate(z, z_bits + polynomial.scale - polynomial.x_bits, party)
    half = len(x) // 2
    halves = slice(0, half), slice(half, len(x))
    evaluated, encrypted = halves[party], halves[1 - party]
    own = _Evaluation(products, polynomial)
    result = np.empty_like(x)
    own.send(x[encrypted])
    result[evaluated] = own.answer(x[evaluated])
    result[encrypted] = own.receive(x[encrypted])
    with products.session.meter("native"):
        share = ring128.truncate(result, polynomial.bits - OUTPUT_BITS, party)
        return share if party else _plus_half(share)


class _Evaluation:
    """One party's side; both keys have the same length, so blocks and slots are the same at both."""

    def __init__(self, products: Products, polynomial: Polynomial) -> None:
        self._products, self._degree = products, polynomial.degree
        self._coefficients = [ring128.from_int(value) for value in polynomial.integers()]
        self._integers = polynomial.integers()
        terms = polynomial.degree - 1
        value_bits = 2 * ring128.BITS + terms.bit_length()
        self._slots_own = Slots(products.own.public_key, value_bits)
        self._slots_theirs = Slots(products.theirs, value_bits)
        count = self._slots_own.count
        self._step = max(1, BLOCK_ROWS // terms // count) * count

    def _blocks(self, n: int) -> list[slice]:
        return [slice(i, min(n, i + self._step)) for i in range(0, n, self._step)]

    def send(self, a: Ring) -> None:
        """Encryptions of the powers 1 .. degree - 1 of each row, row by row."""
        for part in self._blocks(len(a)):
            with self._products.session.meter("native"):
                powers = [a[part]]
                while len(powers) < self._degree - 1:
                    powers.append(ring128.multiply(powers[-1], a[part]))
                flat = np.stack(powers, axis=1).reshape(-1, 2)
            self._products.outbox.put(self._products.encrypt(flat))

    def answer(self, b: Ring) -> Ring:
        """The evaluator's own shares, after sending the masked others."""
        shares, session = [ring128.zeros(0)], self._products.session
        for part in self._blocks(len(b)):
            n, terms = part.stop - part.start, self._degree - 1
            with session.meter("native"):
                factors = self._factors(b[part])
                scalars = encoded(np.stack(factors[1:], axis=1).reshape(-1, 2), ring128.BITS)
            powers = session.receive_ciphertexts(self._products.peer, self._products.theirs, (n * terms,))
            with session.meter("he"):
                raised = powers.multiply_vartime(scalars) if session.cipher.vartime else powers * scalars
                sums = raised.reshape(n, terms).sum(axis=1)
                packed = sums.pack(paillier.Packing(self._slots_theirs.count, self._slots_theirs.bits))
            mask = self._products.send_masked(packed, self._slots_theirs)[:n]
            shares.append(ring128.add(factors[0], mask))
        return np.concatenate(shares)

    def _factors(self, b: Ring) -> list[Ring]:
        """Q_j(b) for j = 0 .. degree - 1."""
        powers = [np.broadcast_to(ring128.from_int(1), b.shape), b]
        while len(powers) <= self._degree:
            powers.append(ring128.multiply(powers[-1], b))
        factors = []
        for j in range(self._degree):
            total = ring128.zeros(len(b))
            for k in range(j, self._degree + 1):
                if self._integers[k]:
                    factor = ring128.from_int(self._integers[k] * comb(k, j))
                    total = ring128.add(total, ring128.multiply(powers[k - j], factor))
            factors.append(total)
        return factors

    def receive(self, a: Ring) -> Ring:
        """The encryptor's shares."""
        shares = [ring128.zeros(0)]
        for part in self._blocks(len(a)):
            shares.append(self._products.receive_masked(part.stop - part.start, self._slots_own))
        with self._products.session.meter("native"):
            top = a
            for _ in range(self._degree - 1):
                top = ring128.multiply(top, a)
            return ring128.add(np.concatenate(shares), ring128.multiply(top, self._coefficients[-1]))
