# SPDX-License-Identifier: Apache-2.0
"""What the public keys of all schemes share: encryption of arrays, and ciphertexts that come from outside."""

from __future__ import annotations

import hashlib
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import devices, limbs, wire
from crypsis._homomorphic.blinding import BlindingPool
from crypsis._homomorphic.cipher_array import CipherArray, UnblindedCipherArray
from crypsis._homomorphic.encoding import (
    DEFAULT,
    MAX_EXPONENT,
    MIN_EXPONENT,
    Encoded,
    Encoding,
    Exponents,
)
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.primes import MIN_KEY_BITS
from crypsis._homomorphic.secret import Frozen, wiping
from crypsis._homomorphic.validate import check_ciphertexts, out_of_range
from crypsis.cuda._device import Device

INSECURE_MIN_KEY_BITS = 256

Blinder = Callable[[int], Limbs]


def check_key_bits(name: str, n_bits: int, insecure_allow_small_key: bool) -> None:
    """ValueError for a modulus below the floor, or above what `crypsis.bigint` handles."""
    floor = INSECURE_MIN_KEY_BITS if insecure_allow_small_key else MIN_KEY_BITS
    if n_bits < floor:
        remedy = (
            "use 3072" if floor == MIN_KEY_BITS else f"{INSECURE_MIN_KEY_BITS} is the least even in tests"
        )
        raise ValueError(f"{name} has {n_bits} bits, which is insecure: the floor is {floor}, {remedy}")


def place_of_result(values: Any, device: str | None, pool: BlindingPool | None) -> Device | None:
    """Where to encrypt: `device`, else where the pool's factors or the numbers are. ValueError where those differ."""
    owner = devices.device_of(values)
    if device is not None:
        target = devices.named(device)
    elif pool is not None:
        target = devices.named(pool.device)
    else:
        return owner
    if owner is not None and owner is not target:
        asked = f"device is {device!r}" if device is not None else f"the pool is on {devices.name_of(target)}"
        raise ValueError(
            f"{asked} and the values are on {owner.name}: encrypt there, then move the result, as .to(...) does"
        )
    if pool is not None and devices.named(pool.device) is not target:
        raise ValueError(
            f"device is {device!r} and the pool's factors are on {pool.device}: make the pool with device={device!r}"
        )
    return target


class PublicKeyBase(Frozen):
    """A public key: `encrypt`, `encrypt_vartime`, `load_ciphertexts`, and what `CipherArray` needs of it."""

    __slots__ = ()

    scheme: str
    n: int
    n_bits: int
    modulus: bigint.Modulus
    """What ciphertexts are taken modulo."""
    max_int: int
    """Plaintexts are integers from -max_int to max_int."""
    digest: bytes
    """SHA-256 of scheme and key, 32 bytes: names the key in serialised ciphertexts."""

    def encrypt(
        self,
        values: Any,
        *,
        encoding: Encoding = DEFAULT,
        pool: BlindingPool | None = None,
        device: str | None = None,
    ) -> CipherArray:
        """Encrypt numbers. Constant-time in the values of arrays, but for the encoding of Python objects and of reals
        by scales that are no power of two, which reals take more than 64 bits, and, for Okamoto-Uchiyama, the bits of
        the largest value.

        values: an array of any shape (bool, integers, float32, float64, object with Python integers), a list or
        a number, or what an `Encoding` made of them. encoding: how reals become integers; by default multiples
        of 2^-52 (see `Encoding`). pool: blinding factors made ahead. device: where to encrypt and leave the
        ciphertexts, "cpu" or a GPU, "cuda:0" say; by default where the pool is, or where `values` are. Numbers are
        encoded, and random exponents drawn, on the host. The owner's `PrivateKey.encrypt` is faster.

        Returns a `CipherArray` of the same shape. ValueError for NaN, infinities and values beyond `max_int`, naming
        the index; TypeError for what is not a number.
        """
        if pool is not None and pool.digest != self.digest:
            raise ValueError("pool holds blinding factors of another key: make one for this key")
        place = place_of_result(values, device, pool)
        blinder = pool.take if pool else partial(self.blinding_factors, device=place)
        return self.encrypt_with(blinder, values, encoding=encoding, device=place)

    def encrypt_vartime(
        self, values: Any, *, encoding: Encoding = DEFAULT, device: str | None = None
    ) -> CipherArray:
        """`encrypt`, faster: table addresses depend on the digits of the blinding exponents, this process's own fresh
        random numbers (and, for Okamoto-Uchiyama, of the values). For machines that no one else runs code on."""
        place = place_of_result(values, device, None)
        blinder = partial(self.blinding_factors_vartime, device=place)
        return self.encrypt_with(blinder, values, encoding=encoding, vartime=True, device=place)

    @abstractmethod
    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        """`uint64[count, limbs]` on `device`, Montgomery form: fresh encryptions of zero. Constant-time."""

    @abstractmethod
    def blinding_factors_vartime(self, count: int, *, device: Device | None = None) -> Limbs:
        """The same; table addresses depend on the fresh random exponents."""

    @abstractmethod
    def full_blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs:
        """The same, uniform among all encryptions of zero: hides from the key's owner too how a value was made."""

    def sent(self, encoded: Encoded, device: Device, held: Callable[[Any], Any]) -> Encoded:
        """`encoded` as `trivial` takes it in blocks on `device`; what is copied there goes through `held`."""
        return encoded

    @abstractmethod
    def trivial(self, encoded: Encoded, *, vartime: bool = False, device: Device | None = None) -> Limbs:
        """Encryptions without blinding, `uint64[size, limbs]` in Montgomery form; values are in range."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The key as bytes, for `from_bytes`."""

    def load_ciphertexts(
        self, buffer: bytes | bytearray | memoryview, *, device: str = "cpu"
    ) -> UnblindedCipherArray:
        """The array that `CipherArray.to_bytes` made, on `device`, after checking every ciphertext there.

        It comes back unblinded: its maker knows its blinding, so passing parts of it on would tell which.
        `crypsis.errors.CorruptData` for a truncated, damaged or unknown buffer, `InvalidCiphertext` for ciphertexts
        of another key, out of range, or not invertible.
        """
        place = devices.named(device)
        fields = wire.parse_ciphertexts(buffer, self)
        with devices.at(place):
            plain = devices.placed(fields.rows, place)
            check_ciphertexts(plain, self)
            rows = self.modulus.to_montgomery(plain)
        return UnblindedCipherArray(self, rows, fields.shape, fields.exponent, fields.base)

    def ciphertexts_from_ints(
        self,
        values: Iterable[int],
        *,
        exponent: Any = 0,
        base: int = 16,
        shape: int | tuple[int, ...] | None = None,
    ) -> UnblindedCipherArray:
        """Ciphertexts of another implementation (python-paillier's `ciphertext()`), checked like `load_ciphertexts`.

        exponent: an integer, or one for each. base: of the exponents. shape: by default one axis.
        """
        exponents = np.asarray(exponent)
        if exponents.dtype.kind not in "iu" and exponents.size:
            raise TypeError(
                f"exponent has dtype {exponents.dtype}: give an integer, or one for each ciphertext"
            )
        if exponents.size and not (exponents.min() >= MIN_EXPONENT and exponents.max() <= MAX_EXPONENT):
            raise ValueError(
                f"exponent goes from {exponents.min()} to {exponents.max()}: give {MIN_EXPONENT} to {MAX_EXPONENT}"
            )
        if not isinstance(base, int) or not 2 <= base < 2**63:
            raise ValueError(f"base is {base!r}: give an integer from 2 to 2^63 - 1")
        items = []
        for i, value in enumerate(values):
            try:
                items.append(operator.index(value))
            except TypeError:
                raise TypeError(f"ciphertext {i} is {type(value).__name__}: give an integer") from None
            if not 0 < items[i] < self.modulus.n:
                raise out_of_range(i)
        target = (len(items),) if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(length < 0 for length in target):
            raise ValueError(f"shape is {target}: give lengths of 0 or more")
        rows = limbs.from_ints(items, self.modulus.limbs)
        check_ciphertexts(rows, self)
        each: Exponents = exponents if exponents.ndim else int(exponents)
        return UnblindedCipherArray(self, self.modulus.to_montgomery(rows), target, each, base)

    def check_range(self, encoded: Encoded) -> None:
        """ValueError naming the first value whose mantissa is beyond `max_int`."""
        wrong = self.first_out_of_range(encoded)
        if wrong is not None:
            raise ValueError(
                f"value {wrong} needs more than the {self.max_int.bit_length()} bits of the plaintexts"
                " of this key: use a coarser encoding or a longer key"
            )

    @property
    def max_packed_bits(self) -> int:
        """Bits that the slots of a `Packing` may take together: all that the key can encrypt and decrypt again."""
        return self.max_int.bit_length() - 1

    def check_packed(self, n_bits: int) -> None:
        """ValueError where slots of `n_bits` together are too many for this key."""
        if n_bits > self.max_packed_bits:
            raise ValueError(
                f"the slots of the packing take {n_bits} bits together, this key takes {self.max_packed_bits}: use"
                " fewer or narrower slots"
            )

    def first_out_of_range(self, encoded: Encoded) -> int | None:
        """The number of the first value whose mantissa is beyond `max_int`."""
        if limbs.LIMB_BITS * encoded.magnitude.shape[1] < self.max_int.bit_length():
            return None
        width = max(encoded.magnitude.shape[1], limbs.n_limbs(self.max_int.bit_length()))
        wrong = ~limbs.at_most(limbs.resize(encoded.magnitude, width), limbs.from_int(self.max_int, width))
        return int(np.argmax(wrong)) if wrong.any() else None

    def encrypt_with(
        self,
        blinder: Blinder,
        values: Any,
        *,
        encoding: Encoding = DEFAULT,
        vartime: bool = False,
        device: Device | None = None,
    ) -> CipherArray:
        """`encrypt` with factors from `blinder`: count -> fresh ones on `device`, Montgomery form, which are wiped."""
        if not isinstance(encoding, Encoding):
            raise TypeError(f"encoding is {type(encoding).__name__}: give base16(...) or fixed_point(...)")
        encoded = encoding.encode(values)
        self.check_packed(encoded.packed_bits)
        self.check_range(encoded)
        with devices.at(device), wiping() as held:
            rows = devices.empty((encoded.size, self.modulus.limbs), device)
            sent = encoded if device is None else self.sent(encoded, device, held)

            def work(part: slice) -> None:
                size = part.stop - part.start
                block = Encoded(sent.magnitude[part], sent.negative[part], 0, sent.base, (size,))
                # The factors first: on a device their kernels are queued behind the one copy that waits for those of
                # the block before, so that random numbers are drawn while the device works.
                with wiping() as secret:
                    factors = secret(blinder(size))
                    message = secret(self.trivial(block, vartime=vartime, device=device))
                    bigint.mod_mul(message, factors, self.modulus, montgomery=True, out=rows[part])

            devices.in_blocks(encoded.size, device, 8 * self.modulus.limbs, work, what="encryption")
        return CipherArray(self, rows, encoded.shape, encoded.exponent, encoded.base)


def key_digest(scheme: str, *numbers: int) -> bytes:
    """SHA-256 over the scheme's name and the key's numbers, each with its length."""
    total = hashlib.sha256(b"crypsis key 1\0" + scheme.encode() + b"\0")
    for number in numbers:
        data = number.to_bytes(-(-number.bit_length() // 8), "little")
        total.update(len(data).to_bytes(4, "little") + data)
    return total.digest()
