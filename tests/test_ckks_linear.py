# SPDX-License-Identifier: Apache-2.0
"""Matrices, inner sums and scalar products on ciphertexts, within the bound that the noise estimate gives."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import (
    SECURE,
    SWITCHING,
    TINY,
    TWO_DIGITS,
    WIDE,
    check,
    numbers,
    parameters,
    public_key,
    secret_key,
)
from crypsis import backends, ckks, ntt, rns
from crypsis._ckks import linear
from crypsis._ckks.rotated_sums import rotated_sums, unfused
from crypsis.errors import LevelError, MissingKey

N_SLOTS = 512


@cache
def all_rotations(literal: ckks.Literal) -> ckks.PublicKey:
    """Keys for every rotation that these tests need."""
    shifts = {1 << i for i in range(9)} | set(range(1, 64))
    shifts |= (
        {k % N_SLOTS for k in range(-64, 64, 8)}
        | set(range(0, N_SLOTS, 64))
        | set(range(N_SLOTS - 8, N_SLOTS))
    )
    return secret_key(literal).public_key(relinearise=True, rotations=sorted(shifts))


def encrypted(literal: ckks.Literal, values: Any, keys: ckks.PublicKey | None = None) -> ckks.CkksArray:
    return secret_key(literal).encrypt(values, magnitude=1, keys=keys or all_rotations(literal))


@pytest.mark.parametrize("literal", SWITCHING)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0,)])
def test_square_matrix(literal: ckks.Literal, shape: tuple[int, ...]) -> None:
    secret = secret_key(literal)
    x, a = numbers(*shape, 16), numbers(16, 16, seed=1)
    matrix = ckks.Matrix(parameters(literal), a)
    keys = secret.public_key(rotations=matrix.rotations)
    found = matrix @ encrypted(literal, x, keys)
    check(secret, found, x @ a.T)
    assert (found.level, found.canonical, found.length) == (encrypted(literal, x).level - 1, True, 16)
    rest = secret.decrypt(found.with_length(N_SLOTS))[..., 16:]
    assert np.abs(rest).max(initial=0) < found.estimate.bound


def test_batches_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    own, a = parameters(TINY), numbers(12, 12, seed=1)
    array, matrix = encrypted(TINY, numbers(7, 12)), ckks.Matrix(own, a)
    whole = matrix @ array
    monkeypatch.setattr(linear, "BATCH_BYTES", 3 * 8 * own.n * 20 * (4 + 2 * len(matrix._giants)) // 4)
    assert np.array_equal((matrix @ array).data, whole.data)
    assert np.array_equal(ckks.stack([matrix @ row for row in array]).data, whole.data)


@pytest.mark.parametrize("literal", SWITCHING)
def test_repeated_vectors(literal: ckks.Literal) -> None:
    secret = secret_key(literal)
    x, a, b = numbers(2, 20), numbers(30, 20, seed=1), numbers(5, 30, seed=2)
    own = parameters(literal)
    first = ckks.Matrix(own, a, period=32)
    second = ckks.Matrix(own, b, period=32, level=own.top - 1)
    repeating = ckks.rotations_for(own, period=32)
    keys = secret.public_key(rotations={*first.rotations, *second.rotations, *repeating})
    repeated = encrypted(literal, x, keys).repeat(32)
    check(secret, repeated, np.tile(np.pad(x, ((0, 0), (0, 12))), 16))
    once = first @ repeated
    check(secret, once, np.tile(np.pad(x @ a.T, ((0, 0), (0, 2))), 16))
    twice = second @ once
    check(secret, twice, np.tile(np.pad(x @ a.T @ b.T, ((0, 0), (0, 27))), 16))


@settings(max_examples=20)
@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    babies=st.sampled_from([None, 1, 4, 8]),
    period=st.sampled_from([None, 32, N_SLOTS]),
    complex=st.booleans(),
    level=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_shapes(
    rows: int, columns: int, babies: Any, period: Any, complex: bool, level: int, seed: int
) -> None:
    secret, own = secret_key(TINY), parameters(TINY)
    x = numbers(columns, seed=seed, complex=complex)
    a = numbers(rows, columns, seed=seed + 1, complex=complex)
    matrix = ckks.Matrix(own, a, level=level, period=period, babies=babies)
    needed = ckks.rotations_for(own, (rows, columns), level=level, period=period, babies=babies)
    assert set(matrix.rotations) <= set(needed)
    keys = secret.public_key(rotations=matrix.rotations)
    if period is None:
        check(secret, matrix @ encrypted(TINY, x, keys), a @ x)
        return
    repeated = np.tile(np.pad(x, (0, period - columns)), N_SLOTS // period)
    expected = np.tile(np.pad(a @ x, (0, period - rows)), N_SLOTS // period)
    check(secret, matrix @ encrypted(TINY, repeated, keys), expected)


def test_all_slots() -> None:
    """A matrix of as many rows and columns as there are slots, most diagonals of which are zero."""
    secret, own = secret_key(TINY), parameters(TINY)
    shift = np.eye(N_SLOTS, k=1) + np.eye(N_SLOTS, k=1 - N_SLOTS)
    matrix = ckks.Matrix(own, 0.5 * shift + np.diag(numbers(N_SLOTS, seed=3)))
    assert matrix.diagonals == 2
    assert matrix.rotations == (1,)
    x = numbers(N_SLOTS)
    keys = secret.public_key(rotations=matrix.rotations)
    check(secret, matrix @ encrypted(TINY, x, keys), 0.5 * np.roll(x, -1) + numbers(N_SLOTS, seed=3) * x)
    zero = ckks.Matrix(own, np.zeros((4, 4)))
    check(secret, zero @ encrypted(TINY, x[:4], secret.public_key(rotations=zero.rotations)), np.zeros(4))


def test_operators() -> None:
    secret = secret_key(TINY)
    x, a, w = numbers(2, 8), numbers(8, 3, seed=1), numbers(8, seed=2)
    array = encrypted(TINY, x)
    check(secret, array @ a, x @ a)
    check(secret, array.matmul(a), x @ a)
    check(secret, a.T @ array, x @ a)
    check(secret, (array @ w).with_length(1), (x @ w)[:, None])
    for other, error in ((numbers(4), ValueError), (numbers(2, 2, 2), ValueError), ("a", TypeError)):
        with pytest.raises(error, match="operand"):
            array @ other
    with pytest.raises(TypeError, match="matrix @ array"):
        array @ ckks.Matrix(parameters(TINY), a)


@pytest.mark.parametrize("literal", SWITCHING)
@pytest.mark.parametrize("width", [None, 1, 2, 5, 8, 13, 511, 512])
def test_inner_sum(literal: ckks.Literal, width: int | None) -> None:
    secret = secret_key(literal)
    keys = secret.public_key(rotations=ckks.rotations_for(parameters(literal), width=width))
    x = numbers(2, N_SLOTS)
    found = encrypted(literal, x, keys).inner_sum(width)
    rolled = [np.roll(x, -i, axis=1) for i in range(N_SLOTS if width is None else width)]
    check(secret, found, np.sum(rolled, axis=0))


def test_inner_sum_of_short_vectors() -> None:
    secret, x, y = secret_key(TINY), numbers(3, 20), numbers(3, 20, seed=1)
    array, other = encrypted(TINY, x), encrypted(TINY, y)
    check(secret, array.inner_sum(), np.tile(x.sum(1)[:, None], N_SLOTS))
    check(secret, array.inner_sum(20).with_length(1), x.sum(1)[:, None])
    check(secret, array.dot(y).with_length(1), (x * y).sum(1)[:, None])
    check(secret, array.dot(other).with_length(1), (x * y).sum(1)[:, None])
    check(secret, array.dot(other, 20).with_length(1), (x * y).sum(1)[:, None])
    without = secret.encrypt(x, magnitude=1)
    check(secret, without.dot(other, 20).with_length(1), (x * y).sum(1)[:, None])
    check(secret, array.dot(y) * other, (x * y).sum(1)[:, None] * y)


@pytest.mark.parametrize("literal", SWITCHING)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0,)])
@pytest.mark.parametrize("level", [None, 1])
def test_dot_of_batches_and_levels(literal: ckks.Literal, shape: tuple[int, ...], level: int | None) -> None:
    """With an array, with numbers for each row and for all, and with a plaintext; one level less."""
    secret, keys = secret_key(literal), all_rotations(literal)
    x, y = numbers(*shape, 20), numbers(*shape, 20, seed=1)
    array = secret.encrypt(x, magnitude=1, keys=keys, level=level)
    other = secret.encrypt(y, magnitude=1)
    expected = np.tile((x * y).sum(-1, keepdims=True), N_SLOTS)
    for found, wanted in (
        (array.dot(other), expected),
        (other.dot(array), expected),
        (array.dot(y), expected),
        (array.dot(keys.encode(y, level=array.level)), expected),
        (array.dot(y, 20).with_length(1), expected[..., :1]),
        (array.dot(numbers(20, seed=2)), np.tile((x @ numbers(20, seed=2))[..., None], N_SLOTS)),
        (array.inner_sum(), np.tile(x.sum(-1, keepdims=True), N_SLOTS)),
    ):
        check(secret, found, wanted)
        assert found.shape == shape
        assert found.canonical
        assert found.level in (array.level, array.level - 1)
    assert array.dot(y).level == array.level - 1
    assert array.inner_sum().level == array.level


@pytest.mark.parametrize("literal", SWITCHING)
@settings(max_examples=12)
@given(
    rows=st.integers(1, 3),
    length=st.integers(1, N_SLOTS),
    width=st.one_of(st.none(), st.integers(1, N_SLOTS)),
    levels=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    numbers_only=st.booleans(),
    complex=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_dot_and_inner_sum(
    literal: ckks.Literal,
    rows: int,
    length: int,
    width: int | None,
    levels: tuple[int, int],
    numbers_only: bool,
    complex: bool,
    seed: int,
) -> None:
    """Any length and window, operands of two levels: within the bound of the result's own estimate."""
    secret, keys = secret_key(literal), all_rotations(literal)
    x = numbers(rows, length, seed=seed, complex=complex)
    y = numbers(length, seed=seed + 1, complex=complex)
    array = secret.encrypt(x, magnitude=1, keys=keys, level=levels[0])
    other = y if numbers_only else secret.encrypt(y, magnitude=1, level=levels[1])

    def windows(values: Any) -> Any:
        whole = np.pad(values, ((0, 0), (0, N_SLOTS - length)))
        return np.sum(
            [np.roll(whole, -i, axis=1) for i in range(N_SLOTS if width is None else width)], axis=0
        )

    found = array.dot(other, width).with_length(N_SLOTS)
    assert found.level == (levels[0] if numbers_only else min(levels)) - 1
    check(secret, found, windows(x * y))
    found = array.inner_sum(width).with_length(N_SLOTS)
    assert found.level == levels[0]
    check(secret, found, windows(x))


def test_missing_keys_are_named() -> None:
    secret, own = secret_key(TINY), parameters(TINY)
    keys = secret.public_key(rotations=(1, 2))
    array = encrypted(TINY, numbers(16), keys)
    with pytest.raises(MissingKey, match=r"rotations \(4, 8\).*public_key\(rotations=\(4, 8\)\)"):
        array.inner_sum(16)
    matrix = ckks.Matrix(own, numbers(16, 16))
    missing = tuple(k for k in matrix.rotations if k not in (1, 2))
    with pytest.raises(MissingKey) as caught:
        matrix @ array
    assert f"public_key(rotations={missing})" in str(caught.value)
    with pytest.raises(MissingKey, match=r"\(128, 256\)"):
        array.repeat(128)
    with pytest.raises(MissingKey, match="bind"):
        matrix @ secret.encrypt(numbers(16))


def test_bad_matrices() -> None:
    own = parameters(TINY)
    for bad, error, message in (
        (np.zeros(3), ValueError, "rows, columns"),
        (np.zeros((3, 0)), ValueError, "columns"),
        (np.zeros((1, N_SLOTS + 1)), ValueError, "columns"),
        ([["a"]], TypeError, "matrix"),
        ([[np.nan]], ValueError, r"matrix\[0, 0\]"),
        ([[2.0**90]], ValueError, "matrix go up to"),
    ):
        with pytest.raises(error, match=message):
            ckks.Matrix(own, bad)
    a = numbers(4, 4)
    for options, message in (
        ({"period": 3}, "power of two"),
        ({"period": 2}, "period is 2"),
        ({"period": 1024}, "period"),
        ({"babies": 3}, "power of two"),
        ({"babies": 128}, "babies"),
    ):
        with pytest.raises(ValueError, match=message):
            ckks.Matrix(own, a, **options)
    with pytest.raises(LevelError, match="takes a level"):
        ckks.Matrix(own, a, level=0)
    with pytest.raises(ValueError, match="special primes"):
        ckks.Matrix(parameters(WIDE), a)
    with pytest.raises(AttributeError):
        ckks.Matrix(own, a).period = 4  # type: ignore[misc]
    assert "16 x 16" in repr(ckks.Matrix(own, numbers(16, 16)))
    assert "every 16 slots" in repr(ckks.Matrix(own, numbers(16, 16), period=16))


def test_bad_operands() -> None:
    own, public = parameters(TINY), public_key(TINY)
    matrix = ckks.Matrix(own, numbers(4, 4), level=2)
    with pytest.raises(ValueError, match=r"the vectors 5 numbers.*takes 4"):
        matrix @ public.encrypt(numbers(5))
    with pytest.raises(ValueError, match=r"repeat\(4\)"):
        ckks.Matrix(own, numbers(4, 4), period=4) @ public.encrypt(numbers(4))
    with pytest.raises(LevelError, match="level=1"):
        matrix @ public.encrypt(numbers(4), level=1)
    with pytest.raises(ValueError, match=r"the matrix Parameters.*encode it for"):
        ckks.Matrix(parameters(TWO_DIGITS), numbers(4, 4)) @ public.encrypt(numbers(4))
    with pytest.raises(TypeError, match="packed"):
        matrix @ public.encrypt(numbers(4), packed=True)
    with pytest.raises(TypeError, match="packed"):
        public.encrypt(numbers(4), packed=True).inner_sum()
    array = public.encrypt(numbers(4))
    with pytest.raises(ValueError, match="relinearised"):
        array.multiply(array, relinearise=False).dot(numbers(4))
    with pytest.raises(ValueError, match="width"):
        array.inner_sum(0)
    with pytest.raises(ValueError, match="width"):
        array.inner_sum(N_SLOTS + 1)
    with pytest.raises(ValueError, match="period is 2"):
        array.repeat(2)
    with pytest.raises(ValueError, match="shape"):
        numbers(4) @ array
    with pytest.raises(TypeError, match="shape"):
        ckks.rotations_for(own, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width and matrix"):
        ckks.rotations_for(own, (4, 4), width=4)


def test_rotations_for() -> None:
    assert ckks.rotations_for(SECURE, width=5) == (1, 2, 4)
    assert ckks.rotations_for(SECURE, width=1) == ()
    assert ckks.rotations_for(SECURE) == tuple(1 << i for i in range(11))
    assert ckks.rotations_for(SECURE, period=512) == (512, 1024)
    assert ckks.rotations_for(SECURE, (64, 64), period=64, babies=16) == (*range(1, 16), 16, 32, 48)
    own = ckks.Matrix(SECURE, numbers(64, 64), period=64)
    assert own.rotations == ckks.rotations_for(SECURE, (64, 64), period=64)
    assert own.nbytes == 64 * 3 * 4096 * 8


@pytest.mark.parametrize("backend", backends.runnable("rns"))
@pytest.mark.parametrize("literal", SWITCHING)
def test_rotated_sums_are_what_they_say(literal: ckks.Literal, backend: str) -> None:
    """The fused kernel against the steps it stands for, bit for bit."""
    own = parameters(literal)
    chain, level = own.chain, own.top - 1
    full = chain.full(level)
    random = np.random.default_rng(5)

    def residues(*shape: int, basis: Any) -> Any:
        return random.integers(
            0, np.array(basis.primes, np.uint64)[:, None], (*shape, len(basis), own.n), np.uint64
        )

    c = residues(2, 2, basis=chain.basis(level))
    digits = rns.decompose(np.ascontiguousarray(c[:, 1]), chain, level)
    keys = [residues(chain.dnum, 2, basis=own.full) for _ in range(2)]
    rotations = [(5, keys[0]), (1, None), (2 * own.n - 1, keys[1])]
    products = [(0, 1), (1, 0), (1, 1), (1, 2), (0, 2)]
    factors = residues(len(products), basis=full)
    factors[0, :, :8] = np.array(full.primes, np.uint64)[:, None] - 1
    found = rotated_sums(c, digits, rotations, factors, products, chain, level, backend=backend, threads=2)
    special = [own.special_product % q for q in full.primes]
    wide = np.concatenate([c, np.zeros((2, 2, len(full) - level - 1, own.n), np.uint64)], axis=2)
    scaled = ntt.scale(wide, special, full)
    turned = []
    for galois, key in rotations:
        if key is None:
            turned.append(scaled)
            continue
        product = rns.inner_product(digits, key, chain, level, galois=galois)
        moved = ntt.automorphism(np.ascontiguousarray(scaled[:, 0]), galois, full)
        product[:, 0] = ntt.add(np.ascontiguousarray(product[:, 0]), moved, full)
        turned.append(product)
    expected = np.zeros((2, 2, 2, len(full), own.n), np.uint64)
    for (s, r), factor in zip(products, factors, strict=True):
        expected[s] = ntt.multiply_add(turned[r], factor, expected[s], full)
    assert np.array_equal(found, expected)
    steps = unfused(c, digits, rotations, factors, products, chain, level)
    assert np.array_equal(found, steps)


def test_rotated_sums_refuse() -> None:
    own = parameters(TINY)
    chain, level = own.chain, 1
    c = np.zeros((1, 2, 2, own.n), np.uint64)
    digits = rns.decompose(np.ascontiguousarray(c[:, 1]), chain, level)
    factors = np.zeros((2, 3, own.n), np.uint64)
    key = np.zeros(chain.key_shape, np.uint64)
    good: dict[str, Any] = {
        "c": c,
        "digits": digits,
        "rotations": [(1, None), (5, key)],
        "factors": factors,
        "products": [(0, 0), (0, 1)],
        "chain": chain,
        "level": level,
    }
    assert not rotated_sums(**good).any()
    for change, message in (
        ({"c": c[0]}, "leading axis"),
        ({"rotations": []}, "rotations has 0"),
        ({"rotations": [(5, None), (1, None)]}, "only 1 needs none"),
        ({"rotations": [(2, key), (1, None)]}, "odd"),
        ({"factors": factors[:1]}, "a factor for each"),
        ({"products": [(0, 0), (0, 0)]}, "pair twice"),
        ({"products": [(0, 0), (0, 2)]}, r"products\[1\]\[1\]"),
        ({"products": [(1, 0), (1, 1)]}, "without gaps"),
        ({"out": np.zeros((2, 1, 2, 3, own.n), np.uint64)}, "out"),
    ):
        with pytest.raises(ValueError, match=message):
            rotated_sums(**{**good, **change})
