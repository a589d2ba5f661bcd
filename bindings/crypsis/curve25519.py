# SPDX-License-Identifier: Apache-2.0
"""Batched X25519, Elligator 2 and point checks on curve25519.

A scalar, a field element and a point (its u coordinate) are each 32 bytes, little-endian; a batch is a
C-contiguous `uint8[n, 32]` NumPy array, or CuPy array: then all arrays of the call are on that GPU, one scalar
for all points too, and so is the result (`crypsis.cuda`). Everything but `check_points` is constant-time in the
bytes it is given: no branch and no address depends on them (`tests/test_curve25519_constant_time.py`). Every
backend returns the same bytes.

Options that the batch functions share:

    out       array for the result, of its shape; it may be the input points or elements themselves, and
              must not overlap any input otherwise. Untouched when an error is raised.
    backend   a name from `crypsis.backends.runnable("curve25519")`; default: `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value, or arrays on the host
and on a GPU in one call, `crypsis.errors.BackendUnavailable` for a backend this CPU cannot run, and for
`hash_to_curve` of what is on a GPU.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core, _messages, hashing
from crypsis.cuda._dispatch import follow_data
from crypsis.errors import InvalidPoint

Bytes = npt.NDArray[np.uint8]

N_BYTES = 32
"""Bytes of a scalar, a field element and a point."""

BASE_POINT = np.zeros(N_BYTES, dtype=np.uint8)
BASE_POINT[0] = 9
BASE_POINT.setflags(write=False)
"""9, of which `scalar_mult_base` gives the multiples."""


@follow_data("curve25519")
def scalar_mult(
    scalars: Bytes,
    points: Bytes,
    *,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """X25519 [RFC 7748, 5] of each point.

    scalars: `uint8[32]`, one for all points, or `uint8[n, 32]`, one for each; clamped here as the RFC says.
    points: `uint8[n, 32]`, or `uint8[32]` for a single one. The top bit is ignored and the value is reduced
    mod p; a point of low order gives 32 zero bytes. Points from a peer: call `check_points` on them first.
    Returns the shape of `points`.
    """
    points = _array("points", points)
    scalars = _array("scalars", scalars)
    check_scalars(scalars.shape, points.shape)
    result = _out(out, points.shape, same=("points", points), apart=("scalars", scalars))
    _core.curve25519.scalar_mult(
        scalars.reshape(-1, N_BYTES),
        points.reshape(-1, N_BYTES),
        result.reshape(-1, N_BYTES),
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return result


@follow_data("curve25519")
def scalar_mult_base(
    scalars: Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """X25519 of the base point 9: the public keys of the secret `scalars`, `uint8[32]` or `uint8[n, 32]`.

    Returns the shape of `scalars`; `out` must not overlap them.
    """
    scalars = _array("scalars", scalars)
    points = np.broadcast_to(BASE_POINT, scalars.shape).copy()
    result = _out(out, scalars.shape, apart=("scalars", scalars))
    return scalar_mult(scalars, points, out=result, backend=backend, threads=threads)


@follow_data("curve25519")
def map_to_curve(
    elements: Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """The u coordinate of Elligator 2 [RFC 9380, 6.7.1] of each field element, `uint8[n, 32]` or `uint8[32]`.

    The top bit of an element is ignored and the value is reduced mod p, so 32-byte digests of a hash may be
    given. The result is a point of the curve, not yet in the prime-order subgroup: the clamped scalar of
    `scalar_mult`, a multiple of 8, takes it there. About half of the points are in the image, so of a hashed
    identifier this is a nonuniform encoding; `hash_to_curve` is the random oracle. Returns the shape of
    `elements`.
    """
    elements = _array("elements", elements)
    result = _out(out, elements.shape, same=("elements", elements))
    _core.curve25519.map_to_curve(
        elements.reshape(-1, N_BYTES),
        result.reshape(-1, N_BYTES),
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return result


@follow_data("curve25519")
def hash_to_curve(
    data: Any, dst: bytes, *, random_oracle: bool = True, threads: int | None = None
) -> tuple[Bytes, Bytes]:
    """Hashes messages into the prime-order subgroup: curve25519_XMD:SHA-512_ELL2_RO_, _NU_ [RFC 9380].

    data: a batch of messages as `crypsis.hashing` describes it: `uint8[n, width]` or an Arrow column.
    dst: the domain separation tag, 1 to 255 bytes; each application and version takes its own.
    random_oracle: True for hash_to_curve (_RO_), False for encode_to_curve (_NU_), nearly twice as fast.
    Returns the affine coordinates (u, v), each `uint8[n, 32]`. Constant-time in the messages' bytes, not in
    their lengths. Portable code on every CPU.
    """
    if not isinstance(dst, bytes):
        raise TypeError(f"dst is {_arguments.kind(dst)}: give bytes")
    if not 1 <= len(dst) <= 255:
        raise ValueError(f"dst has {len(dst)} bytes: give 1 to 255")
    random_oracle = _arguments.flag("random_oracle", random_oracle)
    n_threads = _arguments.threads(threads)
    parts = _messages.read("data", data)
    u, v = np.empty((2, _messages.count(parts), N_BYTES), dtype=np.uint8)
    _core.curve25519.hash_to_curve(parts, dst, random_oracle, u, v, n_threads)
    return u, v


@follow_data("curve25519")
def sha256_to_u(
    data: Any, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """SecretFlow's mapping: the SHA-256 digest of each message, taken as a u coordinate as it is.

    Arguments are those of `crypsis.hashing.sha256`, `backend` too. Returns `uint8[n, 32]` for `scalar_mult`.
    About half of these are on the twist, where X25519 is defined and as hard; the mapping is for
    interoperability with SecretFlow's ECDH-PSI on curve 25519. Prefer `map_to_curve` where both sides are ours.
    """
    return hashing.sha256(data, out=out, backend=backend, threads=threads)


@follow_data("curve25519")
def check_points(points: Bytes) -> None:
    """Refuses what an honest peer never sends: `uint8[n, 32]` or `uint8[32]`, public data, not constant-time.

    Raises `crypsis.errors.InvalidPoint` naming the first row that is not canonical (top bit set, or not below
    2^255 - 19) or is of low order (1, 2, 4 or 8, on the curve or its twist). Points on the twist pass: X25519
    is as hard there [Bernstein 2006].
    """
    found = _core.curve25519.check_points(_array("points", points).reshape(-1, N_BYTES))
    if found is not None:
        raise invalid_point(*found)


def random_scalar() -> Bytes:
    """A fresh secret scalar, `uint8[32]`, from the operating system's generator."""
    scalar = np.empty(N_BYTES, dtype=np.uint8)
    os.urandom(1)  # waits until the generator is seeded, which the file does not
    # Read into place: an immutable copy, as os.urandom returns, could not be wiped.
    with open("/dev/urandom", "rb", buffering=0) as generator:
        if generator.readinto(scalar.data) != N_BYTES:
            raise OSError(
                "/dev/urandom gave fewer bytes than asked for; the system's random generator is broken"
            )
    return scalar


def check_scalars(scalars: tuple[int, ...], points: tuple[int, ...]) -> None:
    """Whether arrays of these shapes are one scalar, or one for each point. Of every device."""
    if len(scalars) == 2 and (len(points) == 1 or scalars[0] != points[0]):
        raise ValueError(
            f"scalars has shape {scalars} for points of shape {points}: give uint8[32], or one row for each point"
        )


def invalid_point(row: int, reason: str) -> InvalidPoint:
    """What `check_points` raises. Of every device."""
    return InvalidPoint(f"point in row {row} is {reason}: the peer is faulty or malicious, end the exchange")


def _array(name: str, value: Any) -> Bytes:
    array: Bytes = _arguments.array(name, value)
    if array.ndim not in (1, 2) or array.shape[-1] != N_BYTES:
        raise ValueError(f"{name} has shape {array.shape}: give uint8[n, 32] or uint8[32]")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _out(
    out: Bytes | None,
    shape: tuple[int, ...],
    *,
    same: tuple[str, Bytes] | None = None,
    apart: tuple[str, Bytes] | None = None,
) -> Bytes:
    """The result array; `same` is the input it may coincide with, `apart` one it must not touch."""
    if out is None:
        return np.empty(shape, dtype=np.uint8)
    out = _arguments.output(out, shape)
    # Contiguous arrays: their bounds decide.
    if same is not None and np.may_share_memory(out, same[1]) and out.ctypes.data != same[1].ctypes.data:
        raise ValueError(f"out overlaps {same[0]} at another offset: pass the same array or a separate one")
    if apart is not None and np.may_share_memory(out, apart[1]):
        raise ValueError(f"out overlaps {apart[0]}: pass a separate array")
    return out
