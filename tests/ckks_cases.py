# SPDX-License-Identifier: Apache-2.0
"""Parameters and keys that the tests of `crypsis.ckks` share: small, most of them insecure."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import aes, ckks
from crypsis._ckks.coins import Coins
from crypsis._ckks.noise import SIGMAS

TINY = ckks.Literal(10, (50, 40, 40, 40), (50,), 40)
"""Depth 3, a digit a modulus."""
TWO_DIGITS = ckks.Literal(10, (50, 40, 40, 40), (50, 50), 40, dnum=2)
THREE_MODULI = ckks.Literal(10, (50, 40, 40), (50, 50), 40, dnum=2)
"""The last digit has fewer moduli."""
WIDE = ckks.Literal(10, (55, 54), (), 85)
"""A base of two moduli."""
SECURE = ckks.Literal(12, (39, 30), (39,), 30)
"""The smallest that is secure and has a level."""
SWITCHING = (TINY, TWO_DIGITS, THREE_MODULI)
DOUBLES = 2.0**-48
"""Of the largest number: the error of transforms in doubles, where scales are beyond theirs."""
SHIFTS = (1, 2, 5, -1, 100)


@cache
def parameters(literal: ckks.Literal) -> ckks.Parameters:
    return ckks.Parameters.of(literal, insecure_allow_weak=True)


@cache
def secret_key(literal: ckks.Literal, number: int = 0) -> ckks.SecretKey:
    return ckks.SecretKey(parameters(literal), bytes([number]) * 32)


@cache
def public_key(literal: ckks.Literal, number: int = 0) -> ckks.PublicKey:
    secret = secret_key(literal, number)
    if not secret.parameters.special:
        return secret.public_key()
    return secret.public_key(relinearise=True, rotations=SHIFTS, conjugate=True)


def coins(number: int) -> Coins:
    """The same ones every time."""
    return Coins(aes.Generator.from_seed(bytes([number]) * 32))


def numbers(*shape: int, seed: int = 0, complex: bool = False) -> npt.NDArray[Any]:
    """Uniform in [-1, 1], or in the unit square's disc."""
    random = np.random.default_rng(seed)
    values = random.uniform(-1, 1, shape)
    return (values + 1j * random.uniform(-1, 1, shape)) / np.sqrt(2) if complex else values


def check(secret: ckks.SecretKey, array: ckks.CkksArray, expected: Any) -> None:
    """The decryption is within the bound of the array's own estimate."""
    expected = np.asarray(expected)
    found = secret.decrypt(array, complex=np.iscomplexobj(expected))
    assert found.shape == expected.shape
    assert array.estimate is not None
    error = np.abs(found - expected).max(initial=0.0)
    doubles = DOUBLES * np.abs(expected).max(initial=1.0)
    assert error <= SIGMAS * array.estimate.error + doubles, (error, array.estimate)
