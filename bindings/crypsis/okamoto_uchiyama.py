# SPDX-License-Identifier: Apache-2.0
"""Okamoto and Uchiyama's additively homomorphic encryption on arrays: faster than Paillier, for honest senders.

    public, private = generate_keypair()
    c = public.encrypt(numpy.arange(10))
    private.decrypt_in_range((c * 3).sum(), range_bits=64)        # 135

Ciphertexts live on the host or on a GPU, as those of `crypsis.paillier` do.

n = p^2 q with p and q a third of its bits each [OU98]; ciphertexts are residues mod n, half as long as
Paillier's. In the form of Coron, Naccache and Paillier [CNP99]: p - 1 = t u with t prime, and for random g, g'

    G = g^u mod n,  H = g'^(n u) mod n,  E(m) = G^m H^r mod n,  c^t mod p^2 gives m,

so that decryption takes a power as short as t. t and r have twice the bits of security of n [SP 800-57], which is what
square-root methods against short exponents and small subgroups leave [vOW96]: 224 bits for n of 2048 bits, 256 for
3072, 384 above. (HEU's r has 110 and 128 bits: 2^55 and 2^64 products for a kangaroo that tests a guessed plaintext.)

**The overflow attack.** What decrypts is m mod p. Who may send ciphertexts and learns decryptions encrypts some m > p,
gets m mod p, and the difference is a multiple of the secret p. So `decrypt` refuses, without telling the value, all
that is outside a range agreed for the application: a value that wrapped around p lands inside with probability below
2^-40. Ciphertexts outside the group of G and H are refused too. Use Paillier, whose plaintexts wrap around the public
n, where a peer is not trusted to follow the protocol.
"""

from __future__ import annotations

import secrets
from math import gcd
from typing import Any

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import key_files, limbs, wire
from crypsis._homomorphic.blinding import BlindingPool
from crypsis._homomorphic.cipher_array import CipherArray, UnblindedCipherArray, concatenate
from crypsis._homomorphic.crt import PrimeSquare, montgomery_constant
from crypsis._homomorphic.devices import Constant, at, placed_secret
from crypsis._homomorphic.encoding import Encoded, Encoding, base16, fixed_point
from crypsis._homomorphic.generators import Generators
from crypsis._homomorphic.keys import PublicKeyBase, check_key_bits, key_digest
from crypsis._homomorphic.limbs import Bools, Limbs
from crypsis._homomorphic.packing import Packing
from crypsis._homomorphic.primes import apart, check_apart, is_prime, probably_prime, random_prime
from crypsis._homomorphic.private import PrivateKeyBase
from crypsis._homomorphic.secret import random_bits
from crypsis._homomorphic.wiping import wiping
from crypsis.cuda._device import Device
from crypsis.errors import CorruptData, InvalidCiphertext

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
DEFAULT_RANGE_BITS = 128
STATISTICAL_BITS = 40
FULL_SLACK_BITS = 128
MAX_KEY_BITS = 4096
MIN_SMALL_KEY_BITS = 768  # insecure keys of tests: p of 256 bits


def short_exponent_bits(n_bits: int) -> int:
    """Twice the bits of security of a modulus [SP 800-57, table 2]; half of p for the insecure keys of tests."""
    if n_bits < 2048:
        return prime_bits(n_bits) // 2
    return 224 if n_bits < 3072 else 256 if n_bits == 3072 else 384


def prime_bits(n_bits: int) -> int:
    """Bits of p: a third, rounded up."""
    return -(-n_bits // 3)


def generate_keypair(
    n_bits: int = DEFAULT_KEY_BITS, *, insecure_allow_small_key: bool = False
) -> tuple[PublicKey, PrivateKey]:
    """A fresh key pair: n = p^2 q of exactly `n_bits` bits, from 2048 to 4096. Needs gmpy2.

    ValueError for other sizes; `insecure_allow_small_key` admits 768 and more, for tests. `BackendUnavailable` without
    gmpy2.
    """
    if not isinstance(n_bits, int) or n_bits > MAX_KEY_BITS:
        raise ValueError(f"n_bits is {n_bits!r}: give an integer from 2048 to {MAX_KEY_BITS}")
    _check_size("n_bits", n_bits, insecure_allow_small_key)
    p_bits, t_bits = prime_bits(n_bits), short_exponent_bits(n_bits)
    t = random_prime(t_bits)
    low, high = (3 << (p_bits - 2)) // t + 1, ((1 << p_bits) - 1) // t
    while True:
        u = low + secrets.randbelow(high - low)
        p = t * u + 1
        if u % 2 == 0 and p.bit_length() == p_bits and is_prime(p):
            break
    while True:
        q = random_prime(n_bits - 2 * p_bits)
        n = p * p * q
        if n.bit_length() == n_bits and apart(p, q) and gcd(p, q - 1) == 1:
            break
    while True:
        g = 2 + secrets.randbelow(n - 3)
        if gcd(g, n) == 1 and pow(g, p - 1, p * p) != 1:
            break
    while True:
        other = 2 + secrets.randbelow(n - 3)
        h = pow(other, n * u, n)
        if gcd(other, n) == 1 and h != 1:
            break
    public = PublicKey(n, g=pow(g, u, n), h=h, insecure_allow_small_key=insecure_allow_small_key)
    return public, PrivateKey(public, p, t)


def _check_size(name: str, n_bits: int, insecure_allow_small_key: bool) -> None:
    check_key_bits(name, n_bits, insecure_allow_small_key)
    if n_bits < MIN_SMALL_KEY_BITS:
        raise ValueError(f"{name} has {n_bits} bits: {MIN_SMALL_KEY_BITS} is the least even in tests")


class PublicKey(PublicKeyBase):
    """n, G and H. Immutable. ValueError for numbers that cannot be a key's.

    Plaintexts are integers from -max_int to max_int = 2^(p_bits - 2) - 1, p_bits a third of the bits of n.
    """

    __slots__ = (
        "_powers",
        "digest",
        "g",
        "h",
        "max_int",
        "modulus",
        "n",
        "n_bits",
        "p_bits",
    )

    scheme = "okamoto-uchiyama"
    g: int
    h: int
    p_bits: int
    _powers: Generators

    def __init__(self, n: int, *, g: int, h: int, insecure_allow_small_key: bool = False) -> None:
        if not isinstance(n, int) or n % 2 == 0 or n < 0:
            raise ValueError("n is not an odd positive integer: it is no modulus of Okamoto-Uchiyama")
        n_bits = n.bit_length()
        _check_size("n", n_bits, insecure_allow_small_key)
        if n_bits > MAX_KEY_BITS:
            raise ValueError(f"n has {n_bits} bits: at most {MAX_KEY_BITS} are supported")
        for name, value in (("g", g), ("h", h)):
            if not 1 < value < n - 1 or gcd(value, n) != 1:
                raise ValueError(
                    f"{name} is not a generator of a key of this n: the key is damaged or malicious"
                )
        modulus = bigint.Modulus(n)
        max_bits = prime_bits(n_bits) - 2
        self._set(
            n=n,
            n_bits=n_bits,
            g=g,
            h=h,
            p_bits=prime_bits(n_bits),
            modulus=modulus,
            max_int=(1 << max_bits) - 1,
            digest=key_digest(self.scheme, n, g, h),
            _powers=Generators(g, h, modulus, max_bits),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"PublicKey(okamoto-uchiyama, {self.n_bits} bits, {self.digest[:4].hex()})"

    @property
    def exponent_bits(self) -> int:
        """Bits of the random exponent r of H."""
        return short_exponent_bits(self.n_bits)

    @property
    def max_range_bits(self) -> int:
        """Bits of the widest range that decryption can tell from values that wrapped around p."""
        return self.p_bits - STATISTICAL_BITS - 2  # 2^(this + 1) numbers of 2^(p_bits - 1) or more

    @property
    def max_packed_bits(self) -> int:
        """As of every key: here what decryption checks, fewer bits than the plaintexts have."""
        return self.max_range_bits

    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, self.exponent_bits, device, vartime=False)

    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        return self._blind(count, self.exponent_bits, device, vartime=True)

    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        # Uniform in the group of H but for a part of 2^-FULL_SLACK_BITS: its order divides (p - 1)(q - 1), which is
        # below n / p < 2^(n_bits - p_bits + 1). What a ciphertext holds outside this group, which its maker may have
        # put there, is not covered.
        return self._blind(count, self.n_bits - self.p_bits + 1 + FULL_SLACK_BITS, device, vartime=False)

    def _blind(self, count: int, n_bits: int, device: Device | None, *, vartime: bool) -> Limbs:
        with at(device), wiping() as secret:
            exponents = secret(placed_secret(random_bits(count, n_bits), device))
            return self._powers.blinding(exponents, n_bits, vartime=vartime)

    def trivial(self, encoded: Encoded, *, vartime: bool = False, device: Device | None = None) -> Limbs:
        """G^m mod n."""
        return self._powers.message(encoded, vartime=vartime, device=device)

    def to_bytes(self) -> bytes:
        """The key as bytes, for `from_bytes`."""
        return wire.public_key_to_bytes(self.scheme, [self.n, self.g, self.h])

    @classmethod
    def from_bytes(
        cls, buffer: bytes | bytearray | memoryview, *, insecure_allow_small_key: bool = False
    ) -> PublicKey:
        """The key that `to_bytes` wrote. CorruptData for a damaged buffer, ValueError for a key that is too small."""
        numbers, flags = wire.parse_public_key(buffer, cls.scheme)
        if flags or len(numbers) != 3:
            raise CorruptData("public key is damaged: have it sent again")
        n, g, h = numbers
        return cls(n, g=g, h=h, insecure_allow_small_key=insecure_allow_small_key)


class PrivateKey(PrivateKeyBase):
    """p and t. Immutable; its representation shows neither. It encrypts as the public key does.

    public_key: of n = p^2 q, q prime and not near p. p: prime of a third of the bits of n. t: the prime that divides
    p - 1, with G^t of order p modulo p^2. ValueError where they do not fit.
    """

    __slots__ = ("_factor", "_half", "_p", "_p_row", "_t", "public_key")

    public_key: PublicKey
    _p: PrimeSquare
    _t: int
    _factor: Constant
    _p_row: Constant
    _half: Constant

    def __init__(self, public_key: PublicKey, p: int, t: int) -> None:
        n = public_key.n
        if p.bit_length() != public_key.p_bits or n % (p * p) or not probably_prime(p):
            raise ValueError(
                "p is not the prime whose square divides n: the private key is damaged or another key's"
            )
        # That p has a third of the bits of n leaves another third for q.
        q = n // (p * p)
        if not probably_prime(q):
            raise ValueError(
                "n / p^2 is not prime: the key is damaged or malicious; make one with generate_keypair"
            )
        check_apart(p, q)
        power = pow(public_key.g, t, p * p)
        logarithm = (power - 1) // p % p
        if (p - 1) % t or power % p != 1 or not logarithm or pow(public_key.h, t, p * p) != 1:
            raise ValueError("t does not fit the public key: the private key is damaged or another key's")
        square = PrimeSquare(p)
        self._set(
            public_key=public_key,
            _p=square,
            _t=t,
            _factor=montgomery_constant(pow(logarithm, -1, p), square.modulus),
            _p_row=Constant.of(p, square.p_limbs),
            _half=Constant.of(p // 2, square.p_limbs),
        )

    def residues(self, rows: Limbs, *, first: int = 0) -> Limbs:
        """Plaintexts mod p, `uint64[size, limbs of p]`, of rows in Montgomery form; `first`: the number of row 0.

        InvalidCiphertext for a row c where c^t is not 1 mod p, as it is for whatever was made of G and H.
        """
        plain = self.public_key.modulus.from_montgomery(rows)
        bits = max(self._t.bit_length(), short_exponent_bits(self.public_key.n_bits))
        with wiping() as secret:
            reduced = secret(self._p.reduce(plain))
            power = secret(self._p.secret_power(reduced, self._t, bits))
            result, exact = self._p.logarithm(power, self._factor)
            secret.result(result)
            self._refuse_wrong(exact, first)
            return result

    def signed(self, residues: Limbs) -> tuple[Limbs, Bools]:
        """(magnitude, negative) of residues mod p."""
        return limbs.centred(residues, self._half.beside(residues), self._p_row.beside(residues))

    def decrypt_encoded(
        self, ciphertexts: UnblindedCipherArray, *, range_bits: int = DEFAULT_RANGE_BITS
    ) -> Encoded:
        """The signed integers that the ciphertexts hold, if all are below 2^range_bits: see `decrypt_in_range`."""
        limit = self.public_key.max_range_bits
        if not isinstance(range_bits, int) or not 1 <= range_bits <= limit:
            raise ValueError(
                f"range_bits is {range_bits!r}: give 1 to {limit}; beyond, values that wrapped around p would pass"
            )
        encoded = self._decrypt_unchecked(ciphertexts)
        width = max(encoded.magnitude.shape[1], limbs.n_limbs(range_bits))
        bound = limbs.from_int((1 << range_bits) - 1, width)
        outside = ~limbs.at_most(limbs.resize(encoded.magnitude, width), bound)
        if outside.any():
            raise InvalidCiphertext(
                f"ciphertext {int(np.argmax(outside))} does not decrypt to a number below 2^{range_bits}: the"
                " computation overflowed, or its sender attacks the key; tell nobody more than this"
            )
        return encoded

    def decrypt_in_range(
        self,
        ciphertexts: UnblindedCipherArray,
        range_bits: int = DEFAULT_RANGE_BITS,
        *,
        dtype: Any = None,
        packing: Packing | None = None,
        n_items: int | None = None,
    ) -> Any:
        """The values of a cipher array, if every mantissa (value / base^exponent) is below 2^range_bits in size.

        range_bits: 1 to p_bits - 42. dtype, packing, n_items: as in `decrypt`. InvalidCiphertext naming the first
        ciphertext outside, not its value: telling values that wrapped around p gives p away.
        """
        encoded = self.decrypt_encoded(ciphertexts, range_bits=range_bits)
        return self._decoded(encoded, dtype, packing, n_items)

    def decrypt(
        self,
        ciphertexts: UnblindedCipherArray,
        *,
        dtype: Any = None,
        packing: Packing | None = None,
        n_items: int | None = None,
    ) -> Any:
        """`decrypt_in_range` with 128 bits, or the bits of the packing if those are more."""
        bits = DEFAULT_RANGE_BITS
        if packing is not None:
            self.public_key.check_packed(packing.n_bits)
            bits = max(bits, packing.n_bits)
        return self.decrypt_in_range(ciphertexts, bits, dtype=dtype, packing=packing, n_items=n_items)

    # By CRT the owner would save a third of the products at best, and lose that again in taking the parts together.
    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        return self.public_key.blinding_factors(count, device=device)

    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        return self.public_key.blinding_factors_vartime(count, device=device)

    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        return self.public_key.full_blinding_factors(count, device=device)

    def save(self, path: Any, passphrase: str | bytes) -> None:
        """Write the key pair to `path`, encrypted with the passphrase. Replaces a file atomically, mode 0600."""
        key = self.public_key
        key_files.save(path, passphrase, key.scheme, [key.n, key.g, key.h, self._p.p, self._t])

    @classmethod
    def load(
        cls, path: Any, passphrase: str | bytes, *, insecure_allow_small_key: bool = False
    ) -> PrivateKey:
        """The key that `save` wrote. `WrongPassphrase`, `CorruptData`; OSError where the file cannot be read."""
        numbers = key_files.load(path, passphrase, PublicKey.scheme)
        if len(numbers) != 5:
            raise CorruptData(f"{path} does not hold an Okamoto-Uchiyama key: it is damaged")
        n, g, h, p, t = numbers
        public = PublicKey(n, g=g, h=h, insecure_allow_small_key=insecure_allow_small_key)
        return cls(public, p, t)
