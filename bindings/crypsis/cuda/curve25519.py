# SPDX-License-Identifier: Apache-2.0
"""`crypsis.curve25519` on a device: kernels/curve25519, a point a thread. Called through `crypsis.curve25519`.

Functions take the device first and then what those of `crypsis.curve25519` take, the scalars on the device too,
and return and raise what those do; DeviceMemoryError where the result does not fit. Only `check_points` waits for
the device, and `sha256_to_u` of (offsets, bytes). Constant-time as on the CPU; what is made of a scalar leaves
registers and shared memory, which is overwritten, as the result only. The scalars themselves stay where the caller
put them. `hash_to_curve` has no kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import curve25519 as host
from crypsis.cuda import hashing
from crypsis.cuda._device import Device
from crypsis.cuda._errors import ErrorCode
from crypsis.cuda._tuning import launch_shapes
from crypsis.curve25519 import N_BYTES
from crypsis.errors import InvalidPoint

SLUG = "curve25519"
NOT_CANONICAL, LOW_ORDER = "not canonical (not below 2^255 - 19)", "of low order"
WARP = 32
SHARED_BYTES = 64
"""Of a thread: two field elements, for the inversions that a block shares."""


def scalar_mult(device: Device, scalars: Any, points: Any, *, out: Any = None) -> Any:
    """X25519 of each point, by one scalar or one for each."""
    points, scalars = _array(device, "points", points), _array(device, "scalars", scalars)
    host.check_scalars(scalars.shape, points.shape)
    result = _output(device, out, points.shape, same=("points", points), apart=("scalars", scalars))
    stride = N_BYTES if scalars.ndim == 2 else 0
    _launch(device, "scalar_mult", [result, scalars, np.uint64(stride), points, np.uint64(N_BYTES)], points)
    return result


def scalar_mult_base(device: Device, scalars: Any, *, out: Any = None) -> Any:
    """X25519 of the base point 9."""
    scalars = _array(device, "scalars", scalars)
    result = _output(device, out, scalars.shape, apart=("scalars", scalars))
    point = device.from_host(host.BASE_POINT)
    _launch(device, "scalar_mult", [result, scalars, np.uint64(N_BYTES), point, np.uint64(0)], scalars)
    return result


def map_to_curve(device: Device, elements: Any, *, out: Any = None) -> Any:
    """The u coordinate of Elligator 2 of each element."""
    elements = _array(device, "elements", elements)
    result = _output(device, out, elements.shape, same=("elements", elements))
    _launch(device, "map_to_curve", [result, elements], elements)
    return result


def sha256_to_u(device: Device, data: Any, *, out: Any = None) -> Any:
    """SHA-256 of each message as a u coordinate; `data` as `crypsis.cuda.hashing.sha256` takes it."""
    return hashing.sha256(device, data, out=out)


def check_points(device: Device, points: Any) -> None:
    """Refuses rows that are not canonical or of low order; waits for the device."""
    points = _array(device, "points", points)
    word = device.error_word()
    _launch(device, "check_points", [word, points], points)
    device.check(word, _refused)


def defines() -> dict[str, int | str]:
    """The macros of the kernels' module: every kernel's launch shape."""
    return {
        f"{kernel}_{macro}".upper(): shape[name]
        for kernel, shape in launch_shapes(SLUG).items()
        for name, macro in (("block", "threads"), ("blocks", "blocks"))
    }


def _refused(code: ErrorCode, row: int) -> InvalidPoint:
    return host.invalid_point(row, NOT_CANONICAL if code is ErrorCode.OUT_OF_RANGE else LOW_ORDER)


def _launch(device: Device, kernel: str, args: list[Any], rows: Any) -> None:
    """Queues `kernel` for the rows of an array.

    Blocks are as large as they may be, since their threads share an inversion, but no larger than leaves every
    multiprocessor one.
    """
    n = rows.size // N_BYTES
    if n == 0:
        return
    warps = -(-n // (WARP * device.n_multiprocessors))
    threads = min(launch_shapes(SLUG)[kernel]["block"], WARP * warps)
    device.launch(
        SLUG,
        kernel,
        grid=-(-n // threads),
        block=threads,
        shared_bytes=0 if kernel == "check_points" else SHARED_BYTES * threads,
        args=[*args, np.uint64(n)],
        defines=defines(),
    )


def _array(device: Device, name: str, value: Any) -> Any:
    wanted = f"uint8[n, {N_BYTES}] or uint8[{N_BYTES}]"
    if not device.owns(value):
        raise TypeError(f"{name} is {type(value).__name__}: give {wanted} on {device.name}")
    if value.dtype != np.uint8:
        raise TypeError(f"{name} is an array of {value.dtype}: give {wanted}")
    if value.ndim not in (1, 2) or value.shape[-1] != N_BYTES:
        raise ValueError(f"{name} has shape {value.shape}: give {wanted}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass cupy.ascontiguousarray({name})")
    return value


def _output(
    device: Device,
    out: Any,
    shape: tuple[int, ...],
    *,
    same: tuple[str, Any] | None = None,
    apart: tuple[str, Any] | None = None,
) -> Any:
    """The result array; `same` is the input it may coincide with, `apart` one that it must not touch."""
    if out is None:
        return device.empty(shape, np.uint8)
    if not device.owns(out):
        raise TypeError(f"out is {type(out).__name__}: give uint8{list(shape)} on {device.name}")
    if out.dtype != np.uint8:
        raise TypeError(f"out is an array of {out.dtype}: give uint8{list(shape)}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}: the result has {shape}")
    if not out.flags.c_contiguous:
        raise ValueError("out is not C-contiguous: allocate it with cupy.empty")
    if same is not None and device.overlap(out, same[1]) and device.address(out) != device.address(same[1]):
        raise ValueError(f"out overlaps {same[0]} at another offset: pass the same array or a separate one")
    if apart is not None and device.overlap(out, apart[1]):
        raise ValueError(f"out overlaps {apart[0]}: pass a separate array")
    return out
