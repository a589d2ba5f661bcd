# SPDX-License-Identifier: Apache-2.0
"""Public and secret keys."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import aes, ntt
from crypsis._arguments import flag, integer, kind
from crypsis._ckks import encrypting, serial, sharing
from crypsis._ckks.array import CkksArray
from crypsis._ckks.coins import SEED_BYTES, Coins
from crypsis._ckks.encoder import Plaintext, encode
from crypsis._ckks.noise import Estimate, fresh_error
from crypsis._ckks.parameters import Literal, Parameters
from crypsis._ckks.precision import Precision, compare
from crypsis._ckks.switch_keys import EncryptionKey, SwitchKey
from crypsis._homomorphic.secret import Frozen
from crypsis._homomorphic.wiping import wipe, wiping
from crypsis.errors import InvalidCiphertext, MissingKey

Residues = npt.NDArray[np.uint64]


class PublicKey(Frozen):
    """What the other parties need: encryption, relinearisation and Galois keys. Immutable, pickled by its buffer.

    `SecretKey.public_key` makes it, `from_bytes` reads it. `id`: 32 bytes that name the key pair in ciphertexts.
    rotations: the shifts that it has keys for. Keys are half seeds: they take twice their memory once used.
    """

    __slots__ = ("_galois", "_relinearisation", "encryption", "parameters")

    parameters: Parameters
    encryption: EncryptionKey
    _relinearisation: SwitchKey | None
    _galois: Mapping[int, SwitchKey]

    def __init__(
        self,
        encryption: EncryptionKey,
        relinearisation: SwitchKey | None = None,
        galois: Mapping[int, SwitchKey] = MappingProxyType({}),
    ) -> None:
        self._set(
            parameters=encryption.parameters,
            encryption=encryption,
            _relinearisation=relinearisation,
            _galois=MappingProxyType(dict(galois)),
        )

    @property
    def id(self) -> bytes:
        """SHA-256 of parameters and encryption key: names the key pair, whatever evaluation keys are with it."""
        return self.encryption.digest

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the whole key, evaluation keys too: what two parties compare to have the same. Who exchanges a
        relinearisation or Galois key alone changes this and not the id, and makes results wrong."""
        total = hashlib.sha256(b"crypsis ckks public key 1\0" + self.id)
        keys = [(0, self._relinearisation), *sorted(self._galois.items())]
        for element, key in keys:
            if key is not None:
                total.update(element.to_bytes(4, "little") + key.seed)
                total.update(np.ascontiguousarray(key.body).data)
        return total.digest()

    @property
    def relinearises(self) -> bool:
        """It has a relinearisation key."""
        return self._relinearisation is not None

    @property
    def galois_elements(self) -> tuple[int, ...]:
        """The g for which it has keys of x -> x^g."""
        return tuple(sorted(self._galois))

    def encrypt(
        self,
        values: Any,
        *,
        level: int | None = None,
        packed: bool = False,
        magnitude: float | None = None,
        coins: Coins | None = None,
    ) -> CkksArray:
        """Encrypt real or complex numbers `[..., m]`, m up to `n_slots`: a row a ciphertext, zeros in other slots.

        level: below the top for less to compute on and to send. packed: real numbers of any shape, two a slot, over
        as many ciphertexts as it takes: for sums, differences and products with one number. magnitude: what no
        |value| exceeds, known without looking at the data; noise estimates use it. coins: for tests.
        ValueError for too many, NaN, infinities, and numbers beyond `parameters.max_value` or `magnitude`.

        c = (b u + e_0 + m, a u + e_1) with u ternary [CKKS17]. Constant-time, apart from the range of the numbers.
        """
        return encrypting.encrypt_public(self, values, level, packed, magnitude, coins or _COINS)

    def encode(
        self,
        values: Any,
        *,
        level: int | None = None,
        scale: float | None = None,
        magnitude: float | None = None,
    ) -> Plaintext:
        """Numbers as a `Plaintext` for products with many ciphertexts; see `crypsis.ckks.encode`."""
        return encode(self.parameters, values, level=level, scale=scale, magnitude=magnitude)

    def rerandomise(self, array: CkksArray, *, coins: Coins | None = None) -> CkksArray:
        """The same values with a fresh encryption of 0 added to each ciphertext: its second half is new.

        What a product with 0 or an array less itself needs before `to_bytes` (its second half is 0, so that anyone
        could read it). It does not hide what was computed: that is in the error. InvalidCiphertext for another key's,
        ValueError for products that are not relinearised. coins: for tests.
        """
        if not isinstance(array, CkksArray):
            raise TypeError(f"array is {kind(array)}: give a CkksArray")
        check_same(self.id, self.parameters, array)
        if array.size_of != 2:
            raise ValueError(
                f"the array has level {array.level} and 3 polynomials a ciphertext: relinearise() it first"
            )
        zeros = np.zeros((*array.shape, 1))
        fresh = encrypting.encrypt_public(self, zeros, array.level, False, None, coins or _COINS)
        host = array.to("cpu")
        data = ntt.add(host.data, fresh.data, self.parameters.basis(array.level))
        estimate = array.estimate
        if estimate is not None:
            error = fresh_error(self.parameters, public=True) / array.scale
            estimate = estimate.plus(Estimate(self.parameters, array.level, array.scale, error, 0.0))
        return host.replaced(data, estimate=estimate).to(array.device)

    def load(self, buffer: bytes | bytearray | memoryview) -> CkksArray:
        """The array that `CkksArray.to_bytes` made, checked, to compute on with this key.

        CorruptData for a damaged buffer, InvalidCiphertext for ciphertexts of another key.
        """
        return self.bind(CkksArray.from_bytes(buffer, parameters=self.parameters))

    def bind(self, array: CkksArray) -> CkksArray:
        """The same ciphertexts, to compute on with this key's evaluation keys. InvalidCiphertext for another key's."""
        if not isinstance(array, CkksArray):
            raise TypeError(f"array is {kind(array)}: give a CkksArray")
        check_same(self.id, self.parameters, array)
        return array.with_keys(self)

    def relinearisation(self) -> SwitchKey:
        """The relinearisation key. MissingKey without one."""
        if self._relinearisation is None:
            raise MissingKey(
                f"key {self.id[:4].hex()} has no relinearisation key, which products of ciphertexts need: its owner"
                " makes one with secret.public_key(relinearise=True)"
            )
        return self._relinearisation

    def galois(self, element: int, what: str) -> SwitchKey:
        """The key of x -> x^element; `what` it is for, in the words of `public_key`'s arguments. MissingKey without."""
        key = self._galois.get(element)
        if key is None:
            raise MissingKey(
                f"key {self.id[:4].hex()} has no Galois key for {what}: its owner makes one with"
                f" secret.public_key({what})"
            )
        return key

    @property
    def rotations(self) -> tuple[int, ...]:
        """The shifts it has keys for, 1 to n_slots - 1."""
        shifts, element, order = [], 1, 2 * self.parameters.n
        for shift in range(self.parameters.n_slots):
            if element in self._galois:
                shifts.append(shift)
            element = element * 5 % order
        return tuple(shifts)

    def joined(self, other: PublicKey) -> PublicKey:
        """The key with the evaluation keys of another of the same id besides. InvalidCiphertext for another id."""
        check_same(self.id, self.parameters, other)
        return PublicKey(
            self.encryption,
            self._relinearisation or other._relinearisation,
            {**other._galois, **self._galois},
        )

    def with_only(self, *, relinearise: bool, galois: bool) -> PublicKey:
        """The key without its relinearisation key, or without its Galois keys."""
        relinearisation = self._relinearisation if relinearise else None
        return PublicKey(self.encryption, relinearisation, self._galois if galois else {})

    def to_bytes(self) -> bytes:
        """The key as one buffer, for `from_bytes`."""
        return serial.public_key_to_bytes(self.encryption, self._relinearisation, self._galois)

    @classmethod
    def from_bytes(
        cls,
        buffer: bytes | bytearray | memoryview,
        *,
        insecure_allow_weak: bool = False,
        parameters: Parameters | None = None,
    ) -> PublicKey:
        """The key that `to_bytes` wrote. CorruptData for a damaged buffer, ValueError for insecure parameters.

        parameters: those that are expected, InvalidCiphertext for others; without them, one of the presets.
        insecure_allow_weak, for tests, admits any.
        """
        return cls(*serial.parse_public_key(buffer, insecure_allow_weak, parameters))

    def __reduce__(self) -> Any:
        return _load_public, (self.to_bytes(), self.parameters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey) or other.id != self.id:
            return False
        return self is other or (
            _same_key(self._relinearisation, other._relinearisation)
            and self.galois_elements == other.galois_elements
            and all(_same_key(key, other._galois[element]) for element, key in self._galois.items())
        )

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        relinearise = "relinearises" if self._relinearisation else "does not relinearise"
        return f"PublicKey({self.id[:4].hex()}, {self.parameters!r}, {relinearise}, {len(self._galois)} Galois keys)"


class SecretKey(Frozen):
    """s, of N ternary coefficients, and the encryption key that belongs to it; all of it follows from 32 bytes.

    `generate` makes one. It is not pickled; `save` writes it to a file under a passphrase. Its representation does not
    show it, and its memory is wiped when it is freed.
    """

    __slots__ = ("__weakref__", "_s", "_seed", "encryption", "parameters")

    parameters: Parameters
    encryption: EncryptionKey
    _s: Residues
    _seed: npt.NDArray[np.uint8]

    def __init__(self, parameters: Parameters, seed: bytes | npt.NDArray[np.uint8]) -> None:
        """From the 32 secret bytes that `generate` draws: whoever knows them knows the key."""
        if not isinstance(parameters, Parameters):
            raise TypeError(f"parameters is {kind(parameters)}: give crypsis.ckks.Parameters(literal)")
        data = np.frombuffer(seed, np.uint8).copy()
        if data.size != SEED_BYTES:
            raise ValueError(f"seed has {data.size} bytes: give {SEED_BYTES}")
        with wiping() as held:
            coefficients = held(_derived(b"secret" + parameters.digest, data).ternary((parameters.n,)))
            s = ntt.from_signed(coefficients, parameters.full)
            ntt.forward(s, parameters.full, out=s)
        mask_seed = _hash(b"mask", parameters.digest, data)
        encryption = EncryptionKey.make(
            parameters, s, mask_seed, _derived(b"noise" + parameters.digest, data)
        )
        self._set(parameters=parameters, encryption=encryption, _s=s, _seed=data)
        weakref.finalize(self, wipe, s, data).atexit = False

    @classmethod
    def generate(cls, parameters: Parameters | Literal) -> SecretKey:
        """A fresh key for parameters, or for the literal of secure ones: `SecretKey.generate(ckks.SHALLOW)`."""
        with wiping() as held:
            return cls(Parameters.of(parameters), held(_COINS.bytes((SEED_BYTES,))))

    @property
    def id(self) -> bytes:
        """That of its public keys."""
        return self.encryption.digest

    def public_key(
        self,
        *,
        relinearise: bool | None = None,
        rotations: Iterable[int] = (),
        conjugate: bool = False,
        coins: Coins | None = None,
    ) -> PublicKey:
        """The public key with the evaluation keys that are asked for; each call makes them anew, of the same id.

        relinearise: for products of ciphertexts; by default where the parameters have levels for one. rotations: the
        shifts that `rotate` is to have keys for, any integers, left is positive. conjugate: for `conjugate`. Each key
        takes dnum (L + k) N 8 bytes, once used twice that. coins: for tests.
        ValueError where the parameters have no special primes.
        """
        coins = coins or _COINS
        parameters = self.parameters
        n, n_slots = parameters.n, parameters.n_slots
        shifts = {integer("rotations[...]", shift, -n_slots, n_slots) % n_slots for shift in rotations} - {0}
        elements = [pow(5, shift, 2 * n) for shift in sorted(shifts)]
        if flag("conjugate", conjugate):
            elements.append(2 * n - 1)
        if relinearise is None:
            relinearise = parameters.depth > 0
        if (flag("relinearise", relinearise) or elements) and not parameters.special:
            raise ValueError(
                f"{parameters!r} has no special primes, so that nothing can be multiplied or rotated: take parameters"
                " with special_bits, as crypsis.ckks.SHALLOW has"
            )
        relinearisation, galois = None, {}
        with wiping() as held:
            if relinearise:
                square = held(ntt.multiply(self._s, self._s, parameters.full))
                relinearisation = SwitchKey.make(parameters, self._s, square, coins)
            for element in elements:
                source = held(ntt.automorphism(self._s, element, parameters.full))
                galois[element] = SwitchKey.make(parameters, self._s, source, coins)
                wipe(source)
        return PublicKey(self.encryption, relinearisation, galois)

    def encrypt(
        self,
        values: Any,
        *,
        level: int | None = None,
        packed: bool = False,
        magnitude: float | None = None,
        keys: PublicKey | None = None,
        coins: Coins | None = None,
    ) -> CkksArray:
        """As `PublicKey.encrypt`, with less noise, faster, and half as many bytes: the other half is a 32-byte seed.

        c = (e - a s + m, a) with a expanded from a public seed. keys: the public key whose evaluation keys the array
        is to use, as `PublicKey.bind` gives it.
        """
        if keys is not None:
            check_same(self.id, self.parameters, keys)
        return encrypting.encrypt_symmetric(
            self._s, self.encryption, keys, values, level, packed, magnitude, coins or _COINS
        )

    def decrypt(
        self,
        array: CkksArray,
        *,
        share_safe: bool = False,
        estimate: Estimate | None = None,
        queries: int = sharing.QUERIES,
        complex: bool = False,
        coins: Coins | None = None,
    ) -> npt.NDArray[Any]:
        """The numbers, float64 (complex=True: complex128) `[*shape, length]`; of a packed array, in its shape.

        **Keep them to yourself.** A decrypted CKKS value carries the error of its ciphertext, and that error, with the
        ciphertext, gives the secret key away [LM21]: decryptions that anyone else gets to see, in full or as an answer
        that depends on their last bits, need `share_safe=True`. It adds noise to each coefficient that hides the
        error up to a statistical distance of 2^-40, over `queries` decrypted ciphertexts: all of the key's, in whatever
        calls, one that is decrypted twice counted twice (`sharing` derives it). Its standard deviation is up to
        sqrt(queries) 2^40 t, t a bound of the error's Euclidean norm: 41 + log2(queries) / 2 bits and half of
        log2(N) of precision; PrecisionError where less than a bit of `magnitude` is left. t follows from the estimate
        that went through the computation with the array; one that came from elsewhere has none, and `estimate` must
        be given, from doing the same to `ckks.Estimate.fresh(...)`. See docs/ckks.md.

        InvalidCiphertext for another key's. Constant-time.
        """
        if not isinstance(array, CkksArray):
            raise TypeError(f"array is {kind(array)}: give a CkksArray")
        check_same(self.id, self.parameters, array)
        flood = None
        if flag("share_safe", share_safe):
            flood = sharing.flood_bits(array, estimate, queries)
        return encrypting.decrypt(self._s, array, flood, flag("complex", complex), coins or _COINS)

    def precision(self, array: CkksArray, expected: Any) -> Precision:
        """How far the decrypted array is from what is expected: log2 of the error, least, average and most."""
        return compare(self.decrypt(array, complex=np.iscomplexobj(expected)), expected)

    def to_seed(self) -> bytes:
        """The 32 secret bytes that it follows from, in the clear: `save` is for files."""
        return self._seed.tobytes()

    def save(self, path: Any, passphrase: str | bytes) -> None:
        """Write the key to a file, encrypted with the passphrase (scrypt, AES-256-GCM); replaced atomically."""
        serial.save_secret(path, passphrase, self.parameters, self._seed)

    @classmethod
    def load(cls, path: Any, passphrase: str | bytes, *, insecure_allow_weak: bool = False) -> SecretKey:
        """The key that `save` wrote. WrongPassphrase, CorruptData; ValueError for insecure parameters."""
        parameters, seed = serial.load_secret(path, passphrase, insecure_allow_weak)
        return cls(parameters, seed)

    def __repr__(self) -> str:
        return f"SecretKey(of {self.id[:4].hex()}, {self.parameters!r})"


_COINS = Coins()


def check_same(key_id: bytes, parameters: Parameters, array: Any) -> None:
    """InvalidCiphertext where `array` (a CkksArray or PublicKey) is of another key."""
    if array.parameters != parameters:
        raise InvalidCiphertext(
            f"the ciphertexts are of {array.parameters!r}, the key is of {parameters!r}: use the key they were made"
            " with"
        )
    found = array.id if isinstance(array, PublicKey) else array.key_id
    if found != key_id:
        raise InvalidCiphertext(
            f"the ciphertexts are of key {found[:4].hex()}, not of key {key_id[:4].hex()}: use the key they were made"
            " with"
        )


def _hash(label: bytes, context: bytes, seed: npt.NDArray[np.uint8]) -> bytes:
    total = hashlib.sha256(b"crypsis ckks 1 " + label + b"\0" + context)
    total.update(seed.data)
    return total.digest()


def _derived(label: bytes, seed: npt.NDArray[np.uint8]) -> Coins:
    return Coins(aes.Generator.from_seed(_hash(label, b"", seed)))


def _same_key(a: SwitchKey | None, b: SwitchKey | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or (a.seed == b.seed and np.array_equal(a.body, b.body))


def _load_public(buffer: bytes, parameters: Parameters) -> PublicKey:
    return PublicKey.from_bytes(buffer, parameters=parameters)
