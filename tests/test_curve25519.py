# SPDX-License-Identifier: Apache-2.0
"""curve25519: known answers, differential against the reference, and algebra, on every backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, curve25519
from reference import curve25519 as reference

VECTORS = Path(__file__).parent / "vectors"
RFC7748 = json.loads((VECTORS / "curve25519.json").read_text())
RFC9380 = json.loads((VECTORS / "curve25519_rfc9380.json").read_text())
WYCHEPROOF = json.loads((VECTORS / "curve25519_wycheproof.json").read_text())

every_backend = pytest.mark.parametrize("backend", backends.runnable("curve25519"))
bytes32 = st.binary(min_size=32, max_size=32)


def rows(*items: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(items), dtype=np.uint8).reshape(-1, 32).copy()


def unhex(text: str) -> np.ndarray:
    return rows(bytes.fromhex(text))[0]


def random_rows(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


# Known answers


@every_backend
def test_rfc7748_vectors(backend: str) -> None:
    for vector in RFC7748["scalar_mult"]:
        got = curve25519.scalar_mult(unhex(vector["scalar"]), unhex(vector["u"]), backend=backend)
        assert got.tobytes().hex() == vector["result"]


def iterate(backend: str, n: int) -> str:
    k = u = unhex(RFC7748["iterated"]["start"])
    for _ in range(n):
        k, u = curve25519.scalar_mult(k, u, backend=backend, threads=1), k
    return k.tobytes().hex()


@every_backend
@pytest.mark.parametrize("n", [1, 1000])
def test_rfc7748_iterated(backend: str, n: int) -> None:
    assert iterate(backend, n) == RFC7748["iterated"][str(n)]


@pytest.mark.slow
@every_backend
def test_rfc7748_iterated_a_million_times(backend: str) -> None:
    assert iterate(backend, 1_000_000) == RFC7748["iterated"]["1000000"]


@every_backend
def test_rfc7748_diffie_hellman(backend: str) -> None:
    v = {name: unhex(text) for name, text in RFC7748["diffie_hellman"].items()}
    for me, peer in (("alice", "bob"), ("bob", "alice")):
        private = v[f"{me}_private"]
        assert (curve25519.scalar_mult_base(private, backend=backend) == v[f"{me}_public"]).all()
        assert (curve25519.scalar_mult(private, v[f"{peer}_public"], backend=backend) == v["shared"]).all()


@every_backend
def test_wycheproof(backend: str) -> None:
    table = WYCHEPROOF["rows"]
    assert len(table) == 518
    public, private, shared = (rows(*(bytes.fromhex(row[i]) for row in table)) for i in (3, 4, 5))
    got = curve25519.scalar_mult(private, public, backend=backend)
    wrong = [table[i][0] for i in np.flatnonzero((got != shared).any(axis=1))]
    assert wrong == [], "tcIds"


@pytest.mark.parametrize("suite", ["RO", "NU"])
def test_rfc9380_vectors(suite: str) -> None:
    import pyarrow as pa

    dst = RFC9380["suites"][suite]["dst"].encode()
    vectors = RFC9380["suites"][suite]["vectors"]
    messages = [v["msg"] for v in vectors]
    u, v = curve25519.hash_to_curve(pa.array(messages), dst, random_oracle=suite == "RO")
    for i, vector in enumerate(vectors):
        assert [u[i, ::-1].tobytes().hex(), v[i, ::-1].tobytes().hex()] == vector["P"], messages[i][:20]


@every_backend
@pytest.mark.parametrize("suite", ["RO", "NU"])
def test_rfc9380_intermediate_map(backend: str, suite: str) -> None:
    for vector in RFC9380["suites"][suite]["vectors"]:
        elements = rows(*(bytes.fromhex(u)[::-1] for u in vector["u"]))
        got = curve25519.map_to_curve(elements, backend=backend)
        assert [row[::-1].tobytes().hex() for row in got] == [q[0] for q in vector["Q"]]


@pytest.mark.parametrize("suite", ["RO", "NU"])
def test_reference_meets_rfc9380(suite: str) -> None:
    dst = RFC9380["suites"][suite]["dst"].encode()
    for vector in RFC9380["suites"][suite]["vectors"]:
        message = vector["msg"].encode()
        field = reference.hash_to_field(message, dst, len(vector["u"]))
        assert [f"{u:064x}" for u in field] == vector["u"]
        assert [[f"{c:064x}" for c in reference.map_to_curve_elligator2(u)] for u in field] == vector["Q"]
        point = reference.hash_to_curve(message, dst, suite == "RO")
        assert point is not None
        assert [f"{c:064x}" for c in point] == vector["P"]


def test_reference_meets_rfc7748() -> None:
    for vector in RFC7748["scalar_mult"]:
        got = reference.x25519(bytes.fromhex(vector["scalar"]), bytes.fromhex(vector["u"]))
        assert got.hex() == vector["result"]


# Differential


@every_backend
def test_scalar_mult_equals_reference(backend: str) -> None:
    scalars, points = random_rows(1, 24), random_rows(2, 24)  # half of them on the twist
    got = curve25519.scalar_mult(scalars, points, backend=backend)
    for k, u, result in zip(scalars, points, got, strict=True):
        assert result.tobytes() == reference.x25519(k.tobytes(), u.tobytes())


@every_backend
def test_scalar_mult_equals_cryptography(backend: str) -> None:
    x25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.x25519")
    scalars, points = random_rows(3, 500), random_rows(4, 500)
    got = curve25519.scalar_mult(scalars, points, backend=backend)
    for k, u, result in zip(scalars, points, got, strict=True):
        private = x25519.X25519PrivateKey.from_private_bytes(k.tobytes())
        assert result.tobytes() == private.exchange(x25519.X25519PublicKey.from_public_bytes(u.tobytes()))


@every_backend
def test_map_to_curve_equals_reference(backend: str) -> None:
    elements = random_rows(5, 200)
    got = curve25519.map_to_curve(elements, backend=backend)
    for r, u in zip(elements, got, strict=True):
        expected, _ = reference.map_to_curve_elligator2(reference.decode(r.tobytes()))
        assert u.tobytes() == reference.encode(expected)


@pytest.mark.parametrize("random_oracle", [True, False])
def test_hash_to_curve_equals_reference(random_oracle: bool) -> None:
    import pyarrow as pa

    # Every length around the SHA-512 block boundaries, and every size of DST around its own.
    messages = [
        bytes(range(n % 256)) * (n // 256 + 1) for n in (*range(0, 140, 7), 111, 112, 113, 127, 128, 129)
    ]
    for dst in (b"d", b"x" * 47, bytes(range(1, 256))):
        u, v = curve25519.hash_to_curve(pa.array(messages, pa.binary()), dst, random_oracle=random_oracle)
        for i, message in enumerate(messages):
            expected = reference.hash_to_curve(message, dst, random_oracle)
            assert expected is not None
            assert (u[i].tobytes(), v[i].tobytes()) == tuple(map(reference.encode, expected))


def test_sha256_to_u_is_the_digest() -> None:
    import hashlib

    messages = random_rows(6, 10)
    expected = rows(*(hashlib.sha256(m.tobytes()).digest() for m in messages))
    assert (curve25519.sha256_to_u(messages) == expected).all()


# Algebra


@every_backend
@settings(max_examples=50, deadline=None)
@given(a=bytes32, b=bytes32, u=bytes32)
def test_scalars_commute(backend: str, a: bytes, b: bytes, u: bytes) -> None:
    ka, kb, point = rows(a)[0], rows(b)[0], rows(u)[0]
    ab = curve25519.scalar_mult(ka, curve25519.scalar_mult(kb, point, backend=backend), backend=backend)
    ba = curve25519.scalar_mult(kb, curve25519.scalar_mult(ka, point, backend=backend), backend=backend)
    assert (ab == ba).all()


@settings(max_examples=50, deadline=None)
@given(k=bytes32, u=bytes32)
def test_backends_agree(k: bytes, u: bytes) -> None:
    scalar, point = rows(k)[0], rows(u)[0]
    names = backends.runnable("curve25519")
    assert len({curve25519.scalar_mult(scalar, point, backend=name).tobytes() for name in names}) == 1
    assert len({curve25519.map_to_curve(point, backend=name).tobytes() for name in names}) == 1


@every_backend
@settings(max_examples=50, deadline=None)
@given(r=bytes32)
def test_map_ignores_the_sign_and_lands_on_the_curve(backend: str, r: bytes) -> None:
    element = reference.decode(r)
    pair = rows(reference.encode(element), reference.encode(-element))
    first, second = curve25519.map_to_curve(pair, backend=backend)
    assert (first == second).all()
    assert reference.is_square(reference.curve_right_side(int.from_bytes(first.tobytes(), "little")))


def test_hash_to_curve_lands_in_the_subgroup() -> None:
    u, v = curve25519.hash_to_curve(random_rows(7, 3), b"subgroup")
    for i in range(3):
        point = (int.from_bytes(u[i].tobytes(), "little"), int.from_bytes(v[i].tobytes(), "little"))
        assert point[1] ** 2 % reference.P == reference.curve_right_side(point[0])
        assert reference.multiply(reference.ORDER, point) is None
