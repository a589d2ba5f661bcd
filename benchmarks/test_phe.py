# SPDX-License-Identifier: Apache-2.0
"""`crypsis.compat.phe` beside python-paillier (`phe`): the same lines of one-number-at-a-time code, on one core.

The peer does fewer items, as it is slow, and times itself. Every loop asks for the results, so nothing waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import crypsis.compat.phe as ours
from benchmarks.rows import Rate

pytestmark = pytest.mark.usefixtures("one_core")
KEY_BITS = [2048, 3072] if os.environ.get("CRYPSIS_BENCH_SCALE") == "full" else [2048]
RNG = np.random.default_rng(20261122)
COUNT = 512


FLOATS = RNG.normal(size=COUNT).tolist()
INTEGERS = RNG.integers(-(2**30), 2**30, COUNT).tolist()


@pytest.fixture(scope="module", params=KEY_BITS)
def sides(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """Our side with the key's h, ours with n alone, python-paillier's: the same keys and ciphertexts."""
    real = pytest.importorskip("phe", reason="the peer python-paillier is not installed: pip install phe")
    public, private = ours.generate_paillier_keypair(n_length=request.param)
    made = [
        [(x.ciphertext(), x.exponent) for x in public.encrypt_array(values)] for values in (FLOATS, INTEGERS)
    ]

    def side(module: Any, key: Any) -> SimpleNamespace:
        floats, integers = ([module.EncryptedNumber(key, *x) for x in numbers] for numbers in made)
        opener = module.PaillierPrivateKey(key, private.p, private.q)
        return SimpleNamespace(
            phe=module, public=key, private=opener, encrypted=floats, encrypted_integers=integers
        )

    return (
        side(ours, public),
        side(ours, ours.PaillierPublicKey(public.n)),
        side(real, real.PaillierPublicKey(public.n)),
    )


def encrypt(side: Any, count: int) -> list[Any]:
    return [side.public.encrypt(x) for x in FLOATS[:count]]


def decrypt(side: Any, count: int) -> list[float]:
    return [side.private.decrypt(x) for x in side.encrypted[:count]]


def add(side: Any, count: int) -> list[Any]:
    a = side.encrypted_integers[:count]
    return [x + y for x, y in zip(a, reversed(a), strict=True)]


def add_one_by_one(side: Any, count: int) -> list[int]:
    a = side.encrypted_integers[:count]
    return [(x + y).ciphertext(be_secure=False) for x, y in zip(a, reversed(a), strict=True)]


def total(side: Any, count: int) -> list[Any]:
    return [sum(side.encrypted[:count])]


def add_float(side: Any, count: int) -> list[Any]:
    return [x + 1.5 for x in side.encrypted[:count]]


def multiply_float(side: Any, count: int) -> list[Any]:
    return [x * y for x, y in zip(side.encrypted[:count], FLOATS, strict=False)]


def multiply_negative(side: Any, count: int) -> list[Any]:
    return [x * -3 for x in side.encrypted_integers[:count]]


def obfuscate(side: Any, count: int) -> list[int]:
    return [(x + 1).ciphertext() for x in side.encrypted_integers[:count]]


def matrix(side: Any, count: int) -> list[Any]:
    weights = np.random.default_rng(3).integers(0, 2**20, (count // 64, 64)).astype(object)
    return list(weights @ np.array(side.encrypted_integers[:64]))


CASES: dict[str, tuple[Callable[[Any, int], list[Any]], int, int]] = {  # items of ours, of the peer
    "encrypt": (encrypt, COUNT, 4),
    "decrypt": (decrypt, 128, 16),
    "add": (add, COUNT, 64),
    "add, each looked at": (add_one_by_one, 64, 64),
    "sum of floats": (total, COUNT, 64),
    "add a float": (add_float, COUNT, 64),
    "multiply by a float": (multiply_float, COUNT, 32),
    "multiply by -3": (multiply_negative, COUNT, 64),
    "blind a result": (obfuscate, COUNT, 4),
    "matrix of 20 bits times vector": (matrix, 30 * 64, 2 * 64),
}


def looked_at(side: Any, results: list[Any]) -> list[Any]:
    """The results, computed: one question settles all of ours, and costs the peer nothing."""
    if isinstance(results[0], side.phe.EncryptedNumber):
        results[0].ciphertext(be_secure=False)
    return results


def opened(side: Any, results: list[Any]) -> list[Any]:
    """What the first results are, for the check: decrypted where they are encrypted."""
    some = results[:2]
    if isinstance(some[0], side.phe.EncryptedNumber):
        return [side.private.decrypt(x) for x in some]
    if isinstance(some[0], int):
        return [side.private.raw_decrypt(x) for x in some]
    return some


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key", ["our key", "bare n"])
def test_one_number_at_a_time(compare: Any, sides: tuple[Any, Any, Any], case: str, key: str) -> None:
    if key == "bare n" and case not in ("encrypt", "blind a result"):
        pytest.skip("the same with every key")
    call, count, peer_count = CASES[case]
    mine, theirs = sides[0] if key == "our key" else sides[1], sides[2]

    def peer() -> Rate:
        start = time.perf_counter()
        results = looked_at(theirs, call(theirs, peer_count))
        seconds = time.perf_counter() - start
        if case not in ("sum of floats", "add", "add, each looked at"):  # these depend on how many there are
            assert opened(theirs, results) == opened(mine, call(mine, count))
        return Rate(peer_count / seconds)

    def check(results: list[Any], _: Any) -> None:
        assert opened(mine, results) == opened(mine, call(mine, count))

    compare(
        f"phe/{case}/{key}/{theirs.public.n.bit_length()} bits",
        lambda: looked_at(mine, call(mine, count)),
        items=count,
        unit="numbers",
        check=check,
        peers={"phe": peer},
        extra={"threads": 1, "items of phe": peer_count},
    )
