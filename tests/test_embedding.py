# SPDX-License-Identifier: Apache-2.0
"""embedding: known answers, direct evaluation, errors against long doubles and theory, the ring's properties."""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypsis import backends, embedding
from embedding_cases import (
    EPSILON,
    PRIMES,
    Moduli,
    higham_bound,
    long_coefficients,
    long_slots,
    random_reals,
    random_slots,
    relative_error,
    residues,
)
from reference import embedding as reference

BACKENDS = backends.runnable("embedding")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_degree = pytest.mark.parametrize("log_n", range(embedding.MIN_LOG_N, embedding.MAX_LOG_N + 1))
VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "embedding.json").read_text(encoding="utf-8")
)


def tolerance(n_values: int, largest: float, terms: int = 1) -> float:
    """Most by which one of n_values numbers may differ that are at most `largest`, after `terms` transforms."""
    return 1.1 * terms * higham_bound(n_values) * math.sqrt(n_values) * largest


# Known answers


@every_backend
@pytest.mark.parametrize("case", VECTORS["encodings"], ids=lambda case: case["label"])
def test_known_encodings(backend: str, case: dict[str, Any]) -> None:
    slots = np.array([complex(re, im) for re, im in case["slots"]])
    basis = Moduli(case["log_n"], tuple(case["primes"]))
    found = embedding.encode(slots, case["scale"], basis, backend=backend)
    assert np.array_equal(found, residues(case["coefficients"], basis.primes))


@every_backend
@pytest.mark.parametrize("case", VECTORS["roundings"], ids=lambda case: case["value"])
def test_known_residues(backend: str, case: dict[str, Any]) -> None:
    basis = Moduli(2, tuple(case["primes"]))
    value = float.fromhex(case["value"])
    found = embedding.to_residues(np.array([value, -value, 0.0, value]), basis, backend=backend)
    integer = int(case["integer"])
    assert np.array_equal(found, residues([integer, -integer, 0, integer], basis.primes))


@every_backend
@pytest.mark.parametrize("case", VECTORS["digests"], ids=lambda case: f"N=2^{case['log_n']}")
def test_the_bits_are_the_same_everywhere(backend: str, case: dict[str, Any]) -> None:
    log_n = case["log_n"]
    slots = random_slots("digests", 1 << (log_n - 1))
    coefficients = embedding.to_coefficients(slots, log_n, scale=2.0**40, backend=backend)
    assert hashlib.sha256(coefficients.tobytes()).hexdigest() == case["coefficients"]
    back = embedding.decode(coefficients, 3.0, backend=backend)
    assert hashlib.sha256(back.tobytes()).hexdigest() == case["slots"]


# Direct evaluation


@every_backend
@pytest.mark.parametrize("log_n", [2, 3, 4, 5, 6, 7])
def test_slots_are_the_values_at_the_powers_of_five(backend: str, log_n: int) -> None:
    n = 1 << log_n
    coefficients = random_reals(f"direct {n}", n)
    found = embedding.decode(coefficients, 0.5, backend=backend)
    expected = 2 * np.array(reference.to_slots(coefficients.tolist()))
    assert np.max(np.abs(found - expected)) <= tolerance(n // 2, float(np.max(np.abs(expected))), 2)


@every_backend
@pytest.mark.parametrize("log_n", [3, 4])
def test_every_unit_vector(backend: str, log_n: int) -> None:
    """All of the transform's matrix and of its inverse's."""
    n = 1 << log_n
    slots = embedding.decode(np.eye(n), 1.0, backend=backend)
    for k in range(n):
        expected = [reference.root(n, k * pow(5, j, 2 * n)) for j in range(n // 2)]
        assert np.max(np.abs(slots[k] - expected)) <= tolerance(n // 2, 1.0)
    for unit in (1, 1j):
        found = embedding.to_coefficients(unit * np.eye(n // 2), log_n, backend=backend)
        for j in range(n // 2):
            expected_row = reference.to_coefficients([unit * (i == j) for i in range(n // 2)], n)
            assert np.max(np.abs(found[j] - expected_row)) <= tolerance(n // 2, 1.0)


@every_backend
@pytest.mark.parametrize("log_n", [2, 3, 5, 6, 7])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_fewer_slots_are_padded_with_zeros(backend: str, log_n: int, kind: str) -> None:
    n = 1 << log_n
    for m in {0, 1, 2, 3, n // 4 + 1, n // 2 - 1, n // 2} - set(range(n // 2 + 1, n)):
        slots = (
            random_slots(f"padded {n} {m}", m) if kind == "complex" else random_reals(f"padded {n} {m}", m)
        )
        found = embedding.to_coefficients(slots, log_n, scale=3.0, backend=backend)
        expected = [3 * c for c in reference.to_coefficients(slots.tolist(), n)]
        assert np.max(np.abs(found - expected)) <= 3 * tolerance(n // 2, 2.0)


def test_twiddles_are_rounded_correctly() -> None:
    """The images of x, x^2 and x^3 are factors of the last pass by themselves: exactly the rounded roots of unity."""
    for log_n, powers in ((3, (1, 2)), (7, (1, 2, 3)), (12, (1, 2, 3)), (16, (1, 2, 3))):
        n = 1 << log_n
        for k in powers:
            unit = np.zeros(n)
            unit[k] = 1.0
            slots = embedding.decode(unit, 1.0)
            for j in {0, 1, 2, 5, n // 8, n // 4 - 1} & set(range(n // 2)):
                expected = reference.exact_root(2 * n, k * pow(5, j, 2 * n))
                assert (slots[j].real, slots[j].imag) == expected, (log_n, k, j)


# Errors


@every_backend
@every_degree
def test_errors_are_within_the_bound(backend: str, log_n: int) -> None:
    n = 1 << log_n
    coefficients = random_reals(f"errors {n}", n)
    slots = embedding.decode(coefficients, 1.0, backend=backend)
    assert relative_error(slots, long_slots(coefficients)) <= higham_bound(n // 2)
    given_slots = random_slots(f"errors {n}", n // 2)
    found = embedding.to_coefficients(given_slots, log_n, backend=backend)
    assert relative_error(found, long_coefficients(given_slots)) <= higham_bound(n // 2)


@every_backend
def test_typical_errors_are_far_below_the_bound(backend: str) -> None:
    """Roundings are independent in practice: 0.6 to 0.7 sqrt(log2 n) units of 2^-53 [Higham02, 24.1]."""
    for log_n in (10, 13, 16):
        n = 1 << log_n
        coefficients = random_reals(f"typical {n}", n)
        error = relative_error(embedding.decode(coefficients, 1.0, backend=backend), long_slots(coefficients))
        assert error <= 0.8 * EPSILON * math.sqrt(log_n - 1)


# Properties


@every_backend
@every_degree
def test_round_trip(backend: str, log_n: int) -> None:
    n = 1 << log_n
    slots = random_slots(f"round trip {n}", 3, n // 2)
    coefficients = embedding.to_coefficients(slots, log_n, scale=2.0**40, backend=backend)
    back = embedding.decode(coefficients, 2.0**40, backend=backend)
    assert relative_error(back, slots) <= 2.1 * higham_bound(n // 2)


@every_backend
@pytest.mark.parametrize("log_n", [2, 4, 10, 13])
@pytest.mark.parametrize("scale", [2.0**30, 2.0**45, 1e13])
def test_encoded_values_come_back(backend: str, log_n: int, scale: float) -> None:
    n, p = 1 << log_n, PRIMES[0]
    slots = random_slots(f"encoded {n}", n // 2)
    words = embedding.encode(slots, scale, Moduli(log_n, (p,)), backend=backend)[0]
    signed = np.where(words > p // 2, -(p - words).astype(np.float64), words.astype(np.float64))
    back = embedding.decode(signed, scale, backend=backend)
    # Each coefficient is off by a half at most, and a slot is a sum of n of them.
    assert np.max(np.abs(back - slots)) <= n / 2 / scale + tolerance(n // 2, 1.5, 2)


@every_backend
@pytest.mark.parametrize("log_n", [3, 4, 5, 6])
def test_rotation_and_conjugation_are_automorphisms(backend: str, log_n: int) -> None:
    n = 1 << log_n
    slots = random_slots(f"rotation {n}", n // 2)
    coefficients = embedding.to_coefficients(slots, log_n, backend=backend).tolist()
    allowed = tolerance(n // 2, 2.0, 2)
    for steps in (1, 2, n // 2 - 1):
        moved = np.array(reference.automorphism(coefficients, pow(5, steps, 2 * n)))
        found = embedding.decode(moved, 1.0, backend=backend)
        assert np.max(np.abs(found - np.roll(slots, -steps))) <= allowed
    mirrored = np.array(reference.automorphism(coefficients, 2 * n - 1))
    assert np.max(np.abs(embedding.decode(mirrored, 1.0, backend=backend) - slots.conj())) <= allowed


@every_backend
@pytest.mark.parametrize("log_n", [2, 3, 6, 7])
def test_products_of_polynomials_are_products_of_slots(backend: str, log_n: int) -> None:
    n = 1 << log_n
    a, b = random_slots(f"product {n}", 2, n // 2)
    first, second = embedding.to_coefficients(np.stack([a, b]), log_n, backend=backend)
    product = np.array(reference.multiply(first.tolist(), second.tolist()))
    assert np.max(np.abs(embedding.decode(product, 1.0, backend=backend) - a * b)) <= tolerance(
        n // 2, 4.0, 3
    )


@given(
    seed=st.integers(0, 1 << 32),
    log_n=st.integers(2, 9),
    weights=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
)
def test_linear(seed: int, log_n: int, weights: tuple[float, float]) -> None:
    n = 1 << log_n
    a, b = random_slots(f"linear {seed}", 2, n // 2)
    u, v = weights
    whole = embedding.to_coefficients(u * a + v * b, log_n)
    parts = u * embedding.to_coefficients(a, log_n) + v * embedding.to_coefficients(b, log_n)
    assert np.max(np.abs(whole - parts)) <= tolerance(n // 2, 1.5 * (abs(u) + abs(v)) + 1e-300, 3)


# Residues


@every_backend
@pytest.mark.parametrize("bits", [1, 20, 51, 53, 60.9, 61.1, 62, 63, 64, 100, 122.9, 123.1, 185, 500, 999])
def test_residues_are_exact(backend: str, bits: float) -> None:
    basis = Moduli(7, PRIMES + (2**60 - 173,) * 16)  # a product above 2^1001
    rows = random_reals(f"residues {bits}", 2, basis.n) * 2.0**bits
    rows[0, 3] = math.ldexp(1.0, int(bits)) * (1 - 2.0**-53)
    found = embedding.to_residues(rows, basis, backend=backend)
    for row, words in zip(rows, found, strict=True):
        assert np.array_equal(words, np.array(reference.to_residues(row.tolist(), basis.primes), np.uint64))


@every_backend
@given(value=st.floats(-(2.0**61), 2.0**61), small=st.floats(-4, 4))
def test_any_double_is_rounded_to_even(backend: str, value: float, small: float) -> None:
    values = [value, math.floor(small) + 0.5, small, float(math.floor(value) % 2**52) + 0.5]
    found = embedding.to_residues(np.array(values), Moduli(2, PRIMES), backend=backend)
    assert np.array_equal(found, np.array(reference.to_residues(values, PRIMES), np.uint64))


@every_backend
@pytest.mark.parametrize("scale", [2.0**20, 2.0**58, 2.0**61, 2.0**90, 2.0**200, Fraction(2**80, 2**40 - 87)])
def test_encode_is_its_two_halves(backend: str, scale: Any) -> None:
    """Whichever way the size of the values makes it go."""
    for log_n in (4, 8, 12):
        basis = Moduli(log_n, PRIMES)
        slots = random_slots(f"halves {log_n}", 2, 1 << (log_n - 1))
        whole = embedding.encode(slots, scale, basis, backend=backend)
        coefficients = embedding.to_coefficients(slots, log_n, scale=scale, backend=backend)
        assert np.array_equal(whole, embedding.to_residues(coefficients, basis, backend=backend))


# Backends and threads


@every_degree
def test_backends_give_the_same_bits(log_n: int) -> None:
    n = 1 << log_n
    slots = random_slots(f"same {n}", n // 2)
    slots[: n // 4] *= 2.0**30
    basis = Moduli(log_n, PRIMES[:3])

    def run(backend: str) -> list[np.ndarray]:
        coefficients = embedding.to_coefficients(slots, log_n, scale=1e9, backend=backend)
        back = embedding.decode(coefficients, 1e9, backend=backend)
        return [coefficients, back, embedding.encode(slots.real, 1e9, basis, backend=backend)]

    first = run(BACKENDS[0])
    for backend in BACKENDS[1:]:
        for ours, theirs in zip(run(backend), first, strict=True):
            assert ours.tobytes() == theirs.tobytes()


@every_backend
def test_threads_change_nothing(backend: str) -> None:
    basis = Moduli(12, PRIMES[:2])
    slots = random_slots("threads", 5, 7, 2048)
    results = []
    for threads in (1, 2, 5):
        options: dict[str, Any] = {"backend": backend, "threads": threads}
        words = embedding.encode(slots, 2.0**40, basis, **options)
        big = embedding.encode(slots, 2.0**70, basis, **options)
        coefficients = embedding.to_coefficients(slots, 12, **options)
        results.append((words, big, coefficients, embedding.decode(coefficients, 1.0, **options)))
        assert words.shape == (5, 7, 2, 4096)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()
