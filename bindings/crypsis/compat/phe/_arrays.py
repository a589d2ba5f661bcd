# SPDX-License-Identifier: Apache-2.0
"""Arrays beside python-paillier's single numbers: encrypt and decrypt in one go, and the way to `crypsis.paillier`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import bigint
from crypsis._homomorphic.array_base import ArrayBase
from crypsis._homomorphic.cipher_array import CipherArray, UnblindedCipherArray
from crypsis._homomorphic.encoding import python_number
from crypsis._homomorphic.wiping import wipe
from crypsis.compat.phe import _batches
from crypsis.compat.phe._arithmetic import Node
from crypsis.compat.phe._encrypted import EncryptedNumber
from crypsis.compat.phe.encoding import EncodedNumber

if TYPE_CHECKING:
    from crypsis.compat.phe.paillier import PaillierPrivateKey, PaillierPublicKey

BLOCK = 1024
"""Rows worked on at a time."""

Objects = npt.NDArray[np.object_]


def encrypt(key: PaillierPublicKey, values: Any, precision: float | None) -> Objects:
    """See `PaillierPublicKey.encrypt_array`."""
    # NumPy would make floats of integers in a list that fit no common type, or stand beside a float.
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    items = [python_number(value) for value in array.reshape(-1).tolist()]
    encoded = [EncodedNumber.encode(key, value, precision) for value in items]
    native = key._batch.key
    if native is None:
        return _shaped([key.encrypt(each) for each in encoded], array.shape)
    modulus = native.modulus
    width = 8 * modulus.limbs
    ciphertexts: list[bytes] = []
    for part in _blocks(encoded):
        messages = [((1 + key.n * each.encoding) % key.nsquare).to_bytes(width, "little") for each in part]
        factors = native.blinding_factors(len(part))
        # A plain message times a factor in Montgomery form is the plain product.
        rows = bigint.mod_mul(_batches.to_rows(messages, modulus.limbs), factors, modulus, montgomery=True)
        wipe(factors)
        ciphertexts.extend(_batches.to_values(rows))
    numbers = [
        _number(key, value, each.exponent, True) for value, each in zip(ciphertexts, encoded, strict=True)
    ]
    return _shaped(numbers, array.shape)


def decrypt(key: PaillierPrivateKey, numbers: Any) -> Objects:
    """See `PaillierPrivateKey.decrypt_array`."""
    array = _objects(numbers)
    flat = array.reshape(-1).tolist()
    for i, number in enumerate(flat):
        if not isinstance(number, EncryptedNumber):
            raise TypeError(f"element {i} is {type(number).__name__}: give EncryptedNumbers")
        if number.public_key != key.public_key:
            raise ValueError(f"element {i} is encrypted under another key: use that key's private key")
    result: list[int | float] = []
    square = key.public_key.nsquare
    for part in _blocks(flat):
        residues = key._decryption.residues([number.ciphertext(be_secure=False) % square for number in part])
        result.extend(
            EncodedNumber(key.public_key, residue, number.exponent).decode()
            for residue, number in zip(residues, part, strict=True)
        )
    return _shaped(result, array.shape)


def to_cipher_array(numbers: Any) -> UnblindedCipherArray:
    """The `crypsis.paillier` array of encrypted numbers of one key, in an object array of any shape or a list.

    Every ciphertext is checked (`crypsis.errors.InvalidCiphertext`). It comes back unblinded: `rerandomize()` it
    before it leaves the process. TypeError for other elements, ValueError for numbers of several keys or none.
    """
    array = _objects(numbers)
    flat = array.reshape(-1).tolist()
    if not flat:
        raise ValueError("there are no numbers: an empty array has no key")
    for i, number in enumerate(flat):
        if not isinstance(number, EncryptedNumber):
            raise TypeError(f"element {i} is {type(number).__name__}: give EncryptedNumbers")
        if number.public_key != flat[0].public_key:
            raise ValueError(
                f"element {i} is encrypted under another key than element 0: an array has one key"
            )
    values = [number.ciphertext(be_secure=False) for number in flat]
    exponents = {number.exponent for number in flat}
    exponent: Any = (
        exponents.pop()
        if len(exponents) == 1
        else np.array([number.exponent for number in flat], dtype=np.int32)
    )
    native = flat[0].public_key.native
    result: UnblindedCipherArray = native.ciphertexts_from_ints(
        values, exponent=exponent, base=EncodedNumber.BASE, shape=array.shape
    )
    return result


def from_cipher_array(array: ArrayBase, public_key: PaillierPublicKey) -> Objects:
    """The elements of a `crypsis.paillier` array as an object array of `EncryptedNumber`s of its shape.

    public_key: the key of the array, else ValueError; so too for an encoding that is not of base 16.
    """
    if not isinstance(array, ArrayBase):
        raise TypeError(f"array is {type(array).__name__}: give a CipherArray of crypsis.paillier")
    if array.public_key != public_key.native:
        raise ValueError("the array is encrypted under another key than public_key")
    if array.base != EncodedNumber.BASE:
        raise ValueError(
            f"the array's encoding has base {array.base}: python-paillier's has {EncodedNumber.BASE}"
        )
    rows = public_key.native.modulus.from_montgomery(array.to("cpu")._rows)
    exponents = np.broadcast_to(np.asarray(array.exponent), (array.size,)).tolist()
    blinded = isinstance(array, CipherArray)
    numbers = [
        _number(public_key, value, exponent, blinded)
        for value, exponent in zip(_batches.to_values(rows), exponents, strict=True)
    ]
    return _shaped(numbers, array.shape)


def _number(key: PaillierPublicKey, value: bytes, exponent: int, blinded: bool) -> EncryptedNumber:
    number = EncryptedNumber(key, 0, exponent)
    number._node = Node(value)
    number._blinded = blinded
    return number


def _objects(numbers: Any) -> Objects:
    return numbers if isinstance(numbers, np.ndarray) else _shaped(list(numbers), None)


def _shaped(items: list[Any], shape: tuple[int, ...] | None) -> Objects:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array if shape is None else array.reshape(shape)


def _blocks(items: list[Any]) -> Iterator[list[Any]]:
    return (items[i : i + BLOCK] for i in range(0, len(items), BLOCK))
