# SPDX-License-Identifier: Apache-2.0
"""Parameters: a literal that anyone can write down becomes an immutable, checked object with all its constants."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from crypsis import ntt, rns
from crypsis._arguments import integer, kind
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import LevelError

MAX_LOG_QP = {10: 27, 11: 54, 12: 109, 13: 218, 14: 438, 15: 881, 16: 1747}
"""Bits of Q P at most for 128-bit security by log2(N): ternary secret, sigma 3.2, classical [ACC+18, Table 1], which
ends at 2^15; the row of 2^16 is that of [BCC+24], as OpenFHE has it too."""
SIGMA = math.sqrt(10.5)
"""Standard deviation of the noise: centred binomial of 42 coins, 3.24, not below the table's 3.2."""
MIN_BITS, MAX_BITS = 21, 60
MIN_LOG_SCALE, MAX_LOG_SCALE = 15, 100
HEADROOM = 2
"""Bits of the lowest modulus above its scale at least: a sign and one bit of value."""
MAX_MODULI = 64


@dataclass(frozen=True)
class Literal:
    """What a parameter set is written as; `Parameters(literal)` checks it.

    log_n: the ring is Z[X]/(X^N + 1), N = 2^log_n; a ciphertext has N/2 slots. moduli_bits: sizes in bits of the
    primes q_0, q_1, ... of a ciphertext's modulus, 21 to 60 each. A multiplication uses up the last one; the first
    ones, the base, hold the result. special_bits: of the primes P that keys have besides (at least as many bits as the
    largest digit); empty for parameters that only add. log_scale: a value x is encrypted as the integer
    x * 2^log_scale; moduli after the base have this size, within a bit. dnum: into how many digits key switching cuts
    a ciphertext: more need fewer special bits and more time; by default one for each modulus.
    """

    log_n: int
    moduli_bits: tuple[int, ...]
    special_bits: tuple[int, ...]
    log_scale: int
    dnum: int | None = None

    def __post_init__(self) -> None:
        integer("log_n", self.log_n, 2, 16)
        integer("log_scale", self.log_scale, MIN_LOG_SCALE, MAX_LOG_SCALE)
        for name in ("moduli_bits", "special_bits"):
            bits = getattr(self, name)
            if not isinstance(bits, tuple | list):
                raise TypeError(
                    f"{name} is {kind(bits)}: give a tuple of ints, the size of each prime in bits"
                )
            for i, value in enumerate(bits):
                integer(f"{name}[{i}]", value, MIN_BITS, MAX_BITS)
            object.__setattr__(self, name, tuple(int(value) for value in bits))
        if not 1 <= len(self.moduli_bits) <= MAX_MODULI or len(self.special_bits) > MAX_MODULI:
            raise ValueError(
                f"moduli_bits has {len(self.moduli_bits)} entries and special_bits {len(self.special_bits)}:"
                f" give 1 to {MAX_MODULI} and 0 to {MAX_MODULI}"
            )
        if self.dnum is not None:
            integer("dnum", self.dnum, 1, len(self.moduli_bits), "None for one digit a modulus")

    def to_bytes(self) -> bytes:
        """16 bytes and one for each prime; see `crypsis._ckks.serial`."""
        return struct.pack(
            "<BBBBB",
            self.log_n,
            self.log_scale,
            self.dnum or 0,
            len(self.moduli_bits),
            len(self.special_bits),
        ) + bytes(self.moduli_bits + self.special_bits)

    @classmethod
    def from_bytes(cls, view: memoryview) -> tuple[Literal, int]:
        """The literal at the start of `view` and how many bytes it takes; ValueError or TypeError for another."""
        if len(view) < 5:
            raise ValueError("parameters are truncated")
        log_n, log_scale, dnum, n_moduli, n_special = struct.unpack_from("<BBBBB", view)
        end = 5 + n_moduli + n_special
        if len(view) < end:
            raise ValueError("parameters are truncated")
        bits = tuple(view[5:end])
        return cls(log_n, bits[:n_moduli], bits[n_moduli:], log_scale, dnum or None), end


AGGREGATE = Literal(11, (48,), (), 36)
"""Sums of many vectors, no product: the smallest ciphertexts (12 bytes a float packed, 6 symmetric)."""
SHARED = Literal(12, (55, 54), (), 85)
"""As AGGREGATE, with room for the noise that `share_safe` adds to a result."""
JOINT = Literal(13, (40, 40, 40), (), 100)
"""Sums under a key that several parties hold together (`crypsis.ckks.threshold`): room for the noise of each."""
SHALLOW = Literal(13, (50, 39, 39, 39), (50,), 39)
"""Three products in a row: linear models, a sigmoid of degree 3 to 7."""
DEEP = Literal(15, (60,) + (45,) * 12, (50,) * 5, 45, dnum=3)
"""Twelve products in a row: deep polynomials, small neural networks."""


class Parameters(Frozen):
    """A checked parameter set with its constants. Immutable; equal where the literals are.

    literal: a `Literal`; its primes are the largest of their sizes that are 1 mod 2N. ValueError for what is below 128
    bits of security by [ACC+18], naming the limit, and for moduli that do not fit the scale or the special primes.
    insecure_allow_weak: admit any security and N from 4, for tests. `Parameters.of` keeps what it made.
    """

    __slots__ = (
        "_bases",
        "bottom",
        "chain",
        "digest",
        "full",
        "insecure",
        "literal",
        "log_n",
        "log_q",
        "log_qp",
        "max_value",
        "moduli",
        "n",
        "n_slots",
        "prefix",
        "scales",
        "special",
        "special_product",
        "top",
    )

    literal: Literal
    insecure: bool
    log_n: int
    n: int
    n_slots: int
    """Slots of a ciphertext, N / 2."""
    moduli: ntt.Basis
    special: tuple[int, ...]
    full: ntt.Basis
    """The moduli, then the special primes: what keys are over (no special ones where `special_bits` is empty)."""
    chain: rns.Chain
    top: int
    """The level of fresh ciphertexts: how many moduli they have, less 1."""
    bottom: int
    """The lowest level; a result must get along with its moduli alone."""
    scales: tuple[float, ...]
    """By level, what values are multiplied by: S_bottom = 2^log_scale, and S_l^2 = S_(l-1) q_l, so that a product has
    exactly the scale of its level. From the bottom up, since the other way differences of the primes from 2^log_scale
    would double at every level. As doubles: 2^-50 is far below the noise, and exact fractions would double in length
    at every level. 0 below the bottom."""
    max_value: float
    """What |value| must stay below, at encryption and in results: a quarter of the base's modulus over its scale."""
    log_q: float
    log_qp: float
    special_product: int
    _bases: tuple[ntt.Basis, ...]
    digest: bytes
    """SHA-256 of the literal and its primes, 32 bytes."""
    prefix: bytes
    """The literal as it stands in front of serialised objects."""

    def __init__(self, literal: Literal, *, insecure_allow_weak: bool = False) -> None:
        if not isinstance(literal, Literal):
            raise TypeError(f"literal is {kind(literal)}: give a crypsis.ckks.Literal, as ckks.SHALLOW is")
        check_security(literal, insecure_allow_weak)
        bottom = _base(literal) - 1
        _check_sizes(literal, bottom)
        # Special primes first: the largest of their size, so that P is at least a digit of as many bits.
        # Where nothing is switched there is a special prime too, which `Chain` wants and no key knows.
        special_bits = literal.special_bits or (MAX_BITS,)
        primes = ntt.find_primes(literal.log_n, special_bits + literal.moduli_bits)
        special, moduli = primes[: len(special_bits)], primes[len(special_bits) :]
        n_moduli = len(moduli)
        chain = rns.Chain(literal.log_n, moduli, special, dnum=literal.dnum)
        basis, full = chain.moduli, chain.moduli + chain.special
        if not literal.special_bits:
            special, full = (), basis
        scales = [0.0] * bottom + [2.0**literal.log_scale]
        for q in moduli[bottom + 1 :]:
            scales.append(math.sqrt(scales[-1]) * math.sqrt(q))
        data = literal.to_bytes()
        total = hashlib.sha256(b"crypsis ckks parameters 1\0" + data)
        for prime in full.primes:
            total.update(prime.to_bytes(8, "little"))
        log_q = sum(map(math.log2, moduli))
        self._set(
            literal=literal,
            insecure=not is_secure(literal),
            log_n=literal.log_n,
            n=1 << literal.log_n,
            n_slots=1 << (literal.log_n - 1),
            moduli=basis,
            special=special,
            full=full,
            chain=chain,
            top=n_moduli - 1,
            bottom=bottom,
            scales=tuple(scales),
            max_value=2.0 ** (sum(map(math.log2, moduli[: bottom + 1])) - 2 - literal.log_scale),
            log_q=log_q,
            log_qp=log_q + sum(map(math.log2, special)),
            special_product=math.prod(special),
            digest=total.digest(),
            prefix=data,
            _bases=tuple(basis[: level + 1] for level in range(n_moduli)),
        )

    @classmethod
    def of(cls, literal: Literal | Parameters, *, insecure_allow_weak: bool = False) -> Parameters:
        """The parameters of a literal, made once and kept; parameters are given back as they are."""
        if isinstance(literal, Parameters):
            return literal
        if not isinstance(literal, Literal):
            raise TypeError(f"literal is {kind(literal)}: give a crypsis.ckks.Literal, as ckks.SHALLOW is")
        return _parameters(literal, bool(insecure_allow_weak))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameters) and other.literal == self.literal

    def __hash__(self) -> int:
        return hash(self.literal)

    def __reduce__(self) -> Any:
        return _unpickle, (self.literal, self.insecure)

    def __repr__(self) -> str:
        weak = ", insecure" if self.insecure else ""
        return (
            f"Parameters(N = 2^{self.log_n}, depth {self.depth}, log2 Q = {self.log_q:.0f},"
            f" log2 QP = {self.log_qp:.0f}, scale 2^{self.literal.log_scale}{weak})"
        )

    @property
    def depth(self) -> int:
        """How many products in a row a fresh ciphertext has levels for."""
        return self.top - self.bottom

    @property
    def dnum(self) -> int:
        """Digits of key switching."""
        dnum: int = self.chain.dnum
        return dnum

    def basis(self, level: int) -> ntt.Basis:
        """The moduli of a level, q_0 to q_level."""
        return self._bases[level]

    def check_level(self, level: Any) -> int:
        """`level`, or the top for None. LevelError outside bottom to top."""
        if level is None:
            return self.top
        found: int = integer("level", level, 0, MAX_MODULI)
        if not self.bottom <= found <= self.top:
            raise LevelError(
                f"level is {found}: these parameters have levels {self.bottom} to {self.top} ({self!r})"
            )
        return found

    def decryption_level(self, level: int, scale: float) -> int:
        """Decryption takes a ciphertext's lowest moduli only: the base and one more where there is one, more for the
        scale of a product that was not rescaled: as many as leave the values the base's room, but for a bit."""
        room = math.log2(self.max_value) + 1  # values, sign and a bit: a quarter of the modulus
        found = min(level, self.bottom + 1)
        log_modulus = sum(map(math.log2, self.moduli.primes[: found + 1]))
        while found < level and log_modulus - math.log2(scale) < room:
            found += 1
            log_modulus += math.log2(self.moduli.primes[found])
        return found

    def limit(self, level: int, scale: float) -> float:
        """What |value| of a ciphertext must stay below to be decrypted: a quarter of its moduli over its scale."""
        log_modulus = sum(map(math.log2, self.moduli.primes[: self.decryption_level(level, scale) + 1]))
        return math.exp2(log_modulus - 2 - math.log2(scale))


@lru_cache(maxsize=64)
def _parameters(literal: Literal, insecure: bool) -> Parameters:
    return Parameters(literal, insecure_allow_weak=insecure)


def _unpickle(literal: Literal, insecure: bool) -> Parameters:
    return Parameters.of(literal, insecure_allow_weak=insecure)


def is_secure(literal: Literal) -> bool:
    """128-bit secure by [ACC+18]."""
    total = sum(literal.moduli_bits) + sum(literal.special_bits)
    return total <= MAX_LOG_QP.get(literal.log_n, 0)


def check_security(literal: Literal, insecure_allow_weak: bool) -> None:
    """ValueError for what is below 128 bits of security, naming the limit."""
    if insecure_allow_weak or is_secure(literal):
        return
    total = sum(literal.moduli_bits) + sum(literal.special_bits)
    most = MAX_LOG_QP.get(literal.log_n, 0)
    enough = [log_n for log_n, bits in MAX_LOG_QP.items() if bits >= total]
    remedy = f"take log_n = {enough[0]}" if enough else "take fewer or smaller primes"
    limit = f"at most {most} are 128-bit secure" if most else "no modulus is secure"
    raise ValueError(
        f"moduli_bits and special_bits are {total} bits together: for log_n = {literal.log_n}, {limit}: {remedy}"
    )


def _base(literal: Literal) -> int:
    """How many of the first moduli hold a value at the scale."""
    total = 0
    for count, bits in enumerate(literal.moduli_bits, 1):
        total += bits
        if total >= literal.log_scale + HEADROOM:
            return count
    raise ValueError(
        f"moduli_bits have {total} bits together, log_scale is {literal.log_scale}: a result needs"
        f" {literal.log_scale + HEADROOM} at least: take a larger first modulus or a smaller scale"
    )


def _check_sizes(literal: Literal, bottom: int) -> None:
    rest = literal.moduli_bits[bottom + 1 :]
    for i, bits in enumerate(rest, bottom + 1):
        if abs(bits - literal.log_scale) > 1:
            raise ValueError(
                f"moduli_bits[{i}] is {bits}, log_scale is {literal.log_scale}: a product is divided by this prime, so"
                f" that its scale stays what it was: give {literal.log_scale} bits"
            )
    if rest and not literal.special_bits:
        raise ValueError(
            f"special_bits is empty and the parameters have depth {len(rest)}: products need keys, and keys a special"
            " prime: give one of as many bits as the largest modulus"
        )
    if not literal.special_bits:
        if literal.dnum is not None:
            raise ValueError(
                f"dnum is {literal.dnum} and special_bits is empty: digits need special primes: leave it out"
            )
        return
    n_moduli = len(literal.moduli_bits)
    alpha = -(-n_moduli // (literal.dnum or n_moduli))
    digits = [sum(literal.moduli_bits[i : i + alpha]) for i in range(0, n_moduli, alpha)]
    if sum(literal.special_bits) < max(digits):
        raise ValueError(
            f"special_bits are {sum(literal.special_bits)} bits together, the largest of {len(digits)} digits has"
            f" {max(digits)}: give as many, or a larger dnum"
        )
