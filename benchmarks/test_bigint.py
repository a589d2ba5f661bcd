# SPDX-License-Identifier: Apache-2.0
"""Batched modular arithmetic: one thread, every backend, beside gmpy2 one number at a time in the same run.

The limit is the rate of the multipliers, measured in the same run, over the counts of csrc/bigint/NOTES.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks import limits
from benchmarks.rows import Limit
from crypsis import backends, bigint
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.counts import Counts

gmpy2 = pytest.importorskip("gmpy2", reason="the peer: pip install gmpy2")

every_backend = pytest.mark.parametrize("backend", backends.runnable("bigint"))


def limit(backend: str, count: Counts, what: str) -> Limit | None:
    return limits.by("bigint", count, what, backend)


def product(modulus: bigint.Modulus) -> Counts:
    return counts.product(modulus.n_bits)


@cache
def some_modulus(n_bits: int) -> bigint.Modulus:
    """Of two primes, as a Paillier key's square has no other factors."""
    rng = random.Random(n_bits)
    half = n_bits // 2
    p, q = (int(gmpy2.next_prime(rng.getrandbits(half) | 3 << (half - 2))) for _ in range(2))
    return bigint.Modulus(p * q)


def setting(n_bits: int, n: int) -> tuple[bigint.Modulus, np.ndarray, list[Any]]:
    """A modulus, n values below it as rows, and as gmpy2 numbers."""
    rng = random.Random(n)
    modulus = some_modulus(n_bits)
    numbers = [rng.randrange(1, modulus.n) for _ in range(n)]
    return modulus, bigint.from_ints(numbers, modulus.limbs), [gmpy2.mpz(number) for number in numbers]


def same(ours: np.ndarray, peers: dict[str, Any]) -> None:
    for answer in peers.values():
        assert bigint.to_ints(ours)[: len(answer)] == [int(number) for number in answer]


@every_backend
@pytest.mark.parametrize("n_bits", [2048, 4096])
@pytest.mark.parametrize("montgomery", [False, True])
def test_mod_mul(
    compare: Any, size: Callable[[int, int], int], backend: str, n_bits: int, montgomery: bool
) -> None:
    n = size(2_000, 20_000)
    modulus, a, numbers = setting(n_bits, n)
    b, others, n_big = a[::-1].copy(), numbers[::-1], gmpy2.mpz(modulus.n)
    out = np.empty_like(a)
    factor = gmpy2.mpz(pow(2, -64 * modulus.limbs, modulus.n)) if montgomery else gmpy2.mpz(1)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        assert bigint.to_ints(ours[:50]) == [x * factor % n_big for x in peers["gmpy2"][:50]]

    compare(
        f"bigint/mod_mul{'/montgomery' * montgomery}/{n_bits}/{backend}",
        lambda: bigint.mod_mul(a, b, modulus, montgomery=montgomery, out=out, backend=backend, threads=1),
        items=n,
        unit="products",
        check=check,
        peers={"gmpy2": lambda: [x * y % n_big for x, y in zip(numbers, others, strict=True)]},
        limit=limit(backend, (counts.product if montgomery else counts.plain_product)(n_bits), "a product"),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("n_bits", [1024, 2048, 4096])
def test_powm(compare: Any, size: Callable[[int, int], int], backend: str, n_bits: int) -> None:
    """An exponent of the modulus's size for each base; constant-time, where gmpy2.powmod is not."""
    n = size(16, 64)
    modulus, bases, numbers = setting(n_bits, n)
    exponents = bases[::-1].copy()
    others, n_big = numbers[::-1], gmpy2.mpz(modulus.n)
    count = counts.power(n_bits, 64 * modulus.limbs)
    compare(
        f"bigint/powm/{n_bits}/{backend}",
        lambda: bigint.powm(bases, exponents, modulus, backend=backend, threads=1),
        items=n,
        unit="powers",
        check=same,
        peers={
            "gmpy2.powmod": lambda: [gmpy2.powmod(x, y, n_big) for x, y in zip(numbers, others, strict=True)]
        },
        limit=limit(backend, count, "squarings and products of the best window"),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
def test_powm_one_half_exponent(compare: Any, size: Callable[[int, int], int], backend: str) -> None:
    """One half of a CRT decryption with a 2048-bit key: one 1024-bit exponent for all, modulus p^2."""
    n = size(32, 256)
    modulus, bases, numbers = setting(2048, n)
    exponent = random.Random(1).getrandbits(1024)
    n_big = gmpy2.mpz(modulus.n)
    row = bigint.from_ints([exponent], 16)[0]
    compare(
        f"bigint/powm/2048, one 1024-bit exponent/{backend}",
        lambda: bigint.powm(bases, row, modulus, backend=backend, threads=1),
        items=n,
        unit="powers",
        check=same,
        peers={"gmpy2.powmod": lambda: [gmpy2.powmod(x, exponent, n_big) for x in numbers]},
        limit=limit(backend, counts.power(2048, 1024), "squarings and products of the best window"),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("form", ["constant-time", "vartime"])
def test_fixed_base(compare: Any, size: Callable[[int, int], int], backend: str, form: str) -> None:
    """h^r of a Paillier encryption with a 2048-bit key in DJN form: 1024-bit exponents mod n^2."""
    n = size(64, 1024)
    modulus, bases, numbers = setting(4096, 1)
    rng = random.Random(2)
    secrets = [rng.getrandbits(1024) for _ in range(n)]
    exponents = bigint.from_ints(secrets, 16)
    fixed = bigint.FixedBase(bases[0], modulus, 1024)
    call = fixed.powm if form == "constant-time" else fixed.powm_vartime
    fixed.build(vartime=form == "vartime", backend=backend, threads=1)
    window = counts.SCANNED_WINDOW if form == "constant-time" else counts.DIRECT_WINDOW
    n_big = gmpy2.mpz(modulus.n)
    compare(
        f"bigint/fixed_base/{form}/{backend}",
        lambda: call(exponents, backend=backend, threads=1),
        items=n,
        unit="powers",
        check=same,
        peers={"gmpy2.powmod": lambda: [gmpy2.powmod(numbers[0], x, n_big) for x in secrets]},
        limit=limit(backend, counts.fixed_power(4096, 1024, window), "one product a window"),
        extra={"backend": backend, "threads": 1, "table_bytes": fixed.n_bytes},
    )


def multiply_all(numbers: list[Any], n_big: Any) -> Any:
    result = gmpy2.mpz(1)
    for number in numbers:
        result = result * number % n_big
    return result


@every_backend
@pytest.mark.parametrize("length", [50, 2_000])
def test_segmented_prod(compare: Any, size: Callable[[int, int], int], backend: str, length: int) -> None:
    """Sums of Paillier ciphertexts: short segments, and one long one."""
    n = size(2_000, 50_000)
    modulus, a, numbers = setting(4096, n)
    starts = np.arange(0, n + 1, length)
    n_big = gmpy2.mpz(modulus.n)
    in_form = modulus.to_montgomery(a)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        same(modulus.from_montgomery(ours), peers)

    compare(
        f"bigint/segmented_prod/4096/segments of {length}/{backend}",
        lambda: bigint.segmented_prod(in_form, starts, modulus, montgomery=True, backend=backend, threads=1),
        items=n,
        unit="rows",
        check=check,
        peers={"gmpy2": lambda: [multiply_all(numbers[i : i + length], n_big) for i in range(0, n, length)]},
        limit=limit(backend, product(modulus), "a product a row"),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
def test_scatter_mul(compare: Any, size: Callable[[int, int], int], backend: str) -> None:
    """A SecureBoost histogram: ciphertexts of a 2048-bit key into 32 bins of 5 features."""
    n, n_bins, n_features = size(2_000, 20_000), 32, 5
    modulus, a, numbers = setting(4096, n)
    bins = np.random.default_rng(3).integers(0, n_bins, (n, n_features), dtype=np.int32)
    in_form = modulus.to_montgomery(a)
    n_big = gmpy2.mpz(modulus.n)

    def loop() -> list[Any]:
        result = [gmpy2.mpz(1)] * (n_bins * n_features)
        for number, row in zip(numbers, bins.tolist(), strict=True):
            for feature, at in enumerate(row):
                result[feature * n_bins + at] = result[feature * n_bins + at] * number % n_big
        return result

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        same(modulus.from_montgomery(ours.reshape(-1, modulus.limbs)), peers)

    compare(
        f"bigint/scatter_mul/4096/{backend}",
        lambda: bigint.scatter_mul(
            in_form, bins, n_bins, modulus, montgomery=True, backend=backend, threads=1
        ),
        items=n * n_features,
        unit="rows",
        check=check,
        peers={"gmpy2": loop},
        limit=limit(backend, product(modulus), "a product a row"),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
@pytest.mark.parametrize("signed", [False, True])
def test_multi_powm(compare: Any, size: Callable[[int, int], int], backend: str, signed: bool) -> None:
    """A plaintext 30 x 200 matrix of 20-bit integers times a vector of ciphertexts of a 2048-bit key."""
    m, k = 30, 200
    modulus, bases, numbers = setting(4096, k)
    low = -(2**20) + 1 if signed else 0
    matrix = np.random.default_rng(4).integers(low, 2**20, (m, k))
    n_big = gmpy2.mpz(modulus.n)
    in_form = modulus.to_montgomery(bases)

    def loop() -> list[Any]:
        return [
            multiply_all([gmpy2.powmod(x, e, n_big) for x, e in zip(numbers, row, strict=True)], n_big)
            for row in matrix.tolist()
        ]

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        same(modulus.from_montgomery(ours), peers)

    compare(
        f"bigint/multi_powm_vartime/4096/{'signed' if signed else 'unsigned'}/{backend}",
        lambda: bigint.multi_powm_vartime(
            in_form, matrix, modulus, montgomery=True, backend=backend, threads=1
        ),
        items=m * k,
        unit="powers",
        check=check,
        peers={"gmpy2": loop},
        rounds=size(3, 9),
        extra={"backend": backend, "threads": 1},
    )


@every_backend
def test_batch_inverse(compare: Any, size: Callable[[int, int], int], backend: str) -> None:
    n = size(2_000, 20_000)
    modulus, a, numbers = setting(4096, n)
    in_form = modulus.to_montgomery(a)
    n_big = gmpy2.mpz(modulus.n)

    def check(ours: np.ndarray, peers: dict[str, Any]) -> None:
        same(modulus.from_montgomery(ours), peers)

    compare(
        f"bigint/batch_inverse/4096/{backend}",
        lambda: bigint.batch_inverse(in_form, modulus, montgomery=True, backend=backend, threads=1),
        items=n,
        unit="inverses",
        check=check,
        peers={"gmpy2.invert": lambda: [gmpy2.invert(x, n_big) for x in numbers]},
        limit=limit(backend, 3 * product(modulus), "three products an inverse"),
        extra={"backend": backend, "threads": 1},
    )
