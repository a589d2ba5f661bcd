# SPDX-License-Identifier: Apache-2.0
"""Private keys in files, encrypted with a passphrase: scrypt [RFC 7914], then AES-256-GCM (NIST SP 800-38D).

    offset  bytes  what (little-endian)
    0       4      magic "CRSK"
    4       2      version, 1
    6       1      scheme: 1 Paillier, 2 Okamoto-Uchiyama, 3 CKKS, 4 a share of a CKKS key
    7       1      log2 of scrypt's N; r = 8, p = 1
    8       16     salt of scrypt
    24      12     nonce of AES-GCM
    36      ...    the key's numbers, each with a 4-byte length, encrypted; then GCM's 16-byte tag

Everything before the ciphertext is authenticated with it. A file is written beside its target with mode 0600 and then
moved over it: after a crash there is the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crypsis._homomorphic.wire import SCHEMES, parse_numbers
from crypsis.errors import BackendUnavailable, CorruptData, WrongPassphrase

MAGIC, VERSION = b"CRSK", 1
SCRYPT_LOG_N = 17  # 128 MiB and a few tenths of a second for each guess
MAX_SCRYPT_LOG_N = 18
_HEAD = struct.Struct("<4sHBB16s12s")
_MAX_FILE_BYTES = 1 << 16


def save(path: Any, passphrase: str | bytes, scheme: str, numbers: Sequence[int]) -> None:
    """Write `numbers`, replacing `path` atomically. ValueError for an empty passphrase, OSError as it comes."""
    target = Path(path)
    header = _HEAD.pack(
        MAGIC, VERSION, SCHEMES[scheme], SCRYPT_LOG_N, secrets.token_bytes(16), secrets.token_bytes(12)
    )
    plain = bytearray()
    for number in numbers:
        width = -(-number.bit_length() // 8)
        plain += struct.pack("<I", width) + number.to_bytes(width, "little")
    sealed = _cipher(header, passphrase).encrypt(header[24:36], plain, header)  # no copy of it
    plain[:] = bytes(len(plain))
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(header + sealed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def load(path: Any, passphrase: str | bytes, scheme: str) -> list[int]:
    """The numbers. WrongPassphrase, CorruptData; OSError where the file cannot be read."""
    with open(path, "rb") as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) < _HEAD.size + 16 or len(data) > _MAX_FILE_BYTES:
        raise CorruptData(f"{path} has {len(data)} bytes: it is no private key of crypsis, or truncated")
    magic, version, number, log_n, _, _ = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise CorruptData(f"{path} begins with {magic!r}, not {MAGIC!r}: it is no private key of crypsis")
    if version != VERSION:
        raise CorruptData(f"{path} has version {version}, this crypsis reads {VERSION}: upgrade crypsis")
    if number != SCHEMES[scheme]:
        name = next((name for name, known in SCHEMES.items() if known == number), f"unknown scheme {number}")
        raise CorruptData(f"{path} holds a key of {name}, not of {scheme}: load it with that module")
    if not 1 <= log_n <= MAX_SCRYPT_LOG_N:
        raise CorruptData(f"{path} asks for scrypt with N = 2^{log_n}: it is damaged")
    header = data[: _HEAD.size]
    try:
        cipher = _cipher(header, passphrase)
    except MemoryError:
        raise CorruptData(
            f"{path} asks for scrypt with N = 2^{log_n}, for which {2 ** (log_n - 10)} MiB of memory are missing: allow"
            f" this process more; keys that this version writes have N = 2^{SCRYPT_LOG_N}, others may be damaged"
        ) from None
    from cryptography.exceptions import InvalidTag

    try:
        plain = cipher.decrypt(header[24:36], data[_HEAD.size :], header)
    except InvalidTag:
        raise WrongPassphrase(
            f"{path} does not open: the passphrase is wrong, or the file is damaged"
        ) from None
    return parse_numbers(memoryview(plain), f"key in {path}")


def _cipher(header: bytes, passphrase: str | bytes) -> Any:
    if not isinstance(passphrase, str | bytes):
        raise TypeError(f"passphrase is {type(passphrase).__name__}: give str or bytes")
    secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
    if not secret:
        raise ValueError("passphrase is empty: a private key is never stored in the clear")
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError:
        raise BackendUnavailable(
            "key files need the package cryptography, which is not installed: pip install cryptography"
        ) from None
    key = Scrypt(salt=header[8:24], length=32, n=1 << header[7], r=8, p=1).derive(secret)
    return AESGCM(key)
