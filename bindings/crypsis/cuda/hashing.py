# SPDX-License-Identifier: Apache-2.0
"""`crypsis.hashing` on a device: kernels/hashing, one message a thread. Called by way of `crypsis.hashing`.

The key reaches the device as a kernel's parameter and as chaining values in memory, which are overwritten behind
the launch. With offsets the call waits for the device once, to check them before anything is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._errors import NO_ERROR, ErrorCode
from crypsis.cuda._tuning import block_of
from crypsis.hashing import ALGORITHMS, checked_options

SLUG = "hashing"
BLAKE3_CHUNK_BYTES = 1024
MAX_FIXED_WIDTH = 64
FIXED_WIDTH_FROM = 1 << 16
"""Messages from which a kernel of the width's own is worth its second of compilation."""

MIN_BLOCK_MESSAGES = 1 << 12
"""Messages that are hashed at a time however little memory there is for copies of them."""

_JOB = np.dtype(
    {
        "names": ["n", "n_data", "mode", "digest_size", "one", "unused"],
        "formats": ["<u8", "<u8", "<u4", "<u4", "<u4", "<u4"],
    }
)
_KEY_BLOCK = np.dtype([("bytes", "u1", (64,))])
_PLAIN, _DOMAIN, _KEY = range(3)


def digest(
    device: Device,
    algorithm: str,
    data: Any,
    *,
    digest_size: int = 32,
    domain: bytes | None = None,
    key: bytes | None = None,
    out: Any = None,
) -> Any:
    """`crypsis.hashing.digest` of uint8[n, width] or (offsets, bytes) on `device`, where the result is too.

    Raises as it does; DeviceMemoryError where the digests do not fit.
    """
    size, domain_bytes, key_bytes = checked_options(algorithm, digest_size, domain, key)
    _check_keying(algorithm, domain_bytes, key_bytes)
    rows, offsets = _read(device, data)
    n = len(rows) if offsets is None else len(offsets) - 1
    result = device.empty((n, size), np.uint8) if out is None else _output(device, out, (n, size))
    if any(device.overlap(result, ours) for ours in (rows, offsets) if ours is not None):
        raise ValueError("out overlaps data: give memory of its own")
    if n == 0:
        return result
    xp = device.xp
    convert = 0 if offsets is None or (offsets.dtype == np.int64 and offsets.flags.c_contiguous) else 8
    if offsets is not None:
        rows = xp.ascontiguousarray(rows)  # the bytes of all: it is for the caller that they are in one piece
    copied = 0 if rows.flags.c_contiguous else rows.shape[1]
    longest = rows.shape[1] if offsets is None else _longest(device, offsets, rows.size, convert)
    defines = {"ALGORITHM": ALGORITHMS.index(algorithm)}
    mode = _KEY if key_bytes else _DOMAIN if domain_bytes else _PLAIN
    start = device.empty(16, np.uint32)
    block = np.zeros((), _KEY_BLOCK)
    secret = key_bytes or domain_bytes
    block["bytes"][: len(secret)] = np.frombuffer(secret, np.uint8)

    def work(part: slice) -> None:
        some = xp.ascontiguousarray(rows[part]) if offsets is None else rows
        ends = None if offsets is None else _int64(xp, offsets[part.start : part.stop + 1])
        job = np.array((part.stop - part.start, some.size, mode, size, 1, 0), _JOB)[()]
        _launch(device, result[part], some, ends, start, job, longest, defines)

    try:
        device.launch(
            SLUG,
            "start_messages",
            grid=1,
            block=1,
            args=[start, block[()], np.uint32(len(secret)), np.uint32(mode), np.uint32(1)],
            defines=defines,
        )
        in_blocks(device, n, copied + convert, work, what=algorithm, least=MIN_BLOCK_MESSAGES)
    finally:
        if key_bytes:
            start.fill(0)
            block["bytes"] = 0
    return result


def sha256(device: Device, data: Any, **options: Any) -> Any:
    """SHA-256 of every message; the options are those of `digest`."""
    return digest(device, "sha256", data, **options)


def sm3(device: Device, data: Any, **options: Any) -> Any:
    """SM3 of every message; the options are those of `digest`."""
    return digest(device, "sm3", data, **options)


def blake3(device: Device, data: Any, **options: Any) -> Any:
    """BLAKE3 of every message; the options are those of `digest`."""
    return digest(device, "blake3", data, **options)


def _launch(
    device: Device,
    out: Any,
    rows: Any,
    offsets: Any,
    start: Any,
    job: Any,
    longest: int,
    defines: dict[str, int],
) -> None:
    n, width = int(job["n"]), 0 if offsets is not None else longest
    kernel, shared = "digest_messages", 0
    args = [out, rows, offsets, np.uint64(width), start, job]
    if defines["ALGORITHM"] == ALGORITHMS.index("blake3") and longest > BLAKE3_CHUNK_BYTES:
        kernel = "digest_tree"
        chunks = -(-longest // BLAKE3_CHUNK_BYTES)
        shared = (
            chunks.bit_length() * 8 * 4 * block_of(SLUG, kernel)
        )  # a chaining value for each subtree that waits
    elif n >= FIXED_WIDTH_FROM and _has_own_kernel(width) and device.address(rows) % 16 == 0:
        kernel, args = "digest_width", [out, rows, start, job]
        defines = defines | {"WIDTH": width}
    block = block_of(SLUG, kernel)
    device.launch(
        SLUG, kernel, grid=-(-n // block), block=block, shared_bytes=shared, args=args, defines=defines
    )


def _has_own_kernel(width: int) -> bool:
    return width % 4 == 0 and 0 < width <= MAX_FIXED_WIDTH


def _check_keying(algorithm: str, domain: bytes, key: bytes) -> None:
    if domain and key:
        raise ValueError("domain and key were both given: use one, or derive the key from the domain")
    if algorithm == "blake3" and key and len(key) != 32:
        raise ValueError(f"key has {len(key)} bytes: blake3 takes exactly 32")


def _read(device: Device, data: Any) -> tuple[Any, Any]:
    """(rows, None) or (bytes, int64 offsets), all of this device's."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise TypeError(f"data is a tuple of {len(data)}: give (offsets, bytes)")
        offsets, values = data
        _check_array(device, "the offsets of data", offsets, ("int32", "int64"), 1)
        _check_array(device, "the bytes of data", values, ("uint8",), 1)
        if len(offsets) < 1:
            raise ValueError("the offsets of data are empty: n messages have n + 1 of them")
        return values, offsets
    _check_array(device, "data", data, ("uint8",), 2)
    return data, None


def _check_array(device: Device, name: str, value: Any, dtypes: tuple[str, ...], ndim: int) -> None:
    shape = "uint8[n, width], one message a row" if ndim == 2 else " or ".join(dtypes) + " in one dimension"
    if not device.owns(value):
        raise TypeError(f"{name} is {type(value).__name__}: give {shape} on {device.name}")
    if value.dtype.name not in dtypes:
        raise TypeError(f"{name} is an array of {value.dtype}: give {shape}")
    if value.ndim != ndim:
        raise ValueError(f"{name} has shape {value.shape}: give {shape}")


def _output(device: Device, out: Any, shape: tuple[int, int]) -> Any:
    _check_array(device, "out", out, ("uint8",), 2)
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}: the result has {shape}")
    if not out.flags.c_contiguous:
        raise ValueError("out is not C-contiguous: allocate it with cupy.empty")
    return out


def _int64(xp: Any, offsets: Any) -> Any:
    return xp.ascontiguousarray(offsets).astype(np.int64, copy=False)


def _longest(device: Device, offsets: Any, n_data: int, convert: int) -> int:
    """Bytes of the longest message. Raises ValueError where offsets decrease or leave the data."""
    longest, block = 0, block_of(SLUG, "check_offsets")

    def work(part: slice) -> None:
        nonlocal longest
        n = part.stop - part.start
        words = device.from_host(np.array([NO_ERROR, 0], np.uint64))
        ends = _int64(device.xp, offsets[part.start : part.stop + 1])
        device.launch(
            SLUG,
            "check_offsets",
            grid=-(-n // block),
            block=block,
            args=[words, ends, np.uint64(n), np.uint64(n_data)],
            defines={"ALGORITHM": 0},
        )
        device.check(words, lambda code, row: _bad_offsets(code, part.start + row))
        longest = max(longest, int(device.to_host(words)[1]))

    in_blocks(device, len(offsets) - 1, convert, work, what="offsets", least=MIN_BLOCK_MESSAGES)
    return longest


def _bad_offsets(code: ErrorCode, row: int) -> Exception:
    return ValueError(
        f"the offsets of data decrease or point outside its bytes at message {row}: the arrays are damaged"
    )
