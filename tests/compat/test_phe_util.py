# SPDX-License-Identifier: Apache-2.0
"""The helpers of `phe.util`: the same answers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crypsis.compat.phe as ours
from crypsis.compat.phe import util

wide = st.one_of(st.integers(-50, 50), st.integers(-(2**80), 2**80), st.integers(0, 2**4100))
positive = st.one_of(st.integers(1, 50), st.integers(1, 2**80), st.integers(1, 2**4100))


def outcome(call: Any, arguments: tuple[int, ...]) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        return type(error).__name__


@given(wide, wide, positive)
@settings(max_examples=150)
def test_modular_arithmetic(real: Any, a: int, b: int, c: int) -> None:
    exponent = b % 2**200 if b >= 0 else -(-b % 2**64)
    for name, arguments in (
        ("powmod", (abs(a), exponent, c)),
        ("mulmod", (a, b, c)),
        ("invert", (a, c)),
        ("isqrt", (abs(a),)),
        ("is_prime", (abs(a) % 2**200,)),
        ("extended_euclidean_algorithm", (abs(a) % 2**300, abs(b) % 2**300)),
    ):
        mine, theirs = (outcome(getattr(module, name), arguments) for module in (util, real.util))
        assert mine == theirs, name
        assert type(mine) is type(theirs), name


@given(st.integers(1, 2**600))
def test_base64(real: Any, number: int) -> None:
    text = real.util.int_to_base64(number)
    assert util.int_to_base64(number) == text
    assert util.base64_to_int(text) == real.util.base64_to_int(text) == number
    assert util.base64_to_int(text + "=" * (-len(text) % 4)) == number


@given(st.binary(max_size=40))
def test_base64_bytes(real: Any, data: bytes) -> None:
    text = real.util.base64url_encode(data)
    assert util.base64url_encode(data) == text
    assert util.base64url_decode(text) == data


@pytest.mark.parametrize("text", ["", "A", "AAAAA", "!!"])
def test_text_that_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64"):
        util.base64_to_int(text)


@pytest.mark.parametrize("number", [0, -1])
def test_numbers_without_base64(number: int) -> None:
    with pytest.raises(ValueError, match="not positive"):
        util.int_to_base64(number)


def test_small_primes(real: Any) -> None:
    assert util.first_primes == real.util.first_primes
    assert [k for k in range(-5, 20_000) if util.is_prime(k)] == util.first_primes + [
        k for k in range(17_864, 20_000) if real.util.is_prime(k)
    ]
    for k in range(5, 300):
        assert util.miller_rabin(k, 20) == real.util.miller_rabin(k, 20)
    for pseudoprime in (3215031751, 341550071728321, 3825123056546413051, 318665857834031151167461):
        assert not util.is_prime(pseudoprime)
        assert not util.miller_rabin(pseudoprime, 30)
    with pytest.raises(ValueError, match="above 3"):
        util.miller_rabin(3, 5)


@pytest.mark.parametrize("n_bits", [1, 2, 3, 4, 8, 16, 64, 256])
def test_random_primes(n_bits: int) -> None:
    found = {util.getprimeover(n_bits) for _ in range(20)}
    assert all(util.is_prime(p) and p >= 1 << (n_bits - 1) and p.bit_length() <= n_bits + 1 for p in found)
    assert len(found) > 10 or n_bits < 16
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            util.getprimeover(wrong)


def test_without_gmpy2(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPU hosts have none."""
    monkeypatch.setattr(util, "gmpy2", None)
    assert util.powmod(3, 1000, 10**300 + 1) == pow(3, 1000, 10**300 + 1)
    assert util.mulmod(3**999, 5**999, 7**999) == 3**999 * 5**999 % 7**999
    assert util.invert(3, 10**300 + 1) * 3 % (10**300 + 1) == 1
    with pytest.raises(ZeroDivisionError):
        util.invert(6, 9)
    assert util.is_prime(2**127 - 1)
    assert not util.is_prime(2**127 + 1)


MODULES = ["phe", "phe.paillier", "phe.encoding", "phe.util", "phe.command_line"]
# Imported modules and their contents, shims for missing packages, thresholds of its own.
NOT_THE_SURFACE = {"phe": {"phe"}, "phe.paillier": {"Mapping", "random"}, "phe.encoding": {"fractions"},
                   "phe.util": {"number", "os", "random", "hexlify", "unhexlify", "urlsafe_b64decode",
                                "urlsafe_b64encode"},
                   "phe.command_line": {"click", "phe", "print_function"}}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_here(real: Any, name: str) -> None:
    theirs = pytest.importorskip(name)
    mine = pytest.importorskip("crypsis.compat." + name)
    names = {n for n in dir(theirs) if not n.startswith("_")} - NOT_THE_SURFACE[name]
    assert {n for n in names if not hasattr(mine, n)} == set()


@pytest.mark.parametrize(
    "name",
    ["PaillierPublicKey", "PaillierPrivateKey", "PaillierPrivateKeyring", "EncryptedNumber", "EncodedNumber"],
)
def test_every_public_method_takes_the_same_arguments(real: Any, name: str) -> None:
    theirs, mine = getattr(real, name), getattr(ours, name)
    for method in [n for n in dir(theirs) if not n.startswith("_") and callable(getattr(theirs, n))]:
        expected, found = (
            list(inspect.signature(getattr(c, method)).parameters.values()) for c in (theirs, mine)
        )
        assert [(p.name, p.default, p.kind) for p in found] == [(p.name, p.default, p.kind) for p in expected]
