# SPDX-License-Identifier: Apache-2.0
"""Paillier's additively homomorphic encryption on arrays.

    public, private = generate_keypair()
    c = public.encrypt(numpy.arange(10.0))          # or private.encrypt(...), faster, where the private key is
    total = (c * 2.5 + 1).sum()
    private.decrypt(total)                          # 122.5
    wire = total.rerandomize(full=True).to_bytes()  # results are blinded anew, fully where the key's owner gets them

Ciphertexts live on the host or on a GPU, and work on them is done where they are, with the same results to the byte:
`encrypt(..., device="cuda:0")`, `.to("cuda:0")`, `.to("cpu")`, `load_ciphertexts(..., device="cuda:0")`.

Scheme [Pai99] with g = n + 1, in the form of Damgard, Jurik and Nielsen [DJN10]: p = q = 3 mod 4 with
gcd(p - 1, q - 1) = 2, h = -x^2 mod n for a random x, hs = h^n mod n^2, and

    E(m) = (1 + m n) * hs^a mod n^2,    a of n_bits / 2 random bits.

Security [DJN10]: with exponents a of full length, semantic security is the decisional composite residuosity
assumption; h generates the numbers of Jacobi symbol 1, up to a small index where p - 1 or q - 1 have small odd factors.
That exponents of half the length of n give powers indistinguishable from those of full length is what [GR03] derive
from the hardness of factoring n. Against chosen ciphertexts nothing is promised, as for every homomorphic scheme. A key
that is a bare n (python-paillier's) knows no h: its blinding is r^n for a random r, [Pai99]'s own, many times slower.

Encryption, blinding and decryption are constant-time in everything secret, except where a name says `_vartime`. Key
generation is not, nor what is done once for a key: making a `PrivateKey`, and the tables of its first encryption.

A public key says nothing of how n and h were made. The sender of one that is not of this form (h of small order, n with
other factors) takes the secrecy from ciphertexts of its own key, and, with the default blinding, from what others
compute on them; `rerandomize(full=True)` helps against h, and against n only a proof that n is of this form does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from math import gcd
from typing import Any

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import key_files, limbs, wire
from crypsis._homomorphic.blinding import BlindingPool
from crypsis._homomorphic.cipher_array import CipherArray, UnblindedCipherArray, concatenate
from crypsis._homomorphic.crt import PrimeSquare, montgomery_constant, times
from crypsis._homomorphic.devices import Constant, at, placed_secret
from crypsis._homomorphic.encoding import Encoded, Encoding, base16, fixed_point
from crypsis._homomorphic.keys import PublicKeyBase, check_key_bits, key_digest
from crypsis._homomorphic.limbs import Bools, Limbs
from crypsis._homomorphic.packing import Packing
from crypsis._homomorphic.primes import apart, check_balanced, jacobi, probably_prime, random_prime
from crypsis._homomorphic.private import PrivateKeyBase
from crypsis._homomorphic.secret import random_below, random_bits, wiping
from crypsis.cuda._device import Device
from crypsis.errors import CorruptData

__all__ = [
    "BlindingPool",
    "CipherArray",
    "Encoded",
    "Encoding",
    "Packing",
    "PrivateKey",
    "PublicKey",
    "UnblindedCipherArray",
    "base16",
    "concatenate",
    "fixed_point",
    "generate_keypair",
]

DEFAULT_KEY_BITS = 3072
MAX_KEY_BITS = bigint.MAX_BITS // 2


def generate_keypair(
    n_bits: int = DEFAULT_KEY_BITS, *, insecure_allow_small_key: bool = False
) -> tuple[PublicKey, PrivateKey]:
    """A fresh key pair: n = p q of exactly `n_bits` bits, even, from 2048 to 4096. Needs gmpy2.

    2048 bits are 112 bits of security, 3072 are 128 [SP 800-57]. ValueError for other sizes; `insecure_allow_small_key`
    admits 256 and more, for tests. `BackendUnavailable` without gmpy2.
    """
    if not isinstance(n_bits, int) or n_bits % 2 or n_bits > MAX_KEY_BITS:
        raise ValueError(f"n_bits is {n_bits!r}: give an even number from 2048 to {MAX_KEY_BITS}")
    check_key_bits("n_bits", n_bits, insecure_allow_small_key)
    half = n_bits // 2
    while True:
        p = random_prime(half, lambda candidate: candidate % 4 == 3)
        q = random_prime(half, lambda candidate: candidate % 4 == 3)
        if gcd(p - 1, q - 1) == 2 and gcd(p * q, (p - 1) * (q - 1)) == 1 and apart(p, q):
            break
    n = p * q
    while True:
        x = secrets.randbelow(n)
        if gcd(x, n) == 1:
            break
    public = PublicKey(n, h=-x * x % n, insecure_allow_small_key=insecure_allow_small_key)
    return public, PrivateKey(public, p, q)


class PublicKey(PublicKeyBase):
    """n and, for keys of `generate_keypair`, h. Immutable; equal to every key of the same n.

    n: odd, 2048 to 4096 bits. h: 1 < h < n - 1 with Jacobi symbol 1; without it blinding takes full powers r^n.
    ValueError for other numbers.
    """

    __slots__ = (
        "_base",
        "_n_constant",
        "_n_row",
        "_one",
        "_square",
        "digest",
        "h",
        "max_int",
        "modulus",
        "n",
        "n_bits",
    )

    scheme = "paillier"
    h: int | None
    _base: list[bigint.FixedBase]
    _n_constant: Constant
    _n_row: Constant
    _one: Constant
    _square: Constant

    def __init__(self, n: int, *, h: int | None = None, insecure_allow_small_key: bool = False) -> None:
        if not isinstance(n, int) or n % 2 == 0 or n < 0:
            raise ValueError("n is not an odd positive integer: it is no Paillier modulus")
        check_key_bits("n", n.bit_length(), insecure_allow_small_key)
        if n.bit_length() > MAX_KEY_BITS:
            raise ValueError(f"n has {n.bit_length()} bits: at most {MAX_KEY_BITS} are supported")
        if h is not None and (not 1 < h < n - 1 or gcd(h, n) != 1 or jacobi(h, n) != 1):
            raise ValueError("h is not the generator of a key of this n: the key is damaged or malicious")
        modulus = bigint.Modulus(n * n)
        self._set(
            n=n,
            n_bits=n.bit_length(),
            h=h,
            modulus=modulus,
            max_int=n // 3 - 1,
            digest=key_digest(self.scheme, n),
            _n_constant=montgomery_constant(n, modulus, power=2),
            _n_row=Constant.of(n, limbs.n_limbs(n.bit_length())),
            _one=Constant(modulus.one_montgomery),
            _square=Constant.of(modulus.n, modulus.limbs),
            _base=[],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.n == self.n

    def __hash__(self) -> int:
        return hash((self.scheme, self.n))

    def __repr__(self) -> str:
        return f"PublicKey(paillier, {self.n_bits} bits, {self.digest[:4].hex()})"

    @property
    def exponent_bits(self) -> int:
        """Bits of the random exponent of hs: half of the key's."""
        return self.n_bits // 2

    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, device, vartime=False)

    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, device, vartime=True)

    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        with at(device), wiping() as secret:
            drawn = secret(random_below(count, self.n))
            bases = secret(placed_secret(limbs.resize(drawn, self.modulus.limbs), device))
            # The exponent n is public; the time depends on nothing else.
            exponent = self._n_row.on(device)
            plain = secret(bigint.powm_vartime(bases, exponent, self.modulus, exponent_bits=self.n_bits))
            return self.modulus.to_montgomery(plain)

    def _blind(self, count: int, device: Device | None, *, vartime: bool) -> Limbs:
        if self.h is None:
            return self.full_blinding_factors(count, device=device)
        with at(device):
            base = self._generator()
            with wiping() as secret:
                exponents = secret(placed_secret(random_bits(count, self.exponent_bits), device))
                return (base.powm_vartime if vartime else base.powm)(exponents, montgomery=True)

    def _generator(self) -> bigint.FixedBase:
        """Powers of hs = h^n mod n^2, made at the first use. No lock: a fork could leave it held in the child."""
        if not self._base:
            hs = limbs.from_int(pow(self.h or 1, self.n, self.modulus.n), self.modulus.limbs)
            self._base.append(bigint.FixedBase(hs, self.modulus, self.exponent_bits))
        return self._base[0]

    def sent(self, encoded: Encoded, device: Device, held: Callable[[Any], Any]) -> Encoded:
        magnitude = held(device.from_host_secret(np.ascontiguousarray(encoded.magnitude)))
        negative = held(device.from_host_secret(np.ascontiguousarray(encoded.negative)))
        return Encoded(magnitude, negative, 0, encoded.base, encoded.shape)

    def trivial(self, encoded: Encoded, *, vartime: bool = False, device: Device | None = None) -> Limbs:
        """1 + m n mod n^2."""
        width = len(self._n_row.row)
        with wiping() as secret:
            magnitude, negative = encoded.magnitude, encoded.negative
            if device is not None and not device.owns(magnitude):
                there = self.sent(encoded, device, secret)
                magnitude, negative = there.magnitude, there.negative
            narrow = limbs.resize(magnitude, width)
            residues = secret(limbs.negate_where(narrow, negative, self._n_row.on(device)))
            wide = secret(limbs.resize(residues, self.modulus.limbs))
            multiples = secret(times(wide, self._n_constant, self.modulus))
            if narrow is not magnitude:
                secret(narrow)
            return limbs.add_mod(multiples, self._one.on(device), self._square.on(device))

    def to_bytes(self) -> bytes:
        """The key as bytes, for `from_bytes`."""
        return wire.public_key_to_bytes(self.scheme, [self.n] if self.h is None else [self.n, self.h])

    @classmethod
    def from_bytes(
        cls, buffer: bytes | bytearray | memoryview, *, insecure_allow_small_key: bool = False
    ) -> PublicKey:
        """The key that `to_bytes` wrote. CorruptData for a damaged buffer, ValueError for a key that is too small."""
        numbers, flags = wire.parse_public_key(buffer, cls.scheme)
        if flags or len(numbers) not in (1, 2):
            raise CorruptData("public key is damaged: have it sent again")
        h = numbers[1] if len(numbers) == 2 else None
        return cls(numbers[0], h=h, insecure_allow_small_key=insecure_allow_small_key)


class PrivateKey(PrivateKeyBase):
    """p and q. Immutable; its representation shows neither. Encrypts faster than the public key: by CRT.

    public_key: of n = p q. p, q: primes of half the bits of n each, or up to 16 fewer, and not near each other (which
    is not asked of a key below 2048 bits). ValueError where they do not fit.
    """

    __slots__ = ("_bases", "_factors", "_half", "_joins", "_n", "_p", "_q", "_ring", "_totals", "public_key")

    public_key: PublicKey
    _p: PrimeSquare
    _q: PrimeSquare
    _n: bigint.Modulus
    _ring: Constant
    _half: Constant
    _factors: tuple[Constant, Constant]
    _totals: tuple[Constant, Constant]
    _joins: tuple[Constant, Constant, Constant, Constant]
    _bases: list[tuple[bigint.FixedBase, bigint.FixedBase]]

    def __init__(self, public_key: PublicKey, p: int, q: int) -> None:
        n = public_key.n
        if p == q or p * q != n or not (probably_prime(p) and probably_prime(q)):
            raise ValueError(
                "p and q are not the two prime factors of n: the private key is damaged or another key's"
            )
        if gcd(n, (p - 1) * (q - 1)) != 1:
            raise ValueError("p and q do not make a Paillier key: gcd(n, (p - 1)(q - 1)) is not 1")
        if min(p, q).bit_length() < 128:
            raise ValueError("a prime factor has fewer than 128 bits: use primes of half the bits of n each")
        check_balanced(p, q)
        p, q = sorted((p, q))
        p_square, q_square = PrimeSquare(p), PrimeSquare(q)
        modulus, ring = public_key.modulus, bigint.Modulus(n)
        self._set(
            public_key=public_key,
            _p=p_square,
            _q=q_square,
            _n=ring,
            _ring=Constant.of(n, ring.limbs),
            _half=Constant.of(n // 2, ring.limbs),
            # m = q (t_p / (q L_p)) + p (t_q / (p L_q)) mod n, with t the logarithm of c^(p-1), L that of g^(p-1):
            # g = 1 + n gives L_p = (p - 1) q mod p = -q, so the factor of t_p is -1 / q^2 mod p.
            _factors=(
                montgomery_constant(-pow(q, -2, p) % p, p_square.modulus),
                montgomery_constant(-pow(p, -2, q) % q, q_square.modulus),
            ),
            _totals=(montgomery_constant(q, ring), montgomery_constant(p, ring)),
            # x mod n^2 = q^2 (x / q^2 mod p^2) + p^2 (x / p^2 mod q^2); the second power of R makes Montgomery form.
            _joins=(
                montgomery_constant(pow(q, -2, p * p), p_square.modulus),
                montgomery_constant(pow(p, -2, q * q), q_square.modulus),
                montgomery_constant(q * q, modulus, power=2),
                montgomery_constant(p * p, modulus, power=2),
            ),
            _bases=[],
        )

    def residues(self, rows: Limbs, *, first: int = 0) -> Limbs:
        """Plaintexts mod n, `uint64[size, limbs of n]`, of rows in Montgomery form; `first`: the number of row 0.

        InvalidCiphertext for a row c where c^(p-1) is not 1 mod p, as it is for every c that has an inverse: then the
        machine computed wrongly, and a result that is right modulo one prime only would give the factors of n to
        whoever knows the plaintext.
        """
        plain = self.public_key.modulus.from_montgomery(rows)
        right: list[Bools] = []
        with wiping() as secret:
            parts = []
            for prime, factor, total in zip((self._p, self._q), self._factors, self._totals, strict=True):
                reduced = secret(prime.reduce(plain))
                power = secret(prime.secret_power(reduced, prime.p - 1, prime.p_bits))
                logarithm, exact = prime.logarithm(power, factor)
                right.append(exact)
                share = secret(limbs.resize(secret(logarithm), self._n.limbs))
                parts.append(secret(times(share, total, self._n)))
            result = limbs.add_mod(parts[0], parts[1], self._ring.beside(parts[0]))
        self._refuse_wrong(right[0] & right[1], result, first)
        return result

    def signed(self, residues: Limbs) -> tuple[Limbs, Bools]:
        """(magnitude, negative) of residues mod n."""
        negative = ~limbs.at_most(residues, self._half.beside(residues))
        return limbs.negate_where(residues, negative, self._ring.beside(residues)), negative

    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, device, vartime=False)

    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, device, vartime=True)

    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        """Uniform n-th powers: modulo p^2 these are the y^p, y from 1 to p - 1."""
        parts = []
        with at(device), wiping() as secret:
            for prime in (self._p, self._q):
                drawn = secret(random_below(count, prime.p))
                bases = secret(placed_secret(limbs.resize(drawn, prime.modulus.limbs), device))
                parts.append(secret(prime.secret_power(bases, prime.p, prime.p_bits)))
            return self._join(parts[0], parts[1])

    def _blind(self, count: int, device: Device | None, *, vartime: bool) -> Limbs:
        if self.public_key.h is None:
            return self.full_blinding_factors(count, device=device)
        bases = self._generators()
        with at(device), wiping() as secret:
            exponents = secret(placed_secret(random_bits(count, self.public_key.exponent_bits), device))
            parts = [secret((base.powm_vartime if vartime else base.powm)(exponents)) for base in bases]
            return self._join(parts[0], parts[1])

    def _join(self, p_part: Limbs, q_part: Limbs) -> Limbs:
        """The rows mod n^2, in Montgomery form, of plain rows mod p^2 and q^2."""
        modulus = self.public_key.modulus
        p_join, q_join, p_total, q_total = self._joins
        with wiping() as secret:
            total = []
            for prime, part, join, scale in (
                (self._p, p_part, p_join, p_total),
                (self._q, q_part, q_join, q_total),
            ):
                share = secret(limbs.resize(secret(times(part, join, prime.modulus)), modulus.limbs))
                total.append(secret(times(share, scale, modulus)))
            return limbs.add_mod(total[0], total[1], self.public_key._square.beside(total[0]))

    def _generators(self) -> tuple[bigint.FixedBase, bigint.FixedBase]:
        """Powers of hs modulo p^2 and q^2, made at the first use."""
        if not self._bases:
            key = self.public_key
            tables = []
            for prime in (self._p, self._q):
                square = prime.modulus
                hs = limbs.from_int(pow(key.h or 1, key.n, square.n), square.limbs)
                tables.append(bigint.FixedBase(hs, square, key.exponent_bits))
            self._bases.append((tables[0], tables[1]))
        return self._bases[0]

    def save(self, path: Any, passphrase: str | bytes) -> None:
        """Write the key pair to `path`, encrypted with the passphrase: see `key_files`. Replaces a file atomically."""
        h = self.public_key.h
        numbers = [self._p.p, self._q.p] + ([] if h is None else [h])
        key_files.save(path, passphrase, self.public_key.scheme, numbers)

    @classmethod
    def load(
        cls, path: Any, passphrase: str | bytes, *, insecure_allow_small_key: bool = False
    ) -> PrivateKey:
        """The key that `save` wrote. `WrongPassphrase`, `CorruptData`; OSError where the file cannot be read."""
        numbers = key_files.load(path, passphrase, PublicKey.scheme)
        if len(numbers) not in (2, 3):
            raise CorruptData(f"{path} does not hold a Paillier key: it is damaged")
        p, q = numbers[:2]
        h = numbers[2] if len(numbers) == 3 else None
        public = PublicKey(p * q, h=h, insecure_allow_small_key=insecure_allow_small_key)
        return cls(public, p, q)
