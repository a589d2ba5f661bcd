# SPDX-License-Identifier: Apache-2.0
"""Ristretto255 on Python integers, independent of the kernels: affine points of edwards25519, double and add, square
roots by trying candidates, and the map as two rational formulas. [RFC 9496]. Slow; tests only.

The encoding is found without the formulas of the RFC's section 4.3.2: of the four points P + E[4] in the class of P,
s is the one nonnegative value that *decoding* takes back to a point of the class.
"""

from __future__ import annotations

from reference.curve25519 import ORDER, P, inverse, is_square, sqrt

D = -121665 * inverse(121666) % P
I = min(sqrt(P - 1), P - sqrt(P - 1), key=lambda x: x % 2)  # the nonnegative root of -1  # noqa: E741

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def negative(x: int) -> bool:
    return x % P % 2 == 1


def absolute(x: int) -> int:
    return -x % P if negative(x) else x % P


def add(a: Point, b: Point) -> Point:
    """The affine law of -x^2 + y^2 = 1 + d x^2 y^2, which is complete."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + y1 * x2) * inverse(1 + k) % P, (y1 * y2 + x1 * x2) * inverse(1 - k) % P


def negate(a: Point) -> Point:
    return -a[0] % P, a[1]


def multiply(k: int, point: Point) -> Point:
    result = IDENTITY
    for bit in bin(k % ORDER)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def decode(data: bytes) -> Point | None:
    """[RFC 9496, 4.3.1]; None for what is no encoding. x and y as the fractions that the formulas stand for:
    y = (1 - s^2) / (1 + s^2), x = |2 s / sqrt(-d (1 - s^2)^2 - (1 + s^2)^2)|.
    """
    s = int.from_bytes(data, "little")
    if s >= P or negative(s):
        return None
    down, up = (1 - s * s) % P, (1 + s * s) % P
    v = (-D * down * down - up * up) % P
    if v == 0 or up == 0 or not is_square(v):
        return None
    x, y = absolute(2 * s * inverse(sqrt(v))), down * inverse(up) % P
    if negative(x * y) or y == 0:
        return None
    return x, y


FOUR_TORSION: list[Point] = [(0, 1), (0, P - 1), (I, 0), (P - I, 0)]


def equal(a: Point, b: Point) -> bool:
    """Whether a - b has an order that divides 4."""
    return add(a, negate(b)) in FOUR_TORSION


def encode(point: Point) -> bytes:
    """The s with s^2 = (1 - y) / (1 + y) for a point (x, y) of the class, such that `decode` accepts it."""
    for torsion in FOUR_TORSION:
        y = add(point, torsion)[1]
        if (1 + y) % P == 0:
            continue
        square = (1 - y) * inverse(1 + y) % P
        if is_square(square):
            data = absolute(sqrt(square)).to_bytes(32, "little")
            decoded = decode(data)
            if decoded is not None and equal(decoded, point):
                return data
    raise ValueError(f"{point} is in no class of the group")


def generator() -> Point:
    """[RFC 9496, 4]: the base point of edwards25519, y = 4/5 with nonnegative x."""
    y = 4 * inverse(5) % P
    x = sqrt((y * y - 1) * inverse(D * y * y + 1))
    return absolute(x), y


def map_to_group(data: bytes) -> Point:
    """MAP [RFC 9496, 4.3.4], divided out: one of the two Elligator branches, then the Jacobi quartic's (s, t)."""
    t = int.from_bytes(data, "little") % 2**255 % P
    r = I * t * t % P
    u, v = (r + 1) * (1 - D * D) % P, (-1 - r * D) * (r + D) % P
    ratio = u * inverse(v) % P if v else 0
    if is_square(ratio):
        s, c = absolute(sqrt(ratio)), P - 1
    else:
        s, c = -absolute(absolute(sqrt(I * ratio)) * t) % P, r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    root = sqrt(-D - 1)
    root = root if negative(root) else P - root  # SQRT_AD_MINUS_ONE of the RFC is the negative one
    w0, w1, w2, w3 = 2 * s * v, n * root, 1 - s * s, 1 + s * s
    return w0 * inverse(w1) % P, w2 * inverse(w3) % P


def derive(uniform: bytes) -> Point:
    return add(map_to_group(uniform[:32]), map_to_group(uniform[32:]))


def reduce_scalar(wide: bytes) -> int:
    return int.from_bytes(wide, "little") % ORDER
