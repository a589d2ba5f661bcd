# SPDX-License-Identifier: Apache-2.0
"""Numbers mod 2^128 as `uint64[..., 2]`, low limb first: what additive shares are made of.

A signed number v is v mod 2^128; a real x with f bits of fraction is round(x 2^f). Two parties share v as a + b = v
mod 2^128 with one of the two uniform. Everything here is exact, but for `truncate`, and takes the same time whatever
the numbers are.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[np.uint64]
Party = Literal[0, 1]

BITS = 128
MAX_COLUMNS = 1 << 13
"""Columns of a matrix, so that a dot product of 16 bits with 24 bits is exact in float64."""
_ROWS = 1 << 12
_LIMB = 24
_N_LIMBS = -(-BITS // _LIMB)
_LOW32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def zeros(n: int) -> Ring:
    """n zeros."""
    return np.zeros((n, 2), dtype=np.uint64)


def uniform(n: int) -> Ring:
    """n uniform numbers, from the operating system."""
    return np.frombuffer(secrets.token_bytes(16 * n), dtype="<u8").astype(np.uint64).reshape(n, 2)


def add(a: Ring, b: Ring) -> Ring:
    """a + b, broadcasting over all axes but the last."""
    low = a[..., 0] + b[..., 0]
    high = a[..., 1] + b[..., 1] + (low < a[..., 0])
    return np.stack([low, high], axis=-1)


def negate(a: Ring) -> Ring:
    """-a."""
    low = np.uint64(0) - a[..., 0]
    return np.stack([low, ~a[..., 1] + (low == 0)], axis=-1)


def subtract(a: Ring, b: Ring) -> Ring:
    """a - b."""
    low = a[..., 0] - b[..., 0]
    high = a[..., 1] - b[..., 1] - (a[..., 0] < b[..., 0])
    return np.stack([low, high], axis=-1)


def multiply(a: Ring, b: Ring) -> Ring:
    """a b mod 2^128, from products of 32 bits."""
    a0, a1 = a[..., 0] & _LOW32, a[..., 0] >> _32
    b0, b1 = b[..., 0] & _LOW32, b[..., 0] >> _32
    low, cross, back = a0 * b0, a1 * b0, a0 * b1
    middle = (low >> _32) + (cross & _LOW32) + (back & _LOW32)
    high = a1 * b1 + (cross >> _32) + (back >> _32) + (middle >> _32)
    high += a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return np.stack([(low & _LOW32) | (middle << _32), high], axis=-1)


def from_int(value: int) -> Ring:
    """One number, `uint64[2]`."""
    value %= 1 << BITS
    return np.array([value & (2**64 - 1), value >> 64], dtype=np.uint64)


def from_int64(values: npt.NDArray[np.int64]) -> Ring:
    """Of signed integers, `uint64[..., 2]`."""
    return np.stack([values.view(np.uint64), (values >> 63).view(np.uint64)], axis=-1)


def shift_left(a: Ring, bits: int) -> Ring:
    """a 2^bits, for a public shift of 0 to 127."""
    return multiply(a, from_int(1 << bits))


def encode(values: Any, fraction_bits: int) -> Ring:
    """round(x 2^fraction_bits) of float64[...], half to even. ValueError where that is not below 2^127, or is NaN."""
    reals = np.array(
        values, dtype=np.float64, ndmin=1
    )  # at least one axis: scalars of NumPy warn where these wrap
    if not (np.abs(reals) < 2.0 ** (BITS - 1 - fraction_bits)).all():
        raise ValueError(
            f"a value is not below 2^{BITS - 1 - fraction_bits}: it does not fit with {fraction_bits} bits of fraction"
        )
    scaled = np.rint(np.ldexp(np.abs(reals), fraction_bits))
    high = np.floor(np.ldexp(scaled, -64))
    low = scaled - np.ldexp(high, 64)  # exact: float64 has 53 bits, and both parts are parts of them
    magnitude = np.stack([low.astype(np.uint64), high.astype(np.uint64)], axis=-1)
    found: Ring = np.where((reals < 0)[..., None], negate(magnitude), magnitude)
    return found.reshape(*np.shape(values), 2)


def decode(a: Ring, fraction_bits: int) -> npt.NDArray[np.float64]:
    """The reals that signed numbers stand for, as the nearest float64 but for the last bit."""
    negative = a[..., 1] >> np.uint64(63) != 0
    magnitude = np.where(negative[..., None], negate(a), a)
    high, low = magnitude[..., 1].astype(np.float64), magnitude[..., 0].astype(np.float64)
    result: npt.NDArray[np.float64] = np.ldexp(np.ldexp(high, 64) + low, -fraction_bits)
    return np.where(negative, -result, result)


def truncate(share: Ring, bits: int, party: Party) -> Ring:
    """A share of floor(v / 2^bits), or of that plus 1, from a share of v; 1 <= bits <= 127 [MZ17, 4.1].

    Each party drops bits of its own share, party 0 of the share and party 1 of its negative. Wrong, and then wildly,
    with probability 2^(b + 1 - 128) over the shares where |v| < 2^b: keep b below 88.
    """
    if party:
        return negate(_shift_right(negate(share), bits))
    return _shift_right(share, bits)


def _shift_right(a: Ring, bits: int) -> Ring:
    if bits >= 64:
        return np.stack([a[..., 1] >> np.uint64(bits - 64), np.zeros_like(a[..., 1])], axis=-1)
    upper = a[..., 1] << np.uint64(64 - bits) if bits else np.zeros_like(a[..., 1])
    return np.stack([(a[..., 0] >> np.uint64(bits)) | upper, a[..., 1] >> np.uint64(bits)], axis=-1)


def matrix_vector(matrix: npt.NDArray[np.int16], vector: Ring) -> Ring:
    """matrix[m, d] @ vector[d] mod 2^128, exact: by float64 products of limbs of 24 bits, rows in blocks.

    ValueError for more than 2^13 columns.
    """
    m, d = matrix.shape
    if d > MAX_COLUMNS:
        raise ValueError(f"the matrix has {d} columns: at most {MAX_COLUMNS} are summed exactly")
    limbs = _limbs(vector)
    result = np.empty((m, 2), dtype=np.uint64)
    for begin in range(0, m, _ROWS):
        part = slice(begin, begin + _ROWS)
        result[part] = _recombined((matrix[part].astype(np.float64) @ limbs).astype(np.int64))
    return result


def transposed_vector(matrix: npt.NDArray[np.int16], vector: Ring) -> Ring:
    """matrix[m, d].T @ vector[m] mod 2^128, exact."""
    m, d = matrix.shape
    total = np.zeros((d, _N_LIMBS), dtype=np.int64)  # below 2^63 for 2^24 rows, and reduced before
    result = zeros(d)
    for count, begin in enumerate(range(0, m, _ROWS), start=1):
        part = slice(begin, begin + _ROWS)
        total += (matrix[part].T.astype(np.float64) @ _limbs(vector[part])).astype(np.int64)
        if count % 1024 == 0:
            result, total = add(result, _recombined(total)), np.zeros_like(total)
    return add(result, _recombined(total))


def _limbs(vector: Ring) -> npt.NDArray[np.float64]:
    """float64[n, 6]: digits in base 2^24."""
    low, high = vector[:, 0], vector[:, 1]
    mask = np.uint64((1 << _LIMB) - 1)
    parts = [low, low >> np.uint64(24), (low >> np.uint64(48)) | (high << np.uint64(16))]
    parts += [high >> np.uint64(8), high >> np.uint64(32), high >> np.uint64(56)]
    return np.stack([(part & mask).astype(np.float64) for part in parts], axis=-1)


def _recombined(digits: npt.NDArray[np.int64]) -> Ring:
    """The sum of digits[:, k] 2^(24 k) mod 2^128, of signed digits."""
    total = from_int64(np.ascontiguousarray(digits[:, -1]))
    for k in range(_N_LIMBS - 2, -1, -1):
        upper = (total[:, 1] << np.uint64(_LIMB)) | (total[:, 0] >> np.uint64(64 - _LIMB))
        shifted = np.stack([total[:, 0] << np.uint64(_LIMB), upper], axis=-1)
        total = add(shifted, from_int64(np.ascontiguousarray(digits[:, k])))
    return total


def to_ints(a: Ring) -> list[int]:
    """Signed Python integers of `uint64[n, 2]`: for files and tests."""
    return [(low | high << 64) - (high >> 63 << BITS) for low, high in zip(*a.T.tolist(), strict=True)]


def from_ints(values: list[int]) -> Ring:
    """`uint64[n, 2]` of Python integers from -2^127 to 2^127 - 1."""
    return np.stack([from_int(value) for value in values]) if values else zeros(0)
