# SPDX-License-Identifier: Apache-2.0
"""Serialisation of CKKS arrays and keys: round trips, sizes, pickles, and every way a buffer can be wrong."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import SECURE, TINY, TWO_DIGITS, WIDE, check, numbers, parameters, public_key, secret_key
from crypsis import ckks
from crypsis.errors import CorruptData, CrypsisError, InvalidCiphertext, WrongPassphrase

ONE_LEVEL = ckks.Literal(10, (26,), (26,), 20)


def sealed(data: bytes | bytearray) -> bytes:
    """With a right checksum, as whoever changes a buffer on purpose makes it."""
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(data[:-4]))


def load(buffer: bytes) -> ckks.CkksArray:
    return ckks.CkksArray.from_bytes(buffer, insecure_allow_weak=True)


def load_key(buffer: bytes) -> ckks.PublicKey:
    return ckks.PublicKey.from_bytes(buffer, insecure_allow_weak=True)


def arrays() -> list[tuple[Any, ckks.CkksArray, Any]]:
    secret, public = secret_key(TINY), public_key(TINY)
    x = numbers(2, 20)
    fresh = public.encrypt(x, magnitude=1)
    wide, y = secret_key(WIDE), numbers(3, 50)
    return [
        (secret, fresh, x),
        (secret, secret.encrypt(x, magnitude=1), x),
        (secret, fresh.at_level(1), x),
        (secret, fresh[0], x[0]),
        (secret, fresh[:0], x[:0]),
        (secret, fresh.multiply(fresh, relinearise=False), x * x),
        (secret, fresh.multiply(fresh, rescale=False), x * x),
        (
            secret,
            fresh.rotate_many((0, 1)).reshape(2, 2, 1),
            np.stack([x, np.roll(np.pad(x, ((0, 0), (0, 492))), -1, 1)[:, :20]]).reshape(2, 2, 1, 20),
        ),
        (wide, wide.encrypt(y, packed=True, magnitude=2), y),
        (wide, public_key(WIDE).encrypt(y, packed=True, magnitude=2), y),
    ]


@pytest.mark.parametrize("number", range(10))
def test_round_trip(number: int) -> None:
    secret, array, expected = arrays()[number]
    buffer = array.to_bytes()
    loaded = load(buffer)
    assert loaded.estimate is None
    assert loaded.keys is None
    check(secret, loaded.with_estimate(array.estimate), expected)
    assert np.array_equal(loaded.data, array.data)
    assert (loaded.level, loaded.scale, loaded.length) == (array.level, array.scale, array.length)
    assert load(loaded.to_bytes()).to_bytes() == buffer
    for kind in (bytearray, memoryview):
        assert np.array_equal(load(kind(buffer)).data, array.data)  # type: ignore[arg-type]
    assert np.array_equal(pickle.loads(pickle.dumps(array)).data, array.data)


def test_sizes() -> None:
    """Whole bytes of the moduli; half of it for symmetric encryptions, until they are computed on."""
    secret, public = secret_key(TINY), public_key(TINY)
    x = numbers(2, 20)
    head = 88 + 10 + 8 + 4
    width = 7 + 5 + 5 + 5
    assert len(public.encrypt(x).to_bytes()) == head + 2 * 2 * 1024 * width
    seeded = secret.encrypt(x)
    assert seeded.nbytes == 2 * 4 * 1024 * 8
    size = len(seeded.to_bytes())
    assert size == head + 32 + 2 * 1024 * width
    assert seeded.data.shape == (2, 2, 4, 1024)
    assert seeded.nbytes == 2 * 2 * 4 * 1024 * 8
    assert len(seeded.to_bytes()) == size
    assert len(load(seeded.to_bytes()).to_bytes()) == size
    own = ckks.SecretKey.generate(ckks.AGGREGATE)
    values = numbers(100_000)
    assert len(own.encrypt(values, packed=True).to_bytes()) / values.size < 6.1
    assert len(own.public_key().encrypt(values, packed=True).to_bytes()) / values.size < 12.1


@pytest.mark.parametrize("literal", [TINY, TWO_DIGITS, WIDE])
def test_public_keys(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    for used in (False, True):
        if used and literal is not WIDE:
            public.encrypt(numbers(5)).rotate(1)
        buffer = public.to_bytes()
        loaded = ckks.PublicKey.from_bytes(buffer, insecure_allow_weak=True)
        assert loaded == public
        assert hash(loaded) == hash(public)
        assert loaded.id == secret.id
        assert loaded.galois_elements == public.galois_elements
        assert loaded.to_bytes() == buffer
        x = numbers(20)
        array = loaded.encrypt(x, magnitude=1)
        check(secret, array, x)
        if literal is not WIDE:
            assert loaded.rotations == (1, 2, 5, 100, 511)
            check(secret, array * array, x * x)
            assert np.array_equal(array.rotate(2).data, public.bind(array).rotate(2).data)
            assert np.array_equal((array * array).data, public.bind(array).square().data)
        assert pickle.loads(pickle.dumps(public)) == public


def test_pickles_cross_processes(tmp_path: Path) -> None:
    """Secure parameters: a pickle of others says so itself."""
    secret = ckks.SecretKey.generate(SECURE)
    public = secret.public_key(rotations=(1,))
    x = numbers(3, 100)
    (tmp_path / "in").write_bytes(pickle.dumps((public, public.encrypt(x), secret.encrypt(x))))
    program = (
        "import pickle, sys\n"
        "public, a, b = pickle.load(open(sys.argv[1], 'rb'))\n"
        "pickle.dump(public.bind(a + b).rotate(1), open(sys.argv[2], 'wb'))\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "in"), str(tmp_path / "out")], check=True, timeout=300
    )
    with open(tmp_path / "out", "rb") as file:
        result = pickle.load(file)
    assert np.abs(secret.decrypt(result)[:, :99] - 2 * x[:, 1:]).max() < 2.0**-10


def test_secret_keys_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret_key(TINY))


def test_secret_key_files(tmp_path: Path) -> None:
    secret = ckks.SecretKey(parameters(TINY), bytes(31) + b"\x05")
    secret.save(tmp_path / "key", "a passphrase")
    with pytest.raises(WrongPassphrase):
        ckks.SecretKey.load(tmp_path / "key", "another", insecure_allow_weak=True)
    with pytest.raises(ValueError, match="128-bit secure"):
        ckks.SecretKey.load(tmp_path / "key", "a passphrase")
    loaded = ckks.SecretKey.load(tmp_path / "key", "a passphrase", insecure_allow_weak=True)
    assert loaded.id == secret.id
    from crypsis import paillier

    with pytest.raises(CorruptData, match="ckks"):
        paillier.PrivateKey.load(tmp_path / "key", "a passphrase")


def test_truncated_buffers() -> None:
    array, key = (
        secret_key(SECURE).encrypt(numbers(5)).to_bytes(),
        secret_key(SECURE).public_key(relinearise=False).to_bytes(),
    )
    for length in (*range(300), len(array) - 1):
        with pytest.raises(CorruptData):
            load(array[:length])
        with pytest.raises((CorruptData, ValueError)):
            load(sealed(array[:length] + bytes(4)))
    for length in (*range(200), len(key) - 1):
        with pytest.raises(CorruptData):
            ckks.PublicKey.from_bytes(key[:length])
        with pytest.raises((CorruptData, ValueError)):
            ckks.PublicKey.from_bytes(sealed(key[:length] + bytes(4)))
    for longer in (array + bytes(1), sealed(array[:-4] + bytes(9))):
        with pytest.raises(CorruptData):
            load(longer)


def test_a_changed_byte_anywhere_is_noticed() -> None:
    buffer = secret_key(WIDE).encrypt(numbers(5)).to_bytes()
    for at in (*range(150), *range(150, len(buffer), 997)):
        changed = bytearray(buffer)
        changed[at] ^= 1
        with pytest.raises(CorruptData):
            load(bytes(changed))


def test_every_changed_header_byte_is_an_error_or_another_valid_buffer() -> None:
    """With a right checksum: nothing but typed errors, however the header lies."""
    array = public_key(WIDE).encrypt(numbers(2, 5), packed=True).to_bytes()
    key = public_key(ONE_LEVEL).to_bytes()
    for at in range(140):
        for value in (0, 1, 2, 3, 4, 7, 8, 127, 128, 255):
            changed = bytearray(array)
            changed[at] = value
            _load_or_typed_error(load, changed)
            if at < 60:
                changed = bytearray(key)
                changed[at] = value
                _load_or_typed_error(load_key, changed)


def _load_or_typed_error(action: Any, changed: bytearray) -> None:
    try:
        action(sealed(changed))
    except (CrypsisError, ValueError) as error:
        message = str(error)
        assert "\n" not in message


@settings(max_examples=200)
@given(data=st.data())
def test_changed_fields(data: st.DataObject) -> None:
    buffer = bytearray(BUFFER)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 129))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        value = data.draw(st.binary(min_size=width, max_size=width))
        buffer[at : at + width] = value
    _load_or_typed_error(load, buffer)


BUFFER = secret_key(WIDE).encrypt(numbers(2, 3, 5)).to_bytes()


def patched(buffer: bytes, at: int, value: bytes) -> bytes:
    return sealed(buffer[:at] + value + buffer[at + len(value) :])


@pytest.mark.parametrize(
    ("at", "value", "error", "message"),
    [
        (0, b"CRCT", CorruptData, "begins with b'CRCT'"),
        (4, b"\x02\x00", CorruptData, "version 2"),
        (6, b"\x80", CorruptData, "header"),
        (7, b"\x04", CorruptData, "header"),
        (7, b"\x03", CorruptData, "header"),
        (8, b"\x00", CorruptData, "level 0"),
        (8, b"\x05", CorruptData, "level 5"),
        (9, b"\x21", CorruptData, "header"),
        (10, b"\x01", CorruptData, "header|takes"),
        (11, b"\x01", CorruptData, "header"),
        (12, struct.pack("<I", 0), CorruptData, "0 slots"),
        (12, struct.pack("<I", 513), CorruptData, "513 slots"),
        (16, struct.pack("<d", float("nan")), CorruptData, "scale nan"),
        (16, struct.pack("<d", 0.5), CorruptData, "scale 0.5"),
        (16, struct.pack("<d", 2.0**120), CorruptData, "scale"),
        (16, struct.pack("<d", float("inf")), CorruptData, "scale inf"),
        (56, b"\x00" * 32, CorruptData, "digest"),
        (88, b"\x11", CorruptData, "parameters"),
        (95, struct.pack("<Q", 2**63), CorruptData, "takes"),
        (95, struct.pack("<2Q", 0, 2**40), CorruptData, "of no array"),
    ],
)
def test_what_a_damaged_header_says(at: int, value: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(patched(BUFFER, at, value))


def test_numbers_that_are_no_residues() -> None:
    with pytest.raises(InvalidCiphertext, match="no residue"):
        load(patched(BUFFER, len(BUFFER) - 11, b"\xff" * 7))
    key = public_key(WIDE).to_bytes()
    with pytest.raises(CorruptData, match="no residue"):
        ckks.PublicKey.from_bytes(patched(key, len(key) - 11, b"\xff" * 7), insecure_allow_weak=True)


def test_insecure_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="128-bit secure"):
        ckks.CkksArray.from_bytes(BUFFER)
    with pytest.raises(ValueError, match="128-bit secure"):
        ckks.PublicKey.from_bytes(public_key(WIDE).to_bytes())


def test_damaged_public_keys() -> None:
    key = public_key(TINY).to_bytes()
    galois = len(key) - 4 - len(public_key(TINY).galois_elements) * (4 + 32 + 4 * 1024 * 29)
    for element in (b"\x02\x00\x00\x00", b"\x01\x00\x00\x00", b"\xff\xff\xff\xff"):
        with pytest.raises(CorruptData, match="Galois key"):
            ckks.PublicKey.from_bytes(patched(key, galois, element), insecure_allow_weak=True)
    with pytest.raises(CorruptData, match="takes"):
        ckks.PublicKey.from_bytes(patched(key, 8, b"\x07\x00\x00\x00"), insecure_allow_weak=True)
    with pytest.raises(CorruptData, match="header"):
        ckks.PublicKey.from_bytes(patched(key, 6, b"\x10"), insecure_allow_weak=True)
    wide = public_key(WIDE).to_bytes()
    with pytest.raises(CorruptData, match="evaluation keys"):
        ckks.PublicKey.from_bytes(patched(wide, 6, b"\x0c"), insecure_allow_weak=True)


def test_foreign_parameters_are_refused_before_anything_is_made_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred bytes could otherwise cost the tables of any parameters: 50 MB, kept for 64 of them."""
    own, foreign = public_key(TINY), public_key(WIDE)
    array, key = foreign.encrypt(numbers(4)).to_bytes(), foreign.to_bytes()
    good = own.encrypt(numbers(4)).to_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("parameters of a sender's choice were made")

    monkeypatch.setattr(ckks.Parameters, "of", refuse)
    with pytest.raises(InvalidCiphertext, match="are expected"):
        own.load(array)
    with pytest.raises(InvalidCiphertext, match="are expected"):
        ckks.PublicKey.from_bytes(key, parameters=own.parameters)
    assert own.load(good).shape == ()
    with pytest.raises(CorruptData, match="digest"):
        own.load(patched(good, 56, bytes(8)))


def test_packed_shapes_too_large_for_an_array_are_damage() -> None:
    """Also of no numbers: whoever decrypts would otherwise get NumPy's error."""
    empty = secret_key(WIDE).encrypt(np.zeros((0, 5, 5)), packed=True).to_bytes()
    at = 88 + len(parameters(WIDE).prefix) + 8
    assert load(patched(empty, at, struct.pack("<3Q", 0, 1 << 20, 7))).packing == (0, 1 << 20, 7)
    with pytest.raises(CorruptData, match="are not packed into"):
        load(patched(empty, at, struct.pack("<3Q", 0, 1 << 30, 1 << 30)))
