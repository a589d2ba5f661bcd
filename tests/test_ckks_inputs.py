# SPDX-License-Identifier: Apache-2.0
"""Bad input to `crypsis.ckks`: a typed error that names it and says what to do."""

from __future__ import annotations

import numpy as np
import pytest

from ckks_cases import SECURE, TINY, TWO_DIGITS, WIDE, numbers, parameters, public_key, secret_key
from crypsis import ckks
from crypsis.errors import CrypsisError, InvalidCiphertext, LevelError, MissingKey, ScaleError


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros(513), ValueError, "513 numbers a row, a ciphertext has 512 slots"),
        (np.zeros((2, 0)), ValueError, "no numbers"),
        ([1.0, float("nan")], ValueError, r"values\[1\] is nan"),
        ([[1.0, 2.0], [float("-inf"), 0.0]], ValueError, r"values\[1, 0\] is -inf"),
        ([1 + 1j * float("inf")], ValueError, r"values\[0\]"),
        ([300.0], ValueError, "beyond parameters.max_value, 256"),
        (["a"], TypeError, "give real or complex numbers"),
        ([object()], TypeError, "give real or complex numbers"),
        (None, TypeError, "give real or complex numbers"),
        ([2**70], TypeError, "give real or complex numbers"),
    ],
)
def test_what_cannot_be_encrypted(values: object, error: type[Exception], message: str) -> None:
    for key in (secret_key(TINY), public_key(TINY)):
        with pytest.raises(error, match=message):
            key.encrypt(values)


def test_options_of_encrypt() -> None:
    secret = secret_key(TINY)
    with pytest.raises(LevelError, match="levels 0 to 3"):
        secret.encrypt([1.0], level=4)
    with pytest.raises(TypeError, match="level is float"):
        secret.encrypt([1.0], level=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="packed is int"):
        secret.encrypt([1.0], packed=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="two a slot"):
        secret.encrypt([1j], packed=True)
    with pytest.raises(ValueError, match=r"beyond magnitude, 0\.5"):
        secret.encrypt([1.0], magnitude=0.5)
    with pytest.raises(ValueError, match=r"values\[1\] is nan"):
        secret.encrypt([1.0, np.nan], packed=True)
    with pytest.raises(InvalidCiphertext, match="not of key"):
        secret.encrypt([1.0], keys=public_key(TINY, 1))


def test_no_level_left() -> None:
    public = public_key(TINY)
    array = public.encrypt(numbers(5), level=0)
    for operation in (
        lambda: array * array,
        lambda: array * 0.5,
        lambda: array * numbers(5),
        array.rescale,
        lambda: public.encrypt(numbers(5)) ** 16,
    ):
        with pytest.raises(
            LevelError, match=r"no level is left: the \w+ (has|have) level 0, scale 2\^40.*depth 3"
        ):
            operation()
    with pytest.raises(LevelError, match=r"have level 0, scale 2\^40.* and level 1, scale 2\^40.*depth 3"):
        array * public.encrypt(numbers(5), level=1)  # as they were given, not as they met
    with pytest.raises(LevelError, match="levels only go down"):
        array.at_level(2)
    with pytest.raises(LevelError, match="levels 0 to 3"):
        array.at_level(7)


def test_scales_that_do_not_match() -> None:
    public = public_key(TINY)
    array = public.encrypt(numbers(5))
    raw = array.multiply(array, rescale=False)
    with pytest.raises(ScaleError, match=r"level 3, scale 2\^80.* and level 3, scale 2\^40"):
        raw + array
    with pytest.raises(ScaleError, match=r"level 3, scale 2\^80.*level 2, scale 2\^40"):
        raw - array.at_level(2)
    with pytest.raises(ScaleError, match="rescale"):
        raw.at_level(1)
    with pytest.raises(ScaleError, match="rescale"):
        array.rescale()
    low = public.encrypt(numbers(5), level=1)
    with pytest.raises(ScaleError, match="needs a modulus"):
        low.multiply(low, rescale=False).multiply(low)
    with pytest.raises(ScaleError, match="encode it at the ciphertext"):
        raw + public.encode(numbers(5))
    with pytest.raises(LevelError, match=r"level 3, scale 2\^40.* and level 1, scale 2\^40.*encode it there"):
        array * public.encode(numbers(5), level=1)
    with pytest.raises(ValueError, match=r"level 2, scale 2\^40.* and level 2, scale.*not relinearised"):
        array.multiply(array, relinearise=False) * array.at_level(2)
    with pytest.raises(ValueError, match="not relinearised"):
        array.multiply(array, relinearise=False).rotate(1)


def test_operands_that_do_not_fit() -> None:
    public = public_key(TINY)
    array = public.encrypt(numbers(3, 5))
    with pytest.raises(ValueError, match="4 numbers a row, the ciphertext 5 slots"):
        array + numbers(4)
    with pytest.raises(ValueError, match="4 numbers a row"):
        array * numbers(4)
    with pytest.raises(ValueError, match="do not broadcast"):
        array + public.encrypt(numbers(2, 5))
    with pytest.raises(ValueError, match="do not broadcast"):
        array * public.encrypt(numbers(2, 5))
    with pytest.raises(ValueError, match="do not broadcast"):
        array * numbers(2, 5)
    with pytest.raises(ValueError, match="is nan"):
        array * float("nan")
    with pytest.raises(ValueError, match="nan"):
        array + np.array([1, 2, np.nan, 4, 5])
    with pytest.raises(ValueError, match="fits"):
        array * 1e30
    with pytest.raises(ValueError, match="fits"):
        array + 1e40
    with pytest.raises(ValueError, match="bits"):
        array * 10**400
    with pytest.raises(TypeError, match="numbers"):
        array * "a"
    with pytest.raises(ValueError, match="0"):
        array / 0
    with pytest.raises(TypeError, match="only numbers divide"):
        array / np.ones(5)
    for exponent in (0, -1, 0.5, True):
        with pytest.raises(ValueError, match="exponent"):
            array**exponent  # type: ignore[operator]
    with pytest.raises(TypeError, match="sum"):
        array[0].sum()
    with pytest.raises(np.exceptions.AxisError):
        array.sum(1)
    with pytest.raises(IndexError, match="slots cannot be indexed"):
        array[0, 1]
    with pytest.raises(ValueError, match="do not make the shape"):
        array.reshape(2, 2)


def test_missing_keys_say_how_to_make_them() -> None:
    secret = secret_key(TINY)
    bare = secret.public_key(relinearise=False)
    array = bare.encrypt(numbers(5))
    with pytest.raises(MissingKey, match=r"secret\.public_key\(relinearise=True\)"):
        array * array
    with pytest.raises(
        MissingKey, match=r"no Galois key for rotations=\(7,\).*secret\.public_key\(rotations=\(7,\)\)"
    ):
        array.rotate(7)
    with pytest.raises(MissingKey, match=r"secret\.public_key\(conjugate=True\)"):
        array.conjugate()
    with pytest.raises(MissingKey, match=r"rotations=\(3,\)"):
        public_key(TINY).encrypt(numbers(5)).rotate_many((1, 3))
    with pytest.raises(MissingKey, match=r"public\.bind\(array\)"):
        secret.encrypt(numbers(5)).rotate(1)
    assert isinstance(MissingKey("x"), CrypsisError)
    with pytest.raises(ValueError, match="special_bits"):
        secret_key(WIDE).public_key(rotations=(1,))
    with pytest.raises(ValueError, match="special_bits"):
        secret_key(WIDE).public_key(relinearise=True)
    with pytest.raises(ValueError, match="rotations"):
        secret.public_key(rotations=(1000,))
    with pytest.raises(TypeError, match="rotations"):
        secret.public_key(rotations=(1.5,))  # type: ignore[arg-type]


def test_keys_of_another_context() -> None:
    mine, other = public_key(TINY), public_key(TINY, 1)
    array = mine.encrypt(numbers(5))
    foreign = other.encrypt(numbers(5))
    both = f"{mine.id[:4].hex()}.*{other.id[:4].hex()}"
    for operation in (lambda: array + foreign, lambda: array * foreign, lambda: ckks.stack([array, foreign])):
        with pytest.raises(InvalidCiphertext, match=both):
            operation()
    with pytest.raises(InvalidCiphertext, match=both):
        secret_key(TINY, 1).decrypt(array)
    with pytest.raises(InvalidCiphertext, match=both):
        other.bind(array)
    with pytest.raises(InvalidCiphertext, match=both):
        other.load(array.to_bytes())
    with pytest.raises(InvalidCiphertext, match="Parameters"):
        secret_key(TWO_DIGITS).decrypt(array)
    with pytest.raises(ValueError, match="Parameters"):
        array * ckks.encode(parameters(SECURE), numbers(5))
    with pytest.raises(TypeError, match="CkksArray"):
        secret_key(TINY).decrypt(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="CkksArray"):
        mine.bind(3)  # type: ignore[arg-type]


def test_what_packed_arrays_do_not_do() -> None:
    public = public_key(TINY)
    array = public.encrypt(numbers(3, 5), packed=True)
    for operation in (
        lambda: array * array,
        lambda: array * numbers(3, 5),
        lambda: array.rotate(1),
        array.conjugate,
        array.sum,
        lambda: array[0],
        lambda: array.reshape(1),
        lambda: array * 1j,
        lambda: array * public.encode(numbers(5)),
        lambda: array + public.encode(numbers(5)),
        lambda: ckks.stack([array, array]),
    ):
        with pytest.raises(TypeError, match="packed"):
            operation()
    with pytest.raises(ValueError, match=r"packed as \(3, 5\) and \(15,\)"):
        array + public.encrypt(numbers(15), packed=True)
    with pytest.raises(ValueError, match="shape"):
        array + numbers(4)
    with pytest.raises(ValueError, match="packed"):
        secret_key(TINY).decrypt(array, complex=True)


def test_ciphertexts_are_no_numbers() -> None:
    array = public_key(TINY).encrypt(numbers(3, 5))
    for operation in (bool, int, float, complex, np.asarray, hash, lambda a: a == a, lambda a: a < 3):
        with pytest.raises(TypeError):
            operation(array)
    with pytest.raises(AttributeError, match="immutable"):
        array.level = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        len(array[0])
    with pytest.raises(TypeError):
        iter(array[0])
    with pytest.raises(ValueError, match="length"):
        array.with_length(513)
    with pytest.raises(ValueError, match="empty"):
        array.rotate_many(())
    with pytest.raises(ValueError, match="shift"):
        array.rotate(10**6)
