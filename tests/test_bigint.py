# SPDX-License-Identifier: Apache-2.0
"""bigint: known answers, differential against Python integers, and algebra, on every backend."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigint_cases import COMMON_BITS, EDGE_BITS, every_backend, moduli, rows, values
from crypsis import backends, bigint
from reference import bigint as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bigint.json").read_text())
BACKENDS = backends.runnable("bigint")


# Known answers


@every_backend
@pytest.mark.parametrize("group", VECTORS["diffie_hellman"], ids=lambda group: group["group"])
def test_diffie_hellman(backend: str, group: dict) -> None:
    modulus = bigint.Modulus(int(group["p"], 16))
    generator = rows([int(group["g"], 16)], modulus)[0]
    secrets = bigint.from_ints([int(power["exponent"], 16) for power in group["powers"]], 4)
    publics = [int(power["power"], 16) for power in group["powers"]]
    for power in (bigint.powm, bigint.powm_vartime):
        assert bigint.to_ints(power(generator, secrets, modulus, backend=backend)) == publics
    fixed = bigint.FixedBase(generator, modulus, 256, window=4)
    assert bigint.to_ints(fixed.powm(secrets, backend=backend)) == publics
    assert bigint.to_ints(fixed.powm_vartime(secrets, backend=backend)) == publics
    shared = bigint.powm(rows(publics, modulus), secrets[::-1].copy(), modulus, backend=backend)
    assert bigint.to_ints(shared) == [int(group["shared"], 16)] * 2


# Products


def check_products(n: int, backend: str, count: int = 26) -> None:
    modulus = bigint.Modulus(n)
    factor = reference.montgomery_factor(n)
    inverse = pow(factor, -1, n)
    a, b = values(n, count), values(n, count, seed=2)[::-1]
    x, y = rows(a, modulus), rows(b, modulus)
    options = {"backend": backend, "threads": 1}

    def ints(result: np.ndarray) -> list[int]:
        return bigint.to_ints(result)

    assert ints(bigint.mod_mul(x, y, modulus, **options)) == [i * j % n for i, j in zip(a, b, strict=True)]
    assert ints(bigint.mod_mul(x, y, modulus, montgomery=True, **options)) == [
        i * j * inverse % n for i, j in zip(a, b, strict=True)
    ]
    assert ints(bigint.mod_mul(x, y[1], modulus, **options)) == [i * b[1] % n for i in a]
    assert ints(bigint.mod_sqr(x, modulus, **options)) == [i * i % n for i in a]
    assert ints(bigint.mod_sqr(x, modulus, montgomery=True, **options)) == [i * i * inverse % n for i in a]
    in_form = modulus.to_montgomery(x, **options)
    assert ints(in_form) == [i * factor % n for i in a]
    assert ints(modulus.from_montgomery(in_form, **options)) == a


@every_backend
@pytest.mark.parametrize("n_bits", EDGE_BITS)
def test_products_at_the_edges(backend: str, n_bits: int) -> None:
    for n in moduli(n_bits):
        check_products(n, backend)


@every_backend
@pytest.mark.parametrize("n_bits", [2047, 2049, 2560, 3072, 4095, 4096, 4097, 6144, 8191, 8192])
def test_products_of_big_moduli(backend: str, n_bits: int) -> None:
    for n in moduli(n_bits):
        check_products(n, backend, count=42)


@pytest.mark.slow
@every_backend
def test_products_of_every_number_of_bits(backend: str) -> None:
    for n_bits in range(256, 8193, 13):
        for n in moduli(n_bits):
            check_products(n, backend, count=42)


@every_backend
@pytest.mark.parametrize("count", range(18))
def test_every_batch_length(backend: str, count: int) -> None:
    n = moduli(521)[3]
    modulus = bigint.Modulus(n)
    a = values(n, count, seed=count)
    x = rows(a, modulus)
    exponent = bigint.from_ints([12345], 1)[0]
    for threads in (1, 2):
        options = {"backend": backend, "threads": threads}
        assert bigint.to_ints(bigint.mod_mul(x, x, modulus, **options)) == [i * i % n for i in a]
        assert bigint.to_ints(bigint.powm(x, exponent, modulus, **options)) == [pow(i, 12345, n) for i in a]
        whole = np.array([0, count])
        assert bigint.to_ints(bigint.segmented_prod(x, whole, modulus, **options)) == [reference.prod(a, n)]
        assert bigint.to_ints(bigint.cumulative_prod(x, whole, modulus, **options)) == reference.running(
            a, [0, count], n
        )


# Powers


@every_backend
@pytest.mark.parametrize("n_bits", [256, 313, 512, 832, 1024, 1025])
def test_powers(backend: str, n_bits: int) -> None:
    rng = random.Random(n_bits)
    for n in moduli(n_bits):
        modulus = bigint.Modulus(n)
        bases = values(n, 19)
        exponents = [0, 1, 2, (1 << 150) - 1, 1 << 149, *(rng.getrandbits(150) for _ in range(14))]
        x, e = rows(bases, modulus), bigint.from_ints(exponents, 3)
        in_form = modulus.to_montgomery(x)
        for power in (bigint.powm, bigint.powm_vartime):
            options = {"backend": backend, "threads": 1, "exponent_bits": 150}
            each = [pow(b, k, n) for b, k in zip(bases, exponents, strict=True)]
            assert bigint.to_ints(power(x, e, modulus, **options)) == each
            formed = power(in_form, e, modulus, montgomery=True, **options)
            assert bigint.to_ints(modulus.from_montgomery(formed)) == each
            assert bigint.to_ints(power(x, e[3], modulus, **options)) == [
                pow(b, exponents[3], n) for b in bases
            ]
            assert bigint.to_ints(power(x[6], e, modulus, **options)) == [
                pow(bases[6], k, n) for k in exponents
            ]
            assert bigint.to_ints(power(x[6], e[4], modulus, **options)) == [pow(bases[6], exponents[4], n)]


@every_backend
@pytest.mark.parametrize("n_bits", COMMON_BITS)
def test_powers_of_common_sizes(backend: str, n_bits: int) -> None:
    n = moduli(n_bits)[3]
    modulus = bigint.Modulus(n)
    bases, exponents = values(n, 9, seed=3), values(1 << 256, 9, seed=4)
    got = bigint.powm(rows(bases, modulus), bigint.from_ints(exponents, 4), modulus, backend=backend)
    assert bigint.to_ints(got) == [pow(b, k, n) for b, k in zip(bases, exponents, strict=True)]


@every_backend
@pytest.mark.parametrize("exponent_bits", [0, 1, 2, 5, 63, 64, 65, 128])
def test_exponent_bits(backend: str, exponent_bits: int) -> None:
    n = moduli(320)[2]
    modulus = bigint.Modulus(n)
    top = (1 << exponent_bits) - 1
    bases, exponents = values(n, 5), [top, top // 2, top, 0, top]
    e = bigint.from_ints(exponents, 2)
    for power in (bigint.powm, bigint.powm_vartime):
        got = power(rows(bases, modulus), e, modulus, exponent_bits=exponent_bits, backend=backend)
        assert bigint.to_ints(got) == [pow(b, k, n) for b, k in zip(bases, exponents, strict=True)]


@every_backend
@pytest.mark.parametrize("window", [1, 2, 3, 5, 7, 8, None])
def test_fixed_base(backend: str, window: int | None) -> None:
    n = moduli(577)[3]
    modulus = bigint.Modulus(n)
    exponents = [0, 1, (1 << 97) - 1, *(random.Random(5).getrandbits(97) for _ in range(16))]
    e = bigint.from_ints(exponents, 2)
    for base in [*values(n, 12, seed=6)[:4], 12345678901234567890]:
        want = [pow(base, k, n) for k in exponents]
        fixed = bigint.FixedBase(rows([base], modulus)[0], modulus, 97, window=window)
        assert fixed.n_bytes == 0
        for power in (fixed.powm, fixed.powm_vartime):
            assert bigint.to_ints(power(e, backend=backend)) == want
            formed = power(e, montgomery=True, backend=backend, threads=2)
            assert bigint.to_ints(modulus.from_montgomery(formed)) == want
            assert bigint.to_ints(power(e[2], backend=backend)) == want[2:3]
        assert fixed.n_bytes > 0


# Properties


n_of = (
    st.integers(256, 1100)
    .flatmap(lambda bits: st.integers(2 ** (bits - 1), 2**bits - 1))
    .map(lambda n: n | 1)
)


@every_backend
@settings(max_examples=40)
@given(n=n_of, seeds=st.lists(st.integers(0, 2**1200), min_size=3, max_size=3))
def test_ring_laws(backend: str, n: int, seeds: list[int]) -> None:
    modulus = bigint.Modulus(n)
    a, b, c = (rows([seed % n], modulus) for seed in seeds)

    def mul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return bigint.mod_mul(x, y, modulus, backend=backend, threads=1)

    assert (mul(a, b) == mul(b, a)).all()
    assert (mul(mul(a, b), c) == mul(a, mul(b, c))).all()
    assert (mul(a, a) == bigint.mod_sqr(a, modulus, backend=backend)).all()
    assert bigint.to_ints(mul(a, b)) == [seeds[0] * seeds[1] % n]


@every_backend
@settings(max_examples=25)
@given(n=n_of, base=st.integers(0, 2**1200), x=st.integers(0, 2**64 - 1), y=st.integers(0, 2**64 - 1))
def test_powers_add(backend: str, n: int, base: int, x: int, y: int) -> None:
    modulus = bigint.Modulus(n)
    e = bigint.from_ints([x, y, x + y], 2)
    left, right, both = bigint.powm(rows([base % n], modulus)[0], e, modulus, backend=backend)
    assert (bigint.mod_mul(left, right, modulus, backend=backend) == both).all()


@pytest.mark.skipif(len(BACKENDS) < 2, reason="this CPU runs one backend only")
@settings(max_examples=40)
@given(n=n_of, data=st.data())
def test_backends_agree_in_every_word(n: int, data: st.DataObject) -> None:
    modulus = bigint.Modulus(n)
    count = data.draw(st.integers(1, 11))
    numbers = data.draw(st.lists(st.integers(0, n - 1), min_size=count, max_size=count))
    a = rows(numbers, modulus)
    results = [
        (
            bigint.mod_mul(a, a[::-1].copy(), modulus, montgomery=True, backend=backend),
            bigint.powm(a, a, modulus, montgomery=True, backend=backend),
        )
        for backend in BACKENDS
    ]
    for other in results[1:]:
        assert all((x == y).all() for x, y in zip(results[0], other, strict=True))
