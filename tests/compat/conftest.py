# SPDX-License-Identifier: Apache-2.0
"""The real python-paillier as the peer (skipped where it is missing), and the same keys on both sides.

The peer runs as a black box: only its results, types and exceptions are looked at.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import crypsis.compat.phe as ours

KEY_BITS = 512  # python-paillier takes 20 ms for an operation on a key of 2048 bits


@pytest.fixture(autouse=True)
def _small_keys() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ours.InsecureKeyWarning)
        yield


@pytest.fixture(scope="session")
def real() -> ModuleType:
    """python-paillier itself."""
    try:
        return importlib.import_module("phe")
    except ImportError:
        pytest.skip("needs python-paillier as the peer: pip install phe")


def side(module: ModuleType, p: int, q: int) -> SimpleNamespace:
    """A module with a key pair."""
    public = module.PaillierPublicKey(p * q)
    return SimpleNamespace(phe=module, public=public, private=module.PaillierPrivateKey(public, p, q))


@pytest.fixture(scope="session")
def primes() -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ours.InsecureKeyWarning)
        _, private = ours.generate_paillier_keypair(n_length=KEY_BITS)
    return private.p, private.q


@pytest.fixture(scope="session")
def our_side(primes: tuple[int, int]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ours.InsecureKeyWarning)
        return side(ours, *primes)


@pytest.fixture(scope="session")
def their_side(real: ModuleType, primes: tuple[int, int]) -> Any:
    return side(real, *primes)


@pytest.fixture(scope="session")
def context() -> Any:
    """A private context of crypsis.compat.tenseal with room for two products, as most programs have."""
    import crypsis.compat.tenseal as ts

    made = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
    made.global_scale = 2**40
    made.generate_galois_keys()
    return made
