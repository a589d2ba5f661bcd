# SPDX-License-Identifier: Apache-2.0
"""Paillier: known answers, the reference, both kinds of keys, and keys that are refused."""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
from collections.abc import Callable
from math import gcd
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import paillier
from crypsis._homomorphic import limbs, primes
from crypsis._homomorphic.crt import PrimeSquare
from crypsis._homomorphic.secret import random_below, random_bits
from crypsis.errors import BackendUnavailable, InvalidCiphertext
from crypsis.paillier import PrivateKey
from homomorphic_keys import (
    HEX,
    SMALL,
    VECTORS,
    paillier_2048,
    paillier_2048_foreign,
    paillier_small,
    paillier_small_foreign,
)
from reference import paillier as reference

every_key = pytest.mark.parametrize(
    "key", [paillier_2048, paillier_2048_foreign, paillier_small, paillier_small_foreign]
)
Key = Callable[[], paillier.PrivateKey]


def test_decrypts_what_python_paillier_made() -> None:
    private = paillier_2048_foreign()
    for case in VECTORS["cases"]:
        value = ast.literal_eval(case["value"])
        c = private.public_key.ciphertexts_from_ints(
            [int(case["ciphertext"], 16)], exponent=case["exponent"], shape=()
        )
        assert private.decrypt(c, dtype=type(value)) == value


def test_encrypts_to_the_bytes_of_python_paillier_with_its_random_numbers() -> None:
    public = paillier_2048_foreign().public_key
    for case in VECTORS["cases"]:
        r = int(case["r"], 16)
        factor = limbs.from_ints([pow(r, public.n, public.n**2)], public.modulus.limbs)
        c = public.encrypt_with(
            lambda count, factor=factor: public.modulus.to_montgomery(factor.copy()),
            ast.literal_eval(case["value"]),
            encoding=paillier.base16(),
        )
        assert c.to_ints() == [int(case["ciphertext"], 16)]
        assert c.at_exponent(case["exponent"]).exponent == case["exponent"]


@every_key
def test_encrypts_as_the_reference_does(key: Key) -> None:
    private = key()
    public, n = private.public_key, private.public_key.n
    p, q = private._p.p, private._q.p
    values = [0, 1, -1, public.max_int, -public.max_int, 2**64 - 1, 2**64, -(2**63)]
    r = limbs.to_ints(random_below(len(values), n))
    factors = limbs.from_ints((pow(x, n, n * n) for x in r), public.modulus.limbs)
    c = public.encrypt_with(lambda count: public.modulus.to_montgomery(factors), values)
    assert c.to_ints() == [reference.encrypt(n, m, x) for m, x in zip(values, r, strict=True)]
    for source in (private, public):
        ciphertexts = source.encrypt(values).to_ints()
        decrypted = [reference.signed(reference.decrypt(p, q, x), n) for x in ciphertexts]
        assert decrypted == values
        assert private.decrypt(source.encrypt_vartime(values), dtype=object).tolist() == values


@every_key
def test_blinding_factors_are_fresh_encryptions_of_zero(key: Key) -> None:
    private = key()
    p, q, n = private._p.p, private._q.p, private.public_key.n
    seen = set()
    makers = [m for k in (private, private.public_key) for m in (k.blinding_factors, k.full_blinding_factors)]
    for make in [*makers, private.blinding_factors_vartime, private.public_key.blinding_factors_vartime]:
        plain = limbs.to_ints(private.modulus.from_montgomery(make(3)))
        assert [reference.decrypt(p, q, x) for x in plain] == [0, 0, 0]
        assert all(0 < x < n * n for x in plain)
        seen |= set(plain)
    assert len(seen) == 18


def test_short_blinding_is_a_power_of_the_generator() -> None:
    """The owner's way by CRT and the public way give the same power."""
    private = paillier_small()
    public = private.public_key
    exponents = random_bits(4, public.exponent_bits)
    hs = pow(public.h, public.n, public.n**2)
    wanted = [pow(hs, a, public.n**2) for a in limbs.to_ints(exponents)]
    assert limbs.to_ints(public._generator().powm(exponents)) == wanted
    p_part, q_part = (base.powm(exponents) for base in private._generators())
    joined = private._join(p_part, q_part)
    assert limbs.to_ints(public.modulus.from_montgomery(joined)) == wanted
    a = limbs.to_ints(exponents)[0]
    assert reference.encrypt_short(public.n, public.h, 0, a) == wanted[0]


@settings(max_examples=20)
@given(st.lists(st.integers(-(2**300), 2**300), max_size=5))
def test_round_trip_of_integers_of_any_size(values: list[int]) -> None:
    private = paillier_small()
    values = np.array(values, dtype=object)
    assert (private.decrypt(private.encrypt(values), dtype=object) == values).all()


@pytest.mark.parametrize(("p", "q"), [(7, 11), (5, 13), (11, 17)])
def test_the_reference_exhaustively_on_tiny_primes(p: int, q: int) -> None:
    """Every plaintext under every random number, and that they are all distinct: E is a bijection onto the units."""
    n = p * q
    if gcd(n, (p - 1) * (q - 1)) != 1:
        pytest.fail("these primes make no key")
    seen = set()
    for r in reference.units(n):
        for m in range(n):
            c = reference.encrypt(n, m, r)
            assert reference.decrypt(p, q, c) == m
            seen.add(c)
    assert seen == set(reference.units(n * n))


def test_every_small_plaintext_at_the_smallest_key() -> None:
    """256 bits are the least that the kernels take: all sums and products of -12 to 12, and the ends of the range."""
    private = paillier.generate_keypair(256, **SMALL)[1]
    values = np.arange(-12, 13)
    c = private.encrypt(values)
    assert (private.decrypt(c[:, None] + c) == values[:, None] + values).all()
    assert (private.decrypt(c[:, None] * values) == values[:, None] * values).all()
    ends = [private.public_key.max_int, -private.public_key.max_int]
    assert private.decrypt(private.encrypt(ends), dtype=object).tolist() == ends


def test_key_generation() -> None:
    public, private = paillier.generate_keypair(2048)
    p, q = private._p.p, private._q.p
    assert public.n == p * q
    assert public.n_bits == 2048
    assert p % 4 == q % 4 == 3
    assert gcd(p - 1, q - 1) == 2
    assert p.bit_length() == q.bit_length() == 1024
    assert primes.jacobi(public.h, public.n) == 1
    assert pow(public.h, (p - 1) // 2, p) == p - 1  # minus a square: no square, as -1 is none
    assert public.max_int == public.n // 3 - 1
    assert private.decrypt(public.encrypt(5)) == 5
    assert paillier.generate_keypair.__defaults__ == (3072,)


def test_a_key_needs_gmpy2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmpy2", None)
    with pytest.raises(BackendUnavailable, match="pip install gmpy2"):
        paillier.generate_keypair(2048)


@pytest.mark.parametrize("n_bits", [0, 1024, 2046, 2049, 4098, 8192, 2048.0, "2048"])
def test_key_sizes_that_are_refused(n_bits: object) -> None:
    with pytest.raises(ValueError, match=r"n_bits (is|has) .*2048"):
        paillier.generate_keypair(n_bits)


def test_moduli_that_are_refused() -> None:
    for n in (0, 1, 15, 2**2047, -HEX["p"] * HEX["q"], 2**1023 + 1, 3.5):
        with pytest.raises(ValueError, match=r"n (is|has)"):
            paillier.PublicKey(n)
    with pytest.raises(ValueError, match="at most 4096"):
        paillier.PublicKey(2**4097 + 1)
    with pytest.raises(ValueError, match="256 is the least"):
        paillier.PublicKey(2**200 + 1, insecure_allow_small_key=True)


def test_generators_that_are_refused() -> None:
    n = HEX["p"] * HEX["q"]
    other = next(x for x in range(2, 100) if primes.jacobi(x, n) == -1)
    for h in (0, 1, n - 1, n, HEX["p"], other):
        with pytest.raises(ValueError, match="h is not the generator"):
            paillier.PublicKey(n, h=h)


def test_private_keys_that_are_refused() -> None:
    public = paillier_2048().public_key
    p, q = HEX["p"], HEX["q"]
    for wrong in ((p, p), (p, q + 2), (1, p * q), (q, 1), (p * q, 1)):
        with pytest.raises(ValueError, match="not the two prime factors"):
            paillier.PrivateKey(public, *wrong)
    gmpy2 = pytest.importorskip("gmpy2")
    a = int(gmpy2.next_prime(1 << 200))
    b = next(x for k in range(2, 4000, 2) if gmpy2.is_prime(x := k * a + 1))
    with pytest.raises(ValueError, match="gcd"):
        paillier.PrivateKey(paillier.PublicKey(a * b, **SMALL), a, int(b))
    a, b = int(gmpy2.next_prime(1 << 100)), int(gmpy2.next_prime(1 << 200))
    with pytest.raises(ValueError, match="fewer than 128 bits"):
        paillier.PrivateKey(paillier.PublicKey(a * b, **SMALL), a, b)


def product_of(p_bits: int, n_bits: int) -> tuple[int, int]:
    """Primes p of `p_bits` bits and q with p q of `n_bits`."""
    gmpy2 = pytest.importorskip("gmpy2")
    p = int(gmpy2.next_prime(3 << (p_bits - 2)))
    return p, int(gmpy2.next_prime((7 << (n_bits - 3)) // p))


@pytest.mark.parametrize("p_bits", [128, 700, 1007])
def test_primes_of_unlike_length_are_refused(p_bits: int) -> None:
    p, q = product_of(p_bits, 2048)
    public = paillier.PublicKey(p * q)
    for pair in ((p, q), (q, p)):
        with pytest.raises(
            ValueError, match=f"has {p_bits} bits, n has 2048.* 1024 bits each.*generate_keypair"
        ) as e:
            paillier.PrivateKey(public, *pair)
        assert str(p) not in str(e.value)


@pytest.mark.parametrize("p_bits", [1008, 1020, 1023, 1024])
def test_primes_of_about_like_length_are_taken(p_bits: int) -> None:
    p, q = product_of(p_bits, 2048)
    key = paillier.PrivateKey(paillier.PublicKey(p * q), p, q)
    assert key.decrypt(key.encrypt([-3, 4])).tolist() == [-3, 4]


def test_primes_near_each_other_are_refused() -> None:
    gmpy2 = pytest.importorskip("gmpy2")
    p = int(gmpy2.next_prime(3 << 1022))
    q = int(gmpy2.next_prime(p + (1 << 923)))
    with pytest.raises(ValueError, match="differ by a number of 924 bits only: at least 925 are needed"):
        paillier.PrivateKey(paillier.PublicKey(p * q), p, q)
    q = int(gmpy2.next_prime(p + (1 << 924)))
    assert paillier.PrivateKey(paillier.PublicKey(p * q), q, p).public_key.n_bits == 2048


def test_keys_are_immutable_and_keep_their_secrets() -> None:
    private = paillier_small()
    public = private.public_key
    for key in (public, private, private._p):
        with pytest.raises(AttributeError, match="immutable"):
            key.n = 5
        with pytest.raises(AttributeError, match="immutable"):
            del key.modulus
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.copy(key)
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.deepcopy(key)
        for secret in (private._p.p, private._q.p):
            assert str(secret) not in f"{key!r} {key!s}"
            assert f"{secret:x}" not in f"{key!r}"
    assert not hasattr(private, "__dict__")
    assert public == paillier.PublicKey(public.n, **SMALL)
    assert hash(public) == hash(paillier.PublicKey(public.n, **SMALL))
    assert public != paillier_small_foreign().public_key
    assert public != "key"


def test_ciphertexts_of_another_key_are_refused() -> None:
    c = paillier_small().encrypt([1, 2])
    with pytest.raises(InvalidCiphertext, match="not of PublicKey"):
        paillier_small_foreign().decrypt(c)
    with pytest.raises(ValueError, match="different keys"):
        c + paillier_small_foreign().encrypt([1, 2])
    with pytest.raises(TypeError, match="give a CipherArray"):
        paillier_small().decrypt([1, 2])


def test_a_wrong_power_modulo_one_prime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decryption by CRT with a fault in one half gives a number that is right modulo p only: n is factored by it."""
    private = paillier_small()
    n, p, q = private.public_key.n, private._p.p, private._q.p
    c = private.encrypt([5, 6, 7])
    power = PrimeSquare.secret_power

    def faulty(self: PrimeSquare, *arguments: Any) -> Any:
        rows = power(self, *arguments)
        if self.p == q:
            rows[1, 0] ^= np.uint64(4)
        return rows

    monkeypatch.setattr(PrimeSquare, "secret_power", faulty)
    with monkeypatch.context() as unchecked:
        unchecked.setattr(PrivateKey, "_refuse_wrong", lambda *_: None)
        assert gcd(limbs.to_ints(private.residues(c._rows))[1] - 6, n) == p
    with pytest.raises(InvalidCiphertext, match="ciphertext 1 decrypts to no plaintext"):
        private.decrypt(c)


def test_plaintexts_out_of_range_are_refused() -> None:
    private = paillier_small()
    top = private.public_key.max_int
    for wrong in (top + 1, -top - 1, 1 << 600):
        with pytest.raises(ValueError, match=r"value 1 needs more than the \d+ bits"):
            private.public_key.encrypt([0, wrong])
    with pytest.raises(OverflowError, match="overflowed"):
        private.decrypt(private.encrypt(top) + 1, dtype=object)


def test_limbs_borrow_and_carry_through_runs_of_ones() -> None:
    ones = (1 << 256) - 1
    values = [0, 1, ones, 1 << 64, (1 << 64) - 1, 1 << 255, ones - 1, (1 << 192) - 1]
    a = limbs.from_ints([x for x in values for _ in values], 4)
    b = limbs.from_ints(values * len(values), 4)
    pairs = list(zip(limbs.to_ints(a), limbs.to_ints(b), strict=True))
    total, overflow = limbs.add(a, b)
    assert limbs.to_ints(total) == [(x + y) & ones for x, y in pairs]
    assert overflow.tolist() == [x + y > ones for x, y in pairs]
    difference, negative = limbs.sub(a, b)
    assert limbs.to_ints(difference) == [(x - y) & ones for x, y in pairs]
    assert negative.tolist() == [x < y for x, y in pairs]
    modulus = limbs.from_int(ones, 4)
    below = (a != modulus).any(axis=1) & (b != modulus).any(axis=1)
    kept = [pair for pair, keep in zip(pairs, below, strict=True) if keep]
    assert limbs.to_ints(limbs.add_mod(a[below], b[below], modulus)) == [(x + y) % ones for x, y in kept]


def test_shifts_of_every_length() -> None:
    values = [1, (1 << 128) - 1, 0x123456789ABCDEF0123456789, 0]
    rows = limbs.from_ints(values, 2)
    for shift in range(200):
        shifts = np.array([shift, 0, 199 - shift, shift])
        wanted = [v << int(s) for v, s in zip(values, shifts, strict=True)]
        assert limbs.to_ints(limbs.shift_left(rows, shifts, 6)) == wanted
    assert limbs.shift_left(rows[:0], np.zeros(0, dtype=np.int64), 3).shape == (0, 3)


def test_random_numbers_are_in_range() -> None:
    rows = random_bits(100, 70)
    assert rows.shape == (100, 2)
    assert max(limbs.to_ints(rows)).bit_length() > 64
    assert max(limbs.to_ints(rows)) < 1 << 70
    assert sorted(set(limbs.to_ints(random_below(500, 5)))) == [1, 2, 3, 4]
    assert random_bits(0, 70).shape == (0, 2)


def test_imports_and_works_without_gmpy2_and_cryptography() -> None:
    """GPU hosts lack both: only key generation and key files need them."""
    program = (
        "import sys; sys.modules.update(gmpy2=None, cryptography=None); import crypsis.okamoto_uchiyama;"
        f"from crypsis import paillier; p, q = {HEX['p']}, {HEX['q']};"
        f"key = paillier.PrivateKey(paillier.PublicKey(p * q, h={HEX['h']}), p, q);"
        "print(key.decrypt(key.encrypt([2, 3]).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("5\n", "")
