# SPDX-License-Identifier: Apache-2.0
"""Arrays and public keys as one buffer each, secret keys in files. All numbers are little-endian.

Arrays, version 1:

    offset  bytes  what
    0       4      magic "CKCT"
    4       2      version, 1
    6       1      flags: 1 second halves are a seed, 2 packed, 4 parameters that are insecure
    7       1      polynomials of a ciphertext, 2 or 3
    8       1      level
    9       1      dimensions of the array, 0 to 32
    10      1      dimensions of the packed numbers, 0 to 32
    11      1      zero
    12      4      slots in use
    16      8      scale, a double
    24      32     id of the key
    56      32     digest of the parameters
    88      5 + n  the literal: log_n, log_scale, dnum (0: none), numbers of moduli and special primes, their bits
    ...     8 d    shape of the array, then that of the packed numbers
    ...     32     seed of the second halves (flag 1)
    ...            residues modulo q_0 of all polynomials (flag 1: first halves), then modulo q_1 ...: N numbers each,
                   of as many bytes as the modulus has
    ...     4      CRC-32 of all before: against accidents, not against an adversary

Public keys, version 1: magic "CKPK", version, flags (4 insecure, 8 has a relinearisation key), a zero byte, number
of Galois keys (4 bytes), digest of the parameters, the literal, the encryption key, the relinearisation key, the Galois
keys with 4 bytes, the g of x -> x^g, in front of each, the CRC-32. A key is its seed and then its residues as above.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._ckks.coins import SEED_BYTES
from crypsis._ckks.parameters import (
    AGGREGATE,
    DEEP,
    JOINT,
    SHALLOW,
    SHARED,
    Literal,
    Parameters,
    check_security,
)
from crypsis._ckks.switch_keys import EncryptionKey, SwitchKey
from crypsis._homomorphic import key_files
from crypsis.errors import CorruptData, InvalidCiphertext

VERSION = 1
ARRAY, PUBLIC_KEY = b"CKCT", b"CKPK"
SEEDED, PACKED, INSECURE, RELINEARISES = 1, 2, 4, 8
MAX_DIMENSIONS = 32
MAX_EMPTY = 1 << 16
"""Of the other axes of an empty array."""
MAX_GALOIS_KEYS = 1 << 16
PRESETS = (AGGREGATE, SHARED, JOINT, SHALLOW, DEEP)
"""What a buffer's parameters may be where the receiver names none: tables of a sender's choice would be up to 50 MB for
a hundred bytes."""

_ARRAY_HEAD = struct.Struct("<4sHBBBBBBId32s32s")
_KEY_HEAD = struct.Struct("<4sHBBI32s")
_PIECES: dict[int, list[tuple[str, int]]] = {
    width: [
        (f"<u{size}", sum(s for s in (4, 2, 1) if s > size and width & s))
        for size in (4, 2, 1)
        if width & size
    ]
    for width in range(1, 8)
}
"""Of a number of so many bytes: NumPy copies two or three words faster than single bytes."""

Residues = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class ArrayFields:
    """A parsed buffer; `data` are residues of their moduli."""

    parameters: Parameters
    key_id: bytes
    data: Residues
    level: int
    scale: float
    length: int
    seed: bytes | None
    packing: tuple[int, ...] | None


def array_to_bytes(array: Any) -> bytes:
    """A `CkksArray` as bytes. ValueError for one that shows its values to whoever reads the buffer."""
    parameters = array.parameters
    seeded = array.seeded
    if seeded is None:
        _refuse_transparent(array.data)
    data, seed = (array.data, b"") if seeded is None else seeded
    packing = array.packing or ()
    flags = (
        SEEDED * (seeded is not None) | PACKED * (array.packing is not None) | INSECURE * parameters.insecure
    )
    head = _ARRAY_HEAD.pack(
        ARRAY,
        VERSION,
        flags,
        array.size_of,
        array.level,
        len(array.shape),
        len(packing),
        0,
        array.length,
        array.scale,
        array.key_id,
        parameters.digest,
    )
    shapes = struct.pack(f"<{len(array.shape) + len(packing)}Q", *array.shape, *packing)
    primes = parameters.moduli.primes[: array.level + 1]
    return sealed([head, parameters.prefix, shapes, seed, *packed(data, primes)])


def parse_array(
    buffer: bytes | bytearray | memoryview, insecure_allow_weak: bool, due: Parameters | None = None
) -> ArrayFields:
    """CorruptData for what `array_to_bytes` cannot have made, InvalidCiphertext for numbers that are no residues, and
    for parameters that are not those that are `due` (without those: no preset), of which nothing is then computed.
    insecure_allow_weak, for tests, admits any parameters."""
    view = _open(buffer, ARRAY, "ciphertexts", _ARRAY_HEAD.size)
    (_, _, flags, size, level, n_dimensions, n_packing, zero, length, scale, key_id, digest) = (
        _ARRAY_HEAD.unpack_from(view)
    )
    if flags & ~7 or zero or size not in (2, 3) or max(n_dimensions, n_packing) > MAX_DIMENSIONS:
        raise CorruptData("header of the ciphertexts is damaged: have them sent again")
    parameters, at = _parameters(view, _ARRAY_HEAD.size, digest, insecure_allow_weak, due)
    _check_flag(flags, parameters, "ciphertexts")
    if not parameters.bottom <= level <= parameters.top or not 1 <= length <= parameters.n_slots:
        raise CorruptData(
            f"the ciphertexts have level {level} and {length} slots, which {parameters!r} does not: have them sent"
            " again"
        )
    log_modulus = sum(map(math.log2, parameters.moduli.primes[: level + 1]))
    if not (scale >= 1 and math.log2(scale) <= log_modulus):
        raise CorruptData(
            f"the ciphertexts have scale {scale}, which their level cannot have: have them sent again"
        )
    if len(view) < at + 8 * (n_dimensions + n_packing):
        raise CorruptData("buffer of ciphertexts is truncated in its shape: have it sent again")
    shapes = struct.unpack_from(f"<{n_dimensions + n_packing}Q", view, at)
    at += 8 * len(shapes)
    shape, packing = shapes[:n_dimensions], shapes[n_dimensions:]
    count = math.prod(shape)
    if count == 0 and math.prod(n for n in shape if n) > MAX_EMPTY:
        raise CorruptData(f"shape {shape} is of no array: the buffer is damaged, have it sent again")
    if flags & PACKED:
        _check_packing(parameters, shape, packing, length)
    elif packing:
        raise CorruptData("header of the ciphertexts is damaged: have them sent again")
    seed = None
    if flags & SEEDED:
        if size != 2 or len(view) < at + SEED_BYTES:
            raise CorruptData("header of the ciphertexts is damaged: have them sent again")
        seed = bytes(view[at : at + SEED_BYTES])
        at += SEED_BYTES
    polynomials = count * (1 if flags & SEEDED else size)
    primes = parameters.moduli.primes[: level + 1]
    expected = at + packed_bytes(polynomials, primes, parameters.n)
    if expected != len(view):
        raise CorruptData(
            f"shape {shape} takes {expected} bytes, the buffer has {len(view)}: it is truncated or damaged, have it"
            " sent again"
        )
    data = unpacked(view[at:], polynomials, primes, parameters.n)
    if not are_residues(data, primes):
        raise InvalidCiphertext(
            "a number of the ciphertexts is no residue of its modulus: have them sent again"
        )
    halves = () if flags & SEEDED else (size,)
    return ArrayFields(
        parameters,
        key_id,
        data.reshape(*shape, *halves, level + 1, parameters.n),
        level,
        scale,
        length,
        seed,
        packing if flags & PACKED else None,
    )


def public_key_to_bytes(
    encryption: EncryptionKey, relinearisation: SwitchKey | None, galois: Mapping[int, SwitchKey]
) -> bytes:
    """A public key as bytes."""
    parameters = encryption.parameters
    flags = INSECURE * parameters.insecure | RELINEARISES * (relinearisation is not None)
    moduli, full = parameters.moduli.primes, parameters.full.primes
    parts = [
        _KEY_HEAD.pack(PUBLIC_KEY, VERSION, flags, 0, len(galois), parameters.digest),
        parameters.prefix,
        encryption.seed,
        *packed(encryption.body, moduli),
    ]
    if relinearisation is not None:
        parts += [relinearisation.seed, *packed(relinearisation.body, full)]
    for element in sorted(galois):
        key = galois[element]
        parts += [struct.pack("<I", element), key.seed, *packed(key.body, full)]
    return sealed(parts)


def parse_public_key(
    buffer: bytes | bytearray | memoryview, insecure_allow_weak: bool, due: Parameters | None = None
) -> tuple[EncryptionKey, SwitchKey | None, dict[int, SwitchKey]]:
    """CorruptData for what `public_key_to_bytes` cannot have made; ValueError for insecure parameters,
    InvalidCiphertext for others than those that are due, without those for no presets."""
    view = _open(buffer, PUBLIC_KEY, "a public key", _KEY_HEAD.size)
    _, _, flags, zero, n_galois, digest = _KEY_HEAD.unpack_from(view)
    if flags & ~(INSECURE | RELINEARISES) or zero or n_galois > MAX_GALOIS_KEYS:
        raise CorruptData("header of the public key is damaged: have it sent again")
    parameters, at = _parameters(view, _KEY_HEAD.size, digest, insecure_allow_weak, due)
    _check_flag(flags, parameters, "public key")
    n_switch = n_galois + bool(flags & RELINEARISES)
    if n_switch and not parameters.special:
        raise CorruptData(
            f"the public key has evaluation keys, which {parameters!r} does not: have it sent again"
        )
    moduli, full = parameters.moduli.primes, parameters.full.primes
    small = SEED_BYTES + packed_bytes(1, moduli, parameters.n)
    large = SEED_BYTES + packed_bytes(parameters.dnum, full, parameters.n)
    expected = at + small + n_switch * large + 4 * n_galois
    if expected != len(view):
        raise CorruptData(
            f"the public key takes {expected} bytes, the buffer has {len(view)}: it is truncated or damaged, have it"
            " sent again"
        )

    def body(start: int, count: int, primes: tuple[int, ...], n_bytes: int) -> tuple[bytes, Residues]:
        seed = bytes(view[start : start + SEED_BYTES])
        data = unpacked(view[start + SEED_BYTES : start + n_bytes], count, primes, parameters.n)
        if not are_residues(data, primes):
            raise CorruptData("a number of the public key is no residue of its modulus: have it sent again")
        return seed, data

    def switch_key(start: int) -> SwitchKey:
        seed, data = body(start, parameters.dnum, full, large)
        return SwitchKey(parameters, data, seed)

    seed, data = body(at, 1, moduli, small)
    encryption = EncryptionKey(parameters, data[0], seed)
    at += small
    relinearisation = None
    if flags & RELINEARISES:
        relinearisation = switch_key(at)
        at += large
    galois: dict[int, SwitchKey] = {}
    for _ in range(n_galois):
        element = int.from_bytes(view[at : at + 4], "little")
        if element % 2 == 0 or not 1 < element < 2 * parameters.n or element in galois:
            raise CorruptData(
                f"the public key has a Galois key of x -> x^{element}: it is damaged, have it sent again"
            )
        galois[element] = switch_key(at + 4)
        at += 4 + large
    return encryption, relinearisation, galois


def save_secret(
    path: Any, passphrase: str | bytes, parameters: Parameters, seed: npt.NDArray[np.uint8]
) -> None:
    """A secret key's literal and seed, in a file under a passphrase."""
    literal = parameters.prefix
    numbers = [len(literal), int.from_bytes(literal, "little"), int.from_bytes(seed.tobytes(), "little")]
    key_files.save(path, passphrase, "ckks", numbers)


def load_secret(path: Any, passphrase: str | bytes, insecure_allow_weak: bool) -> tuple[Parameters, bytes]:
    """What `save_secret` wrote."""
    numbers = key_files.load(path, passphrase, "ckks")
    if len(numbers) != 3 or numbers[0] > 256 or numbers[2].bit_length() > 8 * SEED_BYTES:
        raise CorruptData(f"{path} is no secret key of CKKS, or damaged")
    try:
        data = numbers[1].to_bytes(numbers[0], "little")
    except OverflowError:
        raise CorruptData(f"{path} is no secret key of CKKS, or damaged") from None
    # One's own file: any parameters.
    parameters, _ = _parameters(memoryview(data), 0, None, insecure_allow_weak, own=True)
    return parameters, numbers[2].to_bytes(SEED_BYTES, "little")


def _parameters(
    view: memoryview,
    start: int,
    digest: bytes | None,
    insecure_allow_weak: bool,
    due: Parameters | None = None,
    *,
    own: bool = False,
) -> tuple[Parameters, int]:
    """The parameters at `start`, and where they end. InvalidCiphertext for others than those that are due; without
    those for no presets, unless the buffer is this party's own."""
    try:
        literal, size = Literal.from_bytes(view[start:])
    except (ValueError, TypeError):
        raise CorruptData("parameters in the buffer are damaged: have it sent again") from None
    if due is not None:
        # Tables of other parameters are tens of megabytes, for a sender who needs to send no number.
        if literal != due.literal:
            raise InvalidCiphertext(
                f"the buffer is of {literal!r}, {due!r} are expected: use the key that it was made with"
            )
        if digest is not None and digest != due.digest:
            raise CorruptData(
                "the digest in the buffer is not that of its parameters: it is damaged, have it sent again"
            )
        return due, start + size
    check_security(literal, insecure_allow_weak)
    if literal not in PRESETS and not own and not insecure_allow_weak:
        raise InvalidCiphertext(
            f"the buffer is of {literal!r}, which is no preset: give parameters=, those that you expect; tables of a"
            " sender's choice are not made"
        )
    try:
        parameters = Parameters.of(literal, insecure_allow_weak=insecure_allow_weak)
    except ValueError:
        raise CorruptData("parameters in the buffer are damaged: have it sent again") from None
    if digest is not None and digest != parameters.digest:
        raise CorruptData(
            "the digest in the buffer is not that of its parameters: it is damaged, have it sent again"
        )
    return parameters, start + size


def _check_flag(flags: int, parameters: Parameters, what: str) -> None:
    if bool(flags & INSECURE) != parameters.insecure:
        raise CorruptData(f"header of the {what} is damaged (insecure or not?): have it sent again")


def _refuse_transparent(data: Residues) -> None:
    """ValueError for `uint64[..., size_of, limbs, N]` with a ciphertext that is, modulo one of the primes, zero but for
    its first polynomial: this then is the message."""
    *_, size, limbs, n = data.shape
    flat = data.reshape(-1, size, limbs, n)
    suspects = np.argwhere(~flat[:, 1:, :, :4].any(axis=(1, 3)))  # one of 2^80 of those with a key in them
    for row, limb in suspects:
        if not flat[row, 1:, limb].any():
            raise ValueError(
                f"ciphertext {row} is transparent: a product with 0, or an array less itself, which anyone can read;"
                " public.rerandomise(array) makes a ciphertext of it that can be sent"
            )


def _check_packing(
    parameters: Parameters, shape: tuple[int, ...], packing: tuple[int, ...], length: int
) -> None:
    rows = max(1, -(-math.prod(packing) // parameters.n))
    if shape != (rows,) or length != parameters.n_slots or math.prod(n for n in packing if n) >= 1 << 48:
        raise CorruptData(
            f"numbers of shape {packing} are not packed into {shape} ciphertexts: the buffer is damaged, have it sent"
            " again"
        )


def sealed(parts: list[Any]) -> bytes:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return b"".join([*parts, struct.pack("<I", crc)])


def _open(buffer: bytes | bytearray | memoryview, magic: bytes, what: str, head: int) -> memoryview:
    """The buffer without its CRC, after the checks that do not depend on the contents."""
    view = memoryview(buffer).cast("B")
    if len(view) < head + 4:
        raise CorruptData(f"buffer of {len(view)} bytes is too short for {what}: it is truncated")
    found, version = struct.unpack_from("<4sH", view)
    if found != magic:
        raise CorruptData(
            f"buffer begins with {found!r}, not {magic!r}: it does not hold {what} of crypsis.ckks"
        )
    if version != VERSION:
        raise CorruptData(f"buffer has version {version}, this crypsis reads {VERSION}: upgrade one side")
    inner = view[:-4]
    if zlib.crc32(inner) != int.from_bytes(view[-4:], "little"):
        raise CorruptData(f"buffer of {what} is truncated or damaged (checksum): have it sent again")
    return inner


def _width(prime: int) -> int:
    return -(-prime.bit_length() // 8)


def packed_bytes(polynomials: int, primes: tuple[int, ...], n: int) -> int:
    return polynomials * n * sum(map(_width, primes))


def _dtype(width: int, stride: int) -> np.dtype[Any]:
    formats, offsets = zip(*_PIECES[width], strict=True)
    names = [f"f{i}" for i in range(len(formats))]
    return np.dtype({"names": names, "formats": list(formats), "offsets": list(offsets), "itemsize": stride})


def packed(data: Residues, primes: tuple[int, ...]) -> list[Any]:
    """`uint64[..., limbs, N]` as a buffer a limb."""
    flat = data.reshape(-1, len(primes), data.shape[-1])
    result: list[Any] = []
    for i, prime in enumerate(primes):
        width = _width(prime)
        source = np.ascontiguousarray(flat[:, i], dtype="<u8").reshape(-1)
        if width == 8:
            result.append(source.tobytes())
            continue
        target = np.empty(source.size, _dtype(width, width))
        words = source.view(_dtype(width, 8))
        for name in words.dtype.names or ():
            target[name] = words[name]
        result.append(target.tobytes())
    return result


def unpacked(view: memoryview, polynomials: int, primes: tuple[int, ...], n: int) -> Residues:
    """`uint64[polynomials, limbs, N]` of such buffers, one after the other."""
    data = np.zeros((polynomials, len(primes), n), np.uint64)
    at, count = 0, polynomials * n
    for i, prime in enumerate(primes):
        width = _width(prime)
        part = view[at : at + count * width]
        at += count * width
        if width == 8:
            data[:, i] = np.frombuffer(part, "<u8").reshape(polynomials, n)
            continue
        source = np.frombuffer(part, _dtype(width, width))
        words = np.zeros(count, np.uint64)
        target = words.view(_dtype(width, 8))
        for name in target.dtype.names or ():
            target[name] = source[name]
        data[:, i] = words.reshape(polynomials, n)
    return data


def are_residues(data: Residues, primes: tuple[int, ...]) -> bool:
    if not data.size:
        return True
    most = data.max(axis=(0, -1))
    return bool((most < np.array(primes, np.uint64)).all())
