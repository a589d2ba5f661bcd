# SPDX-License-Identifier: Apache-2.0
"""What leaves and enters the process: ciphertext buffers, public keys, key files, and every way to damage them."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import zlib
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import okamoto_uchiyama, paillier
from crypsis._homomorphic import key_files
from crypsis.errors import BackendUnavailable, CorruptData, InvalidCiphertext, WrongPassphrase
from crypsis.paillier import UnblindedCipherArray, base16
from homomorphic_keys import ARRAY_KEYS, SMALL, okamoto_uchiyama_small, paillier_small, paillier_small_foreign

VALUES = np.array([[1.5, -2.0, 3.0], [0.0, 1e6, -1e-6]])
MODULES = {"paillier": paillier, "paillier-foreign": paillier, "okamoto-uchiyama": okamoto_uchiyama}


@pytest.fixture(params=sorted(ARRAY_KEYS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "SCRYPT_LOG_N", 4)


def resealed(data: bytes) -> bytes:
    """The buffer with a checksum that fits."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


@pytest.mark.parametrize("encoding", [base16(), base16(-13), paillier.fixed_point(10**6)])
def test_ciphertexts_round_trip(name: str, encoding: Any) -> None:
    key = ARRAY_KEYS[name]()
    c = key.encrypt(VALUES, encoding=encoding)
    data = c.to_bytes()
    for buffer in (data, bytearray(data), memoryview(data), np.frombuffer(data, dtype=np.uint8).data):
        back = key.public_key.load_ciphertexts(buffer)
        assert type(back) is UnblindedCipherArray
        assert (back.shape, back.base) == (c.shape, c.base)
        assert (key.decrypt(back) == key.decrypt(c)).all()
        assert np.allclose(key.decrypt(back), VALUES, atol=1e-15)
    assert back.rerandomize().to_ints() != c.to_ints()
    for shape in ((), (0,), (2, 0, 3), (1, 1, 1, 1)):
        whole = key.encrypt(np.zeros(shape, dtype=int))
        assert key.decrypt(key.public_key.load_ciphertexts(whole.to_bytes())).shape == shape


def test_the_layout_is_the_one_that_is_written_down() -> None:
    key = paillier_small()
    c = key.encrypt(VALUES)
    data = c.to_bytes()
    width = 8 * key.modulus.limbs
    assert data[:8] == b"CRCT\x01\x00\x01\x00"
    assert data[8:40] == key.public_key.digest
    assert struct.unpack_from("<QII2Qi", data, 40) == (16, width, 2, 2, 3, -13)
    rows = [data[76 + i * width : 76 + (i + 1) * width] for i in range(6)]
    assert [int.from_bytes(row, "little") for row in rows] == c.to_ints()
    assert len(data) == 76 + 6 * width + 4


def test_every_truncation_and_every_flipped_bit_is_noticed() -> None:
    key = paillier_small()
    data = key.encrypt([1, 2]).to_bytes()
    for length in range(len(data)):
        with pytest.raises(CorruptData):
            key.public_key.load_ciphertexts(data[:length])
    with pytest.raises(CorruptData):
        key.public_key.load_ciphertexts(data + b"\0")
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(CorruptData):
            key.public_key.load_ciphertexts(damaged)


def test_damage_under_a_good_checksum() -> None:
    """An adversary computes the checksum too."""
    public = paillier_small().public_key
    data = public.encrypt([1, 2]).to_bytes()

    def patched(offset: int, new: bytes) -> bytes:
        return resealed(data[:offset] + new + data[offset + len(new) :])

    for damaged, what in (
        (patched(0, b"CRPK"), "begins with"),
        (patched(4, b"\x02"), "version 2, this crypsis reads 1"),
        (patched(6, b"\x02"), "of okamoto-uchiyama, not of paillier"),
        (patched(6, b"\x09"), "unknown scheme 9"),
        (patched(7, b"\x02"), "header"),
        (patched(40, b"\0" * 8), "header"),
        (patched(48, struct.pack("<I", 8)), "header"),
        (patched(52, struct.pack("<I", 33)), "header"),
        (patched(52, struct.pack("<I", 32)), "truncated"),
        (patched(56, struct.pack("<Q", 2**63)), r"shape \(9223372036854775808,\) takes"),
        (patched(56, struct.pack("<Q", 3)), r"shape \(3,\) takes"),
        (patched(64, struct.pack("<i", 2**30)), "exponent is outside"),
        (patched(64, struct.pack("<i", -(2**12) - 1)), "exponent is outside"),
    ):
        with pytest.raises(CorruptData, match=what):
            public.load_ciphertexts(damaged)
    empty = public.encrypt(np.zeros((0, 5))).to_bytes()
    for length in (2**62, 2**64 - 1, 2**21):
        with pytest.raises(CorruptData, match="of no array"):
            public.load_ciphertexts(resealed(empty[:64] + struct.pack("<Q", length) + empty[72:]))
    for damaged in (patched(8, b"\0" * 4), paillier_small_foreign().encrypt([1]).to_bytes()):
        with pytest.raises(InvalidCiphertext, match="not of this key"):
            public.load_ciphertexts(damaged)
    width = 8 * public.modulus.limbs
    n2 = public.modulus.n
    for value in (0, n2, n2 + 1, 2 ** (8 * width) - 1):
        with pytest.raises(InvalidCiphertext, match="ciphertext 1 is out of range"):
            public.load_ciphertexts(patched(68 + width, value.to_bytes(width, "little")))


def test_ciphertexts_that_share_a_factor_with_n_are_refused(name: str) -> None:
    key = ARRAY_KEYS[name]()
    n, p = key.public_key.n, key._p.p
    good = key.encrypt([1, 2, 3]).to_ints()
    assert (key.decrypt(key.public_key.ciphertexts_from_ints(good)) == [1, 2, 3]).all()
    for wrong in (p, 2 * p, n - p, n // p):
        assert gcd(wrong, n) > 1
        with pytest.raises(InvalidCiphertext, match="ciphertext 2 is not invertible"):
            key.public_key.ciphertexts_from_ints([*good[:2], wrong])
    for wrong in (0, -1, key.modulus.n):
        with pytest.raises(InvalidCiphertext, match="ciphertext 1 is out of range"):
            key.public_key.ciphertexts_from_ints([good[0], wrong])
    for arguments, what in (
        ({"shape": (2, 2)}, "ciphertexts"),
        ({"exponent": [0, 1]}, "ciphertexts"),
        ({"shape": (-1, -3)}, "shape is"),
        ({"exponent": 2**40}, "exponent goes from"),
        ({"exponent": [0, 0, -5000]}, "exponent goes from"),
        ({"base": 1}, "base is 1"),
        ({"base": 2**63}, "base is"),
        ({"base": "16"}, "base is"),
    ):
        with pytest.raises(ValueError, match=what):
            key.public_key.ciphertexts_from_ints(good, **arguments)
    for values, exponent in (([1.5], 0), (["5"], 0), (good, 0.5)):
        with pytest.raises(TypeError, match="integer"):
            key.public_key.ciphertexts_from_ints(values, exponent=exponent)
    exponents = np.array([0, -1, -2], dtype=np.int32)
    c = key.public_key.ciphertexts_from_ints(good, exponent=exponents)
    exponents[:] = 5
    assert key.decrypt(c).tolist() == [1, 2 / 16, 3 / 256]
    assert key.public_key.ciphertexts_from_ints(good, exponent=np.int64(-1), shape=3).exponent == -1


def test_public_keys_round_trip(name: str) -> None:
    key = ARRAY_KEYS[name]()
    kind = MODULES[name].PublicKey
    data = key.public_key.to_bytes()
    back = kind.from_bytes(data, **SMALL)
    assert back == key.public_key
    assert back.digest == key.public_key.digest
    assert (key.decrypt(back.encrypt([4, -5])) == [4, -5]).all()
    with pytest.raises(ValueError, match="the floor is 2048"):
        kind.from_bytes(data)
    for length in range(0, len(data), 7):
        with pytest.raises(CorruptData):
            kind.from_bytes(data[:length], **SMALL)
    with pytest.raises(CorruptData, match="damaged"):
        kind.from_bytes(
            resealed(data[:-4] + b"\0\0\0\0" + data[-4:]) + b"", **SMALL
        ) if name != "paillier-foreign" else (kind.from_bytes(resealed(data[:7] + b"\1" + data[8:]), **SMALL))
    with pytest.raises(CorruptData, match="not hold a public key"):
        kind.from_bytes(key.encrypt([1]).to_bytes(), **SMALL)
    with pytest.raises(CorruptData, match="truncated or damaged"):
        kind.from_bytes(resealed(data[:8] + b"\xff\xff\xff\xff" + data[12:]), **SMALL)


def test_public_keys_of_the_other_scheme_are_refused() -> None:
    with pytest.raises(CorruptData, match="of okamoto-uchiyama, not of paillier"):
        paillier.PublicKey.from_bytes(okamoto_uchiyama_small().public_key.to_bytes(), **SMALL)


@pytest.mark.parametrize("passphrase", ["correct horse", b"\x00bytes", "päss 密码"])
def test_key_files_round_trip(name: str, passphrase: str | bytes, tmp_path: Path) -> None:
    key = ARRAY_KEYS[name]()
    path = tmp_path / "key.crypsis"
    path.write_text("old")
    key.save(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key.crypsis"]
    back = type(key).load(str(path), passphrase, **SMALL)
    assert back.public_key == key.public_key
    assert (back.decrypt(key.encrypt([5, -6])) == [5, -6]).all()
    assert (key.decrypt(back.encrypt([5, -6])) == [5, -6]).all()
    data = path.read_bytes()
    for secret in (key._p.p, key.public_key.n):
        assert secret.to_bytes(-(-secret.bit_length() // 8), "little") not in data
    with pytest.raises(WrongPassphrase, match="passphrase is wrong"):
        type(key).load(path, "wrong", **SMALL)
    with pytest.raises(ValueError, match="the floor is 2048"):
        type(key).load(path, passphrase)
    for position in (*range(4), 4, 6, *range(8, len(data), 5)):
        damaged = bytearray(data)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        with pytest.raises((CorruptData, WrongPassphrase)):
            type(key).load(path, passphrase, **SMALL)
    for length in (0, 3, 35, 51, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises((CorruptData, WrongPassphrase)):
            type(key).load(path, passphrase, **SMALL)
    path.write_bytes(data[:7] + b"\x30" + data[8:])
    with pytest.raises(CorruptData, match="2\\^48"):
        type(key).load(path, passphrase, **SMALL)


def test_key_files_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, path = paillier_small(), tmp_path / "key"
    with pytest.raises(ValueError, match="passphrase is empty"):
        key.save(path, "")
    with pytest.raises(TypeError, match="give str or bytes"):
        key.save(path, 5)
    assert not path.exists()
    key.save(path, "x")
    with pytest.raises(CorruptData, match="of paillier, not of okamoto-uchiyama"):
        okamoto_uchiyama.PrivateKey.load(path, "x")
    for numbers in ([1], [1, 2, 3, 4]):
        key_files.save(path, "x", "paillier", numbers)
        with pytest.raises(CorruptData, match="does not hold a Paillier key"):
            paillier.PrivateKey.load(path, "x")
    with pytest.raises(FileNotFoundError):
        paillier.PrivateKey.load(tmp_path / "none", "x")
    with pytest.raises(FileNotFoundError):
        key.save(tmp_path / "none" / "key", "x")
    key.save(path, "x")
    for name in [n for n in sys.modules if n.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for call in (lambda: key.save(path, "x"), lambda: paillier.PrivateKey.load(path, "x", **SMALL)):
        with pytest.raises(BackendUnavailable, match="pip install cryptography"):
            call()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's limit of the address space")
@pytest.mark.parametrize("log_n", [17, 18])
def test_a_key_file_that_takes_more_memory_than_there_is(tmp_path: Path, log_n: int) -> None:
    path = tmp_path / "key"
    paillier_small().save(path, "x")
    data = path.read_bytes()
    path.write_bytes(data[:7] + bytes([log_n]) + data[8:])
    program = (
        "import resource; from cryptography.hazmat.primitives.kdf.scrypt import Scrypt; from crypsis import errors\n"
        "from crypsis._homomorphic import key_files\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), -1))\n"
        f"try: key_files.load({str(path)!r}, 'x', 'paillier')\n"
        "except errors.CorruptData as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"N = 2^{log_n}, for which {2 ** (log_n - 10)} MiB of memory are missing" in done.stdout, (
        done.stderr
    )


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        paillier_small().save(path, "x")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]


def test_the_default_cost_of_a_guess(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    assert key_files.SCRYPT_LOG_N == 17
    path = tmp_path / "key"
    paillier_small().save(path, "x")
    assert path.read_bytes()[7] == 17
    assert paillier.PrivateKey.load(path, "x", **SMALL).public_key == paillier_small().public_key
