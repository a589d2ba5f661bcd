# SPDX-License-Identifier: Apache-2.0
"""What leaves a process with CKKS: no transparent ciphertexts, no maxima of secret factors; nothing of a sender's
choice comes in; whole keys are told apart; rotated values stay where they are said to be."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ckks_cases import TINY, WIDE, coins, numbers, parameters, public_key, secret_key
from crypsis import ckks
from crypsis._ckks import serial, sharing
from crypsis.errors import CorruptData, InvalidCiphertext

SECURE = ckks.Literal(12, (39, 30), (39,), 30)
"""Secure, and no preset."""


# Transparent ciphertexts.

TRANSPARENT: dict[str, Callable[[ckks.CkksArray], ckks.CkksArray]] = {
    "times 0": lambda c: c * 0,
    "times 0.0": lambda c: c * 0.0,
    "times a vector of zeros": lambda c: c * np.zeros(5),
    "less itself": lambda c: c - c,
    "times 0, and numbers": lambda c: c * 0 + 0.25,
    "times 0, rescaled": lambda c: (c * 0).at_level(1),
    "one row of three": lambda c: ckks.stack([c, c - c, c]),
    "a product, unrelinearised": lambda c: (c * 0).multiply(c, relinearise=False),
    "times a prime, and numbers": lambda c: c * c.parameters.moduli.primes[1] + 0.25,
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_ciphertexts_do_not_leave(name: str) -> None:
    array = TRANSPARENT[name](public_key(TINY).encrypt(np.full(5, 0.5), magnitude=1))
    with pytest.raises(ValueError, match=r"is transparent: .* public\.rerandomise\(array\) makes"):
        array.to_bytes()
    with pytest.raises(ValueError, match="transparent"):
        pickle.dumps(array)
    with pytest.raises(ValueError, match="transparent"):
        serial.array_to_bytes(array)


@pytest.mark.parametrize("name", [name for name in TRANSPARENT if "prime" not in name])
def test_rerandomised_ciphertexts_leave(name: str) -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    array = TRANSPARENT[name](public.encrypt(np.full(5, 0.5), magnitude=1))
    if array.size_of == 3:
        with pytest.raises(ValueError, match=r"relinearise\(\) it first"):
            public.rerandomise(array)
        array = array.relinearise()
    fresh = public.rerandomise(array)
    assert np.abs(secret.decrypt(fresh) - secret.decrypt(array)).max() < 2.0**-15
    loaded = public.load(fresh.to_bytes())
    assert np.array_equal(loaded.data, fresh.data)
    assert (loaded.level, loaded.scale, loaded.shape) == (array.level, array.scale, array.shape)
    assert np.abs(fresh.data[..., 1, :, :].astype(np.float64).std(axis=-1)).min() > 2.0**30
    assert fresh.estimate is not None
    assert array.estimate is not None
    assert fresh.estimate.error > array.estimate.error
    assert fresh.estimate.magnitude == array.estimate.magnitude


def test_rerandomised_arrays_of_any_kind() -> None:
    secret, public = secret_key(WIDE), public_key(WIDE)
    packed = public.encrypt(numbers(3, 700), packed=True, magnitude=1)
    again = public.rerandomise(packed)
    assert np.abs(secret.decrypt(again) - numbers(3, 700)).max() < 2.0**-40
    assert not (again.data == packed.data).any(axis=-1).all()
    symmetric = secret.encrypt(numbers(3, 7), magnitude=1)
    assert np.abs(secret.decrypt(public.rerandomise(symmetric)) - numbers(3, 7)).max() < 2.0**-40
    assert public.rerandomise(symmetric).seeded is None
    with pytest.raises(InvalidCiphertext, match="use the key they were made"):
        public_key(TINY).rerandomise(packed)
    with pytest.raises(TypeError, match="give a CkksArray"):
        public.rerandomise(3)  # type: ignore[arg-type]


def test_other_ciphertexts_leave() -> None:
    """Also a second half that happens to begin with zeros, and arrays of none."""
    public = public_key(TINY)
    array = public.encrypt(np.ones((2, 3)), magnitude=1)
    data = array.data.copy()
    data[:, 1, :, :8] = 0
    array.replaced(data).to_bytes()
    public.encrypt(np.zeros((0, 3))).to_bytes()
    secret_key(TINY).encrypt([0.0]).to_bytes()


# What estimates say of factors.


def test_magnitude_of_a_factor() -> None:
    """With one, the estimate is the same for all numbers below it; without, it tells the largest."""
    public = public_key(TINY)
    array = public.encrypt(numbers(8), magnitude=1)
    small, large = np.full(8, 0.001), np.full(8, 0.9)

    def seen(values: Any, magnitude: float | None) -> tuple[float, float]:
        estimate = (array * public.encode(values, magnitude=magnitude)).estimate
        assert estimate is not None
        return estimate.error, estimate.magnitude

    assert seen(small, 1) == seen(large, 1)
    assert seen(small, None) != seen(large, None)
    assert seen(large, None)[0] < seen(large, 1)[0]
    plain = public.encode(small, magnitude=1)
    assert (plain.magnitude, plain.at(1).magnitude) == (1, 1)
    total = (array + public.encode(small, magnitude=1, scale=array.scale)).estimate
    assert total is not None
    assert total.magnitude == 2
    with pytest.raises(ValueError, match=r"values go up to 0\.9, beyond magnitude, 0\.5"):
        public.encode(large, magnitude=0.5)
    with pytest.raises(ValueError, match="beyond magnitude, nan"):
        ckks.encode(parameters(TINY), large, magnitude=float("nan"))
    with pytest.raises(ValueError, match=r"values go up to 1e\+30: with scale"):
        public.encode(large, level=0, magnitude=1e30)


def test_noise_of_a_shared_result_says_nothing_of_the_factor() -> None:
    own = parameters(WIDE)
    one = ckks.Estimate.fresh(own, magnitude=1)
    array = public_key(WIDE).encrypt(numbers(4), magnitude=1)
    bits = [
        sharing.flood_bits(array + public_key(WIDE).encode(np.full(4, x), magnitude=1), None, 1024)
        for x in (0.001, 0.9)
    ]
    assert bits[0] == bits[1] == sharing.flood_bits(array, one.plus_plain(1), 1024)


# Buffers of a sender's choice.


def test_only_presets_or_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ckks.Parameters.of(SECURE)
    public = ckks.SecretKey(own, bytes(32)).public_key()
    array, key = public.encrypt([1.0]).to_bytes(), public.to_bytes()
    made: list[ckks.Literal] = []
    original = ckks.Parameters.of.__func__  # type: ignore[attr-defined]

    def of(cls: Any, literal: Any, **options: Any) -> Any:
        made.append(literal)
        return original(cls, literal, **options)

    monkeypatch.setattr(ckks.Parameters, "of", classmethod(of))
    for load, buffer in ((ckks.CkksArray.from_bytes, array), (ckks.PublicKey.from_bytes, key)):
        with pytest.raises(InvalidCiphertext, match=r"no preset: give parameters=, those that you expect"):
            load(buffer)
        assert made == []
        assert load(buffer, parameters=own).parameters == own
    monkeypatch.undo()
    assert pickle.loads(pickle.dumps(public)) == public
    assert pickle.loads(pickle.dumps(public.encrypt([1.0]))).parameters == own
    preset = ckks.SecretKey(ckks.Parameters.of(ckks.AGGREGATE), bytes(32)).public_key()
    assert ckks.PublicKey.from_bytes(preset.to_bytes()) == preset
    assert ckks.CkksArray.from_bytes(preset.encrypt([1.0]).to_bytes()).key_id == preset.id


def test_presets_are_all() -> None:
    named = {
        value for name, value in vars(ckks).items() if name.isupper() and isinstance(value, ckks.Literal)
    }
    assert named == set(serial.PRESETS)


def test_secret_keys_of_any_parameters_are_loaded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis._homomorphic import key_files

    monkeypatch.setattr(key_files, "SCRYPT_LOG_N", 4)
    secret = ckks.SecretKey(ckks.Parameters.of(SECURE), bytes(32))
    secret.save(tmp_path / "key", "a passphrase")
    assert ckks.SecretKey.load(tmp_path / "key", "a passphrase").id == secret.id


def _flag(buffer: bytes) -> bytes:
    """With the flag for insecure parameters turned, and a right checksum."""
    data = bytearray(buffer)
    data[6] ^= serial.INSECURE
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(data[:-4]))


@pytest.mark.parametrize("literal", [TINY, ckks.AGGREGATE])
def test_flag_of_insecure_parameters_is_compared(literal: ckks.Literal) -> None:
    secret = ckks.SecretKey(ckks.Parameters.of(literal, insecure_allow_weak=True), bytes(32))
    public = secret.public_key()
    for loads, buffer in (
        (ckks.CkksArray.from_bytes, public.encrypt([1.0]).to_bytes()),
        (ckks.CkksArray.from_bytes, secret.encrypt([1.0]).to_bytes()),
        (ckks.PublicKey.from_bytes, public.to_bytes()),
    ):
        loads(buffer, insecure_allow_weak=True)
        for options in ({"insecure_allow_weak": True}, {"parameters": secret.parameters}):
            with pytest.raises(CorruptData, match=r"is damaged \(insecure or not\?\)"):
                loads(_flag(buffer), **options)


# Whole keys.


def test_keys_with_other_evaluation_keys_are_others() -> None:
    secret = secret_key(TINY)
    one = secret.public_key(rotations=(1,), coins=coins(1))
    other = secret.public_key(rotations=(1,), coins=coins(2))
    more = secret.public_key(rotations=(1, 2), coins=coins(1))
    without = one.with_only(relinearise=False, galois=True)
    keys = [one, other, more, without, one.with_only(relinearise=True, galois=False)]
    assert len({key.id for key in keys}) == 1
    assert len({key.fingerprint for key in keys}) == len(keys)
    assert len(set(keys)) == len(keys)
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])
    again = ckks.PublicKey.from_bytes(one.to_bytes(), parameters=one.parameters)
    assert (again, again.fingerprint, hash(again)) == (one, one.fingerprint, hash(one))
    one.encrypt([0.5]).with_keys(one).rotate(1)  # expands the key
    assert (again, again.fingerprint) == (one, one.fingerprint)
    assert one != secret_key(TINY, 1).public_key()
    assert one != "a key"


# Rotations of short arrays.


def test_rotation_of_a_short_array() -> None:
    """Around all slots, not around `length`: values that leave the slots in use lie past them, and come back."""
    secret, public = secret_key(TINY), public_key(TINY)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    array = public.encrypt(x, magnitude=4)
    turned = array.rotate(1)
    assert turned.length == 4
    assert np.abs(secret.decrypt(turned) - [2, 3, 4, 0]).max() < 2.0**-15
    whole = secret.decrypt(turned.with_length(turned.n_slots))
    assert abs(whole[-1] - 1) < 2.0**-15  # the first one, at the end of all slots
    assert np.abs(whole[4:-1]).max() < 2.0**-15
    assert np.abs(secret.decrypt(turned.rotate(-1)) - x).max() < 2.0**-15
    # A product with ones keeps the slots in use only.
    kept = (turned * np.ones(4)).rotate(-1)
    assert np.abs(secret.decrypt(kept) - [0, 2, 3, 4]).max() < 2.0**-15
