# SPDX-License-Identifier: Apache-2.0
"""Bytes of contexts, vectors and tensors: version 1 of a format of this package, not TenSEAL's protocol buffers.

All numbers are little-endian; a CRC-32 of all before ends each, against accidents and not against an adversary.

    context  "CTSC", version (2 bytes), flags (2), N (4), log2 of the scale (1), number of primes (1), the global scale
             (a double, -1 where it is not set), bits of the primes (1 each), and the 32 bytes that the secret key
             follows from (flag 8), or the public keys as `crypsis.ckks.PublicKey.to_bytes` writes them
    vector   "CTSV", version (2), zero (2), slots that repeat the vector (4), its size (8), its scale (8), the
             ciphertexts as `crypsis.ckks.CkksArray.to_bytes` writes them
    tensor   "CTST", version (2), zero (2), batch (4, 0 for none), zero (8), its scale (8), the ciphertexts
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from crypsis import ckks
from crypsis import errors as base
from crypsis.compat.tenseal._errors import CorruptData

VERSION = 1
_CONTEXT = struct.Struct("<4sHHIBBd")
_TENSOR = struct.Struct("<4sHHIQd")
_SYMMETRIC, _PUBLIC, _RELIN, _SECRET, _GALOIS = 1, 2, 4, 8, 16
_SWITCHES = (32, 64, 128)
SEED_BYTES = 32


@dataclass(frozen=True)
class ContextFields:
    """What a serialised context tells."""

    symmetric: bool
    public_part: bool
    relin: bool
    galois: bool
    switches: tuple[bool, bool, bool]
    degree: int
    sizes: tuple[int, ...]
    scale: float | None
    log_scale: int
    secret: bytes | None
    keys: bytes


def pack_context(fields: ContextFields) -> bytes:
    """`ContextFields` as bytes."""
    flags = (
        _SYMMETRIC * fields.symmetric
        | _PUBLIC * fields.public_part
        | _RELIN * fields.relin
        | _GALOIS * fields.galois
        | _SECRET * (fields.secret is not None)
    )
    for bit, value in zip(_SWITCHES, fields.switches, strict=True):
        flags |= bit * bool(value)
    scale = -1.0 if fields.scale is None else fields.scale
    head = _CONTEXT.pack(b"CTSC", VERSION, flags, fields.degree, fields.log_scale, len(fields.sizes), scale)
    return _sealed(head + bytes(fields.sizes) + (fields.keys if fields.secret is None else fields.secret))


def unpack_context(data: Any) -> ContextFields:
    """CorruptData for what `pack_context` did not write."""
    view = _opened(data, b"CTSC", "context", _CONTEXT.size)
    _, _, flags, degree, log_scale, n_sizes, scale = _CONTEXT.unpack_from(view)
    end = _CONTEXT.size + n_sizes
    if flags >> 8 or not n_sizes or len(view) < end or (scale != -1 and not 1 < scale < math.inf):
        raise CorruptData("the context's header is damaged: have it sent again")
    rest = bytes(view[end:])
    with_secret = bool(flags & _SECRET)
    if with_secret and len(rest) != SEED_BYTES:
        raise CorruptData(f"the context's secret key has {len(rest)} bytes, not {SEED_BYTES}: it is damaged")
    first, second, third = (bool(flags & bit) for bit in _SWITCHES)
    return ContextFields(
        symmetric=bool(flags & _SYMMETRIC),
        public_part=bool(flags & _PUBLIC),
        relin=bool(flags & _RELIN),
        galois=bool(flags & _GALOIS),
        switches=(first, second, third),
        degree=degree,
        sizes=tuple(view[_CONTEXT.size : end]),
        scale=None if scale == -1 else scale,
        log_scale=log_scale,
        secret=rest if with_secret else None,
        keys=rest,
    )


def public_key(data: bytes, parameters: ckks.Parameters) -> ckks.PublicKey:
    """The keys of a context."""
    try:
        return ckks.PublicKey.from_bytes(data, parameters=parameters)
    except base.InvalidCiphertext as error:
        raise CorruptData(
            f"the context is of {parameters!r}, its keys are not: it is damaged ({error})"
        ) from None
    except base.CorruptData as error:
        raise CorruptData(str(error)) from None


def pack_tensor(magic: bytes, slots: int, size: int, scale: float, array: ckks.CkksArray) -> bytes:
    """A vector (`CTSV`) or tensor (`CTST`) as bytes."""
    return _sealed(_TENSOR.pack(magic, VERSION, 0, slots, size, scale) + array.to_bytes())


def unpack_tensor(
    data: Any, magic: bytes, what: str, keys: ckks.PublicKey
) -> tuple[int, int, float, ckks.CkksArray]:
    """(slots, size, scale, ciphertexts). CorruptData for other bytes, InvalidCiphertext for another key's."""
    view = _opened(data, magic, what, _TENSOR.size)
    _, _, zero, slots, size, scale = _TENSOR.unpack_from(view)
    if zero or not 1 < scale < math.inf:
        raise CorruptData(f"the {what}'s header is damaged: have it sent again")
    try:
        array = keys.load(view[_TENSOR.size :])
    except base.CorruptData as error:
        raise CorruptData(str(error)) from None
    if array.length != keys.parameters.n_slots or array.packing is not None:
        raise CorruptData(f"the {what}'s ciphertexts have {array.length} slots in use: it is damaged")
    return slots, size, scale, array


def _sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def _opened(data: Any, magic: bytes, what: str, least: int) -> memoryview:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"data is of type {type(data).__name__}: give the bytes that serialize() returned")
    view = memoryview(data).cast("B")
    if len(view) < least + 4 or view[:4] != magic:
        raise CorruptData(
            f"failed to parse: the bytes are no {what} of crypsis.compat.tenseal, whose format is its own: serialize it"
            " with this package"
        )
    (version,) = struct.unpack_from("<H", view, 4)
    if version != VERSION:
        raise CorruptData(f"the {what} is of version {version}, this package reads {VERSION}: update it")
    if zlib.crc32(view[:-4]) != struct.unpack_from("<I", view, len(view) - 4)[0]:
        raise CorruptData(f"the {what} is damaged or truncated: have it sent again")
    return view[:-4]
