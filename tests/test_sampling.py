# SPDX-License-Identifier: Apache-2.0
"""sampling: fixed answers, the definitions, extreme streams, distributions of fixed seeds, arguments."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import backends, sampling
from crypsis.errors import BackendUnavailable
from embedding_cases import PRIMES, Moduli, random_bytes
from reference import sampling as reference

BACKENDS = backends.runnable("sampling")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
BASIS = Moduli(4, PRIMES)
VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "sampling.json").read_text(encoding="utf-8")
)


def vector_stream(label: str, n_bytes: int) -> np.ndarray:
    digest = hashlib.shake_128(f"crypsis sampling {label}".encode()).digest(n_bytes)
    return np.frombuffer(digest, np.uint8)


def expected_uniform(stream: np.ndarray) -> np.ndarray:
    """Of uint8[primes, n, 16]."""
    rows = [reference.uniform(row.tobytes(), p) for row, p in zip(stream, PRIMES, strict=True)]
    return np.array(rows, np.uint64)


def expected_flood(stream: np.ndarray, bits: int) -> np.ndarray:
    return np.array([reference.flood(stream.tobytes(), bits, p) for p in PRIMES], np.uint64)


# Known answers and the definitions


@every_backend
def test_fixed_answers(backend: str) -> None:
    """What a seed stands for may never change."""
    n, basis = VECTORS["n"], Moduli(4, tuple(VECTORS["primes"]))
    wide = vector_stream("uniform", 16 * n).reshape(1, n, 16)
    stream = np.ascontiguousarray(np.broadcast_to(wide, (len(basis), n, 16)))
    assert sampling.uniform(stream, basis, backend=backend).tolist() == VECTORS["uniform"]
    wide = vector_stream("flood", 16 * n).reshape(n, 16)
    for bits, expected in VECTORS["flood"].items():
        assert sampling.flood(wide, int(bits), basis, backend=backend).tolist() == expected
    for sample, width in ((sampling.ternary, 8), (sampling.binomial, 6)):
        found = sample(vector_stream(sample.__name__, width * n), n, backend=backend)
        assert found.tolist() == VECTORS[sample.__name__]


@every_backend
def test_every_length_and_offset(backend: str) -> None:
    data = random_bytes("lengths", 16 * 140 * len(PRIMES) + 64)
    for n in [*range(35), 63, 64, 65, 127, 128, 129, 135]:
        for start in (0, 1, 5):
            wide = data[start : start + 16 * n * len(PRIMES)].reshape(len(PRIMES), n, 16)
            assert np.array_equal(sampling.uniform(wide, BASIS, backend=backend), expected_uniform(wide))
            words = data[start : start + 8 * n]
            assert sampling.ternary(words, n, backend=backend).tolist() == reference.ternary(words.tobytes())
            words = data[start : start + 6 * n]
            assert sampling.binomial(words, n, backend=backend).tolist() == reference.binomial(
                words.tobytes()
            )


@every_backend
@pytest.mark.parametrize("bits", [0, 1, 19, 31, 32, 59, 60, 62, 63, 64, 65, 95, 99, 100])
def test_flooding_values(backend: str, bits: int) -> None:
    stream = random_bytes(f"flood {bits}", 50, 16)
    found = sampling.flood(stream, bits, BASIS, backend=backend)
    assert np.array_equal(found, expected_flood(stream, bits))


def extreme_numbers() -> list[int]:
    """Around multiples of each prime, of words and of their ends."""
    around = [0, 1 << 32, 1 << 63, 1 << 64, 1 << 96, 1 << 127, 1 << 128]
    for p in PRIMES:
        for multiple in (1, 2, (1 << 64) // p, (1 << 96) // p, (1 << 127) // p, (1 << 128) // p):
            around += [p * multiple, p * multiple + p // 2]
        around += [(p - 1) << 64, (p // 2) << 64, (p // 2 + 1) << 64, p << 32]
    return sorted({x + d for x in around for d in (-1, 0, 1) if 0 <= x + d < 1 << 128})


@every_backend
def test_extreme_numbers(backend: str) -> None:
    numbers = extreme_numbers()
    row = np.frombuffer(b"".join(x.to_bytes(16, "little") for x in numbers), np.uint8).reshape(-1, 16)
    stream = np.ascontiguousarray(np.broadcast_to(row, (len(PRIMES), *row.shape)))
    assert np.array_equal(sampling.uniform(stream, BASIS, backend=backend), expected_uniform(stream))
    for bits in (0, 40, 64, 100):
        assert np.array_equal(sampling.flood(row, bits, BASIS, backend=backend), expected_flood(row, bits))


@every_backend
def test_bounds_of_ternary(backend: str) -> None:
    """Each value's interval to its ends."""
    bounds = [0, (1 << 64) // 3, (1 << 65) // 3, (1 << 64) - 1, 1 << 63]
    numbers = sorted({x + d for x in bounds for d in (-1, 0, 1, 2) if 0 <= x + d < 1 << 64}) * 9
    stream = np.array(numbers, "<u8").view(np.uint8)
    found = sampling.ternary(stream, len(numbers), backend=backend)
    assert found.tolist() == reference.ternary(stream.tobytes())
    assert set(found.tolist()) == {-1, 0, 1}


@every_backend
def test_each_coin_counts_once(backend: str) -> None:
    numbers = [0, (1 << 21) - 1, ((1 << 21) - 1) << 21, (1 << 48) - 1, *(1 << bit for bit in range(48))]
    stream = np.frombuffer(b"".join(x.to_bytes(6, "little") for x in numbers), np.uint8)
    expected = [0, 21, -21, 0] + [1] * 21 + [-1] * 21 + [0] * 6
    assert sampling.binomial(stream, len(numbers), backend=backend).tolist() == expected


# Distributions. Streams are fixed, so a test fails always or never: the level says how surprising a failure would be.


def chi_square_bound(degrees: int) -> float:
    """Exceeded with probability 1e-6: Wilson and Hilferty's cube of a normal variable at 4.75."""
    return degrees * (1 - 2 / (9 * degrees) + 4.753 * math.sqrt(2 / (9 * degrees))) ** 3


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = counts.sum() * probabilities
    return float(np.sum((counts - expected) ** 2 / expected))


def test_ternary_is_uniform() -> None:
    n = 300_000
    values = sampling.ternary(random_bytes("ternary", 8 * n), n)
    counts = np.bincount(values.astype(np.int64) + 1, minlength=3)
    assert len(counts) == 3
    assert chi_square(counts, np.full(3, 1 / 3)) <= chi_square_bound(2)


def test_binomial_distribution_and_moments() -> None:
    n = 400_000
    values = sampling.binomial(random_bytes("binomial", 6 * n), n).astype(np.int64)
    weights = np.array([math.comb(42, k) for k in range(43)]) / 2.0**42
    counts = np.bincount(values + 21, minlength=43)
    rare = weights * n < 10  # joined into one class at each end
    middle = np.flatnonzero(~rare)
    low, high = middle[0], middle[-1] + 1
    joined = np.concatenate([[counts[:low].sum()], counts[low:high], [counts[high:].sum()]])
    joined_weights = np.concatenate([[weights[:low].sum()], weights[low:high], [weights[high:].sum()]])
    assert chi_square(joined, joined_weights) <= chi_square_bound(len(joined) - 1)
    # Five standard deviations of each mean: variance 10.5, third moment 0, fourth 10.5 (3 * 10.5 - 0.5).
    assert abs(values.mean()) <= 5 * math.sqrt(10.5 / n)
    fourth = 10.5 * (3 * 10.5 - 0.5)
    assert abs((values**2).mean() - 10.5) <= 5 * math.sqrt((fourth - 10.5**2) / n)
    assert abs((values**3).mean()) <= 5 * math.sqrt(15 * 10.5**3 / n)
    assert math.isclose(sampling.SIGMA**2, 10.5)


def test_uniform_fills_its_range() -> None:
    n = 200_000
    for p in (PRIMES[0], PRIMES[-1], 2**20 + 7):
        values = sampling.uniform(random_bytes(f"uniform {p}", 1, n, 16), Moduli(4, (p,)))[0]
        assert values.max() < p
        counts = np.bincount((values * (256 / p)).astype(np.int64), minlength=256)
        assert chi_square(counts, np.full(256, 1 / 256)) <= chi_square_bound(255)


# Shapes, backends, threads, arguments


def test_threads_and_batches_change_nothing() -> None:
    stream = random_bytes("threads", 3, 2, len(PRIMES), 5000, 16)
    whole = sampling.uniform(stream, BASIS, threads=1)
    assert whole.shape == (3, 2, len(PRIMES), 5000)
    assert np.array_equal(whole, sampling.uniform(stream, BASIS, threads=3))
    assert np.array_equal(whole[2, 1], sampling.uniform(stream[2, 1], BASIS))
    flooded = sampling.flood(stream, 70, BASIS, threads=1)
    assert flooded.shape == (3, 2, len(PRIMES), len(PRIMES), 5000)
    assert np.array_equal(flooded, sampling.flood(stream, 70, BASIS, threads=3))
    flat = stream.reshape(3, -1)
    for sample, width in ((sampling.ternary, 8), (sampling.binomial, 6)):
        n = flat.shape[1] // width
        rows = np.ascontiguousarray(flat[:, : width * n])
        values = sample(rows, n, threads=1)
        assert values.shape == (3, n)
        assert np.array_equal(values, sample(rows, n, threads=3))
        assert np.array_equal(values[1], sample(rows[1], n))


@pytest.mark.parametrize("shape", [(0, len(PRIMES), 5, 16), (2, len(PRIMES), 0, 16)])
def test_nothing_to_sample(shape: tuple[int, ...]) -> None:
    assert sampling.uniform(np.empty(shape, np.uint8), BASIS).shape == shape[:-1]
    assert sampling.ternary(np.empty(0, np.uint8), 0).shape == (0,)


def test_out_is_written_and_returned() -> None:
    stream = random_bytes("out", len(PRIMES), 9, 16)
    out = np.empty((len(PRIMES), 9), np.uint64)
    assert sampling.uniform(stream, BASIS, out=out) is out
    assert np.array_equal(out, sampling.uniform(stream, BASIS))
    small = np.empty(6, np.int8)
    assert sampling.binomial(stream.reshape(-1)[:36], 6, out=small) is small
    with pytest.raises(ValueError, match="out has shape"):
        sampling.binomial(stream.reshape(-1)[:36], 6, out=np.empty(5, np.int8))
    memory = np.zeros(800, np.uint8)
    with pytest.raises(ValueError, match="out overlaps stream"):
        sampling.ternary(memory, 100, out=memory[:100].view(np.int8))


WIDE = np.zeros((len(PRIMES), 4, 16), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sampling.uniform(WIDE[1:], BASIS), ValueError, "stream has shape"),
        (lambda: sampling.uniform(WIDE[0], BASIS), ValueError, "give uint8"),
        (lambda: sampling.uniform(WIDE[..., :8].copy(), BASIS), ValueError, "give uint8"),
        (lambda: sampling.uniform(WIDE[:, ::2], BASIS), ValueError, "not C-contiguous"),
        (lambda: sampling.uniform(WIDE.astype(np.int8), BASIS), TypeError, "NumPy array of uint8"),
        (lambda: sampling.uniform(WIDE, PRIMES), TypeError, "give an ntt.Basis"),
        (lambda: sampling.uniform(WIDE[:1], Moduli(4, (2**60 + 33,))), ValueError, "out of range"),
        (lambda: sampling.uniform(WIDE[:1], Moduli(4, (2**20 - 3,))), ValueError, "out of range"),
        (lambda: sampling.flood(WIDE[0], 101, BASIS), ValueError, "bits is 101"),
        (lambda: sampling.flood(WIDE[0], -1, BASIS), ValueError, "bits is -1"),
        (lambda: sampling.flood(WIDE[0], 3.0, BASIS), TypeError, "bits is float"),  # type: ignore[arg-type]
        (lambda: sampling.ternary(np.zeros(23, np.uint8), 3), ValueError, "give uint8"),
        (lambda: sampling.binomial(np.zeros(24, np.uint8), 3), ValueError, "6 bytes a value"),
        (lambda: sampling.binomial(np.zeros(0, np.uint8), -1), ValueError, "n is -1"),
        (lambda: sampling.uniform(WIDE, BASIS, backend="sse9"), BackendUnavailable, "sse9"),
        (lambda: sampling.uniform(WIDE, BASIS, threads=0), ValueError, "threads is 0"),
    ],
)
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
