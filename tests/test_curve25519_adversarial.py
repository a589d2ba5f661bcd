# SPDX-License-Identifier: Apache-2.0
"""curve25519: extreme limbs, tails of every length, low-order points, aliasing and bad arguments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crypsis import backends, curve25519
from crypsis.errors import BackendUnavailable, InvalidPoint
from reference import curve25519 as reference

P = reference.P
every_backend = pytest.mark.parametrize("backend", backends.runnable("curve25519"))

# Low order: u of the points of order 1, 2, 4 and 8 on the curve and its twist, derived below.
ORDER_EIGHT = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = (0, 1, P - 1, *ORDER_EIGHT)


def rows(*values: int) -> np.ndarray:
    return (
        np.frombuffer(b"".join(v.to_bytes(32, "little") for v in values), dtype=np.uint8)
        .reshape(-1, 32)
        .copy()
    )


def random_rows(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 32), dtype=np.uint8)


def edge_values() -> list[int]:
    """Field encodings that stress limbs and carries, all below 2^256."""
    near_p = [P + d for d in range(-3, 19)]
    top = 2**255
    limbs51 = [
        sum((2**51 - 1) << (51 * i) for i in mask)
        for k in range(1, 6)
        for mask in itertools.combinations(range(5), k)
    ]
    limbs52 = [((2**52 - 1) << (52 * i)) % top for i in range(5)]
    powers = [2**i + d for i in (51, 52, 102, 104, 153, 156, 204, 208, 254) for d in (-1, 0, 1)]
    plain = [
        0,
        1,
        2,
        9,
        19,
        486662,
        P - 486662,
        (P - 1) // 2,
        (P + 1) // 2,
        2**255 - 1,
        *near_p,
        *limbs51,
        *limbs52,
        *powers,
    ]
    return plain + [top + v for v in (0, 1, 9, P - 1, P, 2**255 - 1)]


@pytest.fixture(scope="module")
def edge_expected() -> list[bytes]:
    """X25519 of every edge value by the reference, with one fixed scalar."""
    scalar = bytes(range(32))
    return [reference.x25519(scalar, v.to_bytes(32, "little")) for v in edge_values()]


@every_backend
def test_edge_points(backend: str, edge_expected: list[bytes]) -> None:
    scalar = np.arange(32, dtype=np.uint8)
    got = curve25519.scalar_mult(scalar, rows(*edge_values()), backend=backend)
    for value, result, expected in zip(edge_values(), got, edge_expected, strict=True):
        assert result.tobytes() == expected, hex(value)


@every_backend
def test_edge_scalars(backend: str) -> None:
    scalars = [0, 7, 8, 2**255 - 1, 2**256 - 1, 2**254, reference.ORDER, 8 * reference.ORDER % 2**255]
    scalars += [int("aa" * 32, 16), int("55" * 32, 16), int("00ff" * 16, 16)]
    point = (9).to_bytes(32, "little")
    got = curve25519.scalar_mult_base(rows(*scalars), backend=backend)
    for k, result in zip(scalars, got, strict=True):
        assert result.tobytes() == reference.x25519(k.to_bytes(32, "little"), point), hex(k)


@every_backend
def test_edge_elements(backend: str) -> None:
    got = curve25519.map_to_curve(rows(*edge_values()), backend=backend)
    for value, u in zip(edge_values(), got, strict=True):
        expected, _ = reference.map_to_curve_elligator2(reference.decode(value.to_bytes(32, "little")))
        assert u.tobytes() == reference.encode(expected), hex(value)


@every_backend
def test_every_batch_size(backend: str) -> None:
    """Tails of the lanes and of the inversion block; neighbours of the output stay as they were."""
    n_max = 2 * 64 + 1
    points, scalars = random_rows(10, n_max), random_rows(11, n_max)
    whole = curve25519.scalar_mult(scalars, points, backend="portable")
    mapped = curve25519.map_to_curve(points, backend="portable")
    single = [curve25519.scalar_mult(scalars[i], points[i], backend="portable") for i in range(n_max)]
    assert (whole == np.stack(single)).all()
    step = 1 if backend != "portable" else 5
    for n in sorted({*range(18), *range(18, n_max, step), 63, 64, 65, 127, 128, n_max}):
        out = np.full((n + 1, 32), 0xA5, dtype=np.uint8)
        curve25519.scalar_mult(scalars[:n], points[:n], out=out[:n], backend=backend, threads=1)
        assert (out[:n] == whole[:n]).all()
        curve25519.map_to_curve(points[:n], out=out[:n], backend=backend, threads=1)
        assert (out[:n] == mapped[:n]).all()
        assert (out[n] == 0xA5).all()


@every_backend
def test_one_scalar_equals_pairs(backend: str) -> None:
    points, scalar = random_rows(12, 77), random_rows(13, 1)[0]
    pairs = curve25519.scalar_mult(np.tile(scalar, (77, 1)), points, backend=backend)
    assert (curve25519.scalar_mult(scalar, points, backend=backend) == pairs).all()


@every_backend
def test_threads_do_not_change_the_result(backend: str) -> None:
    points, scalars = random_rows(14, 700), random_rows(15, 700)
    for operation in (
        lambda t: curve25519.scalar_mult(scalars, points, backend=backend, threads=t),
        lambda t: curve25519.map_to_curve(points, backend=backend, threads=t),
        lambda t: np.stack(curve25519.hash_to_curve(points, b"threads", threads=t)),
    ):
        assert (operation(1) == operation(2)).all()
        assert (operation(1) == operation(7)).all()


@every_backend
@pytest.mark.parametrize("offset", [0, 1, 3, 8, 31])
def test_aliasing_and_alignment(backend: str, offset: int) -> None:
    n = 70
    buffer = np.zeros(32 * n + 64, dtype=np.uint8)
    inputs, scalar = random_rows(16, n), random_rows(17, 1)[0]
    in_place = buffer[offset : offset + 32 * n].reshape(n, 32)
    for operation in (
        lambda x, out: curve25519.scalar_mult(scalar, x, out=out, backend=backend),
        lambda x, out: curve25519.map_to_curve(x, out=out, backend=backend),
    ):
        in_place[:] = inputs
        assert operation(in_place, in_place) is in_place
        assert (in_place == operation(inputs, None)).all()


# Low order


def quadratic_roots(b: int, c: int) -> set[int]:
    """The x with x^2 + b x + c = 0 mod p."""
    discriminant = (b * b - 4 * c) % P
    if not reference.is_square(discriminant):
        return set()
    root, half = reference.sqrt(discriminant), reference.inverse(2)
    return {(-b + root) * half % P, (-b - root) * half % P}


def test_low_order_points_are_these_and_no_others() -> None:
    """Halving from infinity: u(2P) = (u^2 - 1)^2 / (4 u (u^2 + J u + 1)) on the curve and on its twist.

    The group orders are 8 l and 4 l' with l, l' odd [RFC 7748, 4.1], so there is nothing beyond order 8.
    """
    order_two = {0} | quadratic_roots(reference.J, 1)  # v = 0
    assert order_two == {0}
    order_four = quadratic_roots(0, -1)  # u(2P) = 0
    assert order_four == {1, P - 1}
    # u(2P) = t: divide by u^2 and put s = u + 1/u, then s^2 - 4 t s - 4 - 4 t J = 0.
    order_eight = {
        u
        for t in order_four
        for s in quadratic_roots(-4 * t, -4 - 4 * t * reference.J)
        for u in quadratic_roots(-s, 1)
    }
    assert order_two | order_four | order_eight == set(LOW_ORDER)
    for u in LOW_ORDER:
        assert reference.x25519(bytes(32), reference.encode(u)) == bytes(32)


@every_backend
def test_low_order_points_give_zero_and_spoil_no_neighbour(backend: str) -> None:
    scalar = random_rows(18, 1)[0]
    good = random_rows(19, 17)
    expected = curve25519.scalar_mult(scalar, good, backend="portable")
    bad = rows(*LOW_ORDER, P, P + 1, 2**255, 2**255 + P - 1)
    assert (curve25519.scalar_mult(scalar, bad, backend=backend) == 0).all()
    for lane in range(17):
        for point in bad[lane % 3 :: 3]:
            mixed = good.copy()
            mixed[lane] = point
            want = expected.copy()
            want[lane] = 0
            assert (curve25519.scalar_mult(scalar, mixed, backend=backend) == want).all()


def test_check_points_accepts_good_points() -> None:
    u, _ = curve25519.hash_to_curve(random_rows(20, 300), b"good")
    assert curve25519.check_points(u) is None
    curve25519.check_points(u[0])
    curve25519.check_points(u[:0])
    curve25519.check_points(rows(2, 3, P - 2, 2**255 - 20 - 1, 2**64, 2**192))


@pytest.mark.parametrize("value", LOW_ORDER)
@pytest.mark.parametrize("row", [0, 1, 7, 8, 29])
def test_check_points_refuses_low_order(value: int, row: int) -> None:
    points, _ = curve25519.hash_to_curve(random_rows(21, 30), b"good")
    points[row:] = rows(value)
    with pytest.raises(InvalidPoint, match=f"row {row} is of low order"):
        curve25519.check_points(points)


@pytest.mark.parametrize("value", [P, P + 1, P + 18, 2**255, 2**255 + 9, 2**256 - 1])
def test_check_points_refuses_other_encodings(value: int) -> None:
    with pytest.raises(InvalidPoint, match="row 2 is not canonical"):
        curve25519.check_points(rows(9, 9, value, 0))


def test_check_points_agrees_with_wycheproof() -> None:
    import json
    from pathlib import Path

    for row in json.loads((Path(__file__).parent / "vectors/curve25519_wycheproof.json").read_text())["rows"]:
        tc_id, low_order, non_canonical, public = row[:4]
        point = rows(int.from_bytes(bytes.fromhex(public), "little"))
        try:
            curve25519.check_points(point)
            refused = False
        except InvalidPoint:
            refused = True
        assert refused == (low_order or non_canonical or row[5] == "00" * 32 or point[0, 31] >= 128), tc_id


# Bad arguments


GOOD = np.zeros((4, 32), dtype=np.uint8)
SCALAR = np.zeros(32, dtype=np.uint8)


@pytest.mark.parametrize(
    ("scalars", "points", "error", "text"),
    [
        (SCALAR, [[0] * 32], TypeError, "points is list"),
        (SCALAR, GOOD.astype(np.int8), TypeError, "points is an array of int8"),
        (SCALAR, np.zeros((4, 31), np.uint8), ValueError, r"points has shape \(4, 31\)"),
        (SCALAR, np.zeros((2, 2, 32), np.uint8), ValueError, r"points has shape \(2, 2, 32\)"),
        (SCALAR, np.zeros((8, 32), np.uint8)[::2], ValueError, "points is not C-contiguous"),
        (b"\0" * 32, GOOD, TypeError, "scalars is bytes"),
        (np.zeros(31, np.uint8), GOOD, ValueError, r"scalars has shape \(31,\)"),
        (np.zeros((3, 32), np.uint8), GOOD, ValueError, r"scalars has shape \(3, 32\)"),
        (np.zeros((1, 32), np.uint8), GOOD, ValueError, r"scalars has shape \(1, 32\)"),
        (np.zeros((1, 32), np.uint8), SCALAR, ValueError, r"scalars has shape \(1, 32\)"),
    ],
)
def test_bad_inputs(scalars: object, points: object, error: type[Exception], text: str) -> None:
    out = np.full((4, 32), 7, dtype=np.uint8)
    with pytest.raises(error, match=text):
        curve25519.scalar_mult(scalars, points, out=out)
    assert (out == 7).all()


def test_bad_out() -> None:
    read_only = np.zeros((4, 32), dtype=np.uint8)
    read_only.setflags(write=False)
    buffer = np.zeros(6 * 32, dtype=np.uint8)
    low, high = buffer[: 4 * 32].reshape(4, 32), buffer[32 : 5 * 32].reshape(4, 32)
    scalars = GOOD.copy()
    for points, out, text in (
        (GOOD, np.zeros((3, 32), np.uint8), r"out has shape \(3, 32\)"),
        (GOOD, read_only, "out is read-only"),
        (low, high, "out overlaps points"),
        (GOOD, scalars, "out overlaps scalars"),
    ):
        with pytest.raises(ValueError, match=text):
            curve25519.scalar_mult(scalars, points, out=out)
    with pytest.raises(ValueError, match="out overlaps elements"):
        curve25519.map_to_curve(low, out=high)
    with pytest.raises(ValueError, match="out overlaps scalars"):
        curve25519.scalar_mult_base(scalars, out=scalars)


def test_bad_options() -> None:
    out = np.full((4, 32), 7, dtype=np.uint8)
    with pytest.raises(BackendUnavailable, match="'abacus'"):
        curve25519.scalar_mult(SCALAR, GOOD, out=out, backend="abacus")
    with pytest.raises(ValueError, match="threads is 0"):
        curve25519.scalar_mult(SCALAR, GOOD, out=out, threads=0)
    with pytest.raises(TypeError, match="threads is str"):
        curve25519.scalar_mult(SCALAR, GOOD, out=out, threads="2")
    assert (out == 7).all()


def test_environment_forces_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", "curve25519:portable")
    assert [r.backend for r in backends.report() if r.slug == "curve25519" and r.chosen] == ["portable"]
    monkeypatch.setenv("CRYPSIS_BACKEND", "abacus")
    with pytest.raises(BackendUnavailable, match="'abacus'"):
        curve25519.map_to_curve(GOOD)


def test_hash_to_curve_inputs() -> None:
    import pyarrow as pa

    texts = ["", "a", "ab", "grüße", "z" * 300]
    expected = curve25519.hash_to_curve(pa.array(texts), b"dst")
    padded = pa.array(["skipped", *texts, "skipped"])
    for same in (
        pa.array(texts, pa.large_string()),
        pa.array([t.encode() for t in texts], pa.binary()),
        pa.array([t.encode() for t in texts], pa.large_binary()),
        padded.slice(1, 5),
        pa.chunked_array([texts[:2], [], texts[2:]]),
    ):
        got = curve25519.hash_to_curve(same, b"dst")
        assert (got[0] == expected[0]).all()
        assert (got[1] == expected[1]).all()
    fixed = np.frombuffer(b"abcd" * 3, dtype=np.uint8).reshape(3, 4)
    assert (
        curve25519.hash_to_curve(fixed, b"dst")[0]
        == curve25519.hash_to_curve(pa.array(["abcd"] * 3), b"dst")[0]
    ).all()
    for empty in (
        pa.array([], pa.string()),
        padded.slice(0, 0),
        np.empty((0, 5), np.uint8),
        pa.chunked_array([], pa.binary()),
    ):
        assert [x.shape for x in curve25519.hash_to_curve(empty, b"dst")] == [(0, 32), (0, 32)]
    assert curve25519.hash_to_curve(np.empty((2, 0), np.uint8), b"dst")[0].shape == (2, 32)


@pytest.mark.parametrize(
    ("messages", "dst", "error", "text"),
    [
        (["a"], b"d", TypeError, "data is list"),
        (np.zeros(4, np.uint8), b"d", ValueError, r"data has shape \(4,\)"),
        (np.zeros((4, 4)), b"d", TypeError, "data is an array of float64"),
        (GOOD, "d", TypeError, "dst is str"),
        (GOOD, b"", ValueError, "dst has 0 bytes"),
        (GOOD, b"d" * 256, ValueError, "dst has 256 bytes"),
    ],
)
def test_hash_to_curve_bad_inputs(messages: object, dst: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        curve25519.hash_to_curve(messages, dst)


def test_hash_to_curve_bad_arrow() -> None:
    import pyarrow as pa

    with pytest.raises(ValueError, match="1 nulls"):
        curve25519.hash_to_curve(pa.array(["a", None]), b"dst")
    with pytest.raises(TypeError, match="data has type double: cast"):
        curve25519.hash_to_curve(pa.array([1.5]), b"dst")


def test_random_scalars_differ() -> None:
    a, b = curve25519.random_scalar(), curve25519.random_scalar()
    assert a.shape == (32,)
    assert a.flags.writeable  # so that the owner can wipe it
    assert (a != b).any()
