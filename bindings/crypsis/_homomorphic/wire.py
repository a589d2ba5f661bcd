# SPDX-License-Identifier: Apache-2.0
"""Ciphertext arrays and public keys as one buffer each. All numbers are little-endian.

Ciphertexts, version 1:

    offset  bytes  what
    0       4      magic "CRCT"
    4       2      version, 1
    6       1      scheme: 1 Paillier, 2 Okamoto-Uchiyama
    7       1      flags: bit 0 set when every value has an exponent of its own
    8       32     key digest
    40      8      base of the exponents
    48      4      bytes of a ciphertext, a multiple of 8
    52      4      number of dimensions, 0 to 32
    56      8 d    shape
    ...     4      exponent (int32), or 4 * size of them
    ...     w * size   ciphertexts as plain residues, not in Montgomery form
    ...     4      CRC-32 of all before: against accidents, not against an adversary

Public keys, version 1: magic "CRPK", version, scheme, flags (2 + 1 + 1 bytes), then each number as a 4-byte length and
its bytes, then the CRC-32.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crypsis import bigint
from crypsis._homomorphic.encoding import MAX_EXPONENT, MIN_EXPONENT, Exponents
from crypsis._homomorphic.limbs import Limbs
from crypsis.errors import CorruptData, InvalidCiphertext

VERSION = 1
SCHEMES = {"paillier": 1, "okamoto-uchiyama": 2, "ckks": 3, "ckks-share": 4}
CIPHERTEXTS, PUBLIC_KEY = b"CRCT", b"CRPK"
MAX_DIMENSIONS = 32
MAX_EMPTY = 1 << 16
"""Of the other axes of an empty array: what its sum along the axis of length 0 has, with no byte received for it."""
MAX_NUMBER_BYTES = 2048  # 16,384 bits: twice the largest modulus

_HEAD = struct.Struct("<4sHBB")
_REST = struct.Struct("<32sQII")


class _Key(Protocol):
    @property
    def scheme(self) -> str: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def modulus(self) -> bigint.Modulus: ...


@dataclass(frozen=True)
class CiphertextFields:
    """A parsed buffer: `rows` are `uint64[size, limbs]`, not yet checked against the modulus."""

    rows: Limbs
    shape: tuple[int, ...]
    exponent: Exponents
    base: int


def ciphertexts_to_bytes(
    key: _Key, rows: Limbs, shape: tuple[int, ...], exponent: Exponents, base: int
) -> bytes:
    """`rows` are plain residues, `uint64[size, limbs]`."""
    each = not isinstance(exponent, int)
    parts = [
        _HEAD.pack(CIPHERTEXTS, VERSION, SCHEMES[key.scheme], int(each)),
        _REST.pack(key.digest, base, 8 * key.modulus.limbs, len(shape)),
        struct.pack(f"<{len(shape)}Q", *shape),
        np.asarray(exponent, dtype="<i4").tobytes(),
        np.ascontiguousarray(rows, dtype="<u8").tobytes(),
    ]
    data = b"".join(parts)
    return data + struct.pack("<I", zlib.crc32(data))


def parse_ciphertexts(buffer: bytes | bytearray | memoryview, key: _Key) -> CiphertextFields:
    """CorruptData for a buffer that `ciphertexts_to_bytes` cannot have made, InvalidCiphertext for another key's."""
    view = _open(buffer, CIPHERTEXTS, "ciphertexts", key.scheme)
    flags = view[7]
    start = _HEAD.size + _REST.size
    if flags > 1 or len(view) < start:
        raise CorruptData("buffer of ciphertexts is truncated or damaged in its header: have it sent again")
    digest, base, width, n_dimensions = _REST.unpack_from(view, _HEAD.size)
    if digest != key.digest:
        raise InvalidCiphertext(
            f"the ciphertexts are of key {digest[:4].hex()}..., not of this key {key.digest[:4].hex()}...:"
            " load them with the public key they were made with"
        )
    if width != 8 * key.modulus.limbs or n_dimensions > MAX_DIMENSIONS or not 2 <= base < 2**63:
        raise CorruptData("header of the ciphertexts is damaged: have them sent again")
    if len(view) < start + 8 * n_dimensions:
        raise CorruptData("buffer of ciphertexts is truncated in its shape: have it sent again")
    shape = struct.unpack_from(f"<{n_dimensions}Q", view, start)
    size = math.prod(shape)
    if size == 0 and math.prod(length for length in shape if length) > MAX_EMPTY:
        raise CorruptData(f"shape {shape} is of no array: the buffer is damaged, have it sent again")
    start += 8 * n_dimensions
    n_exponents = size if flags else 1
    expected = start + 4 * n_exponents + width * size
    if expected != len(view):
        raise CorruptData(
            f"shape {shape} takes {expected} bytes, the buffer has {len(view)}: it is truncated or damaged,"
            " have it sent again"
        )
    exponents = np.frombuffer(view, dtype="<i4", count=n_exponents, offset=start).astype(np.int32)
    if n_exponents and not (int(exponents.min()) >= MIN_EXPONENT and int(exponents.max()) <= MAX_EXPONENT):
        raise CorruptData(f"an exponent is outside {MIN_EXPONENT} to {MAX_EXPONENT}: the buffer is damaged")
    rows = np.frombuffer(view, dtype="<u8", offset=start + 4 * n_exponents).astype(np.uint64)
    return CiphertextFields(
        rows.reshape(size, key.modulus.limbs), shape, exponents if flags else int(exponents[0]), base
    )


def public_key_to_bytes(scheme: str, numbers: Sequence[int], flags: int = 0) -> bytes:
    """A public key's numbers."""
    data = _HEAD.pack(PUBLIC_KEY, VERSION, SCHEMES[scheme], flags)
    for number in numbers:
        width = -(-number.bit_length() // 8)
        data += struct.pack("<I", width) + number.to_bytes(width, "little")
    return data + struct.pack("<I", zlib.crc32(data))


def parse_public_key(buffer: bytes | bytearray | memoryview, scheme: str) -> tuple[list[int], int]:
    """(numbers, flags); CorruptData for what is no public key of `scheme`."""
    view = _open(buffer, PUBLIC_KEY, "a public key", scheme)
    return parse_numbers(view[_HEAD.size :], "public key"), view[7]


def parse_numbers(view: memoryview, what: str) -> list[int]:
    """Length-prefixed numbers up to the end of `view`."""
    numbers, at = [], 0
    while at < len(view):
        width = int.from_bytes(view[at : at + 4], "little")
        if width > MAX_NUMBER_BYTES or at + 4 + width > len(view):
            raise CorruptData(f"{what} is truncated or damaged: have it sent again")
        numbers.append(int.from_bytes(view[at + 4 : at + 4 + width], "little"))
        at += 4 + width
    return numbers


def _open(buffer: bytes | bytearray | memoryview, magic: bytes, what: str, scheme: str) -> memoryview:
    """The buffer without its CRC, after the checks that do not depend on the contents."""
    view = memoryview(buffer).cast("B")
    if len(view) < _HEAD.size + 4:
        raise CorruptData(f"buffer of {len(view)} bytes is too short for {what}: it is truncated")
    found, version, number, _ = _HEAD.unpack_from(view, 0)
    if found != magic:
        raise CorruptData(f"buffer begins with {found!r}, not {magic!r}: it does not hold {what} of crypsis")
    if version != VERSION:
        raise CorruptData(f"buffer has version {version}, this crypsis reads {VERSION}: upgrade one side")
    if number != SCHEMES[scheme]:
        name = next((name for name, known in SCHEMES.items() if known == number), f"unknown scheme {number}")
        raise CorruptData(f"buffer holds {what} of {name}, not of {scheme}: use the module of that scheme")
    inner = view[:-4]
    if zlib.crc32(inner) != int.from_bytes(view[-4:], "little"):
        raise CorruptData(f"buffer of {what} is truncated or damaged (checksum): have it sent again")
    return inner
