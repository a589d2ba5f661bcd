# SPDX-License-Identifier: Apache-2.0
"""curve25519 on Python integers, the obvious way: points (u, v), affine chord and tangent, double and add.

Independent of the kernels on purpose: no ladder, no projective coordinates, no shared inversions. X25519 on
the twist works on the twisted curve 2 v^2 = u^3 + J u^2 + u. [RFC 7748], [RFC 9380]. Slow; tests only.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
J = 486662
Z = 2  # the non-square of RFC 9380 for this field, also the coefficient of v^2 on the twist
ORDER = 2**252 + 27742317777372353535851937790883648493

Point = tuple[int, int] | None
"""Affine (u, v); None is the point at infinity."""


def inverse(x: int) -> int:
    return pow(x, -1, P)


def is_square(x: int) -> bool:
    return pow(x, (P - 1) // 2, P) in (0, 1)


def sqrt(x: int) -> int:
    """A square root of x mod p; ValueError if there is none."""
    root = pow(x, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == x % P:
            return candidate
    raise ValueError(f"{x} is not a square mod p")


def curve_right_side(u: int) -> int:
    return (u**3 + J * u**2 + u) % P


def add(a: Point, b: Point, coefficient: int = 1) -> Point:
    """a + b on coefficient * v^2 = u^3 + J u^2 + u."""
    if a is None:
        return b
    if b is None:
        return a
    (u1, v1), (u2, v2) = a, b
    if u1 == u2:
        if (v1 + v2) % P == 0:
            return None
        slope = (3 * u1 * u1 + 2 * J * u1 + 1) * inverse(2 * coefficient * v1) % P
    else:
        slope = (v2 - v1) * inverse(u2 - u1) % P
    u3 = (coefficient * slope * slope - J - u1 - u2) % P
    return u3, (slope * (u1 - u3) - v1) % P


def multiply(k: int, point: Point, coefficient: int = 1) -> Point:
    result: Point = None
    for bit in bin(k)[2:]:
        result = add(result, result, coefficient)
        if bit == "1":
            result = add(result, point, coefficient)
    return result


def clamp(scalar: bytes) -> int:
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    return int.from_bytes(k, "little")


def decode(data: bytes) -> int:
    """32 bytes as a field element: top bit ignored, reduced."""
    return int.from_bytes(data, "little") % 2**255 % P


def encode(x: int) -> bytes:
    return (x % P).to_bytes(32, "little")


def x25519(scalar: bytes, point: bytes) -> bytes:
    """Lift u to the curve or its twist, multiply there, and drop v again; infinity is 0."""
    u = decode(point)
    right = curve_right_side(u)
    coefficient = 1 if is_square(right) else Z
    v = sqrt(right * inverse(coefficient))
    result = multiply(clamp(scalar), (u, v), coefficient)
    return encode(0 if result is None else result[0])


def map_to_curve_elligator2(r: int) -> tuple[int, int]:
    """[RFC 9380, 6.7.1] step by step, K = 1."""
    tv = Z * r * r % P
    x1 = -J * (inverse(1 + tv)) % P
    if x1 == 0:
        x1 = -J % P
    gx1 = curve_right_side(x1)
    x2 = (-x1 - J) % P
    gx2 = curve_right_side(x2)
    if is_square(gx1):
        x, y, sign = x1, sqrt(gx1), 1
    else:
        x, y, sign = x2, sqrt(gx2), 0
    if y % 2 != sign:
        y = -y % P
    return x, y


def expand_message_xmd(message: bytes, dst: bytes, n_bytes: int) -> bytes:
    """[RFC 9380, 5.3.1] with SHA-512."""
    ell = -(-n_bytes // 64)
    dst_prime = dst + len(dst).to_bytes(1, "big")
    b0 = hashlib.sha512(bytes(128) + message + n_bytes.to_bytes(2, "big") + b"\0" + dst_prime).digest()
    blocks = [hashlib.sha512(b0 + b"\1" + dst_prime).digest()]
    for i in range(2, ell + 1):
        mixed = bytes(x ^ y for x, y in zip(b0, blocks[-1], strict=True))
        blocks.append(hashlib.sha512(mixed + bytes([i]) + dst_prime).digest())
    return b"".join(blocks)[:n_bytes]


def hash_to_field(message: bytes, dst: bytes, count: int) -> list[int]:
    """[RFC 9380, 5.2] with m = 1 and L = 48."""
    uniform = expand_message_xmd(message, dst, 48 * count)
    return [int.from_bytes(uniform[48 * i : 48 * i + 48], "big") % P for i in range(count)]


def hash_to_curve(message: bytes, dst: bytes, random_oracle: bool) -> Point:
    """[RFC 9380, 3] for curve25519_XMD:SHA-512_ELL2_RO_ (or _NU_)."""
    point: Point = None
    for r in hash_to_field(message, dst, 2 if random_oracle else 1):
        point = add(point, map_to_curve_elligator2(r))
    return multiply(8, point)
