# SPDX-License-Identifier: Apache-2.0
"""Batched Ristretto255 [RFC 9496]: a group of prime order l = 2^252 + 27742317777372353535851937790883648493.

Part of the `curve25519` slug, whose field arithmetic it uses. An element is 32 bytes, and no other 32 bytes stand for
it, so elements are equal exactly when their bytes are (`equal`). A scalar is 32 bytes, little-endian; any 256 bits
will do, they count modulo l. Batches are C-contiguous `uint8[n, 32]` NumPy arrays, single values `uint8[32]`.

One implementation, portable C++, on every CPU. Constant-time in scalars, elements and uniform bytes: no branch and no
address depends on them, but for which rows are no encodings (`tests/test_curve25519_constant_time.py`).

Every function that takes elements raises `crypsis.errors.InvalidPoint` naming the first row that is not the encoding
of an element [RFC 9496, 4.3.1]: not canonical, negative, or of no point. The identity, 32 zero bytes, is an element;
`check` can refuse it. `threads`: default `CRYPSIS_NUM_THREADS`, else the CPUs this process may use. Other errors:
`TypeError` for what is no such array, `ValueError` for a wrong shape.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis.errors import InvalidPoint

Bytes = npt.NDArray[np.uint8]

N_BYTES = 32
"""Bytes of a scalar and of an element."""

N_UNIFORM_BYTES = 64
"""Bytes that an element or a scalar is derived from."""


def check(elements: Bytes, *, allow_identity: bool = True, threads: int | None = None) -> None:
    """Refuses rows from a peer that are no elements; with `allow_identity=False` the identity as well."""
    rows = _rows("elements", elements)
    _refuse(_core.curve25519.ristretto255_check(rows, _arguments.threads(threads)))
    if not allow_identity:
        identity = ~rows.any(axis=1)
        if identity.any():
            raise InvalidPoint(
                f"element in row {int(identity.argmax())} is the identity: the peer is faulty or malicious, "
                "end the exchange"
            )


def scalar_mult(scalars: Bytes, elements: Bytes, *, threads: int | None = None) -> Bytes:
    """The multiple scalars[i] * elements[i]: of the shape of `elements`.

    scalars: `uint8[32]`, one for all elements, or `uint8[n, 32]`, one for each.
    """
    rows, factors = _rows("elements", elements), _rows("scalars", scalars)
    if np.ndim(scalars) == 2 and (np.ndim(elements) == 1 or len(factors) != len(rows)):
        raise ValueError(
            f"scalars has shape {np.shape(scalars)} for elements of shape {np.shape(elements)}: "
            "give uint8[32], or one row for each element"
        )
    out = np.empty_like(rows)
    _refuse(_core.curve25519.ristretto255_scalar_mult(factors, rows, out, _arguments.threads(threads)))
    return out.reshape(np.shape(elements))


def scalar_mult_base(scalars: Bytes, *, threads: int | None = None) -> Bytes:
    """The multiple scalars[i] of the generator [RFC 9496, 4]: of the shape of `scalars`."""
    factors = _rows("scalars", scalars)
    out = np.empty_like(factors)
    _core.curve25519.ristretto255_scalar_mult_base(factors, out, _arguments.threads(threads))
    return out.reshape(np.shape(scalars))


def add(a: Bytes, b: Bytes, *, threads: int | None = None) -> Bytes:
    """a[i] + b[i], arrays of one shape; the result has it too."""
    return _sum(a, b, False, threads)


def sub(a: Bytes, b: Bytes, *, threads: int | None = None) -> Bytes:
    """a[i] - b[i], arrays of one shape; the result has it too."""
    return _sum(a, b, True, threads)


def equal(a: Bytes, b: Bytes) -> npt.NDArray[np.bool_]:
    """bool[n]: whether a[i] and b[i] are the same element, for encodings that were accepted before."""
    left, right = _rows("a", a), _rows("b", b)
    if left.shape != right.shape:
        raise ValueError(f"b has shape {np.shape(b)} for a of shape {np.shape(a)}: give the same")
    same: npt.NDArray[np.bool_] = np.bitwise_or.reduce(left ^ right, axis=1) == 0
    return same


def derive(uniform: Bytes, *, threads: int | None = None) -> Bytes:
    """The element derived from 64 uniform bytes [RFC 9496, 4.3.4]: `uint8[n, 64]` to `uint8[n, 32]`.

    Of the bytes of a hash with a domain of its own this is a random oracle into the group; nobody knows a discrete
    logarithm of the result.
    """
    wide = _rows("uniform", uniform, N_UNIFORM_BYTES)
    out = np.empty((len(wide), N_BYTES), dtype=np.uint8)
    _core.curve25519.ristretto255_derive(wide, out, _arguments.threads(threads))
    return out.reshape(*np.shape(uniform)[:-1], N_BYTES)


def reduce_scalars(wide: Bytes) -> Bytes:
    """64 bytes, little-endian, modulo l [RFC 9496, 4.4]: `uint8[n, 64]` to `uint8[n, 32]`."""
    rows = _rows("wide", wide, N_UNIFORM_BYTES)
    out = np.empty((len(rows), N_BYTES), dtype=np.uint8)
    _core.curve25519.ristretto255_reduce_scalars(rows, out)
    return out.reshape(*np.shape(wide)[:-1], N_BYTES)


def random_scalars(n_items: int) -> Bytes:
    """Fresh secret scalars `uint8[n_items, 32]`, uniform modulo l up to 2^-259, from the operating system's generator.

    The caller wipes them (`scalars.fill(0)`) when it is done.
    """
    n_items = _arguments.integer("n_items", n_items, 0, 1 << 32)
    wide = random_bytes(n_items, N_UNIFORM_BYTES)
    try:
        return reduce_scalars(wide)
    finally:
        wide.fill(0)


def random_bytes(n_items: int, width: int) -> Bytes:
    """Fresh `uint8[n_items, width]` from the operating system's generator, read in place: it can be wiped."""
    out = np.empty((n_items, width), dtype=np.uint8)
    os.urandom(1)  # waits until the generator is seeded, which the file does not
    view = out.reshape(-1).data
    with open("/dev/urandom", "rb", buffering=0) as generator:
        done = 0
        while done < len(view):
            got = generator.readinto(view[done:])
            if not got:
                raise OSError("/dev/urandom gave no bytes; the system's random generator is broken")
            done += got
    return out


def _sum(a: Bytes, b: Bytes, subtract: bool, threads: int | None) -> Bytes:
    left, right = _rows("a", a), _rows("b", b)
    if np.shape(a) != np.shape(b):
        raise ValueError(f"b has shape {np.shape(b)} for a of shape {np.shape(a)}: give the same")
    out = np.empty_like(left)
    _refuse(_core.curve25519.ristretto255_add(left, right, subtract, out, _arguments.threads(threads)))
    return out.reshape(np.shape(a))


def _rows(name: str, value: Any, width: int = N_BYTES) -> Bytes:
    array: Bytes = _arguments.array(name, value)
    if array.ndim not in (1, 2) or array.shape[-1] != width:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, {width}] or uint8[{width}]")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array.reshape(-1, width)


def _refuse(row: int | None) -> None:
    if row is not None:
        raise InvalidPoint(
            f"row {row} is not the encoding of a Ristretto255 element: the peer is faulty or malicious, "
            "end the exchange"
        )
