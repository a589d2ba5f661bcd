# SPDX-License-Identifier: Apache-2.0
"""bgv: bad arguments are refused with a message that says what to give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bgv_cases import SMALL, TINY, values
from crypsis import bgv
from crypsis.errors import InvalidCiphertext

RNG = np.random.default_rng(9)
SECRET = bgv.SecretKey.generate(TINY)
CIPHERTEXTS = SECRET.encrypt(values(RNG, TINY, 2, 16))
PLAINS = bgv.plain(np.ones((3, 2, 16), np.int16), TINY)
PRODUCTS = bgv.matmul(PLAINS, CIPHERTEXTS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (13, (43,) * 6, 128),
            ValueError,
            "258 bits together: for log_n = 13, at most 218 are 128-bit secure",
        ),
        ((9, (43,), 8), ValueError, "no modulus is secure"),
        ((13, (43,) * 5, 129), ValueError, "plain_bits is 129: give 1 to 128"),
        ((13, (51,) * 4, 128), ValueError, r"moduli_bits\[0\] is 51: give 21 to 50"),
        ((13, (43,) * 4, 128), ValueError, "to hide a product takes .* more at least"),
        ((13, (), 128), ValueError, "give a tuple of 1 to 16 sizes"),
        ((13, 43, 128), ValueError, "give a tuple of 1 to 16 sizes"),
        ((17, (43,) * 5, 128), ValueError, "log_n is 17"),
        (("13", (43,) * 5, 128), TypeError, "log_n is str"),
    ],
)
def test_parameters(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bgv.Parameters(*arguments)


def test_parameters_do_not_change() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        TINY.n = 3  # type: ignore[misc]
    assert repr(bgv.RING128) == "Parameters(13, (43, 43, 43, 43, 43), 128)"
    assert len({TINY, bgv.Parameters(4, (43,) * 5, 128, insecure_allow_weak=True)}) == 1


@pytest.mark.parametrize("give", [[1, 2], np.zeros((1, 16, 2)), np.zeros((1, 16, 2), np.int64)])
def test_values_of_other_types(give: Any) -> None:
    with pytest.raises(TypeError, match="values is"):
        SECRET.encrypt(give)


@pytest.mark.parametrize("shape", [(16, 2), (1, 16), (1, 16, 1), (1, 16, 3), (1, 17, 2)])
def test_values_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="values has shape"):
        SECRET.encrypt(np.zeros(shape, np.uint64))


def test_constants() -> None:
    with pytest.raises(TypeError, match="values is list"):
        SECRET.encrypt_constants([1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="values has shape"):
        SECRET.encrypt_constants(np.zeros(3, np.uint64))


@pytest.mark.parametrize("give", [[1], np.zeros((1, 16)), np.zeros((1, 16), np.uint16)])
def test_plains_of_other_types(give: Any) -> None:
    with pytest.raises(TypeError, match="values is"):
        bgv.plain(give, TINY)


@pytest.mark.parametrize("shape", [(), (17,), (2, 0)])
def test_plains_of_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="values has shape"):
        bgv.plain(np.zeros(shape, np.int8), TINY)
    with pytest.raises(TypeError, match="parameters is"):
        bgv.plain(np.zeros(16, np.int8), 4)  # type: ignore[arg-type]


def test_products() -> None:
    with pytest.raises(ValueError, match=r"plains have shape \(3, 1\), there are 2 ciphertexts"):
        bgv.matmul(PLAINS[:, :1], CIPHERTEXTS)
    with pytest.raises(ValueError, match=r"plains have shape \(2,\)"):
        bgv.matmul(PLAINS[0], CIPHERTEXTS)
    with pytest.raises(ValueError, match=r"give \[k\], or call matmul"):
        bgv.multiply_sum(PLAINS, CIPHERTEXTS)
    with pytest.raises(IndexError, match="3 indices"):
        PLAINS[0, 0, 0]
    with pytest.raises(ValueError, match="only a matrix"):
        PLAINS[0].transposed()
    with pytest.raises(TypeError, match="plains is"):
        bgv.matmul(np.ones((3, 2, 16), np.int16), CIPHERTEXTS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ciphertexts is"):
        bgv.matmul(PLAINS, PRODUCTS)  # type: ignore[arg-type]
    with pytest.raises(InvalidCiphertext, match="of the same parameters"):
        bgv.matmul(bgv.plain(np.ones((3, 2, 16), np.int16), SMALL), CIPHERTEXTS)
    with pytest.raises(InvalidCiphertext, match="add as many of the same key"):
        PRODUCTS + bgv.matmul(PLAINS[:2], CIPHERTEXTS)
    with pytest.raises(TypeError):
        PRODUCTS + 1  # type: ignore[operator]


def test_hiding() -> None:
    masks, bits, key = values(RNG, TINY, 3, 16), TINY.max_noise_bits, SECRET.public_key
    with pytest.raises(ValueError, match=r"masks has shape \(2, 16, 2\): give uint64\[3, 16, 2\]"):
        bgv.hide(PRODUCTS, key, masks[:2], bits)
    with pytest.raises(ValueError, match="masks has shape"):
        bgv.hide(PRODUCTS, key, masks[..., 0], bits)
    with pytest.raises(TypeError, match="masks is an array of int64"):
        bgv.hide(PRODUCTS, key, masks.astype(np.int64), bits)
    with pytest.raises(TypeError, match="products is Ciphertexts"):
        bgv.hide(CIPHERTEXTS, key, masks, bits)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="public_key is SecretKey"):
        bgv.hide(PRODUCTS, SECRET, masks, bits)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="noise_bits is float"):
        bgv.hide(PRODUCTS, key, masks, 70.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coefficients is list"):
        bgv.hide(PRODUCTS, key, masks, bits, coefficients=[0])  # type: ignore[arg-type]
    for wrong in (range(0), range(17), range(3, -1, -1), range(-1, 3), range(0, 32, 16)):
        with pytest.raises(ValueError, match="coefficients is range"):
            bgv.hide(PRODUCTS, key, masks, bits, coefficients=wrong)
