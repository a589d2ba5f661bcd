# SPDX-License-Identifier: Apache-2.0
"""Keys and ciphertexts as one buffer each. All numbers are little-endian.

    offset  bytes  what
    0       4      magic "CBGV"
    4       2      version, 1
    6       1      kind: 1 public key, 2 ciphertexts, 3 hidden products
    7       1      zero
    8       8      how many ciphertexts (public key: 1)
    16      32     digest of the parameters
    48      32     id of the key (public key: zeros)
    80      12     hidden products: first, last and step of the coefficients that the first halves have, 4 bytes each
    ...     32     seed of the second halves (public key and ciphertexts)
    ...            first halves: residues mod the first prime of all polynomials, then those of the next ...
    ...            hidden products: second halves likewise

Residues mod a prime of b bits take b bits each, one after the other from the lowest bit on; 64 of them are b words, and
zeros fill up the last 64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis import rns
from crypsis._arguments import integer
from crypsis._bgv.parameters import Parameters
from crypsis._ckks.coins import SEED_BYTES
from crypsis.errors import CorruptData, InvalidCiphertext

if TYPE_CHECKING:
    from crypsis._bgv.ciphertexts import Ciphertexts, Hidden

MAGIC, VERSION = b"CBGV", 1
PUBLIC_KEY, CIPHERTEXTS, HIDDEN = 1, 2, 3
NAMES = {PUBLIC_KEY: "a public key", CIPHERTEXTS: "ciphertexts", HIDDEN: "hidden products"}
MAX_COUNT = 1 << 32
_HEAD = struct.Struct("<4sHBBQ32s32s")
_PLACES = struct.Struct("<III")

Buffer = bytes | bytearray | memoryview
Residues = npt.NDArray[np.uint64]


def public_key_to_bytes(parameters: Parameters, body: Residues, seed: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, VERSION, PUBLIC_KEY, 0, 1, parameters.digest, bytes(32))
    return b"".join([head, seed, packed(body[None], parameters)])


def parse_public_key(data: Buffer, parameters: Parameters) -> tuple[Residues, bytes]:
    view = _open(data, PUBLIC_KEY, parameters, None, 1)
    seed, rest = _seed(view, packed_bytes(1, parameters.n, parameters), PUBLIC_KEY)
    body = unpacked(rest, 1, parameters.n, parameters)
    return body[0], seed


def ciphertexts_to_bytes(array: Ciphertexts) -> bytes:
    parameters = array.parameters
    head = _HEAD.pack(MAGIC, VERSION, CIPHERTEXTS, 0, len(array), parameters.digest, array.key_id)
    return b"".join([head, array.seed, packed(array.first, parameters)])


def parse_ciphertexts(
    data: Buffer, parameters: Parameters, key_id: bytes, count: int
) -> tuple[Residues, bytes]:
    count = integer("count", count, 0, MAX_COUNT)
    view = _open(data, CIPHERTEXTS, parameters, key_id, count)
    seed, rest = _seed(view, packed_bytes(count, parameters.n, parameters), CIPHERTEXTS)
    return unpacked(rest, count, parameters.n, parameters), seed


def hidden_to_bytes(array: Hidden) -> bytes:
    parameters, places = array.parameters, array.coefficients
    head = _HEAD.pack(MAGIC, VERSION, HIDDEN, 0, len(array), parameters.digest, array.key_id)
    range_ = _PLACES.pack(places[0], places[-1], places.step)
    return b"".join([head, range_, packed(array.first, parameters), packed(array.second, parameters)])


def parse_hidden(
    data: Buffer, parameters: Parameters, key_id: bytes, count: int, places: range
) -> tuple[Residues, Residues]:
    count = integer("count", count, 0, MAX_COUNT)
    view = _open(data, HIDDEN, parameters, key_id, count)
    n, n_places = parameters.n, len(places)
    middle = _PLACES.size + packed_bytes(count, n_places, parameters)
    _check_length(view, middle + packed_bytes(count, n, parameters), HIDDEN)
    found = _PLACES.unpack_from(view)
    if found != (places[0], places[-1], places.step):
        raise InvalidCiphertext(
            f"the hidden products have coefficients {found[0]} to {found[1]} in steps of {found[2]}, {places} are"
            " expected: have both parties use the same layout"
        )
    first = unpacked(view[_PLACES.size : middle], count, n_places, parameters)
    return first, unpacked(view[middle:], count, n, parameters)


def _open(data: Buffer, wanted: int, parameters: Parameters, key_id: bytes | None, count: int) -> memoryview:
    """What follows the header, after the checks of it."""
    view = memoryview(data).cast("B")
    if len(view) < _HEAD.size:
        raise CorruptData(f"buffer of {len(view)} bytes is too short for {NAMES[wanted]}: it is truncated")
    magic, version, found, zero, n, digest, owner = _HEAD.unpack_from(view)
    if magic != MAGIC or zero or found != wanted:
        raise CorruptData(f"the buffer does not hold {NAMES[wanted]} of crypsis.bgv: have it sent again")
    if version != VERSION:
        raise CorruptData(f"buffer has version {version}, this crypsis reads {VERSION}: upgrade one side")
    if digest != parameters.digest:
        raise InvalidCiphertext(
            f"the buffer is of other parameters than {parameters!r}: have both parties use the same"
        )
    if owner != (key_id or bytes(32)):
        raise InvalidCiphertext(
            f"the buffer is of key {owner[:4].hex()}, not of {(key_id or bytes(4))[:4].hex()}: use the key it was made"
            " with"
        )
    if n != count:
        raise CorruptData(f"the buffer holds {n} ciphertexts, {count} are expected: have it sent again")
    return view[_HEAD.size :]


def _seed(view: memoryview, n_bytes: int, what: int) -> tuple[bytes, memoryview]:
    _check_length(view, SEED_BYTES + n_bytes, what)
    return bytes(view[:SEED_BYTES]), view[SEED_BYTES:]


def _check_length(view: memoryview, n_bytes: int, what: int) -> None:
    if len(view) != n_bytes:
        raise CorruptData(
            f"{NAMES[what]} take {n_bytes} bytes behind the header, the buffer has {len(view)}: it is truncated or"
            " damaged, have it sent again"
        )


def packed_bytes(polynomials: int, n: int, parameters: Parameters) -> int:
    """Of `uint64[polynomials, primes, n]`."""
    return rns.packed_bytes(polynomials, n, parameters.basis)


def packed(data: Residues, parameters: Parameters) -> memoryview:
    """`uint64[polynomials, primes, n]` as a buffer."""
    return rns.pack(data, parameters.basis).data


def unpacked(view: memoryview, polynomials: int, n: int, parameters: Parameters) -> Residues:
    """`uint64[polynomials, primes, n]` of such a buffer."""
    return rns.unpack(np.frombuffer(view, np.uint8), polynomials, n, parameters.basis)
