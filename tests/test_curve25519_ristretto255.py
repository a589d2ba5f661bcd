# SPDX-License-Identifier: Apache-2.0
"""Ristretto255: the vectors of RFC 9496, the reference, the group laws, and what a peer may send."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import ristretto255
from crypsis.errors import InvalidPoint
from reference import ristretto255 as reference
from reference.curve25519 import ORDER, P

VECTORS = json.loads((Path(__file__).parent / "vectors" / "curve25519_ristretto255.json").read_text())
INVALID = [bytes.fromhex(text) for texts in VECTORS["invalid"].values() for text in texts]
GENERATOR = bytes.fromhex(VECTORS["multiples"][1])
IDENTITY = bytes(32)


def rows(*items: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(items), np.uint8).reshape(len(items), -1).copy()


def scalar_rows(*values: int) -> np.ndarray:
    return rows(*(value.to_bytes(32, "little") for value in values))


def elements(seed: int, n: int) -> np.ndarray:
    return ristretto255.derive(np.random.default_rng(seed).integers(0, 256, (n, 64), np.uint8))


# Known answers


def test_multiples_of_the_generator() -> None:
    expected = rows(*map(bytes.fromhex, VECTORS["multiples"]))
    scalars = scalar_rows(*range(16))
    assert (ristretto255.scalar_mult_base(scalars) == expected).all()
    generators = rows(*[GENERATOR] * 16)
    assert (ristretto255.scalar_mult(scalars, generators) == expected).all()
    total = rows(IDENTITY)
    for row in expected:
        assert (total[0] == row).all()
        total = ristretto255.add(total, rows(GENERATOR))
    ristretto255.check(expected)


@pytest.mark.parametrize("bad", INVALID, ids=bytes.hex)
def test_invalid_encodings(bad: bytes) -> None:
    assert reference.decode(bad) is None
    good = rows(GENERATOR, GENERATOR, bad, bad)
    calls = (
        lambda: ristretto255.check(good),
        lambda: ristretto255.scalar_mult(scalar_rows(1)[0], good),
        lambda: ristretto255.add(good, good),
        lambda: ristretto255.sub(elements(1, 4), good),
    )
    for call in calls:
        with pytest.raises(InvalidPoint, match="row 2 "):
            call()


def test_derivation() -> None:
    for label, element in VECTORS["derived"]:
        uniform = hashlib.sha512(label.encode()).digest()
        assert ristretto255.derive(rows(uniform)[0]).tobytes().hex() == element
        assert reference.encode(reference.derive(uniform)).hex() == element
    alike = VECTORS["derived_alike"]
    got = ristretto255.derive(rows(*map(bytes.fromhex, alike["uniform"])))
    assert {row.tobytes().hex() for row in got} == {alike["element"]}


def test_reference_meets_the_vectors() -> None:
    generator = reference.generator()
    for k, text in enumerate(VECTORS["multiples"]):
        assert reference.encode(reference.multiply(k, generator)).hex() == text


# Differential


def test_scalar_mult_equals_reference() -> None:
    points = elements(2, 12)
    scalars = np.random.default_rng(3).integers(0, 256, (12, 32), np.uint8)  # most of them above the order
    got = ristretto255.scalar_mult(scalars, points)
    base = ristretto255.scalar_mult_base(scalars)
    for k, point, multiple, base_multiple in zip(scalars, points, got, base, strict=True):
        decoded = reference.decode(point.tobytes())
        assert decoded is not None
        factor = int.from_bytes(k.tobytes(), "little")
        assert multiple.tobytes() == reference.encode(reference.multiply(factor, decoded))
        assert base_multiple.tobytes() == reference.encode(reference.multiply(factor, reference.generator()))


def test_sums_equal_reference() -> None:
    a, b = elements(4, 12), elements(5, 12)
    for left, right, total, difference in zip(
        a, b, ristretto255.add(a, b), ristretto255.sub(a, b), strict=True
    ):
        p, q = reference.decode(left.tobytes()), reference.decode(right.tobytes())
        assert p is not None
        assert q is not None
        assert total.tobytes() == reference.encode(reference.add(p, q))
        assert difference.tobytes() == reference.encode(reference.add(p, reference.negate(q)))


def test_derivation_equals_reference() -> None:
    random = np.random.default_rng(6).integers(0, 256, (20, 64), np.uint8)
    special = [
        value.to_bytes(32, "little") * 2
        for value in (0, 1, 2, P - 1, P, P + 18, 2**255 - 1, 2**255, 2**256 - 1, reference.I, P - reference.I)
    ]
    uniform = np.concatenate([random, rows(*special)])
    for row, element in zip(uniform, ristretto255.derive(uniform), strict=True):
        assert element.tobytes() == reference.encode(reference.derive(row.tobytes()))


def test_scalar_reduction_equals_reference() -> None:
    edges = [k * ORDER + d for k in (0, 1, 2, 15, 2**130, 2**259) for d in (-1, 0, 1)] + [2**512 - 1, 2**252]
    edges += [2**k - 1 for k in range(0, 513, 31)]
    wide = rows(*((value % 2**512).to_bytes(64, "little") for value in edges))
    wide = np.concatenate([wide, np.random.default_rng(7).integers(0, 256, (200, 64), np.uint8)])
    for row, scalar in zip(wide, ristretto255.reduce_scalars(wide), strict=True):
        assert int.from_bytes(scalar.tobytes(), "little") == reference.reduce_scalar(row.tobytes())


def test_encodings_of_random_bytes_are_judged_as_the_reference_does() -> None:
    candidates = np.random.default_rng(8).integers(0, 256, (200, 32), np.uint8)
    candidates[:, 31] &= 127
    candidates[:, 0] &= 254
    n_good = 0
    for row in candidates:
        decoded = reference.decode(row.tobytes())
        if decoded is None:
            with pytest.raises(InvalidPoint):
                ristretto255.check(row)
        else:
            ristretto255.check(row)
            n_good += 1
    assert 20 < n_good < 100


# Algebra

whole = st.integers(0, 2**256 - 1)


@settings(max_examples=25, deadline=None)
@given(whole, whole, st.integers(0, 2**32))
def test_group_laws(x: int, y: int, seed: int) -> None:
    a, b, c = (element[None] for element in elements(seed, 3))
    add, sub, mult = ristretto255.add, ristretto255.sub, ristretto255.scalar_mult
    assert (add(a, b) == add(b, a)).all()
    assert (add(add(a, b), c) == add(a, add(b, c))).all()
    assert (sub(add(a, b), b) == a).all()
    assert (sub(a, a) == 0).all()
    assert (add(a, rows(IDENTITY)) == a).all()
    k, m = scalar_rows(x), scalar_rows(y)
    assert (add(mult(k, a), mult(m, a)) == mult(scalar_rows((x + y) % ORDER), a)).all()
    assert (mult(k, mult(m, a)) == mult(scalar_rows(x * y % ORDER), a)).all()
    assert (mult(k, add(a, b)) == add(mult(k, a), mult(k, b))).all()


@pytest.mark.parametrize(
    "k",
    [
        0,
        1,
        2,
        7,
        8,
        9,
        15,
        16,
        17,
        ORDER - 1,
        ORDER,
        ORDER + 1,
        2**252,
        2**256 - 1,
        0x88 << 240,
        int("8" * 60, 16),
    ],
)
def test_extreme_scalars(k: int) -> None:
    point = elements(9, 1)
    decoded = reference.decode(point.tobytes())
    assert decoded is not None
    scalars = scalar_rows(k)
    assert ristretto255.scalar_mult(scalars, point).tobytes() == reference.encode(
        reference.multiply(k, decoded)
    )
    expected = reference.encode(reference.multiply(k, reference.generator()))
    assert ristretto255.scalar_mult_base(scalars).tobytes() == expected


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 17])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_batch_equals_its_rows(n: int, threads: int) -> None:
    points, scalars = elements(10, n), ristretto255.random_scalars(n)
    got = ristretto255.scalar_mult(scalars, points, threads=threads)
    base = ristretto255.scalar_mult_base(scalars, threads=threads)
    for i in range(n):
        assert (ristretto255.scalar_mult(scalars[i], points[i]) == got[i]).all()
        assert (ristretto255.scalar_mult_base(scalars[i]) == base[i]).all()
    if n:
        one = ristretto255.scalar_mult(scalars[0], points, threads=threads)
        assert (one[-1] == ristretto255.scalar_mult(scalars[0], points[-1])).all()


# Arguments


def test_the_identity_can_be_refused() -> None:
    batch = rows(GENERATOR, IDENTITY)
    ristretto255.check(batch)
    with pytest.raises(InvalidPoint, match="row 1 is the identity"):
        ristretto255.check(batch, allow_identity=False)


def test_equality() -> None:
    a = elements(11, 3)
    b = a.copy()
    b[1, 31] ^= 1
    assert ristretto255.equal(a, b).tolist() == [True, False, True]


def test_random_scalars_are_canonical_and_differ() -> None:
    scalars = ristretto255.random_scalars(200)
    values = {int.from_bytes(row.tobytes(), "little") for row in scalars}
    assert len(values) == 200
    assert max(values) < ORDER
    assert ristretto255.random_scalars(0).shape == (0, 32)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ristretto255.check(np.zeros((2, 31), np.uint8)), "shape"),
        (
            lambda: ristretto255.scalar_mult(np.zeros((2, 32), np.uint8), np.zeros((3, 32), np.uint8)),
            "scalars",
        ),
        (lambda: ristretto255.scalar_mult(np.zeros((1, 32), np.uint8), np.zeros(32, np.uint8)), "scalars"),
        (lambda: ristretto255.add(np.zeros((2, 32), np.uint8), np.zeros((3, 32), np.uint8)), "shape"),
        (lambda: ristretto255.equal(np.zeros((2, 32), np.uint8), np.zeros((3, 32), np.uint8)), "shape"),
        (lambda: ristretto255.derive(np.zeros((2, 32), np.uint8)), "64"),
        (lambda: ristretto255.reduce_scalars(np.zeros(32, np.uint8)), "64"),
        (lambda: ristretto255.check(np.zeros((4, 64), np.uint8)[:, ::2]), "C-contiguous"),
        (lambda: ristretto255.random_scalars(-1), "n_items is -1"),
        (lambda: ristretto255.scalar_mult_base(np.zeros((1, 32), np.uint8), threads=0), "threads"),
    ],
)
def test_wrong_arguments(call: object, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        call()  # type: ignore[operator]


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="elements"):
        ristretto255.check(bytes(32))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float"):
        ristretto255.scalar_mult_base(np.zeros((1, 32)))  # type: ignore[arg-type]
