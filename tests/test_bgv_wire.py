# SPDX-License-Identifier: Apache-2.0
"""bgv: buffers of keys and ciphertexts, and those that are damaged, of others, or made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgv_cases import ODD, SMALL, TINY, values
from crypsis import bgv
from crypsis._bgv import serial
from crypsis.errors import CorruptData, InvalidCiphertext
from reference import bgv as reference

RNG = np.random.default_rng(5)
SECRET = bgv.SecretKey.generate(SMALL)
PUBLIC = SECRET.public_key
CIPHERTEXTS = SECRET.encrypt(values(RNG, SMALL, 3, SMALL.n))
PRODUCTS = bgv.matmul(bgv.plain(np.ones((2, 3, SMALL.n), np.int8), SMALL), CIPHERTEXTS)
PLACES = range(0, 64, 16)
HIDDEN = bgv.hide(PRODUCTS, PUBLIC, values(RNG, SMALL, 2, 4), SMALL.max_noise_bits, coefficients=PLACES)
HEAD = 80

KINDS: dict[str, tuple[bytes, Callable[[Any], Any], int]] = {
    "key": (PUBLIC.to_bytes(), lambda data: bgv.PublicKey.from_bytes(data, SMALL), HEAD + 32),
    "ciphertexts": (
        CIPHERTEXTS.to_bytes(),
        lambda data: bgv.Ciphertexts.from_bytes(data, PUBLIC, 3),
        HEAD + 32,
    ),
    "hidden": (
        HIDDEN.to_bytes(),
        lambda data: bgv.Hidden.from_bytes(data, SECRET, 2, coefficients=PLACES),
        HEAD + 12,
    ),
}
each_kind = pytest.mark.parametrize(("data", "read", "start"), KINDS.values(), ids=KINDS.keys())


def test_round_trips() -> None:
    assert bgv.PublicKey.from_bytes(PUBLIC.to_bytes(), SMALL) == PUBLIC
    found = bgv.Ciphertexts.from_bytes(bytearray(CIPHERTEXTS.to_bytes()), SECRET, 3)
    assert np.array_equal(found.first, CIPHERTEXTS.first)
    assert np.array_equal(found.second, CIPHERTEXTS.second)
    hidden = bgv.Hidden.from_bytes(memoryview(HIDDEN.to_bytes()), PUBLIC, 2, coefficients=PLACES)
    assert np.array_equal(hidden.first, HIDDEN.first)
    assert np.array_equal(hidden.second, HIDDEN.second)
    assert np.array_equal(SECRET.decrypt(hidden), SECRET.decrypt(HIDDEN))
    assert found.to_bytes() == CIPHERTEXTS.to_bytes()
    assert hidden.to_bytes() == HIDDEN.to_bytes()


def test_residues_take_their_bits() -> None:
    bits = sum(SMALL.moduli_bits)
    assert len(CIPHERTEXTS.to_bytes()) == HEAD + 32 + 3 * 64 * bits // 8
    assert len(HIDDEN.to_bytes()) == HEAD + 12 + 2 * 64 * bits // 8 + 64 * bits // 8  # 8 numbers fill up 64
    preset = 8192 * 215 // 8
    assert serial.packed_bytes(2, 8192, bgv.RING128) == 2 * preset


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_packing_against_the_reference(data: st.DataObject) -> None:
    parameters = data.draw(st.sampled_from([TINY, SMALL, ODD]))
    polynomials, n = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    primes = parameters.basis.primes
    residues = np.stack([rng.integers(0, p, (polynomials, n), np.uint64) for p in primes], axis=1)
    if data.draw(st.booleans()):
        residues[:] = np.array(primes, np.uint64)[:, None] - np.uint64(1)
    whole = bytes(serial.packed(residues, parameters))
    assert whole == b"".join(
        reference.packed(residues[:, i].reshape(-1).tolist(), prime.bit_length())
        for i, prime in enumerate(primes)
    )
    assert len(whole) == serial.packed_bytes(polynomials, n, parameters)
    assert np.array_equal(serial.unpacked(memoryview(whole), polynomials, n, parameters), residues)


@each_kind
def test_other_lengths_are_refused(data: bytes, read: Callable[[Any], Any], start: int) -> None:
    for wrong in (b"", data[:40], data[:HEAD], data[: start + 3], data[:-1], data + b"\0", data[:-8]):
        with pytest.raises(CorruptData, match=r"too short|take \d+ bytes"):
            read(wrong)


@each_kind
def test_headers_are_checked(data: bytes, read: Callable[[Any], Any], start: int) -> None:
    def changed(at: int, byte: int) -> bytes:
        return data[:at] + bytes([byte]) + data[at + 1 :]

    for wrong, message in (
        (changed(0, 0), "does not hold"),
        (changed(6, 9), "does not hold"),
        (changed(7, 1), "does not hold"),
        (changed(4, 2), "version 2, this crypsis reads 1"),
        (changed(8, 77), "are expected"),
    ):
        with pytest.raises(CorruptData, match=message):
            read(wrong)
    with pytest.raises(InvalidCiphertext, match="other parameters"):
        read(changed(20, data[20] ^ 1))
    with pytest.raises(InvalidCiphertext, match="of key"):
        read(changed(50, data[50] ^ 1))
    for other, (foreign, _, _) in KINDS.items():
        if foreign is not data:
            with pytest.raises(CorruptData, match="does not hold"):
                read(KINDS[other][0])


@each_kind
def test_numbers_that_are_no_residues_are_refused(
    data: bytes, read: Callable[[Any], Any], start: int
) -> None:
    wrong = data[:start] + b"\xff" * 8 + data[start + 8 :]
    with pytest.raises(InvalidCiphertext, match="no residue of its prime"):
        read(wrong)
    with pytest.raises(InvalidCiphertext, match="no residue of its prime"):
        read(data[:-8] + b"\xff" * 8)


def test_bits_that_fill_up_are_zero() -> None:
    data = HIDDEN.to_bytes()
    end = HEAD + 12 + 50 * 8  # of the first halves mod the first prime: 8 numbers, 56 of filling
    with pytest.raises(CorruptData, match="that should be 0"):
        bgv.Hidden.from_bytes(data[: end - 1] + b"\1" + data[end:], SECRET, 2, coefficients=PLACES)


def test_what_is_expected_counts() -> None:
    with pytest.raises(CorruptData, match="holds 3 ciphertexts, 4 are expected"):
        bgv.Ciphertexts.from_bytes(CIPHERTEXTS.to_bytes(), PUBLIC, 4)
    other = bgv.SecretKey.generate(SMALL)
    with pytest.raises(InvalidCiphertext, match="use the key"):
        bgv.Ciphertexts.from_bytes(CIPHERTEXTS.to_bytes(), other, 3)
    with pytest.raises(InvalidCiphertext, match="in steps of 16"):
        bgv.Hidden.from_bytes(HIDDEN.to_bytes(), SECRET, 2, coefficients=range(1, 64, 16))
    with pytest.raises(CorruptData, match=r"take \d+ bytes"):
        bgv.Hidden.from_bytes(HIDDEN.to_bytes(), SECRET, 2)
    with pytest.raises(InvalidCiphertext, match="other parameters"):
        bgv.PublicKey.from_bytes(PUBLIC.to_bytes(), TINY)
    with pytest.raises(InvalidCiphertext, match="other parameters"):
        bgv.PublicKey.from_bytes(PUBLIC.to_bytes())


def test_seeds_are_fresh() -> None:
    message = values(RNG, SMALL, 20, 4)
    found = [SECRET.encrypt(message) for _ in range(3)]
    masks = {row.tobytes() for one in found for row in one.second}
    assert len(masks) == 60
    assert len({one.seed for one in found}) == 3
    bodies = {row.tobytes() for one in found for row in one.first}
    assert len(bodies) == 60


def test_nothing_pickles() -> None:
    for thing in (SECRET, PUBLIC, CIPHERTEXTS, HIDDEN):
        with pytest.raises(TypeError, match="cannot be pickled"):
            thing.__reduce__()
    assert repr(SECRET) == f"SecretKey(of {SECRET.id[:4].hex()}, {SMALL!r})"
